"""From the folders of runs into the index: rows and offsets in one transaction.

`run(folder)` reads what is new, steps the run's state, and stores state, values, points and the
offsets up to where each journal was read. Killed anywhere, everything of a call is there or
nothing; told twice, stored once. It returns the instructions of the events that were new, for the
scheduler to carry out. The journals are read by reading.py; nothing here writes to a folder.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
import sqlalchemy as sa
from sqlalchemy import exc
from sqlalchemy.engine import Connection

from outlast.errors import Corrupt, DiskFull, OutlastError, Unreachable
from outlast.run import events as ev
from outlast.run.folder import DECISIONS, EVENTS, RunFolder
from outlast.run.manifest import Manifest
from outlast.run.spec import RunSpec
from outlast.run.state import Instruction, InvalidTransition, RunState, initial, step
from outlast.store import manifests, reading, registrations, series, summary
from outlast.store.database import Database
from outlast.store.reading import Chunk, LoggedNews, Oddity, Told
from outlast.store.schema import cursors, logged, run_needs, runs
from outlast.store.series_tables import series as series_table
from outlast.store.statement import execute_many
from outlast.store.summary import METRICS_LISTED, Summary

TRIES = 5  # when somebody else changes the run between reading and writing
NAMES_AT_ONCE = 500


class Ingested(NamedTuple):
    """What a call found."""

    run_id: str
    key: int
    state: RunState
    before: RunState | None  # the state before; None when the run is new
    version: int
    instructions: tuple[Instruction, ...]  # of the new events, in order
    moved: tuple[str, ...]  # the journals of which something was read
    more: bool  # there is more: call again
    registers: bool = False  # something is to be registered as a model


class _Known(NamedTuple):
    """What the index holds of a run."""

    key: int
    spec: RunSpec
    state: RunState
    summary: Summary
    version: int
    writes: int
    offsets: Mapping[str, int]


class _News(NamedTuple):
    """What the folder adds to it."""

    folder: RunFolder
    known: _Known | None
    spec: RunSpec
    state: RunState
    instructions: tuple[Instruction, ...]
    offsets: dict[str, int]  # those that moved
    logged: list[LoggedNews]
    oddities: list[Oddity]
    manifest: Manifest | None  # of outputs that have been committed since
    more: bool


class _Stale(Exception):
    """The index isn't any more what it was when the folder was read."""


