"""The files of a run around its launch: its folder, its private launch.json, its working folder.

`make_folder` is what makes a submit durable; `prepare` gives an attempt a working folder, and
`write_launch` the real command and environment. All of it blocks: call it from a thread.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import stat
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from outlast.artifacts import commit, handover, snapshot
from outlast.artifacts.blobs import Blobs
from outlast.environments import uv
from outlast.environments.cache import Cache
from outlast.errors import Conflict, DiskFull, Invalid, NotFound, OutlastError, Unreachable
from outlast.ids import check_run_id
from outlast.journal.trim import sync_folder
from outlast.run import dataset
from outlast.run import events as ev
from outlast.run.environment import Environment
from outlast.run.folder import HANDED, LAUNCH, SPEC, WORK, RunFolder
from outlast.run.manifest import Manifest
from outlast.run.spec import RunSpec
from outlast.scheduler.scribe import append_decisions

MAKING = ".making-"  # folders under such a name are nobody's run (yet)
DELETED = ".deleted-"
DEFAULT_UMASK = 0o022


class Launch(NamedTuple):
    """What a client asks to be run: never kept longer than the run lives."""

    command: tuple[str, ...]
    environ: Mapping[str, str]
    folder: str  # where the command runs, unless on a snapshot
    umask: int = DEFAULT_UMASK

    @classmethod
    def from_dict(cls, data: object) -> Launch:
        """Check what a request holds. Raises Invalid, naming the field."""
        if not isinstance(data, Mapping):
            raise Invalid.field("launch", data, "give an object with command, environ, folder")
        for key in data:
            if key not in cls._fields:
                raise Invalid.field(f"launch.{key}", "…", f"known: {', '.join(cls._fields)}")
        command = data.get("command")
        if isinstance(command, str) or not isinstance(command, Sequence) or not command:
            raise Invalid.field("launch.command", command, "give a list of strings")
        environ = data.get("environ", {})
        if not isinstance(environ, Mapping):
            raise Invalid("launch.environ: give an object with names and values")
        folder = _text("launch.folder", data.get("folder"))
        if not os.path.isabs(folder):
            raise Invalid.field("launch.folder", folder, "give an absolute path")
        umask = data.get("umask", DEFAULT_UMASK)
        if not isinstance(umask, int) or not 0 <= umask <= 0o777:
            raise Invalid.field("launch.umask", umask, "give a number from 0 to 511")
        return cls(
            tuple(_text(f"launch.command[{i}]", word) for i, word in enumerate(command)),
            dict(_variable(name, value) for name, value in environ.items()),
            folder,
            umask,
        )


def make_folder(runs_folder: str, spec: RunSpec, launch: Launch, t_ns: int) -> RunFolder:
    """Make the run's folder: on the disk, whole, created and queued when this returns.

    Raises Conflict when the id is taken, DiskFull, Unreachable; nothing is left then.
    """
    # A name of its own: two requests for one id may be under way in this process.
    making_name = f"{MAKING}{check_run_id(spec.id)}-{secrets.token_hex(4)}-{os.getpid()}"
    making = RunFolder(os.path.join(runs_folder, making_name))
    folder = RunFolder(os.path.join(runs_folder, spec.id))
    try:
        os.mkdir(making.path, 0o700)
        try:
            _write_json(making.file(SPEC), spec.to_dict())
            _write_json(making.file(LAUNCH), launch._asdict())
            created = (ev.Created(t_ns, spec.kind), ev.Queued(t_ns))
            append_decisions(making, created, 0, is_synced=True)
            sync_folder(making.path)
            _rename_new(making.path, folder.path)
            sync_folder(runs_folder)
        except BaseException:
            shutil.rmtree(making.path, ignore_errors=True)
            raise
    except OSError as error:
        raise _explained(error, folder.path) from error
    return folder


def prepare(folder: RunFolder, spec: RunSpec, blobs: Blobs) -> str:
    """Return the folder in which the attempt runs, made anew from the snapshot if it runs on one.

    Into a new one go the outputs of other runs that the spec's parameters name, and an empty folder
    for each declared output whose path ends in "/". Those that its inputs name go to a folder of
    their own, whence they are brought as other inputs are.
    Raises NotFound or Invalid with a message for the user; the run can't be launched then.
    """
    _hand_over(folder, spec, blobs)
    if spec.source is None or spec.source.kind == "in_place":
        launch = read_launch(folder)
        launch_folder = str(launch.get("origin", launch["folder"]))
        if not os.path.isdir(launch_folder):
            raise Invalid.field("folder", launch_folder, "there is no such folder (any more)")
        return launch_folder
    if not spec.source.digest:
        raise Invalid.field("source.digest", spec.source.digest, "the snapshot was never taken")
    # Also what a killed server had half laid out.
    for name in os.listdir(folder.path):
        if name == WORK or (name.startswith(WORK + ".") and name.endswith(".partial")):
            _remove_tree(folder.file(name))
    work = folder.file(WORK)
    snapshot.checkout(snapshot.load(spec.source.digest, blobs), blobs, work)
    _furnish(folder, spec, blobs, work)
    return work


def _hand_over(folder: RunFolder, spec: RunSpec, blobs: Blobs) -> None:
    if os.path.isdir(folder.file(HANDED)):  # of the attempt before, which may have changed it
        _remove_tree(folder.file(HANDED))
    for name, given in dataset.inputs("inputs", spec.inputs).items():
        if given.run:
            manifest = _manifest_of(folder, given.run)
            target = os.path.join(folder.file(HANDED), name)
            os.makedirs(target)
            for source in given.definition.sources:
                handover.lay_out(manifest, source.path.strip("/"), blobs, target)


def _furnish(folder: RunFolder, spec: RunSpec, blobs: Blobs, work: str) -> None:
    """Put into the new working folder what other runs hand over, and folders that it promises."""
    for output in spec.outputs:
        if output.path.endswith("/"):
            os.makedirs(os.path.join(work, output.path), exist_ok=True)
    inputs = spec.parameters.get("inputs")
    for given in inputs.values() if isinstance(inputs, Mapping) else ():
        if isinstance(given, Mapping) and given.get("run") and given.get("folder"):
            handover.lay_out(_manifest_of(folder, given["run"]), str(given["folder"]), blobs, work)


def _manifest_of(folder: RunFolder, run_id: str) -> Manifest:
    """What another run of this workspace put out."""
    other = os.path.join(os.path.dirname(folder.path), check_run_id(str(run_id)))
    try:
        return commit.read_manifest(RunFolder(other))
    except NotFound:
        raise NotFound(f"run {run_id}, whose outputs are an input, is gone or not over") from None


def read_launch(folder: RunFolder) -> dict[str, Any]:
    """What stands in launch.json. Raises Unreachable when it isn't there or can't be read."""
    try:
        with open(folder.file(LAUNCH), "rb") as file:
            data = json.load(file)
    except (OSError, ValueError) as error:
        raise Unreachable(
            f"its command can't be read from {folder.file(LAUNCH)}: {error}"
        ) from None
    if not isinstance(data, dict):
        raise Unreachable(f"{folder.file(LAUNCH)} holds no object")
    return data


def kits_in_use(runs_folder: str) -> list[str]:
    """The kits with which the runs that are not over were, or shall be, started."""
    folders = [RunFolder(os.path.join(runs_folder, name)) for name in os.listdir(runs_folder)]
    waiting = [folder for folder in folders if os.path.exists(folder.file(LAUNCH))]
    return [str(read_launch(folder).get("kit", "")) for folder in waiting]


def write_launch(
    folder: RunFolder,
    attempt: int,
    work: str,
    gpus: Sequence[int],
    kit: str,
    around: Mapping[str, Any] | None = None,
) -> None:
    """Complete launch.json for this attempt; what Outlast itself adds, the supervisor does.

    `around` is what `surroundings` says.
    """
    launch = read_launch(folder)
    launch.update({"environment": {}, "prepare": [], **(around or {})})
    launch.setdefault("origin", launch["folder"])  # where the command came from, for a next attempt
    launch.update(attempt=attempt, folder=work, gpus=list(gpus), kit=kit)
    try:
        _write_json(folder.file(LAUNCH), launch)
    except OSError as error:
        raise _explained(error, folder.path) from error


def surroundings(folder: RunFolder, spec: RunSpec, attempt: int, kit: str) -> dict[str, Any]:
    """Where the environment lies, or which program makes it before the command starts.

    {} for a run in the caller's own. Raises Invalid when an interpreter isn't there any more.
    """
    if not spec.environment:
        return {}
    home = os.path.dirname(os.path.dirname(folder.path))
    environ = uv.clean(read_launch(folder)["environ"])
    found = Cache(home).find(Environment.of(spec.environment), environ)
    if found is not None:
        return {"environment": found.to_dict()}
    program = os.path.join(kit, "outlast", "environments", "__main__.py")
    words = [sys.executable, "-I", "-S", program, folder.path, "--attempt", str(attempt)]
    return {"prepare": words}


def drop_launch(folder: RunFolder) -> None:
    """Remove the real command and environment: nobody needs them any more."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(folder.file(LAUNCH))


