"""What is new in a run's folder since it was last read; plain values, no SQL.

A journal is read in whole, checked records and never beyond a bound a call. What can't be true
(damage, a journal that became shorter, a record that isn't what its kind says) is reported as an
Oddity and passed over: no record of a job can stop the reading of its run.
"""

from __future__ import annotations

import os
from array import array
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec
import numpy as np

from outlast.errors import Corrupt, Invalid, JournalError, NotFound, Trimmed
from outlast.ids import check_model_name, check_name
from outlast.journal.cursor import Cursor
from outlast.run import logged
from outlast.run.folder import DECISIONS, EVENTS, LOGGED_PREFIX, MANIFEST, SPEC, RunFolder
from outlast.run.manifest import Manifest
from outlast.run.spec import RunSpec
from outlast.store.numbered import check_texts
from outlast.store.registrations import Asked
from outlast.store.series import Batch

STORY_BYTES = 1 << 20  # of each of `decisions` and `events`, a call
LOGGED_BYTES = 4 << 20  # of all logged.* together, a call: some 60,000 points
LEAST_SHARE_BYTES = 128 << 10
ODDITIES = 50  # of one journal, a call: damage is counted, not copied
SPEC_BYTES = 32 << 20
VALUE_KINDS = frozenset((logged.LIST, logged.ROW, logged.TABLE, logged.IMAGE))


class Oddity(NamedTuple):
    """Something that can't be true."""

    journal: str
    offset: int
    code: str  # corrupt | shrunk | trimmed | unreadable | invalid_transition
    message: str


class Chunk(NamedTuple):
    """The new records of one journal."""

    journal: str
    start: int
    offset: int  # up to where it is read now
    bodies: list[bytes]
    ends: list[int]
    oddities: list[Oddity]
    more: bool = False  # there is more to read at once


class Logged(msgspec.Struct, gc=False):
    """Any record of run.logged that the index keeps."""

    k: str
    n: str = ""
    v: Any = None
    s: int | None = None
    t: int = 0
    x: str = ""
    path: str = ""
    count: int = 0
    reason: str = ""
    attempt: int = 1
    tags: dict[str, str | None] | None = None  # not {}: each point would get one of its own
    properties: dict[str, str] | None = None
    description: str = ""


class Kind(msgspec.Struct):
    """Of any record at all."""

    k: str = ""


class Value(NamedTuple):
    """A logged list, row, table, image or string."""

    kind: str
    name: str
    step: int | None
    value: str  # JSON
    t_ns: int


class LoggedNews(NamedTuple):
    """What one `logged.*` journal told."""

    points: Batch | None
    values: list[Value]
    tags: list[tuple[str, str | None]]
    properties: list[tuple[str, str]]
    lost_records: int
    lost_reason: str
    oddities: list[Oddity]
    registers: list[Asked]


# How the record of `run.events.Ended` begins; its writer puts the kind first.
_END = b'{"k":"ended"'

# --- files ---


def load_spec(folder: RunFolder) -> RunSpec:
    """The run's spec. Raises NotFound while it isn't there, Invalid or Corrupt when it's wrong."""
    path = folder.file(SPEC)
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        raise NotFound(f"{path} isn't there: the folder holds no run", path=path) from None
    except OSError as error:
        raise Corrupt(f"{path} can't be read: {error.strerror}", path=path) from error
    with open(fd, "rb") as file:
        try:
            spec = RunSpec.from_dict(msgspec.json.decode(file.read(SPEC_BYTES)))
        except (msgspec.DecodeError, UnicodeDecodeError, OSError) as error:
            raise Corrupt(f"{path} can't be read: {error}", path=path) from error
    if spec.id != folder.run_id:
        raise Invalid.field("id", spec.id, f"{path} belongs into a folder of this name")
    return spec


