"""Models that scripts ask for: each comes once, whenever the server is gone or killed."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from outlast.errors import NotFound
from outlast.sdk import models
from outlast.sdk.models import Model
from outlast.sdk.submit import submit
from tests.scenario.conftest import Place

pytestmark = [pytest.mark.slow, pytest.mark.each_database]

WAIT_S = 30.0
WISHES = 30

GATED = """
import os, sys, time
from outlast import Run
run = Run.get_context()
print("ready", flush=True)
while not os.path.exists(sys.argv[1]):
    time.sleep(0.02)
open(run.output_folder + "/net.pt", "w").write("weights")
run.register_model("digits", "outputs/net.pt", tags={"data": "v3"})
print("asked", flush=True)
while not os.path.exists(sys.argv[2]):
    time.sleep(0.02)
"""
MANY = f"""
import io, time
from outlast import Run
run = Run.get_context()
for number in range({WISHES}):
    run.upload_file(f"net-{{number}}", io.BytesIO(str(number).encode()))
    run.register_model("many", f"net-{{number}}")
    time.sleep(0.1)
"""


def versions(place: Place, name: str) -> list[Model]:
    try:
        return list(models.versions(name, workspace=place.workspace))
    except NotFound:
        return []


def test_asked_for_while_the_server_is_dead_and_registered_when_it_is_back(
    place: Place, tmp_path: Path
) -> None:
    ask, end = tmp_path / "ask", tmp_path / "end"
    (tmp_path / "train.py").write_text(GATED)
    handle = submit(["python", "train.py", str(ask), str(end)], folder=tmp_path,
                    workspace=place.workspace)  # fmt: skip
    assert next(handle.logs(follow=True)) == "ready\n"
    place.kill_server()
    ask.touch()
    output = place.folder(handle.id) / "output"
    until = time.monotonic() + WAIT_S
    while b"asked" not in output.read_bytes():
        assert time.monotonic() < until
        time.sleep(0.02)
    place.start_server()
    claims = [finding["claim"] for finding in handle.why()["findings"]]
    while "1 model will be registered once its outputs are stored." not in claims:
        assert time.monotonic() < until, claims
        claims = [finding["claim"] for finding in handle.why()["findings"]]
    place.kill_server()
    end.touch()
    place.start_server()
    assert handle.wait() == "Completed"
    [made] = versions(place, "digits")
    assert (made.version, made.run_id, made.tags) == (1, handle.id, {"data": "v3"})
    handle.delete()
    place.outlast("models", "download", "digits:1", str(tmp_path / "here"))
    assert (tmp_path / "here" / "net.pt").read_text() == "weights"


def test_a_server_that_is_killed_again_and_again_registers_each_once(
    place: Place, tmp_path: Path
) -> None:
    (tmp_path / "train.py").write_text(MANY)
    handle = submit("train.py", folder=tmp_path, workspace=place.workspace)
    while not handle.is_over:
        place.kill_server()
        place.start_server()
        time.sleep(0.2)
    assert handle.wait() == "Completed"
    made = versions(place, "many")
    assert [one.version for one in made] == [*range(WISHES, 0, -1)]
    assert {one.row["path"] for one in made} == {f"net-{number}" for number in range(WISHES)}


def test_what_is_not_there_is_a_warning_with_a_remedy(place: Place, tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(
        "from outlast import Run\nrun = Run.get_context()\n"
        "open(run.output_folder + '/other', 'w').close()\nrun.register_model('digits', 'net.pt')\n"
    )
    handle = submit("train.py", folder=tmp_path, workspace=place.workspace)
    assert handle.wait() == "Completed"
    assert [code for code, _ in handle.fetch()["warnings"]] == ["not_registered"]
    [finding] = [one for one in handle.why()["findings"] if one["rule"] == "registration"]
    assert (
        "'net.pt' isn't among the run's stored files; write it below outputs/" in finding["claim"]
    )
    assert versions(place, "digits") == []
