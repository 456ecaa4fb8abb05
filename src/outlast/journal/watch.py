"""Be woken when a file of some folders changes, without asking again and again.

Linux tells it (inotify, called through ctypes). Where that isn't to be had, because a limit of
watches is reached or the system is another, a thread compares sizes and times five times a second,
and `is_polling` says so. Either way `fileno()` becomes readable, for a selector or asyncio.
A wake-up says where to look, not what happened: read with a `cursor` from your own offset.
"""

from __future__ import annotations

import errno
import os
import select
import struct
from types import TracebackType
from typing import Any, Dict, Optional, Set, Tuple, Type

from outlast.errors import JournalError, NotFound

Change = Tuple[str, str]  # folder as it was added, file name; "" = look at the whole folder

_IN_MODIFY = 0x2
_IN_MOVED_TO = 0x80
_IN_CREATE = 0x100
_IN_DELETE_SELF = 0x400
_IN_Q_OVERFLOW = 0x4000
_IN_IGNORED = 0x8000
_IN_ONLYDIR = 0x1000000
_MASK = _IN_MODIFY | _IN_CREATE | _IN_MOVED_TO | _IN_DELETE_SELF | _IN_ONLYDIR
_HEADER = struct.Struct("iIII")  # watch, mask, cookie, length of the name
_READ_BYTES = 64 << 10
_READS_AT_MOST = 64
_POLL_S = 0.2
# What the kernel answers when a limit is reached or the filesystem has no notices.
_LIMITS = frozenset((errno.ENOSPC, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.ENOSYS))


class Watcher:
    """Watches folders, not what is below them. Add each folder under one name only.

    For use by one thread. Changes before `add` returned aren't reported: read once after adding.
    """

    __slots__ = ("_inotify", "_polling", "_ready", "_where")

    def __init__(self, *, is_polling: bool = False) -> None:
        """`is_polling=True` doesn't even try the kernel's notices."""
        self._ready = select.poll()
        self._inotify: Optional[_Inotify] = None
        self._polling: Optional[_Polling] = None
        self._where: Any = None
        if not is_polling and hasattr(select, "epoll"):
            self._inotify = _open_inotify()
        if self._inotify is None:
            self._polling = _Polling()
            self._ready.register(self._polling.wakes, select.POLLIN)
        else:
            # An epoll descriptor stands for both sources, so that `fileno` never changes.
            self._where = select.epoll()
            self._where.register(self._inotify.fd, select.EPOLLIN)
            self._ready.register(self._where.fileno(), select.POLLIN)

    @property
    def is_polling(self) -> bool:
        """Are some of the folders only compared from time to time?"""
        return self._polling is not None

    def fileno(self) -> int:
        """The descriptor that is readable while there is something to `read`."""
        if self._where is not None:
            return int(self._where.fileno())
        assert self._polling is not None
        return self._polling.wakes

    def add(self, folder: str) -> None:
        """Watch a folder. Raises NotFound when it isn't there or isn't a folder."""
        if not os.path.isdir(folder):
            raise NotFound(f"there is no folder {folder} to watch", folder=folder)
        if self._inotify is not None and self._inotify.add(folder):
            return
        if self._polling is None:
            self._polling = _Polling()
            self._where.register(self._polling.wakes, select.EPOLLIN)
        self._polling.add(folder)

    def remove(self, folder: str) -> None:
        """Stop watching a folder; one that isn't watched is fine."""
        if self._inotify is not None:
            self._inotify.remove(folder)
        if self._polling is not None:
            self._polling.remove(folder)

    def read(self) -> Set[Change]:
        """What changed since the last call, each file once; never waits.

        The file name is "" when the whole folder must be looked at: it was removed (it is then no
        longer watched), or more changed than the kernel keeps.
        """
        changes = self._inotify.read() if self._inotify is not None else set()
        if self._polling is not None:
            changes |= self._polling.read()
        return changes

    def wait(self, timeout_s: float) -> Set[Change]:
        """Wait for a change, at most `timeout_s`, and return what `read` returns."""
        self._ready.poll(max(0.0, timeout_s) * 1000)
        return self.read()

    def close(self) -> None:
        """Give all descriptors back and end the thread, if there is one."""
        if self._where is not None:
            self._where.close()
            self._where = None
        if self._inotify is not None:
            os.close(self._inotify.fd)
            self._inotify = None
        if self._polling is not None:
            self._polling.close()
            self._polling = None

    def __enter__(self) -> Watcher:
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        self.close()