def hide_folder(folder: RunFolder) -> None:
    """First half of a deletion: no longer a run, but not gone. Twice is harmless."""
    doomed = _doomed(folder)
    if os.path.lexists(folder.path):
        if os.path.lexists(doomed):
            _remove_tree(doomed)
        os.rename(folder.path, doomed)


def remove_hidden(folder: RunFolder) -> None:
    """Second half: give the room back."""
    _remove_tree(_doomed(folder))


def _doomed(folder: RunFolder) -> str:
    return os.path.join(os.path.dirname(folder.path), DELETED + folder.run_id)


def unfinished_deletions(runs_folder: str) -> list[RunFolder]:
    """Finish what a killed server had begun to make; return what it had begun to delete."""
    doomed = []
    for name in os.listdir(runs_folder):
        owner = name.rpartition("-")[2]
        if name.startswith(MAKING) and not os.path.exists(f"/proc/{owner}"):
            _remove_tree(os.path.join(runs_folder, name))
        elif name.startswith(DELETED):
            doomed.append(RunFolder(os.path.join(runs_folder, name[len(DELETED) :])))
    return doomed


def _text(field: str, value: object) -> str:
    if not isinstance(value, str) or "\0" in value:
        raise Invalid.field(field, value, "give a string without NUL characters")
    return value


