"""The run's outputs: where they may be, what was there before, and what is there at the end.

A tree that a job made is hostile until proven otherwise: it is walked by descriptors, links are
followed only to where they may lead, and what isn't a regular file is named, never opened. Reading
and hashing is `collect`'s; what a problem means for the run is `run.verdict`'s.
"""

from __future__ import annotations

import json
import os
import stat
from typing import Any, Dict, Iterable, Iterator, List, NamedTuple, Optional, Tuple

from outlast.run.folder import LOGGED_PREFIX, UPLOADS, RunFolder
from outlast.run.spec import Output, RunSpec

OUTPUTS = "outputs"
INVENTORY = "inventory.json"
_CLOCK_TICK_NS = 10_000_000  # file times are those of the last tick: at most 10 ms behind the clock
_LONGEST_PATH = 64  # folders deep; each costs a descriptor while it is walked
_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
_MAKE = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW

Signature = Tuple[int, int, int, int]  # inode, size, mtime, ctime


class Place(NamedTuple):
    """A file or folder in which outputs may be."""

    name: str  # what the manifest calls it; "" for the uploads, which keep their names
    path: str
    origin: str  # outputs | declared | upload, as in run.manifest
    output: Optional[Output] = None


class Item(NamedTuple):
    """What was met on a walk."""

    name: str
    path: str  # of the file itself, links resolved
    status: Optional[os.stat_result]  # of a regular file; None for anything else
    oddity: str = ""  # what it is, when it isn't a file that can be collected


class Inventory(NamedTuple):
    """What was there before the command started."""

    files: Dict[str, Signature]
    roots: Dict[str, str]  # a place's path -> where it really leads
    logged_bytes: Dict[str, int]  # journals of attempts before this one

    def holds(self, item: Item) -> bool:
        """Was this very file there before, unchanged?"""
        return item.status is not None and self.files.get(item.path) == signature(item.status)


def places(spec: RunSpec, folder: RunFolder, working: str) -> List[Place]:
    """Where to look, declared outputs first: what is declared is named as declared."""
    found = [
        Place(_name_of(output.path), _path_of(output.path, working), "declared", output)
        for output in spec.outputs
    ]
    if spec.kind == "command":
        found.append(Place(OUTPUTS, os.path.join(working, OUTPUTS), "outputs"))
    found.append(Place("", folder.file(UPLOADS), "upload"))
    return found


def _path_of(path: str, working: str) -> str:
    return os.path.normpath(os.path.join(working, path))


def _name_of(path: str) -> str:
    name = os.path.normpath(path).lstrip("/")
    while name.startswith("../"):
        name = name[3:]
    return "" if name in (".", "..") else name


def signature(status: os.stat_result) -> Signature:
    """What changes whenever somebody writes the file or puts another in its place."""
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def take_inventory(
    places: Iterable[Place], folder: RunFolder, *, owner_since_ns: Optional[int] = None
) -> Inventory:
    """What is there now. Uploads are the script's own word and are never foreign.

    An owner (of an interactive run) worked already while its supervisor was starting: what it
    logged and what was written `owner_since_ns` or later is its own, not of before.
    """
    inventory = Inventory({}, {}, {})
    for place in places:
        inventory.roots[place.path] = os.path.realpath(place.path)
        if place.origin != "upload":
            for item in walk(place, os.path.dirname(place.path), inventory):
                if item.status is not None and not _is_since(item.status, owner_since_ns):
                    inventory.files[item.path] = signature(item.status)
    for entry in os.scandir(folder.path) if owner_since_ns is None else ():
        if entry.name.startswith(LOGGED_PREFIX) and entry.is_file(follow_symlinks=False):
            inventory.logged_bytes[entry.name] = entry.stat(follow_symlinks=False).st_size
    return inventory


def _is_since(status: os.stat_result, since_ns: Optional[int]) -> bool:
    return since_ns is not None and status.st_ctime_ns >= since_ns - _CLOCK_TICK_NS


def save_inventory(folder: RunFolder, attempt: int, inventory: Inventory) -> None:
    """For a supervisor that takes over; nothing is written when all was plain. Raises OSError."""
    is_plain = all(path == real for path, real in inventory.roots.items())
    if is_plain and not inventory.files and not inventory.logged_bytes:
        return
    data = {"attempt": attempt, **inventory._asdict()}
    making = folder.file(INVENTORY + ".making")
    # Not synced: after a power loss there is nothing to take over.
    with open(os.open(making, _MAKE, 0o600), "w") as file:
        json.dump(data, file)
    os.rename(making, folder.file(INVENTORY))


def load_inventory(folder: RunFolder, attempt: int) -> Optional[Inventory]:
    """The inventory of this attempt; None when there is none that can be read."""
    try:
        with open(folder.file(INVENTORY), "rb") as file:
            data: Dict[str, Any] = json.load(file)
        if data["attempt"] != attempt:
            return None
        files: Dict[str, Any] = {path: tuple(sign) for path, sign in data["files"].items()}
        return Inventory(files, data["roots"], data["logged_bytes"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def walk(place: Place, working: str, before: Inventory) -> Iterator[Item]:
    """Every file at the place, in order, and whatever is odd there. Never blocks, never escapes.

    A link counts as the file that it leads to, when that lies within the place (for a declared one:
    within the working folder), or when it led there before the command started.
    """
    if not os.path.lexists(place.path):
        return
    real = os.path.realpath(place.path)
    allowed = before.roots.get(place.path, place.path)
    if real != allowed and not _is_within(real, os.path.realpath(working)):
        yield Item(place.name or UPLOADS, place.path, None, f"is a link that leads out, to {real}")
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
        listed = sorted(entries, key=lambda entry: entry.name)
    for entry in listed:
        inner_name = f"{name}/{entry.name}" if name else entry.name
        inner_path = f"{path}/{entry.name}"
        try:
            if entry.is_symlink():
                yield _link_item(inner_name, inner_path, root)
            elif not entry.is_dir(follow_symlinks=False):
                status = os.stat(entry.name, dir_fd=fd, follow_symlinks=False)
                yield _item(inner_name, inner_path, status)
            elif depth >= _LONGEST_PATH:
                yield Item(inner_name, inner_path, None, f"lies more than {depth} folders deep")
            else:
                inner = os.open(entry.name, _FLAGS | os.O_DIRECTORY, dir_fd=fd)
                try:
                    yield from _walk(inner, inner_name, inner_path, root, depth + 1)
                finally:
                    os.close(inner)
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
        return Item(name, path, status)
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


def open_item(item: Item) -> int:
    """The very file that the walk met, for reading. Raises OSError, also when it was replaced."""
    assert item.status is not None, "only files are opened"
    fd = os.open(item.path, _FLAGS)
    if not is_unchanged(fd, item):
        os.close(fd)
        raise OSError(0, "it changed while it was being collected")
    return fd


def is_unchanged(fd: int, item: Item) -> bool:
    """Is the open file still as the walk met it?"""
    assert item.status is not None, "only files are opened"
    now = os.fstat(fd)
    return signature(now) == signature(item.status) and now.st_dev == item.status.st_dev
