"""The run's outputs: where they may be, and which files are there.

A tree that a job made is hostile until proven otherwise: it is walked by descriptors, links are
followed only to where they may lead, and what isn't a regular file is named, never opened. What was
there before is `inventory`'s, reading and hashing `collect`'s; what a problem means for the run is
`run.verdict`'s.
"""

from __future__ import annotations

import os
import stat
from typing import Iterator, List, Mapping, NamedTuple, Optional, Tuple

from outlast.run.folder import UPLOADS, RunFolder
from outlast.run.spec import Output, RunSpec

OUTPUTS = "outputs"
MAX_FILES = 1_000_000  # that are looked at in the places of outputs, old ones and new ones
TOO_MANY_BEFORE = (
    f"more than {MAX_FILES:,} files are there already; name the folder that the run itself writes"
)
_NO_DISKS = ("/proc/", "/sys/", "/dev/")
_LONGEST_PATH = 64  # folders deep; each costs two descriptors while it is walked
_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


class Signature(NamedTuple):
    """What changes whenever somebody writes a file or puts another in its place."""

    device: int
    inode: int
    size_bytes: int
    mtime_ns: int
    ctime_ns: int


class Place(NamedTuple):
    """A file or folder in which outputs may be."""

    name: str  # what the manifest calls it; "" for the uploads, which keep their names
    path: str
    origin: str  # outputs | declared | upload, as in run.manifest
    output: Optional[Output] = None
    expected: Tuple[str, ...] = ()  # what is known to lie there before, and surprises nobody


class Item(NamedTuple):
    """What was met on a walk."""

    name: str
    path: str  # of the file itself, links resolved
    signature: Optional[Signature]  # of a regular file; None for anything else
    oddity: str = ""  # what it is, when it isn't a file that can be collected


def places(spec: RunSpec, folder: RunFolder, working: str) -> List[Place]:
    """Where to look, declared outputs first: what is declared is named as declared."""
    handed = _handed_over(spec)
    found = []
    for output in spec.outputs:
        name, path = _name_of(output.path), _path_of(output.path, working)
        # An interactive run works in its user's own folder, where earlier ones have worked too.
        expected = (name,) if spec.kind == "interactive" and not output.is_required else handed
        found.append(Place(name, path, "declared", output, expected))
    if spec.kind == "command":
        found.append(Place(OUTPUTS, os.path.join(working, OUTPUTS), "outputs", expected=handed))
    found.append(Place("", folder.file(UPLOADS), "upload"))
    return found


def _handed_over(spec: RunSpec) -> Tuple[str, ...]:
    """What other runs put out that was laid into the working folder, under its names."""
    inputs = spec.parameters.get("inputs")
    given = inputs.values() if isinstance(inputs, Mapping) else ()
    folders = [one.get("folder") for one in given if isinstance(one, Mapping) and one.get("run")]
    return tuple(str(folder) for folder in folders if folder)


def is_expected(name: str, place: Place) -> bool:
    """Is this file known to lie at the place from before?"""
    return any(_is_within(name, expected) for expected in place.expected)


def _path_of(path: str, working: str) -> str:
    return os.path.normpath(os.path.join(working, path))


def _name_of(path: str) -> str:
    name = os.path.normpath(path).lstrip("/")
    while name.startswith("../"):
        name = name[3:]
    return "" if name in (".", "..") else name


def unfit(real: str, run_folder: str) -> str:
    """Why nothing can be collected at this path (links resolved); "" when it can.

    Outputs are read whole, so one that holds the workspace itself would never come to rest.
    """
    home = os.path.dirname(os.path.dirname(run_folder))
    for holy in (home, run_folder):
        if _is_within(os.path.realpath(holy), real):
            return f"{real} holds the workspace itself; name the folder that the run writes"
    if real == "/":
        return "it is the whole filesystem; name the folder that the run writes"
    if f"{real}/".startswith(_NO_DISKS):
        return "files there are not on a disk; name the folder that the run writes"
    return ""


