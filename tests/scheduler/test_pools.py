"""Compute targets in the queue: nodes are counted, shares are cut, nobody is passed for ever."""

from __future__ import annotations

from typing import Any

import pytest

from outlast.errors import Invalid
from outlast.run.spec import Resources
from outlast.scheduler import pools, sizes
from outlast.scheduler.queue import MAX_PASSES, Facts, Queue, Waiting
from outlast.scheduler.slots import Held, Slots, Totals

GIB = 1 << 30
MACHINE = Totals(2.0, 8 * GIB)


def queue(**targets: int) -> Queue:
    line = Queue(Slots(Totals(8.0, 0)))
    for name, nodes in targets.items():
        line.pools.set(name, nodes)
    return line


def waiting(run_id: str, order: int, target: str = "", **more: Any) -> Waiting:
    entry = Waiting(run_id, "e", Resources(1.0), order, target=target)
    return entry._replace(**more)


def started(line: Queue) -> list[str]:
    names = []
    while (chosen := line.next(0)) is not None:
        names.append(chosen[0].run_id)
    return names


def facts(line: Queue, run_id: str) -> Facts:
    found = line.explain(run_id, 0)
    assert found is not None
    return found


def test_no_more_runs_are_on_a_pool_than_it_has_nodes() -> None:
    line = queue(p=2)
    for order, name in enumerate("abc"):
        line.add(waiting(name, order, "p"))
    assert started(line) == ["a", "b"]
    found = facts(line, "c")
    assert found.waits_for == "node"
    assert found.nodes == pools.Nodes("p", 1, 2, 2, ("a", "b"))
    line.release("a")
    assert started(line) == ["c"]


def test_a_busy_pool_holds_up_nobody_who_is_elsewhere() -> None:
    line = queue(p=1, q=1)
    for order, (name, target) in enumerate((("a", "p"), ("b", "p"), ("c", "q"), ("d", ""))):
        line.add(waiting(name, order, target))
    assert started(line) == ["a", "c", "d"]


def test_a_node_needs_its_share_of_the_machine_too() -> None:
    line = Queue(Slots(Totals(1.0, 0)))
    line.pools.set("p", 2)
    line.add(waiting("a", 0, "p"))
    line.add(waiting("b", 1, "p"))
    assert started(line) == ["a"]
    assert facts(line, "b").waits_for == "slots"


def test_a_run_on_several_nodes_is_not_passed_for_ever() -> None:
    line = queue(p=2)
    line.add(waiting("small0", 0, "p", experiment="small"))
    assert started(line) == ["small0"]
    line.add(waiting("big", 1, "p", nodes=2))
    for number in range(MAX_PASSES):
        line.add(waiting(f"small{number + 1}", number + 2, "p", experiment="small"))
        assert started(line) == [f"small{number + 1}"]
        line.release(f"small{number}")
    line.add(waiting("late", 100, "p", experiment="small"))
    assert started(line) == []
    assert facts(line, "late").reserved_for == "big"
    line.release(f"small{MAX_PASSES}")
    assert started(line) == ["big"]


def test_a_stopped_and_a_deleted_target_start_nothing() -> None:
    line = queue(p=0)
    line.add(waiting("a", 0, "p"))
    line.add(waiting("b", 1, "gone"))
    assert started(line) == []
    assert [facts(line, name).waits_for for name in "ab"] == ["node", "node"]
    line.pools.set("p", 1)
    assert started(line) == ["a"]


def test_an_adopted_run_holds_its_nodes() -> None:
    line = queue(p=2)
    line.at_work("old", "e", Held(1.0), "p", 2)
    line.add(waiting("new", 0, "p"))
    assert started(line) == []
    line.release("old")
    assert started(line) == ["new"]


# --- shares ---


def test_all_nodes_of_a_target_fit_the_machine_at_once() -> None:
    cut = pools.cut(sizes.share("Standard_D2_V2"), 4, MACHINE)
    assert cut.node == Resources(0.5, 2 * GIB, 0)
    assert len(cut.notes) == 2
    assert "a node is a share of 0.5" in cut.notes[0]


def test_a_node_that_asks_for_nothing_has_an_equal_part() -> None:
    assert pools.cut(Resources(0.0), 2, MACHINE) == pools.Cut(Resources(1.0, 4 * GIB, 0), ())


def test_gpus_are_not_divided() -> None:
    two = Totals(8.0, 64 * GIB, (0, 1))
    cut = pools.cut(sizes.share("STANDARD_NC6"), 4, two)
    assert cut.node.gpus == 1
    assert "wait for one another's GPUs" in cut.notes[-1]
    assert pools.wanted(cut.node, 4, two).gpus == 2
    none = pools.cut(sizes.share("STANDARD_NC6"), 1, MACHINE)
    assert none.node.gpus == 0
    assert "this machine has no GPU" in none.notes[-1]


def test_an_unknown_size_is_told_with_the_nearest() -> None:
    with pytest.raises(Invalid, match="STANDARD_DS3_V2"):
        sizes.share("STANDARD_DS33_V2")
    assert sizes.share("d2_v2") == sizes.share("STANDARD_D2_V2")
