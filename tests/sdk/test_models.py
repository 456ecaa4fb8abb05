"""Models from Python: registered from files and runs, found, fetched whole, over a restart too."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import outlast
from outlast.errors import Conflict, Invalid, NotFound
from outlast.sdk import models, numbered
from outlast.sdk.submit import submit
from tests.sdk.place import Place

SCRIPT = """
from outlast import Run
run = Run.get_context()
open(run.output_folder + "/model.txt", "w").write("weights")
run.register_model("trained", "outputs/model.txt", tags={"team": "a"}, description="by itself")
"""


def folder_of(tmp_path: Path) -> Path:
    """A model of several files, one of them larger than a piece, two of them the same."""
    folder = tmp_path / "net"
    (folder / "deep").mkdir(parents=True)
    (folder / "weights.bin").write_bytes(os.urandom(1 << 20) * 9)
    (folder / "deep" / "a").write_text("same")
    (folder / "deep" / "b").write_text("same")
    (folder / "empty").touch()
    return folder


def test_a_folder_comes_back_as_it_was(place: Place, tmp_path: Path) -> None:
    folder = folder_of(tmp_path)
    sent: list[int] = []
    made = models.register(
        "net", folder, tags={"team": "a"}, description="text", progress=sent.append,
        workspace=place.workspace,
    )  # fmt: skip
    assert (made.name, made.version, made.run_id) == ("net", 1, "")
    assert sum(sent) == made.size_bytes == (9 << 20) + 8
    where = made.download(tmp_path / "here")
    assert where == tmp_path / "here" / "net"
    for file in folder.rglob("*"):
        if file.is_file():
            assert (where / file.relative_to(folder)).read_bytes() == file.read_bytes()
    again = models.register("net", folder, workspace=place.workspace)
    assert (again.version, again.row["digest"]) == (2, made.row["digest"])


def test_versions_are_found_by_number_alias_and_latest(place: Place, tmp_path: Path) -> None:
    (tmp_path / "m").write_text("1")
    first = models.register("named", tmp_path / "m", workspace=place.workspace)
    models.register("named", tmp_path / "m", workspace=place.workspace)
    first.alias("production")
    first.change(tags={"a": "1"}, description="text")
    found = models.get("named", "production", workspace=place.workspace)
    assert (found.version, found.tags, found.description) == (1, {"a": "1"}, "text")
    assert found.aliases == ("production",)
    assert models.get("named", workspace=place.workspace).version == 2
    assert [one.version for one in models.versions("named", workspace=place.workspace)] == [2, 1]
    assert "named" in [one.name for one in models.list(workspace=place.workspace)]
    models.drop_alias("named", "production", workspace=place.workspace)
    for missing in ("production", 3):
        with pytest.raises(NotFound):
            models.get("named", missing, workspace=place.workspace)
    first.delete()
    with pytest.raises(NotFound, match="deleted"):
        models.get("named", 1, workspace=place.workspace)


def test_lists_longer_than_a_page_are_whole(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(numbered, "PAGE_ROWS", 1)
    (tmp_path / "m").write_text("1")
    for name in ("page-a", "page-a", "page-a", "page-b"):
        models.register(name, tmp_path / "m", workspace=place.workspace)
    found = [one.version for one in models.versions("page-a", workspace=place.workspace)]
    assert found == [3, 2, 1]
    listed = [(one.name, one.version) for one in models.list(workspace=place.workspace)]
    assert [one for one in listed if one[0].startswith("page-")] == [("page-a", 3), ("page-b", 1)]


def test_a_run_and_its_outputs_become_models(place: Place, tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(SCRIPT)
    handle = submit("train.py", folder=tmp_path, workspace=place.workspace)
    handle.wait()
    own = models.get("trained", workspace=place.workspace)
    assert (own.run_id, own.tags, own.description) == (handle.id, {"team": "a"}, "by itself")
    later = models.register("later", "outputs/model.txt", run=handle, workspace=place.workspace)
    assert later.row["manifest"] == own.row["manifest"] != ""
    made = models.list(run=handle.id, workspace=place.workspace)
    assert [one.name for one in made] == ["trained", "later"]
    handle.delete()
    fetched = models.download("later", tmp_path / "here", workspace=place.workspace)
    assert fetched.read_text() == "weights"
    with pytest.raises(NotFound):
        models.register("later", "outputs/other", run="nobody", workspace=place.workspace)


def test_what_was_sent_before_a_break_is_not_sent_again(place: Place, tmp_path: Path) -> None:
    content = os.urandom(1 << 20) * 9
    (tmp_path / "m").write_bytes(content)
    [file] = models._hashed(tmp_path / "m")
    place.workspace.connection.put(
        f"/api/blobs/{file.sha256}", content[: models.PIECE_BYTES], at=0, size=len(content)
    )
    puts: list[int] = []
    connection = place.workspace.connection
    put = connection.put

    def counted(path: str, body: bytes, **query: object) -> object:
        puts.append(len(body))
        return put(path, body, **query)

    connection.put = counted  # type: ignore[method-assign, assignment]
    try:
        models.register("resumed", tmp_path / "m", workspace=place.workspace)
    finally:
        del connection.put
    assert sum(puts) == len(content) - models.PIECE_BYTES


def test_a_damaged_rest_of_an_earlier_try_is_sent_anew(place: Place, tmp_path: Path) -> None:
    (tmp_path / "m").write_bytes(b"weights")
    [file] = models._hashed(tmp_path / "m")
    place.workspace.connection.put(f"/api/blobs/{file.sha256}", b"damage", at=0, size=7)
    made = models.register("mended", tmp_path / "m", workspace=place.workspace)
    assert made.download(tmp_path / "here").read_bytes() == b"weights"


def test_a_file_that_changes_while_it_is_sent_makes_no_version(
    place: Place, tmp_path: Path
) -> None:
    (tmp_path / "m").write_bytes(b"before")
    [file] = models._hashed(tmp_path / "m")
    (tmp_path / "m").write_bytes(b"after!")
    with pytest.raises(Conflict, match="changed while it was sent"):
        models._send(place.workspace.connection, [file], lambda _done: None)
    (tmp_path / "m").write_bytes(b"a")
    with pytest.raises(Conflict, match="changed while it was sent"):
        models._send(place.workspace.connection, [file], lambda _done: None)


def test_a_server_killed_in_the_middle_is_waited_for(own_place: Place, tmp_path: Path) -> None:
    folder = folder_of(tmp_path)
    killed: list[bool] = []

    def kill(_done: int) -> None:
        if not killed:
            killed.append(True)
            own_place.kill_server()
            own_place.start_server()

    made = models.register("net", folder, progress=kill, workspace=own_place.workspace)
    assert made.version == 1
    assert (made.download(tmp_path / "here") / "deep" / "a").read_text() == "same"


def test_what_cannot_be_a_model_is_refused_before_anything_is_sent(
    place: Place, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(NotFound):
        models.register("a", tmp_path / "nothing", workspace=place.workspace)
    with pytest.raises(Invalid):
        models.register("a", tmp_path / "empty", workspace=place.workspace)
    with pytest.raises(Invalid):
        models.register("../a", tmp_path, workspace=place.workspace)


def test_the_package_shows_it_as_a_module() -> None:
    assert outlast.models is models
