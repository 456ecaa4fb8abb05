"""Datasets from Python: the registry, datastores, what a run reads and what it delivers."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from outlast.errors import Conflict, Invalid, NotFound
from outlast.sdk import datasets, datastores
from outlast.sdk.datasets import Dataset
from outlast.sdk.handle import RunHandle
from outlast.sdk.submit import submit
from tests.sdk.place import Place

READ = """
import os, sys
for place in sys.argv[1:]:
    names = sorted(os.listdir(place)) if os.path.isdir(place) else [open(place).read()]
    print(os.path.basename(place), names)
print(os.environ.get("digits"), os.environ.get("AZUREML_DATAREFERENCE_digits"))
"""


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    (folder / "deep").mkdir(parents=True)
    (folder / "a.txt").write_text("a")
    (folder / "deep" / "b.txt").write_text("b")
    return folder


@pytest.fixture
def store(place: Place) -> datastores.Datastore:
    return datastores.get(workspace=place.workspace)


def run(place: Place, tmp_path: Path, script: str, *words: str, **more: object) -> RunHandle:
    folder = tmp_path / "code"
    folder.mkdir(exist_ok=True)
    (folder / "script.py").write_text(script)
    command = [sys.executable, "script.py", *words]
    made = submit(command, folder=folder, workspace=place.workspace, **more)  # type: ignore[arg-type]
    made.wait(raise_on_error=False)
    return made


def printed(handle: RunHandle) -> str:
    return "".join(handle.logs())


def test_a_registered_dataset_says_when_its_files_change(place: Place, data: Path) -> None:
    made = datasets.file(data).register("changing", tags={"a": "1"}, workspace=place.workspace)
    assert (made.version, made.row["files"], made.row["size_bytes"]) == (1, 2, 2)
    assert not made.has_changed()
    (data / "a.txt").write_text("c")
    found = datasets.get("changing", workspace=place.workspace)
    assert found.has_changed()
    again = found.register("changing", workspace=place.workspace)
    assert again.version == 2
    assert not again.has_changed()
    assert [one.version for one in datasets.versions("changing", workspace=place.workspace)] == [
        2,
        1,
    ]


def test_what_is_not_there_is_not_registered(place: Place, tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        datasets.file(tmp_path / "nothing").register("nothing", workspace=place.workspace)
    with pytest.raises(NotFound):
        datasets.get("nothing", workspace=place.workspace)


def test_labels_change_and_a_version_goes(place: Place, data: Path) -> None:
    made = datasets.file(data).register("labels", workspace=place.workspace)
    made.change(tags={"b": "2"}, description="text")
    assert datasets.get_by_id(made.id, workspace=place.workspace).tags == {"b": "2"}
    made.delete()
    with pytest.raises(NotFound):
        datasets.get("labels", workspace=place.workspace)
    with pytest.raises(Invalid, match="isn't registered"):
        datasets.file(data).delete()


def test_files_go_into_a_datastore_and_come_back(
    store: datastores.Datastore, data: Path, tmp_path: Path
) -> None:
    place = store.upload(data, "round/trip")
    assert [one.name for one in datasets.file(place).files] == ["a.txt", "deep/b.txt"]
    with pytest.raises(Conflict, match="exists"):
        store.upload(data, "round/trip")
    copied = store.download(tmp_path / "here", "round/trip")
    assert copied == [
        str(tmp_path / "here" / "round" / "trip" / name) for name in ("a.txt", "deep/b.txt")
    ]
    assert store.download(tmp_path / "here", "round/trip") == []
    store.upload(data / "a.txt", "one")
    assert [one.name for one in datasets.file(store.path("one")).files] == ["a.txt"]
    for path in ("../x", "a/../../x"):
        with pytest.raises(Invalid):
            store.upload(data, path)


def test_a_link_leads_no_upload_out_of_a_datastore(
    store: datastores.Datastore, data: Path, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    root = Path(store.root)
    root.mkdir(parents=True, exist_ok=True)
    (root / "leads").symlink_to(outside)
    try:
        with pytest.raises(Invalid, match="leads out"):
            store.upload(data, "leads/x")
        assert not list(outside.iterdir())
    finally:
        (root / "leads").unlink()


def test_a_folder_becomes_a_datastore_and_the_default(place: Place, data: Path) -> None:
    here = place.workspace
    made = datastores.register("scans", data, workspace=here)
    made.set_as_default()
    assert datastores.get(workspace=here).name == "scans"
    made.unregister()
    assert datastores.get(workspace=here).name == "workspaceblobstore"
    assert (data / "a.txt").exists()
    with pytest.raises(NotFound):
        datastores.register("nothing", data / "nothing", workspace=here)


def test_a_run_reads_its_inputs_and_says_what_they_were(
    place: Place, data: Path, tmp_path: Path
) -> None:
    digits = datasets.file(data).register("digits", workspace=place.workspace)
    one = datasets.file(data / "a.txt")
    made = run(
        place, tmp_path, READ, "${{inputs.digits}}", "${{ inputs.one }}",
        inputs={"digits": digits, "one": one.as_input("download"), "path": str(data)},
    )  # fmt: skip
    folder = place.folder(made.id) / "inputs"
    lines = printed(made).splitlines()
    assert lines[:2] == ["digits ['a.txt', 'deep']", "a.txt ['a']"]
    assert lines[2] == f"{folder}/digits {folder}/digits"
    assert (folder / "digits" / "a.txt").is_symlink()
    assert not (folder / "one" / "a.txt").is_symlink()
    assert not (folder / "digits").stat().st_mode & 0o222
    told = made.fetch()["properties"]
    assert told["input.digits"] == f"digits:1 sha256:{digits.row['digest']}"
    assert told["input.one"].startswith("sha256:")


def test_an_input_that_changed_since_it_was_registered_is_said(
    place: Place, data: Path, tmp_path: Path
) -> None:
    digits = datasets.file(data).register("said", workspace=place.workspace)
    (data / "a.txt").write_text("changed")
    made = run(place, tmp_path, READ, "${{inputs.digits}}", inputs={"digits": digits})
    assert made.status == "Completed"
    assert "its content has changed since version 1 was registered" in printed(made)
    assert "changed since" in made.fetch()["properties"]["input.digits"]
    assert any(found["rule"] == "input_changed" for found in made.why()["findings"])


def test_an_input_that_is_not_there_fails_the_run_before_its_command(
    place: Place, tmp_path: Path
) -> None:
    made = run(place, tmp_path, "print('started')", inputs={"digits": str(tmp_path / "gone")})
    assert made.status == "Failed"
    assert "started" not in printed(made)
    assert made.why()["headline"].startswith("Failed")
    found = made.why()["findings"][0]
    assert found["rule"] == "input_missing"
    assert str(tmp_path / "gone") in found["claim"]


def test_an_input_is_put_where_the_job_wants_it(place: Place, data: Path, tmp_path: Path) -> None:
    wanted = datasets.file(data).as_input("mount", "here/it")
    script = "import os; print(sorted(os.listdir('here/it')))"
    made = run(place, tmp_path, script, inputs={"digits": wanted})
    assert printed(made) == "['a.txt', 'deep']\n"
    taken = datasets.file(data).as_input("mount", "script.py")
    made = run(place, tmp_path, script, inputs={"digits": taken})
    assert "is there already" in printed(made)
    outside = datasets.file(data).as_input("mount", "../../outside")
    made = run(place, tmp_path, script, inputs={"digits": outside})
    assert made.status == "Failed"


def test_a_variable_that_is_there_is_no_inputs_to_replace(
    place: Place, data: Path, tmp_path: Path
) -> None:
    script = "import os; print(os.environ['PATH'] == os.environ['AZUREML_DATAREFERENCE_PATH'])"
    made = run(place, tmp_path, script, inputs={"PATH": str(data)})
    assert printed(made) == "False\n"


def test_what_a_run_fills_is_delivered_and_registered_once(
    place: Place, store: datastores.Datastore, tmp_path: Path
) -> None:
    script = "import sys; open(sys.argv[1] + '/x.csv', 'w').write('n\\n1\\n')"
    clean = store.delivery(register={"name": "clean", "kind": "tabular", "format": "delimited"})
    made = run(place, tmp_path, script, "${{outputs.clean}}", deliveries={"clean": clean})
    assert made.status == "Completed"
    found = datasets.get("clean", workspace=place.workspace)
    assert (found.version, found.row["run"]) == (1, made.id)
    assert not found.has_changed()
    assert found.to_pandas().to_dict("list") == {"n": [1]}
    assert (Path(store.root) / "dataset" / made.id / "clean" / "x.csv").read_text() == "n\n1\n"
    made.push_outputs()
    assert [one.version for one in datasets.versions("clean", workspace=place.workspace)] == [1]


def test_a_run_that_fails_delivers_nothing(
    place: Place, store: datastores.Datastore, tmp_path: Path
) -> None:
    script = "import sys; open(sys.argv[1] + '/x.csv', 'w').write('n'); sys.exit(3)"
    made = run(
        place, tmp_path, script, "${{outputs.dirty}}",
        deliveries={"dirty": store.delivery("dirty", register="dirty")},
    )  # fmt: skip
    assert made.status == "Failed"
    assert not (Path(store.root) / "dirty").exists()
    with pytest.raises(NotFound):
        datasets.get("dirty", workspace=place.workspace)


def test_a_delivery_replaces_nothing_unasked(
    place: Place, store: datastores.Datastore, tmp_path: Path
) -> None:
    (Path(store.root) / "kept").mkdir(parents=True)
    (Path(store.root) / "kept" / "x.csv").write_text("old")
    script = "import sys; open(sys.argv[1] + '/x.csv', 'w').write('new')"
    made = run(
        place, tmp_path, script, "${{outputs.out}}",
        deliveries={"out": store.delivery("kept", overwrite=False)},
    )  # fmt: skip
    assert made.status == "Failed"
    assert "isn't to be overwritten" in made.fetch()["message"]
    assert (Path(store.root) / "kept" / "x.csv").read_text() == "old"


def test_what_can_be_no_input_is_refused(place: Place) -> None:
    with pytest.raises(Invalid, match=r"inputs\.x"):
        submit("true", inputs={"x": 3}, workspace=place.workspace)
    with pytest.raises(Invalid, match=r"deliveries\.x"):
        submit("true", deliveries={"x": "out"}, workspace=place.workspace)
    with pytest.raises(Invalid, match="a dataset already"):
        datasets.file(Dataset(datasets.file("/x").definition))  # type: ignore[arg-type]
