"""What one run puts out is what another takes in."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from outlast.errors import Invalid, NotFound
from outlast.sdk.handle import RunHandle
from outlast.sdk.submit import submit
from tests.sdk.place import Place

WRITE = "mkdir -p outputs/deep; echo 41 >outputs/deep/a; echo 1 >outputs/b"


def run_of(place: Place, folder: Path, words: Sequence[str], **options: Any) -> RunHandle:
    return submit(words, folder=folder, workspace=place.workspace, **options)


@pytest.fixture
def first(place: Place, tmp_path: Path) -> RunHandle:
    """A run that has put out two files, and whose working folder is gone."""
    run = run_of(place, tmp_path, ["sh", "-c", WRITE])
    assert run.wait() == "Completed"
    shutil.rmtree(place.home / "runs" / run.id / "work")
    return run


def test_outputs_of_a_run_are_inputs_of_another(
    place: Place, tmp_path: Path, first: RunHandle
) -> None:
    words = ["sh", "-c", 'cat "$1/deep/a" "$2" "$ALL/b" near/a; ls -l "$2"', "-"]
    words += ["${{inputs.ALL}}", "${{inputs.one}}"]
    given = {
        "ALL": first,
        "one": first.as_input("outputs/b", "download"),
        "near": first.as_input("outputs/deep/", to="near"),
    }
    run = run_of(place, tmp_path, words, inputs=given)
    assert run.wait() == "Completed", "".join(run.logs())
    assert "".join(run.logs()).splitlines()[:4] == ["41", "1", "1", "41"]
    assert run.outputs == []
    facts = run.fetch()
    assert facts["properties"]["input.one"].startswith(f"run {first.id} sha256:")
    assert facts["warnings"] == []
    assert facts["spec"]["after"] == []


def test_a_run_waits_for_the_one_whose_outputs_it_takes(place: Place, tmp_path: Path) -> None:
    go = tmp_path / "go"
    hold = f"while [ ! -e {go} ]; do sleep 0.05; done; {WRITE}"
    earlier = run_of(place, tmp_path, ["sh", "-c", hold])
    words = ["sh", "-c", 'cat "$data/b"']
    later = run_of(place, tmp_path, words, inputs={"data": earlier}, in_place=True)
    assert later.fetch()["spec"]["after"] == [earlier.id]
    go.touch()
    assert later.wait() == "Completed", "".join(later.logs())
    assert "".join(later.logs()) == "1\n"


def test_an_output_that_is_not_there_fails_and_says_so(
    place: Place, tmp_path: Path, first: RunHandle
) -> None:
    run = run_of(place, tmp_path, ["true"], inputs={"data": first.as_input("outputs/none")})
    assert run.wait(raise_on_error=False) == "Failed"
    assert f"run {first.id} put out nothing under 'outputs/none'" in str(run.why())
    with pytest.raises(NotFound):
        run_of(place, tmp_path, ["true"], inputs={"data": {"run": "nobody"}})
    with pytest.raises(Invalid, match="relative path"):
        first.as_input("../etc")
