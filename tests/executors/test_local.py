"""The local executor keeps the contract, in a systemd unit as well."""

from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from outlast.executors import kit as kits
from outlast.executors import local
from outlast.executors.local import LocalExecutor
from outlast.process import Identity
from outlast.run.folder import RunFolder
from tests.executors.contract import (
    PAUSE,
    ExecutorContract,
    python,
    wait_event,
    wait_gone,
)


@pytest.fixture(scope="module")
def kit(tmp_path_factory: pytest.TempPathFactory) -> str:
    return kits.stage(tmp_path_factory.mktemp("home"))


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    folder = tmp_path / "runs"
    folder.mkdir(mode=0o700)
    return folder


@pytest.fixture
def executor(kit: str) -> LocalExecutor:
    return LocalExecutor(kit)


class TestLocal(ExecutorContract):
    """All of the contract."""

    def test_the_supervisor_runs_from_the_kit(
        self, executor: LocalExecutor, folder_of: Callable[..., RunFolder], kit: str
    ) -> None:
        folder = folder_of(python(PAUSE))
        supervisor = executor.launch(folder, 1)
        wait_event(folder, "started")
        command = Path(f"/proc/{supervisor.pid}/cmdline").read_bytes().split(b"\0")
        assert os.fsencode(kit) + b"/outlast/supervisor/__main__.py" in command

    def test_a_dead_supervisor_is_reaped(
        self, executor: LocalExecutor, folder_of: Callable[..., RunFolder]
    ) -> None:
        folder = folder_of(python("pass"))
        supervisor = executor.launch(folder, 1)
        wait_gone(supervisor)
        assert Path(f"/proc/{supervisor.pid}").exists()
        executor.reap()
        assert not Path(f"/proc/{supervisor.pid}").exists()

    def test_force_waits_for_a_supervisor_that_does_not_listen_yet(
        self, executor: LocalExecutor, folder_of: Callable[..., RunFolder]
    ) -> None:
        """It has nothing to kill, and everything to start: its run would go on."""
        folder = folder_of(python(PAUSE))
        starting = [*python(PAUSE), "outlast/supervisor/__main__.py", folder.path]
        with subprocess.Popen(starting) as supervisor:
            assert not executor.stop(folder, "cancel", force=True)
            supervisor.kill()
        assert executor.stop(folder, "cancel", force=True)

    def test_in_a_unit_a_run_gets_a_scope_of_its_own(
        self,
        executor: LocalExecutor,
        folder_of: Callable[..., RunFolder],
        monkeypatch: pytest.MonkeyPatch,
        tmp_path: Path,
    ) -> None:
        """Else a restart of the server's unit would end every process in its cgroup."""
        calls = fake_systemd_run(monkeypatch, tmp_path, exit_code=0)
        folder = folder_of(python("print('in a scope')"))
        supervisor = executor.launch(folder, 1)
        wait_event(folder, "ended")
        wait_gone(supervisor)
        probe, launch = calls()
        assert probe[-2:] == ["--", "true"]
        assert "--scope" in launch
        assert ("--user" in launch) == (os.geteuid() != 0)
        assert f"--description=Outlast run {folder.run_id}" in launch
        # systemd-run --scope becomes the command: the pid is that of the supervisor.
        assert wait_event(folder, "supervised")["k"] == "supervised"

    def test_where_scopes_do_not_work_a_run_is_started_without(
        self,
        executor: LocalExecutor,
        folder_of: Callable[..., RunFolder],
        monkeypatch: pytest.MonkeyPatch,
        tmp_path: Path,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        calls = fake_systemd_run(monkeypatch, tmp_path, exit_code=1)
        folder = folder_of(python("pass"))
        executor.launch(folder, 1)
        assert wait_event(folder, "ended")["outcome"] == "completed"
        assert len(calls()) == 1
        assert "Failed to connect to bus" in caplog.text

    def test_outside_a_unit_systemd_is_not_asked(
        self,
        executor: LocalExecutor,
        folder_of: Callable[..., RunFolder],
        monkeypatch: pytest.MonkeyPatch,
        tmp_path: Path,
    ) -> None:
        calls = fake_systemd_run(monkeypatch, tmp_path, exit_code=0)
        monkeypatch.delenv("INVOCATION_ID")
        executor.launch(folder_of(python("pass")), 1)
        assert calls() == []

    def test_the_log_of_the_supervisor_is_private(
        self, executor: LocalExecutor, folder_of: Callable[..., RunFolder]
    ) -> None:
        folder = folder_of(python("pass"))
        executor.launch(folder, 1)
        wait_event(folder, "ended")
        others = [
            entry.name
            for entry in Path(folder.path).iterdir()
            if stat.S_IMODE(entry.lstat().st_mode) & 0o077
            and entry.name not in ("launch.json", "spec.json")
        ]
        assert others == []


def test_every_supervisor_of_the_machine_is_found_by_its_command_line(
    executor: LocalExecutor, runs: Path, kit: str
) -> None:
    assert all(isinstance(path, str) for path in local.supervised_folders().values())
    me = Identity.of(os.getpid())
    assert me is not None
    assert me.pid not in local.supervised_folders()


def fake_systemd_run(
    monkeypatch: pytest.MonkeyPatch, folder: Path, *, exit_code: int
) -> Callable[[], list[list[str]]]:
    """A systemd-run on PATH that notes how it was called, and then does what --scope does."""
    log = folder / "systemd-run.log"
    program = folder / "bin" / "systemd-run"
    program.parent.mkdir()
    program.write_text(
        "#!/bin/sh\n"
        f'for word in "$@"; do printf "%s\\t" "$word" >> {log}; done; echo >> {log}\n'
        f"if [ {exit_code} != 0 ]; then echo Failed to connect to bus >&2; exit {exit_code}; fi\n"
        'while [ "$1" != -- ]; do shift; done\nshift\nexec "$@"\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("INVOCATION_ID", "0123456789abcdef")
    local._can_scope.cache_clear()

    def calls() -> list[list[str]]:
        if not log.exists():
            return []
        return [line.split("\t")[:-1] for line in log.read_text().splitlines()]

    return calls
