"""A full disk, wherever it is: it is said, nothing that was accepted is lost, and all goes on."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.scenario.conftest import Place

pytestmark = [pytest.mark.slow, pytest.mark.root]

SIZE_BYTES = 4 << 20


class Disk:
    """A small disk of its own, which can be filled and freed."""

    def __init__(self, path: Path, size_bytes: int) -> None:
        self.path = path
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        mount = ["mount", "-t", "tmpfs", "-o", f"size={size_bytes},mode=700", "tmpfs", str(path)]
        done = subprocess.run(mount, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            pytest.skip(f"injector absent: no tmpfs can be mounted here: {done.stderr.strip()}")

    @contextlib.contextmanager
    def filled(self) -> Iterator[None]:
        """Not one byte has room; freed at the end."""
        with (self.path / ".filler").open("ab", buffering=0) as filler:
            for size in (1 << 16, 1 << 12, 1):
                with contextlib.suppress(OSError):
                    while True:
                        filler.write(b"x" * size)
        try:
            yield
        finally:
            (self.path / ".filler").unlink()

    def close(self) -> None:
        subprocess.run(["umount", "-l", str(self.path)], check=True)


@pytest.fixture
def disk_at(tmp_path: Path) -> Iterator[Disks]:
    if os.geteuid() != 0:
        pytest.skip("injector absent: only root can mount a small disk")
    disks: list[Disk] = []

    def make(path: Path, size_bytes: int = SIZE_BYTES) -> Disk:
        disks.append(Disk(path, size_bytes))
        return disks[-1]

    yield make
    for disk in disks:
        disk.close()


# Logs a point for each line of the pipe, and says when it has.
SCRIPT = """
import sys
from outlast.runtime import get_context
run, steps = get_context(), 0
with open(sys.argv[1]) as asked, open(sys.argv[2], "w", buffering=1) as told:
    for line in asked:
        for _ in range(int(line)):
            run.log("loss", steps * 0.5)
            steps += 1
        print(steps, file=told)
