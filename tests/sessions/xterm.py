"""xterm.js as the judge: draw streams with it and ask what it shows.

It runs under Node, which npm gives it in a temporary folder; nothing of it is in this tree. Where
Node, npm or the registry can't be had, what needs it skips and says so.
"""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

PACKAGES = ("@xterm/headless@6.0.0", "@xterm/addon-unicode11@0.9.0")
INSTALL_S = 90
State = dict[str, Any]
# Which lines continue the one before matters for copying and reflow alone, and is told apart.
GRIDS = ("screen", "history", "primary")


class Xterm:
    """One Node process; each question gets terminals of its own."""

    def __init__(self, folder: Path) -> None:
        script = Path(__file__).with_name("oracle.cjs")
        self._process = subprocess.Popen(
            ["node", str(script), str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def states(self, columns: int, rows: int, steps: list[dict[str, Any]]) -> list[State]:
        """What the terminal was like at each {"tell": true} of the steps."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        question = {"columns": columns, "rows": rows, "steps": steps}
        self._process.stdin.write(json.dumps(question).encode() + b"\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        assert "error" not in answer, answer["error"]
        told: list[State] = answer["told"]
        return told

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()


TELL: dict[str, Any] = {"tell": True}


def data(stream: bytes) -> dict[str, Any]:
    """A step: write these bytes."""
    return {"data": base64.b64encode(stream).decode()}


def size(columns: int, rows: int) -> dict[str, Any]:
    """A step: take this size."""
    return {"size": [columns, rows]}


def differences(one: State, other: State) -> list[str]:
    """Where two states differ in what can be seen or asked; empty = the same."""
    found = []
    for name in one:
        if name in GRIDS:
            found += _of_grids(name, one[name], other[name])
        elif name != "answers" and one[name] != other[name]:
            found.append(f"{name}: {one[name]} is {other[name]}")
    return found


def _of_grids(name: str, one: list[Any], other: list[Any]) -> list[str]:
    if len(one) != len(other):
        return [f"{name}: {len(one)} lines are {len(other)}"]
    found = [
        f"{name} line {y} column {x}: {mine} is {theirs}"
        for y, (left, right) in enumerate(zip(one, other, strict=True))
        for x, (mine, theirs) in enumerate(zip(left["row"], right["row"], strict=True))
        if mine != theirs
    ]
    return found if len(found) < 4 else [*found[:3], f"{name}: {len(found)} cells"]


def wraps(state: State) -> list[bool]:
    """Which lines of the state continue the one before."""
    return [line["wrapped"] for name in GRIDS for line in state[name]]


@pytest.fixture(scope="session")
def xterm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Xterm]:
    """The judge; skips where it can't be had."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("Node and npm aren't here: nothing judges the drawings")
    folder = tmp_path_factory.mktemp("xterm")
    command = ["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix"]
    try:
        done = subprocess.run(
            [*command, str(folder), *PACKAGES], capture_output=True, text=True, timeout=INSTALL_S
        )
    except subprocess.TimeoutExpired:
        pytest.skip("xterm.js can't be had: npm got no answer from its registry")
    if done.returncode:
        pytest.skip(f"xterm.js can't be had: {done.stderr.strip()[-300:]}")
    judge = Xterm(folder)
    yield judge
    judge.close()
