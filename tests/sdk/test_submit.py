"""What is asked for is what runs, once, whatever becomes of the answer."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import outlast
from outlast.errors import Conflict, Invalid, Unreachable
from outlast.sdk.caller import environ
from outlast.sdk.submit import git_facts, submit
from outlast.sdk.workspace import Workspace
from outlast.transport.address import find
from outlast.transport.connection import Connection
from tests.sdk.place import Place
from tests.transport.standin import read_request


class LosingAnswers:
    """Passes requests on to the real server, and loses the answers to the first few POSTs."""

    def __init__(self, target: str, losses: int) -> None:
        host, port = target.removeprefix("http://").split(":")
        self.target = (host, int(port))
        self.losses = losses
        self.posts = 0
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listening.getsockname()[1]}"
        self.thread = threading.Thread(target=self._serve)
        self.thread.start()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self.listening.accept()
            except OSError:
                return
            with client, socket.create_connection(self.target) as server:
                while request := read_request(client):
                    server.sendall(request.replace(self.url[7:].encode(), b"%s:%d" % (
                        self.target[0].encode(), self.target[1])))  # fmt: skip
                    answer = read_request(server)
                    if request.startswith(b"POST"):
                        self.posts += 1
                        if self.posts <= self.losses:
                            break
                    client.sendall(answer)

    def close(self) -> None:
        self.listening.shutdown(socket.SHUT_RDWR)
        self.listening.close()
        self.thread.join(20)


@pytest.fixture
def losing(place: Place) -> Iterator[tuple[Workspace, LosingAnswers]]:
    server = find(place.home)
    assert server is not None
    between = LosingAnswers(server.url, losses=2)
    workspace = Workspace(url=between.url, token=server.token)
    yield workspace, between
    workspace.close()
    between.close()


def test_a_submission_whose_answer_is_lost_twice_is_queued_once(
    place: Place, losing: tuple[Workspace, LosingAnswers], tmp_path: Path
) -> None:
    workspace, between = losing
    mark = tmp_path / "mark"
    command = ["sh", "-c", f"echo ran >> {mark}"]
    handle = submit(command, in_place=True, name="lost", workspace=workspace)
    assert place.workspace.run(handle.id).wait() == "Completed"
    assert between.posts == 3
    assert mark.read_text() == "ran\n"
    assert [run.id for run in place.workspace.runs(where="name = lost")] == [handle.id]


def test_an_id_that_is_taken_is_a_conflict_and_nothing_runs(place: Place) -> None:
    submit(["true"], in_place=True, id="taken-1", workspace=place.workspace).wait()
    with pytest.raises(Conflict, match="taken-1"):
        submit(["false"], in_place=True, id="taken-1", workspace=place.workspace)


def test_a_wrong_field_is_named_and_nothing_is_queued(place: Place) -> None:
    before = len(list(place.workspace.runs()))
    with pytest.raises(Invalid, match=r"limits\.max_run_duration_s = -1"):
        submit(["true"], limits={"max_run_duration_s": -1}, workspace=place.workspace)
    with pytest.raises(Invalid, match="command"):
        submit([], workspace=place.workspace)
    with pytest.raises(Invalid, match="can't be split"):
        submit("echo 'open", workspace=place.workspace)
    with pytest.raises(Invalid, match="UTF-8"):
        submit(["echo", "\udcff"], workspace=place.workspace)
    assert len(list(place.workspace.runs())) == before


def test_a_snapshot_runs_the_folder_as_it_was_when_submitted(place: Place, tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text("print('as submitted')")
    first = submit(["sleep", "0.3"], in_place=True, workspace=place.workspace)
    handle = submit(
        "train.py", folder=tmp_path, after=[first], parameters={"lr": 0.1}, tags={"team": "a"},
        workspace=place.workspace,
    )  # fmt: skip
    script.write_text("print('changed later')")
    handle.wait()
    assert list(handle.logs()) == ["as submitted\n"]
    facts = handle.fetch()
    assert facts["spec"]["command"] == [sys.executable, "train.py"]
    assert facts["spec"]["parameters"] == {"lr": 0.1}
    assert handle.tags == {"team": "a"}
    assert facts["spec"]["after"] == [first.id]


def test_a_job_gets_the_callers_umask_variables_and_folder(place: Place, tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        handle = submit(
            ["sh", "-c", "umask; echo $COLOUR; pwd"], in_place=True, folder=tmp_path,
            variables={"COLOUR": "blue"}, workspace=place.workspace,
        )  # fmt: skip
    finally:
        os.umask(before)
    handle.wait()
    assert list(handle.logs()) == ["0027\n", "blue\n", f"{tmp_path}\n"]


def test_a_job_does_not_inherit_its_submitters_own_run_nor_what_is_not_text() -> None:
    kept = environ(
        {
            "OUTLAST_RUN": "x", "OUTLAST_RUN_ID": "x", "OUTLAST_ATTEMPT": "1",
            "OUTLAST_OUTPUTS": "x", "OUTLAST_DETACHED": "1", "OUTLAST_TOKEN": "x",
            "OUTLAST_HOME": "/h", "PATH": "/bin", "ODD": "\udcff",
        }
    )  # fmt: skip
    assert kept == {"OUTLAST_HOME": "/h", "PATH": "/bin", "PYTHONUNBUFFERED": "1"}
    assert environ({"PYTHONUNBUFFERED": ""})["PYTHONUNBUFFERED"] == ""


def test_a_secret_argument_reaches_the_job_and_no_listing(place: Place, tmp_path: Path) -> None:
    secret = "ghp_" + "a1B2" * 9
    mark = tmp_path / "mark"
    handle = submit(
        ["sh", "-c", 'printf %s "$1" > "$2"', "sh", secret, str(mark)], in_place=True,
        workspace=place.workspace,
    )  # fmt: skip
    handle.wait()
    assert mark.read_text() == secret
    assert secret not in str(handle.fetch())


def git(folder: Path, *words: str) -> str:
    identity = {"GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@example.org",
                "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@example.org"}  # fmt: skip
    done = subprocess.run(
        ["git", "-C", str(folder), *words],
        check=True, capture_output=True, text=True, env={**os.environ, **identity},
    )  # fmt: skip
    return done.stdout.strip()


def test_git_facts_tell_commit_branch_changes_and_a_remote_without_its_password(
    tmp_path: Path,
) -> None:
    assert git_facts(tmp_path) == {}
    git(tmp_path, "init", "-q", "-b", "main")
    assert git_facts(tmp_path)["commit"] == ""
    (tmp_path / "a.py").write_text("1")
    git(tmp_path, "add", "a.py")
    git(tmp_path, "commit", "-q", "-m", "one")
    git(tmp_path, "remote", "add", "origin", "https://me:hunter2@example.org/r.git")
    inner = tmp_path / "inner"
    inner.mkdir()
    facts = git_facts(inner)
    assert facts == {
        "commit": git(tmp_path, "rev-parse", "HEAD"),
        "branch": "main",
        "is_dirty": False,
        "remote": "https://***@example.org/r.git",
    }
    (tmp_path / "a.py").write_text("2")
    assert git_facts(tmp_path)["is_dirty"] is True
    (tmp_path / "new.py").write_text("untracked")
    git(tmp_path, "checkout", "-q", "a.py")
    assert git_facts(tmp_path)["is_dirty"] is False


def test_without_a_server_a_submission_says_that_it_could_not_be_made(place: Place) -> None:
    workspace = Workspace(url="http://127.0.0.1:9", token="x")
    workspace.connection.patience_s = 0.1
    assert isinstance(workspace.connection, Connection)
    with pytest.raises(Unreachable, match="Connection refused"):
        submit(["true"], workspace=workspace)


def test_an_experiment_submits_and_lists_its_own(place: Place) -> None:
    experiment = outlast.Experiment("mine", workspace=place.workspace)
    handle = experiment.submit(["true"], in_place=True)
    handle.wait()
    assert [run.id for run in experiment.runs()] == [handle.id]
    assert {"mine"} <= {entry["name"] for entry in place.workspace.experiments()}


def test_an_output_may_be_a_path_or_carry_its_check(place: Place, tmp_path: Path) -> None:
    handle = submit(
        ["sh", "-c", "echo 1 > a; echo 2 > b"], in_place=True, folder=tmp_path,
        outputs=["a", outlast.Output("b", check=("grep", "-q", "3", "b"))],
        workspace=place.workspace,
    )  # fmt: skip
    assert handle.wait(raise_on_error=False) == "Failed"
    assert handle.fetch()["cause"] == "output_damaged"
