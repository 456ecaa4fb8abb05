"""What this machine has to give to runs, measured; settings may say less or more."""

from __future__ import annotations

import os
import re
from pathlib import Path

from outlast.config import Settings
from outlast.scheduler.slots import Totals


def totals(settings: Settings) -> Totals:
    """The totals of the queue: the settings where they say something, else the machine's own."""
    found = gpus()
    count = settings.gpus if settings.gpus >= 0 else len(found)
    # More than are found may be asked for (a test machine, a driver that hides them): numbered on.
    numbers = (found + [n for n in range(count) if n not in found])[:count]
    return Totals(
        settings.cpus or float(len(os.sched_getaffinity(0))),
        settings.memory_bytes or memory_bytes(),
        tuple(numbers),
    )


def memory_bytes() -> int:
    """The machine's memory, or what the cgroup of this process is limited to."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    for path in (
        "/sys/fs/cgroup/memory.max",
        "/sys/fs/cgroup/memory/memory.limit_in_bytes",
    ):
        try:
            memory = min(memory, int(Path(path).read_text()))
        except (OSError, ValueError):  # absent, or "max"
            continue
    return memory


def gpus() -> list[int]:
    """The device numbers of the NVIDIA GPUs, or those that CUDA_VISIBLE_DEVICES leaves."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None and re.fullmatch(r"[\d, ]*", visible):
        return [int(part) for part in visible.split(",") if part.strip()]
    names = os.listdir("/dev")
    return sorted(int(name[6:]) for name in names if re.fullmatch(r"nvidia\d+", name))
