"""Contents are stored whole, under their own name, or not at all."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path

import pytest

from outlast.artifacts.blobs import GRACE_S, INCOMING, Blobs
from outlast.errors import Conflict, Corrupt, DiskFull, Invalid, NotFound, Unreachable
from tests.artifacts import putting

MB = 1 << 20


def name_of(content: bytes) -> str:
    return sha256(content).hexdigest()


def read(blobs: Blobs, sha: str) -> bytes:
    fd = blobs.open(sha)
    with os.fdopen(fd, "rb") as file:
        return file.read()


def stored(blobs: Blobs) -> set[str]:
    """Every name there is, each checked against its content."""
    names = set()
    for path in Path(blobs.folder).glob("??/*"):
        name = path.parent.name + path.name
        blobs.verify(name)
        names.add(name)
    return names


def incoming(blobs: Blobs) -> list[str]:
    return [path.name for path in Path(blobs.folder, INCOMING).iterdir()]


@pytest.fixture
def blobs(tmp_path: Path) -> Blobs:
    return Blobs(tmp_path / "blobs")


@pytest.mark.parametrize("size_bytes", [0, 1, 4096, MB - 1, MB, MB + 1, 9 * MB + 17])
def test_content_comes_back_by_its_hash(blobs: Blobs, tmp_path: Path, size_bytes: int) -> None:
    content = os.urandom(size_bytes)
    source = tmp_path / "source"
    source.write_bytes(content)
    found = blobs.put(str(source))
    assert found == (name_of(content), size_bytes)
    assert read(blobs, found.sha256) == content
    assert blobs.size(found.sha256) == blobs.verify(found.sha256) == size_bytes
    assert blobs.has(found.sha256)
    assert not blobs.has(found.sha256, size_bytes + 1)
    assert incoming(blobs) == []


def test_a_blob_may_not_be_written_and_shares_no_inode(blobs: Blobs, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"first")
    found = blobs.put(str(source))
    path = Path(blobs.path(found.sha256))
    assert path.stat().st_mode & 0o777 == 0o400
    assert path.stat().st_nlink == 1
    source.write_bytes(b"other")
    assert read(blobs, found.sha256) == b"first"


def test_a_descriptor_is_read_from_its_beginning_and_left_alone(
    blobs: Blobs, tmp_path: Path
) -> None:
    (tmp_path / "source").write_bytes(b"0123456789")
    with (tmp_path / "source").open("rb") as file:
        file.seek(4)
        assert blobs.put(file.fileno()).sha256 == name_of(b"0123456789")
        assert file.read() == b"456789"


def test_another_content_than_expected_is_never_stored(blobs: Blobs, tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(b"changed")
    with pytest.raises(Conflict, match="changed"):
        blobs.put(str(tmp_path / "source"), name_of(b"as it was"))
    assert stored(blobs) == set()
    assert incoming(blobs) == []


def test_a_file_that_changes_while_it_is_copied_keeps_no_wrong_name(
    blobs: Blobs, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    source.write_bytes(bytes(4 * MB))
    stop = threading.Event()

    def scribble() -> None:
        with source.open("r+b") as file:
            while not stop.is_set():
                file.seek(int.from_bytes(os.urandom(2)) * 64)
                file.write(os.urandom(8))
                file.flush()

    thread = threading.Thread(target=scribble)
    thread.start()
    try:
        names = {blobs.put(str(source)).sha256 for _ in range(20)}
    finally:
        stop.set()
        thread.join()
    assert stored(blobs) == names
    assert len(names) > 1, "the file never changed: this test tested nothing"


def test_known_content_is_not_read_again(blobs: Blobs, tmp_path: Path) -> None:
    (tmp_path / "one").write_bytes(b"same size")
    found = blobs.put(str(tmp_path / "one"))
    # Another content of the same size: had it been read, it would be a Conflict.
    (tmp_path / "one").write_bytes(b"size same")
    assert blobs.put(str(tmp_path / "one"), found.sha256) == found


def test_a_damaged_blob_is_found_and_healed_by_storing_again(blobs: Blobs, tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(b"precious")
    found = blobs.put(str(tmp_path / "source"))
    path = Path(blobs.path(found.sha256))
    path.chmod(0o600)
    path.write_bytes(b"precious" * 2)
    with pytest.raises(Corrupt, match="damaged"):
        blobs.verify(found.sha256)
    blobs.put(str(tmp_path / "source"), found.sha256)
    assert blobs.verify(found.sha256) == 8


@pytest.mark.parametrize("sha", ["", "ab", "../" * 21 + "a", "A" * 64, "g" * 64, "a" * 65])
def test_only_a_hash_names_a_blob(blobs: Blobs, sha: str) -> None:
    for look in (blobs.open, blobs.has, blobs.size, blobs.verify, blobs.keep):
        with pytest.raises(Invalid):
            look(sha)


def test_what_is_not_there_is_not_found(blobs: Blobs, tmp_path: Path) -> None:
    for look in (blobs.open, blobs.size, blobs.verify):
        with pytest.raises(NotFound):
            look("a" * 64)
    assert not blobs.has("a" * 64)
    with pytest.raises(NotFound):
        blobs.put(str(tmp_path / "none"))


def test_only_regular_files_are_stored_and_a_fifo_does_not_block(
    blobs: Blobs, tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "link").symlink_to("/etc/hostname")
    for source in (tmp_path / "fifo", tmp_path / "link", tmp_path, Path("/dev/zero")):
        with pytest.raises(Invalid):
            blobs.put(str(source))


def test_a_batch_left_by_an_error_stores_nothing(blobs: Blobs) -> None:
    with pytest.raises(ZeroDivisionError), blobs.batch() as batch:  # noqa: PT012
        batch.put_bytes(b"content")
        raise ZeroDivisionError
    assert stored(blobs) == set()
    assert incoming(blobs) == []


def test_what_was_flushed_stays_whatever_comes_after(blobs: Blobs) -> None:
    with pytest.raises(ZeroDivisionError), blobs.batch() as batch:  # noqa: PT012
        first = batch.put_bytes(b"content")
        batch.flush()
        batch.put_bytes(b"other")
        raise ZeroDivisionError
    assert stored(blobs) == {first.sha256}


@pytest.mark.slow
def test_many_small_files_and_repeats_in_one_batch(blobs: Blobs) -> None:
    contents = [f"number {number % 3000}".encode() for number in range(5000)]
    with blobs.batch() as batch:
        found = [batch.put_bytes(content) for content in contents]
    assert [one.sha256 for one in found] == [name_of(content) for content in contents]
    assert stored(blobs) == {one.sha256 for one in found}
    assert incoming(blobs) == []


@pytest.mark.slow
def test_the_same_contents_stored_by_many_at_once(blobs: Blobs, tmp_path: Path) -> None:
    for number in range(10):
        (tmp_path / str(number)).write_bytes(bytes([number]) * (MB // 4 + number))

    def put_all(_turn: int) -> list[str]:
        mine = Blobs(blobs.folder)
        return [mine.put(str(tmp_path / str(number))).sha256 for number in range(10)]

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(put_all, range(8)))
    assert all(result == results[0] for result in results)
    assert stored(blobs) == set(results[0])
    assert incoming(blobs) == []


def _age(blobs: Blobs, *names: str) -> None:
    for name in names:
        path = Path(blobs.path(name))
        then = path.stat().st_mtime - GRACE_S - 10
        os.utime(path, (then, then))


def test_only_old_contents_without_a_reference_are_deleted(blobs: Blobs) -> None:
    with blobs.batch() as batch:
        kept, old, fresh, again = (
            batch.put_bytes(text).sha256 for text in (b"k", b"o", b"f", b"a")
        )
    _age(blobs, kept, old, again)
    assert blobs.keep(again)  # about to be referred to
    assert blobs.delete_unreferenced({kept}) == (1, 1)
    assert stored(blobs) == {kept, fresh, again}
    assert blobs.delete_unreferenced([kept], older_than_s=-10) == (2, 2)
    assert stored(blobs) == {kept}


def test_leftovers_of_a_killed_writer_are_deleted_in_time(blobs: Blobs) -> None:
    leftover = Path(blobs.folder, INCOMING, "0" * 24)
    leftover.write_bytes(b"half")
    assert blobs.delete_unreferenced(set()).files == 0
    os.utime(leftover, (0, 0))
    assert blobs.delete_unreferenced(set()).files == 1
    assert incoming(blobs) == []


def test_a_clean_up_waits_for_a_writer(blobs: Blobs) -> None:
    done = threading.Event()

    def clean() -> None:
        blobs.delete_unreferenced(set())
        done.set()

    with blobs._locked(fcntl.LOCK_SH):
        thread = threading.Thread(target=clean)
        thread.start()
        assert not done.wait(0.2)
    assert done.wait(10)
    thread.join()


def test_a_folder_that_went_away_is_unreachable_and_not_made_anew(
    blobs: Blobs, tmp_path: Path
) -> None:
    Path(blobs.folder).rename(tmp_path / "unmounted")
    (tmp_path / "source").write_bytes(b"x")
    with pytest.raises(Unreachable, match="can't be reached"):
        blobs.put(str(tmp_path / "source"))
    assert not Path(blobs.folder).exists()
    (tmp_path / "unmounted").rename(blobs.folder)
    assert blobs.put(str(tmp_path / "source")).size_bytes == 1


@contextlib.contextmanager
def mounted(folder: Path, kind: str, options: str) -> Iterator[Path]:
    """A filesystem of its own, or a loud skip."""
    folder.mkdir()
    if os.getuid() != 0:
        pytest.skip("injector absent: mounting needs root")
    made = subprocess.run(["mount", "-t", kind, "-o", options, kind, folder], capture_output=True)
    if made.returncode != 0:
        pytest.skip(f"injector absent: {made.stderr.decode().strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


@pytest.mark.root
@pytest.mark.parametrize("options", ["size=4m", "size=64m,nr_inodes=300"])
def test_a_full_disk_stores_nothing_by_halves_and_recovers(tmp_path: Path, options: str) -> None:
    with mounted(tmp_path / "small", "tmpfs", options) as small:
        blobs = Blobs(small / "blobs")
        kept: set[str] = set()
        source = tmp_path / "source"
        with pytest.raises(DiskFull, match="no room"):  # noqa: PT012
            for number in range(100):
                source.write_bytes(bytes([number]) * (3 * MB // 2))
                kept.add(blobs.put(str(source)).sha256)
        assert stored(blobs) == kept != set()
        assert incoming(blobs) == []
        blobs.delete_unreferenced(set(), older_than_s=-10)
        assert blobs.put(str(source)).size_bytes == 3 * MB // 2


def test_a_read_only_disk_is_unreachable(tmp_path: Path) -> None:
    with mounted(tmp_path / "disk", "tmpfs", "size=16m") as disk:
        blobs = Blobs(disk / "blobs")
        (tmp_path / "source").write_bytes(b"x")
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        with pytest.raises(Unreachable, match=os.strerror(errno.EROFS)):
            blobs.put(str(tmp_path / "source"))


def test_a_reflink_shares_blocks_where_the_filesystem_can(tmp_path: Path) -> None:
    if shutil.which("mkfs.btrfs") is None and shutil.which("mkfs.xfs") is None:
        pytest.skip("injector absent: neither mkfs.btrfs nor mkfs.xfs is installed")
    image = tmp_path / "image"
    with image.open("wb") as file:
        file.truncate(400 * MB)
    make = ["mkfs.btrfs", "-q"] if shutil.which("mkfs.btrfs") else ["mkfs.xfs", "-q"]
    subprocess.run([*make, str(image)], check=True)
    (tmp_path / "disk").mkdir()
    if subprocess.run(["mount", "-o", "loop", image, tmp_path / "disk"]).returncode != 0:
        pytest.skip("injector absent: no loop mount")
    try:
        source = tmp_path / "disk" / "source"
        source.write_bytes(os.urandom(64 * MB))
        os.sync()
        free = shutil.disk_usage(tmp_path / "disk").free
        blobs = Blobs(tmp_path / "disk" / "blobs")
        found = blobs.put(str(source))
        os.sync()
        assert free - shutil.disk_usage(tmp_path / "disk").free < 32 * MB
        source.write_bytes(b"changed")
        assert blobs.verify(found.sha256) == 64 * MB
    finally:
        subprocess.run(["umount", tmp_path / "disk"], check=True)


_CALLS = ("write", "fsync", "syncfs", "rename", "unlink", "flock")


def _put_under_strace(blobs: Blobs, sources: Path, call: str, inject: str) -> bool:
    """Was the fault injected (and the process ended by it)?"""
    command = [sys.executable, putting.__file__, blobs.folder, str(sources)]
    strace = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}"]
    done = subprocess.run(
        [*strace, "-e", f"inject={call}:{inject}", *command], capture_output=True, timeout=60
    )
    return done.returncode != 0


def _can_inject() -> bool:
    if shutil.which("strace") is None:
        return False
    probe = ["strace", "-qq", "-o", "/dev/null", "-e", "inject=rename:error=EIO", "true"]
    return subprocess.run(probe, capture_output=True).returncode == 0


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("fault", ["signal=KILL", "error=EIO", "error=ENOSPC"])
def test_a_fault_at_any_call_leaves_whole_contents_only(tmp_path: Path, fault: str) -> None:
    """Killed, or refused by the disk, at one system call after another; then tried again."""
    if not _can_inject():
        pytest.skip("injector absent: strace can't inject here")
    sources = tmp_path / "sources"
    sources.mkdir()
    wanted = set()
    for number in range(23):
        content = bytes([number]) * (5 if number else 2 * MB + 5)
        (sources / str(number)).write_bytes(content)
        wanted.add(name_of(content))
    hit = set()
    for call in _CALLS:
        for point in (1, 2, 3, 6, 12, 19, 20, 23):
            blobs = Blobs(tmp_path / f"{call}{point}")
            if not _put_under_strace(blobs, sources, call, f"{fault}:when={point}"):
                break
            hit.add((call, point))
            assert stored(blobs) <= wanted
            if not fault.startswith("signal") and call != "unlink":
                assert incoming(blobs) == [], "who told of the fault also cleaned up"
            putting.put_all(blobs.folder, sources)
            assert stored(blobs) == wanted
            shutil.rmtree(blobs.folder)
    assert {call for call, _ in hit} >= {"write", "fsync", "syncfs", "rename", "flock"}
    assert len(hit) > 15
