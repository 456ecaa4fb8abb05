"""Look into the journals of a run's folder, without a server: `tail` shows them, `verify` checks.

    python -m outlast.journal tail FOLDER [--journal NAME] [--from OFFSET] [-f] [--raw]
    python -m outlast.journal verify FOLDER

Both only read, and work beside a run that is being written. A control character is shown as its
number (`\\x1b`), so that nothing a job printed can act on this terminal; `--raw` gives the bytes.
"""

from __future__ import annotations

import argparse
import io
import os
import signal
import sys
import time
from typing import Dict, List, Optional, Tuple

from outlast.errors import Corrupt, Invalid, NotFound, OutlastError, Trimmed
from outlast.journal.cursor import Cursor
from outlast.journal.line import add_range, line_bytes, parse
from outlast.journal.trim import first_offset
from outlast.journal.watch import Watcher

BYTE_JOURNALS = ("output",)
RECORD_JOURNALS = ("decisions", "events")
RECORD_PREFIX = "logged."
_NOT_JOURNALS = (".first", ".first.new")

_IDLE_S = 0.5
_LINE_AT_MOST_BYTES = 64 << 10
# C0 without tab, DEL, C1, direction overrides, and what some terminals take for a line's end.
_DANGEROUS = [*range(9), *range(10, 32), *range(127, 160), 0x061C, 0x200E, 0x200F]
_DANGEROUS += [*range(0x2028, 0x202F), *range(0x2066, 0x206A)]
_VISIBLE = {code: f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}" for code in _DANGEROUS}


def main(arguments: Optional[List[str]] = None) -> int:
    """Run the command; 0 = done, 1 = damage was found, 2 = it can't be done as asked."""
    options = _parser().parse_args(arguments)
    # Die as other Unix tools do when interrupted or when the reader of a pipe has gone: quietly.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a terminal that isn't UTF-8
    try:
        if options.command == "verify":
            return _verify(options.folder)
        return _tail(options)
    except OutlastError as error:
        print(f"outlast.journal: {_visible(error.message)}", file=sys.stderr)
        if error.hint:
            print(f"  {error.hint}", file=sys.stderr)
        return 2


def journals_in(folder: str) -> List[str]:
    """The names of the journals in a run's folder; raises NotFound when there is no folder."""
    try:
        names = sorted(os.listdir(folder))
    except OSError as error:
        raise NotFound(f"{folder}: {error.strerror}", folder=folder) from error
    return [name for name in names if _is_bytes(name) or _is_records(name)]


def _is_bytes(name: str) -> bool:
    return name in BYTE_JOURNALS


def _is_records(name: str) -> bool:
    is_logged = name.startswith(RECORD_PREFIX) and not name.endswith(_NOT_JOURNALS)
    return name in RECORD_JOURNALS or is_logged


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m outlast.journal", description="Look into the journals of a run's folder."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    tail = commands.add_parser("tail", help="show the journals: time, journal, offset, record")
    tail.add_argument("folder", help="the run's folder")
    tail.add_argument("--journal", metavar="NAME", help="only this one, such as events or output")
    tail.add_argument(
        "--from", dest="offset", type=int, metavar="OFFSET", help="begin at this byte (--journal)"
    )
    tail.add_argument("-f", "--follow", action="store_true", help="go on as more is written")
    tail.add_argument("--raw", action="store_true", help="the bytes as they are, nothing added")
    verify = commands.add_parser("verify", help="count records and damage; exit 1 on damage")
    verify.add_argument("folder", help="the run's folder")
    return parser


def _tail(options: argparse.Namespace) -> int:
    names = journals_in(options.folder)
    if options.offset is not None and options.journal is None:
        raise Invalid.field("--from", options.offset, "say which journal with --journal NAME")
    if options.journal is not None:
        if options.journal not in names and not options.follow:
            raise NotFound(
                f"there is no journal {options.journal!r} in {options.folder}",
                hint=f"it has: {', '.join(names) or 'none yet'}",
            )
        if not (_is_bytes(options.journal) or _is_records(options.journal)):
            raise Invalid.field("--journal", options.journal, "use events, decisions, output, ...")
    tail = _Tail(options.folder, options.journal, options.offset or 0, is_raw=options.raw)
    if not options.follow:
        tail.show_new()
        tail.show_unended_lines()
        return 0
    with Watcher() as watcher:
        watcher.add(options.folder)
        while True:
            tail.show_new()
            if not watcher.wait(_IDLE_S):
                # Nothing for a while: a prompt without newline is worth seeing.
                tail.show_unended_lines()


