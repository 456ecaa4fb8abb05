"""Numbers as people say them: "3 m 20 s", "1.2 GB", "14:03:21", "2 processes".

Pure text; nothing here is parsed back. Sizes are decimal (1 GB = 1,000,000,000 bytes), times of day
are local. Standard library only.
"""

from __future__ import annotations

import time

NS_PER_S = 1_000_000_000


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
