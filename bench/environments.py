"""Environments: a new one beside uv by hand, and how soon a run starts in one that is there.

usage: python bench/environments.py [PACKAGE]...     (default scikit-learn; needs an index)
Each build has a store of uv's of its own, filled once before, so that the network isn't measured.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import outlast
from outlast.sdk.start import start
from outlast.sdk.submit import submit
from outlast.sdk.workspace import Workspace

ROUNDS = 3
RUNS = 7
MAIN = str(Path(outlast.__file__).parent / "environments" / "__main__.py")


def timed_s(work: Callable[..., object], *arguments: object) -> float:
    began_s = time.perf_counter()
    work(*arguments)
    return time.perf_counter() - began_s


def call(*words: str, **variables: str) -> None:
    subprocess.run(
        words, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        env={**os.environ, **variables},
    )  # fmt: skip


def by_hand(folder: Path, packages: list[str], *more: str) -> None:
    """What somebody types who knows uv."""
    uv = str(Path(sys.executable).with_name("uv"))
    call(uv, "venv", "--quiet", "--python", sys.executable, str(folder))
    python = str(folder / "bin" / "python")
    call(uv, "pip", "install", "--quiet", *more, "--python", python, *packages)


def by_outlast(home: Path, packages: list[str]) -> None:
    """The program that a supervisor starts."""
    run = home / "runs" / "r"
    run.mkdir(parents=True)
    spec = {"id": "r", "environment": {"kind": "pip", "pip": packages}}
    (run / "spec.json").write_text(json.dumps(spec))
    call(sys.executable, "-I", "-S", MAIN, str(run), "--attempt", "1")


def builds(root: Path, packages: list[str]) -> None:
    os.environ["UV_CACHE_DIR"] = str(root / "store")
    by_hand(root / "first", packages)
    rows: dict[str, list[float]] = {"uv by hand": [], "the same, compiled": [], "Outlast": []}
    for number in range(ROUNDS):
        place = root / str(number)
        rows["uv by hand"].append(timed_s(by_hand, place / "a", packages))
        rows["the same, compiled"].append(
            timed_s(by_hand, place / "b", packages, "--compile-bytecode")
        )
        rows["Outlast"].append(timed_s(by_outlast, place / "c", packages))
        shutil.rmtree(place)
    floor_s = statistics.median(rows["the same, compiled"])
    print(f"a new environment with {', '.join(packages)}, packages in uv's store, median of 3")
    for name, taken in rows.items():
        median_s = statistics.median(taken)
        print(f"  {name:<20} {median_s:6.2f} s   {median_s / floor_s:4.2f}x")


def starts(root: Path) -> None:
    """From submit to the first line, in an environment that is there and in the caller's own."""
    home = root / "home"
    home.mkdir()
    os.environ["OUTLAST_HOME"] = str(home)
    start(home)
    workspace = Workspace(home)
    folder = root / "project"
    folder.mkdir()
    print("submit to the first line of the script, median of 7 (and the script's own time)")
    try:
        kinds: dict[str, dict[str, list[str]] | None] = {"own": None, "environment": {"pip": []}}
        for name, environment in kinds.items():
            taken = [_first_line_s(workspace, folder, environment) for _ in range(RUNS + 1)][1:]
            print(f"  {name:<20} {1e3 * statistics.median(taken):6.0f} ms")
        python = next((home / "environments").glob("*/bin/python"))
        bare = [timed_s(call, str(python), "-c", "print(1)") for _ in range(RUNS)]
        print(f"  {'bare python -c':<20} {1e3 * statistics.median(bare):6.0f} ms")
    finally:
        workspace.connection.post("/api/shutdown", {})


def _first_line_s(
    workspace: Workspace, folder: Path, environment: dict[str, list[str]] | None
) -> float:
    began_s = time.perf_counter()
    run = submit(
        ["python" if environment else sys.executable, "-c", "print(1, flush=True)"],
        folder=folder, in_place=True, environment=environment, workspace=workspace,
    )  # fmt: skip
    for piece in run.follow_output():
        if piece.data:
            break
    taken_s = time.perf_counter() - began_s
    run.wait()
    return taken_s


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="outlast-bench-") as name:
        starts(Path(name))
        builds(Path(name), sys.argv[1:] or ["scikit-learn"])


if __name__ == "__main__":
    main()
