"""Lines and tracebacks, as scripts really print them."""

from __future__ import annotations

import subprocess
import sys

import pytest

from outlast.why.output import Traceback, last_traceback, read_lines


def _printed(code: str) -> bytes:
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, timeout=30, check=False
    )
    return done.stdout + done.stderr


def _found(tail: bytes) -> Traceback:
    found = last_traceback(read_lines(tail, 0))
    assert found is not None
    return found


def test_a_real_traceback_is_read() -> None:
    found = _found(_printed("def f(x):\n    return 1 / x\nprint('hello')\nf(0)"))
    assert (found.type, found.message) == ("ZeroDivisionError", "division by zero")
    assert found.place == "<string>:2"
    assert found.function == "f"
    assert found.offset == len(b"hello\n")


def test_of_chained_exceptions_the_last_one_counts() -> None:
    code = (
        "try:\n    1 / 0\nexcept Exception as e:\n    raise RuntimeError('training failed') from e"
    )
    assert str(_found(_printed(code))) == "RuntimeError: training failed"


def test_the_users_own_frame_is_told_rather_than_the_librarys() -> None:
    found = _found(_printed("import json\ndef load():\n    json.loads('{')\nload()"))
    assert found.name == "JSONDecodeError"
    assert found.place == "<string>:3"


def test_a_syntax_error_has_no_traceback_line() -> None:
    found = _found(_printed("x = = 1"))
    assert found.type == "SyntaxError"
    assert found.place == "<string>:1"


def test_an_exception_without_message() -> None:
    assert str(_found(_printed("raise KeyboardInterrupt"))) == "KeyboardInterrupt"


def test_an_exception_group() -> None:
    found = _found(_printed("raise ExceptionGroup('two tasks', [ValueError('a'), TypeError('b')])"))
    assert "ExceptionGroup: two tasks" in str(found)


def test_a_rank_before_each_line_does_no_harm() -> None:
    tail = (
        b"[rank1]: Traceback (most recent call last):\n"
        b'[rank1]:   File "/home/ada/train.py", line 7, in main\n[rank1]:     step()\n'
        b"[rank1]: RuntimeError: NCCL error\n"
    )
    assert str(_found(tail)) == "RuntimeError: NCCL error"
    assert _found(tail).place == "/home/ada/train.py:7"


def test_a_coloured_traceback_is_read() -> None:
    tail = (
        b"Traceback (most recent call last):\n"
        b'  File \x1b[35m"a.py"\x1b[0m, line \x1b[35m3\x1b[0m, in \x1b[35mf\x1b[0m\n    x\n'
        b"\x1b[1;35mNameError\x1b[0m: \x1b[35mname 'x' is not defined\x1b[0m\n"
    )
    assert str(_found(tail)) == "NameError: name 'x' is not defined"


@pytest.mark.parametrize("cut", range(0, 90, 7))
def test_a_traceback_that_is_cut_off_is_none(cut: int) -> None:
    whole = _printed("1 / 0")
    end = whole.index(b"ZeroDivision")
    assert last_traceback(read_lines(whole[: min(cut, end)], 0)) is None


def test_lines_know_their_offsets_also_behind_progress_bars_and_bad_bytes() -> None:
    tail = b"cut off\n 10%\r 50%\r100%\nbad \xff\xfe bytes\r\n\nlast"
    lines = read_lines(tail, 1000)
    assert [line.text for line in lines] == ["100%", "bad \ufffd\ufffd bytes", "last"]
    for line, word in zip(lines, (b" 10%", b"bad ", b"last"), strict=True):
        assert tail[line.offset - 1000 :].startswith(word)


def test_what_an_earlier_attempt_printed_is_left_out() -> None:
    lines = read_lines(b"first attempt\nsecond attempt\n", 0, from_offset=14)
    assert [line.text for line in lines] == ["second attempt"]


def test_a_new_attempt_whose_output_begins_at_the_tail_loses_no_line() -> None:
    assert [line.text for line in read_lines(b"whole line\n", 500, 500)] == ["whole line"]
