"""The source of a run by content: which files there were, and what each held.

`plan` says what would be taken and why the rest wouldn't; `take` stores it; `checkout` lays it out
again, exactly. The list itself is a blob, named by its digest, so two snapshots with the same files
are one. Folders without any such file are listed by name: programs expect to write into them. What
is left out is decided in ignored.py; file contents are blobs.py's.
"""

from __future__ import annotations

import errno
import json
import os
import secrets
import shutil
import stat
from collections import Counter
from collections.abc import Iterable
from hashlib import sha256
from typing import Any, NamedTuple

from outlast.artifacts.blobs import Batch, Blobs, Progress
from outlast.artifacts.copying import copied
from outlast.artifacts.ignored import (
    OF_COURSE,
    OWN_FOLDER,
    SECRET,
    IgnoreRules,
    is_environment,
    never,
)
from outlast.artifacts.inside import (
    Found,
    create_beneath,
    make_folders,
    open_beneath,
    walk_beneath,
)
from outlast.artifacts.unchanged import Unchanged
from outlast.errors import Conflict, Corrupt, DiskFull, Invalid, NotFound, OutlastError, Unreachable

FORMAT = 1
LIMIT_BYTES = 2_000_000_000
LIMIT_FILES = 50_000
MEMORY = "snapshots"  # beside the blobs: what unchanged.py remembers

_LINK_TARGET_BYTES = 4096
_REASONS_TOLD = 6  # to the user, in the run's spec; a tree may have an ignore file in each folder
_PATHS_TOLD = 3  # of each


class SnapshotEntry(NamedTuple):
    """One file, or one link that stays inside the tree (its content is its target)."""

    path: str
    size_bytes: int
    sha256: str
    mode: int  # with the kind of file, as in stat

    @property
    def is_link(self) -> bool:
        return stat.S_ISLNK(self.mode)


class LeftOut(NamedTuple):
    """Something that isn't part of a snapshot; a folder's path ends with '/'."""

    path: str
    reason: str


class Snapshot(NamedTuple):
    """Files by content, sorted by path."""

    digest: str
    entries: tuple[SnapshotEntry, ...]
    left_out: tuple[LeftOut, ...] = ()  # known to whoever took it; not part of the digest
    empty: tuple[str, ...] = ()  # folders in which nothing of it lies, sorted

    @property
    def size_bytes(self) -> int:
        return sum(entry.size_bytes for entry in self.entries)


class Plan(NamedTuple):
    """What `take` would do."""

    files: tuple[Found, ...]
    left_out: tuple[LeftOut, ...]
    ignore_file: str  # where to write what else shall be left out
    empty: tuple[str, ...] = ()

    @property
    def size_bytes(self) -> int:
        return sum(found.stat.st_size for found in self.files)


def plan(folder: str, *, home: str | None = None, limit_files: int | None = None) -> Plan:
    """List what a snapshot of `folder` would hold and what it wouldn't, with the reason for each.

    `home` (Outlast's own folder) is left out when it lies inside. The walk gives up after twice
    `limit_files`. Raises NotFound, or Invalid for an ignore file or a folder that can't be read.
    """
    root = _open_root(folder)
    try:
        rules = IgnoreRules(root)
        sorting = _Sorting(root, rules, _identity(home))
        files: list[Found] = []
        for found in walk_beneath(root, sorting.enter):
            if sorting.takes(found):
                files.append(found)
                if limit_files is not None and len(files) > 2 * limit_files:
                    break
    finally:
        os.close(root)
    files.sort(key=lambda found: found.path)
    empty = _empty(sorting.entered, files)
    return Plan(tuple(files), tuple(sorted(sorting.left_out)), rules.file_name, empty)


