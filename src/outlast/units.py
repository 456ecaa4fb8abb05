"""Numbers as people say them: "3 m 20 s", "1.2 GB", "14:03:21", "2 processes"; and read from them.

Sizes are decimal (1 GB = 1,000,000,000 bytes; GiB = 2**30), times of day are local.
Standard library only.
"""

from __future__ import annotations

import re
import time
from typing import List, Tuple

from outlast.errors import Invalid

NS_PER_S = 1_000_000_000


_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_BYTES = {
    "": 1, "b": 1, "byte": 1, "bytes": 1,
    "k": 10**3, "kb": 10**3, "m": 10**6, "mb": 10**6, "g": 10**9, "gb": 10**9, "t": 10**12,
    "tb": 10**12, "ki": 2**10, "kib": 2**10, "mi": 2**20, "mib": 2**20, "gi": 2**30, "gib": 2**30,
    "ti": 2**40, "tib": 2**40,
}  # fmt: skip
_TERM = re.compile(r"(\d+(?:\.\d+)?|\.\d+)\s*([a-z]*)\s*")


def duration(seconds: float) -> str:
    """ "85 ms", "12.3 s", "3 m 20 s", "2 h 5 m", "3 d 4 h"; never negative."""
    seconds = max(0.0, seconds)
    if seconds < 0.9995:
        return "0 s" if seconds < 0.0005 else f"{seconds * 1000:.0f} ms"
    if seconds < 59.95:
        return f"{seconds:.1f}".rstrip("0").rstrip(".") + " s"
    whole = int(seconds + 0.5)
    for unit_s, unit, part_s, part in (
        (86_400, "d", 3_600, "h"),
        (3_600, "h", 60, "m"),
        (60, "m", 1, "s"),
    ):
        if whole >= unit_s:
            count, rest = divmod(whole, unit_s)
            return f"{count} {unit}" + (f" {rest // part_s} {part}" if rest // part_s else "")
    return f"{whole} s"


def between(start_ns: int, end_ns: int) -> str:
    """The duration from `start_ns` to `end_ns`; "0 s" when the clock went backwards."""
    return duration((end_ns - start_ns) / NS_PER_S)


def size(size_bytes: float) -> str:
    """ "812 bytes", "64 KB", "1.2 GB": at most two digits after the first three, decimal units."""
    value = float(max(0, size_bytes))
    if value < 1000:
        return count(int(value), "byte")
    for unit in ("KB", "MB", "GB", "TB"):
        value /= 1000
        if value < 999.5 or unit == "TB":
            break
    return (
        f"{value:.0f} {unit}" if value >= 99.95 else f"{value:.1f}".replace(".0", "") + f" {unit}"
    )


def clock(t_ns: int, *, now_ns: int) -> str:
    """The local time of day, with the date unless it is the day of `now_ns`."""
    moment = time.localtime(t_ns // NS_PER_S)
    is_today = moment[:3] == time.localtime(now_ns // NS_PER_S)[:3]
    return time.strftime("%H:%M:%S" if is_today else "%Y-%m-%d %H:%M:%S", moment)


def count(number: int, noun: str, plural: str = "") -> str:
    """ "1 file", "1,204 files", "2 processes" (give a plural that isn't made by "s")."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def number(value: float) -> str:
    """A measured value in at most 6 digits: "0.0213", "12", "1.5e-07", "nan"."""
    return f"{value:.6g}"


def parse_duration(field: str, text: str) -> float:
    """Seconds from "90", "90s", "1.5 h", "2h30m" or "3 m 20 s"; raises Invalid naming `field`."""
    remedy = 'give seconds, or a duration like "90s", "2h30m" or "3d"'
    terms = _terms(text)
    if not terms:
        raise Invalid.field(field, text, remedy)
    if len(terms) == 1 and not terms[0][1]:
        return terms[0][0]
    if any(unit not in _SECONDS for _, unit in terms):
        raise Invalid.field(field, text, remedy)
    return sum(value * _SECONDS[unit] for value, unit in terms)


def parse_size(field: str, text: str) -> int:
    """Bytes from "1024", "64 KB", "1.5GB" or "2GiB"; raises Invalid naming `field`."""
    terms = _terms(text)
    if len(terms) != 1 or terms[0][1] not in _BYTES:
        raise Invalid.field(field, text, 'give bytes, or a size like "500MB", "1.5GB" or "2GiB"')
    value, unit = terms[0]
    return int(value * _BYTES[unit])


def _terms(text: str) -> List[Tuple[float, str]]:
    """ "2h30m" as [(2, "h"), (30, "m")]; [] when it isn't a row of numbers with units."""
    text = text.strip().lower()
    if not text or _TERM.sub("", text):
        return []
    return [(float(value), unit) for value, unit in _TERM.findall(text)]
