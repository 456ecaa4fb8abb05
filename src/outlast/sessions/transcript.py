"""Read a session back: pages of it, a search, its commands, and exports. Blocks.

Offsets are those of the journal `output`, in a page as in a search or a command, so that each leads
to the others and to a viewer's place. Every call reads a bounded part and says where to go on.
Exports are generators of pieces; the whole is never held.
"""

from __future__ import annotations

import codecs
import json
import os
from collections.abc import Iterator
from typing import Any, NamedTuple

from outlast.errors import Corrupt, Invalid, Trimmed
from outlast.journal.cursor import Cursor
from outlast.journal.trim import first_offset
from outlast.run.folder import COMMANDS, OUTPUT, TIMING, RunFolder
from outlast.run.spec import RunSpec, Terminal
from outlast.sessions.opening import shown_command
from outlast.sessions.plain import Plainer, plain

PIECE_BYTES = 1 << 20
MOST_PAGE_BYTES = 1 << 20
SEARCHED_BYTES = 64 << 20  # in one call
MOST_HITS = 1_000
LINE_CHARS = 400  # of a hit
MOST_COMMANDS = 1_000


class Page(NamedTuple):
    """A part of the output; `text` or, for `raw`, its bytes."""

    data: bytes
    start: int
    next: int
    first: int  # the first offset that is kept
    end: int  # the length of the output by now


class Hit(NamedTuple):
    """One line in which the text stands."""

    at: int  # offset of the line
    line: str
    t_ns: int  # when it was printed, as far as it is known; 0 = not


class Hits(NamedTuple):
    hits: list[Hit]
    next: int  # search on from here
    end: int  # the length of the output by now


class Command(NamedTuple):
    """One command, as the shell told it."""

    number: int
    command: str
    cwd: str
    start_ns: int
    end_ns: int  # 0: it runs, or its end was never told
    exit_code: int | None
    at: int  # offset of its output
    end: int  # offset after it; 0 as above
    prompt: int  # offset of the prompt before it


# --- pages ---


def page(
    folder: RunFolder, start: int, limit_bytes: int, *, before: int | None = None, raw: bool = False
) -> Page:
    """The output from `start` on; with `before`, the part that ends there and begins at a line.

    A start that was trimmed away is moved to the first offset that is kept. Raises Invalid for a
    place beyond the end.
    """
    path = folder.file(OUTPUT)
    limit_bytes = min(limit_bytes, MOST_PAGE_BYTES)
    with Cursor(path) as cursor:
        end, first = cursor.size(), first_offset(path)
        if before is not None:
            before = min(before, end)
            start = max(first, before - limit_bytes)
            limit_bytes = max(0, before - start)
        start = max(start, first)
        if start > end:
            raise Invalid.field("from", start, f"the output has {end} bytes")
        cursor.offset = start
        data = cursor.read_bytes(limit_bytes) if limit_bytes else b""
    if before is not None and start > first:
        cut = data.find(b"\n") + 1
        start, data = start + cut, data[cut:]
    following = start + len(data)
    return Page(data if raw else plain(data), start, following, first, end)


# --- search ---


def search(folder: RunFolder, text: str, start: int, limit: int) -> Hits:
    """The lines that hold `text`, from `start` on; small letters stand for capitals as well."""
    if not text.strip():
        raise Invalid.field("search", text, "give the text to look for")
    needle = text.encode()
    is_caseless = text == text.lower()
    times = _Times(folder)
    hits: list[Hit] = []
    path = folder.file(OUTPUT)
    with Cursor(path, max(start, first_offset(path))) as cursor:
        end = cursor.size()
        stop = cursor.offset + SEARCHED_BYTES
        while cursor.offset < min(end, stop) and len(hits) < limit:
            at = cursor.offset
            data = _lines(cursor)
            if not data:
                break
            shown = plain(data)
            if needle in (shown.lower() if is_caseless else shown):
                _add_hits(hits, data, at, needle, is_caseless, limit, times)
                if len(hits) == limit:
                    cursor.offset = _after(hits[-1].at, data, at)
        return Hits(hits, cursor.offset, end)


def _lines(cursor: Cursor) -> bytes:
    """The next lines, whole as far as they end; a very long one, or the last, as it is."""
    start = cursor.offset
    try:
        data = cursor.read_bytes(PIECE_BYTES)
    except Trimmed as error:  # retention was faster
        cursor.offset = int(error.facts["first"])
        return _lines(cursor)
    cut = data.rfind(b"\n") + 1
    if cut and len(data) == PIECE_BYTES:
        data = data[:cut]
    cursor.offset = start + len(data)
    return data


def _add_hits(
    hits: list[Hit], data: bytes, at: int, needle: bytes, is_caseless: bool, limit: int,
    times: _Times,
) -> None:  # fmt: skip
    for line in data.split(b"\n"):
        shown = plain(line)
        if needle in (shown.lower() if is_caseless else shown):
            hits.append(Hit(at, shown.decode("utf-8", "replace")[:LINE_CHARS], times.of(at)))
            if len(hits) == limit:
                return
        at += len(line) + 1


def _after(hit: int, data: bytes, at: int) -> int:
    end = data.find(b"\n", hit - at)
    return at + (len(data) if end < 0 else end + 1)


class _Times:
    """When which offset was printed: `timing`, read as far as it is asked for."""

    def __init__(self, folder: RunFolder) -> None:
        self._records = records(folder, TIMING)
        self._t_ns = 0
        self._next: dict[str, Any] | None = next(self._records, None)

    def of(self, at: int) -> int:
        """Offsets must be asked for in order."""
        while self._next is not None and self._next["at"] <= at:
            self._t_ns = self._next["t"]
            self._next = next(self._records, None)
        return self._t_ns


