"""The story of a run: its two journals merged into the one order that everybody finds again.

A decision says in `seen` how many bytes of `events` the server had read, so it comes after exactly
those. Only the newest records are kept; what is damaged or unknown is left out and said.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from outlast.errors import JournalError
from outlast.journal.cursor import Cursor
from outlast.run import events as ev
from outlast.run.folder import DECISIONS, EVENTS, RunFolder

# A run has about 12 events; one that reports its leftovers for hours has hundreds.
KEPT_RECORDS = 1000


class Told(NamedTuple):
    """An event, and where it stands."""

    event: ev.Event
    journal: str
    offset: int  # of the record's first byte


class _Record(NamedTuple):
    told: Told
    end: int
    seen: int  # of a decision: up to where `events` had been read


def read_story(folder: RunFolder) -> tuple[tuple[Told, ...], tuple[str, ...]]:
    """The newest events in their order, and what couldn't be read (sentences)."""
    unread: list[str] = []
    decisions = _read(folder, DECISIONS, unread)
    events = deque(_read(folder, EVENTS, unread))
    merged: list[Told] = []
    for decision in decisions:
        while events and events[0].end <= decision.seen:
            merged.append(events.popleft().told)
        merged.append(decision.told)
    merged += [record.told for record in events]
    return tuple(merged[-KEPT_RECORDS:]), tuple(unread)


def _read(folder: RunFolder, name: str, unread: list[str]) -> deque[_Record]:
    found: deque[_Record] = deque(maxlen=KEPT_RECORDS)
    damaged = 0
    with Cursor(folder.file(name)) as cursor:
        while True:
            start = cursor.offset
            try:
                batch = cursor.read_records()
            except JournalError as error:
                unread.append(error.message)
                break
            damaged += len(batch.corrupt)
            for offset, end, record in _placed(start, batch.ends, batch.records):
                event = _event(record)
                if event is not None:
                    seen = record.get("seen")
                    place = Told(event, name, offset)
                    found.append(_Record(place, end, seen if isinstance(seen, int) else 0))
            if cursor.offset == start:
                break
    if damaged:
        unread.append(f"{damaged} damaged places in the journal {name!r} were left out")
    return found


def _placed(
    start: int, ends: Iterable[int], records: Iterable[dict[str, Any]]
) -> Iterator[tuple[int, int, dict[str, Any]]]:
    for end, record in zip(ends, records, strict=True):
        yield start, end, record
        start = end


def _event(record: dict[str, Any]) -> ev.Event | None:
    try:
        return ev.from_record(record)
    except TypeError:  # a field that this version needs is missing: another version's record
        return None
