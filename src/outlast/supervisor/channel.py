"""What the command's standard streams are joined to: a file, a terminal, or a tunnel.

The keeper opens the channel before it forks, so that both processes hold its descriptors and
whichever is killed last loses nothing. `Channel` itself is the plain one: /dev/null, and the run's
file `output`. Terminals are in `terminal`, imported only by a run that has one.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, Mapping, NamedTuple, Optional

from outlast.process import Identity
from outlast.run import events as ev
from outlast.run import folder as names
from outlast.run.verdict import Observed, judge
from outlast.supervisor import command
from outlast.supervisor.assignment import Assignment, Launch
from outlast.supervisor.control import Asker
from outlast.supervisor.loop import Loop


class Desk(NamedTuple):
    """What a channel needs of the process that supervises."""

    loop: Loop
    tell: Callable[[ev.Event], None]
    reach: Callable[[str, float, float], None]  # a limit: its name, what it allows, what was seen


class End(NamedTuple):
    """How the main process ended, for those who are attached."""

    t_ns: int
    code: Optional[int]
    signal: Optional[int]
    status: str  # Completed | Failed | Canceled, as far as it can be told by now
    message: str

    @classmethod
    def of(cls, exited: ev.Exited, kind: str, seen: Observed) -> End:
        """What the event and the verdict up to now say."""
        verdict = judge(kind, "wait", "ignore", seen)
        message = verdict.message or f"it ended with exit code {exited.code}"
        status = verdict.outcome.capitalize()
        return cls(exited.t_ns, exited.code, exited.signal, status, message)


class Channel:
    """One run's; the methods below `serve` are called in the process that supervises."""

    is_held = False  # is it lost when keeper and supervisor are both killed?
    hangs_up = False  # does HUP end what hangs on it, before TERM does?

    def __init__(self, assignment: Assignment) -> None:
        self.assignment = assignment

    def give_up(self) -> None:
        """Keeper and supervisor that held the command's channel were both killed."""

    def variables(self) -> Mapping[str, str]:
        """For the command's environment, where the launch doesn't say otherwise."""
        return {}

    def start(self, launch: Launch, environ: Mapping[str, str], *, cgroup_procs: str = "") -> int:
        """Start the command on this channel and return its pid. Raises command.CannotStart."""
        return command.start(
            launch.command,
            environ,
            launch.folder,
            self.assignment.folder.file(names.OUTPUT),
            umask=launch.umask,
            cgroup_procs=cgroup_procs,
        )

    def serve(self, desk: Desk) -> None:
        """Begin, or go on where a supervisor that was killed had got to."""

    def attach(self, request: Dict[str, Any], asker: Asker) -> None:
        """Somebody wants to see and to write what the command reads and writes."""
        asker.reply({"error": "this run has no terminal: its output is a file"})

    def drain(self) -> None:
        """The main process ended: take in all that it wrote, before its end is told."""

    @property
    def is_at_rest(self) -> bool:
        """Has all that the command wrote arrived where it is kept? Else the run isn't over yet."""
        return True

    def ended(self, end: End) -> None:
        """Its end is told: tell it to those who are attached."""

    def status(self, main: Optional[Identity]) -> Dict[str, Any]:
        """What the answer to `status` says beyond that of a plain run."""
        return {}

    def close(self) -> None:
        """The run is over, or its supervisor ends."""
