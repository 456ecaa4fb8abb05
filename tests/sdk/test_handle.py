"""A run from outside: awaited, read, shown once, stopped; over a restart of the server as well."""

from __future__ import annotations

import io
import math
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from outlast.errors import Conflict, NotFound, RunFailed
from outlast.sdk.handle import RunHandle
from outlast.sdk.submit import submit
from tests.sdk.place import Place

SCRIPT = """
import math
from outlast import Run
run = Run.get_context()
for step in range(200):
    run.log("loss", 1.0 / (step + 1), step=step)
run.log("loss", 0.5, step=0)
for value in (math.nan, math.inf, -math.inf):
    run.log("odd", value)
run.log_row("table", a=1, b=2)
run.log_list("list", [1, 2])
print("first", flush=True)
print("last", end="")
open(run.output_folder + "/model.txt", "w").write("weights")
"""


@pytest.fixture(scope="module")
def trained(place: Place, tmp_path_factory: pytest.TempPathFactory) -> RunHandle:
    folder = tmp_path_factory.mktemp("trained")
    (folder / "train.py").write_text(SCRIPT)
    handle = submit("train.py", folder=folder, name="trained", workspace=place.workspace)
    handle.wait()
    return handle


def run(place: Place, script: str) -> RunHandle:
    return submit(["sh", "-c", script], in_place=True, workspace=place.workspace)


def test_the_output_comes_whole_and_as_lines(trained: RunHandle) -> None:
    assert list(trained.logs()) == ["first\n", "last"]
    assert list(trained.logs(follow=True)) == ["first\n", "last"]
    assert list(trained.logs(start=3)) == ["st\n", "last"]
    assert trained.output_size() == 10
    assert b"".join(piece.data for piece in trained.output_so_far(2, end=7)) == b"rst\nl"


def test_the_last_value_of_each_metric_is_a_number_even_when_json_has_none(
    trained: RunHandle,
) -> None:
    last = trained.metrics()
    assert set(last) == {"loss", "odd"}
    assert last["odd"] == -math.inf
    by_name = {summary["name"]: summary for summary in trained.series()}
    assert (by_name["odd"]["n"], by_name["odd"]["min"]) == (3, None)


def test_a_whole_series_keeps_every_point_and_repeated_steps(trained: RunHandle) -> None:
    series = trained.metrics("loss")
    assert len(series["steps"]) == len(series["values"]) == len(series["times_ns"]) == 201
    assert series["steps"][:3] == [0, 0, 1]
    assert series["values"][:2] == [1.0, 0.5]
    odd = trained.metrics("odd")["values"]
    assert math.isnan(odd[0])
    assert odd[1:] == [math.inf, -math.inf]
    assert len(trained.view("loss", points=50)["steps"]) <= 60


def test_a_metric_that_is_not_there_is_not_found(trained: RunHandle) -> None:
    with pytest.raises(NotFound):
        trained.metrics("nope")


def test_pandas_gets_points_of_one_metric_and_a_column_for_each(trained: RunHandle) -> None:
    pd = pytest.importorskip("pandas")
    points = trained.metrics("loss", as_pandas=True)
    assert list(points.columns) == ["step", "time", "value"]
    assert len(points) == 201
    assert str(points["time"].dtype).startswith("datetime64[ns")
    table = trained.metrics(as_pandas=True)
    assert list(table.columns) == ["loss", "odd"]
    assert table.loc[0, "loss"] == 0.5  # the last of the two of that step
    assert table.loc[199, "loss"] == 1.0 / 200
    assert math.isnan(table.loc[0, "odd"])
    assert table.loc[1, "odd"] == math.inf
    assert isinstance(table, pd.DataFrame)


def test_what_is_no_number_comes_as_it_was_logged(trained: RunHandle) -> None:
    assert [(value["kind"], value["name"]) for value in trained.values()] == [
        ("row", "table"), ("list", "list"),
    ]  # fmt: skip


def test_outputs_are_listed_fetched_checked_and_verified(
    trained: RunHandle, tmp_path: Path
) -> None:
    assert [file["path"] for file in trained.outputs] == ["outputs/model.txt"]
    done: list[int] = []
    paths = trained.download(tmp_path, progress=done.append)
    assert [path.read_text() for path in paths] == ["weights"]
    assert sum(done) == len("weights")
    paths[0].write_text("other")
    with pytest.raises(Conflict):
        trained.download(tmp_path)
    trained.download(tmp_path, overwrite=True)
    assert paths[0].read_text() == "weights"
    assert trained.verify() == []


