"""Contents by their sha256: `blobs/ab/cdef…`, written once, never changed.

A name is the hash of the bytes that were really written, so a file that changes while it is copied
can't end up under a wrong name. Content is on disk before its name exists (temporary file, sync,
rename, sync of the folder); after a crash there are whole blobs and nothing else. Two writers of
the same content don't disturb each other.

A blob never shares an inode with a file that somebody may write: reflinks and copies, no hard
links. Which contents belong to which run is the database's knowledge, not this one's.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import functools
import os
import re
import secrets
import stat
import time
from collections.abc import Callable, Collection, Iterator
from hashlib import sha256
from types import TracebackType
from typing import NamedTuple

from outlast.artifacts.copying import Stored, copied, hashed, write_all
from outlast.errors import Conflict, Corrupt, DiskFull, Invalid, NotFound, Unreachable

Progress = Callable[[int, int, str], None]  # bytes done, bytes in all, path at hand

MODE = 0o400
# What nothing refers to is kept this long: its run may be about to be committed.
GRACE_S = 24 * 3600
_FRESH_S = 3600
INCOMING = "incoming"  # files that have no name yet

_SHARDS = tuple(f"{number:02x}" for number in range(256))
_SHA256 = re.compile(r"[0-9a-f]{64}")
# More files than this are synced at once by syncfs: 1,000 single fsyncs take 18 times as long.
_SYNC_EACH_UP_TO = 16
# Progress that a crash can't take back, at least this often.
_BATCH_FILES = 2_000
_BATCH_BYTES = 4 << 30


class Deleted(NamedTuple):
    """What a clean-up freed."""

    files: int
    size_bytes: int


class Blobs:
    """The blobs in one folder, which is made when it isn't there."""

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = os.path.abspath(folder)
        # Made here and only here: when a mount goes away later, its blobs must not silently go to
        # the disk underneath.
        if not os.path.isdir(self._file(_SHARDS[-1])):
            with self._reaching():
                for name in (INCOMING, *_SHARDS):
                    os.makedirs(self._file(name), mode=0o700, exist_ok=True)
                _sync(self.folder)

    def path(self, sha: str) -> str:
        """Where this content lies or would lie. Raises Invalid for what isn't a sha256 in hex."""
        if not _SHA256.fullmatch(sha):
            raise Invalid.field("sha256", sha, "give 64 digits 0-9a-f")
        return os.path.join(self.folder, sha[:2], sha[2:])

    def put(self, source: int | str, expected_sha256: str | None = None) -> Stored:
        """Store the content of a file (path or descriptor); it is on disk when this returns.

        With `expected_sha256`, content that is stored already in this size isn't read again.
        Raises Conflict when the content is another than expected, DiskFull, or Unreachable when the
        folder can't be written or the source can't be read; nothing half-stored is left then.
        """
        with self.batch() as batch:
            return batch.put(source, expected_sha256)

    def batch(self) -> Batch:
        """Store many at a time: as durable as `put`, many times as fast; to be used in a `with`."""
        return Batch(self)

    def open(self, sha: str) -> int:
        """A descriptor for reading this content. Raises NotFound."""
        with self._reaching():
            try:
                return os.open(self.path(sha), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
            except FileNotFoundError:
                raise self._absent(sha) from None

    def size(self, sha: str) -> int:
        """The size of this content in bytes. Raises NotFound."""
        with self._reaching():
            try:
                return os.stat(self.path(sha)).st_size
            except FileNotFoundError:
                raise self._absent(sha) from None

    def has(self, sha: str, size_bytes: int | None = None) -> bool:
        """Is this content stored (and of this size, if that is known)?"""
        try:
            return size_bytes in (None, self.size(sha))
        except NotFound:
            return False

    def keep(self, sha: str, size_bytes: int | None = None) -> bool:
        """`has`, and if so `delete_unreferenced` will spare it for the next day."""
        path = self.path(sha)
        with self._reaching(), contextlib.suppress(FileNotFoundError):
            if self._is_fresh(path, size_bytes):
                return True
            with self._locked(fcntl.LOCK_SH):
                os.utime(path)  # not there any more: a clean-up was first
                return size_bytes in (None, os.stat(path).st_size)
        return False

    def _is_fresh(self, path: str, size_bytes: int | None) -> bool:
        """Stored so recently that no clean-up will take it, in this size?"""
        found = os.stat(path)
        return size_bytes in (None, found.st_size) and found.st_mtime > time.time() - _FRESH_S

    def verify(self, sha: str) -> int:
        """Hash the content again; returns its size. Raises Corrupt or NotFound."""
        fd = self.open(sha)
        try:
            found = hashed(fd)
        finally:
            os.close(fd)
        if found.sha256 != sha:
            raise Corrupt(
                f"blob {sha[:12]} is damaged: its {found.size_bytes} bytes are others than those "
                "that were stored",
                hint="restore the blobs folder from a backup, or store the file again",
                sha256=sha,
            )
        return found.size_bytes

    def delete_unreferenced(
        self, keep: Collection[str], *, older_than_s: float = GRACE_S, is_dry_run: bool = False
    ) -> Deleted:
        """Delete every content that isn't in `keep` and was last stored `older_than_s` ago or more.

        Less than two hours only while nothing is being stored.
        Leftovers of writers that were killed go the same way. With `is_dry_run` they are only
        counted.
        """
        wanted = keep if isinstance(keep, set | frozenset) else set(keep)
        before_s = time.time() - older_than_s
        files = size_bytes = 0
        with self._reaching():
            for shard in (INCOMING, *_SHARDS):
                # One shard at a time: a writer waits for milliseconds, not for the whole clean-up.
                with self._locked(fcntl.LOCK_EX), os.scandir(self._file(shard)) as entries:
                    for entry in entries:
                        found = entry.stat(follow_symlinks=False)
                        if shard + entry.name in wanted or found.st_mtime > before_s:
                            continue
                        if not is_dry_run:
                            os.unlink(entry.path)
                        files, size_bytes = files + 1, size_bytes + found.st_size
        return Deleted(files, size_bytes)

    def _file(self, *names: str) -> str:
        return os.path.join(self.folder, *names)

    def _absent(self, sha: str) -> NotFound:
        return NotFound(f"blob {sha[:12]} isn't stored in {self.folder}", sha256=sha)

    @contextlib.contextmanager
    def _locked(self, how: int) -> Iterator[None]:
        """Between writers (shared) and a clean-up (exclusive), also of other processes."""
        with self._reaching():
            # Each time a descriptor of its own: a lock belongs to the open file, not to the thread.
            fd = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                fcntl.flock(fd, how)
            except BaseException:
                os.close(fd)
                raise
        try:
            yield
        finally:
            os.close(fd)

    @contextlib.contextmanager
    def _reaching(self) -> Iterator[None]:
        """What the system says about the blobs folder, in terms of what the caller can do."""
        try:
            yield
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                raise DiskFull(
                    f"no room for more blobs in {self.folder}: {error.strerror}",
                    hint="free some space there; what is stored is whole, and trying again is safe",
                    folder=self.folder,
                ) from None
            raise Unreachable(
                f"the blobs in {self.folder} can't be reached: {error.strerror}",
                hint="check that the disk is there and may be written; trying again is safe",
                folder=self.folder,
            ) from None


class Batch:
    """Contents on their way in; they get their names at `flush` or when the `with` ends well.

    Left by an exception, what isn't flushed yet is dropped. For one thread.
    """

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs
        self._ready: dict[str, Stored] = {}  # temporary name -> what is in it
        self._ready_bytes = 0

    def __enter__(self) -> Batch:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                self.flush()
        finally:
            for name in self._ready:
                self._drop(name)

    def put(self, source: int | str, expected_sha256: str | None = None) -> Stored:
        """Like `Blobs.put`, but named only by the next `flush`."""
        with _reading(source) as fd:
            size_bytes = os.fstat(fd).st_size
            if expected_sha256 is not None and self._blobs.keep(expected_sha256, size_bytes):
                return Stored(expected_sha256, size_bytes)
            return self._take(lambda target: copied(fd, target), expected_sha256)

    def put_bytes(self, content: bytes) -> Stored:
        """Store bytes that are at hand."""
        found = Stored(sha256(content).hexdigest(), len(content))
        if self._blobs.keep(found.sha256, found.size_bytes):
            return found

        def write(target: int) -> Stored:
            write_all(target, memoryview(content))
            return found

        return self._take(write, None)

    def _take(self, fill: Callable[[int], Stored], expected: str | None) -> Stored:
        if len(self._ready) >= _BATCH_FILES or self._ready_bytes >= _BATCH_BYTES:
            self.flush()
        name = secrets.token_hex(12)
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with self._blobs._reaching():
            target = os.open(self._blobs._file(INCOMING, name), flags, MODE)
        try:
            try:
                with self._blobs._reaching():
                    stored = fill(target)
            finally:
                os.close(target)
            if expected not in (None, stored.sha256):
                raise Conflict(
                    f"the content changed: expected sha256 {expected}, found {stored.sha256}",
                    expected=expected,
                    found=stored.sha256,
                )
        except BaseException:
            self._drop(name)
            raise
        self._ready[name] = stored
        self._ready_bytes += stored.size_bytes
        return stored

    def flush(self) -> None:
        """Put all that is ready on disk and give it its names."""
        if not self._ready:
            return
        with self._blobs._reaching():
            names = [self._blobs._file(INCOMING, name) for name in self._ready]
            _sync_all(names, self._blobs.folder)
            shards = set()
            with self._blobs._locked(fcntl.LOCK_SH):
                for name, stored in list(self._ready.items()):
                    path = self._blobs.path(stored.sha256)
                    # Also over a blob that is there: this one was just verified.
                    os.rename(self._blobs._file(INCOMING, name), path)
                    del self._ready[name]
                    shards.add(os.path.dirname(path))
            _sync_all(sorted(shards), self._blobs.folder)
        self._ready_bytes = 0

    def _drop(self, name: str) -> None:
        # Best effort: delete_unreferenced finds what a vanished or read-only disk holds back.
        with contextlib.suppress(OSError):
            os.unlink(self._blobs._file(INCOMING, name))


@contextlib.contextmanager
def _reading(source: int | str) -> Iterator[int]:
    """A descriptor on a regular file; a caller's own descriptor stays open and isn't moved."""
    if isinstance(source, int):
        yield source
        return
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        fd = os.open(source, flags)
    except FileNotFoundError:
        raise NotFound(f"there is no {source!r}", path=source) from None
    except OSError as error:
        raise Invalid.field("path", source, f"it can't be read: {error.strerror}") from None
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise Invalid.field("path", source, "only regular files are stored")
        yield fd
    finally:
        os.close(fd)


def _sync(path: str) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _sync_all(paths: list[str], folder: str) -> None:
    """Put these files or folders, all below `folder`, on disk."""
    if len(paths) <= _SYNC_EACH_UP_TO:
        for path in paths:
            _sync(path)
        return
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if _libc().syncfs(fd) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), folder)
    finally:
        os.close(fd)


@functools.cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
