"""The workspace that the tests of sweeps share, and the script that their trials run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from outlast.sweeps.asking import Sweep, sweep
from tests.sdk.place import Place, place_at

# Logs its losses; "wait<lr>" keeps it before that, "hold" behind it.
SCRIPT = """
import os, sys, time
import outlast
lr, values = float(sys.argv[1]), int(sys.argv[2])
folder = sys.argv[3]
run = outlast.get_context()
with open(os.path.join(folder, "starts"), "a") as file:
    file.write(run.id + "\\n")
while os.path.exists(os.path.join(folder, "wait%d" % lr)):
    time.sleep(0.05)
for step in range(values):
    run.log("loss", lr + 1.0 / (step + 1))
while os.path.exists(os.path.join(folder, "hold")):
    time.sleep(0.05)
with open(os.path.join(folder, "ends"), "a") as file:
    file.write(run.id + "\\n")
sys.exit(int(lr) // 100)
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OUTLAST_PORT", "0")
        patch.setenv("OUTLAST_CPUS", "4")  # trials at once, whatever the machine has
        with place_at(tmp_path_factory.mktemp("sweeps") / "home") as made:
            yield made


Asked = Callable[..., Sweep]


@pytest.fixture
def asked(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Asked]:
    """Ask for a sweep of the script over `lr`; its trials leave their traces in tmp_path."""
    code = tmp_path / "code"
    code.mkdir()
    (code / "train.py").write_text(SCRIPT)
    monkeypatch.setenv("OUTLAST_HOME", str(place.home))

    def ask(lr: Any, *, values: int = 1, **options: Any) -> Sweep:
        import sys

        command = [sys.executable, "train.py", "{lr}", str(values), str(tmp_path)]
        given = {"metric": "loss", "workspace": place.workspace, "folder": code, **options}
        return sweep(command, {"lr": lr}, **given)

    yield ask
    for kept in ("hold", "wait1"):  # also when the test has failed
        (tmp_path / kept).unlink(missing_ok=True)


def lines(path: Path) -> list[str]:
    """What the trials left in this file."""
    return path.read_text().split() if path.exists() else []
