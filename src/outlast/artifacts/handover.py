"""What another run put out, laid out in a working folder under the names that it had there.

Read from the store by content, never from where that run wrote it: what became of its folder since
doesn't matter. Which runs hand over to which is the spec's to say.
"""

from __future__ import annotations

import contextlib
import os

from outlast.artifacts.blobs import Blobs
from outlast.artifacts.inside import make_folders
from outlast.artifacts.snapshot import lay_file
from outlast.errors import Invalid, NotFound
from outlast.run.manifest import Manifest

MODE = 0o644


def lay_out(manifest: Manifest, path: str, blobs: Blobs, target: str) -> int:
    """Copy a file, or each file of a folder, that the manifest names into the folder `target`.

    A file that is there already gives way: what is handed over was asked for. Returns their number.
    Raises NotFound when the run put out no such thing, or a content isn't stored (any more), and
    Corrupt for a damaged one; some of the files may be there then.
    """
    entries = [entry for _name, entry in manifest.below(path)]
    if not entries:
        raise NotFound(f"run {manifest.run_id} put out nothing under {path!r}")
    root = os.open(target, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for entry in entries:
            names = tuple(entry.path.split("/"))
            _make_room(root, names)
            lay_file(root, names, entry.sha256, MODE, blobs)
    finally:
        os.close(root)
    return len(entries)


def _make_room(root: int, names: tuple[str, ...]) -> None:
    folder = make_folders(root, names[:-1])
    try:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(names[-1], dir_fd=folder)
    except IsADirectoryError:
        path = "/".join(names)
        raise Invalid.field("inputs", path, "the source has a folder of this name") from None
    finally:
        os.close(folder)
