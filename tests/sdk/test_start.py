"""A server on demand: exactly one for many clients, its reasons when it can't, none for ever."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from outlast.errors import Invalid, Refused, Unreachable
from outlast.sdk import start as module
from outlast.sdk.start import start, stop
from outlast.sdk.workspace import Workspace, get_run, runs
from outlast.transport.address import find

CLIENT = "import sys; from outlast import Workspace; print(Workspace(sys.argv[1]).status()['pid'])"

ALONE = """
import outlast
for number in range(5):
    with outlast.run(f"alone-{number}") as run:
        run.log("loss", 1 / (number + 1))
"""


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    home = tmp_path / "home"
    yield home
    if home.is_dir():
        stop(home)


def test_twenty_clients_at_once_start_exactly_one_server(home: Path) -> None:
    clients = [
        subprocess.Popen(
            [sys.executable, "-c", CLIENT, str(home)], stdout=subprocess.PIPE, text=True
        )
        for _ in range(20)
    ]
    pids = {client.communicate(timeout=60)[0].strip() for client in clients}
    assert [client.returncode for client in clients] == [0] * 20
    found = find(home)
    assert found is not None
    assert pids == {str(found.pid)}
    assert (home / "server.log").read_text().count(" serving ") == 1


def test_the_first_answer_tells_of_runs_that_were_made_without_a_server(home: Path) -> None:
    subprocess.run(
        [sys.executable, "-c", ALONE], env={**os.environ, "OUTLAST_HOME": str(home)}, check=True
    )
    assert find(home) is None
    found = {run.fetch()["name"]: run.status for run in runs(workspace=Workspace(home))}
    assert found == {f"alone-{number}": "Completed" for number in range(5)}


def test_a_starter_that_dies_in_between_keeps_nobody_from_starting(home: Path) -> None:
    home.mkdir()
    holder = subprocess.Popen(
        [sys.executable, "-c", "import fcntl, sys; file = open(sys.argv[1], 'w'); "
         "fcntl.flock(file, fcntl.LOCK_EX); print('held', flush=True); input()",
         str(home / module.LOCK)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    with holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        waiting = subprocess.Popen([sys.executable, "-c", CLIENT, str(home)])
        holder.kill()
        assert waiting.wait(60) == 0
    assert find(home) is not None


def test_a_server_that_can_not_start_is_told_with_its_own_words(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OUTLAST_DATABASE_URL", "nonsense://")
    with pytest.raises(Unreachable, match="nonsense") as raised:
        start(home)
    assert raised.value.hint is not None
    assert "server.log" in raised.value.hint


def test_a_folder_that_can_not_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Invalid, match="can't be used as a workspace"):
        start(tmp_path / "file" / "home")


def test_a_server_outlives_its_starter_and_is_nobodys_job(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environ = {**os.environ, "OUTLAST_RUN": "/runs/x", "OUTLAST_RUN_ID": "x", "OUTLAST_TOKEN": "t"}
    subprocess.run([sys.executable, "-c", CLIENT, str(home)], check=True, env=environ)
    found = find(home)
    assert found is not None
    started = Path(f"/proc/{found.pid}/environ").read_bytes().split(b"\0")
    assert b"OUTLAST_DETACHED=1" in started
    assert not [entry for entry in started if entry.startswith((b"OUTLAST_RUN", b"OUTLAST_TOKEN"))]
    assert os.getsid(found.pid) != os.getsid(0)


def test_stopping_waits_until_it_is_gone_and_says_when_there_is_none(home: Path) -> None:
    assert stop(home) is False
    pid = start(home).pid
    assert stop(home) is True
    assert find(home) is None
    assert not Path(f"/proc/{pid}/fd/0").exists()
    assert start(home).pid != pid


def test_a_server_elsewhere_is_used_by_its_url_and_token_and_nothing_is_started(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = start(home)
    monkeypatch.setenv("OUTLAST_HOME", str(tmp_path / "unused"))
    monkeypatch.setenv("OUTLAST_URL", there.url)
    with pytest.raises(Refused, match="needs a token"):
        Workspace().status()
    monkeypatch.setenv("OUTLAST_TOKEN", "wrong")
    with Workspace() as workspace, pytest.raises(Refused):
        workspace.status()
    monkeypatch.setenv("OUTLAST_TOKEN", there.token)
    with Workspace() as workspace:
        assert workspace.status()["pid"] == there.pid
        assert repr(workspace) == f"Workspace('{there.url}')"
    assert not (tmp_path / "unused").exists()
    # A folder that is named is meant, whatever the settings say.
    assert Workspace(tmp_path / "named").url == ""


def test_the_workspace_is_that_of_the_environment_unless_one_is_given(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OUTLAST_HOME", str(home))
    with Workspace() as workspace:
        assert workspace.home == home
        assert list(runs(workspace=workspace)) == []
        with pytest.raises(Exception, match="this workspace has 0 runs"):
            get_run("@last", workspace=workspace)
