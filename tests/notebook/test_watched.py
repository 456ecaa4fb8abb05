"""What a view of a run is told while the run goes on, and what is printed without a notebook."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from outlast.notebook.show import show
from outlast.notebook.watched import LOG_BYTES, METRICS, Tail, Watched, look
from outlast.sdk.handle import RunHandle
from outlast.sdk.submit import submit
from outlast.sweeps import choice
from outlast.sweeps.asking import sweep
from tests.sdk.place import Place

PATIENCE_S = 40.0
SCRIPT = """
import os, sys, time
import outlast
run = outlast.get_context()
for step in range(3):
    run.log("loss", 1.0 - step / 10)
run.log("bad", float("nan"))
print("before", flush=True)
while not os.path.exists(sys.argv[1]):
    time.sleep(0.05)
run.log("loss", 0.5)
print("after")
"""


class Seen:
    """The parts of a view as they come, and how it stands."""

    def __init__(self) -> None:
        self.view: dict[str, Any] = {}
        self.statuses: list[str] = []
        self._news = threading.Condition()

    def take(self, news: dict[str, Any]) -> None:
        with self._news:
            self.view.update(news)
            if "facts" in news:
                self.statuses.append(news["facts"]["status"])
            self._news.notify_all()

    def wait_for_log(self, text: str, run: RunHandle) -> None:
        with self._news:
            found = self._news.wait_for(lambda: text in self.view.get("log", ""), PATIENCE_S)
        assert found, f"told: {self.view}\nwhy: {run.why()}"


def submitted(place: Place, folder: Path) -> RunHandle:
    (folder / "train.py").write_text(SCRIPT)
    command = [sys.executable, "train.py", str(folder / "go")]
    return submit(command, folder=folder, workspace=place.workspace)


def test_a_view_follows_a_run_to_its_end(place: Place, tmp_path: Path) -> None:
    run, seen = submitted(place, tmp_path), Seen()
    watched = Watched(run, seen.take)
    watched.start()
    seen.wait_for_log("before", run)
    (tmp_path / "go").touch()
    assert watched.join(PATIENCE_S)
    assert seen.view["log"] == "before\nafter\n"
    assert seen.statuses[-1] == "Completed"
    assert seen.view["facts"]["is_over"]
    series = {one["name"]: one for one in seen.view["series"]}
    assert series["loss"]["points"] == [[0, 1.0], [1, 0.9], [2, 0.8], [3, 0.5]]
    assert series["loss"]["last"] == 0.5
    assert (series["bad"]["points"], series["bad"]["last"]) == ([], "nan")
    assert look(run) == seen.view


def test_a_view_outlives_its_server(place: Place, tmp_path: Path) -> None:
    run, seen = submitted(place, tmp_path), Seen()
    watched = Watched(run, seen.take)
    watched.start()
    seen.wait_for_log("before", run)
    place.kill_server()
    (tmp_path / "go").touch()
    place.start_server()
    assert watched.join(PATIENCE_S)
    assert seen.view["log"] == "before\nafter\n"
    assert seen.view["facts"]["status"] == "Completed"


def test_a_view_that_nobody_looks_at_ends(place: Place, tmp_path: Path) -> None:
    run, seen = submitted(place, tmp_path), Seen()
    watched = Watched(run, seen.take)
    watched.start()
    seen.wait_for_log("before", run)
    watched.leave()
    assert watched.join(PATIENCE_S)
    (tmp_path / "go").touch()
    run.wait()


def test_a_sweeps_trials_are_told(place: Place, tmp_path: Path) -> None:
    script = "import sys, outlast; outlast.get_context().log('loss', float(sys.argv[1]))"
    asked = sweep(
        [sys.executable, "-c", script, "{x}"], {"x": choice(2, 1)}, metric="loss",
        sampling="grid", folder=tmp_path, workspace=place.workspace,
    )  # fmt: skip
    seen = Seen()
    watched = Watched(asked, seen.take)
    watched.start()
    assert watched.join(PATIENCE_S)
    trials = seen.view["trials"]
    assert [trial["parameters"] for trial in trials] == [{"x": "2"}, {"x": "1"}]
    assert [trial["is_best"] for trial in trials] == [False, True]
    assert {trial["status"] for trial in trials} == {"Completed"}


def test_outside_a_notebook_it_is_printed(
    place: Place, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "go").touch()
    run = submitted(place, tmp_path)
    run.wait()
    assert show(run.id, workspace=place.workspace) is None
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"Run {run.id} of default: Completed, ")
    assert "  loss = 0.5" in lines
    assert lines[-1].endswith(f"/runs/{run.id}")


def test_without_anywidget_a_notebook_says_what_to_install(place: Place, tmp_path: Path) -> None:
    (tmp_path / "go").touch()
    run = submitted(place, tmp_path)
    run.wait()
    code = f"""
import sys
sys.modules["anywidget"] = None
from outlast.notebook import show
show.is_notebook = lambda: True
from outlast.sdk.workspace import Workspace
show.show({run.id!r}, workspace=Workspace({str(place.home)!r}))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "Completed" in done.stdout
    assert "pip install 'outlast[notebook]'" in done.stdout


def test_more_than_is_shown_costs_nothing(place: Place, tmp_path: Path) -> None:
    script = (
        "import outlast\nrun = outlast.get_context()\n"
        "for n in range(40): run.log(f'metric{n}', n)\n"
        "for n in range(4000): print('line', n, 'x' * 20)\n"
    )
    run = submit([sys.executable, "-c", script], folder=tmp_path, workspace=place.workspace)
    run.wait()
    view = look(run)
    assert len(view["series"]) == METRICS
    assert len(view["log"]) < LOG_BYTES
    assert view["log"].endswith(f"line 3999 {'x' * 20}\n")
    assert view["log"].startswith("line ")


def test_the_end_of_a_log_is_whole_lines_and_the_last_of_a_progress_bar() -> None:
    tail = Tail()
    tail.add(b"10 %\r20 %\r100 %\ndone \x1b[31mred\x1b[0m\n")
    assert tail.text == "100 %\ndone red\n"
    tail.add(b"a" * LOG_BYTES)
    tail.add(b"\nlast")
    assert tail.text == "last"
    assert tail.offset > 0


def test_the_thread_that_follows_never_keeps_python_alive(place: Place, tmp_path: Path) -> None:
    run = submitted(place, tmp_path)
    code = f"""
import outlast
from outlast.notebook.watched import Watched
from outlast.sdk.workspace import Workspace
Watched(Workspace({str(place.home)!r}).run({run.id!r}), lambda news: None).start()
"""
    began_s = time.monotonic()
    subprocess.run([sys.executable, "-c", code], check=True, timeout=PATIENCE_S)
    assert time.monotonic() - began_s < PATIENCE_S
    (tmp_path / "go").touch()
    run.wait()