def test_why_states_and_tags_are_told(place: Place, trained: RunHandle) -> None:
    assert trained.why()["headline"].startswith("Completed")
    assert [state["status"] for state in trained.states()] == ["Completed"]
    trained.tag("kept", "yes")
    assert trained.tags == {"kept": "yes"}
    assert place.workspace.run("trained").id == trained.id
    assert trained.processes() == []


def test_a_failed_run_raises_with_its_cause_and_the_next_command(place: Place) -> None:
    handle = run(place, "echo no; exit 7")
    with pytest.raises(RunFailed) as raised:
        handle.wait()
    assert raised.value.facts == {"status": "Failed", "cause": "exit_code"}
    assert raised.value.hint == f"outlast why {handle.id}"
    assert handle.wait(raise_on_error=False) == "Failed"


def test_a_canceled_run_may_be_retried_and_deleted(place: Place) -> None:
    handle = run(place, "sleep 60")
    for state in handle.states():
        if state["status"] == "Running":
            break
    with pytest.raises(Conflict):
        handle.delete()
    assert handle.processes()
    handle.cancel("enough")
    assert handle.wait(raise_on_error=False) == "Canceled"
    again = handle.retry()
    assert again.id != handle.id
    assert handle.retry(id=again.id).id == again.id
    again.cancel(force=True)
    again.wait(raise_on_error=False)
    handle.delete()
    with pytest.raises(NotFound):
        handle.fetch()


def test_output_shown_while_waiting_is_every_byte_once(place: Place) -> None:
    handle = run(place, "seq 20000; printf '\\377\\0end'")
    shown = io.BytesIO()
    assert handle.wait(show_output=True, to=shown) == "Completed"
    assert shown.getvalue() == (place.folder(handle.id) / "output").read_bytes()


def test_output_on_a_stream_without_a_buffer_is_shown_without_control_characters(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    handle = run(place, r"printf 'a\033]0;title\007b\377\n'")
    stream = io.StringIO()  # as in a notebook
    monkeypatch.setattr(sys, "stdout", stream)
    handle.wait(show_output=True)
    assert stream.getvalue() == "ab\ufffd\n"


def test_following_goes_on_where_it_was_when_the_server_is_killed(own_place: Place) -> None:
    go = own_place.home.parent / "go"
    handle = run(own_place, f"seq 1000; while ! test -e {go}; do sleep 0.02; done; seq 1000")
    shown = io.BytesIO()
    waiting = threading.Thread(target=lambda: handle.wait(show_output=True, to=shown))
    waiting.start()
    while shown.getvalue().count(b"\n") < 1000:
        waiting.join(0.01)
    own_place.kill_server()
    go.touch()
    own_place.start_server()
    waiting.join(60)
    assert not waiting.is_alive()
    assert shown.getvalue() == (own_place.folder(handle.id) / "output").read_bytes()
    assert shown.getvalue().count(b"\n") == 2000


def test_a_killed_server_is_started_again_by_who_waits(
    own_place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("outlast.sdk.workspace.RESTART_AFTER_S", 0.2)
    handle = run(own_place, "sleep 0.5")
    handle.state()
    own_place.kill_server()
    assert handle.wait() == "Completed"


def test_a_server_that_was_stopped_is_not_started_again(
    own_place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("outlast.sdk.workspace.RESTART_AFTER_S", 0.05)
    handle = run(own_place, "true")
    handle.wait()
    own_place.stop_server()
    own_place.workspace.connection.patience_s = 0.5
    with pytest.raises(Exception, match="no answer"):
        handle.fetch()


def test_ctrl_c_while_waiting_leaves_the_run_running_and_says_how_to_come_back(
    place: Place, tmp_path: Path
) -> None:
    go = tmp_path / "go"
    handle = run(place, f"echo up; while ! test -e {go}; do sleep 0.02; done")
    script = f"import outlast; outlast.get_run('{handle.id}').wait(show_output=True)"
    client = subprocess.Popen(
        [sys.executable, "-c", script],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "OUTLAST_HOME": str(place.home)},
    )  # fmt: skip
    with client:
        assert client.stdout is not None
        assert client.stdout.readline() == "up\n"  # it is in wait() now
        client.send_signal(signal.SIGINT)
        _, said = client.communicate(timeout=20)
    assert f"outlast logs -f {handle.id}" in said
    assert not handle.is_over
    go.touch()
    assert handle.wait() == "Completed"
