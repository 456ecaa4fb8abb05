"""What a script logs stands in its journal, once and in order, whatever thread or fork wrote it."""

from __future__ import annotations

import io
import math
import multiprocessing
import subprocess
import sys
import threading
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import outlast
from outlast.errors import Conflict, Invalid, NotFound
from outlast.journal.cursor import Cursor
from outlast.run.folder import RunFolder
from outlast.runtime.current import Run


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return RunFolder(str(tmp_path))


def records(folder: RunFolder, kind: str | None = None) -> list[dict[str, Any]]:
    found = []
    for path in sorted(Path(folder.path).glob("logged.*")):
        batch = Cursor(str(path)).read_records(1 << 30)
        assert batch.corrupt == []
        found += batch.records
    return [record for record in found if kind is None or record["k"] == kind]


def test_a_metric_is_on_its_way_when_log_returns(folder: RunFolder) -> None:
    run = Run(folder)
    run.log("loss", 0.25, step=7)
    (point,) = records(folder, "m")
    assert (point["n"], point["v"], point["s"]) == ("loss", 0.25, 7)


def test_steps_count_by_themselves_for_each_name(folder: RunFolder) -> None:
    run = Run(folder)
    for name in ("a", "a", "b"):
        run.log(name, 1)
    run.log("a", 1, step=10)
    run.log("a", 1)
    assert [(r["n"], r["s"]) for r in records(folder, "m")] == [
        ("a", 0), ("a", 1), ("b", 0), ("a", 10), ("a", 11),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        (3, {"v": 3}),
        (True, {"v": True}),
        ("text ü\n", {"v": "text ü\n"}),
        (np.float32(0.5), {"v": 0.5}),
        (np.int64(4), {"v": 4}),
        (np.array(2.5), {"v": 2.5}),
        (2**70, {"v": float(2**70)}),
        (1e-320, {"v": 1e-320}),
        (math.nan, {"v": None, "x": "nan"}),
        (np.float64("-inf"), {"v": None, "x": "-inf"}),
        (np.longdouble(0.5), {"v": 0.5}),
        (Decimal("1.5"), {"v": 1.5}),
    ],
)
def test_every_kind_of_scalar_is_kept(folder: RunFolder, value: Any, kept: dict[str, Any]) -> None:
    Run(folder).log("x", value)
    (point,) = records(folder, "m")
    assert {key: point[key] for key in ("v", "x") if key in point} == kept


@pytest.mark.parametrize(
    "value",
    [[1, 2], range(3), {"a": 1}, np.zeros(2), object(), None, 1j, 10**400, np.datetime64("2026")],
)
def test_what_is_no_scalar_is_refused_by_name(folder: RunFolder, value: Any) -> None:
    with pytest.raises(Invalid, match="weight"):
        Run(folder).log("weight", value)
    assert records(folder, "m") == []


@pytest.mark.parametrize("step", [7, 7.0, np.int64(7), np.float32(7), np.array(7)])
def test_a_step_is_any_whole_number(folder: RunFolder, step: Any) -> None:
    Run(folder).log("loss", 1, step=step)
    assert [point["s"] for point in records(folder, "m")] == [7]


@pytest.mark.parametrize("step", [1.5, math.nan, math.inf, 2**63, "7", [7], np.zeros(2)])
def test_a_step_that_is_none_is_refused_and_never_rounded(folder: RunFolder, step: Any) -> None:
    with pytest.raises(Invalid, match=r"step of loss = .*: give a whole number of 64 bits"):
        Run(folder).log("loss", 1, step=step)
    assert records(folder, "m") == []


def test_lists_rows_and_tables_are_kept(folder: RunFolder) -> None:
    run = Run(folder)
    run.log_list("l", [1, np.float64(2.5), math.inf])
    run.log_row("r", x=1, y="b")
    run.log_table("t", {"x": [1, 2], "y": [3, 4]})
    run.log_table("one", {"x": 1, "y": "word", "z": np.array(0.5)})
    assert [record["v"] for record in records(folder)[1:]] == [
        [1, 2.5, "inf"],
        {"x": 1, "y": "b"},
        {"x": [1, 2], "y": [3, 4]},
        {"x": [1], "y": ["word"], "z": [0.5]},
    ]
    with pytest.raises(Invalid, match="equal length"):
        run.log_table("t", {"x": [1, 2], "y": [3]})


def test_eight_threads_lose_and_mix_nothing(folder: RunFolder) -> None:
    run = Run(folder)

    def work(thread: int) -> None:
        for index in range(1250):
            run.log(f"t{thread}", index)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    points = records(folder, "m")
    assert len(points) == 10_000
    for number in range(8):
        mine = [point for point in points if point["n"] == f"t{number}"]
        assert [point["v"] for point in mine] == list(range(1250))
        assert [point["s"] for point in mine] == list(range(1250))


def _log_in_child(path: str) -> None:
    run = Run(RunFolder(path))
    for index in range(100):
        run.log("child", index)


def _log_inherited(run: Run) -> None:
    for index in range(100):
        run.log("child", index)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_worker_processes_write_journals_of_their_own(folder: RunFolder, method: str) -> None:
    run = Run(folder)
    run.log("parent", 1)
    context = multiprocessing.get_context(method)
    target: Callable[..., None] = _log_inherited if method == "fork" else _log_in_child
    argument: Any = run if method == "fork" else folder.path
    workers = [context.Process(target=target, args=(argument,)) for _ in range(2)]  # type: ignore[attr-defined]
    for worker in workers:
        worker.start()
    run.log("parent", 2)
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    assert len(list(Path(folder.path).glob("logged.*"))) == 3
    assert len([r for r in records(folder, "m") if r["n"] == "child"]) == 200
    assert [r["v"] for r in records(folder, "m") if r["n"] == "parent"] == [1, 2]


