"""The state machine by its edges: instructions are compared with ==."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outlast.process import Identity
from outlast.run import events as ev
from outlast.run import state as rs
from outlast.run.spec import Limits, Policy, RunSpec

S = 1_000_000_000


def spec(**changes: Any) -> RunSpec:
    return RunSpec.from_dict({"id": "r1", "created_ns": 1, "command": ["true"], **changes})


def follow(
    story: Sequence[ev.Event], of: RunSpec | None = None
) -> tuple[rs.RunState, list[rs.Instruction]]:
    state = rs.initial(of or spec())
    done: list[rs.Instruction] = []
    for event in story:
        state, instructions = rs.step(state, event)
        done += instructions
    return state, done


QUEUED: list[ev.Event] = [ev.Created(1 * S), ev.Queued(2 * S)]
LAUNCHED: list[ev.Event] = [
    *QUEUED,
    ev.Dispatched(3 * S, 1, "local", 1.0, 0, (0,)),
    ev.Launched(4 * S, 1, 70, 7, "boot"),
    ev.Supervised(5 * S, 1, "command", 71, 8, "boot", "host", "0.1.0"),
]
STARTED: list[ev.Event] = [*LAUNCHED, ev.Started(6 * S, 1, 72, 9, "boot", "/w", 0)]
EXITED: list[ev.Event] = [*STARTED, ev.Exited(7 * S, 1, 0)]
TREE_ENDED: list[ev.Event] = [*EXITED, ev.TreeEnded(8 * S, 1)]
WELL: list[ev.Event] = [*TREE_ENDED, ev.Ended(9 * S, 1, "completed", "", "", {}, "m1")]


@pytest.mark.parametrize(
    ("story", "status", "stage"),
    [
        ([ev.Created(1)], rs.NOT_STARTED, ""),
        (QUEUED, rs.QUEUED, ""),
        (LAUNCHED[:3], rs.PREPARING, ""),
        (LAUNCHED, rs.STARTING, ""),
        (STARTED, rs.RUNNING, ""),
        (EXITED, rs.FINALIZING, "leftovers"),
        (TREE_ENDED, rs.FINALIZING, "outputs"),
        (WELL, rs.FINALIZING, "storage"),
        ([*WELL, ev.Committed(10 * S, 1, "m1", 1, 5)], rs.COMPLETED, ""),
    ],
)
def test_a_run_that_goes_well_passes_each_status_in_order(
    story: Sequence[ev.Event], status: str, stage: str
) -> None:
    state, _ = follow(story)
    assert (state.status, state.stage) == (status, stage)


def test_completed_only_after_the_outputs_are_committed() -> None:
    state, done = follow(WELL)
    assert state.outcome == "completed"
    assert not state.is_over
    assert done[-2:] == [rs.Release(), rs.Commit("m1")]
    state, last = rs.step(state, ev.Committed(10 * S, 1, "m1", 1, 5))
    assert last == (rs.Finish(rs.COMPLETED),)


def test_a_run_without_outputs_completes_with_its_end_record() -> None:
    state, done = follow([*TREE_ENDED, ev.Ended(9 * S, 1, "completed", "", "")])
    assert state.status == rs.COMPLETED
    assert done[-2:] == [rs.Release(), rs.Finish(rs.COMPLETED)]


def test_a_failed_run_is_failed_at_once_and_its_outputs_are_still_stored() -> None:
    ended = ev.Ended(9 * S, 1, "failed", "exit_code", "exit code 3", {"code": 3}, "m1")
    state, done = follow([*TREE_ENDED, ended])
    assert (state.status, state.cause, state.is_committed) == (rs.FAILED, "exit_code", False)
    assert done[-3:] == [rs.Release(), rs.Commit("m1"), rs.Finish(rs.FAILED)]
    state, done2 = rs.step(state, ev.Committed(10 * S, 1, "m1", 1, 5))
    assert (state.status, state.is_committed, done2) == (rs.FAILED, True, ())


def test_a_queued_run_is_canceled_at_once() -> None:
    state, done = follow([*QUEUED, ev.CancelRequested(3 * S, "ann")])
    assert (state.status, state.cause) == (rs.CANCELED, "canceled")
    assert "ann" in state.message
    assert done[-1] == rs.Finish(rs.CANCELED)


def test_cancel_requested_shows_until_the_end_whatever_happens_between() -> None:
    state, done = follow(
        [*STARTED, ev.CancelRequested(7 * S, "ann"), ev.Exited(8 * S, 1, None, 15)]
    )
    assert state.status == rs.CANCEL_REQUESTED
    assert rs.Stop("cancel") in done
    state, _ = rs.step(state, ev.Ended(9 * S, 1, "canceled", "canceled", "canceled"))
    assert state.status == rs.CANCELED
    assert "ann" in state.message


@pytest.mark.parametrize(("kind", "cause"), [("command", "canceled"), ("session", "closed")])
def test_what_was_killed_for_a_cancel_is_canceled_even_if_its_supervisor_knew_nothing(
    kind: str, cause: str
) -> None:
    killed = ev.Ended(9 * S, 1, "failed", "signal", "it was ended by SIGKILL")
    created = ev.Created(1 * S, kind)
    asked = ev.CancelRequested(6 * S, "ann")
    exited = ev.Exited(8 * S, 1, None, 9)
    state, _ = follow([created, *LAUNCHED[1:], asked, exited, killed])
    assert (state.status, state.cause) == (rs.CANCELED, cause)
    assert state.message.endswith("by ann")


def test_a_second_cancel_asks_for_nothing() -> None:
    state, _ = follow([*STARTED, ev.CancelRequested(7 * S, "ann")])
    assert rs.step(state, ev.CancelRequested(8 * S, "bob")) == (state, ())


def test_not_responding_goes_back_to_where_it_was() -> None:
    state, _ = follow([*STARTED, ev.Silent(7 * S, 1, 6 * S, 60 * S)])
    assert state.status == rs.NOT_RESPONDING
    back, _ = rs.step(state, ev.Responding(8 * S, 1))
    assert back.status == rs.RUNNING
    word, _ = rs.step(state, ev.Exited(8 * S, 1, 0))
    assert word.status == rs.FINALIZING


def test_lost_is_failed_and_an_end_record_found_later_wins() -> None:
    state, _ = follow([*STARTED, ev.Lost(7 * S, 1, "process_gone", "gone")])
    assert (state.status, state.cause) == (rs.FAILED, "lost")
    state, done = rs.step(state, ev.Ended(8 * S, 1, "completed", "", "", {}, "m1"))
    assert state.status == rs.FINALIZING
    assert rs.Commit("m1") in done
    state, _ = rs.step(state, ev.Committed(9 * S, 1, "m1", 1, 5))
    assert state.status == rs.COMPLETED
    assert any(code == "corrected" for code, _ in state.warnings)


def test_lost_after_the_end_record_changes_nothing() -> None:
    state, _ = follow(WELL)
    assert rs.step(state, ev.Lost(10 * S, 1, "process_gone", "gone")) == (state, ())


def test_a_lost_run_is_tried_again_with_a_growing_delay() -> None:
    of = spec(policy={"max_attempts": 3, "retry_delay_s": 2})
    state, done = follow([*STARTED, ev.Lost(10 * S, 1, "process_gone", "gone")], of)
    assert done[-2:] == [rs.Release(), rs.Retry(2, 12 * S, "gone")]
    state, _ = rs.step(state, ev.Retrying(10 * S, 2, 12 * S, "gone"))
    state, done2 = rs.step(state, ev.Queued(11 * S, 2))
    assert (state.status, state.attempt, state.supervisor) == (rs.QUEUED, 2, None)
    assert done2 == (rs.Enqueue(2, 12 * S),)
    old = ev.Ended(12 * S, 1, "completed", "", "")
    assert rs.step(state, old) == (state, ())


def test_only_listed_exit_codes_are_tried_again() -> None:
    of = spec(policy={"max_attempts": 2, "retry_exit_codes": [75]})
    for code, is_retried in ((75, True), (1, False)):
        story = [
            *STARTED,
            ev.Exited(7 * S, 1, code),
            ev.Ended(8 * S, 1, "failed", "exit_code", "x"),
        ]
        _, done = follow(story, of)
        assert any(isinstance(item, rs.Retry) for item in done) is is_retried


def test_a_canceled_run_is_never_tried_again() -> None:
    of = spec(policy={"max_attempts": 2, "retry_on": ["lost", "failed"]})
    story = [*STARTED, ev.CancelRequested(7 * S), ev.Ended(8 * S, 1, "failed", "signal", "TERM")]
    state, done = follow(story, of)
    assert state.status == rs.FAILED
    assert not any(isinstance(item, rs.Retry) for item in done)


def test_storage_that_stays_away_fails_the_run_with_its_reason() -> None:
    waiting, _ = follow([*WELL, ev.CommitFailed(10 * S, 1, "disk_full", "no room", 12 * S, 99 * S)])
    assert (waiting.status, waiting.stage, waiting.retry_ns) == (rs.FINALIZING, "storage", 12 * S)
    state, done = rs.step(waiting, ev.StorageGaveUp(99 * S, 1, "no room for 1 h"))
    assert (state.status, state.cause) == (rs.FAILED, "storage")
    assert rs.Finish(rs.FAILED) in done


def test_an_interactive_run_is_running_once_it_is_watched() -> None:
    of = spec(kind="interactive")
    watched = ev.Supervised(2 * S, 1, "watch", 71, 8, "boot", "host", "0.1.0")
    state, _ = follow([ev.Created(1, "interactive"), watched], of)
    assert (state.status, state.started_ns) == (rs.RUNNING, 2 * S)
    state, _ = rs.step(state, ev.OwnerEnded(3 * S, 1, "died"))
    assert state.status == rs.FINALIZING


@pytest.mark.parametrize("kind", ["session", "tunnel"])
def test_a_session_that_somebody_closes_says_who(kind: str) -> None:
    story = [ev.Created(1, kind), *STARTED[1:], ev.CancelRequested(7 * S, "ann", "closed")]
    ended = ev.Ended(9 * S, 1, "canceled", "closed", "closed")
    state, _ = follow([*story, ended], spec(kind=kind))
    assert (state.status, state.cause, state.message) == (rs.CANCELED, "closed", "closed by ann")


def test_a_session_ends_with_any_exit_code_and_is_never_opened_twice() -> None:
    of = spec(kind="session", policy={"max_attempts": 3, "retry_on": ["lost", "failed"]})
    begun = [ev.Created(1, "session"), *STARTED[1:]]
    state, _ = follow(
        [*begun, ev.Exited(7 * S, 1, 130), ev.Ended(8 * S, 1, "completed", "", "")], of
    )
    assert (state.status, state.exit_code, state.message) == (rs.COMPLETED, 130, "")
    state, done = follow([*begun, ev.Lost(9 * S, 1, "rebooted", "rebooted")], of)
    assert (state.status, state.cause) == (rs.FAILED, "lost")
    assert not any(isinstance(item, rs.Retry) for item in done)


def test_an_impossible_event_tells_the_story() -> None:
    state, _ = follow(QUEUED)
    with pytest.raises(rs.InvalidTransition, match="started can't follow Queued"):
        rs.step(state, ev.Started(3, 1, 1, 1, "b", "/", 0))


def test_state_and_spec_survive_json() -> None:
    import json

    state, _ = follow(
        [*STARTED, ev.Leftovers(7 * S, 1, ({"pid": 3, "command": "x"},), 9 * S, 8 * S)]
    )
    assert rs.RunState.from_dict(json.loads(json.dumps(state.to_dict()))) == state
    assert state.main == Identity(72, 9, "boot")
    of = spec(outputs=["a", {"path": "b", "check": ["true"]}], limits={"memory_bytes": 5})
    assert RunSpec.from_dict(json.loads(json.dumps(of.to_dict()))) == of


@given(
    st.lists(st.sampled_from([*WELL, ev.CancelRequested(5), ev.Lost(6, 1, "x", "y")]), max_size=12)
)
def test_no_order_of_events_leaves_a_run_neither_over_nor_waiting(story: list[ev.Event]) -> None:
    state = rs.initial(spec())
    for event in story:
        try:
            state, _ = rs.step(state, event)
        except rs.InvalidTransition:
            continue
        assert state.status in rs.STATUSES
        assert state.is_over == (state.status in rs.TERMINAL)
        assert not (state.status == rs.COMPLETED and not state.is_committed)


def test_defaults_are_the_documented_ones() -> None:
    assert Limits().max_run_duration_s == 30 * 24 * 3600
    assert Policy().on_logged_error == "warn"
