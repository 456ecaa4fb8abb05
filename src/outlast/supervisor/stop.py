"""The stop ladder: TERM to the whole tree, a time of grace, then KILL until nothing is left.

What hangs on a terminal gets HUP first, as from a terminal that is closed: a shell ignores TERM.
Each rung is an event that names the processes. A process that is started while the others are being
killed is found by the next look, and there is a next look until one finds nothing.
"""

from __future__ import annotations

import signal
import time
from typing import Any, Callable, Dict, List, Set, Tuple

from outlast.process import Stat
from outlast.run import events as ev
from outlast.supervisor.loop import Loop, now_s, wall_ns
from outlast.supervisor.story import Story
from outlast.supervisor.tree import Tree, described, send

# Looks without a pause while each still finds processes that the one before didn't.
_EAGER_LOOKS = 50
_FIRST_PAUSE_S = 0.02
_HANGUP_S = 1.0  # at most; then TERM
_LONGEST_PAUSE_S = 0.5  # what is left by then sits in the kernel and dies when that lets it


class Ladder:
    """Ends the run's processes; at most one ladder stands at a time."""

    def __init__(
        self,
        attempt: int,
        tree: Tree,
        story: Story,
        loop: Loop,
        looked: Callable[[], None],
        *,
        hangs_up: bool = False,
    ) -> None:
        """`looked` is called after each look during KILL: maybe not one process is left."""
        self._hangs_up = hangs_up
        self._attempt = attempt
        self._tree = tree
        self._story = story
        self._loop = loop
        self._looked = looked
        self._pause_s = _FIRST_PAUSE_S
        self._kill_s = 0.0
        self.reason = ""
        self.rung = ""  # "" | HUP | TERM | KILL

    def start(self, reason: str, grace_s: float) -> List[Dict[str, Any]]:
        """Send the first signal, and KILL after the grace; KILL at once without one.

        Returns the processes.
        """
        self.reason = reason
        if grace_s <= 0:
            return self.kill()
        self._kill_s = now_s() + grace_s
        return self._ask_to_end("HUP" if self._hangs_up else "TERM")

    def _ask_to_end(self, rung: str) -> List[Dict[str, Any]]:
        members = self._tree.members()
        self.rung = rung
        told = described(members)  # before they die
        next_s = self._kill_s
        if rung == "HUP":
            next_s = min(now_s() + _HANGUP_S, next_s)
        self._announce(told, next_s)
        number = signal.SIGHUP if rung == "HUP" else signal.SIGTERM
        for stat in members:
            # A stopped process hears it only when it goes on.
            if send(stat, number):
                send(stat, signal.SIGCONT)
        self._loop.at("stop", next_s, self._next_rung)
        return told

    def _next_rung(self) -> None:
        if self.rung == "HUP" and now_s() < self._kill_s and self._tree.members():
            self._ask_to_end("TERM")
        else:
            self._kill_rung()

    def resume(self, reason: str, rung: str, next_ns: int, grace_s: float) -> None:
        """Go on where a supervisor that was killed had got to."""
        left_s = 0.0 if rung == "KILL" else max((next_ns - time.time_ns()) / 1e9, 0.0)
        self.reason, self.rung = reason, rung
        self._kill_s = now_s() + left_s + (grace_s if rung == "HUP" else 0.0)
        self._loop.after("stop", left_s, self._next_rung)

    def kill(self) -> List[Dict[str, Any]]:
        """Send KILL now, and go on until nothing is left. Returns the processes of now."""
        members = self._tree.members()
        told = described(members)
        if self.rung != "KILL":
            self.rung = "KILL"
            self._announce(told, 0)
        self._kill_all(members)
        self._loop.after("stop", self._pause_s, self._kill_rung)
        return told

    def over(self) -> None:
        """Nothing is left."""
        self._loop.cancel("stop")

    def _kill_rung(self) -> None:
        if self._tree.members():
            self.kill()
            self._pause_s = min(2 * self._pause_s, _LONGEST_PAUSE_S)
        else:  # until over() says so, one may have been missed
            self._loop.after("stop", self._pause_s, self._kill_rung)
        self._looked()

    def _kill_all(self, members: List[Stat]) -> None:
        seen: Set[Tuple[int, int]] = set()
        for _ in range(_EAGER_LOOKS):
            fresh = [stat for stat in members if (stat.pid, stat.start_ticks) not in seen]
            if not fresh:
                return
            for stat in fresh:
                send(stat, signal.SIGKILL)
            seen.update((stat.pid, stat.start_ticks) for stat in fresh)
            members = self._tree.members()

    def _announce(self, told: List[Dict[str, Any]], next_s: float) -> None:
        self._story.tell(
            ev.Stopping(
                t_ns=time.time_ns(),
                attempt=self._attempt,
                reason=self.reason,
                signal=self.rung,
                processes=tuple(told),
                next_ns=wall_ns(next_s) if next_s else 0,
            )
        )
