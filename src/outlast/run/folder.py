"""The names inside a run's folder; FORMATS.md tells what each file holds.

Only names: whoever opens one of these says so in its own verb.
"""

from __future__ import annotations

import os

# Journals (append-only, never renamed).
EVENTS = "events"  # records, written by the run's supervisor
DECISIONS = "decisions"  # records, written by the server
OUTPUT = "output"  # bytes: stdout and stderr of the job, in the order written
TIMING = "timing"  # records: when which offset of a session's output was reached, and its sizes
ENVIRONMENT = "environment"  # bytes: how the environment of a run was built
TRIALS = "trials"  # records: what a sweep has tried, written by its program (see run.trials)
COMMANDS = "commands"  # records: the commands of a session, as its shell told them
LOGGED_PREFIX = "logged."  # records, one journal for each process of the script that logs

# Written once, by rename.
SPEC = "spec.json"
END = "end.json"  # the supervisor's last word; exists = the supervisor has nothing more to do
MANIFEST = "manifest.json"

# Others.
ENVIRONMENT_STATE = "environment.json"  # where the build of its environment stands; replaced
RANKS = "ranks.json"  # the ranks of a distributed run, and which failed first; replaced
LAUNCH = "launch.json"  # 0600: real environment and command of the next attempt; gone at the end
INPUTS = "inputs"  # the datasets that it reads, brought before its command starts
HANDED = "handed"  # what other runs put out and it reads, by input: HANDED/NAME/path there
INPUTS_STATE = "inputs.json"  # what was brought; replaced by each attempt
LEASE = "lease"  # its mtime is the supervisor's heartbeat
SOCKET = "control.sock"
SUPERVISOR_LOG = "supervisor.log"  # stays empty unless the supervisor itself fails
WORK = "work"  # working folder of a run that runs on a snapshot
SCREEN = "screen.checkpoint"  # what a session's terminal showed at an offset of its output
UPLOADS = "uploads"  # files that the script handed over by upload_file and the like


class RunFolder:
    """The paths of one run."""

    __slots__ = ("path",)

    def __init__(self, path: str) -> None:
        self.path = os.path.abspath(path)

    @property
    def run_id(self) -> str:
        return os.path.basename(self.path)

    def file(self, name: str) -> str:
        """The path of the file that one of this module's constants names."""
        return os.path.join(self.path, name)

    def logged(self, writer: str) -> str:
        """The journal of one logging process; `writer` is unique to that process."""
        return os.path.join(self.path, LOGGED_PREFIX + writer)
