"""A drawing against xterm.js itself: fed with the stream, and with the drawing of the engine.

Both terminals must show the same, then get the rest of the stream, and show the same again.
"""

from __future__ import annotations

import pytest

pytest.importorskip("pyghostty", reason="no engine is made for this machine")

from outlast.sessions.engine.ghostty import Engine
from tests.sessions.recording import Stream
from tests.sessions.streams import COLUMNS, ROWS, SHORT, encoded, recorded, usual
from tests.sessions.xterm import TELL, Xterm, data, differences, size, xterm

__all__ = ["xterm"]

# What isn't the same, and why: xterm.js and the engine read the stream itself differently.
KNOWN = {
    "a shape left by the alternate screen": "the engine keeps a cursor's shape for each screen",
    "scrolled up by a command": "the engine keeps what CSI S scrolls away, xterm.js drops it",
    "saved, then scrolled": "xterm.js moves a saved cursor with the line it is on",
    "margins and another screen": "xterm.js keeps margins for each screen",
    "tmux 3/4": "fewer rows, not yet drawn anew: xterm.js drops lines below the cursor first",
}


def steps(stream: Stream, start: int, end: int) -> list[dict[str, object]]:
    """What a terminal is given of a stream between two offsets."""
    made: list[dict[str, object]] = []
    at = start
    for offset, columns, rows in stream.sizes:
        if start <= offset < end:
            made += [data(stream.data[at:offset]), size(columns, rows)]
            at = offset
    return [*made, data(stream.data[at:end])]


def judged(xterm: Xterm, stream: Stream, cut: int) -> list[str]:
    """The differences at the cut and after the rest."""
    engine = Engine(stream.columns, stream.rows)
    at = 0
    for offset, columns, rows in stream.sizes:
        if offset < cut:
            engine.feed(stream.data[at:offset])
            engine.resize(columns, rows)
            at = offset
    engine.feed(stream.data[at:cut])
    dump = engine.dump()
    rest = [*steps(stream, cut, len(stream.data)), TELL]
    raw = [*steps(stream, 0, cut), TELL, *rest]
    drawn = [data(dump.data), TELL, *rest]
    before, after = xterm.states(stream.columns, stream.rows, raw)
    columns, rows = engine.size
    drawn_before, drawn_after = xterm.states(columns, rows, drawn)
    assert drawn_before["answers"] == 0, "a drawing asks the terminal for nothing"
    engine.close()
    found = differences(before, drawn_before)
    return found or [f"after the rest: {text}" for text in differences(after, drawn_after)]


def cases() -> dict[str, tuple[Stream, int]]:
    """Name -> stream and cut: short streams, recordings at four places, random ones."""
    made = {}
    for name, (before, after) in SHORT.items():
        whole = encoded(before) + encoded(after)
        made[name] = (Stream(name, COLUMNS, ROWS, [], whole), len(encoded(before)))
    for stream in recorded():
        for part in (1, 2, 3):
            made[f"{stream.program} {part}/4"] = (stream, len(stream.data) * part // 4)
        made[f"{stream.program} at its end"] = (stream, len(stream.data))
    for seed in range(8):
        whole = usual(seed)
        made[f"random {seed}"] = (Stream("random", 60, 16, [], whole), len(whole) // 2)
    return made


CASES = cases()


@pytest.mark.parametrize("name", CASES)
def test_a_drawing_shows_what_the_stream_shows_and_goes_on_alike(name: str, xterm: Xterm) -> None:
    found = judged(xterm, *CASES[name])
    if name in KNOWN:
        assert found, f"{name} is exact now: take it off the list"
    else:
        assert not found, "\n".join(found)


def test_most_cases_are_exact() -> None:
    assert len(CASES) >= 37
    assert set(KNOWN) <= set(CASES)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["saved cursor", "wide characters", "hyperlinks", "alternate screen"]
)
def test_a_stream_may_be_cut_at_every_byte(name: str, xterm: Xterm) -> None:
    whole = encoded("".join(SHORT[name]))
    stream = Stream(name, COLUMNS, ROWS, [], whole)
    wrong = {cut: found for cut in range(len(whole) + 1) if (found := judged(xterm, stream, cut))}
    assert not wrong
