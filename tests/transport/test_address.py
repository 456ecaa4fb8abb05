"""The address of a workspace's server: a live one, none, one that was killed, or nonsense."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from outlast.errors import Unreachable
from outlast.process import Identity
from outlast.transport.address import Address, find, was_killed


def write(home: Path, pid: int, **changed: Any) -> None:
    identity = Identity.of(pid)
    assert identity is not None
    facts = {**identity._asdict(), "url": "http://127.0.0.1:1", "version": "9", **changed}
    (home / "server.json").write_text(json.dumps(facts))
    (home / "token").write_text("sesame\n")


def test_no_file_means_no_server(tmp_path: Path) -> None:
    assert find(tmp_path) is None
    assert not was_killed(tmp_path)


def test_a_live_server_is_found_with_its_token(tmp_path: Path) -> None:
    write(tmp_path, os.getpid())
    assert find(tmp_path) == Address("http://127.0.0.1:1", "sesame", os.getpid(), "9")
    assert not was_killed(tmp_path)


def test_a_dead_server_is_none_even_as_a_zombie(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    write(tmp_path, process.pid)
    assert find(tmp_path) is not None
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # dead, but not yet reaped
    assert find(tmp_path) is None
    assert was_killed(tmp_path)
    process.communicate()


def test_another_process_with_the_old_number_is_not_the_server(tmp_path: Path) -> None:
    write(tmp_path, os.getpid(), start_ticks=1)
    assert find(tmp_path) is None


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": 1}'])
def test_a_file_that_makes_no_sense_is_said(tmp_path: Path, text: str) -> None:
    (tmp_path / "server.json").write_text(text)
    with pytest.raises(Unreachable, match="can't be read"):
        find(tmp_path)
