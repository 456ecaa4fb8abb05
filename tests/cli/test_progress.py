"""The progress bar: drawn on a terminal, and nowhere else."""

from __future__ import annotations

import io

import pytest

from outlast.cli import progress


class Screen(io.StringIO):
    """What a terminal is sent."""

    def isatty(self) -> bool:
        return True


def test_a_terminal_sees_how_far_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Screen()
    monkeypatch.setattr("sys.stderr", screen)
    with progress.bar("download", 1_000_000) as advance:
        for _ in range(10_000):
            advance(100)
    drawn = screen.getvalue()
    assert "download (1 MB)" in drawn
    assert "50%" in drawn
    assert "100%" in drawn
    assert drawn.count("\r") <= progress.STEPS + 2


@pytest.mark.parametrize("total_bytes", [0, 1])
def test_odd_amounts_are_no_error(monkeypatch: pytest.MonkeyPatch, total_bytes: int) -> None:
    monkeypatch.setattr("sys.stderr", Screen())
    with progress.bar("download", total_bytes) as advance:
        advance(5)


def test_the_line_is_ended_when_the_download_breaks(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Screen()
    monkeypatch.setattr("sys.stderr", screen)
    with pytest.raises(OSError, match="full"), progress.bar("download", 10):
        raise OSError("full")
    assert "\n" in screen.getvalue()


def test_a_pipe_gets_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    pipe = io.StringIO()
    monkeypatch.setattr("sys.stderr", pipe)
    with progress.bar("download", 10) as advance:
        advance(10)
    assert pipe.getvalue() == ""
