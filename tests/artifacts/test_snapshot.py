"""A snapshot is the source and nothing but the source, and comes back exactly."""

from __future__ import annotations

import os
import socket
import stat
import time
from pathlib import Path

import pytest

from outlast.artifacts import snapshot
from outlast.artifacts.__main__ import main
from outlast.artifacts.blobs import Blobs
from outlast.artifacts.inside import open_beneath
from outlast.artifacts.snapshot import Snapshot, checkout, load, plan, take, told
from outlast.artifacts.unchanged import Unchanged
from outlast.errors import Conflict, Corrupt, DiskFull, Invalid, NotFound
from tests.artifacts.test_blobs import mounted, stored

SECRETS = [
    ".env",
    ".env.local",
    ".ENV",
    ".envrc",
    "prod.env",
    ".netrc",
    "server.pem",
    "SERVER.PEM",
    "tls.key",
    "cert.p12",
    "id_rsa",
    "id_rsa.pub",
    "id_rsa.bak",
    "id_ed25519",
    "id_work",
    ".aws/credentials",
    ".ssh/config",
    ".azure/token.json",
    ".config/gcloud/credentials.db",
    ".kube/config",
    "kubeconfig",
    ".pypirc",
    ".npmrc",
    ".git/config",
    ".git-credentials",
    ".docker/config.json",
    ".pgpass",
    "service_account_x.json",
    "client_secret_1.json",
    ".huggingface/token",
    "terraform.tfstate",
]


def plant(folder: Path, *paths: str, content: str = "content") -> None:
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(content)


def paths(taken: Snapshot) -> list[str]:
    return [entry.path for entry in taken.entries]


def settle(folder: Path) -> None:
    """Make what is there look as if it were written a minute ago, as far as a program can."""
    for found in folder.rglob("*"):
        os.utime(found, (time.time() - 60,) * 2)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    return folder


@pytest.fixture
def blobs(tmp_path: Path) -> Blobs:
    return Blobs(tmp_path / "home" / "blobs")


@pytest.mark.parametrize("prefix", ["", "src/deep/"])
def test_secrets_are_never_taken(source: Path, blobs: Blobs, prefix: str) -> None:
    plant(source, *(prefix + path for path in SECRETS), content="hunter2")
    # Not even when an ignore file asks for them.
    plant(source, ".gitignore", content="!.env\n!*.pem\n!id_rsa\n")
    plant(source, "train.py", "id_map.py", "id_models/net.py", "environment.yml", "keys.py")
    taken = take(str(source), blobs)
    assert paths(taken) == [
        ".gitignore",
        "environment.yml",
        "id_map.py",
        "id_models/net.py",
        "keys.py",
        "train.py",
    ]
    for name in stored(blobs):
        assert b"hunter2" not in Path(blobs.path(name)).read_bytes()
    reasons = {left.reason for left in taken.left_out}
    assert reasons == {"may hold secrets", "version control"}


def test_what_is_no_source_is_left_out(source: Path, blobs: Blobs, tmp_path: Path) -> None:
    plant(source, "a.py", "__pycache__/a.pyc", "outputs/model.pt", "logs/x.log", "env/pyvenv.cfg")
    plant(source, "env/lib/site.py", "conda/conda-meta/history", "pkg/outputs/kept.py")
    os.mkfifo(source / "fifo")
    # A Unix socket's path may not be long.
    here = os.open(source, os.O_RDONLY)
    with socket.socket(socket.AF_UNIX) as planted:
        planted.bind(f"/proc/self/fd/{here}/socket")
    os.close(here)
    taken = take(str(source), blobs)
    assert paths(taken) == ["a.py", "pkg/outputs/kept.py"]
    assert dict(taken.left_out) == {
        "__pycache__/": "cache",
        "conda/": "Python environment",
        "env/": "Python environment",
        "fifo": "not a regular file",
        "logs/": "runs write their logs here",
        "outputs/": "runs write their outputs here",
        "socket": "not a regular file",
    }


def test_the_home_of_outlast_is_left_out(source: Path) -> None:
    plant(source, "a.py")
    blobs = Blobs(source / "state" / "blobs")
    taken = take(str(source), blobs)
    assert paths(taken) == ["a.py"]
    assert paths(take(str(source), blobs)) == ["a.py"]
    assert ("state/", "Outlast's own folder") in taken.left_out