def walk(place: Place, root: str, working: str, run_folder: str) -> Iterator[Item]:
    """Every file at the place, and whatever is odd there, in no order. Never blocks nor escapes.

    A link counts as the file that it leads to, when that lies within the place (for a declared one:
    within the working folder), or when it led there, to `root`, before the command started.
    """
    if not os.path.lexists(place.path):
        return
    real = os.path.realpath(place.path)
    reason = "" if place.origin == "upload" else unfit(real, run_folder)
    if not reason and real != root and not _is_within(real, os.path.realpath(working)):
        reason = f"is a link that leads out, to {real}"
    if reason:
        yield Item(place.name or UPLOADS, place.path, None, reason)
        return
    try:
        fd = os.open(real, _FLAGS | os.O_DIRECTORY)
    except NotADirectoryError:
        yield _file_item(place.name, real)
        return
    except OSError as error:
        yield Item(place.name or UPLOADS, place.path, None, f"can't be read: {error.strerror}")
        return
    try:
        yield from _walk(fd, place.name, real, real, 0)
    finally:
        os.close(fd)


def _walk(fd: int, name: str, path: str, root: str, depth: int) -> Iterator[Item]:
    with os.scandir(fd) as entries:
        for entry in entries:  # not sorted: a folder may have a million of them
            inner_name = f"{name}/{entry.name}" if name else entry.name
            inner_path = f"{path}/{entry.name}"
            try:
                if entry.is_dir(follow_symlinks=False) and depth < _LONGEST_PATH:
                    inner = os.open(entry.name, _FLAGS | os.O_DIRECTORY, dir_fd=fd)
                    try:
                        yield from _walk(inner, inner_name, inner_path, root, depth + 1)
                    finally:
                        os.close(inner)
                elif entry.is_dir(follow_symlinks=False):
                    yield Item(inner_name, inner_path, None, f"lies more than {depth} folders deep")
                elif entry.is_symlink():
                    yield _link_item(inner_name, inner_path, root)
                else:
                    status = os.stat(entry.name, dir_fd=fd, follow_symlinks=False)
                    yield _item(inner_name, inner_path, status)
            except OSError as error:
                yield Item(inner_name, inner_path, None, f"can't be read: {error.strerror}")


def _link_item(name: str, path: str, root: str) -> Item:
    real = os.path.realpath(path)
    if not os.path.lexists(real):
        return Item(name, path, None, "is a link that leads nowhere")
    if not _is_within(real, root):
        return Item(name, path, None, "is a link that leads out of the outputs")
    if os.path.isdir(real):
        return Item(name, path, None, "is a link to a folder; only links to files are followed")
    return _file_item(name, real)


def _file_item(name: str, path: str) -> Item:
    try:
        return _item(name, path, os.lstat(path))
    except OSError as error:
        return Item(name, path, None, f"can't be read: {error.strerror}")


def _item(name: str, path: str, status: os.stat_result) -> Item:
    if stat.S_ISREG(status.st_mode):
        return Item(name, path, _signature(status))
    return Item(name, path, None, f"is {_KINDS.get(stat.S_IFMT(status.st_mode), 'no file')}")


_KINDS = {
    stat.S_IFIFO: "a pipe, not a file",
    stat.S_IFSOCK: "a socket, not a file",
    stat.S_IFCHR: "a device, not a file",
    stat.S_IFBLK: "a device, not a file",
    stat.S_IFLNK: "a link",
    stat.S_IFDIR: "a folder",
}


def _is_within(path: str, root: str) -> bool:
    return path == root or path.startswith(root.rstrip("/") + "/")


def _signature(status: os.stat_result) -> Signature:
    return Signature(
        status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
    )


def open_item(item: Item) -> int:
    """The very file that the walk met, for reading. Raises OSError, also when it was replaced."""
    fd = os.open(item.path, _FLAGS)
    if not is_unchanged(fd, item):
        os.close(fd)
        raise OSError(0, "it changed while it was being collected")
    return fd


def is_unchanged(fd: int, item: Item) -> bool:
    """Is the open file still as the walk met it?"""
    return _signature(os.fstat(fd)) == item.signature
