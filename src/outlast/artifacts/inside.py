"""Paths that a user, a job or a server named, opened inside one folder and nowhere else.

Text is split and checked before it comes near a file (`parts`); the kernel then resolves it below
an open folder and follows no link (`open_beneath`, `make_folders`, `create_beneath`,
`walk_beneath`). Only regular files are opened, and a fifo never blocks. What is read from the files
is checked elsewhere: see blobs.py for contents.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import functools
import os
import re
import stat
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from outlast.errors import Invalid, NotFound, OutlastError

MAX_PART_BYTES = 255  # NAME_MAX of every Linux filesystem
MAX_PATH_BYTES = 4095  # PATH_MAX without its NUL

# Control characters, the direction overrides that make a name read as another, lone surrogates
# (bytes that weren't UTF-8), and what other systems take for separators.
_NEVER = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff\\:]")

# The fifth system call of the openat family has the same number on every architecture but Alpha.
_SYS_OPENAT2 = 437
_RESOLVE_NO_MAGICLINKS = 0x02
_RESOLVE_NO_SYMLINKS = 0x04
_RESOLVE_BENEATH = 0x08
_ALWAYS = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NOCTTY

Root = int | str  # an open folder, or its path (which may itself be a link: it is the caller's own)


def parts(path: str, *, allow: str = "", field: str = "path") -> tuple[str, ...]:
    """Split text that someone else wrote into names that may be looked up below a folder.

    The text is taken as it is: percent signs are characters, decoding them is the caller's, once.
    `allow` lets ':' or a backslash through where they are known to be harmless.
    Raises Invalid for anything absolute, empty, '.', '..', overlong, or with characters that can't
    be shown safely.
    """
    if not path:
        raise Invalid.field(field, path, "give a relative path, like outputs/model.pt")
    for found in _NEVER.finditer(path):
        if found.group() not in allow:
            raise Invalid.field(
                field, path, "remove backslashes, colons, control and direction characters"
            )
    if path.startswith("/"):
        raise Invalid.field(field, path, "use a relative path, without the leading '/'")
    return _checked(tuple(path.split("/")), field)


def _checked(names: tuple[str, ...], field: str = "path") -> tuple[str, ...]:
    """Names as the kernel takes them, each exactly one step down."""
    shown = "/".join(names)
    if not names or len(os.fsencode(shown)) > MAX_PATH_BYTES:
        raise Invalid.field(field, shown, f"use 1 to {MAX_PATH_BYTES} bytes")
    for name in names:
        if name in ("", ".", "..") or "/" in name or "\0" in name:
            raise Invalid.field(field, shown, "use plain names between the '/': no '.', no '..'")
        if len(os.fsencode(name)) > MAX_PART_BYTES:
            raise Invalid.field(field, shown, f"use at most {MAX_PART_BYTES} bytes a name")
    return names


def open_beneath(
    root: Root, path: str | Sequence[str], flags: int = os.O_RDONLY, mode: int = 0o600
) -> int:
    """Open what lies at `path` below `root`, without following any link; returns a descriptor.

    A text is split by `parts`; a sequence of names (which a job may have chosen) is taken as it is.
    Only a regular file is opened, or a folder when O_DIRECTORY is among `flags`. A file with
    several names that belongs to somebody else than `root` is refused: whoever made the link need
    not be allowed to read it.
    Raises NotFound, or Invalid that says what is in the way; nothing stays open then.
    """
    if flags & os.O_TRUNC:
        raise ValueError("O_TRUNC would empty a file before it could be checked")
    names = parts(path) if isinstance(path, str) else _checked(tuple(path))
    with _opened_root(root) as folder_fd:
        # O_NONBLOCK: opening a fifo must not wait for its other end.
        fd = _resolved(folder_fd, names, flags | os.O_NONBLOCK | _ALWAYS, mode)
        try:
            if not flags & (os.O_DIRECTORY | os.O_PATH):
                _check_file(os.fstat(fd), os.fstat(folder_fd), names)
        except BaseException:
            os.close(fd)
            raise
    return fd


def make_folders(root: Root, names: Sequence[str]) -> int:
    """Open the folder at `names` below `root`, making what is missing; returns a descriptor.

    Raises Invalid when a file or a link stands where a folder should; folders made so far stay.
    """
    with _opened_root(root) as folder_fd:
        here = os.dup(folder_fd)
    for depth, name in enumerate(_checked(tuple(names)) if names else ()):
        try:
            with contextlib.suppress(FileExistsError):
                os.mkdir(name, dir_fd=here)
            below = os.open(name, os.O_RDONLY | os.O_DIRECTORY | _ALWAYS, dir_fd=here)
        except OSError as error:
            raise _explained(error, tuple(names[: depth + 1])) from None
        finally:
            os.close(here)
        here = below
    return here


def create_beneath(root: Root, path: str | Sequence[str], mode: int = 0o666) -> int:
    """Create a new file below `root`, with the folders it needs, and open it for writing.

    Raises Invalid when something of that name is there already, whatever it is.
    """
    names = parts(path) if isinstance(path, str) else _checked(tuple(path))
    folder = make_folders(root, names[:-1])
    try:
        return os.open(names[-1], os.O_RDWR | os.O_CREAT | os.O_EXCL | _ALWAYS, mode, dir_fd=folder)
    except OSError as error:
        raise _explained(error, names) from None
    finally:
        os.close(folder)


class Found(NamedTuple):
    """Something that isn't a folder, below the root of a walk."""

    names: tuple[str, ...]
    stat: os.stat_result  # of itself: a link is never followed

    @property
    def path(self) -> str:
        return "/".join(self.names)


