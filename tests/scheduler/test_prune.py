"""What is freed when runs were deleted, and what never is."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import pytest

from outlast.artifacts import snapshot
from outlast.artifacts.blobs import Blobs, Deleted
from outlast.errors import Conflict, Invalid
from outlast.run.folder import MANIFEST
from outlast.scheduler.prune import named, prune
from outlast.scheduler.scheduler import Scheduler
from outlast.store.database import Database
from tests.scheduler.workspace import Workspace, python, run, wait_over

WRITES = "import os; os.makedirs('outputs', exist_ok=True); open('outputs/a', 'w').write({!r})"


def age(workspace: Workspace) -> None:
    """As if everything had been stored two days ago."""
    then_s = time.time() - 2 * 86_400
    for path in Path(workspace.settings.blobs).rglob("*"):
        if path.is_file():
            os.utime(path, (then_s, then_s))


def free(workspace: Workspace, *, is_dry_run: bool = False, is_sole_user: bool = True) -> Deleted:
    database = Database.open(workspace.settings.database)
    try:
        blobs = Blobs(workspace.settings.blobs)
        return prune(
            workspace.settings, database, blobs, is_dry_run=is_dry_run, is_sole_user=is_sole_user
        )
    finally:
        database.close()


def stored(workspace: Workspace) -> int:
    return sum(path.is_file() for path in Path(workspace.settings.blobs).rglob("*"))


async def made(workspace: Workspace, scheduler: Scheduler, text: str, **source: str) -> str:
    """A run with one output of this text, on a snapshot of a folder of its own."""
    folder = workspace.home / f"project-{text}"
    folder.mkdir()
    (folder / "train.py").write_text(WRITES.format(text))
    launch = {**workspace.launch(python(WRITES.format(text))), "folder": str(folder)}
    spec = {"source": {"kind": "snapshot", "folder": str(folder)}}
    told = await scheduler.submit(spec, launch)
    state = await wait_over(scheduler, told.id)
    assert state.status == "Completed", state
    return told.id


@pytest.fixture
def two(workspace: Workspace) -> tuple[str, str]:
    """Two runs that are over, stored long ago: each an output, a snapshot and its one file."""
    ids: list[str] = []

    async def story() -> None:
        async with workspace.running() as scheduler:
            for text in ("one", "two"):
                ids.append(await made(workspace, scheduler, text))

    run(story())
    assert stored(workspace) == 6
    age(workspace)
    return ids[0], ids[1]


def delete(workspace: Workspace, run_id: str) -> None:
    async def story() -> None:
        async with workspace.running() as scheduler:
            await scheduler.delete(run_id)

    run(story())


def test_what_a_deleted_run_had_stored_is_freed(workspace: Workspace, two: tuple[str, str]) -> None:
    assert free(workspace).files == 0
    delete(workspace, two[0])
    assert free(workspace, is_dry_run=True).files == 3
    assert stored(workspace) == 6
    assert free(workspace).files == 3
    assert stored(workspace) == 3
    assert free(workspace).files == 0


def test_a_lost_index_costs_nothing(workspace: Workspace, two: tuple[str, str]) -> None:
    workspace.forget_index()
    assert free(workspace).files == 0
    assert stored(workspace) == 6


def test_a_lost_folder_costs_nothing_that_the_index_names(
    workspace: Workspace, two: tuple[str, str]
) -> None:
    shutil.rmtree(workspace.folder(two[0]).path)
    assert free(workspace).files == 0


@pytest.mark.parametrize("name", ["spec.json", MANIFEST])
def test_a_folder_that_cant_be_read_stops_it(
    workspace: Workspace, two: tuple[str, str], name: str
) -> None:
    delete(workspace, two[0])
    workspace.swap(two[1], name, b"{")
    with pytest.raises(Conflict, match=f"{two[1]}: its {name} can't be read"):
        free(workspace)
    assert stored(workspace) == 6


def test_a_folder_that_is_no_run_stops_it(workspace: Workspace, two: tuple[str, str]) -> None:
    delete(workspace, two[0])
    (workspace.home / "runs" / "backup").mkdir()
    with pytest.raises(Conflict, match=r"backup: it has no spec\.json"):
        free(workspace)
    assert stored(workspace) == 6


def test_a_run_that_is_being_made_keeps_its_snapshot(
    workspace: Workspace, two: tuple[str, str]
) -> None:
    runs = workspace.home / "runs"
    making = runs / f".making-new-00-{os.getpid()}"
    making.mkdir()
    shutil.copy(runs / two[0] / "spec.json", making)
    (runs / ".making-later-00-1").mkdir()
    delete(workspace, two[0])
    assert free(workspace).files == 1  # its output, not its snapshot


def test_what_was_stored_lately_stays(workspace: Workspace, two: tuple[str, str]) -> None:
    blobs = Blobs(workspace.settings.blobs)
    (workspace.home / "new").write_text("a run is about to name this")
    blobs.put(str(workspace.home / "new"))
    assert free(workspace).files == 0
    database = Database.open(workspace.settings.database)
    try:
        with pytest.raises(Invalid, match="older_than_s"):
            prune(workspace.settings, database, blobs, older_than_s=60, is_sole_user=True)
    finally:
        database.close()


def test_a_damaged_list_of_a_snapshot_stops_it(workspace: Workspace, two: tuple[str, str]) -> None:
    blobs = Blobs(workspace.settings.blobs)
    database = Database.open(workspace.settings.database)
    try:
        assert len(named(workspace.settings.runs_folder, database, blobs)) == 6
    finally:
        database.close()
    folder = str(workspace.home / "project-one")
    path = Path(blobs.path(snapshot.take(folder, blobs, home=str(workspace.home)).digest))
    path.chmod(0o600)
    path.write_bytes(b"{}")
    with pytest.raises(Conflict, match="nothing was deleted"):
        free(workspace)
    assert stored(workspace) == 6


def test_a_store_that_others_may_use_is_left_alone(tmp_path: Path) -> None:
    shared = Workspace(tmp_path / "home", blobs_folder=str(tmp_path / "shared"))
    with pytest.raises(Conflict, match="other workspaces"):
        free(shared, is_sole_user=False)
    assert free(shared).files == 0
