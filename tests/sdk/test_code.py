"""The code that a run works on can be had back, as it was."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from outlast.errors import Conflict, Invalid, NotFound
from outlast.sdk.code import fetch
from outlast.sdk.submit import submit
from tests.sdk.place import Place


def test_the_code_of_a_run_is_fetched_as_it_was(place: Place, tmp_path: Path) -> None:
    code = tmp_path / "code"
    (code / "deep").mkdir(parents=True)
    (code / "train.sh").write_text("#!/bin/sh\necho as it was\n")
    (code / "train.sh").chmod(0o755)
    (code / "deep" / "ä b#.txt").write_text("x")
    (code / "deep" / "link").symlink_to("../train.sh")
    run = submit(["./train.sh"], folder=code, workspace=place.workspace)
    (code / "train.sh").write_text("changed since")
    run.wait()
    for _ in range(2):  # the same again is no conflict
        run.download_snapshot(tmp_path / "back", overwrite=True)
    back = tmp_path / "back"
    assert (back / "train.sh").read_text() == "#!/bin/sh\necho as it was\n"
    assert (back / "train.sh").stat().st_mode & 0o777 == 0o755
    assert (back / "deep" / "ä b#.txt").read_text() == "x"
    assert (back / "deep" / "link").readlink() == Path("../train.sh")
    assert {one["path"] for one in run.snapshot} == {"train.sh", "deep/ä b#.txt", "deep/link"}
    with pytest.raises(Conflict):
        run.download_snapshot(back)


def test_a_run_in_place_has_no_snapshot(place: Place, tmp_path: Path) -> None:
    run = submit(["true"], folder=tmp_path, in_place=True, workspace=place.workspace)
    with pytest.raises(NotFound, match="where its code stands"):
        run.download_snapshot(tmp_path / "back")
    with pytest.raises(NotFound):
        place.workspace.connection.get(f"/api/runs/{run.id}/snapshot/x")
    run.wait()


@pytest.mark.parametrize("leads", ["/etc/passwd", "../../x", "..", "a/../../x"])
def test_a_link_that_leads_out_is_not_made(tmp_path: Path, leads: str) -> None:
    entry: dict[str, Any] = {"path": "link", "size_bytes": 1, "sha256": "", "is_link": True}

    def opener(path: str, offset: int) -> Iterator[bytes]:
        yield leads.encode()

    (tmp_path / "target").mkdir()
    with pytest.raises(Invalid, match="leads out"):
        fetch([entry], opener, tmp_path / "target", overwrite=True)
    assert not list((tmp_path / "target").iterdir())
