"""The one thread that appends decisions and ingests the folders of runs.

One thread, because there is one writer of the database and of each `decisions` journal, and because
a decision must be taken on exactly the state that it will follow in the merged order: `seen` says
up to where `events` was read, and nothing is read between the look at the state and the append.
Turns go round: a run with a flood of records gets one bounded piece of work in each. The loop never
waits for the disk; it is called back with `News`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

import sqlalchemy as sa

from outlast.errors import NotFound, OutlastError
from outlast.journal.line import pack
from outlast.journal.writer import Writer
from outlast.run import events as ev
from outlast.run.folder import DECISIONS, EVENTS, RunFolder
from outlast.run.spec import RunSpec
from outlast.run.state import Instruction, InvalidTransition, RunState, step
from outlast.store import schema
from outlast.store.database import Database
from outlast.store.ingest import Ingest, Ingested
from outlast.store.reading import load_spec

_log = logging.getLogger(__name__)

Choice = Callable[[RunState], Sequence[ev.Event]]
FIRST_RETRY_S = 0.5
LAST_RETRY_S = 30.0
RUNS_AT_ONCE = 16  # in one transaction
# How long it is caught up with what was logged, and with the state.
WHOLE_S = 0.25
STORY_S = 2.0


class News(NamedTuple):
    """What one ingest brought."""

    run_id: str
    spec: RunSpec
    state: RunState
    instructions: tuple[Instruction, ...]
    moved: tuple[str, ...]  # the journals of which something was read
    more: bool  # there is more to read
    registers: bool  # something is to be registered as a model


class _Wish(NamedTuple):
    """A decision that the loop asked for."""

    choose: Choice
    is_synced: bool
    answer: asyncio.Future[RunState]


class _Reader(NamedTuple):
    """Somebody who waits until the folder is read."""

    is_whole: bool  # also what was logged, not only events and decisions
    answer: asyncio.Future[RunState]


class _Desk:
    """What the thread knows of one run, and what it shall do for it."""

    __slots__ = (
        "events_offset", "folder", "more", "readers", "retry_s", "spec", "state", "story_more",
        "wishes",
    )  # fmt: skip

    def __init__(self, folder: RunFolder) -> None:
        self.folder = folder
        self.spec: RunSpec | None = None
        self.state: RunState | None = None  # None until the first ingest
        self.events_offset = 0
        self.more = False  # the last ingest left something to read
        self.story_more = False  # events or decisions, that is
        self.wishes: list[_Wish] = []
        self.readers: list[_Reader] = []
        self.retry_s = FIRST_RETRY_S


class _Turn(NamedTuple):
    """One run's share of a round."""

    desk: _Desk
    wishes: list[_Wish]
    readers: list[_Reader]


