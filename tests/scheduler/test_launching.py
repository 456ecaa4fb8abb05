"""The files around a launch: whole or not there, private, and gone when they should be."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest

from outlast.artifacts import snapshot
from outlast.artifacts.blobs import Blobs
from outlast.errors import Conflict, Invalid, NotFound, OutlastError, Unreachable
from outlast.run.folder import DECISIONS, LAUNCH, MANIFEST, SPEC, WORK, RunFolder
from outlast.run.manifest import Entry, Manifest
from outlast.scheduler import launching
from outlast.scheduler.launching import Launch
from tests.scheduler.workspace import spec_of

LAUNCHED = Launch(("true",), {"A": "b"}, "/")


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    folder = tmp_path / "runs"
    folder.mkdir()
    return folder


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def test_a_folder_is_whole_when_it_appears(runs: Path) -> None:
    folder = launching.make_folder(str(runs), spec_of("r"), LAUNCHED, 5)
    assert names(runs) == ["r"]
    assert names(runs / "r") == sorted([DECISIONS, LAUNCH, SPEC])
    kinds = [
        json.loads(line)["k"] for line in Path(folder.file(DECISIONS)).read_text().splitlines()
    ]
    assert kinds == ["created", "queued"]
    for path in (runs / "r").iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_taken_id_leaves_the_first_run_alone(runs: Path) -> None:
    (runs / "r").mkdir()
    with pytest.raises(Conflict):
        launching.make_folder(str(runs), spec_of("r"), LAUNCHED, 5)
    assert names(runs) == ["r"]
    assert names(runs / "r") == []


def test_a_folder_that_cannot_be_made_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(Unreachable):
        launching.make_folder(str(tmp_path / "absent"), spec_of("r"), LAUNCHED, 5)


def test_what_a_killed_server_left_half_made_is_removed(runs: Path) -> None:
    (runs / ".making-a-99999999").mkdir()
    mine = runs / f".making-b-{os.getpid()}"
    mine.mkdir()
    (runs / ".deleted-c").mkdir()
    doomed = launching.unfinished_deletions(str(runs))
    assert [folder.run_id for folder in doomed] == ["c"]
    assert names(runs) == [".deleted-c", mine.name]
    launching.remove_hidden(doomed[0])
    assert names(runs) == [mine.name]


def test_launch_json_is_completed_for_each_attempt(runs: Path) -> None:
    folder = launching.make_folder(str(runs), spec_of("r"), LAUNCHED, 5)
    launching.write_launch(folder, 1, "/work", (0, 1), "/kit")
    launching.write_launch(folder, 2, "/other", (), "/kit2")
    launch = launching.read_launch(folder)
    assert (launch["attempt"], launch["folder"], launch["gpus"]) == (2, "/other", [])
    assert (launch["origin"], launch["environ"], launch["umask"]) == ("/", {"A": "b"}, 0o022)
    launching.drop_launch(folder)
    launching.drop_launch(folder)
    with pytest.raises(Unreachable):
        launching.read_launch(folder)


def test_each_attempt_on_a_snapshot_begins_afresh(runs: Path, tmp_path: Path) -> None:
    project = tmp_path / "project"
    project.mkdir()
    (project / "train.py").write_text("pass")
    blobs = Blobs(tmp_path / "blobs")
    digest = snapshot.take(str(project), blobs).digest
    source = {"kind": "snapshot", "folder": str(project), "digest": digest}
    spec = spec_of("r", source=source)
    folder = launching.make_folder(str(runs), spec, LAUNCHED, 5)
    work = Path(launching.prepare(folder, spec, blobs))
    assert work == Path(folder.file(WORK))
    (work / "left.txt").write_text("of the first attempt")
    (work / "sealed").mkdir()
    (work / "sealed" / "inside").write_text("x")
    (work / "sealed").chmod(0o500)
    (Path(folder.path) / "work.0a1b.partial").mkdir()
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_text("mine")
    (work / "link").symlink_to(outside)
    assert names(Path(launching.prepare(folder, spec, blobs))) == ["train.py"]
    assert names(outside) == ["precious"]
    assert "work.0a1b.partial" not in names(Path(folder.path))


def test_what_another_run_put_out_is_laid_out_as_it_had_it(runs: Path, tmp_path: Path) -> None:
    project = tmp_path / "project"
    (project / "output").mkdir(parents=True)
    (project / "output" / "data.txt").write_text("stale")
    blobs = Blobs(tmp_path / "blobs")
    with blobs.batch() as batch:
        stored = batch.put_bytes(b"fresh")
    entries = [
        Entry(path, stored.size_bytes, stored.sha256, 1, "declared", f"/gone/{path}")
        for path in ("output/data.txt", "output/deep/more.txt", "outputs/other.txt")
    ]
    first = launching.make_folder(str(runs), spec_of("first"), LAUNCHED, 5)
    Path(first.file(MANIFEST)).write_bytes(Manifest("first", 1, tuple(entries)).to_json())
    digest = snapshot.take(str(project), blobs).digest
    spec = spec_of(
        "second",
        source={"kind": "snapshot", "folder": str(project), "digest": digest},
        parameters={"inputs": {"data": {"run": "first", "folder": "output"}}},
        outputs=["results/", "model.pt"],
    )
    folder = launching.make_folder(str(runs), spec, LAUNCHED, 5)
    for _attempt in range(2):
        work = Path(launching.prepare(folder, spec, blobs))
        assert names(work) == ["output", "results"]
        assert (work / "output" / "data.txt").read_text() == "fresh"
        assert (work / "output" / "deep" / "more.txt").read_text() == "fresh"
        (work / "output" / "data.txt").write_text("changed by the job")


@pytest.mark.parametrize(
    ("run", "path", "error"),
    [("first", "models", NotFound), ("gone", "output", NotFound), ("../runs", "x", Invalid)],
)
def test_an_input_that_is_not_there_is_told(
    runs: Path, tmp_path: Path, run: str, path: str, error: type[OutlastError]
) -> None:
    blobs = Blobs(tmp_path / "blobs")
    first = launching.make_folder(str(runs), spec_of("first"), LAUNCHED, 5)
    Path(first.file(MANIFEST)).write_bytes(Manifest("first", 1, ()).to_json())
    (tmp_path / "project").mkdir()
    digest = snapshot.take(str(tmp_path / "project"), blobs).digest
    spec = spec_of(
        "second",
        source={"kind": "snapshot", "folder": "/", "digest": digest},
        parameters={"inputs": {"data": {"run": run, "folder": path}}},
    )
    folder = launching.make_folder(str(runs), spec, LAUNCHED, 5)
    with pytest.raises(error):
        launching.prepare(folder, spec, blobs)


def test_a_run_in_place_needs_its_folder(runs: Path, tmp_path: Path) -> None:
    gone = Launch(("true",), {}, str(tmp_path / "gone"))
    folder = launching.make_folder(str(runs), spec_of("r"), gone, 5)
    with pytest.raises(Invalid, match="gone"):
        launching.prepare(folder, spec_of("r"), Blobs(tmp_path / "blobs"))


def test_deleting_twice_is_harmless(runs: Path) -> None:
    folder = launching.make_folder(str(runs), spec_of("r"), LAUNCHED, 5)
    for _ in range(2):
        launching.hide_folder(folder)
    launching.remove_hidden(folder)
    launching.remove_hidden(folder)
    assert names(runs) == []


def test_bytes_that_are_not_text_go_through(runs: Path) -> None:
    odd = os.fsdecode(b"caf\xe9")
    launch = Launch(("echo", odd), {"ODD": odd}, "/")
    folder = launching.make_folder(str(runs), spec_of("r"), launch, 5)
    launching.write_launch(folder, 1, "/", (), "/kit")
    assert launching.read_launch(RunFolder(folder.path))["environ"]["ODD"] == odd