def test_links_are_kept_inside_and_left_out_otherwise(
    source: Path, blobs: Blobs, tmp_path: Path
) -> None:
    plant(tmp_path, "secret", "elsewhere/file", content="hunter2")
    plant(source, "a.py", "pkg/sub/m.py")
    (source / "inside").symlink_to("pkg/sub/m.py")
    (source / "pkg" / "up").symlink_to("../a.py")
    (source / "pkg" / "sub" / "root").symlink_to("../..")
    (source / "trick").symlink_to("pkg/sub/root/../secret")
    (source / "out").symlink_to("../secret")
    (source / "folder").symlink_to("../elsewhere")
    (source / "absolute").symlink_to(source / "a.py")
    (source / "dangling").symlink_to("none")
    (source / "loop").symlink_to("loop")
    taken = take(str(source), blobs)
    assert paths(taken) == ["a.py", "inside", "pkg/sub/m.py", "pkg/sub/root", "pkg/up"]
    assert dict(taken.left_out) == {
        "absolute": "link with an absolute target",
        "dangling": "link to nothing",
        "folder": "link out of the folder",
        "loop": "link to nothing",
        "out": "link out of the folder",
        "trick": "link out of the folder",
    }
    checkout(taken, blobs, str(tmp_path / "work"))
    assert (tmp_path / "work" / "inside").readlink() == Path("pkg/sub/m.py")
    assert (tmp_path / "work" / "pkg" / "up").read_text() == "content"


def test_gitignore_files_are_honoured_in_every_folder(source: Path, blobs: Blobs) -> None:
    plant(source, ".gitignore", content="*.log\n/data/\n!keep.log\n# comment\n\nbuild/\n")
    plant(source, "pkg/.gitignore", content="!wanted.log\n/local.py\ndeep/*.tmp\n")
    plant(source, "a.log", "keep.log", "data/x", "pkg/data/x", "pkg/wanted.log", "pkg/other.log")
    plant(source, "pkg/local.py", "pkg/sub/local.py", "pkg/deep/a.tmp", "pkg/sub/deep/a.tmp")
    plant(source, "x/build/o", "build.py")
    taken = take(str(source), blobs)
    assert paths(taken) == [
        ".gitignore",
        "build.py",
        "keep.log",
        "pkg/.gitignore",
        "pkg/data/x",
        "pkg/sub/deep/a.tmp",
        "pkg/sub/local.py",
        "pkg/wanted.log",
    ]
    assert dict(taken.left_out)["pkg/local.py"] == "ignored by pkg/.gitignore"
    assert dict(taken.left_out)["data/"] == "ignored by .gitignore"


def test_an_amlignore_replaces_the_gitignore(source: Path, blobs: Blobs) -> None:
    plant(source, ".gitignore", content="a.py\n")
    plant(source, ".amlignore", content="b.py\n")
    plant(source, "a.py", "b.py", "sub/a.py", "sub/b.py")
    assert paths(take(str(source), blobs)) == [".amlignore", ".gitignore", "a.py", "sub/a.py"]


def test_a_wrong_pattern_is_named_with_its_line(source: Path, blobs: Blobs) -> None:
    plant(source, ".gitignore", content="*.log\n!\n")
    with pytest.raises(Invalid, match=r"\.gitignore:2: !"):
        take(str(source), blobs)


def test_names_and_modes_come_back_exactly(source: Path, blobs: Blobs, tmp_path: Path) -> None:
    names = [b"plain", b"sp ace", b"new\nline", b"back\\slash", b"co:lon", b"\xff\xfe", b"-rf"]
    for number, name in enumerate([*names, "é".encode(), b"x" * 255]):
        path = os.fsencode(source) + b"/" + name
        Path(os.fsdecode(path)).write_bytes(os.urandom(number * 300_000))
        Path(os.fsdecode(path)).chmod([0o644, 0o755, 0o600, 0o444, 0o777, 0o640][number % 6])
    (source / "plain").chmod(0o4755)
    taken = take(str(source), blobs)
    target = tmp_path / "work"
    checkout(load(taken.digest, blobs), blobs, str(target))
    for found in source.iterdir():
        copy = target / found.name
        assert copy.read_bytes() == found.read_bytes()
        assert stat.S_IMODE(copy.stat().st_mode) == found.stat().st_mode & 0o777
    assert len(list(target.iterdir())) == len(names) + 2


def test_empty_folders_come_back(source: Path, blobs: Blobs, tmp_path: Path) -> None:
    plant(source, "a.py", ".gitignore", "data/raw/x.csv", content="*.csv\n")
    before = take(str(source), blobs)
    assert before.empty == ("data/raw",)
    (source / "output" / "deep").mkdir(parents=True)
    (source / "outputs").mkdir()  # made by whoever runs it
    taken = take(str(source), blobs)
    assert taken.empty == ("data/raw", "output/deep")
    assert taken.digest != before.digest
    assert load(taken.digest, blobs).empty == taken.empty
    checkout(load(taken.digest, blobs), blobs, str(tmp_path / "work"))
    folders = {str(path.relative_to(tmp_path / "work")) for path in (tmp_path / "work").rglob("*")}
    assert folders == {"a.py", ".gitignore", "data", "data/raw", "output", "output/deep"}


