"""What a run printed, as it is shown: pieces may cut anything anywhere."""

from __future__ import annotations

import io

import pytest

from outlast.sdk.shown import Shown

HOSTILE = "é日本\x1b[31mred\x1b[0m\x1b]52;c;aGk=\x07\x9b2J\rnext\x00\n".encode()


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def shown_in(pieces: list[bytes], to: io.StringIO) -> str:
    shown = Shown(to)
    for piece in pieces:
        shown.write(piece)
    shown.close()
    return to.getvalue()


@pytest.mark.parametrize("size", range(1, len(HOSTILE) + 1))
def test_no_cut_lets_a_control_sequence_through(size: int) -> None:
    pieces = [HOSTILE[at : at + size] for at in range(0, len(HOSTILE), size)]
    assert shown_in(pieces, io.StringIO()) == "é日本red\nnext\n"


def test_colours_stay_on_a_terminal_and_are_reset_at_the_end() -> None:
    assert shown_in([b"\x1b[31mred"], Terminal()) == "\x1b[31mred\x1b[0m"


def test_bytes_that_are_no_text_are_shown_as_such() -> None:
    assert shown_in([b"a\xff\xc3"], io.StringIO()) == "a\ufffd\ufffd"


def test_a_stream_of_few_characters_gets_what_it_can_show() -> None:
    raw = io.BytesIO()
    shown = Shown(io.TextIOWrapper(raw, encoding="ascii"))
    shown.write("é!".encode())
    assert raw.getvalue() == b"?!"


def test_raw_is_every_byte() -> None:
    raw = io.BytesIO()
    shown = Shown(io.TextIOWrapper(raw, encoding="ascii"), is_raw=True)
    shown.write(HOSTILE)
    shown.close()
    assert raw.getvalue() == HOSTILE
    assert shown.is_at_line_start
