"""Slots: who holds what of the totals."""

from __future__ import annotations

import pytest

from outlast.errors import Invalid
from outlast.run.spec import Resources
from outlast.scheduler.slots import Held, Slots, Totals, lacking

TOTALS = Totals(4.0, 1000, (0, 2, 5))


def test_a_run_is_told_which_gpus_are_its_own() -> None:
    slots = Slots(TOTALS)
    assert slots.reserve("a", Resources(1, 100, 2)) == Held(1, 100, (0, 2))
    assert slots.reserve("b", Resources(1, 100, 1)) == Held(1, 100, (5,))
    assert slots.reserve("c", Resources(1, 100, 1)) is None
    assert slots.release("a")
    assert slots.reserve("c", Resources(1, 100, 1)) == Held(1, 100, (0,))


def test_what_does_not_fit_changes_nothing() -> None:
    slots = Slots(TOTALS)
    slots.reserve("a", Resources(3, 0, 0))
    assert slots.reserve("b", Resources(2, 0, 0)) is None
    assert slots.free == Totals(1.0, 1000, (0, 2, 5))
    assert not slots.release("b")


def test_ten_tenths_of_a_cpu_fit_into_one() -> None:
    slots = Slots(Totals(1.0, 0))
    assert all(slots.reserve(f"r{n}", Resources(0.1)) for n in range(10))
    assert slots.reserve("more", Resources(0.1)) is None


def test_adopted_runs_may_hold_more_than_there_is() -> None:
    slots = Slots(Totals(1.0, 0))
    slots.hold("old", Held(3.0, 0, ()))
    assert slots.free.cpus == -2.0
    assert slots.reserve("new", Resources(0.5)) is None
    # A run that asks for nothing waits for nothing.
    assert slots.reserve("light", Resources(0.0)) == Held()


@pytest.mark.parametrize(
    ("wants", "field", "total"),
    [
        (Resources(cpus=5), "resources.cpus", "4"),
        (Resources(memory_bytes=1001), "resources.memory_bytes", "1 KB"),
        (Resources(gpus=4), "resources.gpus", "3"),
    ],
)
def test_asking_for_more_than_there_is_names_field_and_total(
    wants: Resources, field: str, total: str
) -> None:
    with pytest.raises(Invalid, match=f"has {total} to give") as caught:
        Slots(TOTALS).check(wants)
    assert caught.value.facts["field"] == field


def test_lacking_names_what_is_not_free() -> None:
    assert lacking(Resources(5, 2000, 1), TOTALS) == ("cpus", "memory_bytes")


def test_held_is_read_back_from_a_state() -> None:
    assert Held.from_state({"cpus": 2, "memory_bytes": 7, "gpus": [1]}) == Held(2.0, 7, (1,))
    assert Held.from_state({}) == Held()
