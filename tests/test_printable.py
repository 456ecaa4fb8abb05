"""A corpus of sequences that terminals obey, in one piece and cut anywhere."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outlast.printable import HELD_CHARS, Stripper, one_line, printable

# Sequence, and what may stay of it between "a" and "z".
SEQUENCES = {
    "\x1b[2J": "",  # clear the screen
    "\x1b[10;20H": "",  # move the cursor
    "\x1b[?1049h": "",  # the other screen
    "\x1b[6n": "",  # ask for the position: the terminal types an answer
    "\x1b[>c": "",  # ask for its version
    "\x1b[21t": "",  # ask for its title
    "\x1b[!p": "",
    "\x1b[31m": "",
    "\x9b31m": "",
    "\x1b]0;evil title\x07": "",
    "\x1b]52;c;cm0gLXJmIC8=\x07": "",  # the clipboard
    "\x1b]52;c;cm0gLXJmIC8=\x1b\\": "",
    "\x9d52;c;eA==\x9c": "",
    "\x1b]8;;file:///etc/passwd\x1b\\link\x1b]8;;\x1b\\": "link",
    "\x1b]1337;File=inline=1:AAAA\x07": "",
    "\x1bP$q m\x1b\\": "",  # DECRQSS
    "\x1bP+q544e\x1b\\": "",
    "\x90q#0;2\x9c": "",
    "\x1b_Gf=24;AAAA\x1b\\": "",  # a picture
    "\x1b^private\x1b\\": "",
    "\x1bXtext\x1b\\": "",
    "\x1bc": "",  # full reset
    "\x1b(0": "",  # line drawing
    "\x1b#8": "",
    "\x1b7": "",
    "\x1b": "",
    "\x1b\x1b[31m": "",
    "\x1b[31\x1b[2J": "31",  # broken off by another
    "\x07": "",
    "\x08\x08": "",
    "\x0b": "",
    "\x0c": "",
    "\x0e": "",
    "\x00": "",
    "\x7f": "",
    "\x85": "",
    "\u202egnp.exe\u202c": "gnp.exe",
    "\u2066x\u2069": "x",
    "\ud800": "\ufffd",
    "\r": "\n",
    "\r\n": "\n",
    "\n": "\n",
    "\t": "\t",
    "é☃𝄞": "é☃𝄞",
}
FORBIDDEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


@pytest.mark.parametrize("sequence", SEQUENCES)
def test_nothing_that_a_terminal_obeys_stays(sequence: str) -> None:
    assert printable(f"a{sequence}z") in (f"a{SEQUENCES[sequence]}z", f"a{SEQUENCES[sequence]}")
    assert not FORBIDDEN.search(printable(f"a{sequence}z"))


def test_colours_stay_when_asked_and_only_colours() -> None:
    text = "\x1b[1;31mred\x1b[0m \x1b[38:5:9mdeep\x1b[m \x1b[2Jgone\x1b[?25l"
    assert printable(text, on_terminal=True) == "\x1b[1;31mred\x1b[0m \x1b[38:5:9mdeep\x1b[m gone"


def test_a_progress_bar_stays_one_line_on_a_terminal_alone() -> None:
    text = "\r 10%\r 20%\r\ndone\r\n"
    assert printable(text, on_terminal=True) == "\r 10%\r 20%\ndone\n"
    assert printable(text) == "\n 10%\n 20%\ndone\n"


@pytest.mark.parametrize("sequence", [s for s in SEQUENCES if len(s) > 1])
def test_a_sequence_cut_in_two_is_still_recognised(sequence: str) -> None:
    text = f"a{sequence}z\n"
    for cut in range(len(text) + 1):
        stripper = Stripper()
        pieces = [stripper.feed(text[:cut]), stripper.feed(text[cut:]), stripper.close()]
        assert "".join(pieces) == printable(text)


def test_an_endless_sequence_does_not_hold_the_stream_back() -> None:
    stripper = Stripper()
    shown = sum(len(stripper.feed("\x1b]0;" + "x" * 1000)) for _ in range(3))
    shown += sum(len(stripper.feed("x" * 1000)) for _ in range(20))
    assert shown >= 23_000 - HELD_CHARS


@given(st.text())
def test_any_text_comes_out_safe(text: str) -> None:
    assert not FORBIDDEN.search(printable(text))
    assert not FORBIDDEN.search(
        re.sub("\r|\x1b\\[[0-9;:]*m", "", printable(text, on_terminal=True))
    )


def test_one_line_is_one_line_of_bounded_length() -> None:
    assert one_line("a\n\tb\r\nc\x1b[2J") == "a b c"
    assert one_line("x" * 1000, max_chars=10) == "xxxxxxxxx…"
