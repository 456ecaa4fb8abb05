"""Read, copy and hash the files of a dataset, wherever they lie.

A local file's sha256 is remembered by device, inode, size and times (`Hashes`), so that data that
nobody touched are read once. A URL stands for its content by what its server says of it (ETag,
date); where it says nothing, it is read. What is copied is whole, or it isn't there.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import http.client
import json
import os
import secrets
import shutil
import sqlite3
import time
from typing import Any, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Tuple
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, OpenerDirector, Request, build_opener

from outlast.data.files import Found, filesystem
from outlast.errors import Conflict, DiskFull, NotFound, Unreachable

PIECE_BYTES = 1 << 20
SILENCE_S = 60.0
TRIES = 3
PAUSE_S = 1.0
_YOUNG_NS = 2_000_000_000  # a file may change again within one tick of its clock


class Facts(NamedTuple):
    """What a dataset holds now."""

    digest: str
    files: int
    size_bytes: int


def facts(files: Sequence[Found], hashes: Optional[Hashes] = None) -> Facts:
    """Name, size and content of every file in one digest. Raises NotFound, Unreachable."""
    told = []
    for file in files:
        mark, size_bytes = identity(file, hashes)
        told.append((file.name, size_bytes, mark))
    return Facts(digest_of(told), len(files), sum(max(size, 0) for _, size, _ in told))


def digest_of(files: Sequence[Tuple[str, int, str]]) -> str:
    """The digest of (name, size in bytes, sha256 or other mark) of every file, in any order."""
    hasher = hashlib.sha256()
    for file in sorted(files):
        hasher.update(json.dumps(file).encode() + b"\n")
    return hasher.hexdigest()


def identity(file: Found, hashes: Optional[Hashes] = None) -> Tuple[str, int]:
    """What changes when the content does, and the size in bytes (-1: not told)."""
    if file.is_local:
        return (hashes.of if hashes is not None else _hashed)(file.path)
    if urlsplit(file.path).scheme not in ("http", "https"):
        return _of_filesystem(file.path)
    with _requested(file.path, "HEAD") as answer:
        told = _told(answer)
    if told[0]:
        return told
    hasher, size_bytes = hashlib.sha256(), 0
    for piece in pieces(file):
        hasher.update(piece)
        size_bytes += len(piece)
    return hasher.hexdigest(), size_bytes


def _told(answer: Any) -> Tuple[str, int]:
    size = answer.headers.get("Content-Length", "")
    mark = answer.headers.get("ETag") or answer.headers.get("Last-Modified") or ""
    return (mark if answer.status == 200 else ""), int(size) if size.isdigit() else -1


def _of_filesystem(url: str) -> Tuple[str, int]:
    system = filesystem(url)
    try:
        info = system.info(url.split("://", 1)[1])
        return str(system.ukey(url.split("://", 1)[1])), int(info.get("size") or -1)
    except Exception as error:  # each filesystem raises errors of its own
        raise NotFound(f"{url} can't be read: {type(error).__name__}: {error}") from None


def pieces(file: Found) -> Iterator[bytes]:
    """The content. Raises NotFound, or Unreachable for one that broke off."""
    if file.is_local:
        with _opened(file.path) as source:
            yield from iter(lambda: source.read(PIECE_BYTES), b"")
        return
    if urlsplit(file.path).scheme in ("http", "https"):
        yield from _fetched(file.path)
        return
    system = filesystem(file.path)
    try:
        with system.open(file.path.split("://", 1)[1], "rb") as source:
            yield from iter(lambda: source.read(PIECE_BYTES), b"")
    except Exception as error:  # each filesystem raises errors of its own
        raise Unreachable(f"{file.path} can't be read: {type(error).__name__}: {error}") from None


def _fetched(url: str) -> Iterator[bytes]:
    with _requested(url, "GET") as answer:
        left = int(answer.headers.get("Content-Length") or -1)
        try:
            for piece in iter(lambda: answer.read(PIECE_BYTES), b""):
                left -= len(piece)
                yield piece
        except (OSError, http.client.HTTPException) as error:
            raise Unreachable(f"{url} broke off: {error!r}") from None
    if left > 0:
        raise Unreachable(f"{url} broke off {left} bytes before its end")


class _WebOnly(HTTPRedirectHandler):
    """A redirect leads to the web, and nowhere else."""

    def redirect_request(
        self, req: Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> Optional[Request]:
        if urlsplit(newurl).scheme not in ("http", "https"):
            raise HTTPError(newurl, code, "it leads out of the web", headers, fp)
        made = super().redirect_request(req, fp, code, msg, headers, newurl)
        if made is not None and req.get_method() == "HEAD":
            made.method = "HEAD"
        return made


def _opener() -> OpenerDirector:
    return build_opener(_WebOnly)


def _requested(url: str, method: str) -> Any:
    """The answer, which is to be closed. Tried again when the line breaks or the server is busy."""
    request = Request(url, method=method, headers={"Accept-Encoding": "identity"})
    for left in reversed(range(TRIES)):
        try:
            return _opener().open(request, timeout=SILENCE_S)
        except HTTPError as error:
            error.close()
            if method == "HEAD" and error.code in (403, 405, 501):
                return contextlib.closing(_Nothing())
            if error.code < 500 or not left:
                what = "there is no such file" if error.code in (404, 410) else str(error.reason)
                kind = NotFound if error.code < 500 else Unreachable
                raise kind(f"{url}: {what} (HTTP {error.code})") from None
        except (URLError, OSError, http.client.HTTPException) as error:
            if not left:
                reason = getattr(error, "reason", error)
                raise Unreachable(f"{url} can't be reached: {reason}") from None
        time.sleep(PAUSE_S)  # nobody tells when a server is back
    raise AssertionError("the last try returns or raises")


class _Nothing:
    """The answer of a server that answers no HEAD."""

    status = 0
    headers: Mapping[str, str] = {}

    def close(self) -> None:
        """There is nothing to close."""


def fetch(file: Found, target: str) -> int:
    """Copy a file to `target`, whole or not at all; returns its size in bytes.

    Raises NotFound, Unreachable, DiskFull; nothing stands at `target` then that wasn't there.
    """
    partial = f"{target}.part-{os.getpid()}-{secrets.token_hex(2)}"
    os.makedirs(os.path.dirname(target), exist_ok=True)
    size_bytes = 0
    try:
        if file.is_local:
            with _opened(file.path):  # for its error
                shutil.copyfile(file.path, partial)
            size_bytes = os.path.getsize(partial)
        else:
            with open(partial, "xb") as copy:
                for piece in pieces(file):
                    copy.write(piece)
                    size_bytes += len(piece)
        os.rename(partial, target)
    except BaseException as error:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(partial)
        if isinstance(error, OSError):
            raise _explained(error, target) from None
        raise
    return size_bytes


def _explained(error: OSError, path: str) -> Exception:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DiskFull(f"no room for {path}")
    return Unreachable(f"{path} can't be written: {error.strerror or error}")


def _opened(path: str) -> Any:
    try:
        return open(path, "rb")
    except FileNotFoundError:
        raise NotFound(f"{path}: there is no such file on this machine") from None
    except OSError as error:
        raise Unreachable(f"{path} can't be read: {error.strerror}") from None


def _hashed(path: str) -> Tuple[str, int]:
    hasher, size_bytes = hashlib.sha256(), 0
    with _opened(path) as file:
        for piece in iter(lambda: file.read(PIECE_BYTES), b""):
            hasher.update(piece)
            size_bytes += len(piece)
    return hasher.hexdigest(), size_bytes


class Hashes:
    """Known sha256 of local files, in `home`/datasets/hashes.db; only ever a shortcut.

    Where it can't be used (a read-only disk, another that holds it for long) files are read.
    """

    def __init__(self, home: str) -> None:
        self._database: Optional[sqlite3.Connection] = None
        folder = os.path.join(home, "datasets")
        with contextlib.suppress(OSError, sqlite3.Error):
            os.makedirs(folder, mode=0o700, exist_ok=True)
            database = sqlite3.connect(os.path.join(folder, "hashes.db"), timeout=5.0)
            database.execute(
                "CREATE TABLE IF NOT EXISTS hashes (device INTEGER, inode INTEGER, size INTEGER,"
                " mtime_ns INTEGER, ctime_ns INTEGER, sha256 TEXT, PRIMARY KEY (device, inode))"
                " WITHOUT ROWID"
            )
            self._database = database

    def close(self) -> None:
        """Put what is new on the disk."""
        if self._database is not None:
            with contextlib.suppress(sqlite3.Error):
                self._database.commit()
            self._database.close()
            self._database = None

    def __enter__(self) -> Hashes:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def of(self, path: str) -> Tuple[str, int]:
        """The sha256 (hex) and size in bytes. Raises NotFound, Unreachable."""
        with _opened(path) as file:
            before = os.fstat(file.fileno())
        key = _signed(before.st_dev), _signed(before.st_ino)
        state = (before.st_size, before.st_mtime_ns, before.st_ctime_ns)
        known = self._known(key, state)
        if known:
            return known, before.st_size
        sha256, size_bytes = _hashed(path)
        after = os.stat(path)
        is_same = state == (after.st_size, after.st_mtime_ns, after.st_ctime_ns)
        if is_same and time.time_ns() - max(state[1:]) > _YOUNG_NS:
            self._keep((*key, *state, sha256))
        return sha256, size_bytes

    def _known(self, key: Tuple[int, int], state: Tuple[int, int, int]) -> str:
        if self._database is None:
            return ""
        query = (
            "SELECT sha256 FROM hashes WHERE device = ? AND inode = ? AND size = ?"
            " AND mtime_ns = ? AND ctime_ns = ?"
        )
        with contextlib.suppress(sqlite3.Error):
            row = self._database.execute(query, (*key, *state)).fetchone()
            return str(row[0]) if row else ""
        return ""

    def _keep(self, row: Tuple[Any, ...]) -> None:
        if self._database is not None:
            with contextlib.suppress(sqlite3.Error):
                self._database.execute("REPLACE INTO hashes VALUES (?, ?, ?, ?, ?, ?)", row)


def _signed(number: int) -> int:
    """As SQLite keeps whole numbers."""
    return number - (1 << 64) if number >= 1 << 63 else number


def download(files: Sequence[Found], folder: str, *, is_overwriting: bool = False) -> List[str]:
    """Copy files below `folder`, each by its name; returns their paths.

    Without `is_overwriting`, raises Conflict when one is there; nothing was copied then.
    """
    targets = [os.path.join(folder, *file.name.split("/")) for file in files]
    for target in targets:
        _check_below(target, folder)
        if os.path.lexists(target) and not is_overwriting:
            raise Conflict(f"{target} exists", hint="overwrite it, or choose another folder")
    for file, target in zip(files, targets):
        fetch(file, target)
    return targets


def _check_below(target: str, folder: str) -> None:
    """No link in the folder leads a file out of it."""
    real, root = os.path.realpath(os.path.dirname(target)), os.path.realpath(folder)
    if real != root and not real.startswith(root.rstrip("/") + "/"):
        raise Unreachable(f"{target} would be written to {real}: a link leads out of {folder}")
