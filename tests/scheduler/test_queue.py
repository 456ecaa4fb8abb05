"""The queue: fair between experiments, in order within one, and nobody starves."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from outlast.run.spec import Resources
from outlast.scheduler.queue import MAX_PASSES, Queue, Waiting
from outlast.scheduler.slots import Held, Slots, Totals


def waiting(
    run_id: str, experiment: str = "e", cpus: float = 1, order: int = 0, **more: Any
) -> Waiting:
    entry = Waiting(run_id, experiment, Resources(cpus=cpus), order)
    return entry._replace(**more)


def queue(cpus: float = 1, gpus: int = 0, memory_bytes: int = 0) -> Queue:
    return Queue(Slots(Totals(cpus, memory_bytes, tuple(range(gpus)))))


def started(line: Queue, now_ns: int = 0) -> list[str]:
    """Everything that starts now."""
    names = []
    while (chosen := line.next(now_ns)) is not None:
        names.append(chosen[0].run_id)
    return names


def test_first_in_first_out_within_an_experiment() -> None:
    line = queue(cpus=2)
    for order, name in enumerate("cab"):
        line.add(waiting(name, order=order))
    assert started(line) == ["c", "a"]
    line.release("c")
    assert started(line) == ["b"]


def test_a_small_run_does_not_overtake_a_big_one_of_its_own_experiment() -> None:
    line = queue(cpus=2)
    line.add(waiting("first", cpus=1, order=0))
    line.add(waiting("big", cpus=2, order=1))
    line.add(waiting("small", cpus=1, order=2))
    assert started(line) == ["first"]
    facts = line.explain("small", 0)
    assert facts is not None
    assert (facts.ahead, facts.position, facts.waits_for) == (("big",), 2, "turn")


def test_experiments_take_turns() -> None:
    line = queue(cpus=1)
    for n in range(3):
        line.add(waiting(f"a{n}", "a", order=n))
    for n in range(2):
        line.add(waiting(f"b{n}", "b", order=10 + n))
    order = []
    while names := started(line):
        order += names
        line.release(names[0])
    assert order == ["a0", "b0", "a1", "b1", "a2"]


def test_the_experiment_with_fewer_runs_at_work_goes_first() -> None:
    line = queue(cpus=4)
    line.at_work("old1", "a", Held(1.0))
    line.at_work("old2", "a", Held(1.0))
    line.add(waiting("a", "a", order=0))
    line.add(waiting("b", "b", order=1))
    assert started(line) == ["b", "a"]


def test_a_big_run_that_was_passed_often_gets_a_reservation() -> None:
    line = queue(cpus=2)
    line.add(waiting("s0", "small", order=0))
    line.add(waiting("s1", "small", order=1))
    assert started(line) == ["s0", "s1"]
    line.add(waiting("big", "big", cpus=2, order=2))
    passed = 0
    running = ["s0", "s1"]
    for n in range(2, 100):
        line.add(waiting(f"s{n}", "small", order=n + 1))
        line.release(running.pop(0))
        names = started(line)
        if not names:
            break
        passed += 1
        running += names
    assert passed == MAX_PASSES
    facts = line.explain(f"s{n}", 0)
    assert facts is not None
    assert (facts.reserved_for, facts.waits_for) == ("big", "reservation")
    line.release(running.pop(0))
    assert started(line) == ["big"]


def test_a_reservation_holds_up_only_those_who_take_what_it_waits_for() -> None:
    line = queue(cpus=4, gpus=1)
    line.at_work("user", "g", Held(1.0, 0, (0,)))
    line.add(Waiting("gpu", "gpu", Resources(cpus=1, gpus=1), 0))
    for n in range(MAX_PASSES):
        line.add(waiting(f"c{n}", f"c{n}", order=n + 1))
        assert started(line) == [f"c{n}"]
        line.release(f"c{n}")
    line.add(waiting("fits", "x", cpus=2, order=50))
    line.add(waiting("takes its cpu", "y", cpus=1, order=51))
    assert started(line) == ["fits"]
    line.release("user")
    assert started(line) == ["gpu", "takes its cpu"]


def test_a_run_waits_for_its_time_without_holding_up_others() -> None:
    line = queue(cpus=1)
    line.add(waiting("later", order=0, not_before_ns=1000))
    line.add(waiting("now", order=1))
    assert line.wake_ns(10) == 1000
    facts = line.explain("later", 10)
    assert facts is not None
    assert (facts.waits_for, facts.not_before_ns) == ("time", 1000)
    assert started(line, 10) == ["now"]
    line.release("now")
    assert started(line, 1000) == ["later"]
    assert line.wake_ns(1000) == 0


def test_a_run_waits_for_all_of_its_upstream() -> None:
    line = queue()
    line.add(waiting("d", upstream=frozenset(("u1", "u2"))))
    assert line.dependents("u2") == ["d"]
    assert started(line) == []
    line.settle("u1")
    facts = line.explain("d", 0)
    assert facts is not None
    assert (facts.upstream, facts.waits_for) == (("u2",), "upstream")
    line.settle("u2")
    assert started(line) == ["d"]


def test_explain_tells_what_is_lacking_and_who_has_it() -> None:
    line = queue(cpus=2)
    line.at_work("holder", "x", Held(1.5))
    line.add(waiting("w", cpus=1, since_ns=7))
    assert started(line) == []
    facts = line.explain("w", 0)
    assert facts is not None
    assert facts.lacking == ("cpus",)
    assert facts.free.cpus == 0.5
    assert facts.holders == (("holder", Held(1.5)),)
    assert (facts.waits_for, facts.since_ns) == ("slots", 7)
    assert line.explain("nobody", 0) is None


def test_a_canceled_run_leaves_the_line() -> None:
    line = queue(cpus=0)
    line.add(waiting("w"))
    line.remove("w")
    assert "w" not in line
    assert len(line) == 0


@given(
    jobs=st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 4)), min_size=1, max_size=30),
    cpus=st.integers(4, 8),
)
def test_every_run_starts_and_slots_are_never_given_twice(
    jobs: list[tuple[str, int]], cpus: int
) -> None:
    line = queue(cpus=cpus)
    wants = {f"r{n}": cpu for n, (_, cpu) in enumerate(jobs)}
    for n, (experiment, cpu) in enumerate(jobs):
        line.add(waiting(f"r{n}", experiment, cpus=cpu, order=n))
    running: list[str] = []
    done: list[str] = []
    while len(done) < len(jobs):
        running += started(line)
        assert running, "something is at work or nothing is left"
        assert sum(wants[name] for name in running) <= cpus
        done.append(running.pop(0))
        line.release(done[-1])
    assert sorted(done) == sorted(wants)
    by_experiment: dict[str, list[int]] = {}
    for name in done:
        by_experiment.setdefault(jobs[int(name[1:])][0], []).append(int(name[1:]))


def test_what_needs_no_turn_starts_at_once_beside_a_full_queue() -> None:
    line = queue(cpus=1)
    for order in range(3):
        line.add(waiting(f"job{order}", order=order))
    assert started(line) == ["job0"]
    line.add(waiting("shell", cpus=0, order=9, needs_turn=False))
    assert started(line) == ["shell"]
    facts = line.explain("job1", 0)
    assert facts is not None
    assert facts.ahead == ()
    line.release("shell")
    assert started(line) == []
