"""What the end of a run's output says: its lines, and the last Python traceback in them. Pure.

Offsets are those of the output journal, so that a finding can lead to the very byte. A line is as a
terminal would leave it: without colours, and with only the last state of a progress bar.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from outlast.printable import one_line, printable

TAIL_BYTES = 64 << 10
MESSAGE_CHARS = 300


class Line(NamedTuple):
    """One line of output."""

    offset: int
    text: str


class Traceback(NamedTuple):
    """An exception that Python printed."""

    type: str  # "KeyError", "torch.cuda.OutOfMemoryError"
    message: str
    place: str  # "train.py:42", of the user's own code where that can be told; "" if unknown
    function: str
    offset: int  # of the line "Traceback (most recent call last):"
    end: int  # of the line that names the exception

    @property
    def name(self) -> str:
        """The type without its module."""
        return self.type.rpartition(".")[2]

    def __str__(self) -> str:
        return f"{self.type}: {self.message}" if self.message else self.type


def read_lines(tail: bytes, tail_offset: int, from_offset: int = 0) -> tuple[Line, ...]:
    """The whole and non-empty lines of `tail` that begin at `from_offset` or later."""
    lines: list[Line] = []
    offset = tail_offset
    is_cut = tail_offset > 0 and tail_offset != from_offset
    for raw in tail.split(b"\n"):
        if offset >= from_offset and not is_cut:
            shown = raw.rstrip(b"\r").rpartition(b"\r")[2]
            text = printable(shown.decode("utf-8", "replace")).replace("\n", " ").rstrip()
            if text:
                lines.append(Line(offset, text))
        is_cut = False
        offset += len(raw) + 1
    return tuple(lines)


def lines_of_rank(lines: Sequence[Line], rank: int) -> tuple[Line, ...]:
    """Those that this rank printed; all, where none says that it is a rank's."""
    own = tuple(line for line in lines if line.text.startswith(f"[rank {rank}] "))
    return own or tuple(lines)


_BEGIN = re.compile(
    r"^(?P<prefix>.*?)(?:Exception Group )?Traceback \(most recent call last\):\s*$"
)
_FRAME = re.compile(r'^\s*File "(?P<file>[^"]+)", line (?P<line>\d+)(?:, in (?P<function>.+))?')
_EXCEPTION = re.compile(r"^(?P<type>[A-Za-z_][\w.]*)(?:: ?(?P<message>.*))?$")
_SYNTAX = re.compile(r"^(?P<type>SyntaxError|IndentationError|TabError): (?P<message>.*)$")
_LIBRARY = re.compile(r"/(?:site|dist)-packages/|/lib/python\d|^<frozen |^/usr/lib/")


def last_traceback(lines: Sequence[Line]) -> Traceback | None:
    """The last complete traceback; None when no exception was printed."""
    for index in range(len(lines) - 1, -1, -1):
        begin = _BEGIN.match(lines[index].text)
        if begin:
            found = _traceback(lines, index, begin["prefix"])
            if found:
                return found
        syntax = _SYNTAX.match(lines[index].text)
        if syntax:
            return _syntax_error(lines, index, syntax)
    return None


def _traceback(lines: Sequence[Line], begin: int, prefix: str) -> Traceback | None:
    frames: list[re.Match[str]] = []
    for line in lines[begin + 1 :]:
        text = _without(line.text, prefix)
        frame = _FRAME.match(text)
        if frame:
            frames.append(frame)
            continue
        exception = _EXCEPTION.match(text)
        if exception and frames:
            place, function = _place(frames)
            message = one_line(exception["message"] or "", max_chars=MESSAGE_CHARS)
            return Traceback(
                exception["type"], message, place, function, lines[begin].offset, line.offset
            )
        if not text.startswith((" ", "\t")):
            return None  # something else was printed in between
    return None


def _without(text: str, prefix: str) -> str:
    """The line without what stands before each line of this traceback, as "[rank0]: "."""
    if prefix.strip() in ("+", "|"):  # the frame that Python draws around an exception group
        return re.sub(r"^\s*\| ?", "", text)
    return text[len(prefix) :] if prefix.strip() and text.startswith(prefix) else text


def _place(frames: Sequence[re.Match[str]]) -> tuple[str, str]:
    """The innermost frame of the user's own code, else the innermost one."""
    own = [frame for frame in frames if not _LIBRARY.search(frame["file"])]
    frame = (own or frames)[-1]
    function = frame["function"] or ""
    return f"{frame['file']}:{frame['line']}", "" if function == "<module>" else function


def _syntax_error(lines: Sequence[Line], index: int, syntax: re.Match[str]) -> Traceback | None:
    for before in reversed(lines[max(0, index - 4) : index]):
        frame = _FRAME.match(before.text)
        if frame:
            place = f"{frame['file']}:{frame['line']}"
            message = one_line(syntax["message"], max_chars=MESSAGE_CHARS)
            return Traceback(syntax["type"], message, place, "", before.offset, lines[index].offset)
    return None
