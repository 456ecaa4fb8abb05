"""The file that keeps a session's terminal state: `screen.checkpoint` in the run's folder.

    one record (see outlast.journal.line): {"format":1,"engine","at","size":[columns,rows],
        "is_exact","timing","bytes","sum","crc"}
    then `bytes` bytes: a zstd frame of the engine's binary state; crc32 of them is `sum`

It saves reading a journal from its beginning, and nothing is lost with it: one that is missing,
damaged, of another engine or ahead of its journal counts as none. Replaced by rename.
"""

from __future__ import annotations

import os
import stat
import sys
from contextlib import suppress
from typing import Any, NamedTuple
from zlib import crc32

from outlast.errors import OutlastError
from outlast.journal.line import pack, unpack
from outlast.run.folder import SCREEN, RunFolder

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

FORMAT = 1
_HEAD_BYTES = 4096
_MOST_BYTES = 64 << 20  # of a state; 2,500 lines of 1,000 columns take 20 MB


class Checkpoint(NamedTuple):
    """What was true of the terminal when it had taken the output up to `at`."""

    at: int
    columns: int
    rows: int
    is_exact: bool  # the engine has seen the stream from its beginning
    timing: int  # offset of the first record of `timing` that isn't in the state
    state: bytes


def write(folder: RunFolder, engine: str, checkpoint: Checkpoint) -> None:
    """Replace the folder's checkpoint, all or nothing; raises OSError."""
    frame = zstd.compress(checkpoint.state, level=1)
    head = pack(
        {
            "format": FORMAT,
            "engine": engine,
            "at": checkpoint.at,
            "size": [checkpoint.columns, checkpoint.rows],
            "is_exact": checkpoint.is_exact,
            "timing": checkpoint.timing,
            "bytes": len(frame),
            "sum": crc32(frame),
        }
    )
    path = folder.file(SCREEN)
    temporary = f"{path}.new"
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        with open(os.open(temporary, flags, 0o600), "wb") as file:
            file.write(head + frame)
        os.rename(temporary, path)
    except OSError:
        with suppress(OSError):
            os.unlink(temporary)
        raise


def load(folder: RunFolder, engine: str) -> Checkpoint | None:
    """The folder's checkpoint; None when there is none that this engine can go on from."""
    try:
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        with open(os.open(folder.file(SCREEN), flags), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                return None
            return _parsed(file.readline(_HEAD_BYTES), file.read(_MOST_BYTES), engine)
    except (OSError, OutlastError, zstd.ZstdError, LookupError, TypeError, ValueError):
        return None  # the journal tells the same, only slower


def _parsed(line: bytes, frame: bytes, engine: str) -> Checkpoint | None:
    head: dict[str, Any] = unpack(line)
    if head["format"] != FORMAT or head["engine"] != engine:
        return None
    if len(frame) != head["bytes"] or crc32(frame) != head["sum"]:
        return None
    columns, rows = head["size"]
    # A frame that asks for more room than any state takes is refused before it gets any.
    if (zstd.get_frame_info(frame).decompressed_size or 0) > _MOST_BYTES:
        return None
    state = zstd.ZstdDecompressor().decompress(frame, _MOST_BYTES)
    at, timing = int(head["at"]), int(head["timing"])
    return Checkpoint(at, int(columns), int(rows), head["is_exact"] is True, timing, state)


def remove(folder: RunFolder) -> None:
    """Forget the folder's checkpoint; one that can't be removed is left."""
    with suppress(OSError):
        os.unlink(folder.file(SCREEN))