Enter = Callable[[tuple[str, ...], int], bool]


def walk_beneath(root: Root, enter: Enter | None = None) -> Iterator[Found]:
    """Yield everything below `root` except folders, in the order of names, following no link.

    `enter(names, descriptor)` is asked for each folder, the root (no names) first, and may refuse.
    What vanishes, or is replaced by a link while the walk goes on, is passed over.
    Raises Invalid for a folder that can't be read or lies too deep.
    """
    with _opened_root(root) as root_fd:
        pending: list[tuple[str, ...]] = [()]
        while pending:
            names = pending.pop()
            folders: list[tuple[str, ...]] = []
            for found in _listed(root_fd, names, enter):
                if stat.S_ISDIR(found.stat.st_mode):
                    folders.append(found.names)
                else:
                    yield found
            pending.extend(reversed(folders))


def _listed(root_fd: int, names: tuple[str, ...], enter: Enter | None) -> list[Found]:
    """One folder's contents. Opened by its whole path: a deep tree must not use up descriptors."""
    flags = os.O_RDONLY | os.O_DIRECTORY | _ALWAYS
    try:
        folder = _by_kernel(root_fd, _checked(names), flags, 0) if names else os.dup(root_fd)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            return []  # gone or replaced since its own folder was listed
        raise _explained(error, names) from None
    try:
        if enter is not None and not enter(names, folder):
            return []
        listed: list[Found] = []
        with os.scandir(folder) as entries:
            for entry in sorted(entries, key=lambda entry: entry.name):
                with contextlib.suppress(FileNotFoundError):
                    here = (*names, entry.name)
                    listed.append(Found(here, entry.stat(follow_symlinks=False)))
        return listed
    finally:
        os.close(folder)


@contextlib.contextmanager
def _opened_root(root: Root) -> Iterator[int]:
    if isinstance(root, int):
        yield root
        return
    try:
        fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise _explained(error, (root,)) from None
    try:
        yield fd
    finally:
        os.close(fd)


def _resolved(root_fd: int, names: tuple[str, ...], flags: int, mode: int) -> int:
    try:
        return _by_kernel(root_fd, names, flags, mode)
    except OSError as error:
        raise _explained(error, names) from None


