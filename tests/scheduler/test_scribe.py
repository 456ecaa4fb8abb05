"""The scribe: decisions on the state that they follow, nothing lost when a disk refuses."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from outlast.errors import DiskFull, NotFound, Unreachable
from outlast.journal.writer import Writer
from outlast.run import events as ev
from outlast.run.events import to_record
from outlast.run.folder import DECISIONS, EVENTS
from outlast.run.state import InvalidTransition
from outlast.scheduler import decisions, launching, scribe
from outlast.scheduler.launching import Launch
from outlast.scheduler.scribe import News, Scribe
from outlast.store.database import Database
from outlast.store.ingest import Ingest
from tests.scheduler.workspace import Workspace, run, spec_of, wait_until

QUEUED_TWICE = ev.Queued(7, 1)
DISPATCHED = ev.Dispatched(8, 1, "local")


class Desk:
    """A scribe with one run."""

    def __init__(self, workspace: Workspace) -> None:
        Path(workspace.settings.runs_folder).mkdir()
        self.workspace = workspace
        self.database = Database.open(workspace.settings.database)
        self.news: list[News] = []
        self.missing: list[str] = []
        launch = Launch(("true",), {}, "/")
        launching.make_folder(workspace.settings.runs_folder, spec_of("r"), launch, 5)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Scribe]:
        opened = Scribe(
            self.database,
            self.workspace.settings.runs_folder,
            self.news.append,
            self.missing.append,
        )
        try:
            yield opened
        finally:
            await opened.close()
            self.database.close()

    def tell(self, *events: ev.Event) -> int:
        with Writer(self.workspace.folder("r").file(EVENTS)) as writer:
            for event in events:
                writer.append(to_record(event))
            return writer.offset


def test_a_decision_says_what_it_had_seen(workspace: Workspace) -> None:
    async def story() -> None:
        desk = Desk(workspace)
        async with desk.open() as opened:
            await opened.decide("r", lambda _: (DISPATCHED,))
            supervised = ev.Supervised(9, 1, "command", 1, 2, "b", "h", "v")
            end = desk.tell(supervised)
            await opened.read("r")
            state = await opened.decide("r", decisions.cancel(10, "me", ""))
            assert state.cancel_ns == 10
            seen = [record["seen"] for record in workspace.records("r", DECISIONS)]
            assert seen == [0, 0, 0, end]

    run(story())


def test_a_decision_that_cannot_follow_is_not_written(workspace: Workspace) -> None:
    async def story() -> None:
        desk = Desk(workspace)
        async with desk.open() as opened:
            before = workspace.text("r", DECISIONS)
            with pytest.raises(InvalidTransition):
                await opened.decide("r", lambda _: (DISPATCHED, DISPATCHED))
            with pytest.raises(ZeroDivisionError):
                await opened.decide("r", lambda _: (1 / 0,))  # type: ignore[arg-type, return-value]
            assert workspace.text("r", DECISIONS) == before

    run(story())


def test_a_full_disk_refuses_and_later_takes_the_decision(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scribe, "FIRST_RETRY_S", 0.01)
    tries = 0
    append = scribe.append_decisions

    def full_twice(*args: object, **more: object) -> None:
        nonlocal tries
        tries += 1
        if tries <= 3:
            raise DiskFull("no room")
        append(*args, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(scribe, "append_decisions", full_twice)

    async def story() -> None:
        desk = Desk(workspace)
        async with desk.open() as opened:
            with pytest.raises(DiskFull):
                await opened.decide("r", lambda _: (DISPATCHED,))
            await opened.insist("r", decisions.dispatch(DISPATCHED))
            assert (await opened.read("r")).status == "Preparing"
            assert tries == 4

    run(story())


def test_a_database_that_fails_is_tried_again_and_nothing_is_lost(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scribe, "FIRST_RETRY_S", 0.01)
    failures = 3
    run_many = Ingest.run_many

    def failing(self: Ingest, folders: object) -> object:
        nonlocal failures
        if failures:
            failures -= 1
            raise Unreachable("the database doesn't serve now")
        return run_many(self, folders)  # type: ignore[arg-type]

    monkeypatch.setattr(Ingest, "run_many", failing)

    async def story() -> None:
        desk = Desk(workspace)
        async with desk.open() as opened:
            with pytest.raises(Unreachable):
                await opened.read("r")
            # Nobody asks again: the scribe does by itself.
            await wait_until(lambda: bool(desk.news))
            assert desk.news[0].state.status == "Queued"

    run(story())


def test_a_folder_that_is_not_there_is_told(workspace: Workspace) -> None:
    async def story() -> None:
        desk = Desk(workspace)
        async with desk.open() as opened:
            with pytest.raises(NotFound):
                await opened.read("nobody")
            await opened.insist("nobody", lambda _: (DISPATCHED,))
            await opened.read("r")
            assert desk.missing == ["nobody", "nobody"]

    run(story())


def test_decisions_asked_at_once_are_taken_one_after_the_other(workspace: Workspace) -> None:
    async def story() -> None:
        desk = Desk(workspace)
        threads = set()

        def choose(state: object) -> tuple[ev.Event, ...]:
            threads.add(threading.get_ident())
            return decisions.dispatch(DISPATCHED)(state)  # type: ignore[arg-type]

        async with desk.open() as opened:
            states = await asyncio.gather(*(opened.decide("r", choose) for _ in range(20)))
            assert {state.status for state in states} == {"Preparing"}
            kinds = [record["k"] for record in workspace.records("r", DECISIONS)]
            assert kinds == ["created", "queued", "dispatched"]
            assert len(threads) == 1
            assert threading.get_ident() not in threads

    run(story())


def test_a_run_that_is_known_is_caught_up_with(workspace: Workspace) -> None:
    async def story() -> None:
        desk = Desk(workspace)
        async with desk.open() as opened:
            await opened.catch_up("r")
            await opened.catch_up("nosuchrun0")
            assert (desk.news, desk.missing) == ([], [])
            await opened.read("r")
            for run_id in ("r", ""):
                desk.tell(ev.Supervised(9, 1, "command", 2, 3, "boot", "host", "1"))
                told = len(desk.news)
                if not run_id:
                    opened.look("r")
                await opened.catch_up(run_id)
                assert desk.news[told:][0].moved == (EVENTS,)

    run(story())
