"""Numbers read as people say them."""

from __future__ import annotations

import time

import pytest

from outlast import units
from outlast.errors import Invalid


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "0 s"),
        (0, "0 s"),
        (0.085, "85 ms"),
        (0.9999, "1 s"),
        (1, "1 s"),
        (12.34, "12.3 s"),
        (59.94, "59.9 s"),
        (59.96, "1 m"),
        (200, "3 m 20 s"),
        (3600, "1 h"),
        (7500, "2 h 5 m"),
        (86_400 * 3 + 4 * 3600, "3 d 4 h"),
        (30 * 86_400, "30 d"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert units.duration(seconds) == text


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [
        (0, "0 bytes"),
        (1, "1 byte"),
        (999, "999 bytes"),
        (1000, "1 KB"),
        (64_000, "64 KB"),
        (999_600, "1 MB"),
        (1_234_567_890, "1.2 GB"),
        (150_000_000, "150 MB"),
        (10**16, "10000 TB"),
    ],
)
def test_sizes(size_bytes: int, text: str) -> None:
    assert units.size(size_bytes) == text


def test_the_date_is_said_only_when_it_is_not_today(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    now_ns = 1_800_000_000 * units.NS_PER_S
    assert units.clock(now_ns, now_ns=now_ns) == "08:00:00"
    assert units.clock(now_ns - 86_400 * units.NS_PER_S, now_ns=now_ns) == "2027-01-14 08:00:00"


def test_counts() -> None:
    assert units.count(1, "process", "processes") == "1 process"
    assert units.count(2, "process", "processes") == "2 processes"
    assert units.count(1204, "file") == "1,204 files"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("90s", 90), ("1.5 h", 5400), ("2h30m", 9000), ("3 m 20 s", 200), ("250ms", 0.25)],
)
def test_durations_are_read_as_they_are_written(text: str, seconds: float) -> None:
    assert units.parse_duration("--max-time", text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [
        ("1024", 1024),
        ("64 KB", 64_000),
        ("1.5GB", 1_500_000_000),
        ("2GiB", 2**31),
        ("8g", 8 * 10**9),
    ],
)
def test_sizes_are_read_as_they_are_written(text: str, size_bytes: int) -> None:
    assert units.parse_size("--memory", text) == size_bytes


@pytest.mark.parametrize("text", ["", "soon", "-5s", "5x", "1h 30", "5 s!", "s"])
def test_what_is_no_duration_is_refused_by_name(text: str) -> None:
    with pytest.raises(Invalid, match="--max-time"):
        units.parse_duration("--max-time", text)


@pytest.mark.parametrize("text", ["", "lots", "1GB 2MB", "-1", "1 h"])
def test_what_is_no_size_is_refused_by_name(text: str) -> None:
    with pytest.raises(Invalid, match="--memory"):
        units.parse_size("--memory", text)