def test_the_digest_is_about_content_alone(source: Path, blobs: Blobs, tmp_path: Path) -> None:
    plant(source, "a.py", "pkg/b.py")
    first = take(str(source), blobs)
    other = tmp_path / "other"
    plant(other, "pkg/b.py", "a.py")
    plant(other, ".env")
    settle(other)
    assert take(str(other), blobs).digest == first.digest
    plant(other, "a.py", content="other")
    assert take(str(other), blobs).digest != first.digest
    assert load(first.digest, blobs).entries == first.entries


def test_a_working_copy_shares_nothing_with_the_store(
    source: Path, blobs: Blobs, tmp_path: Path
) -> None:
    plant(source, "a.py")
    taken = take(str(source), blobs)
    checkout(taken, blobs, str(tmp_path / "work"))
    (tmp_path / "work" / "a.py").write_text("changed")
    (source / "a.py").write_text("changed too")
    checkout(taken, blobs, str(tmp_path / "again"))
    assert (tmp_path / "again" / "a.py").read_text() == "content"


def test_a_checkout_is_whole_or_absent(source: Path, blobs: Blobs, tmp_path: Path) -> None:
    plant(source, "a.py", "b.py", content="of a and b")
    taken = take(str(source), blobs)
    damaged = Path(blobs.path(taken.entries[0].sha256))
    damaged.chmod(0o600)
    damaged.write_text("OF A AND B")
    with pytest.raises(Corrupt, match=r"a\.py"):
        checkout(taken, blobs, str(tmp_path / "work"))
    damaged.unlink()
    with pytest.raises(NotFound):
        checkout(taken, blobs, str(tmp_path / "work"))
    assert not (tmp_path / "work").exists()
    assert not list(tmp_path.glob("*.partial"))


def test_a_checkout_never_mixes_with_what_is_there(
    source: Path, blobs: Blobs, tmp_path: Path
) -> None:
    plant(source, "a.py")
    taken = take(str(source), blobs)
    (tmp_path / "empty").mkdir()
    checkout(taken, blobs, str(tmp_path / "empty"))
    assert (tmp_path / "empty" / "a.py").exists()
    for there in ("empty", "link", "file"):
        (tmp_path / "file").write_text("x")
        if there == "link":
            (tmp_path / "link").symlink_to("nowhere")
        with pytest.raises(Conflict):
            checkout(taken, blobs, str(tmp_path / there))


def test_a_forged_list_cannot_lead_outside(blobs: Blobs, tmp_path: Path) -> None:
    with blobs.batch() as batch:
        content = batch.put_bytes(b"x")
        target = batch.put_bytes(os.fsencode(tmp_path))
    (tmp_path / "inner").mkdir()
    for path in ("../evil", "/tmp/evil", "a/../../evil", "link/evil"):
        entries = (
            snapshot.SnapshotEntry("link", target.size_bytes, target.sha256, stat.S_IFLNK | 0o777),
            snapshot.SnapshotEntry(path, 1, content.sha256, stat.S_IFREG | 0o644),
        )
        with pytest.raises(Invalid):
            checkout(Snapshot("", entries), blobs, str(tmp_path / "inner" / "work"))
        with pytest.raises(Invalid):
            checkout(Snapshot("", entries[:1], empty=(path,)), blobs, str(tmp_path / "inner" / "w"))
    assert not list(tmp_path.rglob("evil"))


def test_too_large_a_folder_is_refused_with_the_place_that_is_large(
    source: Path, blobs: Blobs
) -> None:
    plant(source, "a.py", "src/small.bin", "data/raw/x.bin")
    (source / "data" / "raw" / "big.bin").write_bytes(bytes(3_000_000))
    with pytest.raises(Invalid, match=r"data/raw/big\.bin \(1 files, 3 MB\)") as caught:
        take(str(source), blobs, limit_bytes=2_000_000)
    assert ".gitignore" in str(caught.value.hint)
    plant(source, *(f"cache/deep/{number}" for number in range(50)))
    with pytest.raises(Invalid, match=r"more than .*cache/deep/ \(4\d files"):
        take(str(source), blobs, limit_files=20)
    assert stored(blobs) == set()


def test_a_plan_reads_no_content_and_gives_reasons(source: Path) -> None:
    plant(source, "a.py", ".env", "outputs/x")
    (source / "a.py").chmod(0)
    planned = plan(str(source))
    assert [found.path for found in planned.files] == ["a.py"]
    assert planned.size_bytes == len("content")
    assert planned.left_out == (
        (".env", "may hold secrets"),
        ("outputs/", "runs write their outputs here"),
    )


