"""The decisions that a scheduler takes, as functions of the state that they will follow. Pure.

Each returns the events to append, or () when the moment for it has passed: between the reason for a
decision and the decision something else may have happened.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from outlast.run import events as ev
from outlast.run import state as runs
from outlast.run.state import Retry, RunState

Events = tuple[ev.Event, ...]
Choice = Callable[[RunState], Events]


def cancel(t_ns: int, by: str, reason: str) -> Choice:
    """Somebody wants it stopped."""
    asked = ev.CancelRequested(t_ns, by, reason)
    return lambda state: () if state.is_over or state.cancel_ns else (asked,)


def queue(t_ns: int, attempt: int) -> Choice:
    """It gets into line."""
    queued = ev.Queued(t_ns, attempt)
    return lambda state: (
        (queued,) if state.status == runs.NOT_STARTED and state.attempt == attempt else ()
    )


def dispatch(event: ev.Dispatched) -> Choice:
    """It leaves the line."""
    return lambda state: (
        (event,) if state.status == runs.QUEUED and state.attempt == event.attempt else ()
    )


def launch(event: ev.Launched | ev.LaunchFailed) -> Choice:
    """It was launched, or could not be."""
    return lambda state: (event,) if is_unlaunched(state) and state.attempt == event.attempt else ()


def retry(t_ns: int, asked: Retry) -> Choice:
    """Another attempt, unless it was canceled in between; both events or none."""

    def choose(state: RunState) -> Events:
        if state.is_over or state.outcome != "failed" or state.attempt + 1 != asked.attempt:
            return ()
        if state.cancel_ns:
            return end_canceled(t_ns)(state)
        retrying = ev.Retrying(t_ns, asked.attempt, asked.not_before_ns, asked.reason)
        return (retrying, ev.Queued(t_ns, asked.attempt))

    return choose


def end_canceled(t_ns: int) -> Choice:
    """A canceled run between two attempts: there is nobody who could end it but the server."""

    def choose(state: RunState) -> Events:
        if state.is_over or not state.cancel_ns or state.outcome != "failed":
            return ()
        return (ev.LaunchFailed(t_ns, state.attempt, "canceled between two attempts"),)

    return choose


def fail_for_upstream(t_ns: int, upstream: str, status: str) -> Choice:
    """A run that it waited for has ended otherwise than Completed."""
    failed = ev.UpstreamFailed(t_ns, upstream, status)
    return lambda state: (failed,) if state.status in runs.WAITING else ()


def silent(t_ns: int, last_heartbeat_ns: int, deadline_ns: int) -> Choice:
    """Its supervisor's heart doesn't beat."""

    def choose(state: RunState) -> Events:
        if state.status not in runs.ACTIVE or state.outcome:
            return ()
        return (ev.Silent(t_ns, state.attempt, last_heartbeat_ns, deadline_ns),)

    return choose


def responding(t_ns: int) -> Choice:
    """It beats again."""
    return lambda state: (
        (ev.Responding(t_ns, state.attempt),) if state.status == runs.NOT_RESPONDING else ()
    )


def lose(event: ev.Lost | ev.LaunchFailed) -> Choice:
    """There is proof that nobody will ever tell how it ended."""
    return lambda state: (
        () if state.is_over or state.outcome or state.attempt != event.attempt else (event,)
    )


def warn(t_ns: int, code: str, messages: Sequence[str]) -> Choice:
    """Something went wrong that doesn't change the outcome: told once it is known, and once."""

    def choose(state: RunState) -> Events:
        # Before the end of the attempt a warning would look like a sign of life.
        if not state.outcome and not state.is_over:
            return ()
        told = {message for _, message in state.warnings}
        return tuple(
            ev.Warned(t_ns, state.attempt, code, message)
            for message in messages
            if message not in told
        )

    return choose


def is_unlaunched(state: RunState) -> bool:
    """Has it slots, but no supervisor and no end so far?"""
    return (
        state.status in (runs.PREPARING, runs.CANCEL_REQUESTED)
        and state.supervisor is None
        and not state.outcome
    )
