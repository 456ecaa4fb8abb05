"""What is still to be done for a run in this state. Pure.

Instructions come with the event that asks for them and live in this process's memory only. When the
process dies between the journal's record and the deed, the deed is found again here, from the
state: whatever `step` ever asks for and the state doesn't show as done must come out of `pending`.
Doing one of them twice is harmless.
"""

from __future__ import annotations

from typing import NamedTuple

from outlast.process import Identity
from outlast.run import state as runs
from outlast.run.state import Commit, Enqueue, Finish, Instruction, Retry, RunState, Stop


class Accept(NamedTuple):
    """Decide `Queued`: it was created, or is tried again, and isn't in line yet."""

    attempt: int


class Begin(NamedTuple):
    """Launch it: its slots are set aside, and nobody supervises it so far as is known."""

    attempt: int


class Watch(NamedTuple):
    """Watch its supervisor, and take over when it is gone."""

    supervisor: Identity | None


Pending = Instruction | Accept | Begin | Watch


def pending(state: RunState) -> tuple[Pending, ...]:
    """The deeds that this state waits for."""
    if state.is_over:
        # Where storing was given up, the state names no manifest any more.
        is_unstored = bool(state.manifest) and not state.is_committed
        commit = (Commit(state.manifest),) if is_unstored else ()
        return (*commit, Finish(state.status))
    if state.status == runs.NOT_STARTED:
        is_begun = state.kind == "interactive"  # by its script, which needs no queue
        return (Watch(state.supervisor),) if is_begun else (Accept(state.attempt),)
    if state.status == runs.QUEUED:
        return (Enqueue(state.attempt, state.retry_ns),)
    if state.outcome:
        return _after_the_end(state)
    stop = (Stop("cancel"),) if state.cancel_ns else ()
    is_launched = state.supervisor is not None or state.status not in (
        runs.PREPARING,
        runs.CANCEL_REQUESTED,
    )
    if is_launched or state.kind == "interactive":
        return (Watch(state.supervisor), *stop)
    return (Begin(state.attempt),)


def _after_the_end(state: RunState) -> tuple[Pending, ...]:
    """The attempt is over, the run isn't: its outputs are being stored, or another follows."""
    if state.outcome == "completed":
        return (Commit(state.manifest),)
    if state.cancel_ns:
        return (Stop("cancel"),)
    # The delay doubles with each attempt, as in run.state.
    delay_s = min(state.retry_delay_s * 2 ** (state.attempt - 1), state.retry_delay_max_s)
    not_before_ns = state.since_ns + int(delay_s * 1e9)
    return (Retry(state.attempt + 1, not_before_ns, state.message or state.cause),)
