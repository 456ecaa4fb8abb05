"""A waiting run's place in the queue, as the scheduler told it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple


class Amounts(NamedTuple):
    """So much of a machine."""

    cpus: float = 0.0
    memory_bytes: int = 0
    gpus: int = 0  # how many

    @classmethod
    def of(cls, value: Any) -> Amounts:
        """From anything with these three names; gpus may be a number or device numbers."""
        fields = value if isinstance(value, Mapping) else value._asdict()
        gpus = fields.get("gpus", 0)
        return cls(
            float(fields.get("cpus", 0.0)),
            int(fields.get("memory_bytes", 0)),
            gpus if isinstance(gpus, int) else len(gpus),
        )


class Nodes(NamedTuple):
    """The nodes of the compute target on which a run waits."""

    target: str
    wanted: int = 1
    busy: int = 0
    most: int = 1  # 0 = it is stopped, -1 = there is no such target any more
    holders: tuple[str, ...] = ()  # runs on it

    @property
    def is_lacking(self) -> bool:
        """Are there fewer free than are wanted?"""
        return self.busy + self.wanted > self.most


class QueuePlace(NamedTuple):
    """What a waiting run waits for."""

    ahead: tuple[str, ...] = ()  # runs that go before it
    wants: Amounts = Amounts()
    free: Amounts = Amounts()
    totals: Amounts = Amounts()
    holders: tuple[tuple[str, Amounts], ...] = ()  # runs that hold slots
    upstream: tuple[tuple[str, str], ...] = ()  # (run, status): those that aren't Completed yet
    not_before_ns: int = 0
    reserved_for: str = ""  # the run that was passed too often and goes first
    is_paused: bool = False
    nodes: Nodes | None = None  # of its compute target; None on the whole machine

    @classmethod
    def of(
        cls, facts: Any, statuses: Mapping[str, str] | None = None, *, is_paused: bool = False
    ) -> QueuePlace:
        """From `scheduler.queue.Facts` and the status of each run that it waits for."""
        known = statuses or {}
        return cls(
            ahead=tuple(facts.ahead),
            wants=Amounts.of(facts.wants),
            free=Amounts.of(facts.free),
            totals=Amounts.of(facts.totals),
            holders=tuple((run_id, Amounts.of(held)) for run_id, held in facts.holders),
            upstream=tuple((run_id, known.get(run_id, "")) for run_id in facts.upstream),
            not_before_ns=facts.not_before_ns,
            reserved_for=facts.reserved_for,
            is_paused=is_paused,
            nodes=Nodes(*facts.nodes) if facts.nodes is not None else None,
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        plain = {name: value for name, value in self._asdict().items() if name != "nodes"}
        return {
            **plain,
            **({"nodes": self.nodes._asdict()} if self.nodes is not None else {}),
            **{name: getattr(self, name)._asdict() for name in ("wants", "free", "totals")},
            "holders": [[run_id, held._asdict()] for run_id, held in self.holders],
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> QueuePlace:
        """What `to_dict` gave."""
        values = {name: data[name] for name in cls._fields if name in data}
        for name in ("wants", "free", "totals"):
            if name in values:
                values[name] = Amounts.of(values[name])
        if "nodes" in values:
            nodes = values["nodes"]
            values["nodes"] = Nodes(**{**nodes, "holders": tuple(nodes.get("holders", ()))})
        values["ahead"] = tuple(values.get("ahead", ()))
        values["holders"] = tuple((run, Amounts.of(held)) for run, held in data.get("holders", ()))
        values["upstream"] = tuple((run, status) for run, status in data.get("upstream", ()))
        return cls(**values)