class _Inotify:
    """The kernel's notices."""

    __slots__ = ("_folders", "_libc", "_watches", "fd")

    def __init__(self, libc: Any, fd: int) -> None:
        self._libc = libc
        self.fd = fd
        self._watches: Dict[str, int] = {}
        self._folders: Dict[int, str] = {}

    def add(self, folder: str) -> bool:
        """Watch a folder; False when a limit is reached."""
        import ctypes

        watch = self._libc.inotify_add_watch(self.fd, os.fsencode(folder), _MASK)
        if watch >= 0:
            self._watches[folder] = watch
            self._folders[watch] = folder
            return True
        number = ctypes.get_errno()
        if number in _LIMITS:
            return False
        if number in (errno.ENOENT, errno.ENOTDIR):
            raise NotFound(f"there is no folder {folder} to watch", folder=folder)
        raise JournalError(f"{folder} can't be watched: {os.strerror(number)}", folder=folder)

    def remove(self, folder: str) -> None:
        watch = self._watches.pop(folder, None)
        if watch is not None:
            del self._folders[watch]
            self._libc.inotify_rm_watch(self.fd, watch)

    def read(self) -> Set[Change]:
        changes: Set[Change] = set()
        # Bounded: a flood must not keep the reader here; the descriptor stays readable.
        for _ in range(_READS_AT_MOST):
            try:
                notices = os.read(self.fd, _READ_BYTES)
            except BlockingIOError:
                break
            self._collect(notices, changes)
        return changes

    def _collect(self, notices: bytes, changes: Set[Change]) -> None:
        at = 0
        while at < len(notices):
            watch, mask, _cookie, length = _HEADER.unpack_from(notices, at)
            at += _HEADER.size + length
            if mask & _IN_Q_OVERFLOW:
                changes.update((folder, "") for folder in self._watches)
                continue
            folder = self._folders.get(watch)
            if folder is None:  # removed while the notice was on its way
                continue
            name = os.fsdecode(notices[at - length : at].rstrip(b"\0"))
            changes.add((folder, name))
            if mask & _IN_IGNORED:
                del self._folders[watch]
                if self._watches.get(folder) == watch:  # else it is back, under a new watch
                    del self._watches[folder]


def _open_inotify() -> Optional[_Inotify]:
    """The kernel's notices, or None where there are none to be had."""
    try:
        import ctypes

        libc = ctypes.CDLL(None, use_errno=True)
        fd = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
    except (ImportError, OSError, AttributeError):
        return None
    return _Inotify(libc, fd) if fd >= 0 else None


class _Polling:
    """A thread that compares sizes and times, and writes to a pipe when they differ."""

    __slots__ = ("_changes", "_lock", "_seen", "_stop", "_thread", "_wake", "wakes")

    def __init__(self) -> None:
        import threading

        self.wakes, self._wake = os.pipe()
        self._lock = threading.Lock()
        self._seen: Dict[str, Optional[Dict[str, Tuple[int, int]]]] = {}
        self._changes: Set[Change] = set()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="journal-polling", daemon=True)
        self._thread.start()

    def add(self, folder: str) -> None:
        stamps = _stamps(folder)
        with self._lock:
            self._seen[folder] = stamps

    def remove(self, folder: str) -> None:
        with self._lock:
            self._seen.pop(folder, None)

    def read(self) -> Set[Change]:
        with self._lock:
            changes, self._changes = self._changes, set()
            if changes:
                os.read(self.wakes, _READ_BYTES)
            return changes

    def close(self) -> None:
        self._stop.set()
        self._thread.join()
        os.close(self.wakes)
        os.close(self._wake)

    def _run(self) -> None:
        while not self._stop.wait(_POLL_S):
            for folder in list(self._seen):
                self._compare(folder, _stamps(folder))

    def _compare(self, folder: str, stamps: Optional[Dict[str, Tuple[int, int]]]) -> None:
        with self._lock:
            if folder not in self._seen:
                return
            before = self._seen[folder] or {}
            if stamps is None:
                del self._seen[folder]
                changed = {(folder, "")}
            else:
                self._seen[folder] = stamps
                changed = {(folder, name) for name in stamps if stamps[name] != before.get(name)}
            if changed and not self._changes:
                os.write(self._wake, b"!")
            self._changes |= changed


def _stamps(folder: str) -> Optional[Dict[str, Tuple[int, int]]]:
    """Size and time of each file; None when the folder is gone, empty when it can't be read now."""
    stamps: Dict[str, Tuple[int, int]] = {}
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                try:
                    status = entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue
                stamps[entry.name] = (status.st_size, status.st_mtime_ns)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError:
        return {}  # as soon as it can be read again, everything counts as changed
    return stamps
