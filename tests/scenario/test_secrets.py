"""Planted secrets are nowhere once a run is over; the workspace's token is never in a process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.scenario.conftest import Place

pytestmark = pytest.mark.slow

VARIABLES = {
    "DB_PASSWORD": "correct-horse-4711-battery",
    "MODEL_HUB": "hf_abcdefghijklmnopqrstuvwxyz0123",
    "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
}
INHERITED = {"OPENAI_API_KEY": "sk-inherited0123456789abcdef", "MY_COOKIE": "yum-inherited-8123"}
ARGUMENTS = (
    "--password", "hunter2-hunter2", "--api-key=plain-api-key-55",
    "ghp_abcdefghijklmnopqrstuvwxyz012345", "https://me:url-password-77@example.org/x",
    "AUTH_TOKEN=assigned-9911",
)  # fmt: skip
REMOTE = "https://oauth2:glpat-remotesecret12345678@git.example.org/x.git"
FILES = {
    ".env": "SECRET=dotenv-1212",
    ".netrc": "machine x password netrc-3434",
    "id_rsa": "key-5656",
}
SECRETS = (
    *VARIABLES.values(), *INHERITED.values(), "hunter2-hunter2", "plain-api-key-55", ARGUMENTS[3],
    "url-password-77", "assigned-9911", "glpat-remotesecret", "dotenv-1212", "netrc-3434",
    "key-5656",
)  # fmt: skip

# What it starts carries the secrets in its command line as well, and outlives it.
OUTLIVED = "import os, time; os.fork() or time.sleep(1.5); os.makedirs('outputs', exist_ok=True)"
STUCK = (
    "import signal, time; "
    "signal.signal(15, signal.SIG_IGN); print('on', flush=True); time.sleep(99)"
)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    for words in (("init", "-q"), ("remote", "add", "origin", REMOTE)):
        subprocess.run(["git", "-C", str(folder), *words], check=True)
    for name, text in {**FILES, "train.py": OUTLIVED}.items():
        (folder / name).write_text(text)
    return folder


def found_in(folder: Path, needles: tuple[str, ...]) -> list[str]:
    """Which of the needles stand in which file below the folder."""
    found = []
    for root, folders, names in os.walk(folder):
        for name in [*folders, *names]:
            path = Path(root) / name
            content = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
            found += [
                f"{needle} in {path.relative_to(folder)}"
                for needle in needles
                if needle.encode() in content or needle in name
            ]
    return found


def test_no_planted_secret_is_anywhere_once_the_runs_are_over(place: Place, project: Path) -> None:
    place.environ.update(INHERITED)
    given = [word for item in VARIABLES.items() for word in ("--env", "=".join(item))]

    def begin(verb: str, *command: str, options: tuple[str, ...] = ()) -> str:
        return place.outlast(
            verb, *options, *given, "--", *command, *ARGUMENTS, cwd=project
        ).strip()

    detached = ("-d", "--grace", "0.2s")
    python = (sys.executable, "-c")
    runs = [
        place.run(id)
        for id in (
            begin("run", *python, OUTLIVED, options=detached),
            begin("run", "no-such-command", options=detached),
            begin("run", *python, "raise SystemExit('failed')", options=detached),
            begin("submit", sys.executable, "train.py"),
        )
    ]
    stuck = place.run(begin("run", *python, STUCK, options=detached))
    assert next(stuck.follow_output()).data.startswith(b"on")
    assert "hunter2" not in place.outlast("why", stuck.id)
    stuck.cancel()
    statuses = [run.wait(raise_on_error=False) for run in (*runs, stuck)]
    assert statuses == ["Completed", "Failed", "Failed", "Completed", "Canceled"]
    for run in (*runs, stuck):
        place.outlast("why", run.id)
        place.outlast("show", "--json", run.id)
    place.stop_server()  # what it holds is in its files then
    assert found_in(place.home, SECRETS) == []
    place.start_server()
    again = place.popen("retry", runs[0].id, stderr=subprocess.PIPE)
    _, said = again.communicate(timeout=60)
    assert again.returncode != 0
    assert b"was secret and is gone" in said


def test_the_token_is_in_no_process_and_in_no_file_but_its_own(place: Place) -> None:
    token = (place.home / "token").read_text().strip()
    assert len(token) > 30
    place.environ["OUTLAST_TOKEN"] = token  # as a client elsewhere would have it
    script = "import os; print('on', flush=True); print(os.environ.get('OUTLAST_TOKEN')); input()"
    run = place.run(place.outlast("run", "-d", "--", sys.executable, "-c", script).strip())
    assert next(run.follow_output()).data.startswith(b"on")
    del place.environ["OUTLAST_TOKEN"]
    with place.popen("logs", "-f", run.id, stdout=subprocess.PIPE) as client:
        assert client.stdout is not None
        client.stdout.readline()
        for entry in Path("/proc").iterdir():
            for name in ("cmdline", "environ"):
                assert token.encode() not in _bytes(entry / name), entry
        run.cancel(force=True)
        client.communicate(timeout=30)
    assert run.wait(raise_on_error=False) in ("Canceled", "Failed")
    assert (place.home / "token").stat().st_mode & 0o777 == 0o600
    place.stop_server()
    assert found_in(place.home, (token,)) == [f"{token} in token"]


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""
