"""The marks that a shell with integration leaves in its output, and the commands they tell of.

    OSC 133 ; A | B | C | D [; code]     prompt, its end, the command begins, it ended (FinalTerm)
    OSC 633 ; A-D as above, E ; command [; nonce], P ; Cwd=path                         (VS Code)
    OSC 133 ; C ; cmdline_url=command    as fish says it
    OSC 7 ; file://host/path             the working folder

An OSC begins with ESC ] and ends with BEL or ESC \\. Any program may print such marks: they are an
index into the output, and nothing else rests on them. Parsing costs little, keeps at most 64 KiB,
and raises for no bytes whatever. Offsets are those of the journal `output`.
"""

from __future__ import annotations

import os
import re
import time
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

from outlast.errors import JournalError
from outlast.journal.writer import Writer
from outlast.supervisor.complaint import complain

_LONGEST_BYTES = 64 << 10
# A shell leaves a few with each prompt; a hostile stream is an OSC every six bytes.
_MOST_AT_ONCE = 256
# What is read again after a takeover, to find marks whose command isn't in the journal yet.
_AGAIN_BYTES = 1 << 20
_SIGNS = (b"\x1b]133;", b"\x1b]633;", b"\x1b]7;")
_SIGN_BYTES = 6
_OURS = re.compile(rb"\x1b\](?:133|633|7);")
_COMMAND_CHARS = 4_000
_PATH_CHARS = 4_096


class Mark(NamedTuple):
    """One OSC of these kinds."""

    start: int  # offset of its first byte
    end: int  # offset after its last
    text: bytes  # what stands between: b"133;D;0"


class Parser:
    """Finds marks in a stream, however it is cut up."""

    __slots__ = ("_rest",)

    def __init__(self) -> None:
        self._rest = b""  # an OSC that hasn't ended yet

    def feed(self, offset: int, piece: bytes) -> List[Mark]:
        """The marks that end in `piece`, whose first byte has this offset."""
        data = self._rest + piece if self._rest else piece
        base = offset - len(self._rest)
        self._rest = b""
        marks: List[Mark] = []
        at = 0
        # Most of what floods a terminal has no escape at all, and one byte is found fastest.
        found = _OURS.search(data) if b"\x1b" in data else None
        while found is not None:
            start, text = found.start(), found.start() + 2
            end, after = _end_of(data, text)
            if after < 0:
                if len(data) - start <= _LONGEST_BYTES:
                    self._rest = data[start:]
                return marks
            if after and len(marks) < _MOST_AT_ONCE:
                marks.append(Mark(base + start, base + after, data[text:end]))
            at = after or end
            found = _OURS.search(data, at)
        self._rest = _begun(data, at)
        return marks


def _begun(data: bytes, at: int) -> bytes:
    """The end of `data`, if it may be the beginning of a mark."""
    start = data.rfind(b"\x1b", max(at, len(data) - _SIGN_BYTES))
    tail = data[start:] if start >= 0 else b""
    return tail if any(sign.startswith(tail) for sign in _SIGNS) else b""


def _end_of(data: bytes, start: int) -> Tuple[int, int]:
    """Where the text ends, and the offset after its terminator: -1 not there yet, 0 broken off."""
    escape = data.find(b"\x1b", start)
    # Looked for no further than the next escape: a hostile stream costs no more than its length.
    bell = data.find(b"\x07", start, escape if escape >= 0 else len(data))
    if bell >= 0:
        return bell, bell + 1
    if escape < 0 or escape + 1 == len(data):
        return escape, -1
    return (escape, escape + 2) if data[escape + 1 : escape + 2] == b"\\" else (escape, 0)


