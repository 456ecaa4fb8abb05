"""What this machine can give to runs, and who holds how much of it.

Pure bookkeeping: nothing is measured here (see `machine`) and nothing is decided (see `queue`).
GPUs are device numbers, because a run must be told which ones are its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from outlast import units
from outlast.errors import Invalid
from outlast.run.spec import Resources

# Shares of a cpu are floats: 0.1 ten times must still fit into 1.
_TOLERANCE = 1e-9


class Totals(NamedTuple):
    """All there is to give."""

    cpus: float
    memory_bytes: int
    gpus: tuple[int, ...] = ()  # device numbers


class Held(NamedTuple):
    """What one run holds."""

    cpus: float = 0.0
    memory_bytes: int = 0
    gpus: tuple[int, ...] = ()  # device numbers

    @classmethod
    def from_state(cls, slots: Mapping[str, Any]) -> Held:
        """The slots that a run's state remembers; {} holds nothing."""
        return cls(
            float(slots.get("cpus", 0.0)),
            int(slots.get("memory_bytes", 0)),
            tuple(slots.get("gpus", ())),
        )


class Slots:
    """Who holds what of the totals."""

    def __init__(self, totals: Totals) -> None:
        self.totals = totals
        self._held: dict[str, Held] = {}

    @property
    def holders(self) -> Mapping[str, Held]:
        """Each run that holds something, in the order in which they got it."""
        return self._held

    @property
    def free(self) -> Totals:
        """What is left; below 0 where adopted runs hold more than the totals now allow."""
        used_gpus = {number for held in self._held.values() for number in held.gpus}
        return Totals(
            self.totals.cpus - sum(held.cpus for held in self._held.values()),
            self.totals.memory_bytes - sum(held.memory_bytes for held in self._held.values()),
            tuple(number for number in self.totals.gpus if number not in used_gpus),
        )

    def check(self, wants: Resources) -> None:
        """Raise Invalid when this could never fit, naming the field and the machine's total."""
        for field, asked, total in (
            ("cpus", wants.cpus, self.totals.cpus),
            ("memory_bytes", wants.memory_bytes, self.totals.memory_bytes),
            ("gpus", wants.gpus, len(self.totals.gpus)),
        ):
            if asked > total + _TOLERANCE:
                name = f"resources.{field}"
                raise Invalid.field(name, asked, f"this machine has {_told(field, total)} to give")

    def reserve(self, run_id: str, wants: Resources) -> Held | None:
        """Set these slots aside for the run; None, and nothing is changed, when they don't fit."""
        free = self.free
        if lacking(wants, free):
            return None
        held = Held(wants.cpus, wants.memory_bytes, free.gpus[: wants.gpus])
        self._held[run_id] = held
        return held

    def hold(self, run_id: str, held: Held) -> None:
        """Note what an adopted run holds already, whether or not it would fit today."""
        self._held[run_id] = held

    def release(self, run_id: str) -> bool:
        """Give back what the run holds; False if it held nothing."""
        return self._held.pop(run_id, None) is not None


def _told(field: str, total: float) -> str:
    return units.size(int(total)) if field == "memory_bytes" else f"{total:g}"


def lacking(wants: Resources, free: Totals) -> tuple[str, ...]:
    """The fields of which there isn't enough; () when it fits."""
    return tuple(
        field
        for field, asked, left in (
            ("cpus", wants.cpus, free.cpus),
            ("memory_bytes", wants.memory_bytes, free.memory_bytes),
            ("gpus", wants.gpus, len(free.gpus)),
        )
        if asked > 0 and asked > left + _TOLERANCE
    )


def minus(free: Totals, wants: Resources) -> Totals:
    """What would be left of `free` after giving `wants`."""
    return Totals(
        free.cpus - wants.cpus, free.memory_bytes - wants.memory_bytes, free.gpus[wants.gpus :]
    )
