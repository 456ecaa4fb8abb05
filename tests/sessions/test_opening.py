"""What a session is started with: whose shell, in which place, with nothing of another's."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from outlast.errors import Conflict, Invalid
from outlast.run.folder import LAUNCH, SPEC, RunFolder
from outlast.run.spec import Resources, RunSpec
from outlast.sessions.opening import FOR_EVER_S, INTEGRATION, Asked, plan, shown_command


def home_of(tmp_path: Path, shell: str = "/bin/sh", **more: str) -> dict[str, str]:
    return {"HOME": str(tmp_path), "SHELL": shell, "PATH": "/usr/bin:/bin", **more}


def test_a_session_takes_no_slots_and_is_never_ended_by_a_limit_of_jobs(tmp_path: Path) -> None:
    spec, launch = plan(Asked(environ=home_of(tmp_path), columns=100, rows=40, idle_s=60))
    assert spec.kind == "session"
    assert spec.resources == Resources(0, 0, 0)
    assert spec.terminal is not None
    assert (spec.terminal.columns, spec.terminal.rows, spec.terminal.idle_s) == (100, 40, 60)
    limits = spec.limits
    assert limits.max_run_duration_s == limits.leftovers_s == limits.idle_leftovers_s == FOR_EVER_S
    assert launch["folder"] == str(tmp_path)


def test_a_command_runs_as_it_was_given(tmp_path: Path) -> None:
    spec, launch = plan(Asked(("htop", "-d", "5 s"), home_of(tmp_path), str(tmp_path)))
    assert launch["command"] == ["htop", "-d", "5 s"]
    assert shown_command(spec) == "htop -d '5 s'"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_is_shown_by_its_name(tmp_path: Path, shell: str) -> None:
    spec, launch = plan(Asked((shell,), home_of(tmp_path)))
    assert shown_command(spec) == shell
    told = [*launch["command"], launch["environ"].get("ZDOTDIR", "")]
    assert any(INTEGRATION in word for word in told)


@pytest.mark.parametrize("shell", ["/usr/sbin/nologin", "/no/such/shell", "bash", ""])
def test_what_is_no_shell_is_not_used_as_one(tmp_path: Path, shell: str) -> None:
    _, launch = plan(Asked(environ=home_of(tmp_path, shell)))
    assert os.access(launch["command"][0], os.X_OK)
    assert "nologin" not in launch["command"][0]


def test_nothing_of_another_terminal_run_or_token_gets_in(tmp_path: Path) -> None:
    foreign = {
        "TMUX": "/tmp/tmux", "STY": "1", "COLUMNS": "80", "TERM": "dumb", "VSCODE_PID": "1",
        "OUTLAST_RUN": "/x", "OUTLAST_RUN_ID": "x", "OUTLAST_TOKEN": "secret",
        "OUTLAST_CONTEXT": "/x", "OUTLAST_SESSION": "x", "OUTLAST_DETACHED": "1",
    }  # fmt: skip
    _, launch = plan(Asked(environ=home_of(tmp_path, **foreign, MINE="kept")))
    environ = launch["environ"]
    assert not (set(foreign) - {"TERM"}) & set(environ)
    assert (environ["TERM"], environ["MINE"]) == ("xterm-256color", "kept")


def test_without_an_environment_it_is_the_servers_without_its_secrets(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DEPLOY_TOKEN", "t0p-secret")
    monkeypatch.setenv("INNOCENT", "ghp_0123456789abcdefghijABCDEFGHIJ0123")
    monkeypatch.setenv("OUTLAST_DATABASE_URL", "postgresql://u:p@h/d")
    monkeypatch.setenv("EDITOR", "vi")
    _, launch = plan(Asked())
    environ = launch["environ"]
    assert not {"DEPLOY_TOKEN", "INNOCENT", "OUTLAST_DATABASE_URL"} & set(environ)
    assert environ["EDITOR"] == "vi"
    assert environ["HOME"]


def test_a_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="no such folder"):
        plan(Asked(environ=home_of(tmp_path), folder=str(tmp_path / "gone")))


# --- entering a run ---


def run_folder(tmp_path: Path, launch: dict[str, Any] | None, **spec: Any) -> RunFolder:
    folder = RunFolder(str(tmp_path / "runs" / "r1"))
    Path(folder.path).mkdir(parents=True)
    made = RunSpec.from_dict({"id": "r1", "created_ns": 1, **spec})
    Path(folder.file(SPEC)).write_text(json.dumps(made.to_dict()))
    if launch is not None:
        Path(folder.file(LAUNCH)).write_text(json.dumps(launch))
    return folder


def test_a_running_run_is_entered_in_its_own_place(tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    launch = {
        "attempt": 2, "command": ["x"], "folder": str(work), "gpus": [3], "kit": "/the/kit",
        "environ": {"SECRET": "kept", "PYTHONPATH": "/mine", "TERM": "dumb"}, "umask": 0o027,
    }  # fmt: skip
    run = run_folder(tmp_path, launch, resources={"gpus": 1})
    spec, launched = plan(Asked(environ=home_of(tmp_path)), run)
    environ = launched["environ"]
    assert launched["folder"] == str(work)
    assert launched["umask"] == 0o027
    assert environ["SECRET"] == "kept"
    assert environ["CUDA_VISIBLE_DEVICES"] == "3"
    assert environ["PYTHONPATH"] == "/the/kit:/mine"
    assert environ["OUTLAST_CONTEXT"] == run.path
    assert environ["OUTLAST_OUTPUTS"] == str(work / "outputs")
    assert "OUTLAST_RUN" not in environ
    assert (spec.parent, spec.properties["entered"]) == ("r1", "r1")
    assert "SECRET" not in json.dumps(spec.to_dict())


def test_a_run_that_is_over_is_entered_with_what_was_kept_of_it(tmp_path: Path) -> None:
    source = {"kind": "in_place", "folder": str(tmp_path)}
    variables = {"LANG": "C", "API_KEY": None, "HOME": None}
    run = run_folder(tmp_path, None, source=source, variables=variables)
    spec, launched = plan(Asked(environ=home_of(tmp_path)), run)
    assert launched["folder"] == str(tmp_path)
    assert launched["environ"]["LANG"] == "C"
    assert "OUTLAST_CONTEXT" not in launched["environ"]
    assert spec.properties["missing_variables"] == "API_KEY"


def test_a_run_that_has_not_begun_cannot_be_entered(tmp_path: Path) -> None:
    run = run_folder(tmp_path, {"command": ["x"], "environ": {}, "folder": "/"})
    with pytest.raises(Conflict, match="hasn't been started"):
        plan(Asked(environ=home_of(tmp_path)), run)
