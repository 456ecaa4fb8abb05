"""Environments from the command line: run in one, list, show, save, prune; and why it failed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.terminal import Piped
from tests.environments import packages

pytestmark = pytest.mark.slow

CODE = "import os, sys, tiny; print(tiny.version, sys.prefix, os.environ.get('V'))"


@pytest.fixture
def requirements(tmp_path: Path) -> Path:
    packages.wheel(tmp_path / "wheels", "tiny", "1.0")
    path = tmp_path / "requirements.txt"
    path.write_text("--no-index\n--find-links wheels\ntiny\n")
    return path


def test_a_run_in_an_environment_from_a_file_then_the_same_at_once(
    cli: Piped, requirements: Path
) -> None:
    for is_first in (True, False):
        words = ["run", "--env", "V=1", "--env", str(requirements), "--", "python", "-c", CODE]
        done = cli(*words)
        assert done.code == 0, done.err
        version, prefix, value = done.out.split()
        assert (version, value) == ("1.0", "1")
        log = cli("logs", "@last", "--environment").out
        assert ("+ tiny==1.0" in log) == is_first
    key = Path(prefix).name
    found = json.loads(cli("env", "ls", "--json").out)
    assert key in [row["key"] for row in found["environments"]]
    assert key[:12] in cli("env", "ls").out
    told = cli("env", "show", key[:8]).out
    assert "tiny==1.0" in told
    assert prefix in told


def test_a_saved_environment_is_found_by_its_name(cli: Piped, requirements: Path) -> None:
    assert cli("env", "save", "tinies", str(requirements)).out == "tinies:1\n"
    done = cli("submit", "--wait", "--env", "tinies", "--", "python", "-c", CODE)
    assert done.code == 0, done.err
    assert "saved: tinies:1" in cli("env", "ls").out
    for name in ("tinies", "tinies:1"):  # built for another, perhaps: what is in it counts
        assert "tiny==1.0" in cli("env", "show", name).out
    missing = cli("submit", "--env", "nosuch", "--", "python", "-c", CODE)
    assert missing.code != 0
    assert "there is no environment 'nosuch'" in missing.err


def test_what_is_saved_and_not_built_says_how_to_build_it(cli: Piped, requirements: Path) -> None:
    requirements.write_text(requirements.read_text() + "tiny<2\n")
    assert cli("env", "save", "later", str(requirements)).code == 0
    shown = cli("env", "show", "later")
    assert shown.code != 0
    assert "environment 'later' is saved, but not built" in shown.err
    assert "outlast env build later" in shown.err
    assert cli("env", "build", "later").code == 0
    assert "tiny==1.0" in cli("env", "show", "later").out


def test_why_tells_the_resolvers_reason(cli: Piped, requirements: Path) -> None:
    requirements.write_text("--no-index\nnosuchthing\n")
    done = cli("run", "--env", str(requirements), "--", "python", "-c", CODE)
    assert done.code != 0
    why = cli("why", "@last").out
    assert "could not be built" in why
    assert "nosuchthing was not found" in why
    assert "--environment" in why


def test_it_can_be_built_before_any_run_and_pruned(cli: Piped, requirements: Path) -> None:
    requirements.write_text(requirements.read_text() + "tiny==1.0\n")
    built = cli("env", "build", str(requirements), "--name", "early")
    assert built.code == 0, built.err
    assert (Path(built.out.strip()) / "bin" / "python").exists()
    assert "Installed 1 package" in built.err or "is ready" in built.err
    assert "would remove 0 environments" in cli("env", "prune", "--dry-run").out


def test_mistakes_are_told_before_there_is_a_run(cli: Piped, requirements: Path) -> None:
    for words, told in (
        (["--env", "nofile.txt"], "there is no such file"),
        (["--env", "/nowhere/python"], "there is no such file"),
        (["--env", str(requirements), "--env", "other"], "a run has one environment"),
    ):
        done = cli("submit", *words, "--", "true")
        assert done.code != 0
        assert told in done.err