def _variable(name: object, value: object) -> tuple[str, str]:
    # Values are never shown: they may be secrets.
    if not isinstance(name, str) or not name or "=" in name or "\0" in name:
        raise Invalid.field("launch.environ", name, "a variable's name has neither '=' nor NUL")
    if not isinstance(value, str) or "\0" in value:
        raise Invalid(f"launch.environ.{name}: give a string without NUL characters")
    return name, value


def _write_json(path: str, data: object) -> None:
    """Replace the file: 0600, on the disk, the old one or the new one at every moment."""
    temporary = f"{path}.new"
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with open(fd, "w", encoding="utf-8", errors="surrogateescape") as file:
        json.dump(data, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    os.rename(temporary, path)


def _rename_new(making: str, path: str) -> None:
    # A rename replaces an empty folder silently: such a one is somebody's too.
    if os.path.lexists(path):
        raise _taken(path)
    try:
        os.rename(making, path)
    except OSError as error:
        if os.path.lexists(path):
            raise _taken(path) from error
        raise


def _taken(path: str) -> Conflict:
    return Conflict(
        f"id = {os.path.basename(path)!r}: there is such a run already", hint="choose another id"
    )


def _explained(error: OSError, path: str) -> OutlastError:
    import errno

    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DiskFull(f"no room for {path}", hint="make room; nothing was begun")
    return Unreachable(f"{path} can't be written: {error.strerror or error}")


def _remove_tree(path: str) -> None:
    """Remove what a job left, also folders that it made read-only; links are never followed."""

    def make_writable(_remove: object, failed: str, _info: object) -> None:
        with contextlib.suppress(OSError):
            parent = os.path.dirname(failed)
            if not os.path.islink(parent):
                os.chmod(parent, stat.S_IRWXU)
            if os.path.isdir(failed) and not os.path.islink(failed):
                os.chmod(failed, stat.S_IRWXU)
                shutil.rmtree(failed)
            elif os.path.lexists(failed):
                os.unlink(failed)

    if os.path.islink(path) or not os.path.isdir(path):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        return
    shutil.rmtree(path, onerror=make_writable)
    if os.path.lexists(path):
        raise Unreachable(f"{path} can't be removed")
