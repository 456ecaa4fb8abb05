"""Identity, the tree, and what can be learnt of a process that isn't ours."""

from __future__ import annotations

import os
import select
import subprocess
import sys
from pathlib import Path

import pytest

from outlast import process


def test_an_identity_ends_with_its_process_though_the_pid_is_used_again() -> None:
    child = subprocess.Popen(["cat"], stdin=subprocess.PIPE)
    identity = process.Identity.of(child.pid)
    assert identity is not None
    assert identity.is_alive()
    assert not identity._replace(start_ticks=identity.start_ticks + 1).is_alive()
    assert not identity._replace(boot_id="another").is_alive()
    child.communicate()
    assert not identity.is_alive()


def test_descendants_are_found_through_a_process_with_an_odd_name(
    tmp_path: Path,
) -> None:
    code = (
        "import ctypes, subprocess, sys; ctypes.CDLL(None).prctl(15, b'a) (b 1 2', 0, 0, 0);"
        "p = subprocess.Popen(['cat'], stdin=subprocess.PIPE); print(p.pid, flush=True);"
        "sys.stdin.read(); p.communicate()"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert parent.stdout is not None
    grandchild = int(parent.stdout.readline())
    found = {stat.pid for stat in process.descendants(os.getpid())}
    assert {parent.pid, grandchild} <= found
    parent.communicate()


def test_a_process_is_found_by_its_start_environment() -> None:
    child = subprocess.Popen(
        ["cat"], stdin=subprocess.PIPE, env={**os.environ, "OUTLAST_TEST": "here"}
    )
    # Until exec is done, the child still shows this process's environment.
    while process.command_of(child.pid) != "cat":
        os.sched_yield()
    assert child.pid in process.with_environ(b"OUTLAST_TEST=here")
    assert process.with_environ(b"OUTLAST_TEST=her", among=[child.pid]) == []
    child.communicate()


def test_files_held_open_for_writing_are_named(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    with path.open("w"), Path(__file__).open():
        found = process.open_for_writing(os.getpid(), [str(tmp_path)])
    assert found == [str(path.resolve())]


def test_the_exit_status_of_somebody_elses_child_is_learnt() -> None:
    code = (
        "import subprocess, sys;"
        "p = subprocess.Popen([sys.executable, '-c', 'input(); exit(7)']);"
        "print(p.pid, flush=True); p.wait()"
    )
    middle = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert middle.stdout is not None
    pidfd = os.pidfd_open(int(middle.stdout.readline()))
    assert process.wait_status(pidfd) is None
    middle.communicate(b"\n")
    select.select([pidfd], [], [], 5)
    status = process.wait_status(pidfd)
    os.close(pidfd)
    if status is None:
        pytest.skip("this kernel doesn't tell exit statuses by pidfd (needs Linux 6.15)")
    assert os.waitstatus_to_exitcode(status) == 7