def take(
    folder: str,
    blobs: Blobs,
    *,
    home: str | None = None,
    limit_bytes: int = LIMIT_BYTES,
    limit_files: int = LIMIT_FILES,
    progress: Progress | None = None,
) -> Snapshot:
    """Store the files of `folder` and return the snapshot; files known by content aren't read.

    `home` is Outlast's own folder (default: the one that holds the blobs).
    Raises Invalid beyond a limit, naming the largest folders, and for a file that can't be read;
    DiskFull or Unreachable as `Blobs.put` does. There is no snapshot then, only blobs without use.
    """
    home = os.path.dirname(blobs.folder) if home is None else home
    planned = plan(folder, home=home, limit_files=limit_files)
    _check_limits(planned, folder, limit_bytes, limit_files)
    unchanged = Unchanged(os.path.join(home, MEMORY), folder)
    entries: list[SnapshotEntry] = []
    gone: list[LeftOut] = []
    root = _open_root(folder)
    try:
        with blobs.batch() as batch:
            done, total = 0, planned.size_bytes
            for found in planned.files:
                try:
                    entries.append(_stored(root, found, blobs, batch, unchanged))
                except NotFound:
                    gone.append(LeftOut(found.path, "vanished meanwhile"))
                done += found.stat.st_size
                if progress is not None:
                    progress(done, total, found.path)
            description = _described(entries, planned.empty)
            digest = batch.put_bytes(description).sha256
    finally:
        os.close(root)
    unchanged.save()
    return Snapshot(digest, tuple(entries), planned.left_out + tuple(gone), planned.empty)


def load(digest: str, blobs: Blobs) -> Snapshot:
    """The snapshot of this digest. Raises NotFound, or Corrupt when it isn't whole."""
    with open(blobs.open(digest), "rb") as file:
        description = file.read()
    if sha256(description).hexdigest() != digest:
        raise Corrupt(f"the list of snapshot {digest[:12]} is damaged", sha256=digest)
    try:
        data: dict[str, Any] = json.loads(description)
        entries = tuple(SnapshotEntry(*item) for item in data["files"])
        empty = tuple(str(path) for path in data.get("empty", ()))
    except (ValueError, KeyError, TypeError) as error:
        raise Corrupt(f"blob {digest[:12]} isn't the list of a snapshot: {error!r}") from None
    return Snapshot(digest, entries, empty=empty)


def told(left_out: Iterable[LeftOut]) -> tuple[str, ...]:
    """What a user should know of it, a reason each: "data/ and 2 more (ignored by .gitignore)".

    What everybody leaves out (version control, caches, what runs write) isn't told; secrets are
    told first.
    """
    by_reason: dict[str, list[str]] = {}
    for path, reason in left_out:
        if reason not in OF_COURSE:
            by_reason.setdefault(reason, []).append(path)
    reasons = sorted(by_reason, key=lambda reason: (reason != SECRET, -len(by_reason[reason])))
    lines = []
    for reason in reasons[:_REASONS_TOLD]:
        paths = by_reason[reason]
        named = ", ".join(path.encode("utf-8", "replace").decode() for path in paths[:_PATHS_TOLD])
        more = f" and {len(paths) - _PATHS_TOLD} more" if len(paths) > _PATHS_TOLD else ""
        lines.append(f"{named}{more} ({reason.encode('utf-8', 'replace').decode()})")
    others = sum(len(by_reason[reason]) for reason in reasons[_REASONS_TOLD:])
    return (*lines, f"{others} more, for other reasons") if others else tuple(lines)


def checkout(snapshot: Snapshot, blobs: Blobs, target: str) -> None:
    """Lay the snapshot out as the folder `target`, which mustn't exist or must be empty.

    Every content is hashed on the way. The files are copies (or reflinks): whoever works there may
    write them. Raises Conflict when something is in `target`, NotFound or Corrupt for a content,
    DiskFull or Unreachable; there is no `target` then, or it is as empty as before.
    """
    target = os.path.abspath(target)
    if os.path.lexists(target) and not (os.path.isdir(target) and not os.listdir(target)):
        raise Conflict(f"{target} isn't an empty folder", hint="choose a folder that isn't there")
    # Under another name first: after a crash there is all of it or nothing.
    partial = f"{target}.{secrets.token_hex(4)}.partial"
    try:
        os.mkdir(partial)
        root = _open_root(partial)
        try:
            # Links last, so that no file is written while one could lead elsewhere.
            for entry in sorted(snapshot.entries, key=lambda entry: entry.is_link):
                _laid_out(root, entry, blobs)
            for path in snapshot.empty:
                os.close(make_folders(root, path.split("/")))
        finally:
            os.close(root)
        os.rename(partial, target)
    except BaseException as error:
        shutil.rmtree(partial, ignore_errors=True)
        if isinstance(error, OSError):
            raise _cannot_lay_out(error, snapshot, target) from None
        raise


