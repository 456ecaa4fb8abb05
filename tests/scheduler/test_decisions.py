"""Decisions hold for the state that they were made for, and for no other."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from outlast.process import Identity
from outlast.run import events as ev
from outlast.run import state as runs
from outlast.run.state import Commit, Enqueue, Finish, Retry, RunState, Stop, replay, step
from outlast.scheduler import decisions
from outlast.scheduler.pending import Accept, Begin, Watch, pending
from tests.scheduler.workspace import spec_of

RETRYING = spec_of("r", policy={"max_attempts": 3, "retry_on": ["lost", "failed"]})
PLAIN = spec_of("r")
WHO = Identity(10, 20, "boot")

CREATED = ev.Created(1)
QUEUED = ev.Queued(2)
DISPATCHED = ev.Dispatched(3, 1, "local", 1.0)
LAUNCHED = ev.Launched(4, 1, *WHO)
SUPERVISED = ev.Supervised(5, 1, "command", *WHO, "host", "1")
STARTED = ev.Started(6, 1, 11, 21, "boot", "/w", 0)
EXITED = ev.Exited(7, 1, 0)
CANCEL = ev.CancelRequested(8, "me")
ENDED_WELL = ev.Ended(9, 1, "completed", "", "", {}, "digest")
ENDED_BADLY = ev.Ended(9, 1, "failed", "exit_code", "it failed", {}, "digest")
ENDED_EMPTY = ev.Ended(9, 1, "failed", "exit_code", "it failed")
TO_RUNNING = (CREATED, QUEUED, DISPATCHED, LAUNCHED, SUPERVISED, STARTED)


def state_after(*story: ev.Event, spec: object = PLAIN) -> RunState:
    return replay(spec, list(story))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("story", "deeds"),
    [
        ((CREATED,), (Accept(1),)),
        ((CREATED, QUEUED), (Enqueue(1, 0),)),
        ((CREATED, QUEUED, DISPATCHED), (Begin(1),)),
        ((CREATED, QUEUED, DISPATCHED, CANCEL), (Begin(1),)),
        ((CREATED, QUEUED, DISPATCHED, LAUNCHED), (Watch(WHO),)),
        ((CREATED, QUEUED, DISPATCHED, LAUNCHED, CANCEL), (Watch(WHO), Stop("cancel"))),
        (TO_RUNNING, (Watch(WHO),)),
        ((*TO_RUNNING, CANCEL), (Watch(WHO), Stop("cancel"))),
        ((*TO_RUNNING, ev.Silent(7, 1, 1, 9)), (Watch(WHO),)),
        ((*TO_RUNNING, EXITED), (Watch(WHO),)),
        ((*TO_RUNNING, EXITED, ENDED_WELL), (Commit("digest"),)),
        (
            (
                *TO_RUNNING,
                EXITED,
                ENDED_WELL,
                ev.CommitFailed(10, 1, "disk_full", "no room", 11, 99),
            ),
            (Commit("digest"),),
        ),
        ((*TO_RUNNING, EXITED, ENDED_BADLY), (Commit("digest"), Finish("Failed"))),
        ((*TO_RUNNING, EXITED, ENDED_EMPTY), (Finish("Failed"),)),
        (
            (*TO_RUNNING, EXITED, ENDED_WELL, ev.Committed(10, 1, "digest", 1, 1)),
            (Finish("Completed"),),
        ),
        ((*TO_RUNNING, EXITED, ENDED_WELL, ev.StorageGaveUp(10, 1, "no")), (Finish("Failed"),)),
        ((CREATED, QUEUED, CANCEL), (Finish("Canceled"),)),
    ],
)
def test_every_deed_is_found_again_from_the_state(
    story: Sequence[ev.Event], deeds: tuple[object, ...]
) -> None:
    assert pending(state_after(*story)) == deeds


def test_what_step_asks_for_is_always_pending_afterwards() -> None:
    """Else a server killed between the record and the deed would forget the deed."""
    stories = [
        (RETRYING, (*TO_RUNNING, EXITED, ENDED_BADLY)),
        (RETRYING, (*TO_RUNNING, EXITED, ENDED_BADLY, CANCEL)),
        (RETRYING, (CREATED, QUEUED, DISPATCHED, ev.LaunchFailed(4, 1, "no"))),
        (RETRYING, (*TO_RUNNING, ev.Lost(7, 1, "process_gone", "gone"))),
        (PLAIN, (*TO_RUNNING, CANCEL)),
        (PLAIN, (CREATED, QUEUED, CANCEL)),
        (PLAIN, (*TO_RUNNING, EXITED, ENDED_WELL)),
        (PLAIN, (*TO_RUNNING, EXITED, ENDED_BADLY)),
    ]
    for spec, story in stories:
        state = replay(spec, list(story[:-1]))
        state, asked = step(state, story[-1])
        kinds = {type(deed) for deed in pending(state)}
        # Slots live in this process's memory only: they are counted anew, not given back.
        expected = {type(deed) for deed in asked} - {runs.Release}
        assert expected <= kinds, (story[-1], asked, pending(state))


def test_an_attempt_that_failed_is_tried_again_after_a_delay() -> None:
    state = replay(RETRYING, [*TO_RUNNING, EXITED, ENDED_BADLY])
    (again,) = pending(state)
    assert isinstance(again, Retry)
    assert again.attempt == 2
    assert again.not_before_ns > state.since_ns
    retrying, queued = decisions.retry(50, again)(state)
    state, _ = step(state, retrying)
    assert pending(state) == (Accept(2),)
    state, asked = step(state, queued)
    assert asked == (Enqueue(2, again.not_before_ns),)
    assert decisions.retry(60, again)(state) == ()


def test_a_run_canceled_between_two_attempts_is_not_tried_again() -> None:
    state = replay(RETRYING, [*TO_RUNNING, EXITED, ENDED_BADLY, CANCEL])
    assert pending(state) == (Stop("cancel"),)
    (last,) = decisions.retry(50, Retry(2, 0, ""))(state)
    state, _ = step(state, last)
    assert (state.status, state.message) == ("Canceled", "canceled by me")
    assert decisions.end_canceled(60)(state) == ()


def test_a_run_canceled_while_it_is_prepared_ends_canceled_not_failed() -> None:
    state = replay(RETRYING, [CREATED, QUEUED, DISPATCHED, CANCEL])
    (last,) = decisions.launch(ev.LaunchFailed(9, 1, "whatever"))(state)
    state, asked = step(state, last)
    assert (state.status, state.cause, state.message) == (
        "Canceled",
        "canceled",
        "canceled by me",
    )
    assert Finish("Canceled") in asked


def test_decisions_that_came_too_late_are_not_taken() -> None:
    over = state_after(*TO_RUNNING, EXITED, ENDED_EMPTY)
    lost = ev.Lost(1, 1, "process_gone", "")
    for choose in (
        decisions.cancel(1, "me", ""),
        decisions.queue(1, 1),
        decisions.dispatch(DISPATCHED),
        decisions.launch(LAUNCHED),
        decisions.fail_for_upstream(1, "u", "Failed"),
        decisions.silent(1, 1, 1),
        decisions.responding(1),
        decisions.lose(lost),
    ):
        assert choose(over) == ()
    # The end record was there first: the run isn't lost any more, though its outputs aren't stored.
    assert decisions.lose(lost)(state_after(*TO_RUNNING, EXITED, ENDED_WELL)) == ()
    assert decisions.silent(1, 1, 1)(state_after(*TO_RUNNING, EXITED, ENDED_WELL)) == ()


def test_only_the_attempt_that_was_meant_is_lost() -> None:
    state = replay(RETRYING, [*TO_RUNNING])
    assert decisions.lose(ev.Lost(1, 2, "process_gone", ""))(state) == ()
    assert decisions.lose(ev.Lost(1, 1, "process_gone", ""))(state) != ()
