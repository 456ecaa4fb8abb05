"""The server is killed again and again while runs log: nothing is lost, doubled or said wrongly."""

from __future__ import annotations

import os
import random
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from outlast.sdk.handle import RunHandle
from tests.scenario import index
from tests.scenario.conftest import IS_FULL, Place

pytestmark = pytest.mark.slow

RUNS, POINTS, KILLS, LASTS_S = (20, 50_000, 50, 75.0) if IS_FULL else (5, 4_000, 6, 6.0)
BURST = 500

# `time.sleep` here is the work of a training step.
SCRIPT = """
import random, sys, time
from outlast.runtime import get_context
seed, points, burst = (int(word) for word in sys.argv[1:4])
pause_s = float(sys.argv[4])
run, values = get_context(), random.Random(seed)
for step in range(points // 2):
    run.log("loss", values.random())
    run.log("lr", step / 7, step=step)
    if step % (burst // 2) == 0:
        run.log_row("epochs", step=step)
        print(f"step {step}", flush=True)
        time.sleep(pause_s)
run.tag("seed", seed)
sys.exit(seed % 3 == 2 and 3)
"""


def logged(seed: int) -> list[float]:
    values = random.Random(seed)
    return [values.random() for _ in range(POINTS // 2)]


def printed() -> str:
    return "".join(f"step {step}\n" for step in range(0, POINTS // 2, BURST // 2))


class Server:
    """One life of the server, which nobody waits for to be ready."""

    def __init__(self, place: Place) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "outlast.server", "--home", str(place.home), "--port", "0"],
            env={**place.environ, "OUTLAST_DETACHED": "1"}, cwd="/", stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        self._pidfd = os.pidfd_open(self._process.pid)

    def lives(self, seconds: float) -> bool:
        return not select.select([self._pidfd], [], [], seconds)[0]

    def kill(self) -> None:
        signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
        os.close(self._pidfd)
        assert self._process.wait(10) == -signal.SIGKILL


@pytest.fixture
def many_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OUTLAST_CPUS", str(RUNS))


@pytest.fixture
def runs(many_cpus: None, place: Place, tmp_path: Path) -> list[RunHandle]:
    script = tmp_path / "train.py"
    script.write_text(SCRIPT)
    pause_s = LASTS_S / (POINTS / BURST)
    return [
        place.run(
            place.outlast(
                "run", "-d", "--name", f"seed-{seed}", "--",
                sys.executable, str(script), str(seed), str(POINTS), str(BURST), str(pause_s),
            ).strip()
        )
        for seed in range(RUNS)
    ]  # fmt: skip


@pytest.mark.each_database
@pytest.mark.timeout(600)
def test_every_point_is_there_once_and_every_state_is_right(
    runs: list[RunHandle], place: Place, tmp_path: Path
) -> None:
    place.environ["OUTLAST_CPUS"] = str(RUNS)
    place.kill_server()
    moments = random.Random(1)
    for _ in range(KILLS):
        server = Server(place)
        # A start takes about a second: some are killed within it.
        assert server.lives(moments.uniform(0.1, 2.5)), "it ended by itself"
        server.kill()
    place.start_server()
    for seed, run in enumerate(runs):
        wanted = ("Failed", "exit_code") if seed % 3 == 2 else ("Completed", "")
        assert run.wait(raise_on_error=False) == wanted[0]
        assert run.fetch()["cause"] == wanted[1]
        assert run.tags == {"seed": str(seed)}
        loss, rate = run.metrics("loss"), run.metrics("lr")
        assert loss["values"] == logged(seed)
        assert loss["steps"] == rate["steps"] == list(range(POINTS // 2))
        assert rate["values"] == [step / 7 for step in range(POINTS // 2)]
        assert len(run.values()) == POINTS // BURST
        assert "".join(run.logs()) == printed()
    place.stop_server()
    assert index.kept(place.home) == index.rebuilt(place.home, tmp_path / "fresh.db")
