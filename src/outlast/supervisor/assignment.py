"""What a supervisor was told to do: its arguments, the run's spec, and launch.json."""

from __future__ import annotations

import json
import os
import stat
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Tuple

from outlast.errors import Invalid
from outlast.run import folder as names
from outlast.run.folder import RunFolder
from outlast.run.spec import RunSpec

MODES = ("command", "watch", "adopt", "resume")
USAGE = (
    "usage: python -I -S outlast/supervisor/__main__.py FOLDER --attempt N"
    " [--mode command|watch|adopt] [--owner PID START_TICKS] [--owner-fd PIDFD]"
)
_DEFAULT_UMASK = 0o022
# Never handed to a job: who holds them may act for the user.
_WITHHELD = ("OUTLAST_TOKEN", "OUTLAST_DETACHED")


class Launch(NamedTuple):
    """The real command and environment of one attempt."""

    command: Tuple[str, ...]
    environ: Dict[str, str]
    folder: str
    gpus: Tuple[int, ...] = ()
    kit: str = ""
    umask: int = _DEFAULT_UMASK
    prepare: Tuple[str, ...] = ()  # builds the environment first
    environment: Mapping[str, Any] = {}  # where it lies, when it is there already


class Assignment(NamedTuple):
    """One attempt of one run."""

    folder: RunFolder
    attempt: int
    mode: str
    owner: Optional[Tuple[int, int]]  # pid and start time in ticks, of an interactive run
    spec: RunSpec
    owner_fd: int = (
        -1
    )  # inherited from the owner: tells its end even if that comes before our start

    @property
    def is_session(self) -> bool:
        """A shell, or a stream to sshd: somebody's own, rather than a job."""
        return self.spec.kind in ("session", "tunnel")

    @property
    def is_interactive(self) -> bool:
        return self.spec.kind == "interactive"


def read_arguments(arguments: List[str]) -> Assignment:
    """The assignment that the command line names. Raises Invalid, or OSError for the spec."""
    words = list(arguments)
    path, attempt, mode, owner, owner_fd = "", 0, "command", None, -1
    try:
        while words:
            word = words.pop(0)
            if word == "--attempt":
                attempt = int(words.pop(0))
            elif word == "--mode":
                mode = words.pop(0)
            elif word == "--owner":
                owner = (int(words.pop(0)), int(words.pop(0)))
            elif word == "--owner-fd":
                owner_fd = int(words.pop(0))
            elif path or word.startswith("-"):
                raise ValueError(word)
            else:
                path = word
    except (IndexError, ValueError) as error:
        raise Invalid(f"{USAGE} ({error})") from None
    if not path or attempt < 1 or mode not in MODES[:3] or (mode == "watch" and owner is None):
        raise Invalid(USAGE)
    folder = RunFolder(path)
    with open(folder.file(names.SPEC), "rb") as file:
        spec = RunSpec.from_dict(json.load(file))
    return Assignment(folder, attempt, mode, owner, spec, owner_fd)


def read_launch(folder: RunFolder, attempt: int) -> Launch:
    """The launch of this attempt. Raises Invalid when there is none, or it is another's."""
    try:
        # The job may write in here too: follow no link, and don't hang on a FIFO.
        flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        fd = os.open(folder.file(names.LAUNCH), flags)
        with open(fd, "rb") as file:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                raise Invalid(f"{names.LAUNCH} isn't a regular file")
            data: Dict[str, Any] = json.load(file)
        if data["attempt"] != attempt:
            raise Invalid(f"{names.LAUNCH} is for attempt {data['attempt']}, this is {attempt}")
        return Launch(
            tuple(data["command"]),
            dict(data["environ"]),
            data["folder"],
            tuple(data.get("gpus") or ()),
            data.get("kit") or "",
            data.get("umask", _DEFAULT_UMASK),
            tuple(data.get("prepare") or ()),
            dict(data.get("environment") or {}),
        )
    except OSError as error:
        raise Invalid(f"{names.LAUNCH} can't be read: {error.strerror}") from None
    except (ValueError, KeyError, TypeError) as error:
        raise Invalid(f"{names.LAUNCH} can't be understood: {error!r}") from None


def job_environ(assignment: Assignment, launch: Launch) -> Dict[str, str]:
    """The environment of the job, as ARCHITECTURE.md tells it."""
    folder, run_id = assignment.folder, assignment.spec.id
    environ = {name: value for name, value in launch.environ.items() if name not in _WITHHELD}
    environ["OUTLAST_RUN"] = folder.path
    environ["OUTLAST_RUN_ID"] = run_id
    environ["OUTLAST_HOME"] = os.path.dirname(os.path.dirname(folder.path))
    if assignment.is_session:  # what is started in it by hand is no part of this run
        environ["OUTLAST_SESSION"] = run_id
        return environ
    environ["OUTLAST_OUTPUTS"] = os.path.join(launch.folder, "outputs")
    environ["OUTLAST_ATTEMPT"] = str(assignment.attempt)
    if assignment.spec.resources.gpus:
        environ["CUDA_VISIBLE_DEVICES"] = ",".join(str(gpu) for gpu in launch.gpus)
    if launch.kit:
        behind = environ.get("PYTHONPATH")
        environ["PYTHONPATH"] = launch.kit + (os.pathsep + behind if behind else "")
        environ["AZUREML_RUN_ID"] = run_id  # by it scripts find out whether they are a job
    return environ