class _Tail:
    """Where we are in each journal of a folder, and what was read but not yet shown."""

    def __init__(self, folder: str, only: Optional[str], offset: int, *, is_raw: bool) -> None:
        self._folder = folder
        self._only = only
        self._offset = offset
        self._is_raw = is_raw
        self._cursors: Dict[str, Cursor] = {}
        self._unended: Dict[str, Tuple[int, bytes]] = {}  # byte journals: offset, begun line

    def show_new(self) -> None:
        """Print whatever the journals hold by now."""
        for name in journals_in(self._folder) if self._only is None else [self._only]:
            cursor = self._cursors.get(name)
            if cursor is None:
                cursor = Cursor(os.path.join(self._folder, name), self._offset)
                self._cursors[name] = cursor
            while self._show_some(name, cursor):
                sys.stdout.flush()

    def show_unended_lines(self) -> None:
        """Print lines of byte journals whose newline hasn't come."""
        for name, (offset, data) in self._unended.items():
            _show("-", name, offset, data.decode("utf-8", "backslashreplace"))
        self._unended.clear()
        sys.stdout.flush()

    def _show_some(self, name: str, cursor: Cursor) -> bool:
        try:
            if self._is_raw:
                return self._show_raw(name, cursor)
            return (self._show_bytes if _is_bytes(name) else self._show_records)(name, cursor)
        except Trimmed as gap:
            # Said, never silent; on standard error in --raw, which promises nothing but bytes.
            told = f"(bytes {gap.asked} to {gap.first} were trimmed away)"
            if self._is_raw:
                print(f"{name}: {told}", file=sys.stderr)
            else:
                _show("-", name, gap.asked, told)
            cursor.offset = gap.first
            return True

    def _show_raw(self, name: str, cursor: Cursor) -> bool:
        data = cursor.read_bytes() if _is_bytes(name) else cursor.read_lines()
        sys.stdout.buffer.write(data)
        return bool(data)

    def _show_bytes(self, name: str, cursor: Cursor) -> bool:
        data = cursor.read_bytes()
        if not data:
            return False
        start, begun = self._unended.pop(name, (cursor.offset - len(data), b""))
        lines = (begun + data).split(b"\n")
        rest = lines.pop()
        for line in lines:
            _show("-", name, start, _text(line))
            start += len(line) + 1
        if len(rest) > _LINE_AT_MOST_BYTES:
            _show("-", name, start, _text(rest))
        elif rest:
            self._unended[name] = (start, rest)
        return True

    def _show_records(self, name: str, cursor: Cursor) -> bool:
        found = cursor.read_bodies()
        shown = [
            (end - line_bytes(body), _time_of(body), _text(body))
            for body, end in zip(found.bodies, found.ends)
        ]
        shown += [(left, "-", f"(corrupt: {right - left} bytes)") for left, right in found.corrupt]
        for offset, when, text in sorted(shown):
            _show(when, name, offset, text)
        return bool(shown)


def _show(when: str, journal: str, offset: int, text: str) -> None:
    print(f"{when:<24} {_visible(journal)} {offset:>9} {_visible(text)}")


def _visible(text: str) -> str:
    return text.translate(_VISIBLE)


def _text(data: bytes) -> str:
    return data.decode("utf-8", "backslashreplace")


def _time_of(body: bytes) -> str:
    """When a record was written, in UTC; "-" when it doesn't say."""
    try:
        record = parse(body)
        time_ns = record.get("t_ns", record.get("t"))
        if type(time_ns) is not int:
            return "-"
        seconds, rest_ns = divmod(time_ns, 1_000_000_000)
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    except (Corrupt, ValueError, OverflowError, OSError):
        return "-"
    return f"{moment}.{rest_ns // 1_000_000:03d}Z"


def _verify(folder: str) -> int:
    """Print one line a journal; 1 when a record is damaged."""
    is_damaged = False
    for name in journals_in(folder):
        path = os.path.join(folder, name)
        first = first_offset(path)
        with Cursor(path, first) as cursor:
            size = cursor.size()
            told = f"{_visible(name)}: {size} bytes"
            if not _is_bytes(name):
                records, corrupt = _count(cursor)
                is_damaged = is_damaged or bool(corrupt)
                told += f", {records} record{'s' * (records != 1)}"
                told += "".join(f", corrupt {left} to {right}" for left, right in corrupt)
                if size > cursor.offset:
                    told += f", torn tail of {size - cursor.offset} bytes"
        print(told + (f", trimmed up to {first}" if first else ""))
    return 1 if is_damaged else 0


def _count(cursor: Cursor) -> Tuple[int, List[Tuple[int, int]]]:
    records = 0
    corrupt: List[Tuple[int, int]] = []
    while True:
        batch = cursor.read_records()
        if not batch.records and not batch.corrupt:
            return records, corrupt
        records += len(batch.records)
        for left, right in batch.corrupt:
            add_range(corrupt, left, right)


if __name__ == "__main__":
    sys.exit(main())
