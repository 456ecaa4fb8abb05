"""Being woken: soon, once for many changes, and never not at all."""

from __future__ import annotations

import asyncio
import os
import select
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from outlast.errors import NotFound
from outlast.journal.watch import Watcher


@pytest.fixture(params=[False, True], ids=["told", "polling"])
def is_polling(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


def wait_for(watcher: Watcher, change: tuple[str, str]) -> None:
    deadline = time.monotonic() + 10
    while change not in watcher.wait(1):
        assert time.monotonic() < deadline, f"{change} was never told"


def test_linux_tells_without_polling(tmp_path: Path) -> None:
    with Watcher() as watcher:
        watcher.add(str(tmp_path))
        assert not watcher.is_polling


def test_a_write_wakes_within_50_ms(tmp_path: Path) -> None:
    took_ms = []
    with Watcher() as watcher:
        watcher.add(str(tmp_path))
        for number in range(5):
            written: list[float] = []

            def write(name: str, at: list[float]) -> None:
                at.append(time.monotonic())
                (tmp_path / name).write_bytes(b"x")

            timer = threading.Timer(0.02, write, (f"events{number}", written))
            timer.start()
            assert watcher.wait(10) == {(str(tmp_path), f"events{number}")}
            took_ms.append((time.monotonic() - written[0]) * 1000)
            timer.join()
            watcher.read()
    assert sorted(took_ms)[2] < 50, took_ms


def test_each_kind_of_change_is_told(tmp_path: Path, is_polling: bool) -> None:
    folder, other = tmp_path / "run", tmp_path / "other"
    folder.mkdir()
    other.mkdir()
    (folder / "events").write_bytes(b"")
    with Watcher(is_polling=is_polling) as watcher:
        assert watcher.is_polling == is_polling
        watcher.add(str(folder))
        assert watcher.read() == set()
        (folder / "events").write_bytes(b"more")
        wait_for(watcher, (str(folder), "events"))
        (folder / "new").touch()
        wait_for(watcher, (str(folder), "new"))
        (folder / "new").rename(folder / "moved")
        wait_for(watcher, (str(folder), "moved"))
        (other / "elsewhere").touch()
        for file in folder.iterdir():
            file.unlink()
        folder.rmdir()
        wait_for(watcher, (str(folder), ""))
        folder.mkdir()
        watcher.add(str(folder))
        (folder / "again").touch()
        wait_for(watcher, (str(folder), "again"))


def test_many_writes_are_one_change(tmp_path: Path, is_polling: bool) -> None:
    with Watcher(is_polling=is_polling) as watcher, (tmp_path / "output").open("ab", 0) as output:
        watcher.add(str(tmp_path))
        for _ in range(1000):
            output.write(b"x")
        assert watcher.wait(10) == {(str(tmp_path), "output")}
        assert select.select([watcher.fileno()], [], [], 0)[0] == []


def test_a_folder_no_longer_watched_is_quiet(tmp_path: Path, is_polling: bool) -> None:
    kept, dropped = tmp_path / "kept", tmp_path / "dropped"
    kept.mkdir()
    dropped.mkdir()
    with Watcher(is_polling=is_polling) as watcher:
        watcher.add(str(kept))
        watcher.add(str(dropped))
        watcher.remove(str(dropped))
        watcher.remove(str(tmp_path / "never added"))
        (dropped / "events").touch()
        (kept / "events").touch()
        assert watcher.wait(10) == {(str(kept), "events")}


def test_a_folder_that_is_not_there_is_said(tmp_path: Path, is_polling: bool) -> None:
    (tmp_path / "file").touch()
    with Watcher(is_polling=is_polling) as watcher:
        for name in ("gone", "file"):
            with pytest.raises(NotFound):
                watcher.add(str(tmp_path / name))


def test_asyncio_is_woken(tmp_path: Path, is_polling: bool) -> None:
    async def wait_in_loop() -> set[tuple[str, str]]:
        with Watcher(is_polling=is_polling) as watcher:
            watcher.add(str(tmp_path))
            woken = asyncio.Event()
            loop = asyncio.get_running_loop()
            loop.add_reader(watcher.fileno(), woken.set)
            (tmp_path / "events").touch()
            await asyncio.wait_for(woken.wait(), 10)
            loop.remove_reader(watcher.fileno())
            return watcher.read()

    assert asyncio.run(wait_in_loop()) == {(str(tmp_path), "events")}


def test_more_changes_than_the_kernel_keeps_name_every_folder(tmp_path: Path) -> None:
    quiet, loud = tmp_path / "quiet", tmp_path / "loud"
    quiet.mkdir()
    loud.mkdir()
    kept = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    if kept > 100_000:
        pytest.skip(f"the kernel keeps {kept} notices; too many to overflow in a test")
    with Watcher() as watcher:
        watcher.add(str(quiet))
        watcher.add(str(loud))
        files = [os.open(loud / f"f{n}", os.O_CREAT | os.O_WRONLY | os.O_APPEND) for n in (0, 1)]
        for n in range(kept + 100):  # alternating, since the kernel joins what repeats
            os.write(files[n % 2], b"x")
        for file in files:
            os.close(file)
        changes = watcher.read()
        assert {(str(quiet), ""), (str(loud), ""), (str(loud), "f0")} <= changes
        (quiet / "events").touch()  # and it goes on
        wait_for(watcher, (str(quiet), "events"))


LIMITED = """
import sys
from outlast.journal.watch import Watcher
with open("/proc/sys/user/max_inotify_watches") as limit:
    assert limit.read().strip() == "1", "not limited"
first, second = sys.argv[1:]
with Watcher() as watcher:
    before = watcher.fileno()
    watcher.add(first)
    print(watcher.is_polling)
    watcher.add(second)
    print(watcher.is_polling, watcher.fileno() == before)
    for folder in (first, second):
        open(folder + "/events", "w").close()
        seen = set()
        while (folder, "events") not in seen:
            seen = watcher.wait(10)
            assert seen, "never told"
    print("both told")
"""


@pytest.mark.root
def test_a_reached_limit_of_watches_means_polling_and_not_silence(tmp_path: Path) -> None:
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
    # A user namespace has a limit of its own, which the root inside may lower.
    limited = 'echo 1 > /proc/sys/user/max_inotify_watches && exec "$@"'
    command = ["unshare", "--user", "--map-root-user", "sh", "-c", limited, "sh"]
    probe = subprocess.run([*command, "true"], capture_output=True, text=True)
    if probe.returncode != 0:
        pytest.skip(f"injector absent: no user namespace with a limit ({probe.stderr.strip()})")
    folders = [str(tmp_path / "first"), str(tmp_path / "second")]
    done = subprocess.run(
        [*command, sys.executable, "-c", LIMITED, *folders],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n")[:3] == ["False", "True True", "both told"]


def test_closing_gives_descriptors_and_thread_back(tmp_path: Path, is_polling: bool) -> None:
    descriptors = len(list(Path("/proc/self/fd").iterdir()))
    threads = threading.active_count()
    watcher = Watcher(is_polling=is_polling)
    watcher.add(str(tmp_path))
    watcher.close()
    watcher.close()
    assert len(list(Path("/proc/self/fd").iterdir())) == descriptors
    assert threading.active_count() == threads
