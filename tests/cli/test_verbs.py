"""The other verbs, on real runs."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from outlast.sdk.handle import RunHandle
from outlast.sdk.submit import submit
from tests.cli.terminal import CTRL_C, Piped, Terminal
from tests.sdk.place import Place

Tty = Callable[..., AbstractContextManager[Terminal]]
HOSTILE = "name\x1b]52;c;aGk=\x07\x1b[2J"
SCRIPT = """
import math, pathlib
from outlast import Run
run = Run.get_context()
for step in range(40):
    run.log("loss", 1.0 / (step + 1), step=step)
run.log("odd\\x1b[2J" if False else "odd", math.nan)
run.log_table("roc", {"fpr": [0, 0.5], "tpr": [0, 1]})
run.log_row("best", epoch=3, loss=0.25)
run.log_row("best", epoch=4)
run.log_list("sizes", list(range(12)))
run.log("note", "good \\x1b[2J")
pathlib.Path(run.output_folder, "model.txt").write_text("weights")
print("\\n".join(f"line {n}" for n in range(1, 101)))
"""


@pytest.fixture(scope="module")
def trained(place: Place, tmp_path_factory: pytest.TempPathFactory) -> RunHandle:
    folder = tmp_path_factory.mktemp("trained")
    (folder / "train.py").write_text(SCRIPT)
    handle = submit(
        "train.py", folder=folder, name="digits", experiment="reading", workspace=place.workspace,
        parameters={"lr": 0.1}, tags={"team": "a"},
    )  # fmt: skip
    handle.wait()
    return handle


@pytest.fixture(scope="module")
def failed(place: Place, trained: RunHandle) -> RunHandle:
    command = ["sh", "-c", "echo ValueError: no >&2; exit 7"]
    handle = submit(command, in_place=True, name="bad", workspace=place.workspace)
    handle.wait(raise_on_error=False)
    return handle


# --- ls ---


def test_a_list_in_a_terminal_is_80_columns_of_what_tells_runs_apart(
    tty: Tty, trained: RunHandle, failed: RunHandle
) -> None:
    with tty("ls", "--where", "name in (digits, bad)") as window:
        assert window.end() == 0
    heading, bad, digits = window.text.replace("\x1b[0m", "").splitlines()
    assert heading.split() == ["ID", "RUN", "EXPERIMENT", "STATUS", "AGE", "LASTED", "METRICS"]
    assert bad.startswith(f"{failed.id}  bad ")
    assert "\x1b[31mFailed: exit 7" in bad
    assert digits.startswith(f"{trained.id}  digits")
    assert "loss=0.025" in digits
    assert len(digits.replace("\x1b[32m", "")) <= 80


def test_filters_and_forms_of_lists(cli: Piped, trained: RunHandle, failed: RunHandle) -> None:
    assert cli("ls", "-q", "--where", "metrics.loss < 0.1").out == f"{trained.id}\n"
    assert cli("ls", "-q", "--where", "metrics.loss < 0.01").out == ""
    assert cli("ls", "-q", "-e", "reading").out == f"{trained.id}\n"
    assert failed.id in cli("ls", "-q", "--status", "Failed,Canceled").out.split()
    assert trained.id not in cli("ls", "-q", "--status", "Failed,Canceled").out.split()
    assert cli("ls", "-q", "--limit", "1").out == f"{failed.id}\n"
    assert trained.id in cli("ls", "-q", "--since", "1h").out.split()
    rows = json.loads(cli("ls", "--json", "-e", "reading").out)
    assert [row["id"] for row in rows] == [trained.id]
    assert cli("ls", "--where", "name = nobody").out == "no run fits   try: outlast ls\n"
    assert cli("ls", "--since", "1ms", "-q").out == ""


def test_a_hostile_name_does_nothing_in_any_listing(cli: Piped, place: Place, tty: Tty) -> None:
    command = ["sh", "-c", ": \x1b[2J\x07"]
    handle = submit(command, in_place=True, tags={"t": HOSTILE}, workspace=place.workspace)
    handle.wait()
    for verb in ("ls", "show", "why", "compare"):
        arguments = [handle.id, "digits"] if verb == "compare" else [handle.id] * (verb != "ls")
        with tty(verb, *arguments) as window:
            assert window.end() == 0
        for sequence in ("\x1b]", "\x1b[2J", "\x07"):
            assert sequence not in window.text, verb
    raw = json.loads(cli("show", "--json", handle.id).out)
    assert raw["tags"]["t"] == HOSTILE


def test_watching_redraws_until_ctrl_c_and_gives_the_screen_back(
    tty: Tty, place: Place, trained: RunHandle
) -> None:
    with tty("ls", "--watch", "-n", "5") as window:
        window.until("digits")
        handle = submit(["true"], in_place=True, name="newcomer", workspace=place.workspace)
        window.until("newcomer")
        handle.wait()
        window.press(CTRL_C)
        assert window.end() == 0
    assert window.text.startswith("\x1b[?1049h")
    assert window.text.rstrip().endswith("\x1b[?1049l")


def test_watching_needs_a_terminal(cli: Piped) -> None:
    done = cli("ls", "--watch")
    assert done.code == 2
    assert "terminal" in done.err


# --- one run ---


def test_show_tells_what_was_asked_and_what_came_of_it(cli: Piped, trained: RunHandle) -> None:
    text = cli("show", "digits").out
    for line in (
        f"run         {trained.id} (digits)", "status      Completed", "experiment  reading",
        "tags        team=a", "parameters  lr=0.1", "metric      loss = 0.025 (40 points)",
        "metric      odd = nan (1 point)",
    ):  # fmt: skip
        assert line in text, text


def test_why_is_text_or_json(cli: Piped, failed: RunHandle) -> None:
    text = cli("why", failed.id[:6]).out
    assert text.startswith("Failed after ")
    assert "exit code 7" in text
    assert json.loads(cli("why", "--json", failed.id).out)["findings"]


@pytest.mark.parametrize("count", [0, 1, 3, 99, 100, 101, 5000])
def test_a_tail_begins_so_many_lines_before_the_end(
    cli: Piped, trained: RunHandle, count: int
) -> None:
    lines = (f"line {n}\n" for n in range(1, 101))
    wanted = list(lines)[-count:] if count else []
    assert cli("logs", trained.id, "--tail", str(count)).out == "".join(wanted)


def test_a_tail_reaches_back_over_long_lines_and_keeps_an_unfinished_one(
    cli: Piped, place: Place
) -> None:
    script = "head -c 200000 /dev/zero | tr '\\0' x; echo; echo short; printf end"
    handle = submit(["sh", "-c", script], in_place=True, workspace=place.workspace)
    handle.wait()
    assert cli("logs", handle.id, "--tail", "1").out == "end"
    assert cli("logs", handle.id, "--tail", "2").out == "short\nend"
    assert cli("logs", handle.id, "--tail", "3").out == "x" * 200_000 + "\nshort\nend"


def test_logs_begin_at_any_offset_and_say_where_they_end(cli: Piped, trained: RunHandle) -> None:
    whole = cli("logs", trained.id).out
    assert cli("logs", trained.id, "--from", "700").out == whole[700:]
    beyond = cli("logs", trained.id, "--from", "99999")
    assert beyond.code == 2
    assert str(len(whole)) in beyond.err
    followed = cli("logs", "-f", trained.id)
    assert followed.out == whole
    assert followed.err.startswith(f"outlast: {trained.id} Completed in ")


def test_metrics_as_table_json_csv_and_curve(cli: Piped, trained: RunHandle) -> None:
    table = cli("metrics", trained.id).out.splitlines()
    assert table[0].split() == ["METRIC", "POINTS", "LAST", "MIN", "MAX", "LAST", "STEP"]
    assert table[1].split() == ["loss", "40", "0.025", "0.025", "1", "39"]
    assert table[2].split() == ["odd", "1", "nan", "0"]
    summaries = json.loads(cli("metrics", "--json", trained.id).out)
    assert [summary["last"] for summary in summaries] == [0.025, "nan"]
    series = json.loads(cli("metrics", "--json", trained.id, "loss").out)["loss"]
    assert series["values"][:2] == [1.0, 0.5]
    csv = cli("metrics", "--csv", trained.id, "loss").out.splitlines()
    assert csv[0] == "name,step,time_ns,value"
    assert len(csv) == 41
    assert csv[2].startswith("loss,1,")
    curve = cli("metrics", "--plot", trained.id, "loss").out.splitlines()
    assert curve[0] == "loss   last 0.025, 40 points"
    assert max(map(len, curve)) <= 80
    assert cli("metrics", trained.id, "nope").code == 5


def test_what_was_logged_beside_numbers_is_told_and_shown_whole(
    cli: Piped, trained: RunHandle
) -> None:
    told = [line.split(None, 2) for line in cli("metrics", trained.id).out.splitlines()[-5:]]
    assert told == [
        ["LOGGED", "KIND", "HOLDS"],
        ["roc", "table", "2 rows of fpr, tpr"],
        ["best", "table", "2 rows of epoch, loss"],
        ["sizes", "list", "12 values: 0, 1, 2, 3, 4, 5, 6, 7, …"],
        ["note", "string", "good"],
    ]
    assert "roc (table: 2 rows of fpr, tpr)" in cli("show", trained.id).out
    whole = cli("metrics", trained.id, "roc", "best").out
    assert whole == "fpr  tpr\n0    0\n0.5  1\n\nepoch  loss\n3      0.25\n4\n"
    named = json.loads(cli("metrics", "--json", trained.id, "sizes", "best", "loss").out)
    assert named["sizes"] == list(range(12))
    assert named["best"] == {"epoch": [3, 4], "loss": [0.25]}
    assert len(named["loss"]["values"]) == 40
    assert "isn't a series" in cli("metrics", "--csv", trained.id, "roc").err


def test_outputs_are_listed_fetched_and_verified(
    cli: Piped, trained: RunHandle, tmp_path: Path
) -> None:
    assert "outputs/model.txt" in cli("outputs", trained.id).out
    assert json.loads(cli("outputs", "ls", "--json", trained.id).out)[0]["size_bytes"] == 7
    assert json.loads(cli("outputs", "--json", trained.id).out)[0]["size_bytes"] == 7
    assert cli("outputs", "download", trained.id, str(tmp_path)).out == f"1 file in {tmp_path}\n"
    assert (tmp_path / "outputs" / "model.txt").read_text() == "weights"
    (tmp_path / "outputs" / "model.txt").write_text("mine")
    again = cli("outputs", "download", trained.id, str(tmp_path))
    assert again.code == 6
    assert "--overwrite" in again.err
    assert cli("outputs", "verify", trained.id).out == "every stored file is whole\n"


def test_top_shows_the_live_processes(cli: Piped, place: Place, trained: RunHandle) -> None:
    handle = submit(["sleep", "60.25"], in_place=True, workspace=place.workspace)
    for state in handle.states():
        if state["status"] == "Running":
            break
    assert "sleep 60.25" in cli("top", handle.id).out
    assert json.loads(cli("top", "--json", handle.id).out)[-1]["command"] == "sleep 60.25"
    handle.cancel(force=True)
    handle.wait(raise_on_error=False)
    assert cli("top", trained.id).out == "no process of this run is alive\n"


def test_deleting_asks_first_and_refuses_what_runs(cli: Piped, place: Place) -> None:
    handle = submit(["sleep", "60"], in_place=True, workspace=place.workspace)
    refused = cli("rm", "-y", handle.id)
    assert refused.code == 6
    assert f"outlast cancel {handle.id}" in refused.err
    handle.cancel(force=True)
    handle.wait(raise_on_error=False)
    assert cli("rm", handle.id).code == 130  # no answer to the question
    assert cli("rm", "-y", handle.id).out == f"deleted {handle.id}\n"
    assert cli("show", handle.id).code == 5
    assert not place.folder(handle.id).exists()


def test_prune_frees_what_no_run_names(cli: Piped, trained: RunHandle) -> None:
    assert re.fullmatch(r"would free \d+ files?, .+\n", cli("prune", "--dry-run").out)
    assert re.fullmatch(r"freed \d+ files?, .+\n", cli("prune").out)
    assert cli("outputs", "verify", trained.id).code == 0
    soon = cli("prune", "--older-than", "1h")
    assert soon.code == 2
    assert "give 2 h or more" in soon.err


def test_waiting_for_several_exits_as_the_first_that_did_not_complete(
    cli: Piped, trained: RunHandle, failed: RunHandle
) -> None:
    done = cli("wait", trained.id, failed.id)
    assert done.code == 7
    assert f"{trained.id} Completed" in done.err
    assert cli("wait", trained.id).code == 0


# --- server and machine ---


def test_the_server_is_started_once_described_and_stopped(cli: Piped, tmp_path: Path) -> None:
    home = tmp_path / "home"
    cli.environ = {**cli.environ, "OUTLAST_HOME": str(home)}
    none = cli("status")
    assert none.code == 69
    assert "outlast up --detach" in none.out
    assert json.loads(cli("status", "--json").out) == {"is_running": False, "workspace": str(home)}
    assert not home.exists()
    assert cli("up", "--detach").out.startswith("ready: http://127.0.0.1:")
    assert cli("up", "-d").out.startswith("runs already: ")
    status = json.loads(cli("status", "--json").out)
    assert status["workspace"] == str(home)
    assert "cpus " in cli("status").out
    assert f"pid {status['pid']}" in cli("version").out
    second = cli("up")
    assert second.code == 75
    assert str(status["pid"]) in second.err
    assert cli("down").out == "stopped; runs go on\n"
    assert cli("down").out == f"no server runs on {home}\n"
    assert not Path(f"/proc/{status['pid']}/cwd").exists()


def test_a_server_in_the_foreground_says_where_it_is_and_ends_by_ctrl_c(
    tty: Tty, place: Place, tmp_path: Path
) -> None:
    with tty("--home", str(tmp_path / "home"), "up", "--port", "0") as window:
        window.until("http://127.0.0.1:")
        window.press(CTRL_C)
        assert window.end() == 0


def test_doctor_gives_a_remedy_for_what_is_wrong(cli: Piped, place: Place, tmp_path: Path) -> None:
    well = cli("doctor")
    assert "!! " not in well.out.replace("!! disk", "ok disk"), well.out
    for name in ("python", "workspace", "disk", "server", "port", "inotify", "pidfd", "cgroup",
                 "clock", "git", "py-spy"):  # fmt: skip
        assert f"ok  {name}" in well.out or name == "disk"
    home = tmp_path / "open"
    home.mkdir()
    home.chmod(0o755)
    ill = cli("doctor", OUTLAST_HOME=str(home))
    assert ill.code == 1
    assert f"do: chmod 700 {home}" in ill.out


def test_settings_say_where_they_come_from(cli: Piped, place: Place) -> None:
    text = cli("config", "show", "--sources").out
    assert "OUTLAST_PORT" in text
    values = json.loads(cli("config", "show", "--json").out)
    assert (values["port"], values["home"]) == (0, str(place.home))


def test_a_run_without_outputs_or_metrics_says_how_to_get_some(cli: Piped) -> None:
    assert cli("run", "--", "true").code == 0
    assert "no stored outputs" in cli("outputs").out
    assert "get_context().log" in cli("metrics").out
    assert cli("metrics", "--csv").out == "name,step,time_ns,value\n"


def test_every_setting_is_a_flag_of_up(cli: Piped, place: Place) -> None:
    cli("down")
    done = cli("up", "--detach", "--cpus", "3", "--output-quota-bytes", "2000000")
    assert done.code == 0, done.err
    status = json.loads(cli("status", "--json").out)
    assert status["slots"]["total"]["cpus"] == 3
    wrong = cli("up", "--cpu", "3")
    assert wrong.code == 2
    assert wrong.err.startswith(
        "error: --cpu: there is no such setting\n  try: outlast config show"
    )


def test_a_cancel_of_a_run_that_only_stores_its_outputs_says_so(
    cli: Piped, place: Place, tmp_path: Path
) -> None:
    script = "mkdir outputs; echo $$ > outputs/a"
    store, aside = place.home / "blobs", place.home / "blobs.aside"
    store.rename(aside)
    store.write_text("no folder")
    try:
        run = place.workspace.run(cli("run", "-d", "--", "sh", "-c", script).out.strip())
        version, state = run.state()
        while state["stage"] != "storage":
            version, state = run.state(version, wait_s=20)
        done = cli("cancel", run.id)
    finally:
        store.unlink()
        aside.rename(store)
    assert done.code == 0
    assert "has done its work and goes on storing its outputs" in done.err
    assert cli("outputs", "push", run.id).code == 0
    assert run.wait() == "Completed"


def test_doctor_names_a_server_that_is_stopped(cli: Piped, place: Place) -> None:
    assert cli("ls").code == 0  # there is a server then
    pid = json.loads(cli("status", "--json").out)["pid"]
    os.kill(pid, signal.SIGSTOP)
    try:
        done = cli("doctor")
    finally:
        os.kill(pid, signal.SIGCONT)
    assert f"pid {pid} is stopped" in done.out
    assert f"kill -CONT {pid}" in done.out