def _cannot_lay_out(error: OSError, snapshot: Snapshot, target: str) -> OutlastError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return DiskFull(
            f"no room to lay out the snapshot in {target}",
            hint=f"{snapshot.size_bytes} bytes are needed",
        )
    return Unreachable(f"the snapshot can't be laid out in {target}: {error.strerror}")


class _Sorting:
    """Decides for each folder and file of one walk, and notes what is left out."""

    def __init__(self, root: int, rules: IgnoreRules, home: tuple[int, int] | None) -> None:
        self._root = root
        self._rules = rules
        self._home = home
        self.left_out: list[LeftOut] = []
        self.entered: list[tuple[str, ...]] = []

    def enter(self, names: tuple[str, ...], folder: int) -> bool:
        if names:
            reason = never(names, is_folder=True) or self._rules.reason(names, is_folder=True)
            if reason is None and is_environment(folder):
                reason = "Python environment"
            if reason is None and _same(os.fstat(folder)) == self._home:
                reason = OWN_FOLDER
            if reason is not None:
                self.left_out.append(LeftOut("/".join(names) + "/", reason))
                return False
            self.entered.append(names)
        self._rules.enter(names, folder)
        return True

    def takes(self, found: Found) -> bool:
        reason = never(found.names, is_folder=False) or self._rules.reason(
            found.names, is_folder=False
        )
        if reason is None and stat.S_ISLNK(found.stat.st_mode):
            reason = _why_not_link(self._root, found)
        elif reason is None and not stat.S_ISREG(found.stat.st_mode):
            reason = "not a regular file"
        if reason is not None:
            self.left_out.append(LeftOut(found.path, reason))
        return reason is None


def _empty(entered: Iterable[tuple[str, ...]], files: Iterable[Found]) -> tuple[str, ...]:
    """The deepest folders below which no file is taken."""
    needed = {found.names[:depth] for found in files for depth in range(1, len(found.names))}
    empty = []
    for names in sorted(entered, key=len, reverse=True):
        if names not in needed:
            empty.append("/".join(names))
            needed.update(names[:depth] for depth in range(1, len(names)))
    return tuple(sorted(empty))


def _why_not_link(root: int, found: Found) -> str | None:
    """A link is kept when it is relative and leads to something inside the tree."""
    try:
        target = os.readlink(found.path, dir_fd=root)
        # realpath follows what is there now; checkout makes the same links, and follows none.
        base = os.path.realpath(f"/proc/self/fd/{root}")
        real = os.path.realpath(os.path.join(base, found.path), strict=True)
    except OSError:
        return "link to nothing"
    if os.path.isabs(target):
        return "link with an absolute target"
    return None if real == base or real.startswith(base + "/") else "link out of the folder"


def _identity(path: str | None) -> tuple[int, int] | None:
    try:
        return None if path is None else _same(os.stat(path))
    except FileNotFoundError:
        return None


def _same(found: os.stat_result) -> tuple[int, int]:
    return found.st_dev, found.st_ino


def _open_root(folder: str) -> int:
    try:
        return os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise NotFound(f"there is no folder {folder!r}", path=folder) from None
    except OSError as error:
        raise Invalid.field("folder", folder, f"it can't be read: {error.strerror}") from None


def _stored(
    root: int, found: Found, blobs: Blobs, batch: Batch, unchanged: Unchanged
) -> SnapshotEntry:
    if stat.S_ISLNK(found.stat.st_mode):
        try:
            target = os.fsencode(os.readlink(found.path, dir_fd=root))
        except FileNotFoundError:
            raise NotFound(found.path) from None
        link = batch.put_bytes(target)
        return SnapshotEntry(found.path, link.size_bytes, link.sha256, stat.S_IFLNK | 0o777)
    # Without the set-id bits: those are about a user, not about a source.
    mode = stat.S_IFREG | found.stat.st_mode & 0o777
    known = unchanged.sha256(found.path, found.stat)
    if known is not None and blobs.keep(known, found.stat.st_size):
        return SnapshotEntry(found.path, found.stat.st_size, known, mode)
    fd = open_beneath(root, found.names)
    try:
        before = os.fstat(fd)
        stored = batch.put(fd)
        if _moment(os.fstat(fd)) == _moment(before):
            unchanged.remember(found.path, before, stored.sha256)
    finally:
        os.close(fd)
    return SnapshotEntry(found.path, stored.size_bytes, stored.sha256, mode)


