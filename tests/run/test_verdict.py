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