"""


class Script:
    """A run that logs as it is told to."""

    def __init__(self, place: Place, folder: Path) -> None:
        for name in ("asked", "told"):
            os.mkfifo(folder / name)
        pipes = (str(folder / "asked"), str(folder / "told"))
        id = place.outlast("run", "-d", "--", sys.executable, "-c", SCRIPT, *pipes).strip()
        self.run = place.run(id)
        self._asked = (folder / "asked").open("w", buffering=1)
        self._told = (folder / "told").open()

    def log(self, points: int) -> int:
        """Log so many points more; how many there are now."""
        self._asked.write(f"{points}\n")
        return int(self._told.readline())

    def end(self) -> None:
        self._asked.close()
        self._told.close()


@pytest.fixture
def scripts(tmp_path: Path) -> Iterator[Callable[[Place], Script]]:
    begun: list[Script] = []

    def start(place: Place) -> Script:
        begun.append(Script(place, tmp_path))
        return begun[-1]

    yield start
    for script in begun:
        script.end()


Disks = Callable[..., Disk]
Places = Callable[[Path], Place]
Scripts = Callable[[Place], Script]


def test_in_the_runs_folder_while_logging(
    disk_at: Disks, place_at: Places, scripts: Scripts, tmp_path: Path
) -> None:
    disk = disk_at(tmp_path / "home" / "runs")
    place = place_at(tmp_path / "home")
    script = scripts(place)
    script.log(1_000)
    with disk.filled():
        assert script.log(20_000) == 21_000  # the script goes on; what has no room waits in memory
    script.end()
    assert script.run.wait() == "Completed"
    assert script.run.metrics("loss")["values"] == [step * 0.5 for step in range(21_000)]
    said = place.outlast("logs", script.run.id)
    assert said.endswith("the run's journal can be written again; no records were lost\n")


def test_in_the_runs_folder_at_the_end(
    disk_at: Disks, place_at: Places, scripts: Scripts, tmp_path: Path
) -> None:
    """The script has ended; its last records, its end and its exit code wait for room."""
    disk = disk_at(tmp_path / "home" / "runs")
    place = place_at(tmp_path / "home")
    script = scripts(place)
    script.log(1_000)
    with disk.filled():
        assert script.log(20_000) == 21_000
        script.end()
        assert script.run.status == "Running"
    assert script.run.wait() == "Completed"
    assert script.run.metrics("loss")["steps"] == list(range(21_000))


def test_of_what_is_printed(disk_at: Disks, place_at: Places, tmp_path: Path) -> None:
    """A print without room fails, as with every redirection; it is said why the run ended."""
    disk = disk_at(tmp_path / "home" / "runs")
    place = place_at(tmp_path / "home")
    fifo = tmp_path / "go"
    os.mkfifo(fifo)
    script = f"open({str(fifo)!r}).read(); print('x' * {SIZE_BYTES})"
    run = place.run(place.outlast("run", "-d", "--", sys.executable, "-c", script).strip())
    place.wait_for(run, lambda state: state["status"] == "Running")
    with disk.filled():
        fifo.write_text("go")
        assert run.wait(raise_on_error=False) == "Failed"
        text = place.outlast("why", run.id)
    assert text.startswith("Failed")
    assert "disk was full" in text.replace("\n", " ")


def test_in_the_outputs(disk_at: Disks, place: Place, tmp_path: Path) -> None:
    disk = disk_at(tmp_path / "work")
    script = f"import os; os.mkdir('outputs'); open('outputs/m', 'w').write('x' * {2 * SIZE_BYTES})"
    options = ("run", "-d", "--", sys.executable, "-c", script)
    run = place.run(place.outlast(*options, cwd=disk.path).strip())
    assert run.wait(raise_on_error=False) == "Failed"
    text = place.outlast("why", run.id)
    assert "disk was full" in text
    assert "No space left on device" in text


def test_where_outputs_are_stored(
    disk_at: Disks, place_at: Places, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = disk_at(tmp_path / "blobs")
    monkeypatch.setenv("OUTLAST_BLOBS_FOLDER", str(disk.path))
    place = place_at(tmp_path / "home")
    work = tmp_path / "work"
    work.mkdir()
    with disk.filled():
        script = "mkdir outputs; head -c 1000000 /dev/urandom > outputs/model"
        run = place.run(place.outlast("run", "-d", "--", "sh", "-c", script, cwd=work).strip())
        place.wait_for(run, lambda state: state["stage"] == "storage")
        text = place.outlast("why", run.id)
        assert text.startswith("Not finished yet")
        assert "full" in text
    assert run.wait() == "Completed"
    (fetched,) = run.download(tmp_path / "fetched")
    assert fetched.read_bytes() == (work / "outputs" / "model").read_bytes()
    assert run.verify() == []


def test_of_the_database(
    disk_at: Disks,
    place_at: Places,
    scripts: Scripts,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    disk = disk_at(tmp_path / "database")
    monkeypatch.setenv("OUTLAST_DATABASE_URL", f"sqlite:///{disk.path}/outlast.db")
    place = place_at(tmp_path / "home")
    place.environ["OUTLAST_DATABASE_URL"] = os.environ["OUTLAST_DATABASE_URL"]
    script = scripts(place)
    script.log(1_000)
    with disk.filled():
        assert script.log(20_000) == 21_000
        assert script.run.id in place.outlast("ls", "-q")  # what is read needs no room
        refused = place.popen("run", "-d", "--", "true", stderr=subprocess.PIPE)
        _, said = refused.communicate(timeout=60)
        assert refused.returncode != 0
        assert b"no room left for the database" in said
        assert b"Traceback" not in said
    script.end()
    assert script.run.wait() == "Completed"
    assert script.run.metrics("loss")["values"] == [step * 0.5 for step in range(21_000)]
    done = place.run(place.outlast("run", "-d", "--", "true").strip())
    assert done.wait() == "Completed"


FILLING = """
import sys
with open(sys.argv[1], "wb", buffering=0) as filler:
    for size in (1 << 20, 1 << 12, 1):
        try:
            while True:
                filler.write(b"x" * size)
        except OSError as error:
            full = error
raise full
"""


def test_of_the_whole_workspace(disk_at: Disks, place_at: Places, tmp_path: Path) -> None:
    """The run that has filled it to the last byte is told as Failed while there is no room."""
    disk = disk_at(tmp_path / "home", 64 << 20)
    place = place_at(disk.path)
    fill = ("run", "-d", "--", sys.executable, "-c", FILLING, str(disk.path / "filler"))
    run = place.run(place.outlast(*fill).strip())
    place.wait_for(run, lambda state: state["status"] == "Failed")
    assert os.statvfs(disk.path).f_bavail < 16
    assert "Failed" in place.outlast("ls")
    assert "No space left on device" in place.outlast("why", run.id)