def _by_kernel(root_fd: int, names: tuple[str, ...], flags: int, mode: int) -> int:
    resolve = _by_openat2 if _has_openat2() else _by_walking
    return resolve(root_fd, names, flags, mode)


class _OpenHow(ctypes.Structure):
    _fields_ = (
        ("flags", ctypes.c_uint64),
        ("mode", ctypes.c_uint64),
        ("resolve", ctypes.c_uint64),
    )


def _by_openat2(root_fd: int, names: tuple[str, ...], flags: int, mode: int) -> int:
    """One system call (Linux 5.6): the kernel itself keeps the way inside."""
    how = _OpenHow(
        flags=flags,
        mode=mode if flags & os.O_CREAT else 0,  # the kernel insists on 0 otherwise
        resolve=_RESOLVE_BENEATH | _RESOLVE_NO_SYMLINKS | _RESOLVE_NO_MAGICLINKS,
    )
    path = os.fsencode("/".join(names))
    while True:
        fd = _libc().syscall(
            ctypes.c_long(_SYS_OPENAT2),
            ctypes.c_int(root_fd),
            ctypes.c_char_p(path),
            ctypes.byref(how),
            ctypes.c_size_t(ctypes.sizeof(how)),
        )
        if fd >= 0:
            return int(fd)
        number = ctypes.get_errno()
        # EAGAIN: something was renamed during the look-up and the kernel couldn't be sure.
        if number not in (errno.EINTR, errno.EAGAIN):
            raise OSError(number, os.strerror(number))


def _by_walking(root_fd: int, names: tuple[str, ...], flags: int, mode: int) -> int:
    """The same for older kernels and strict sandboxes: one step at a time, each without links."""
    here = os.dup(root_fd)
    try:
        for name in names[:-1]:
            below = os.open(name, os.O_PATH | os.O_DIRECTORY | _ALWAYS, dir_fd=here)
            os.close(here)
            here = below
        return os.open(names[-1], flags, mode, dir_fd=here)
    finally:
        os.close(here)


@functools.cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


@functools.cache
def _has_openat2() -> bool:
    root_fd = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.close(_by_openat2(root_fd, ("proc",), os.O_PATH | os.O_CLOEXEC, 0))
    except OSError as error:
        # ENOENT: the call works, there merely is no such folder. A sandbox may answer EPERM.
        return error.errno == errno.ENOENT
    finally:
        os.close(root_fd)
    return True


def _check_file(found: os.stat_result, root: os.stat_result, names: tuple[str, ...]) -> None:
    shown = "/".join(names)
    if not stat.S_ISREG(found.st_mode):
        raise Invalid.field("path", shown, "only regular files are opened")
    if found.st_nlink > 1 and found.st_uid != root.st_uid:
        raise Invalid.field(
            "path", shown, "a hard link to somebody else's file isn't opened; make a copy of it"
        )


def _explained(error: OSError, names: tuple[str, ...]) -> OutlastError | OSError:
    shown = "/".join(names)
    if error.errno == errno.ENOENT:
        return NotFound(f"there is no {shown!r}", path=shown)
    remedies = {
        errno.ELOOP: "a link is in the way, and links aren't followed",
        errno.EXDEV: "this leads out of its folder",
        errno.ENOTDIR: "a file or a link stands where a folder should",
        errno.EEXIST: "something of that name is there already",
        errno.ENXIO: "only regular files are opened",
        errno.ENODEV: "only regular files are opened",
        errno.EISDIR: "only regular files are opened",
        errno.ENAMETOOLONG: "use a shorter path",
        errno.EACCES: "the permissions of this file or of a folder above it don't allow it",
        errno.EPERM: "the permissions of this file or of a folder above it don't allow it",
    }
    remedy = remedies.get(error.errno or 0)
    return error if remedy is None else Invalid.field("path", shown, remedy)
