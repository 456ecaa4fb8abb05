"""Is a file of a known format whole? Judged cheaply by its first and last bytes and its own index.

It finds what was cut off, not what is wrong inside: a damaged pixel passes. A format that isn't
known here passes as well. The extension says what a file wants to be.
"""

from __future__ import annotations

import json
import os
import struct
import zlib
from typing import Callable, Dict, List, Tuple

# A ZIP's end record lies in its last 22 bytes, before a comment of at most 65,535.
_ZIP_END_BYTES = 22
_ZIP_TAIL_BYTES = _ZIP_END_BYTES + 0xFFFF
_ZIP_ENTRY_BYTES = 46
# So much is read of an index or a header; larger ones pass unread.
_INDEX_BYTES = 64 << 20
# A gzip file tells that it is whole only by being unpacked: up to so many bytes of contents.
_GZIP_BYTES = 512 << 20
_WINDOW_BYTES = 1 << 20
_EDGE_BYTES = 4096
# What parsing a hostile header may raise.
_NOT_UNDERSTOOD = (
    struct.error, ValueError, LookupError, TypeError, AttributeError, SyntaxError, OverflowError,
    RecursionError, MemoryError,
)  # fmt: skip


def damage(fd: int, name: str) -> str:
    """What is wrong with the file, in words; "" when it looks whole. Raises OSError."""
    check = _CHECKS.get(os.path.splitext(name)[1].lower())
    if check is None:
        return ""
    size = os.fstat(fd).st_size
    if size == 0:
        return "it is empty"
    try:
        return check(fd, size)
    except _NOT_UNDERSTOOD:
        return "its header or index can't be understood"


def _read(fd: int, size_bytes: int, offset: int) -> bytes:
    data = os.pread(fd, size_bytes, offset)
    if len(data) != size_bytes:
        raise ValueError("shorter than it says")
    return data


def _zip(fd: int, size: int) -> str:
    if os.pread(fd, 2, 0) != b"PK":
        return "it isn't a ZIP archive, as its name says"
    tail_at = max(0, size - _ZIP_TAIL_BYTES)
    tail = _read(fd, size - tail_at, tail_at)
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or len(tail) - at < _ZIP_END_BYTES:
        return "it is truncated: the archive's index at the end is missing"
    count, index_bytes, index_at = struct.unpack_from("<HII", tail, at + 10)
    end_at = tail_at + at
    if 0xFFFFFFFF in (index_bytes, index_at) or count == 0xFFFF:
        locator = os.pread(fd, 20, end_at - 20) if end_at >= 20 else b""
        if locator[:4] == b"PK\x06\x07":
            (end_at,) = struct.unpack_from("<Q", locator, 8)
            count, index_bytes, index_at = struct.unpack_from("<QQQ", _read(fd, 56, end_at), 32)
    shift = end_at - index_bytes - index_at  # bytes put before the archive, as of an executable one
    if shift < 0:
        return "it is truncated: its index points behind its end"
    if index_bytes > _INDEX_BYTES:
        return ""
    return _zip_entries(fd, _read(fd, index_bytes, index_at + shift), count, shift)


def _zip_entries(fd: int, index: bytes, count: int, shift: int) -> str:
    at = 0
    for _ in range(count):
        if index[at : at + 4] != b"PK\x01\x02":
            return "its index is damaged"
        name, extra, comment = struct.unpack_from("<HHH", index, at + 28)
        (start,) = struct.unpack_from("<I", index, at + 42)
        if start != 0xFFFFFFFF and os.pread(fd, 4, start + shift) != b"PK\x03\x04":
            return "its index names a member that isn't there"
        at += _ZIP_ENTRY_BYTES + name + extra + comment
    return ""


def _torch(fd: int, size: int) -> str:
    # Before torch 1.6 a model was a row of pickles; they don't tell their length.
    return _zip(fd, size) if os.pread(fd, 2, 0) == b"PK" else ""


def _npy(fd: int, size: int) -> str:
    start = _read(fd, 12, 0) if size >= 12 else b""
    if start[:6] != b"\x93NUMPY":
        return "it isn't a NumPy array, as its name says"
    is_old = start[6] == 1
    (header_bytes,) = struct.unpack_from("<H" if is_old else "<I", start, 8)
    header_at = 10 if is_old else 12
    header = _read(fd, min(header_bytes, _WINDOW_BYTES), header_at).decode("latin1")
    import ast

    fields = ast.literal_eval(header.strip())
    kind, shape = fields["descr"], fields["shape"]
    if not isinstance(kind, str) or "O" in kind:
        return ""  # records and objects don't tell their size so simply
    item_bytes = int(kind.lstrip("<>|=")[1:].split("[")[0]) * (4 if "U" in kind else 1)
    for length in shape:
        item_bytes *= length
    missing = header_at + header_bytes + item_bytes - size
    return f"it is truncated: {missing} bytes of its array are missing" if missing > 0 else ""


