"""Every operation of the OpenAPI document, asked thousands of wrong and right things."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.scenario.conftest import IS_FULL
from tests.server.running import running

MAX_EXAMPLES = 15 if IS_FULL else 4
# What a request may hold is judged before any database is asked; what passes is asked of both, by
# the limits of every field of the one, and by chance of the other, which is the stricter.
PHASES = {"sqlite": "examples,coverage", "postgresql": "examples,fuzzing"}


@pytest.mark.longest
@pytest.mark.slow
@pytest.mark.each_database
@pytest.mark.timeout(240)
def test_no_input_makes_the_server_fail_or_break_its_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, database_kind: str, workspace_database: str
) -> None:
    program = Path(sys.executable).with_name("schemathesis")
    if not program.exists() and not shutil.which("schemathesis"):
        pytest.skip("schemathesis isn't installed: pip install schemathesis")
    if "coverage" in PHASES[database_kind]:
        # It opens fifty sessions: with shells that wait for input they were most of the work.
        monkeypatch.setenv("SHELL", shutil.which("true") or "/bin/true")
    # Each operation is also asked with wrong tokens, by one address.
    with running(
        tmp_path, "--wrong-tokens-per-min", "1000000", database_url=workspace_database
    ) as server:
        document = server.ask("GET", "/api/openapi.json").json
        del document["paths"]["/api/shutdown"]  # the only request that is meant to end the test
        (tmp_path / "openapi.json").write_text(json.dumps(document))
        checks = (
            "not_a_server_error,status_code_conformance,content_type_conformance,"
            "response_schema_conformance,unsupported_method,ignored_auth"
        )
        done = subprocess.run(
            [program, "run", str(tmp_path / "openapi.json"), "--url", f"http://{server.host}",
             "-H", f"Authorization: Bearer {server.token}", "--checks", checks,
             "--max-examples", str(MAX_EXAMPLES), "--workers", "1",
             "--phases", PHASES[database_kind],
             "--generation-deterministic", "--no-color", "--request-timeout", "20"],
            capture_output=True, text=True, cwd=tmp_path, timeout=220, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
        assert server.ask("GET", "/api/health").status == 200
