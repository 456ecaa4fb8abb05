"""Registrations that scripts ask for: carried out once, at the right moment, or told."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from outlast.artifacts.blobs import Blobs
from outlast.errors import NotFound
from outlast.scheduler.prune import prune
from outlast.scheduler.scheduler import Scheduler
from outlast.store import models
from outlast.store.database import Database
from outlast.store.models import Version
from tests.scheduler.test_prune import age
from tests.scheduler.workspace import Workspace, run, wait_over, wait_until

WRITES = (
    "import outlast, os; run = outlast.Run.get_context(); "
    "os.makedirs('outputs/model', exist_ok=True); open('outputs/model/a', 'w').write('weights'); "
)


def script(code: str) -> list[str]:
    return [sys.executable, "-S", "-c", code]


async def submit(workspace: Workspace, scheduler: Scheduler, code: str, **spec: object) -> str:
    return (await scheduler.submit(spec, workspace.launch(script(code)))).id


def found(workspace: Workspace, name: str = "digits") -> list[Version]:
    database = Database.open(workspace.settings.database)
    try:
        with database.read() as connection:
            return models.versions(connection, name)
    except NotFound:
        return []
    finally:
        database.close()


def files(workspace: Workspace, name: str, number: int) -> dict[str, bytes]:
    database = Database.open(workspace.settings.database)
    blobs = Blobs(workspace.settings.blobs)
    try:
        with database.read() as connection:
            listed = models.files_of(connection, name, number)
        return {one.path: Path(blobs.path(one.sha256)).read_bytes() for one in listed}
    finally:
        database.close()


def test_a_run_that_is_completed_has_its_models(workspace: Workspace) -> None:
    async def story() -> None:
        async with workspace.running() as scheduler:
            code = WRITES + "run.register_model('digits', 'outputs/model', tags={'team': 'a'})"
            told = await submit(workspace, scheduler, code)
            state = await wait_over(scheduler, told)
            assert (state.status, state.warnings) == ("Completed", ())
            [version] = found(workspace)
            assert version.lineage == (told, 1, state.manifest, "outputs/model")
            assert version.tags == {"team": "a"}

    run(story())
    assert files(workspace, "digits", 1) == {"model/a": b"weights"}


def test_an_upload_is_registered_while_the_run_goes_on(workspace: Workspace) -> None:
    gate = workspace.home / "gate"

    async def story() -> None:
        async with workspace.running() as scheduler:
            code = (
                "import outlast, time, io; run = outlast.Run.get_context(); "
                "run.upload_file('kept/model.pkl', io.BytesIO(b'weights')); "
                "run.register_model('digits', 'kept/model.pkl'); "
                "run.register_model('folders', 'kept')\n"
                f"import os\nwhile not os.path.exists({str(gate)!r}): time.sleep(0.02)"
            )
            told = await submit(workspace, scheduler, code)
            await wait_until(lambda: bool(found(workspace) and found(workspace, "folders")))
            state = await scheduler.state(told)
            assert state is not None
            assert state.status == "Running"
            assert found(workspace)[0].lineage.manifest == ""
            gate.touch()
            state = await wait_over(scheduler, told)
            assert found(workspace)[0].lineage.manifest == state.manifest != ""

    run(story())
    assert files(workspace, "digits", 1) == {"model.pkl": b"weights"}
    assert files(workspace, "folders", 1) == {"kept/model.pkl": b"weights"}


def test_what_is_not_among_the_stored_files_is_a_warning(workspace: Workspace) -> None:
    async def story() -> None:
        async with workspace.running() as scheduler:
            told = await submit(
                workspace, scheduler, WRITES + "run.register_model('digits', 'outputs/other')"
            )
            state = await wait_over(scheduler, told)
            assert state.status == "Completed"
            [(code, message)] = state.warnings
            assert code == "not_registered"
            assert "'outputs/other' isn't among the run's stored files" in message

    run(story())
    assert found(workspace) == []


def test_a_failed_run_registers_what_it_stored(workspace: Workspace) -> None:
    async def story() -> None:
        async with workspace.running() as scheduler:
            code = WRITES + "run.register_model('digits', 'outputs/model'); os._exit(3)"
            told = await submit(workspace, scheduler, code)
            state = await wait_over(scheduler, told)
            assert state.status == "Failed"
            await wait_until(lambda: bool(found(workspace)))

    run(story())
    assert files(workspace, "digits", 1) == {"model/a": b"weights"}


def test_of_two_attempts_the_one_that_is_stored_counts(workspace: Workspace) -> None:
    async def story() -> None:
        async with workspace.running() as scheduler:
            code = WRITES + (
                "run.register_model('digits', 'outputs/model'); "
                "os._exit(3 if os.environ['OUTLAST_ATTEMPT'] == '1' else 0)"
            )
            policy = {"max_attempts": 2, "retry_on": ["failed"], "retry_delay_s": 0.1}
            told = await submit(workspace, scheduler, code, policy=policy)
            state = await wait_over(scheduler, told)
            assert (state.status, state.attempt) == ("Completed", 2)
            assert [version.lineage.attempt for version in found(workspace)] == [2]
            assert any("attempt 1, which asked for it" in text for _, text in state.warnings)

    run(story())


def test_asked_for_while_no_server_is_there_it_is_registered_later(workspace: Workspace) -> None:
    gate = workspace.home / "gate"
    told: list[str] = []
    code = (
        f"import time, os\nwhile not os.path.exists({str(gate)!r}): time.sleep(0.02)\n"
        + WRITES
        + "run.register_model('digits', 'outputs/model')"
    )

    async def before() -> None:
        async with workspace.running() as scheduler:
            told.append(await submit(workspace, scheduler, code))
            await wait_until(lambda: Path(workspace.folder(told[0]).file("events")).exists())

    async def after() -> None:
        async with workspace.running() as scheduler:
            state = await wait_over(scheduler, told[0])
            assert state.status == "Completed"

    run(before())
    gate.touch()
    run(after())
    run(after())
    assert [version.version for version in found(workspace)] == [1]


def test_a_registration_that_a_killed_server_left_is_done_at_the_next_start(
    workspace: Workspace,
) -> None:
    """It had stored the outputs and called the run Completed, and not registered the model."""

    async def story() -> str:
        async with workspace.running() as scheduler:
            code = WRITES + "run.register_model('digits', 'outputs/model')"
            told = await submit(workspace, scheduler, code)
            await wait_over(scheduler, told)
            return told

    async def again() -> None:
        async with workspace.running():
            await wait_until(lambda: bool(found(workspace)))

    run(story())
    database = Database.open(workspace.settings.database)
    with database.write() as connection:
        for text in (
            "UPDATE registrations SET status = 'waiting', version = 0",
            "DELETE FROM models", "DELETE FROM model_versions", "DELETE FROM model_files",
        ):  # fmt: skip
            connection.exec_driver_sql(text)
    database.close()
    run(again())
    run(again())
    assert [version.version for version in found(workspace)] == [1]


def test_a_model_outlives_its_run_and_is_never_pruned(workspace: Workspace) -> None:
    async def story() -> None:
        async with workspace.running() as scheduler:
            code = WRITES + "run.register_model('digits', 'outputs/model')"
            told = await submit(workspace, scheduler, code)
            await wait_over(scheduler, told)
            await scheduler.delete(told)

    run(story())
    shutil.rmtree(workspace.work / "outputs")
    age(workspace)
    database, blobs = Database.open(workspace.settings.database), Blobs(workspace.settings.blobs)
    try:
        assert prune(workspace.settings, database, blobs, is_sole_user=True).files == 0
        assert files(workspace, "digits", 1) == {"model/a": b"weights"}
        with database.write() as connection:
            models.delete(connection, "digits", "1", 1)
        assert prune(workspace.settings, database, blobs, is_sole_user=True).files == 1
    finally:
        database.close()


INTERACTIVE = """
import os, outlast
with outlast.run("by hand") as run:
    open(os.path.join(run.output_folder, "net"), "w").write("weights")
    run.upload_folder("kept", run.output_folder)
    run.register_model("digits", "kept")
    run.register_model("later", "outputs/net")
    print(run.id)
