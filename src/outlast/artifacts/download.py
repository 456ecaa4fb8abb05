"""Fetch stored files into a folder, believing nothing that the other side says.

Names are split and opened beneath the target like any hostile path; a file gets its name only when
its bytes have the promised hash; no more bytes are taken than were promised. What broke off stays
as a hidden part and is continued at the next call. How bytes come over the wire is the opener's.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

from outlast.artifacts.copying import hashed, write_all
from outlast.artifacts.inside import make_folders, open_beneath, parts
from outlast.errors import Conflict, Corrupt, DiskFull, Invalid, NotFound, Unreachable

# Yields the bytes of a file's path from an offset on. May raise Unreachable, or break off with an
# OSError: what came by then is kept.
Opener = Callable[[str, int], Iterator[bytes]]

_CHUNK_BYTES = 1 << 20
_FLAGS = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


class _Wanted(NamedTuple):
    path: str
    names: tuple[str, ...]
    size_bytes: int
    sha256: str

    @property
    def part(self) -> str:
        """The name of an unfinished file: of this name and this content, and never too long."""
        mark = sha256(f"{self.sha256} {self.path}".encode("utf-8", "surrogateescape"))
        return f".outlast-{mark.hexdigest()[:24]}.part"


def download(
    entries: Iterable[Mapping[str, Any]],
    opener: Opener,
    target: str | Path,
    *,
    overwrite: bool = False,
    progress: Callable[[int], None] | None = None,
) -> list[Path]:
    """Fetch each entry (`path`, `size_bytes`, `sha256`) to its path below the folder `target`.

    A file that is there with the same content isn't fetched again. `progress` is told the bytes
    each time some are done. Returns the paths of all files.
    Raises Invalid for a name that would leave `target`, before anything is fetched; Conflict for a
    file that exists with another content, unless `overwrite`; Corrupt when the bytes aren't those
    that were promised; Unreachable when they stop coming (call again to go on); DiskFull. Files
    that were finished before stay.
    """
    wanted = _checked(entries)
    os.makedirs(target, exist_ok=True)
    root = os.open(target, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        missing = [one for one in wanted if not _is_there(root, one, overwrite)]
        tell = progress or (lambda size_bytes: None)
        tell(sum(one.size_bytes for one in wanted) - sum(one.size_bytes for one in missing))
        for one in missing:
            with _room(one, target):
                _fetch(root, one, opener, tell)
    finally:
        os.close(root)
    return [Path(target, *one.names) for one in wanted]


def _checked(entries: Iterable[Mapping[str, Any]]) -> list[_Wanted]:
    """All names first: one hostile name, and nothing of this answer is trusted."""
    wanted: dict[tuple[str, ...], _Wanted] = {}
    for entry in entries:
        path, size_bytes, content = entry["path"], entry["size_bytes"], entry["sha256"]
        # A colon is harmless here, and usual in names that hold a time.
        try:
            names = parts(path, allow=":")
        except Invalid as error:
            raise Invalid(
                error.message, hint="nothing was fetched; a prefix leaves it out"
            ) from None
        if names in wanted:
            raise Invalid.field("path", path, "the server named this file twice")
        if not isinstance(size_bytes, int) or size_bytes < 0:
            raise Invalid.field("size_bytes", size_bytes, f"the server named a wrong size: {path}")
        wanted[names] = _Wanted(path, names, size_bytes, str(content))
    for names in wanted:
        if any(names[:depth] in wanted for depth in range(1, len(names))):
            raise Invalid.field("path", "/".join(names), "another file has the name of its folder")
    return list(wanted.values())


def _is_there(root: int, one: _Wanted, overwrite: bool) -> bool:
    """Is this very content there? Raises Conflict when something else is in its place."""
    try:
        fd = open_beneath(root, one.names)
    except NotFound:
        return False
    except Invalid:
        if not overwrite:
            raise
        return False  # a link there will be replaced, not what it leads to
    try:
        if os.fstat(fd).st_size == one.size_bytes and hashed(fd).sha256 == one.sha256:
            return True
    finally:
        os.close(fd)
    if overwrite:
        return False
    raise Conflict(
        f"{one.path} exists with another content",
        hint="choose another folder, or add --overwrite",
        path=one.path,
    )


def _fetch(root: int, one: _Wanted, opener: Opener, tell: Callable[[int], None]) -> None:
    folder = make_folders(root, one.names[:-1])
    try:
        # 0o666: the user's umask decides, as for every file they make.
        fd = os.open(one.part, _FLAGS, 0o666, dir_fd=folder)
        try:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                raise Invalid.field("path", one.part, "remove what stands in the way")
            _fill(fd, one, opener, tell)
            os.fsync(fd)
        finally:
            os.close(fd)
        _named(folder, one)
    finally:
        os.close(folder)


def _named(folder: int, one: _Wanted) -> None:
    try:
        os.rename(one.part, one.names[-1], src_dir_fd=folder, dst_dir_fd=folder)
    except IsADirectoryError:
        raise Conflict(f"{one.path}: a folder of this name is in the way", path=one.path) from None


def _fill(fd: int, one: _Wanted, opener: Opener, tell: Callable[[int], None]) -> None:
    """Bring the part to its full length, from where it is, as long as each try brings some bytes.

    What an earlier call left may be damaged: then, once, all is fetched from the beginning.
    """
    started_at = size_bytes = min(os.fstat(fd).st_size, one.size_bytes)
    tell(size_bytes)
    while True:
        while size_bytes < one.size_bytes:
            came = _receive(fd, one, opener, size_bytes, tell)
            size_bytes += came
        os.ftruncate(fd, one.size_bytes)
        if hashed(fd).sha256 == one.sha256:
            return
        os.ftruncate(fd, 0)
        tell(-size_bytes)
        if not started_at:
            raise Corrupt(
                f"{one.path}: what arrived isn't what was stored (another sha256); it isn't kept",
                hint="try again; if it happens again, verify the run's outputs",
                path=one.path,
            )
        started_at = size_bytes = 0


def _receive(
    fd: int, one: _Wanted, opener: Opener, offset: int, tell: Callable[[int], None]
) -> int:
    """Take what comes in one try; returns the bytes, or raises Unreachable when none came."""
    at = offset
    os.lseek(fd, at, os.SEEK_SET)
    reason = "the answer ended early"
    try:
        for chunk in opener(one.path, offset):
            if at + len(chunk) > one.size_bytes:
                os.ftruncate(fd, 0)
                raise Corrupt(
                    f"{one.path}: more bytes came than the {one.size_bytes} that were promised",
                    path=one.path,
                )
            with _writing():
                write_all(fd, memoryview(chunk))
            at += len(chunk)
            tell(len(chunk))
    except (Unreachable, OSError) as error:
        reason = str(error)
    if at == offset:
        raise Unreachable(
            f"{one.path}: {at} of {one.size_bytes} bytes are here, then {reason}",
            hint="the same command goes on from there",
            path=one.path,
        )
    return at - offset


class _CannotWrite(Exception):
    """The disk here, not the line: must not be taken for a reason to try again."""


@contextlib.contextmanager
def _writing() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _CannotWrite from error


@contextlib.contextmanager
def _room(one: _Wanted, target: str | Path) -> Iterator[None]:
    try:
        yield
    except _CannotWrite as error:
        raise DiskFull(
            f"{one.path} can't be written in {target}: {error.__cause__}",
            hint="free some space; the same command goes on from there",
            path=one.path,
        ) from None
