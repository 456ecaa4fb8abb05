"""What register_model writes: one record on the disk, with the name the manifest will use."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from outlast.errors import Invalid
from outlast.journal import writer
from outlast.journal.cursor import Cursor
from outlast.run.folder import RunFolder
from outlast.runtime.current import Run


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return RunFolder(str(tmp_path))


def asked(folder: RunFolder) -> list[dict[str, Any]]:
    [path] = Path(folder.path).glob("logged.*")
    records = Cursor(str(path)).read_records(1 << 30).records
    return [dict(record) for record in records if record["k"] == "register"]


def test_the_wish_is_on_the_disk_when_it_returns(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    monkeypatch.setattr(writer, "_sync_data", synced.append)
    monkeypatch.setenv("OUTLAST_ATTEMPT", "2")
    Run(folder).register_model(
        "digits", "./outputs/model.pkl", tags={"n": 3, "x": None}, properties={"k": 1}
    )
    [record] = asked(folder)
    del record["t"]
    assert record == {
        "k": "register", "n": "digits", "path": "outputs/model.pkl", "attempt": 2,
        "tags": {"n": "3", "x": None}, "properties": {"k": "1"}, "description": "",
    }  # fmt: skip
    assert synced


def test_absolute_paths_become_the_names_of_the_manifest(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OUTLAST_OUTPUTS", "/home/ada/digits/outputs")
    run = Run(folder)
    run.register_model("digits", "/home/ada/digits/outputs/model")
    run.register_model("digits", folder.file("uploads/model.pkl"))
    run.register_model("digits", "/data/declared/model.pkl")
    assert [record["path"] for record in asked(folder)] == [
        "outputs/model", "model.pkl", "data/declared/model.pkl",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "path"),
    [("../up", "outputs/a"), ("", "outputs/a"), ("a", "."), ("a", "../a"), ("a", "\udcff")],
)
def test_what_cannot_be_registered_is_refused_at_once(
    folder: RunFolder, name: str, path: str
) -> None:
    run = Run(folder)
    with pytest.raises(Invalid):
        run.register_model(name, path)
    assert not list(Path(folder.path).glob("logged.*"))
