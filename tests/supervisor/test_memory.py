"""What the kernel says of processes that it killed for memory, and of whose."""

from __future__ import annotations

import time

import pytest

from outlast.supervisor import memory
from outlast.supervisor.loop import now_s

OF = "oom-kill:constraint=CONSTRAINT_MEMCG,oom_memcg={0},task_memcg={0},task=python3,pid={1},uid=0"
KILLED = "Memory cgroup out of memory: Killed process {} (python3) total-vm:422108kB"


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, str]]:
    """The kernel's, as of now."""
    now_us = int(time.monotonic() * 1e6)
    told = [
        (now_us - 60_000_000, KILLED.format(1)),
        (now_us, OF.format("/outlast-mine-1", 20)),
        (now_us, KILLED.format(20)),
        (now_us, OF.format("/user.slice/outlast-other-1", 21)),
        (now_us, KILLED.format(21)),
    ]
    monkeypatch.setattr(memory, "_kernel_log", lambda: told)
    return told


def test_a_process_is_found_by_its_number(log: list[tuple[int, str]]) -> None:
    assert memory.kernel_line(21, now_s()) == KILLED.format(21)
    assert memory.kernel_line(1, now_s()) == ""
    assert memory.kernel_line(2, now_s()) == ""


def test_what_another_run_was_killed_for_is_not_told_of_this_one(
    log: list[tuple[int, str]],
) -> None:
    assert memory.kernel_line(0, now_s(), "outlast-mine-1") == KILLED.format(20)
    assert memory.kernel_line(0, now_s(), "user.slice") == ""
    log.append((log[-1][0], KILLED.format(22)))  # by nobody's limit: all memory was full
    assert memory.kernel_line(0, now_s(), "user.slice") == KILLED.format(22)