def _parquet(fd: int, size: int) -> str:
    if os.pread(fd, 4, 0) not in (b"PAR1", b"PARE"):
        return "it isn't a Parquet file, as its name says"
    tail = os.pread(fd, 8, size - 8) if size >= 12 else b""
    if tail[4:] not in (b"PAR1", b"PARE"):
        return "it is truncated: its footer is missing"
    (footer_bytes,) = struct.unpack_from("<I", tail)
    return "its footer is damaged" if footer_bytes + 12 > size else ""


def _gzip(fd: int, size: int) -> str:
    if os.pread(fd, 2, 0) != b"\x1f\x8b":
        return "it isn't a gzip file, as its name says"
    unpack = zlib.decompressobj(31)
    at = unpacked_bytes = 0
    rest = b""
    while unpacked_bytes < _GZIP_BYTES:
        if not rest:
            rest = os.pread(fd, _WINDOW_BYTES, at)
            at += len(rest)
            if not rest:
                return "" if unpack.eof else "it is truncated: its end is missing"
        if unpack.eof:
            if not rest.strip(b"\0"):  # padding, as tape archives have it
                rest = b""
                continue
            unpack = zlib.decompressobj(31)  # several members one after the other
        try:
            unpacked_bytes += len(unpack.decompress(rest, _WINDOW_BYTES))
        except zlib.error:
            return "its contents are damaged"
        rest = unpack.unused_data if unpack.eof else unpack.unconsumed_tail
    return ""


_JSON_ENDS = {b"{": b"}", b"[": b"]", b'"': b'"'}


def _json(fd: int, size: int) -> str:
    head = os.pread(fd, _EDGE_BYTES, 0).lstrip(b"\xef\xbb\xbf \t\r\n")
    tail = os.pread(fd, _EDGE_BYTES, max(0, size - _EDGE_BYTES)).rstrip(b" \t\r\n\0")
    wanted = _JSON_ENDS.get(head[:1])
    if wanted is not None and (tail[-1:] != wanted or size == 1):
        return f"it is truncated: it begins with {head[:1].decode()} and has no end"
    return ""


def _png(fd: int, size: int) -> str:
    if os.pread(fd, 8, 0) != b"\x89PNG\r\n\x1a\n":
        return "it isn't a PNG picture, as its name says"
    tail = os.pread(fd, _EDGE_BYTES, max(0, size - _EDGE_BYTES))
    return "" if b"IEND\xaeB`\x82" in tail else "it is truncated: its last part is missing"


def _hdf5(fd: int, size: int) -> str:
    start = os.pread(fd, 64, 0)
    if start[:8] != b"\x89HDF\r\n\x1a\n":
        # A user block may come first; only then is the signature elsewhere.
        at = 512
        while at < size and at <= _WINDOW_BYTES:
            if os.pread(fd, 8, at) == b"\x89HDF\r\n\x1a\n":
                return ""
            at *= 2
        return "it isn't an HDF5 file, as its name says"
    offset_bytes = start[13] if start[8] < 2 else start[9]
    # Superblock 0 and 1: base, free space, end; 2 and 3: base, extension, end.
    fields_at = {0: 24, 1: 28}.get(start[8], 12)
    end_at = fields_at + 2 * offset_bytes
    if offset_bytes not in (2, 4, 8) or size < end_at + offset_bytes:
        return "it is truncated: its header is not complete"
    end = int.from_bytes(start[end_at : end_at + offset_bytes], "little")
    return f"it is truncated: {end - size} bytes are missing" if end > size else ""


def _safetensors(fd: int, size: int) -> str:
    if size < 8:
        return "it is truncated: its header is missing"
    (header_bytes,) = struct.unpack("<Q", _read(fd, 8, 0))
    if 8 + header_bytes > size:
        return "it is truncated: its header is not complete"
    if header_bytes > _INDEX_BYTES:
        return ""
    tensors = json.loads(_read(fd, header_bytes, 8))
    ends: List[int] = [
        value["data_offsets"][1] for name, value in tensors.items() if name != "__metadata__"
    ]
    missing = 8 + header_bytes + max(ends, default=0) - size
    return f"it is truncated: {missing} bytes of its tensors are missing" if missing > 0 else ""


_BY_CHECK: Tuple[Tuple[Callable[[int, int], str], str], ...] = (
    (_zip, ".zip .npz .keras .whl .jar .docx .xlsx"),
    (_torch, ".pt .pth .ckpt"),
    (_npy, ".npy"),
    (_parquet, ".parquet"),
    (_gzip, ".gz .tgz"),
    (_json, ".json .ipynb"),
    (_png, ".png"),
    (_hdf5, ".h5 .hdf5"),
    (_safetensors, ".safetensors"),
)
_CHECKS: Dict[str, Callable[[int, int], str]] = {
    ending: check for check, endings in _BY_CHECK for ending in endings.split()
}
