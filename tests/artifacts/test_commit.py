"""A commit stores what the run left, and says so when that is no longer there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from outlast.artifacts import commit
from outlast.artifacts.blobs import Blobs
from outlast.artifacts.verify import verify
from outlast.errors import Conflict, Corrupt, DiskFull, NotFound, Unreachable
from outlast.run.folder import MANIFEST, UPLOADS, RunFolder
from outlast.run.manifest import Entry, Manifest, made
from tests.artifacts.test_blobs import mounted, name_of, stored


class Run:
    """A run's folder beside its working folder, as a supervisor leaves them."""

    def __init__(self, base: Path) -> None:
        self.folder = RunFolder(str(base / "runs" / "abc"))
        Path(self.folder.path).mkdir(parents=True)
        self.work = base / "work"
        self.entries: list[Entry] = []

    def leave(
        self, path: str, content: bytes, *, origin: str = "outputs", at: Path | None = None
    ) -> Path:
        place = Path(self.folder.file(UPLOADS)) if origin == "upload" else self.work
        source = at or place / path
        source.parent.mkdir(parents=True, exist_ok=True)
        source.write_bytes(content)
        self.entries.append(Entry(path, len(content), name_of(content), 0, origin, str(source)))
        return source

    def end(self) -> Manifest:
        manifest = made("abc", 1, self.entries)
        Path(self.folder.file(MANIFEST)).write_bytes(manifest.to_json())
        return manifest


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path)


@pytest.fixture
def blobs(tmp_path: Path) -> Blobs:
    return Blobs(tmp_path / "blobs")


def test_every_kind_of_output_is_stored(run: Run, blobs: Blobs, tmp_path: Path) -> None:
    run.leave("outputs/model.pt", os.urandom(3_000_000))
    run.leave("outputs/epoch 12:30\\odd\nname", b"odd")
    run.leave("report.txt", b"declared", origin="declared")
    run.leave("images/loss.png", b"upload", origin="upload")
    elsewhere = tmp_path / "scratch" / "big.bin"
    run.leave(str(elsewhere)[1:], b"absolute", origin="declared", at=elsewhere)
    # Declared through a link: the supervisor wrote where the file really is.
    run.leave("ckpt/last.pt", b"linked", origin="declared", at=tmp_path / "fast" / "last.pt")
    manifest = run.end()
    assert commit.store(run.folder, blobs) == manifest
    assert stored(blobs) == {entry.sha256 for entry in manifest.entries}
    assert verify(manifest.entries, blobs) == []


def test_a_commit_may_be_repeated_even_when_the_files_are_gone(run: Run, blobs: Blobs) -> None:
    source = run.leave("outputs/model.pt", b"model")
    manifest = run.end()
    commit.store(run.folder, blobs)
    source.unlink()
    assert commit.store(run.folder, blobs) == manifest


def test_a_run_without_outputs_commits(run: Run, blobs: Blobs) -> None:
    run.end()
    assert commit.store(run.folder, blobs).entries == ()


def test_what_changed_and_vanished_is_named_and_the_rest_is_stored(run: Run, blobs: Blobs) -> None:
    run.leave("outputs/a", b"first").write_bytes(b"FIRST")
    run.leave("outputs/b", b"first").write_bytes(b"longer than first")
    run.leave("outputs/c", b"gone").unlink()
    run.leave("outputs/d", b"whole")
    run.end()
    with pytest.raises(Conflict) as caught:
        commit.store(run.folder, blobs)
    message = caught.value.message
    assert message.startswith("3 of 4 outputs are no longer what the run left: ")
    assert "outputs/a: its content changed after the run's end" in message
    assert "outputs/b: it has 17 bytes now, it had 5" in message
    assert "outputs/c: it is gone" in message
    assert caught.value.facts["paths"] == ["outputs/a", "outputs/b", "outputs/c"]
    assert stored(blobs) == {name_of(b"whole")}