def _moment(found: os.stat_result) -> tuple[int, int, int]:
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _described(entries: list[SnapshotEntry], empty: tuple[str, ...]) -> bytes:
    data: dict[str, Any] = {"format": FORMAT, "files": [list(entry) for entry in entries]}
    if empty:  # else the list is as it was before there was this field: the same digest
        data["empty"] = list(empty)
    return json.dumps(data, separators=(",", ":")).encode("ascii")


def _check_limits(planned: Plan, folder: str, limit_bytes: int, limit_files: int) -> None:
    files, size_bytes = len(planned.files) + len(planned.empty), planned.size_bytes
    if files <= limit_files and size_bytes <= limit_bytes:
        return
    largest = ", ".join(_largest(planned, by_bytes=size_bytes > limit_bytes))
    at_least = "more than " if files > 2 * limit_files else ""
    raise Invalid(
        f"the source folder {folder} is too large for a snapshot: {at_least}{files:,} files and "
        f"{size_bytes / 1e6:,.0f} MB, allowed are {limit_files:,} and {limit_bytes / 1e6:,.0f} MB; "
        f"the largest: {largest}",
        hint=f"name what the run doesn't need in {os.path.join(folder, planned.ignore_file)}, "
        "or run in a folder that holds only the source",
        files=files,
        size_bytes=size_bytes,
    )


def _largest(planned: Plan, *, by_bytes: bool) -> list[str]:
    """The three heaviest places, each as deep as nearly all of its weight lies."""
    sizes: Counter[tuple[str, ...]] = Counter()
    counts: Counter[tuple[str, ...]] = Counter()
    for found in planned.files:
        for depth in range(1, len(found.names) + 1):
            counts[found.names[:depth]] += 1
            sizes[found.names[:depth]] += found.stat.st_size
    weights = sizes if by_bytes else counts
    below: dict[tuple[str, ...], list[tuple[str, ...]]] = {}
    for place in weights:
        below.setdefault(place[:-1], []).append(place)
    shown = []
    for top in sorted(below.get((), []), key=lambda place: -weights[place])[:3]:
        place = top
        while heavy := [one for one in below.get(place, []) if weights[one] > 0.9 * weights[top]]:
            place = heavy[0]
        name = "/".join(place) + ("/" if place in below else "")
        shown.append(f"{name} ({counts[place]:,} files, {sizes[place] / 1e6:,.0f} MB)")
    return shown


def lay_file(root: int, names: tuple[str, ...], sha256: str, mode: int, blobs: Blobs) -> None:
    """Copy a stored content to a new file below the open folder `root`, and check it on the way.

    Raises NotFound or Corrupt for the content, Invalid when something of that name is there.
    """
    source = blobs.open(sha256)
    try:
        target = create_beneath(root, names, 0o600)
        try:
            if copied(source, target).sha256 != sha256:
                path = "/".join(names)
                raise Corrupt(f"{path}: blob {sha256[:12]} is damaged", sha256=sha256)
            os.fchmod(target, stat.S_IMODE(mode) & 0o777)
        finally:
            os.close(target)
    finally:
        os.close(source)


def _laid_out(root: int, entry: SnapshotEntry, blobs: Blobs) -> None:
    names = tuple(entry.path.split("/"))
    if not entry.is_link:
        lay_file(root, names, entry.sha256, entry.mode, blobs)
        return
    source = blobs.open(entry.sha256)
    try:
        _lay_link(root, names, entry, source)
    finally:
        os.close(source)


def _lay_link(root: int, names: tuple[str, ...], entry: SnapshotEntry, source: int) -> None:
    content = os.pread(source, _LINK_TARGET_BYTES, 0)
    if sha256(content).hexdigest() != entry.sha256:
        raise Corrupt(f"{entry.path}: blob {entry.sha256[:12]} is damaged", sha256=entry.sha256)
    folder = make_folders(root, names[:-1])
    try:
        os.symlink(content, os.fsencode(names[-1]), dir_fd=folder)
    except FileExistsError:
        raise Invalid.field("path", entry.path, "the snapshot names this twice") from None
    finally:
        os.close(folder)
