"""Changes: who waits for news is woken by it."""

from __future__ import annotations

import asyncio

from outlast.scheduler.changes import ANY, Changes


def test_a_waiter_is_woken_by_a_change_of_its_run() -> None:
    async def story() -> None:
        changes = Changes(first=100)
        waiting = asyncio.create_task(changes.wait("a", 100, 60))
        other = asyncio.create_task(changes.wait("b", 100, 60))
        anybody = asyncio.create_task(changes.wait(ANY, 100, 60))
        await asyncio.sleep(0)
        changes.note("a")
        assert await waiting == 101
        assert await anybody == 101
        assert not other.done()
        changes.note("b")
        assert await other == 101
        assert changes.version() == 102

    asyncio.run(story())


def test_a_version_that_differs_is_told_at_once() -> None:
    async def story() -> None:
        changes = Changes(first=100)
        changes.note("a")
        assert await changes.wait("a", 100, 60) == 101
        assert await changes.wait("a", 999, 60) == 101

    asyncio.run(story())


def test_nothing_happens_and_the_time_is_up() -> None:
    async def story() -> None:
        changes = Changes(first=100)
        assert await changes.wait("a", 100, 0.01) == 100
        assert await changes.wait("a", 100, 0) == 100
        assert changes._waiters == {}

    asyncio.run(story())


def test_a_waiter_that_gave_up_leaves_nothing_behind() -> None:
    async def story() -> None:
        changes = Changes(first=100)
        waiting = asyncio.create_task(changes.wait("a", 100, 60))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        assert changes._waiters == {}
        changes.note("a")

    asyncio.run(story())


def test_versions_of_a_restarted_server_are_larger() -> None:
    before = Changes(first=1_000)
    for _ in range(5):
        before.note("a")
    # Real ones begin at the milliseconds of the clock, which counting doesn't outrun.
    assert Changes(first=2_000).version("a") > before.version("a")


def test_a_deleted_run_wakes_its_waiters() -> None:
    async def story() -> None:
        changes = Changes(first=100)
        waiting = asyncio.create_task(changes.wait("a", 100, 60))
        await asyncio.sleep(0)
        changes.forget("a")
        assert await waiting == 100

    asyncio.run(story())
