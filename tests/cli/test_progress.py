"""The progress bar: drawn on a terminal, cleared at the end, and nowhere else."""

from __future__ import annotations

import io

import pytest

from outlast.cli import progress


class Screen(io.StringIO):
    """What a terminal is sent."""

    def isatty(self) -> bool:
        return True


def test_a_line_says_how_far_it_is() -> None:
    assert progress.line("download", 50_000_000, 100_000_000, 5.0) == (
        "download " + "━" * 15 + "─" * 15 + " 50 MB of 100 MB, 10 MB/s"
    )


@pytest.mark.parametrize(("done", "total", "filled"), [(0, 0, 0), (7, 5, 30), (1, 10**12, 0)])
def test_odd_amounts_have_a_bar_of_the_same_length(done: int, total: int, filled: int) -> None:
    drawn = progress.line("x", done, total, 0.0).split()[1]
    assert drawn == "━" * filled + "─" * (30 - filled)


def test_it_is_drawn_now_and_then_and_cleared(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Screen()
    times = iter([0.0, 0.05, 0.2, 0.25])
    monkeypatch.setattr("sys.stderr", screen)
    monkeypatch.setattr("time.monotonic", lambda: next(times))
    with progress.bar("download", 1000) as advance:
        for _ in range(3):
            advance(100)
    assert screen.getvalue().count("download") == 1
    assert "200 bytes of 1 KB" in screen.getvalue()
    assert screen.getvalue().endswith("\r\x1b[K")


def test_it_is_cleared_when_the_download_breaks(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Screen()
    monkeypatch.setattr("sys.stderr", screen)
    with pytest.raises(OSError, match="full"), progress.bar("download", 10):
        raise OSError("full")
    assert screen.getvalue() == "\r\x1b[K"


def test_a_pipe_gets_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    pipe = io.StringIO()
    monkeypatch.setattr("sys.stderr", pipe)
    with progress.bar("download", 10) as advance:
        advance(10)
    assert pipe.getvalue() == ""