class Scribe:
    """Asked from the loop, works in its thread, reports to the loop."""

    def __init__(
        self,
        database: Database,
        runs_folder: str,
        on_news: Callable[[News], None],
        on_missing: Callable[[str], None],
    ) -> None:
        """`on_news` is called for each ingest, `on_missing` when a run's folder isn't there."""
        self._database = database
        self._ingest = Ingest(database)
        self._runs_folder = runs_folder
        self._on_news = on_news
        self._on_missing = on_missing
        self._loop = asyncio.get_running_loop()
        self._todo: OrderedDict[str, _Desk] = OrderedDict()  # whose turn comes, in order
        self._at_work: list[str] = []  # whose turn it is
        self._desks: dict[str, _Desk] = {}
        self._wake = threading.Condition()
        self._is_closing = False
        self._thread = threading.Thread(target=self._work, name="outlast-scribe", daemon=True)
        self._thread.start()

    # --- asked from the loop ---

    def look(self, run_id: str) -> None:
        """Something changed in this run's folder: ingest it when its turn comes."""
        with self._wake:
            self._queue(run_id)

    async def read(self, run_id: str, *, is_whole: bool = False) -> RunState:
        """Ingest all events and decisions that are there now, and return the state after them.

        With `is_whole`, all that was logged as well. Raises what reading raises: NotFound without a
        folder, Unreachable, DiskFull.
        """
        answer: asyncio.Future[RunState] = self._loop.create_future()
        with self._wake:
            self._queue(run_id).readers.append(_Reader(is_whole, answer))
        return await answer

    async def catch_up(self, run_id: str = "") -> None:
        """Read what is there of one run, or of every one that waits to be read.

        All of it, or when that takes longer than WHOLE_S, as behind a flood of points, what makes
        the state; for STORY_S at most. Nothing is done for a run that is over and read.
        """
        with self._wake:
            waiting = [*self._todo, *self._at_work]
            is_known = run_id in self._desks
        if not run_id:
            await _within(STORY_S, *map(self.read, waiting))
        elif is_known and not await _within(WHOLE_S, self.read(run_id, is_whole=True)):
            await _within(STORY_S, self.read(run_id))

    async def decide(self, run_id: str, choose: Choice, *, is_synced: bool = False) -> RunState:
        """Append the events that `choose(state)` returns, and return the state after them.

        `choose` sees the state as it is in the merged order, in the scribe's thread; it may return
        nothing. The events stand in the journal when this returns (with `is_synced`, on the disk),
        and the database follows. Raises InvalidTransition when one can't follow, DiskFull and so
        on; nothing was decided then.
        """
        answer: asyncio.Future[RunState] = self._loop.create_future()
        with self._wake:
            self._queue(run_id).wishes.append(_Wish(choose, is_synced, answer))
        return await answer

    async def insist(self, run_id: str, choose: Choice) -> None:
        """Decide, and go on trying while the disk doesn't take it.

        A decision that has become void (the run is gone, or can't go that way any more) is dropped.
        """
        delay_s = FIRST_RETRY_S
        while True:
            try:
                await self.decide(run_id, choose)
                return
            except (NotFound, InvalidTransition) as error:
                _log.info("decision has become void run=%s: %s", run_id, error)
                return
            except (OutlastError, OSError) as error:
                _log.warning("decision not recorded, will retry run=%s: %s", run_id, error)
            await asyncio.sleep(delay_s)
            delay_s = min(delay_s * 2, LAST_RETRY_S)

    def forget(self, run_id: str) -> None:
        """The run is over and read: keep nothing of it in memory."""
        with self._wake:
            if run_id not in self._todo:
                self._desks.pop(run_id, None)

    async def close(self) -> None:
        """Finish the round at hand and end the thread; what is left is found at the next start."""
        with self._wake:
            self._is_closing = True
            self._wake.notify()
        await asyncio.to_thread(self._thread.join)

    def _queue(self, run_id: str) -> _Desk:
        desk = self._desks.get(run_id)
        if desk is None:
            desk = self._desks[run_id] = _Desk(RunFolder(os.path.join(self._runs_folder, run_id)))
        if run_id not in self._todo:
            self._todo[run_id] = desk
            self._wake.notify()
        return desk

    # --- in the thread ---

    def _work(self) -> None:
        while True:
            turns = self._next_turns()
            if not turns:
                return
            try:
                self._round(turns)
            except Exception as error:
                # Nothing was lost: what was read is undone with its transaction, and read again.
                _log.warning("reading runs failed, will retry runs=%d: %s", len(turns), error)
                for turn in turns:
                    self._fail(turn, error)
                    self._later(turn.desk)

    def _next_turns(self) -> list[_Turn]:
        """Who is served in this round; empty when the thread shall end."""
        with self._wake:
            self._at_work = []
            while not self._todo and not self._is_closing:
                self._wake.wait()
            if self._is_closing:
                return []
            turns: list[_Turn] = []
            floods = 0
            for run_id, desk in list(self._todo.items()):
                # Of the runs that have more than a call reads, one a round: the others' few records
                # wait for one bounded piece of work, not for sixteen.
                floods += desk.more
                if len(turns) == RUNS_AT_ONCE or (desk.more and floods > 1):
                    continue
                del self._todo[run_id]
                turns.append(_Turn(desk, desk.wishes, desk.readers))
                desk.wishes, desk.readers = [], []
            self._at_work = [turn.desk.folder.run_id for turn in turns]
            return turns

    def _round(self, turns: list[_Turn]) -> None:
        unknown = [turn for turn in turns if turn.wishes and turn.desk.state is None]
        if unknown:  # a decision needs a state
            self._read(unknown)
        failed = [id(turn) for turn in unknown if turn.desk.state is None]
        turns = [turn for turn in turns if id(turn) not in failed]
        for turn in turns:
            for wish in turn.wishes:
                self._grant(turn.desk, wish)
        for turn in self._read(turns):
            self._close(turn)

    def _grant(self, desk: _Desk, wish: _Wish) -> None:
        assert desk.state is not None
        try:
            chosen = wish.choose(desk.state)
            state = desk.state
            for event in chosen:
                state, _ = step(state, event)
            if chosen:
                append_decisions(desk.folder, chosen, desk.events_offset, is_synced=wish.is_synced)
        except Exception as error:
            self._answer(wish.answer, error)
            return
        desk.state = state
        self._answer(wish.answer, state)

    def _read(self, turns: Sequence[_Turn]) -> list[_Turn]:
        """Ingest these runs in one transaction; returns those that could be read."""
        read = []
        results = self._ingest.run_many([turn.desk.folder for turn in turns])
        for turn, found in zip(turns, results, strict=True):
            if isinstance(found, OutlastError):
                self._fail(turn, found)
                self._unreadable(turn.desk, found)
            else:
                self._take(turn.desk, found)
                read.append(turn)
        return read

    def _take(self, desk: _Desk, found: Ingested) -> None:
        if desk.spec is None:
            desk.spec = load_spec(desk.folder)
        if desk.state is None or EVENTS in found.moved:
            desk.events_offset = self._offset_of(found.key)
        desk.state = found.state
        desk.more = found.more
        desk.story_more = found.more and (EVENTS in found.moved or DECISIONS in found.moved)
        desk.retry_s = FIRST_RETRY_S
        news = News(
            found.run_id,
            desk.spec,
            found.state,
            found.instructions,
            found.moved,
            found.more,
            found.registers,
        )
        self._call(self._on_news, news)

    def _offset_of(self, key: int) -> int:
        """Up to where `events` is read: what a decision has `seen`."""
        query = sa.select(schema.cursors.c.offset).where(
            schema.cursors.c.run == key, schema.cursors.c.journal == EVENTS
        )
        with self._database.read() as connection:
            return int(connection.execute(query).scalar() or 0)

    def _close(self, turn: _Turn) -> None:
        """Answer who waits; what isn't read yet goes to the end of the line."""
        desk = turn.desk
        assert desk.state is not None
        waiting = []
        for reader in turn.readers:
            if desk.more if reader.is_whole else desk.story_more:
                waiting.append(reader)
            else:
                self._answer(reader.answer, desk.state)
        if desk.more:
            with self._wake:
                self._queue(desk.folder.run_id).readers.extend(waiting)

    def _unreadable(self, desk: _Desk, error: OutlastError) -> None:
        run_id = desk.folder.run_id
        if isinstance(error, NotFound):  # deleted, or not a run (yet)
            with self._wake:
                if run_id not in self._todo:
                    self._desks.pop(run_id, None)
            self._call(self._on_missing, run_id)
        else:
            _log.warning("a run can't be read, will retry run=%s: %s", run_id, error)
            self._later(desk)

    def _later(self, desk: _Desk) -> None:
        delay_s, desk.retry_s = desk.retry_s, min(desk.retry_s * 2, LAST_RETRY_S)
        self._call(self._loop.call_later, delay_s, self.look, desk.folder.run_id)

    def _fail(self, turn: _Turn, error: Exception) -> None:
        for answer in [wish.answer for wish in turn.wishes] + [r.answer for r in turn.readers]:
            self._answer(answer, error)

    def _answer(self, answer: asyncio.Future[RunState], value: RunState | Exception) -> None:
        def settle() -> None:
            if answer.done():  # canceled, or answered before a later step failed
                return
            if isinstance(value, Exception):
                answer.set_exception(value)
            else:
                answer.set_result(value)

        self._call(settle)

    def _call(self, function: Callable[..., object], *arguments: object) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody listens any more
            self._loop.call_soon_threadsafe(function, *arguments)


async def _within(seconds: float, *reads: Awaitable[RunState]) -> bool:
    """Have they all ended in time? What failed is told to whoever needs it, and tried again."""
    try:
        await asyncio.wait_for(asyncio.gather(*reads, return_exceptions=True), seconds)
    except TimeoutError:
        return False
    return True


def append_decisions(
    folder: RunFolder, events: Sequence[ev.Event], seen: int, *, is_synced: bool
) -> None:
    """Append to `decisions`, all of them or none.

    `seen` is the offset up to which `events` was read: every reader merges by it.
    """
    lines = b"".join(pack({**ev.to_record(event), "seen": seen}) for event in events)
    with Writer(folder.file(DECISIONS)) as writer:
        writer.append_packed(lines)
        if is_synced:
            writer.sync()


def now_ns() -> int:
    """The wall clock, as events carry it."""
    return time.time_ns()


def failure_text(error: BaseException) -> str:
    """An error as an event's message."""
    return error.message if isinstance(error, OutlastError) else f"{type(error).__name__}: {error}"
