"""Start, stop, and what happens when two servers want one workspace."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from outlast.errors import Invalid
from outlast.server import process, workspace
from tests.server.running import Server, running, submit, wait_over


def second(home: Path, *flags: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "outlast.server", "--home", str(home), "--port", "0", *flags],
        capture_output=True, text=True, timeout=30, env={**os.environ, **environ}, check=False,
    )  # fmt: skip


def test_the_second_server_says_who_runs_and_exits(tmp_path: Path) -> None:
    with running(tmp_path) as server:
        done = second(server.home)
        assert done.returncode == 75
        assert str(server.pid) in done.stderr
        assert f"http://127.0.0.1:{server.port}" in done.stderr
        assert "Traceback" not in done.stderr
        assert server.ask("GET", "/api/health").status == 200


def test_what_it_keeps_is_for_this_user_alone(tmp_path: Path) -> None:
    with running(tmp_path) as server:
        assert len(server.token) == 64
        for name in ("token", "server.json", "server.lock", "outlast.db"):
            assert (server.home / name).stat().st_mode & 0o777 == 0o600, name
        for folder in (server.home, server.home / "runs"):
            assert folder.stat().st_mode & 0o777 == 0o700, folder


def test_the_token_stays_and_a_readable_one_is_refused(tmp_path: Path) -> None:
    with running(tmp_path) as server:
        token = server.token
    with running(tmp_path) as server:
        assert server.token == token
    (server.home / "token").chmod(0o644)
    done = second(server.home)
    assert done.returncode == 78
    assert "others may read" in done.stderr
    assert token not in done.stderr


def test_server_json_says_who_answers_and_goes_with_it(tmp_path: Path) -> None:
    with running(tmp_path) as server:
        facts = json.loads((server.home / "server.json").read_text())
        assert set(facts) == {"pid", "start_ticks", "boot_id", "url", "version"}
        assert facts["pid"] == server.pid
    assert not (server.home / "server.json").exists()


@pytest.mark.parametrize("becomes", ["removed", "moved"])
def test_it_ends_when_its_workspace_is_gone(tmp_path: Path, becomes: str) -> None:
    with running(tmp_path) as server:
        if becomes == "removed":
            shutil.rmtree(server.home, ignore_errors=True)
        else:
            server.home.rename(tmp_path / "elsewhere")
        assert server.process is not None
        assert server.process.wait(30) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_stops_within_two_seconds_whatever_is_open(tmp_path: Path, number: int) -> None:
    with running(tmp_path) as server:
        run_id = submit(server, "sleep", "60", wait_s=0)
        waiting = subprocess.Popen(
            ["curl", "-s", "-N", "-o", "/dev/null", "-H", f"Authorization: Bearer {server.token}",
             f"http://{server.host}/api/runs/{run_id}/output?wait=60"]
        )  # fmt: skip
        deadline = time.monotonic() + 5
        while len(list(Path(f"/proc/{server.pid}/fd").iterdir())) < 5:
            assert time.monotonic() < deadline
        begin = time.monotonic()
        assert server.stop(number) == 0
        assert time.monotonic() - begin < 4  # two and what a busy machine adds
        waiting.wait(5)
        server.start()
        server.ask("POST", f"/api/runs/{run_id}/cancel", {"force": True})
        assert wait_over(server, run_id) == "Canceled"


def test_shutdown_by_request(tmp_path: Path) -> None:
    with running(tmp_path) as server:
        assert server.ask("POST", "/api/shutdown", {}).json == {"status": "stopping"}
        assert server.process is not None
        assert server.process.wait(5) == 0


@pytest.mark.each_database
def test_after_kill_9_it_is_back_on_the_same_port_and_the_run_goes_on(
    tmp_path: Path, workspace_database: str
) -> None:
    server = Server(tmp_path / "home", database_url=workspace_database)
    # The default port may give way to the one of the server that died.
    server.home.mkdir(mode=0o700)
    server.start()
    port = server.port
    run_id = submit(server, "sh", "-c", "sleep 1.5; echo done", wait_s=0)
    assert server.stop(signal.SIGKILL) == -signal.SIGKILL
    assert (server.home / "server.json").exists()
    again = subprocess.Popen(
        [sys.executable, "-m", "outlast.server", "--home", str(server.home), *server.flags],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    server.process = again
    deadline = time.monotonic() + 10
    while server._facts()["pid"] != again.pid:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert server.port == port
    assert wait_over(server, run_id) == "Completed"
    assert server.ask("GET", f"/api/runs/{run_id}/output").body == b"done\n"
    assert server.stop() == 0


def test_a_taken_port_is_told_when_it_was_chosen(tmp_path: Path) -> None:
    with running(tmp_path) as server:
        done = second(tmp_path / "other", "--port", str(server.port))
        assert done.returncode == 78
        assert f"port = {server.port}" in done.stderr
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--host", "0.0.0.0"], ("tls_cert", "insecure_bind")),
        (["--host", "0.0.0.0", "--insecure-no-auth", "--insecure-bind"], ("loopback",)),
        (["--log-level", "loud"], ("log_level", "warning")),
        (["--tls-cert", "/nonexistent/c", "--tls-key", "/nonexistent/k"], ("tls_cert",)),
        (["--database-url", "mysql://x"], ("database",)),
    ],
)
def test_it_refuses_to_start_and_says_why(
    tmp_path: Path, flags: list[str], words: tuple[str, ...]
) -> None:
    done = second(tmp_path / "home", *flags)
    assert done.returncode == 78, done.stderr
    assert all(word in done.stderr for word in words), done.stderr
    assert "Traceback" not in done.stderr


def test_without_auth_on_loopback_only_hosts_and_origins_are_checked(tmp_path: Path) -> None:
    with running(tmp_path, "--insecure-no-auth") as server:
        assert server.ask("GET", "/api/runs", token=None).status == 200
        assert server.ask("GET", "/api/runs", headers={"Host": "evil"}, token=None).status == 400
        origin = {"Origin": "http://evil.example"}
        assert server.ask("GET", "/api/runs", headers=origin, token=None).status == 403


def test_a_server_started_by_a_job_is_nobodys_job(tmp_path: Path) -> None:
    os.environ["OUTLAST_RUN"] = "/somewhere/runs/x"
    try:
        with running(tmp_path) as server:
            environ = Path(f"/proc/{server.pid}/environ").read_bytes().split(b"\0")
            assert b"OUTLAST_DETACHED=1" in environ
            assert not [entry for entry in environ if entry.startswith(b"OUTLAST_RUN")]
            assert not [entry for entry in environ if server.token.encode() in entry]
            command = Path(f"/proc/{server.pid}/cmdline").read_bytes()
            assert server.token.encode() not in command
    finally:
        del os.environ["OUTLAST_RUN"]


def test_the_token_never_reaches_the_log(tmp_path: Path) -> None:
    with running(tmp_path, "--log-level", "debug") as server:
        token = server.token
        server.ask("GET", f"/api/runs?where={token}")
        server.ask("GET", f"/api/{token}")
        server.ask("GET", "/api/runs", token=token + "x")
        server.ask("POST", "/api/runs", {"spec": {"name": token}})
        server.ask("GET", "/api/runs/%0a%1b[31mforged")
    text = server.log.read_text()
    assert "GET /api/runs" in text
    assert token not in text
    assert "\x1b" not in text
    assert "\nforged" not in text


def test_small_and_quick(tmp_path: Path) -> None:
    with running(tmp_path) as server:
        server.ask("GET", "/api/runs")
        assert server.rss_bytes() < 100 << 20


def test_it_loads_nothing_that_only_few_need(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import sys, outlast.server.serving; print(*sys.modules)"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    loaded = set(done.stdout.split())
    assert not loaded & {"alembic", "pandas", "matplotlib", "rich", "fastapi", "pydantic"}


def test_a_token_that_is_no_token_is_refused(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("short")
    (tmp_path / "token").chmod(0o600)
    with pytest.raises(Invalid, match="holds no token"):
        workspace.token(str(tmp_path))


def test_a_server_that_fails_by_itself_exits_with_70(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> int:
        raise RuntimeError("a mistake of ours")

    monkeypatch.setenv("OUTLAST_DETACHED", "1")
    monkeypatch.setattr("outlast.server.serving.serve", fail)
    assert process.main(["--home", str(tmp_path), "--port", "0"]) == 70
    said = capsys.readouterr().err
    assert "Traceback" in said
    assert said.endswith("outlast: the server failed: RuntimeError('a mistake of ours')\n")
    workspace.Lock(str(tmp_path)).release()  # it isn't held any more