def test_nothing_logged_is_lost_when_the_script_is_killed(folder: RunFolder) -> None:
    code = (
        "import os, sys; from outlast.run.folder import RunFolder;"
        "from outlast.runtime.current import Run; run = Run(RunFolder(sys.argv[1]));"
        "[run.log('x', i) for i in range(5000)]; os.kill(os.getpid(), 9)"
    )
    killed = subprocess.run([sys.executable, "-c", code, folder.path], check=False)
    assert killed.returncode == -9
    assert [point["v"] for point in records(folder, "m")] == list(range(5000))


def test_a_full_disk_never_stops_the_script_and_the_loss_is_counted(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from outlast.runtime import recorder

    monkeypatch.setattr(recorder, "HELD_RECORDS", 50)
    code = (
        "import resource, signal, sys;"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "from outlast.run.folder import RunFolder;"
        "from outlast.runtime import recorder; recorder.HELD_RECORDS = 50;"
        "from outlast.runtime.current import Run; run = Run(RunFolder(sys.argv[1]));"
        "run.log('x', 0);"
        "hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1];"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard));"
        "[run.log('x', i) for i in range(1, 301)];"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard));"
        "run._recorder._retry_at = 0; run.log('x', 301); run.flush()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, folder.path], check=True, capture_output=True, text=True
    )
    assert done.stderr.count("can't be written") == 1
    values = [point["v"] for point in records(folder, "m")]
    (gap,) = records(folder, "gap")
    assert values == sorted(set(values))
    assert values[-1] == 301
    assert len(values) + gap["count"] == 302


def test_an_upload_is_a_copy_and_its_name_is_taken(folder: RunFolder, tmp_path: Path) -> None:
    source = tmp_path / "model.bin"
    source.write_bytes(b"weights")
    run = Run(folder)
    run.upload_file("outputs/model.bin", str(source))
    source.write_bytes(b"changed")
    assert Path(folder.file("uploads/outputs/model.bin")).read_bytes() == b"weights"
    with pytest.raises(Conflict, match=r"outputs/model\.bin"):
        run.upload_file("outputs/model.bin", str(source))
    run.upload_file("streamed", io.BytesIO(b"abc"))
    assert [(r["path"], r["size"]) for r in records(folder, "upload")] == [
        ("outputs/model.bin", 7),
        ("streamed", 3),
    ]


@pytest.mark.parametrize("name", ["../x", "/x", "a//b", "a/./b", "a\x00b", "c:d", "a\\b", ""])
def test_an_upload_never_leaves_the_folder(folder: RunFolder, name: str) -> None:
    with pytest.raises(Invalid):
        Run(folder).upload_file(name, io.BytesIO(b"x"))


def test_a_missing_file_is_named(folder: RunFolder) -> None:
    with pytest.raises(NotFound, match="absent"):
        Run(folder).upload_file("x", "absent")


def test_a_folder_given_as_a_file_is_told_what_takes_folders(
    folder: RunFolder, tmp_path: Path
) -> None:
    with pytest.raises(Invalid, match="it is a folder; give it to upload_folder"):
        Run(folder).upload_file("x", str(tmp_path))


def test_a_folder_is_uploaded_file_by_file(folder: RunFolder, tmp_path: Path) -> None:
    (tmp_path / "d/e").mkdir(parents=True)
    (tmp_path / "d/a").write_text("1")
    (tmp_path / "d/e/b").write_text("2")
    Run(folder).upload_folder("data", str(tmp_path / "d"))
    assert [r["path"] for r in records(folder, "upload")] == ["data/a", "data/e/b"]


def test_an_image_is_kept_under_a_name_that_is_free(folder: RunFolder, tmp_path: Path) -> None:
    class Figure:
        def savefig(self, to: Any, **_: Any) -> None:
            to.write(b"\x89PNG")

    run = Run(folder)
    run.log_image("curve", plot=Figure())
    run.log_image("curve", plot=Figure())
    paths = [record["path"] for record in records(folder, "image")]
    assert len(set(paths)) == 2
    assert all(Path(folder.file(f"uploads/{path}")).read_bytes() == b"\x89PNG" for path in paths)
    with pytest.raises(Invalid, match="either"):
        run.log_image("curve")


def test_a_job_finds_its_run_and_without_one_may_be_refused(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    from outlast.runtime import current as module

    monkeypatch.setattr(module, "_current", None)
    with pytest.raises(NotFound, match="doesn't belong"):
        outlast.Run.get_context(allow_offline=False)
    monkeypatch.setenv("OUTLAST_RUN", folder.path)
    assert outlast.get_context().id == Path(folder.path).name
    assert outlast.get_context() is outlast.Run.get_context()
    monkeypatch.setattr(module, "_current", None)


def test_a_folder_that_cannot_be_written_never_stops_the_script(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Run(RunFolder(str(tmp_path / "gone")))
    for value in range(3):
        run.log("x", value)
    assert capsys.readouterr().err.count("can't be written") == 1
    (tmp_path / "gone").mkdir()
    run._recorder._retry_at = 0
    run.log("x", 3)
    assert [point["v"] for point in records(RunFolder(str(tmp_path / "gone")), "m")] == [0, 1, 2, 3]
