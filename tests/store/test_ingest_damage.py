"""Damaged and hostile journals: what can be read is, the rest is said, and nobody is held up."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from outlast.errors import Corrupt, Invalid, NotFound
from outlast.journal.line import pack
from outlast.run.folder import RunFolder
from outlast.run.spec import RunSpec
from outlast.store import reading, runs
from outlast.store.database import Database
from outlast.store.ingest import Ingest, Ingested
from tests.store.folders import Written, point
from tests.store.stored import row, values


def test_a_damaged_record_is_left_out_and_said(
    database: Database, ingest: Ingest, tmp_path: Path
) -> None:
    written = Written(tmp_path)
    lines = [pack(point("loss", i, i)) for i in range(3)]
    lines[1] = lines[1].replace(b'"v":1', b'"v":7')
    written.write("logged.1", b"".join(lines))
    ingest.run(written.folder)
    assert values(database, "run1", "loss") == [0.0, 2.0]
    assert [code for code, _ in row(database)["warnings"]] == ["corrupt"]
    with database.read() as connection:
        (odd,) = runs.oddities_of(connection, "run1")
    assert odd["offset"] == len(lines[0])
    written.write("logged.1", lines[1])
    ingest.run(written.folder)
    assert len(row(database)["warnings"]) == 1


@pytest.mark.parametrize(
    "record",
    [
        {"k": "m", "n": "loss", "v": [1], "s": 0, "t": 0},
        {"k": "m", "n": "loss", "v": None, "s": 0, "t": 0},
        {"k": "m", "n": "loss", "v": 1, "s": 2**70, "t": 0},
        {"k": "m", "n": "loss", "v": 1, "s": 0, "t": 2**70},
        {"k": "m", "n": "loss", "v": 1, "s": "x", "t": 0},
        {"k": "m", "n": "loss", "v": 1, "t": 0},
        {"k": "m", "n": "a\u0000b", "v": 1, "s": 0, "t": 0},
        {"k": "m", "n": "", "v": 1, "s": 0, "t": 0},
        {"k": "m", "n": 5, "v": 1, "s": 0, "t": 0},
        {"k": "m", "n": "x" * 300, "v": 1, "s": 0, "t": 0},
        {"k": "tag", "n": "a", "v": 5},
        {"k": "tag", "n": "\u202e", "v": "x"},
        {"k": "prop", "n": "a", "v": None},
        {"k": "list", "n": "", "v": []},
    ],
)
def test_a_record_that_is_not_what_its_kind_says_stops_nothing(
    tmp_path: Path, record: dict[str, Any]
) -> None:
    opened = Database.open(f"sqlite:///{tmp_path}/x.db")
    written = Written(tmp_path)
    written.log(point("good", 1, 0), record, point("good", 2, 1))
    Ingest(opened).run(written.folder)
    assert values(opened, "run1", "good") == [1.0, 2.0]
    assert [code for code, _ in row(opened)["warnings"]] == ["unreadable"]
    opened.close()


@pytest.mark.parametrize(
    "record",
    [
        {"k": "exited"},
        {"k": "ended", "t_ns": "x", "attempt": "y", "outcome": 5, "cause": {}, "message": []},
        {"k": "warned", "t_ns": 1, "attempt": 1, "code": "a\u0000", "message": "b\u0000"},
        {"k": "leftovers", "t_ns": 1, "attempt": 1, "processes": [1], "deadline_ns": "x",
         "idle_deadline_ns": []},
        {"k": 5},
        {"x": 1},
        {"k": "started", "t_ns": 10**30, "attempt": 1, "pid": -1, "start_ticks": 0, "boot_id": "",
         "folder": "", "output_offset": 0},
    ],
)  # fmt: skip
def test_a_hostile_event_stops_nothing(
    database: Database, record: dict[str, Any], tmp_path: Path
) -> None:
    written = Written(tmp_path)
    written.start()
    ingest = Ingest(database)
    ingest.run(written.folder)
    written.write("events", pack(record))
    ingest.run(written.folder)
    written.log(point("loss", 1, 0))
    ingest.run(written.folder)
    assert values(database, "run1", "loss") == [1.0]


def test_a_link_is_not_a_journal(database: Database, ingest: Ingest, tmp_path: Path) -> None:
    written = Written(tmp_path)
    secret = tmp_path / "secret"
    secret.write_bytes(pack(point("stolen", 1, 0)))
    Path(written.folder.file("logged.x")).symlink_to(secret)
    os.mkfifo(written.folder.file("logged.y"))
    found = ingest.run(written.folder)
    assert found.moved == ()
    assert row(database)["metrics"] == {}


def test_a_journal_that_lost_its_end_is_read_on(
    database: Database, ingest: Ingest, tmp_path: Path
) -> None:
    """After a power cut the index may know more than the disk of the folder kept."""
    written = Written(tmp_path)
    kept = written.log_metric("loss", 1, 2)
    written.log_metric("loss", 3, 4, first_step=2)
    ingest.run(written.folder)
    os.truncate(written.folder.file("logged.1"), kept)
    ingest.run(written.folder)
    assert [code for code, _ in row(database)["warnings"]] == ["shrunk"]
    written.log_metric("loss", 5, first_step=4)
    ingest.run(written.folder)
    assert values(database, "run1", "loss") == [1, 2, 3, 4, 5]


def test_a_folder_without_a_spec_holds_no_run(
    database: Database, ingest: Ingest, tmp_path: Path
) -> None:
    with pytest.raises(NotFound):
        ingest.run(RunFolder(str(tmp_path / "none")))
    (tmp_path / "empty").mkdir()
    with pytest.raises(NotFound, match="holds no run"):
        ingest.run(RunFolder(str(tmp_path / "empty")))
    (tmp_path / "empty" / "spec.json").write_bytes(b"{")
    with pytest.raises(Corrupt):
        ingest.run(RunFolder(str(tmp_path / "empty")))
    (tmp_path / "empty" / "spec.json").write_bytes(b'{"id": "other"}')
    with pytest.raises(Invalid, match="other"):
        ingest.run(RunFolder(str(tmp_path / "empty")))


def test_one_wrong_folder_does_not_hold_up_the_others(
    database: Database, ingest: Ingest, tmp_path: Path
) -> None:
    first, second = Written(tmp_path, "a"), Written(tmp_path, "b")
    found = ingest.run_many([first.folder, RunFolder(str(tmp_path / "none")), second.folder])
    assert isinstance(found[1], NotFound)
    assert [one.run_id for one in found if isinstance(one, Ingested)] == ["a", "b"]


def test_a_folder_that_cannot_be_stored_does_not_hold_up_the_others(
    database: Database, ingest: Ingest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever it is that the database refuses: here a name that is none."""
    folders = [Written(tmp_path, run_id).folder for run_id in ("a", "b", "c")]
    load = reading.load_spec

    def load_odd(folder: RunFolder) -> RunSpec:
        spec = load(folder)
        odd: Any = {"no": "name"}
        return spec._replace(name=odd) if folder.run_id == "b" else spec

    monkeypatch.setattr(reading, "load_spec", load_odd)
    found = ingest.run_many(folders)
    assert isinstance(found[1], Corrupt)
    assert [one.run_id for one in found if isinstance(one, Ingested)] == ["a", "c"]
