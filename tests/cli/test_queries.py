"""Questions in old output are taken out; everything else stays."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outlast.cli.queries import Unasked

QUESTIONS = [
    b"\x05", b"\x1bZ", b"\x1b[c", b"\x1b[0c", b"\x1b[>c", b"\x1b[>0c", b"\x1b[=c", b"\x1b[5n",
    b"\x1b[6n", b"\x1b[?6n", b"\x1b[?996n", b"\x1b[?2026$p", b"\x1b[4$p", b"\x1b[>q", b"\x1b[>0q",
    b"\x1b[?u", b"\x1b[14t", b"\x1b[18t", b"\x1b[21t", b"\x1b[x", b"\x1b]10;?\x07",
    b"\x1b]11;?\x1b\\", b"\x1b]4;7;?\x07", b"\x1bP$qm\x1b\\", b"\x1bP+q544e\x1b\\",
]  # fmt: skip
STATEMENTS = [
    b"plain", b"\x1b[1;31m", b"\x1b[2J", b"\x1b[H", b"\x1b[?25l", b"\x1b[?1049h",
    b"\x1b7", b"\x1b8", b"\x1b]2;title\x07", b"\x1b]133;A\x07", b"\x1b]8;;http://x\x1b\\",
    b"\x1b[22;2t", b"n", b"c", b"\x1b[8;24;80t", b"\x1bP1$r0m\x1b\\", b"\x1b[3;4r", b"\xe2\x82\xac",
]  # fmt: skip


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_question_is_left_out(question: bytes) -> None:
    assert Unasked().feed(b"before" + question + b"after") == b"beforeafter"


@pytest.mark.parametrize("statement", STATEMENTS)
def test_what_is_no_question_stays(statement: bytes) -> None:
    unasked = Unasked()
    assert unasked.feed(statement + b"x") + unasked.rest() == statement + b"x"


@given(
    st.lists(st.sampled_from([*QUESTIONS, *STATEMENTS]), max_size=12),
    st.lists(st.integers(0, 200), max_size=8),
)
def test_it_does_not_matter_where_the_stream_is_cut(parts: list[bytes], cuts: list[int]) -> None:
    stream = b"".join(parts) + b"end"
    wanted = b"".join(part for part in parts if part not in QUESTIONS) + b"end"
    edges = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    unasked = Unasked()
    given_back = b"".join(unasked.feed(stream[start:end]) for start, end in pairwise(edges))
    assert given_back + unasked.rest() == wanted


def test_a_sequence_that_never_ends_is_not_held_back_for_ever() -> None:
    unasked = Unasked()
    stream = b"\x1b]52;" + b"x" * 10_000
    assert unasked.feed(stream) + unasked.rest() == stream