# --- commands ---


def commands(folder: RunFolder, after: int = 0, limit: int = MOST_COMMANDS) -> list[Command]:
    """The commands behind number `after`, the oldest first."""
    found: list[Command] = []
    number = 0
    open_one: Command | None = None
    for record in records(folder, COMMANDS):
        if record.get("k") == "start":
            if open_one is not None and len(found) < limit:
                found.append(open_one)  # its end was never told: `exec`, or a lost shell
            open_one = None
            number += 1
            if number > after:
                open_one = _begun(number, record)
        elif record.get("k") == "end" and open_one is not None:
            ended = {"end_ns": record["t"], "exit_code": record["code"], "end": record["at"]}
            found.append(open_one._replace(**ended))
            open_one = None
        if len(found) == limit:
            return found
    return found if open_one is None else [*found, open_one]


def _begun(number: int, record: dict[str, Any]) -> Command:
    return Command(
        number=number,
        command=str(record.get("command", "")),
        cwd=str(record.get("cwd", "")),
        start_ns=int(record["t"]),
        end_ns=0,
        exit_code=None,
        at=int(record["at"]),
        end=0,
        prompt=int(record.get("prompt", record["at"])),
    )


def records(folder: RunFolder, name: str) -> Iterator[dict[str, Any]]:
    """The records of one of the session's journals that have a place and a time."""
    if not os.path.exists(folder.file(name)):
        return
    with Cursor(folder.file(name)) as cursor:
        while True:
            batch = cursor.read_records()
            for record in batch.records:
                if isinstance(record.get("at"), int) and isinstance(record.get("t"), int):
                    yield record
            if not batch.records and not batch.corrupt:
                return


# --- exports ---


def as_text(folder: RunFolder) -> Iterator[bytes]:
    """All of the output that is kept, as plain lines."""
    plainer = Plainer()
    for _, piece in _pieces(folder, None):
        yield plainer.feed(piece)
    yield plainer.rest()


def as_asciicast(
    folder: RunFolder, spec: RunSpec, *, exit_code: int | None, title: str
) -> Iterator[bytes]:
    """An asciicast of version 3: a header, then an event a line, times in seconds since the last.

    Kept output only; it begins where retention has got to. Commands are markers.
    """
    asked = spec.terminal or Terminal()
    first = first_offset(folder.file(OUTPUT))
    events = sorted(
        [*_sizes_and_times(folder), *_markers(folder)], key=lambda event: (event[0], event[2])
    )
    size, began_ns = [asked.columns, asked.rows], spec.created_ns
    for at, t_ns, kind, value in events:
        if at <= first and kind == "r":
            size, began_ns = value, t_ns
    header = {
        "version": 3,
        "term": {"cols": size[0], "rows": size[1], "type": "xterm-256color"},
        "timestamp": began_ns // 1_000_000_000,
        "command": shown_command(spec),
        **({"title": title} if title else {}),
    }
    yield _line(header)
    last_ns = began_ns
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    # The sizes up to here stand in the header.
    kept = [e for e in events if e[0] > first or (e[0] == first and e[2] != "r")]
    for t_ns, kind, value in _events(folder, kept, began_ns):
        text = decoder.decode(value) if isinstance(value, bytes) else value
        if text:
            interval_s = round(max(0, t_ns - last_ns) / 1e9, 6)
            last_ns = max(last_ns, t_ns)
            yield _line([interval_s, kind, text])
    if exit_code is not None:
        yield _line([0, "x", str(exit_code)])


_Event = tuple[int, int, str, Any]  # offset, time, kind as in an asciicast ("" = time only), value


def _sizes_and_times(folder: RunFolder) -> Iterator[_Event]:
    for record in records(folder, TIMING):
        if "size" in record:
            yield record["at"], record["t"], "r", record["size"]
        else:
            yield record["at"], record["t"], "", None


def _markers(folder: RunFolder) -> Iterator[_Event]:
    for record in records(folder, COMMANDS):
        if record.get("k") == "start":
            yield record["at"], record["t"], "m", str(record.get("command", ""))


def _events(
    folder: RunFolder, events: list[_Event], t_ns: int
) -> Iterator[tuple[int, str, bytes | str]]:
    """Output and what stands between it, in order: time, kind, value."""
    waiting = iter(events)
    event = next(waiting, None)
    stops = sorted({at for at, *_ in events})
    for at, piece in _pieces(folder, stops):
        while event is not None and event[0] <= at:
            t_ns = max(t_ns, event[1])
            if event[2] == "r":
                yield t_ns, "r", f"{event[3][0]}x{event[3][1]}"
            elif event[2]:
                yield t_ns, event[2], event[3]
            event = next(waiting, None)
        yield t_ns, "o", piece


def _pieces(folder: RunFolder, stops: list[int] | None) -> Iterator[tuple[int, bytes]]:
    """The kept output with its offsets, cut at each of `stops`; without what a full disk lost."""
    lost = [tuple(r["gap"]) for r in records(folder, TIMING) if "gap" in r]
    path = folder.file(OUTPUT)
    with Cursor(path, first_offset(path)) as cursor:
        end = cursor.size()
        cuts = sorted({*(stops or ()), *(edge for gap in lost for edge in gap), end})
        for cut in cuts:
            if any(start <= cursor.offset < stop for start, stop in lost):
                cursor.offset = max(cursor.offset, min(cut, end))
            while cursor.offset < cut:
                at = cursor.offset
                try:
                    piece = cursor.read_bytes(min(PIECE_BYTES, cut - at))
                except Trimmed as error:
                    cursor.offset = int(error.facts["first"])
                    continue
                except Corrupt:
                    return
                if not piece:
                    return
                yield at, piece


def _line(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "replace") + b"\n"