class Commands:
    """Turns marks into the records of the journal `commands`."""

    def __init__(self, after: int = 0, *, is_running: bool = False, cwd: str = "") -> None:
        """Go on behind the offset `after`; `is_running`: a command begun before it hasn't ended."""
        self.cwd = cwd
        self._after = after
        self._is_running = is_running
        self._command = ""
        self._prompt = after

    def told(self, marks: List[Mark], t_ns: int) -> List[Dict[str, Any]]:
        """The records that these marks make; for marks that were told before, none."""
        records = [self._record(mark, t_ns) for mark in marks if mark.end > self._after]
        return [record for record in records if record is not None]

    def _record(self, mark: Mark, t_ns: int) -> Optional[Dict[str, Any]]:
        kind, _, rest = mark.text.partition(b";")
        if kind == b"7":
            self.cwd = _path_of(rest) or self.cwd
            return None
        what, _, value = rest.partition(b";")
        if what == b"A":
            self._prompt = mark.start
        elif what == b"E" and kind == b"633":
            self._command = _unescaped(value.partition(b";")[0])
        elif what == b"P" and kind == b"633" and value.startswith(b"Cwd="):
            self.cwd = _unescaped(value[4:])[:_PATH_CHARS]
        elif what == b"C" and not self._is_running:
            return self._started(mark, value, t_ns)
        elif what == b"D" and self._is_running:
            self._is_running = False
            code = value.partition(b";")[0]
            is_number = code.isdigit() and len(code) <= 3
            return {"k": "end", "at": mark.end, "t": t_ns, "code": int(code) if is_number else None}
        return None

    def _started(self, mark: Mark, value: bytes, t_ns: int) -> Dict[str, Any]:
        if value.startswith(b"cmdline_url="):
            self._command = _decoded(value[12:], b"%")
        command, self._command = self._command[:_COMMAND_CHARS], ""
        self._is_running = True
        return {
            "k": "start",
            "at": mark.end,
            "t": t_ns,
            "command": command,
            "cwd": self.cwd,
            "prompt": min(self._prompt, mark.start),
        }


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def _unescaped(value: bytes) -> str:
    """VS Code's way: a backslash stands twice, any other byte may stand as `\\xHH`."""
    return _decoded(value.replace(b"\\\\", b"\\x5c"), b"\\x")


def _decoded(value: bytes, sign: bytes) -> str:
    """Two hexadecimal digits behind each `sign` are a byte."""
    first, *pieces = value.split(sign)
    plain = bytearray(first)
    for piece in pieces:
        try:
            plain.append(int(piece[:2], 16))
            plain += piece[2:]
        except ValueError:
            plain += sign + piece
    return _text(bytes(plain))


def _path_of(url: bytes) -> str:
    if not url.startswith(b"file://"):
        return ""
    _, slash, path = url[7:].partition(b"/")
    return _decoded(slash + path, b"%")[:_PATH_CHARS]


class Marked:
    """Follows the output's marks, and keeps the commands that they tell of."""

    def __init__(self, path: str, output: int, length: int) -> None:
        """`output` is a descriptor of the journal that has this length by now."""
        self._path = path
        self._output = output
        self._parser = Parser()
        self._writer: Optional[Writer] = None
        last = _last_record(path)
        after = int(last.get("at", 0))
        self._commands = Commands(after, is_running=last.get("k") == "start")
        self._at = max(after, length - _AGAIN_BYTES, 0)

    @property
    def cwd(self) -> str:
        """The folder that the shell told last."""
        return self._commands.cwd

    def skip(self, offset: int) -> None:
        """What stands before this offset was lost."""
        self._at = max(self._at, offset)
        self._parser = Parser()

    def follow(self, length: int, end: bytes = b"") -> None:
        """Look at what came up to `length` since the last time; `end` are its last bytes."""
        while self._at < length:
            piece = end
            if not end or self._at + len(end) != length:
                piece = os.pread(self._output, min(length - self._at, _AGAIN_BYTES), self._at)
            if not piece:
                return
            marks = self._parser.feed(self._at, piece)
            self._at += len(piece)
            for record in self._commands.told(marks, time.time_ns()) if marks else ():
                self._keep(record)

    def _keep(self, record: Dict[str, Any]) -> None:
        # An index that can be made again from the output: without room it has gaps.
        try:
            if self._writer is None:
                self._writer = Writer(self._path)
            self._writer.append(record)
        except JournalError as error:
            complain(error.message)
            self._writer = None


def _last_record(path: str) -> Dict[str, Any]:
    if not os.path.exists(path):
        return {}
    from outlast.journal.cursor import Cursor  # nothing for a first start to pay

    last: Dict[str, Any] = {}
    with Cursor(path) as cursor:
        batch = cursor.read_records()
        while batch.records or batch.corrupt:
            if batch.records:
                last = batch.records[-1]
            batch = cursor.read_records()
    return last