def load_manifest(folder: RunFolder, digest: str) -> Manifest | None:
    """The run's manifest, None when the folder doesn't hold the one of this digest (any more)."""
    try:
        fd = os.open(folder.file(MANIFEST), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        with open(fd, "rb") as file:
            manifest = Manifest.from_json(file.read())
            return manifest if manifest.digest() == digest else None
    except (OSError, Corrupt, UnicodeEncodeError):
        return None  # the outputs themselves are safe: their contents are stored


def sizes(folder: RunFolder) -> dict[str, int]:
    """The journals that the index reads, with their sizes in bytes; links aren't journals."""
    found: dict[str, int] = {}
    try:
        with os.scandir(folder.path) as entries:
            for entry in entries:
                name = entry.name
                is_logged = name.startswith(LOGGED_PREFIX) and not name.endswith(".first")
                is_journal = is_logged or name in (EVENTS, DECISIONS)
                if is_journal and entry.is_file(follow_symlinks=False):
                    found[name] = entry.stat(follow_symlinks=False).st_size
    except FileNotFoundError:
        raise NotFound(f"there is no folder {folder.path}", path=folder.path) from None
    return found


def read(folder: RunFolder, journal: str, start: int, limit_bytes: int) -> Chunk:
    """The whole records from `start` on, from about `limit_bytes`. Never raises."""
    with Cursor(folder.file(journal), start) as cursor:
        try:
            found = cursor.read_bodies(limit_bytes)
            size_bytes = cursor.size()
        except Trimmed as error:
            message = f"bytes {start} to {error.first} were trimmed before they were read"
            oddity = Oddity(journal, start, "trimmed", message)
            return Chunk(journal, start, error.first, [], [], [oddity], more=True)
        except Corrupt as error:
            return _shrunk(journal, start, int(error.facts.get("size", start)), str(error))
        except JournalError as error:
            return Chunk(
                journal, start, start, [], [], [Oddity(journal, start, "unreadable", str(error))]
            )
    damaged = [
        Oddity(journal, left, "corrupt", f"{right - left} bytes are damaged and were left out")
        for left, right in found.corrupt[:ODDITIES]
    ]
    has_moved = found.offset > start
    more = has_moved and found.offset < size_bytes
    return Chunk(journal, start, found.offset, found.bodies, found.ends, damaged, more)


def has_end(events: Chunk) -> bool:
    """Does the supervisor's last word stand among these events?"""
    return any(body.startswith(_END) for body in events.bodies)


def without_end(events: Chunk) -> Chunk:
    """The events before the supervisor's last word; the rest is to be read again."""
    for index, body in enumerate(events.bodies):
        if body.startswith(_END):
            offset = events.ends[index - 1] if index else events.start
            return events._replace(
                bodies=events.bodies[:index], ends=events.ends[:index], offset=offset, more=True
            )
    return events


def _shrunk(journal: str, start: int, size_bytes: int, message: str) -> Chunk:
    """The disk lost the journal's end (a power cut), of which the index had been told.

    What the index knows stays; reading goes on with what is appended from now on.
    """
    oddity = Oddity(journal, start, "shrunk", message)
    return Chunk(journal, start, min(size_bytes, start), [], [], [oddity])


# --- logged.* ---

_LOGGED = msgspec.json.Decoder(Logged)
_LOGGED_LIST = msgspec.json.Decoder(list[Logged])
_KIND = msgspec.json.Decoder(Kind)
_KNOWN_KINDS = VALUE_KINDS | {
    logged.METRIC, logged.TAG, logged.PROPERTY, logged.REGISTER, logged.GAP,
}  # fmt: skip


def logged_news(chunk: Chunk) -> LoggedNews:
    """What the records of a `logged.*` journal say. Never raises."""
    oddities = list(chunk.oddities)
    records, ends = _decoded(chunk, oddities)
    news = LoggedNews(None, [], [], [], 0, "", oddities, [])
    metrics: list[Logged] = []
    metric_ends: list[int] = []
    for record, end in zip(records, ends, strict=True):
        if record.k == logged.METRIC:
            metrics.append(record)
            metric_ends.append(end)
        elif record.k in _KNOWN_KINDS:
            try:
                if record.k == logged.REGISTER:
                    news.registers.append(_asked(chunk.journal, end, record))
                else:
                    news = _with_record(news, record)
            except (Invalid, TypeError, ValueError) as error:
                _odd(oddities, chunk.journal, end, str(error))
    if not metrics:
        return news
    batch = _columns(metrics)
    if batch is None:
        metrics = _sorted_out(chunk.journal, metrics, metric_ends, news)
        batch = _columns(metrics)
    return news._replace(points=batch)


def _decoded(chunk: Chunk, oddities: list[Oddity]) -> tuple[list[Logged], list[int]]:
    """Every record in one go; one by one only when one of them is wrong."""
    try:
        records = _LOGGED_LIST.decode(b"[" + b",".join(chunk.bodies) + b"]")
        if len(records) == len(chunk.bodies):
            return records, chunk.ends
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass  # said below, for the record that it is
    records, ends = [], []
    for body, end in zip(chunk.bodies, chunk.ends, strict=True):
        try:
            records.append(_LOGGED.decode(body))
            ends.append(end)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            if _is_known_kind(body):  # kinds of a newer writer are passed over
                _odd(oddities, chunk.journal, end, str(error))
    return records, ends


def _is_known_kind(body: bytes) -> bool:
    try:
        return _KIND.decode(body).k in _KNOWN_KINDS
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return True


def _odd(oddities: list[Oddity], journal: str, end: int, message: str) -> None:
    if len(oddities) < ODDITIES:
        oddities.append(Oddity(journal, end, "unreadable", message[:500]))


def _with_record(news: LoggedNews, record: Logged) -> LoggedNews:
    """A record that isn't a metric."""
    if record.k == logged.GAP:
        lost = news.lost_records + max(0, record.count)
        return news._replace(lost_records=lost, lost_reason=record.reason)
    name = check_name("name", record.n)
    if record.k == logged.TAG:
        if record.v is not None and not isinstance(record.v, str):
            raise Invalid.field(f"tags.{name}", record.v, "give a string")
        news.tags.append((name, record.v))
    elif record.k == logged.PROPERTY:
        if not isinstance(record.v, str):
            raise Invalid.field(f"properties.{name}", record.v, "give a string")
        news.properties.append((name, record.v))
    else:
        content = {"path": record.path} if record.k == logged.IMAGE else record.v
        news.values.append(_value(record.k, record, content))
    return news


def _asked(journal: str, end: int, record: Logged) -> Asked:
    tags, properties = record.tags or {}, record.properties or {}
    check_texts(tags, record.description, properties)
    if not record.path or "\0" in record.path or not _is_int64(record.attempt):
        raise Invalid.field("path", record.path, "a model is made of stored files")
    return Asked(
        journal, end, check_model_name(record.n), record.path, record.attempt,
        tags, properties, record.description,
        record.t if _is_int64(record.t) else 0,
    )  # fmt: skip


def _value(kind: str, record: Logged, content: Any) -> Value:
    step = record.s if record.s is not None and _is_int64(record.s) else None
    t_ns = record.t if _is_int64(record.t) else 0
    return Value(kind, record.n, step, msgspec.json.encode(content).decode(), t_ns)


def _is_int64(value: int) -> bool:
    return -(2**63) <= value < 2**63


def _columns(metrics: list[Logged]) -> Batch | None:
    """The points as columns; None when one of them isn't a plain number."""
    if not metrics:
        return None
    places: dict[str, int] = {}
    try:
        values = array("d", [record.v for record in metrics])
        steps = array("q", [record.s for record in metrics])  # type: ignore[type-var]
        times_ns = array("q", [record.t for record in metrics])
        for record in metrics:
            if record.n not in places:
                places[check_name("name", record.n)] = len(places)
    except (TypeError, OverflowError, Invalid):
        return None
    series = array("l", [places[record.n] for record in metrics])
    return Batch(
        names=list(places),
        series=np.frombuffer(series, dtype=np.int64),
        steps=np.frombuffer(steps, dtype=np.int64),
        times_ns=np.frombuffer(times_ns, dtype=np.int64),
        values=np.frombuffer(values, dtype=np.float64),
    )


def _sorted_out(
    journal: str, metrics: list[Logged], ends: list[int], news: LoggedNews
) -> list[Logged]:
    """The points among the metrics; strings become values, what is neither an oddity."""
    points: list[Logged] = []
    for record, end in zip(metrics, ends, strict=True):
        try:
            check_name("name", record.n)
            if isinstance(record.v, str):
                news.values.append(_value("string", record, record.v))
                continue
            if record.v is None:
                record.v = logged.NON_FINITE[record.x]
            if not isinstance(record.v, (int, float)):
                raise Invalid.field(record.n, record.v, "a metric is a number or a string")
            record.v = float(record.v)
            if record.s is None or not (_is_int64(record.s) and _is_int64(record.t)):
                raise Invalid.field("step", record.s, "a step is a whole number of 64 bits")
            points.append(record)
        except (Invalid, KeyError, OverflowError) as error:
            _odd(news.oddities, journal, end, f"metric {record.n!r:.80}: {error}")
    return points


# --- events and decisions ---


class Told(NamedTuple):
    """One record of `events` or `decisions` in the merged order."""

    journal: str
    end: int
    record: Mapping[str, Any]


def merged(events: Chunk, decisions: Chunk) -> tuple[list[Told], int]:
    """Both in the order in which things happened, and up to where `decisions` is used.

    A decision comes after the events that the server had seen. One that had seen events which
    aren't read yet waits, unless no more of them can be read.
    """
    pending = list(zip(events.ends, events.bodies, strict=True))
    told: list[Told] = []
    used = decisions.start
    place = 0
    for end, body in zip(decisions.ends, decisions.bodies, strict=True):
        record = _record(body)
        seen = seen_by(record, events.start)
        if seen > events.offset and events.more:
            return told + [_told(EVENTS, *one) for one in pending[place:]], used
        while place < len(pending) and pending[place][0] <= seen:
            told.append(_told(EVENTS, *pending[place]))
            place += 1
        told.append(Told(DECISIONS, end, record))
        used = end
    told += [_told(EVENTS, *one) for one in pending[place:]]
    return told, decisions.offset


def seen_by(record: Mapping[str, Any], otherwise: int) -> int:
    seen = record.get("seen", otherwise)
    return seen if isinstance(seen, int) else otherwise


def is_late(events: Chunk, decisions: Chunk) -> bool:
    """Whether a decision belongs before events that were read by an earlier call."""
    return any(seen_by(_record(body), events.start) < events.start for body in decisions.bodies)


def _told(journal: str, end: int, body: bytes) -> Told:
    return Told(journal, end, _record(body))


def _record(body: bytes) -> Mapping[str, Any]:
    """The record, {} when it isn't JSON: its kind is then unknown."""
    try:
        record = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}
    return record if isinstance(record, dict) else {}
