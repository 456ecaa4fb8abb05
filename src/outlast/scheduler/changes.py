"""Who waits for news of a run, or of any run, is woken here.

A version is a number that is never the same again after a change, across restarts of the server as
well. Nothing is kept for a run that nobody waits for beyond its number. Used from the loop only.
"""

from __future__ import annotations

import asyncio
import time

ANY = ""  # the key that changes with every run


class Changes:
    """A version for each run and one for all of them."""

    def __init__(self, *, first: int | None = None) -> None:
        # Milliseconds: larger than any number that an earlier server reached by counting, and
        # exact in JavaScript.
        self._first = first if first is not None else time.time_ns() // 1_000_000
        self._versions: dict[str, int] = {}
        self._waiters: dict[str, set[asyncio.Future[None]]] = {}

    def version(self, key: str = ANY) -> int:
        """The present version of a run, or of all runs."""
        return self._versions.get(key, self._first)

    def note(self, run_id: str) -> None:
        """This run changed: wake those who wait for it, and those who wait for any."""
        for key in (run_id, ANY):
            self._versions[key] = self.version(key) + 1
            for waiter in self._waiters.pop(key, ()):
                if not waiter.done():
                    waiter.set_result(None)

    def forget(self, run_id: str) -> None:
        """The run was deleted: wake those who wait for it one last time."""
        self.note(run_id)
        self._versions.pop(run_id, None)

    async def wait(self, key: str, version: int, timeout_s: float) -> int:
        """Return the version of `key`: at once if it isn't `version`, else after a change.

        After `timeout_s` without a change it returns `version`.
        """
        if self.version(key) != version or timeout_s <= 0:
            return self.version(key)
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.setdefault(key, set()).add(waiter)
        try:
            async with asyncio.timeout(timeout_s):
                await waiter
        except TimeoutError:
            pass
        finally:
            waiters = self._waiters.get(key)
            if waiters is not None:
                waiters.discard(waiter)
                if not waiters:
                    self._waiters.pop(key, None)
        return self.version(key)