def test_a_folder_that_is_absent_or_no_folder_is_said(blobs: Blobs, tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        take(str(tmp_path / "none"), blobs)
    plant(tmp_path, "file")
    with pytest.raises(Invalid):
        take(str(tmp_path / "file"), blobs)


def _wait_until_settled(folder: Path) -> None:
    """A ctime can't be set: the only way to an old one is to let the clock go on."""
    newest = max(found.lstat().st_ctime for found in folder.rglob("*"))
    while time.time() < newest + 2.1:
        time.sleep(newest + 2.1 - time.time())


@pytest.mark.slow
def test_unchanged_files_are_not_read_again(
    source: Path, blobs: Blobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(source, "a.py", "pkg/b.py")
    _wait_until_settled(source)
    first = take(str(source), blobs)
    opened = []

    def spy(root: int, names: tuple[str, ...]) -> int:
        opened.append("/".join(names))
        return open_beneath(root, names)

    monkeypatch.setattr("outlast.artifacts.snapshot.open_beneath", spy)
    assert take(str(source), blobs).digest == first.digest
    assert opened == []
    # Same size, same mtime: what a program can forge doesn't help.
    before = (source / "a.py").stat()
    (source / "a.py").write_text("CONTENT")
    os.utime(source / "a.py", ns=(before.st_atime_ns, before.st_mtime_ns))
    second = take(str(source), blobs)
    assert opened == ["a.py"]
    assert second.digest != first.digest
    # The content was deleted from the store meanwhile: it is stored again.
    blobs.delete_unreferenced(set(), older_than_s=-10)
    assert take(str(source), blobs).digest == second.digest
    assert blobs.verify(second.digest)
    checkout(second, blobs, str(source.parent / "work"))


def test_a_file_changed_within_one_tick_of_the_clock_is_seen(source: Path, blobs: Blobs) -> None:
    plant(source, "a.py", content="first")
    digests = set()
    for number in range(200):
        (source / "a.py").write_text(f"{number:05}")
        digests.add(take(str(source), blobs).digest)
    assert len(digests) == 200


def test_a_damaged_memory_only_costs_time(source: Path, blobs: Blobs, tmp_path: Path) -> None:
    plant(source, "a.py")
    first = take(str(source), blobs)
    memory = Path(Unchanged(str(tmp_path / "home" / snapshot.MEMORY), str(source))._file)
    memory.parent.mkdir(exist_ok=True)
    for damage in ("", "{", '{"format": 1, "files": {"a.py": [1]}}', '{"format": 9}', "[]"):
        memory.write_text(damage)
        assert take(str(source), blobs).digest == first.digest


@pytest.mark.root
def test_a_full_disk_while_laying_out_is_told(source: Path, blobs: Blobs, tmp_path: Path) -> None:
    (source / "big").write_bytes(bytes(3_000_000))
    taken = take(str(source), blobs)
    with mounted(tmp_path / "small", "tmpfs", "size=1m") as small:
        with pytest.raises(DiskFull, match="no room"):
            checkout(taken, blobs, str(small / "work"))
        assert list(small.iterdir()) == []


def test_progress_ends_at_the_total(source: Path, blobs: Blobs) -> None:
    plant(source, "a.py", "b.py")
    told: list[tuple[int, int, str]] = []
    take(str(source), blobs, progress=lambda *args: told.append(args))
    assert told[-1] == (14, 14, "b.py")


def test_the_plan_is_printed_one_name_a_line(
    source: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plant(source, "a.py", ".env", "evil\n\x1b[31mname")
    assert main([str(source)]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out == [
        "taken                7  a.py",
        "taken                7  evil\\nname",
        "left out                .env   (may hold secrets)",
        "2 files, 14 bytes",
    ]
    assert main([str(source / "none")]) == 2
    assert "there is no folder" in capsys.readouterr().err


def test_what_is_left_out_is_told_in_a_few_words_secrets_first(tmp_path: Path) -> None:
    for name in (".env", "data/a", "x/b.log", "c.log", "d.log", "e.log", "outputs/o", ".git/c"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / ".gitignore").write_text("data/\n*.log\n")
    assert told(plan(str(tmp_path)).left_out) == (
        ".env (may hold secrets)",
        "c.log, d.log, data/ and 2 more (ignored by .gitignore)",
    )


def test_a_reason_for_each_of_many_folders_is_told_in_a_few_words(tmp_path: Path) -> None:
    for n in range(20):
        (tmp_path / f"f{n}").mkdir()
        (tmp_path / f"f{n}" / ".gitignore").write_text("x\n")
        (tmp_path / f"f{n}" / "x").touch()
    lines = told(plan(str(tmp_path)).left_out)
    assert len(lines) == 7
    assert lines[-1] == "14 more, for other reasons"
