"""`outlast datasets` and `outlast datastores`: what each verb prints, and what it does."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cli.terminal import Piped


def test_a_dataset_from_its_files_to_its_deletion(cli: Piped, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "a.csv").write_text("n\n1\n")
    words = [
        "datasets",
        "register",
        "digits",
        str(data),
        "--tag",
        "team=a",
        "--description",
        "text",
    ]
    assert cli(*words).out == "registered digits:1, 1 file, 4 bytes\n"
    table = ["datasets", "register", "digits", f"{data}/*.csv", "--format", "delimited", "-q"]
    assert cli(*table).out == "digits:2\n"
    listed = cli("datasets", "ls").out.splitlines()
    assert listed[0].split()[:4] == ["DATASET", "KIND", "AGE", "FILES"]
    assert listed[1].split()[:2] == ["digits:2", "tabular"]
    shown = cli("datasets", "show", "digits:1").out
    assert "team=a" in shown
    assert "as registered" in shown
    (data / "a.csv").write_text("n\n2\n")
    assert "changed since it was registered" in cli("datasets", "show", "digits").out
    assert json.loads(cli("datasets", "show", "digits", "--json").out)["kind"] == "tabular"
    fetched = cli("datasets", "download", "digits:1", str(tmp_path / "here"))
    assert fetched.out == f"digits:1: 1 file in {tmp_path}/here\n"
    assert (tmp_path / "here" / "a.csv").read_text() == "n\n2\n"
    assert cli("datasets", "rm", "digits", "-y").code == 2
    assert cli("datasets", "rm", "digits:2", "-y").code == 0
    assert cli("datasets", "ls", "-q").out == "digits:1\n"
    (data / "a.csv").unlink()
    assert "there is no such file" in cli("datasets", "show", "digits").out
    missing = cli("datasets", "register", "other", str(tmp_path / "nothing"))
    assert missing.code != 0
    assert "there is no such file or folder" in missing.err


def test_datastores_are_named_and_forgotten(cli: Piped, tmp_path: Path) -> None:
    scans = tmp_path / "scans"
    scans.mkdir()
    (scans / "x").write_text("x")
    assert cli("datastores", "add", "scans", str(scans), "--default").out == f"scans is {scans}\n"
    assert "scans *" in cli("datastores", "ls").out
    assert cli("datastores", "ls", "-q").out.split() == [
        "scans",
        "workspaceblobstore",
        "workspacefilestore",
    ]
    assert f"root        {scans}" in cli("datastores", "show", "scans").out
    made = cli("datasets", "register", "in-it", "x", "--datastore", "scans", "-q")
    assert made.out == "in-it:1\n"
    assert cli("datastores", "rm", "scans").code == 0
    assert cli("datastores", "rm", "workspaceblobstore").code != 0
    assert (scans / "x").exists()