@pytest.mark.parametrize("trap", ["file link", "folder link", "fifo", "socket folder"])
def test_a_trap_set_after_the_end_is_not_followed(
    run: Run, blobs: Blobs, tmp_path: Path, trap: str
) -> None:
    """Even where the content would be the expected one."""
    source = run.leave("outputs/deep/file", b"same")
    run.end()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "file").write_bytes(b"same")
    source.unlink()
    if trap == "file link":
        source.symlink_to(tmp_path / "elsewhere" / "file")
    elif trap == "folder link":
        source.parent.rmdir()
        source.parent.symlink_to(tmp_path / "elsewhere")
    elif trap == "fifo":
        os.mkfifo(source)
    else:
        source.mkdir()
    with pytest.raises(Conflict, match="outputs/deep/file"):
        commit.store(run.folder, blobs)
    assert stored(blobs) == set()


def test_a_hard_link_to_a_file_of_somebody_else_is_refused(run: Run, blobs: Blobs) -> None:
    if os.getuid() != 0:
        pytest.skip("injector absent: needs root to give a file to somebody else")
    source = run.leave("outputs/file", b"same")
    run.end()
    os.link(source, run.work / "other name")
    os.chown(source, 12345, 12345)
    with pytest.raises(Conflict, match="hard link"):
        commit.store(run.folder, blobs)


def test_an_unreachable_place_is_not_called_a_loss(run: Run, blobs: Blobs, tmp_path: Path) -> None:
    run.leave("outputs/file", b"content")
    manifest = run.end()
    run.work.rename(tmp_path / "unmounted")
    with pytest.raises(Unreachable, match="can't be reached"):
        commit.store(run.folder, blobs)
    (tmp_path / "unmounted").rename(run.work)
    assert commit.store(run.folder, blobs) == manifest


def test_a_missing_or_damaged_manifest_is_said(run: Run, blobs: Blobs) -> None:
    with pytest.raises(NotFound):
        commit.store(run.folder, blobs)
    run.leave("outputs/file", b"content")
    run.end()
    manifest = Path(run.folder.file(MANIFEST))
    manifest.write_bytes(manifest.read_bytes().replace(b'"outputs/file"', b'"outputs/fill"'))
    with pytest.raises(Corrupt):
        commit.store(run.folder, blobs)


@pytest.mark.root
def test_a_full_disk_stops_the_commit_and_room_lets_it_finish(run: Run, tmp_path: Path) -> None:
    for number in range(4):
        run.leave(f"outputs/{number}", bytes([number]) * 1_500_000)
    manifest = run.end()
    with mounted(tmp_path / "small", "tmpfs", "size=4m") as small:
        blobs = Blobs(small / "blobs")
        with pytest.raises(DiskFull):
            commit.store(run.folder, blobs)
        stored(blobs)  # whatever is there is whole
        os.system(f"mount -o remount,size=16m {small}")
        assert commit.store(run.folder, blobs) == manifest
        assert stored(blobs) == {entry.sha256 for entry in manifest.entries}


def test_progress_ends_at_the_total(run: Run, blobs: Blobs) -> None:
    run.leave("outputs/a", b"12345")
    run.leave("outputs/b", b"678")
    run.end()
    told: list[tuple[int, int, str]] = []
    commit.store(run.folder, blobs, progress=lambda *args: told.append(args))
    assert told == [(5, 8, "outputs/a"), (8, 8, "outputs/b")]


def test_verify_names_what_is_damaged_or_missing(run: Run, blobs: Blobs) -> None:
    for content in (b"whole", b"damaged", b"deleted"):
        run.leave(f"outputs/{content.decode()}", content)
    manifest = run.end()
    commit.store(run.folder, blobs)
    damaged = Path(blobs.path(name_of(b"damaged")))
    damaged.chmod(0o600)
    damaged.write_bytes(b"DAMAGED")
    Path(blobs.path(name_of(b"deleted"))).unlink()
    problems = dict(verify(manifest.entries, blobs))
    assert list(problems) == ["outputs/damaged", "outputs/deleted"]
    assert "damaged" in problems["outputs/damaged"]
    assert "isn't stored" in problems["outputs/deleted"]
    wrong = manifest.entries[2]._replace(size_bytes=1)
    assert verify([wrong], blobs) == [("outputs/whole", "it has 5 bytes, not 1")]