class Ingest:
    """Reads run folders into one database. One thread at a time."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def run(self, folder: RunFolder) -> Ingested:
        """Read what is new in this folder, up to some 6 MB.

        Raises NotFound when it holds no spec, Invalid or Corrupt when the spec is wrong, and as
        `Database.write`. Nothing was stored then, and calling again is safe.
        """
        found = self.run_many([folder])[0]
        if isinstance(found, OutlastError):
            raise found
        return found

    def run_many(self, folders: Sequence[RunFolder]) -> list[Ingested | OutlastError]:
        """The same for several folders in one transaction; an error is that of its folder alone."""
        for _ in range(TRIES):
            gathered = self._gather(folders)
            news = [one for one in gathered if isinstance(one, _News)]
            try:
                stored = iter(self._store(news))
            except (_Stale, exc.IntegrityError):
                continue
            except DiskFull as error:
                if len(folders) == 1:
                    return [error]
                break  # a few words find room where a flood of points doesn't
            except exc.StatementError as error:
                if len(folders) == 1:
                    told = f"what {folders[0].path} holds can't be stored: {error.orig}"
                    return [Corrupt(told)]
                break
            return [next(stored) if isinstance(one, _News) else one for one in gathered]
        if len(folders) == 1:
            return [Unreachable("another server changes the same run; trying again is safe")]
        # One of them can't be stored: the others must not wait for it.
        return [self.run_many([folder])[0] for folder in folders]

    def _gather(self, folders: Sequence[RunFolder]) -> list[_News | OutlastError]:
        with self._database.read() as connection:
            known = _load_known(connection, [folder.run_id for folder in folders])
        gathered: list[_News | OutlastError] = []
        for folder in folders:
            try:
                gathered.append(_news(folder, known.get(folder.run_id)))
            except OutlastError as error:
                gathered.append(error)
        return gathered

    def _store(self, news: Sequence[_News]) -> list[Ingested]:
        if not any(one.known is None or one.offsets or one.oddities for one in news):
            return [_unchanged(one) for one in news]
        calls = 0

        def work(connection: Connection) -> list[Ingested]:
            nonlocal calls
            calls += 1
            return [_store_one(connection, one, is_retry=calls > 1) for one in news]

        return self._database.transact(work)


def _load_known(connection: Connection, ids: Sequence[str]) -> dict[str, _Known]:
    columns = ("key", "id", "spec", "state", "summary", "version", "writes")
    query = sa.select(*(runs.c[name] for name in columns)).where(runs.c.id.in_(ids))
    rows = connection.execute(query).all()
    offsets: dict[int, dict[str, int]] = {row.key: {} for row in rows}
    query = sa.select(cursors).where(cursors.c.run.in_(list(offsets)))
    for run, journal, offset in connection.execute(query):
        offsets[run][journal] = offset
    return {
        row.id: _Known(
            row.key,
            RunSpec.from_dict(msgspec.json.decode(row.spec)),
            RunState.from_dict(msgspec.json.decode(row.state)),
            summary.decode(row.summary),
            row.version,
            row.writes,
            offsets[row.key],
        )
        for row in rows
    }


# --- reading ---


def _news(folder: RunFolder, known: _Known | None) -> _News:
    spec = known.spec if known is not None else reading.load_spec(folder)
    before = known.offsets if known is not None else {}
    sizes = reading.sizes(folder)
    decisions, events = _read_story(folder, sizes, before)
    if reading.has_end(events):
        sizes = reading.sizes(folder)  # what was logged up to the end is there by now
    chunks = _read_logged(folder, sizes, before)
    if any(chunk.more for chunk in chunks):
        # A run isn't over before everything that it logged is in the index.
        events = reading.without_end(events)
    state, instructions, story = _fold_story(folder, spec, known, decisions, events)
    told = [reading.logged_news(chunk) for chunk in chunks]
    offsets = {
        chunk.journal: chunk.offset
        for chunk in (*story.chunks, *chunks)
        if chunk.offset != chunk.start
    }
    manifest = None
    if state.is_committed and state.manifest and not (known and known.state.is_committed):
        manifest = reading.load_manifest(folder, state.manifest)
    return _News(
        folder,
        known,
        spec,
        state,
        instructions,
        offsets,
        told,
        [*story.oddities, *(oddity for one in told for oddity in one.oddities)],
        manifest,
        any(chunk.more for chunk in (*story.chunks, *chunks)),
    )


def _read_logged(
    folder: RunFolder, sizes: Mapping[str, int], before: Mapping[str, int]
) -> list[Chunk]:
    changed = [
        name
        for name in sorted(sizes)
        if name not in (EVENTS, DECISIONS) and sizes[name] != before.get(name, 0)
    ]
    if not changed:
        return []
    share_bytes = max(reading.LEAST_SHARE_BYTES, reading.LOGGED_BYTES // len(changed))
    at_once = changed[: reading.LOGGED_BYTES // share_bytes]
    chunks = [reading.read(folder, name, before.get(name, 0), share_bytes) for name in at_once]
    if len(at_once) < len(changed) and any(chunk.offset != chunk.start for chunk in chunks):
        chunks[-1] = chunks[-1]._replace(more=True)
    return chunks


class _Story(NamedTuple):
    chunks: tuple[Chunk, ...]
    oddities: list[Oddity]


def _read_story(
    folder: RunFolder, sizes: Mapping[str, int], before: Mapping[str, int]
) -> tuple[Chunk, Chunk]:
    """New decisions and events; decisions first: what one has seen is then there among events."""
    decisions, events = (
        reading.read(folder, name, before.get(name, 0), reading.STORY_BYTES)
        if sizes.get(name, 0) != before.get(name, 0)
        else Chunk(name, before.get(name, 0), before.get(name, 0), [], [], [])
        for name in (DECISIONS, EVENTS)
    )
    return decisions, events


def _fold_story(
    folder: RunFolder, spec: RunSpec, known: _Known | None, decisions: Chunk, events: Chunk
) -> tuple[RunState, tuple[Instruction, ...], _Story]:
    """The state after the new events and decisions, and their instructions."""
    state = known.state if known is not None else initial(spec)
    told, used = reading.merged(events, decisions)
    if used < decisions.offset:
        decisions = decisions._replace(offset=used, more=True)
    odd = [*decisions.oddities, *events.oddities]
    if reading.is_late(events, decisions):
        past = _past(folder, events, decisions)
        state, told = initial(spec), past
    state, instructions = _fold(state, told, {EVENTS: events, DECISIONS: decisions}, odd)
    return state, instructions, _Story((decisions, events), odd)


def _past(folder: RunFolder, events: Chunk, decisions: Chunk) -> list[Told]:
    """The whole story up to where both are read now, in its order: a decision came in late."""
    whole = [
        reading.read(folder, chunk.journal, 0, max(1, chunk.offset))
        for chunk in (events, decisions)
    ]
    cut = [
        found._replace(
            bodies=[b for b, end in zip(found.bodies, found.ends, strict=True) if end <= to.offset],
            ends=[end for end in found.ends if end <= to.offset],
            offset=to.offset,
            more=False,
        )
        for found, to in zip(whole, (events, decisions), strict=True)
    ]
    return reading.merged(cut[0], cut[1])[0]


def _fold(
    state: RunState, told: Sequence[Told], chunks: Mapping[str, Chunk], odd: list[Oddity]
) -> tuple[RunState, tuple[Instruction, ...]]:
    instructions: list[Instruction] = []
    for one in told:
        is_new = one.end > chunks[one.journal].start
        try:
            event = ev.from_record(one.record)
            if event is None:
                if not isinstance(one.record.get("k"), str):
                    raise ValueError("a record without a kind")
                continue  # of a newer writer
            state, asked = step(state, event)
        except InvalidTransition as error:
            code, message = "invalid_transition", str(error)
        except (TypeError, ValueError, KeyError, AttributeError) as error:
            code, message = "unreadable", f"{one.record.get('k')}: {error}"
        else:
            if is_new:
                instructions += asked
            continue
        if is_new and len(odd) < reading.ODDITIES:
            odd.append(Oddity(one.journal, one.end, code, message[:500]))
    return state, tuple(instructions)


# --- writing ---


def _unchanged(news: _News) -> Ingested:
    known = news.known
    assert known is not None
    return Ingested(
        news.folder.run_id, known.key, known.state, known.state, known.version, (), (), news.more
    )


def _store_one(connection: Connection, news: _News, *, is_retry: bool) -> Ingested:
    known = news.known
    if known is not None and not news.offsets and not news.oddities:
        return _unchanged(news)
    if is_retry and (stored := _stored_already(connection, news)) is not None:
        return stored
    fresh = known.summary if known is not None else summary.begun(news.spec)
    before = summary.encode(fresh)
    version = known.version if known is not None else 0
    key = known.key if known is not None else _insert_run(connection, news)
    _store_oddities(connection, key, news.oddities, fresh)
    tagged = _store_logged(connection, key, news.logged, fresh)
    if known is None:
        tagged = [*_first_values(key, news.spec), *tagged]
    fresh.exit_code = news.state.exit_code
    fresh.warnings = [(str(code), str(text)) for code, text in news.state.warnings]
    is_seen = known is None or known.state != news.state or _is_seen(before, fresh)
    version += is_seen
    measured = _store_points(connection, key, news.logged, fresh)
    summary.store_values(connection, [*tagged, *measured])
    if news.state.is_over and not news.more:
        series.seal(connection, key)
    _store_offsets(connection, key, news.offsets)
    if news.manifest is not None:  # there already, unless the index is made anew
        manifests.commit(connection, news.manifest, news.state.ended_ns)
    _update_run(connection, key, news, fresh, version)
    return Ingested(
        news.folder.run_id,
        key,
        news.state,
        known.state if known is not None else None,
        version,
        news.instructions,
        tuple(news.offsets),
        news.more,
        _registers(news),
    )


def _is_seen(before: str, fresh: Summary) -> bool:
    """Whether anything but metric points has changed."""
    return summary.encode(fresh) != before


def _stored_already(connection: Connection, news: _News) -> Ingested | None:
    """The connection died at the commit: was it committed? Our offsets tell."""
    now = _load_known(connection, [news.folder.run_id]).get(news.folder.run_id)
    writes = news.known.writes if news.known is not None else 0
    if now is None or now.writes != writes + 1:
        return None
    offsets = {**(news.known.offsets if news.known is not None else {}), **news.offsets}
    if dict(now.offsets) != offsets:
        return None
    before = news.known.state if news.known is not None else None
    return Ingested(
        news.folder.run_id, now.key, now.state, before, now.version,
        news.instructions, tuple(news.offsets), news.more, _registers(news),
    )  # fmt: skip


def _registers(news: _News) -> bool:
    return any(one.registers for one in news.logged)


def _insert_run(connection: Connection, news: _News) -> int:
    spec = news.spec
    values = {
        "id": spec.id,
        "experiment": spec.experiment,
        "name": spec.name,
        "parent": spec.parent,
        "spec": msgspec.json.encode(spec.to_dict()).decode(),
        **_state_columns(news.state, spec),
        "version": 0,
        "writes": 0,
        "summary": "{}",
        "state": "{}",
    }
    inserted = connection.execute(runs.insert().values(values).returning(runs.c.key))
    key = int(inserted.scalar_one())
    needs = [{"run": key, "needed": needed} for needed in dict.fromkeys(spec.after)]
    if needs:
        connection.execute(run_needs.insert(), needs)
    return key


def _update_run(
    connection: Connection, key: int, news: _News, fresh: Summary, version: int
) -> None:
    writes = news.known.writes if news.known is not None else 0
    changed = connection.execute(
        runs.update()
        .where(runs.c.key == key, runs.c.writes == writes)
        .values(
            **_state_columns(news.state, news.spec),
            version=version,
            writes=writes + 1,
            summary=summary.encode(fresh),
            state=msgspec.json.encode(news.state.to_dict()).decode(),
        )
    )
    if changed.rowcount != 1:
        raise _Stale


def _state_columns(state: RunState, spec: RunSpec) -> dict[str, Any]:
    """The columns of a state, made fit for both databases whatever a journal holds."""
    has_run = state.is_over and state.started_ns and state.ended_ns
    return {
        "kind": _text(state.kind),
        "status": _text(state.status),
        "stage": _text(state.stage),
        "cause": _text(state.cause),
        "message": _text(state.message),
        "created_ns": _whole(state.created_ns or spec.created_ns),
        "queued_ns": _whole(state.queued_ns),
        "started_ns": _whole(state.started_ns),
        "ended_ns": _whole(state.ended_ns),
        "duration_ns": _whole(max(0, state.ended_ns - state.started_ns)) if has_run else None,
        "attempt": _whole(state.attempt),
    }


def _text(value: Any) -> str:
    return str(value).replace("\0", "\N{REPLACEMENT CHARACTER}")


def _whole(value: Any) -> int:
    return min(max(int(value), -(2**63)), 2**63 - 1)


def _first_values(key: int, spec: RunSpec) -> list[summary.Value]:
    tags = [summary.value_row(key, f"tags.{name}", value) for name, value in spec.tags.items()]
    return tags + [
        summary.value_row(key, f"params.{name}", value) for name, value in spec.parameters.items()
    ]


def _store_offsets(connection: Connection, key: int, offsets: Mapping[str, int]) -> None:
    rows = [(key, journal, offset) for journal, offset in offsets.items()]
    execute_many(connection, _PUT_OFFSET, rows)


_PUT_OFFSET = (
    'INSERT INTO cursors (run, journal, "offset") VALUES (?, ?, ?)'
    ' ON CONFLICT (run, journal) DO UPDATE SET "offset" = excluded."offset"'
)
_PUT_ODDITY = (
    'INSERT INTO oddities (run, journal, "offset", code, message) VALUES (?, ?, ?, ?, ?)'
    " ON CONFLICT DO NOTHING"
)
_NOTICES = {
    "corrupt": "records of journal {0} are damaged and were left out",
    "unreadable": "records of journal {0} can't be understood and were left out",
    "shrunk": "journal {0} lost its end, as after a power cut",
    "trimmed": "journal {0} was trimmed before all of it was read",
    "invalid_transition": "journal {0} tells of something that can't have happened then",
}


def _store_oddities(
    connection: Connection, key: int, odd: Sequence[Oddity], fresh: Summary
) -> None:
    rows = [(key, *one[:3], _text(one.message)) for one in odd]
    execute_many(connection, _PUT_ODDITY, rows)
    for one in odd:
        fresh.notice(one.code, f"{_NOTICES[one.code].format(one.journal)}: {_text(one.message)}")


def _store_logged(
    connection: Connection, key: int, told: Sequence[LoggedNews], fresh: Summary
) -> list[summary.Value]:
    """Values, tags and properties; returns the narrow rows of the tags."""
    values = [value for one in told for value in one.values]
    if values:
        highest = sa.select(sa.func.coalesce(sa.func.max(logged.c.number), 0))
        last = connection.execute(highest.where(logged.c.run == key)).scalar_one()
        rows = [(key, last + place, *value) for place, value in enumerate(values, 1)]
        execute_many(connection, _PUT_VALUE, rows)
    tags = {name: value for one in told for name, value in one.tags}
    fresh.tags.update(tags)
    asked = [asked for one in told for asked in one.registers]
    if registrations.add(connection, key, asked):
        most = registrations.MAX_OF_RUN
        fresh.notice(
            "too_many_models", f"it asked for more than {most} models; the rest is not made"
        )
    for one in told:
        for name, value in one.properties:
            if fresh.properties.setdefault(name, value) != value:
                kept = fresh.properties[name]
                fresh.notice("property_kept", f"property {name} stays {kept!r:.80}: it is set once")
        if one.lost_records:
            fresh.lost_records += one.lost_records
            fresh.noticed = [notice for notice in fresh.noticed if notice[0] != "records_lost"]
            text = f"the script could not write {fresh.lost_records} records ({one.lost_reason})"
            fresh.notice("records_lost", text)
    return [summary.value_row(key, f"tags.{name}", value) for name, value in tags.items()]


_PUT_VALUE = (
    "INSERT INTO logged (run, number, kind, name, step, value, t_ns) VALUES (?, ?, ?, ?, ?, ?, ?)"
)


def _store_points(
    connection: Connection, key: int, told: Sequence[LoggedNews], fresh: Summary
) -> list[summary.Value]:
    """The points; then the summary of each series that got some, and its narrow row."""
    names: dict[str, None] = {}
    for one in told:
        if one.points is not None:
            series.append(connection, key, one.points)
            names.update(dict.fromkeys(one.points.names))
    columns = series_table.c
    wanted = (columns.name, columns.n, columns.last_step, columns.min, columns.max, columns.last)
    rows: list[summary.Value] = []
    ordered = list(names)
    for start in range(0, len(ordered), NAMES_AT_ONCE):
        part = ordered[start : start + NAMES_AT_ONCE]
        query = sa.select(*wanted).where(columns.run == key, columns.name.in_(part))
        for name, n, last_step, least, most, last in connection.execute(query):
            value = float("nan") if last is None else last
            rows.append(summary.metric_row(key, name, value))
            if name in fresh.metrics or len(fresh.metrics) < METRICS_LISTED:
                fresh.metrics[name] = {
                    "last": summary.plain_number(value),
                    "min": least,
                    "max": most,
                    "n": n,
                    "step": last_step,
                }
    return rows
