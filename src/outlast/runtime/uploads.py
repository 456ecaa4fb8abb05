"""Files that a script hands over: copied into the run's `uploads/`, whole or not at all.

A name that exists is refused, so that nothing that was handed over ever changes. Names stay below
the folder; links among the sources are read, links in the target are not followed.
"""

from __future__ import annotations

import os
import re
import time
from typing import Any, BinaryIO, Iterator, Optional, Union

from outlast.errors import Conflict, Invalid, NotFound
from outlast.run.folder import UPLOADS, RunFolder

COPY_BYTES = 1 << 20

_FORBIDDEN = re.compile(r"[\x00-\x1f\x7f\\:]")


def copy_file(
    folder: RunFolder,
    name: str,
    source: Union[str, os.PathLike, BinaryIO],  # type: ignore[type-arg]
) -> int:
    """Copy a file, or the rest of a binary stream, to the upload `name`; return its bytes."""
    target = _target(folder, name)
    if hasattr(source, "read"):
        return _write(target, name, source)
    try:
        with open(source, "rb") as file:
            return _write(target, name, file)
    except IsADirectoryError:
        remedy = "it is a folder; give it to upload_folder"
        raise Invalid.field("path", os.fspath(source), remedy) from None
    except FileNotFoundError:
        raise NotFound(f"path = {os.fspath(source)!r}: no such file") from None


def save_figure(folder: RunFolder, name: str, plot: Any) -> int:
    """Save a matplotlib figure, or what pyplot shows at present, as the PNG upload `name`."""
    if not hasattr(plot, "savefig"):
        raise Invalid.field("plot", plot, "give a matplotlib figure, or matplotlib.pyplot")
    from io import BytesIO

    buffer = BytesIO()
    plot.savefig(buffer, format="png", bbox_inches="tight")
    buffer.seek(0)
    return _write(_target(folder, name), name, buffer)


def image_name(folder: RunFolder, name: str, path: Optional[str]) -> str:
    """A free upload name for an image called `name`, as images/loss_1700000000.png."""
    ending = os.path.splitext(path)[1] if path else ".png"
    stem = "images/" + re.sub(r"[^A-Za-z0-9._-]+", "_", name)[:100]
    first = f"{stem}_{int(time.time())}{ending}"
    return (
        first
        if not os.path.lexists(folder.file(f"{UPLOADS}/{first}"))
        else (f"{stem}_{time.time_ns()}{ending}")
    )


def files_below(path: str) -> Iterator[str]:
    """Every regular file below a folder, in order; links to folders are not followed."""
    for parent, folders, files in os.walk(path):
        folders.sort()
        for file in sorted(files):
            full = os.path.join(parent, file)
            if os.path.isfile(full):
                yield full


def _target(folder: RunFolder, name: str) -> str:
    parts = name.split("/")
    if any(part in ("", ".", "..") or len(part.encode()) > 255 for part in parts):
        raise Invalid.field("name", name, "give a relative path without empty parts, '.' or '..'")
    if _FORBIDDEN.search(name):
        raise Invalid.field("name", name, "leave out control characters, ':' and backslashes")
    return folder.file(os.path.join(UPLOADS, *parts))


def _write(target: str, name: str, source: Any) -> int:
    os.makedirs(os.path.dirname(target), exist_ok=True)
    temporary = f"{target}.part-{os.getpid()}-{os.urandom(2).hex()}"
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        size_bytes = 0
        with os.fdopen(fd, "wb") as file:
            while True:
                piece = source.read(COPY_BYTES)
                if not piece:
                    break
                file.write(piece)
                size_bytes += len(piece)
        # A link, not a rename: it fails when another thread or rank was first with this name.
        os.link(temporary, target)
    except FileExistsError:
        raise Conflict(
            f"name = {name!r}: this run has such an upload already", hint="choose another name"
        ) from None
    finally:
        os.unlink(temporary)
    return size_bytes