"""


def test_a_script_of_its_own_without_a_server_registers_later(workspace: Workspace) -> None:
    environ = {**os.environ, "OUTLAST_HOME": str(workspace.home)}
    done = subprocess.run(
        [sys.executable, "-c", INTERACTIVE], env=environ, capture_output=True, text=True, check=True
    )
    told = done.stdout.strip()
    assert found(workspace) == []

    async def story() -> None:
        async with workspace.running() as scheduler:
            state = await wait_over(scheduler, told)
            assert (state.status, state.warnings) == ("Completed", ())
            await wait_until(lambda: bool(found(workspace) and found(workspace, "later")))

    run(story())
    assert files(workspace, "digits", 1) == {"kept/net": b"weights"}
    assert files(workspace, "later", 1) == {"net": b"weights"}


def test_outputs_that_are_pushed_later_bring_their_models(workspace: Workspace) -> None:
    async def story() -> None:
        async with workspace.running() as scheduler:
            workspace.hide_blobs()
            code = WRITES + "run.register_model('digits', 'outputs/model')"
            told = await submit(workspace, scheduler, code, limits={"storage_s": 0.2})
            state = await wait_over(scheduler, told)
            assert (state.status, state.cause) == ("Failed", "storage")
            assert found(workspace) == []
            workspace.show_blobs()
            await scheduler.push_outputs(told)
            assert [version.lineage.run for version in found(workspace)] == [told]

    run(story())
