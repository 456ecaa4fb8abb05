"""Make a run's inputs ready before its command starts: `inputs/NAME` in the run's folder.

A mounted local file is a link in a folder that can't be written to; what lies elsewhere is fetched.
What was brought stands in `inputs.json`, by which the job finds it. An input whose files aren't
there fails; one whose content isn't what was registered is brought, and said.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Sequence

from outlast.data import content
from outlast.data.content import Hashes
from outlast.data.files import Found, found
from outlast.errors import Conflict, Invalid, OutlastError, Unreachable
from outlast.run import dataset
from outlast.run.dataset import Definition, Input, Source
from outlast.run.folder import HANDED, INPUTS, INPUTS_STATE, RunFolder

Say = Callable[[str], None]


class Brought(NamedTuple):
    """One input as the job finds it."""

    name: str
    mode: str
    path: str  # of its one file, or of its folder; "" = the job reads by itself
    id: str  # of its definition
    dataset: str
    version: int
    digest: str  # of its contents now
    files: int
    size_bytes: int
    has_changed: bool  # since it was registered
    definition: Mapping[str, Any]
    run: str = ""


def bring(folder: RunFolder, inputs: Mapping[str, Any], work: str, say: Say) -> List[Brought]:
    """Bring every input of the spec, and write down what was brought.

    Raises Invalid, NotFound, Unreachable or DiskFull, naming the input.
    """
    root = folder.file(INPUTS)
    _clear(root)
    home = os.path.dirname(os.path.dirname(folder.path))
    brought = []
    with Hashes(home) as hashes:
        for name, given in dataset.inputs("inputs", inputs).items():
            try:
                one = _bring(name, given, folder, hashes)
                brought.append(_placed(one, given, work, folder))
            except OutlastError as error:
                raise type(error)(f"input {name!r}: {error.message}", hint=error.hint) from None
            say(_told(brought[-1]))
    _write(folder, brought)
    return brought


def _bring(name: str, given: Input, folder: RunFolder, hashes: Hashes) -> Brought:
    target = os.path.join(folder.file(INPUTS), name)
    files = found(_there(name, given, folder))
    facts = content.facts(files, hashes)
    path = ""
    if given.mode != "direct":
        path = laid_out(files, target, is_link=given.mode == "mount")
    return Brought(
        name, given.mode, path, given.definition.id, given.dataset, given.version, facts.digest,
        facts.files, facts.size_bytes, bool(given.digest) and given.digest != facts.digest,
        given.definition.to_dict(), given.run,
    )  # fmt: skip


def _there(name: str, given: Input, folder: RunFolder) -> Definition:
    """Where its data lie: another run's outputs in the folder to which they were handed over."""
    if not given.run:
        return given.definition
    root = os.path.join(folder.file(HANDED), name)
    there = (Source(source.path.strip("/"), "", root) for source in given.definition.sources)
    return given.definition._replace(sources=tuple(there))


def laid_out(files: Sequence[Found], target: str, *, is_link: bool) -> str:
    """Put links to files, or copies of them, into a folder; returns the path of the data in it.

    That is the one file that was named, else the folder. One of links isn't to be written to.
    """
    os.makedirs(target, exist_ok=True)
    for file in files:
        place = os.path.join(target, *file.name.split("/"))
        if is_link and file.is_local:
            os.makedirs(os.path.dirname(place), exist_ok=True)
            os.symlink(file.path, place)
        else:
            content.fetch(file, place)
    if is_link:
        set_writable(target, False)
    return os.path.join(target, files[0].name) if len(files) == 1 and files[0].is_sole else target


def _placed(one: Brought, given: Input, work: str, folder: RunFolder) -> Brought:
    """A link where the job wants it, which an earlier attempt may have left."""
    if not given.path or not one.path:
        return one
    wanted = os.path.normpath(os.path.join(work, given.path))
    if not os.path.isabs(given.path):
        dataset.below("path", os.path.relpath(wanted, work))
    runs = os.path.dirname(folder.path) + "/"
    if os.path.islink(wanted) and os.readlink(wanted).startswith(runs):
        os.unlink(wanted)
    elif os.path.isdir(wanted) and not os.path.islink(wanted) and not os.listdir(wanted):
        os.rmdir(wanted)
    if os.path.lexists(wanted):
        raise Conflict(f"{wanted} is there already", hint="choose another path_on_compute")
    try:
        os.makedirs(os.path.dirname(wanted), exist_ok=True)
        os.symlink(one.path, wanted)
    except OSError as error:
        raise Unreachable(f"{wanted} can't be made: {error.strerror}") from None
    return one._replace(path=wanted)


def _told(one: Brought) -> str:
    what = f"{one.dataset}:{one.version}" if one.dataset else "unregistered"
    where = f" in {one.path}" if one.path else ", read by the job"
    files = f"{one.files} file" + ("s" if one.files != 1 else "")
    text = f"input {one.name}: {what}, {files}, {one.size_bytes} bytes{where}"
    return text + changed_words(one) if one.has_changed else text


def changed_words(one: Brought) -> str:
    """That the content isn't what was registered."""
    return f"; its content has changed since version {one.version} was registered"


def _clear(root: str) -> None:
    if os.path.isdir(root):
        set_writable(root, True)
        shutil.rmtree(root)
    os.makedirs(root)


def set_writable(root: str, is_writable: bool) -> None:
    """May files be made in this folder and those below it?"""
    for folder, _folders, _files in os.walk(root):
        mode = stat.S_IMODE(os.stat(folder).st_mode)
        os.chmod(folder, mode | 0o200 if is_writable else mode & ~0o222)


def _write(folder: RunFolder, brought: Sequence[Brought]) -> None:
    path = folder.file(INPUTS_STATE)
    try:
        with open(path + ".new", "w", encoding="utf-8") as file:
            json.dump({one.name: one._asdict() for one in brought}, file, indent=1)
        os.rename(path + ".new", path)
    except OSError as error:
        raise Unreachable(f"{path} can't be written: {error.strerror}") from None


def brought(folder: RunFolder) -> Dict[str, Brought]:
    """What the run's inputs are, by name; {} before they are brought."""
    try:
        with open(folder.file(INPUTS_STATE), encoding="utf-8") as file:
            told = json.load(file)
        return {name: Brought(**facts) for name, facts in told.items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError) as error:
        raise Invalid(f"{folder.file(INPUTS_STATE)} can't be read: {error}") from None
