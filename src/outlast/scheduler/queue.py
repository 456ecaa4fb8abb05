"""Which waiting run starts next, and why another one doesn't yet. Pure: time comes in.

- Within an experiment, on one compute target: first in, first out. A run that waits for its time
  or for other runs is not in line yet and holds up nobody.
- A run that wants no slots (a session, a tunnel) waits for no turn: it starts at once.
- Between experiments: the one with the fewest runs at work goes first, then the one that was
  served longest ago.
- A run on a compute target starts when nodes of it are free, and their shares of the machine.
- No starvation: a run that was passed `MAX_PASSES` times because it didn't fit holds a reservation.
  From then on only runs that leave it all it waits for may start before it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from outlast.run.spec import Resources
from outlast.scheduler.pools import Nodes, Pools
from outlast.scheduler.slots import Held, Slots, Totals, lacking, minus

MAX_PASSES = 8


class Waiting(NamedTuple):
    """A run in the queue."""

    run_id: str
    experiment: str
    wants: Resources
    order: int  # smaller = earlier
    since_ns: int = 0
    not_before_ns: int = 0
    upstream: frozenset[str] = frozenset()  # runs that must be Completed first and aren't yet
    attempt: int = 1
    needs_turn: bool = True  # False: a person waits for it, and it wants no slots
    target: str = ""  # the compute target, "" = the whole machine
    nodes: int = 1  # of it


class Facts(NamedTuple):
    """What one waiting run waits for."""

    position: int  # 1 = the next of its experiment that starts when slots are free
    ahead: tuple[str, ...]  # runs of the same experiment that go before it
    wants: Resources
    free: Totals
    totals: Totals
    lacking: tuple[str, ...]  # of cpus, memory_bytes, gpus: what is not free now
    holders: tuple[tuple[str, Held], ...]  # runs that hold slots
    upstream: tuple[str, ...]
    not_before_ns: int  # 0 when its time has come
    reserved_for: str  # the run whose reservation this one must leave untouched, or ""
    since_ns: int
    waits_for: str  # time | upstream | turn | node | slots | reservation | "" (about to start)
    nodes: Nodes | None = None  # of its compute target; None on the whole machine


class Queue:
    """The waiting runs of one server."""

    def __init__(self, slots: Slots) -> None:
        self.slots = slots
        self.pools = Pools()
        self._waiting: dict[str, Waiting] = {}
        self._passes: dict[str, int] = {}
        self._served: dict[str, int] = {}  # experiment -> when it was last served, as a count
        self._serves = 0
        self._at_work: dict[str, str] = {}  # run -> experiment

    def __len__(self) -> int:
        return len(self._waiting)

    def __contains__(self, run_id: str) -> bool:
        return run_id in self._waiting

    def __iter__(self) -> Iterator[Waiting]:
        return iter(sorted(self._waiting.values(), key=lambda entry: (entry.order, entry.run_id)))

    def add(self, entry: Waiting) -> None:
        """Let the run wait; one that waits already is replaced."""
        self._waiting[entry.run_id] = entry

    def remove(self, run_id: str) -> None:
        """The run waits no longer: it was canceled, or it is dispatched."""
        self._waiting.pop(run_id, None)
        self._passes.pop(run_id, None)

    def settle(self, upstream: str) -> None:
        """This run is Completed: those who waited for it wait for one less."""
        for entry in self._waiting.values():
            if upstream in entry.upstream:
                rest = entry.upstream - {upstream}
                self._waiting[entry.run_id] = entry._replace(upstream=rest)

    def dependents(self, upstream: str) -> list[str]:
        """The runs that wait for this one."""
        return [entry.run_id for entry in self if upstream in entry.upstream]

    def at_work(
        self, run_id: str, experiment: str, held: Held, target: str = "", nodes: int = 1
    ) -> None:
        """An adopted run is at work and holds these slots, and so many nodes of its target."""
        self.slots.hold(run_id, held)
        self.pools.take(run_id, target, nodes)
        self._at_work[run_id] = experiment

    def release(self, run_id: str) -> None:
        """The run is over: its slots are free again."""
        self.slots.release(run_id)
        self.pools.release(run_id)
        self._at_work.pop(run_id, None)

    def next(self, now_ns: int) -> tuple[Waiting, Held] | None:
        """Take the run that starts now out of the queue, with its slots; None when none may."""
        for entry in self:
            if not entry.needs_turn and _is_in_line(entry, now_ns):
                self.remove(entry.run_id)
                return entry, Held()
        heads = self._heads(now_ns)
        reserved = self._reserved(heads)
        free = self.slots.free
        for entry in heads:
            lacks = self._lacks_nodes(entry) or lacking(entry.wants, free)
            if lacks or self._disturbs(entry, reserved, free):
                continue
            held = self.slots.reserve(entry.run_id, entry.wants)
            if held is None:  # can't be: it lacks nothing of what is free
                raise AssertionError(f"{entry.run_id} fits and doesn't")
            self._serve(entry, heads, free)
            self.pools.take(entry.run_id, entry.target, entry.nodes)
            return entry, held
        return None

    def wake_ns(self, now_ns: int) -> int:
        """When the next waiting run's time comes; 0 when none waits for a time."""
        times = [e.not_before_ns for e in self._waiting.values() if e.not_before_ns > now_ns]
        return min(times, default=0)

    def explain(self, run_id: str, now_ns: int) -> Facts | None:
        """What this run waits for; None when it isn't in the queue."""
        entry = self._waiting.get(run_id)
        if entry is None:
            return None
        free = self.slots.free
        ahead = tuple(
            other.run_id
            for other in self
            if (other.experiment, other.target) == (entry.experiment, entry.target)
            and other.order < entry.order
            and other.needs_turn
            and _is_in_line(other, now_ns)
        )
        reserved = self._reserved(self._heads(now_ns))
        is_held_up = reserved is not None and self._disturbs(entry, reserved, free)
        facts = Facts(
            position=len(ahead) + 1,
            ahead=ahead,
            wants=entry.wants,
            free=free,
            totals=self.slots.totals,
            lacking=lacking(entry.wants, free),
            holders=tuple(self.slots.holders.items()),
            upstream=tuple(sorted(entry.upstream)),
            not_before_ns=entry.not_before_ns if entry.not_before_ns > now_ns else 0,
            reserved_for=reserved.run_id if reserved is not None and is_held_up else "",
            since_ns=entry.since_ns,
            waits_for="",
            nodes=self.pools.nodes(entry.target, entry.nodes),
        )
        return facts._replace(waits_for=_waits_for(facts))

    def _heads(self, now_ns: int) -> list[Waiting]:
        """The first in line of each experiment on each target, in the order of being served."""
        heads: dict[tuple[str, str], Waiting] = {}
        for entry in self:
            if entry.needs_turn and _is_in_line(entry, now_ns):
                heads.setdefault((entry.experiment, entry.target), entry)
        busy = _counts(self._at_work)
        return sorted(
            heads.values(),
            key=lambda e: (
                busy.get(e.experiment, 0),
                self._served.get(e.experiment, 0),
                e.order,
            ),
        )

    def _reserved(self, heads: list[Waiting]) -> Waiting | None:
        """The run that was passed too often; of several the one that waits longest."""
        starved = [e for e in heads if self._passes.get(e.run_id, 0) >= MAX_PASSES]
        return min(starved, key=lambda entry: entry.order, default=None)

    def _serve(self, entry: Waiting, heads: list[Waiting], free: Totals) -> None:
        self.remove(entry.run_id)
        self._serves += 1
        self._served[entry.experiment] = self._serves
        self._at_work[entry.run_id] = entry.experiment
        for other in heads:
            if other.run_id != entry.run_id and self._is_passed_by(other, entry, free):
                self._passes[other.run_id] = self._passes.get(other.run_id, 0) + 1

    def _lacks_nodes(self, entry: Waiting) -> bool:
        return self.pools.is_lacking(entry.target, entry.nodes)

    def _is_passed_by(self, other: Waiting, served: Waiting, free: Totals) -> bool:
        """Does `served` take something of which `other` has too little?"""
        if self._lacks_nodes(other):
            return other.target == served.target
        return bool(lacking(other.wants, free))

    def _disturbs(self, entry: Waiting, reserved: Waiting | None, free: Totals) -> bool:
        """Would starting `entry` take something for which the reserved run waits?"""
        if reserved is None or reserved.run_id == entry.run_id:
            return False
        if self._lacks_nodes(reserved):  # until it has those, it can't use any slot
            return entry.target == reserved.target
        before = lacking(reserved.wants, free)
        wants = entry.wants._asdict()
        takes_lacking = any(wants[field] > 0 for field in before)
        return takes_lacking or lacking(reserved.wants, minus(free, entry.wants)) != before


def _is_in_line(entry: Waiting, now_ns: int) -> bool:
    return entry.not_before_ns <= now_ns and not entry.upstream


def _counts(at_work: Mapping[str, str]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for experiment in at_work.values():
        counts[experiment] = counts.get(experiment, 0) + 1
    return counts


def _waits_for(facts: Facts) -> str:
    if facts.upstream:
        return "upstream"
    if facts.not_before_ns:
        return "time"
    if facts.ahead:
        return "turn"
    if facts.nodes is not None and facts.nodes.is_lacking:
        return "node"
    if facts.lacking:
        return "slots"
    return "reservation" if facts.reserved_for else ""
