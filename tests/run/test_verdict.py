"""The verdict on an interactive run whose script merely ended, and on a dead owner's word."""

from __future__ import annotations

import pytest

from outlast.run.verdict import Observed, judge
from outlast.supervisor.kernel import Exit
from outlast.supervisor.owner import Word, final_word


@pytest.mark.parametrize(
    ("seen", "outcome", "cause"),
    [
        (Observed(code=0, owner="exit"), "completed", ""),
        (Observed(code=3, owner="exit"), "failed", "exit_code"),
        (Observed(signal=11, owner="exit"), "failed", "signal"),
        (Observed(signal=9, owner="exit", oom={"text": "oom"}), "failed", "memory"),
        (Observed(code=0, owner="died"), "failed", "owner_died"),
        (Observed(code=3, owner="complete"), "completed", ""),
        (Observed(code=0, owner="fail"), "failed", "failed_by_script"),
    ],
)
def test_of_an_interactive_run(seen: Observed, outcome: str, cause: str) -> None:
    assert judge("interactive", "wait", "warn", seen)[:2] == (outcome, cause)


def test_exit_without_a_status_that_the_kernel_tells_is_complete() -> None:
    assert final_word(Word("exit"), None).how == "complete"
    assert final_word(Word("exit"), Exit(3, None, False)).how == "exit"


def test_silence_is_death_however_the_process_ended() -> None:
    for ended in (None, Exit(0, None, False), Exit(None, 9, False)):
        assert final_word(None, ended).how == "died"


@pytest.mark.parametrize("kind", ["session", "tunnel"])
@pytest.mark.parametrize(
    ("seen", "outcome", "cause"),
    [
        (Observed(code=0), "completed", ""),
        (Observed(code=130), "completed", ""),
        (Observed(code=3, leftover_count=2, logged_errors=5), "completed", ""),
        (Observed(signal=11), "failed", "signal"),
        (Observed(signal=9, oom={"text": "oom"}), "failed", "memory"),
        (Observed(signal=1, stop_reason="cancel", stopped_main=True), "canceled", "closed"),
        (Observed(code=0, stop_reason="cancel"), "canceled", "closed"),
        (Observed(signal=1, stop_reason="idle_s", limit="idle_s"), "canceled", "idle"),
        (Observed(signal=15, limit="max_run_duration_s"), "failed", "time_limit"),
        (Observed(signal=9, limit="memory_bytes"), "failed", "memory"),
        (Observed(start_failure="there is no command"), "failed", "start_failed"),
        (Observed(is_exit_known=False), "failed", "lost"),
        (Observed(signal=1, is_hung_up=True), "failed", "hangup"),
        (Observed(is_exit_known=False, is_hung_up=True), "failed", "hangup"),
        (Observed(signal=1, is_hung_up=True, stop_reason="cancel"), "canceled", "closed"),
    ],
)
def test_of_a_session(kind: str, seen: Observed, outcome: str, cause: str) -> None:
    assert judge(kind, "fail", "fail", seen)[:2] == (outcome, cause)
