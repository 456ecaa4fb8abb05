"""What is imported at start: counts of modules, since counts don't depend on the machine's load."""

from __future__ import annotations

import subprocess
import sys


def modules_after(code: str) -> set[str]:
    script = f"import sys\n{code}\nprint(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    return set(done.stdout.split("\n")[-2].split())


BARE = modules_after("pass")
SLOW = {
    "asyncio",
    "numpy",
    "sqlalchemy",
    "fastapi",
    "pydantic",
    "rich",
    "pandas",
    "msgspec",
    "httpx",
}


def test_importing_outlast_costs_next_to_nothing() -> None:
    # 26 of these are `typing` and what it needs.
    assert len(modules_after("import outlast") - BARE) <= 30


def test_the_sdk_starts_light() -> None:
    loaded = modules_after("import outlast.sdk") - BARE
    assert len(loaded) <= 120
    assert not loaded & SLOW


def test_the_script_side_starts_light() -> None:
    loaded = modules_after("import outlast; outlast.Run") - BARE
    assert len(loaded) <= 65
    assert not loaded & (SLOW | {"logging", "argparse", "dataclasses", "socket", "subprocess"})


def test_the_supervisor_starts_light() -> None:
    loaded = modules_after("import outlast.supervisor.keeper") - BARE
    unneeded = {"logging", "argparse", "dataclasses", "subprocess", "pathlib", "hashlib"}
    assert not loaded & (SLOW | unneeded)


def test_the_cli_starts_light() -> None:
    loaded = modules_after(
        "from outlast.cli.main import main\ntry: main(['--version'])\nexcept SystemExit: pass"
    )
    assert len(loaded) <= 110
    assert not loaded & SLOW


def test_a_list_imports_nothing_of_what_runs_are_made_with() -> None:
    # As `ls` does up to its first request. Of these, click and what it needs are 62, h11 is 20.
    loaded = modules_after(
        "import outlast.cli.main, outlast.cli.commands.ls, outlast.sdk.workspace"
    )
    assert len(loaded - BARE) <= 117
    unneeded = {"handle", "submit", "start"}
    assert not loaded & (SLOW | {f"outlast.sdk.{name}" for name in unneeded})
    assert not loaded & {"outlast.run.state", "outlast.run.spec", "subprocess", "tempfile"}
