"""Store the outputs that a run's manifest names, so that the run may be called Completed.

The supervisor hashed them when the run's last process was over; here each is read again, and stored
only if it is still the same. What is stored already is skipped, so a commit that broke off goes on
where it was. The rows in the database, and whether to try again, are the caller's.
"""

from __future__ import annotations

import os

from outlast.artifacts.blobs import Batch, Blobs, Progress
from outlast.artifacts.inside import open_beneath
from outlast.errors import Conflict, Invalid, NotFound, Unreachable
from outlast.run.folder import MANIFEST, RunFolder
from outlast.run.manifest import Entry, Manifest

_NAMED = 5  # files that a message names one by one


def store(folder: RunFolder, blobs: Blobs, *, progress: Progress | None = None) -> Manifest:
    """Store every file of the run's manifest; all are on disk when this returns.

    Safe to repeat. Raises NotFound or Corrupt for the manifest itself; Conflict naming the files
    that changed or vanished (all others are stored then); DiskFull or Unreachable for the storage,
    and Unreachable when the folder that a file was in can't be reached: then trying again may help.
    """
    manifest = read_manifest(folder)
    problems: list[tuple[str, str]] = []
    done, total = 0, manifest.size_bytes
    with blobs.batch() as batch:
        for entry in manifest.entries:
            try:
                _store_one(entry, blobs, batch)
            except (Conflict, Invalid, NotFound) as error:
                problems.append((entry.path, error.message))
            done += entry.size_bytes
            if progress is not None:
                progress(done, total, entry.path)
    if problems:
        raise _changed(problems, len(manifest.entries))
    return manifest


def read_manifest(folder: RunFolder) -> Manifest:
    """The manifest that the run's supervisor left. Raises NotFound or Corrupt."""
    with open(open_beneath(folder.path, (MANIFEST,)), "rb") as file:
        return Manifest.from_json(file.read())


def _store_one(entry: Entry, blobs: Blobs, batch: Batch) -> None:
    if blobs.keep(entry.sha256, entry.size_bytes):
        return
    place, names = _place(entry)
    root = _open_place(place)
    try:
        fd = open_beneath(root, names)
    except NotFound:
        raise NotFound("it is gone") from None
    finally:
        os.close(root)
    try:
        size_bytes = os.fstat(fd).st_size
        if size_bytes != entry.size_bytes:
            raise Conflict(f"it has {size_bytes} bytes now, it had {entry.size_bytes}")
        try:
            batch.put(fd, entry.sha256)
        except Conflict:
            raise Conflict("its content changed after the run's end") from None
    finally:
        os.close(fd)


def _place(entry: Entry) -> tuple[str, tuple[str, ...]]:
    """Where to begin, and the names below that the job could have made: no link is followed there.

    The working folder (or uploads/) for what lies in it; for a file that was declared elsewhere,
    the folder that it is in.
    """
    source = os.path.normpath(entry.source)
    if source.endswith("/" + entry.path) and source != "/" + entry.path:
        return source[: -len(entry.path) - 1], tuple(entry.path.split("/"))
    return os.path.dirname(source), (os.path.basename(source),)


def _open_place(place: str) -> int:
    try:
        return os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        # An unmounted disk looks like this, so it isn't yet said that the outputs are gone.
        raise Unreachable(
            f"the folder {place}, where the run left outputs, can't be reached: {error.strerror}",
            hint="check that its disk is there; trying again is safe",
            folder=place,
        ) from None


def _changed(problems: list[tuple[str, str]], count: int) -> Conflict:
    named = "; ".join(f"{path}: {problem}" for path, problem in problems[:_NAMED])
    more = f"; and {len(problems) - _NAMED} more" if len(problems) > _NAMED else ""
    return Conflict(
        f"{len(problems)} of {count} outputs are no longer what the run left: {named}{more}",
        hint="the others are stored; run again, or put these files back and push the outputs",
        paths=[path for path, _ in problems],
    )
