"""Reading, copying and hashing files: what was kept, what broke off, what leads elsewhere."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from outlast.data import content
from outlast.data.content import Hashes, download, facts, fetch, identity
from outlast.data.files import Found, found
from outlast.errors import Conflict, NotFound, Unreachable
from outlast.run.dataset import of_paths
from tests.data.web import Web, served

OLD_NS = 1_600_000_000_000_000_000


@pytest.fixture(scope="module")
def web() -> Iterator[Web]:
    with served() as made:
        yield made


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(content, "PAUSE_S", 0.0)
    monkeypatch.setattr(content, "_YOUNG_NS", 0)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


def remote(url: str) -> Found:
    return Found(url.rpartition("/")[2], url, True)


def test_a_file_that_nobody_touched_is_read_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "data" / "x.csv"
    file.parent.mkdir()
    file.write_text("one")
    read: list[str] = []
    real = content._hashed

    def reading(path: str) -> tuple[str, int]:
        read.append(path)
        return real(path)

    monkeypatch.setattr(content, "_hashed", reading)
    definition = of_paths(file.parent)
    seen = []
    for _ in range(2):
        with Hashes(str(tmp_path)) as hashes:
            seen.append(facts(found(definition), hashes))
    assert seen[0] == seen[1]
    assert len(read) == 1
    file.write_text("two")
    with Hashes(str(tmp_path)) as hashes:
        assert facts(found(definition), hashes) != seen[0]
    assert len(read) == 2


def test_a_change_that_keeps_size_and_date_is_seen(tmp_path: Path) -> None:
    file = tmp_path / "x.csv"
    file.write_text("one")
    os.utime(file, ns=(OLD_NS, OLD_NS))
    with Hashes(str(tmp_path)) as hashes:
        before = hashes.of(str(file))
        file.write_text("two")
        os.utime(file, ns=(OLD_NS, OLD_NS))
        assert hashes.of(str(file)) != before


def test_without_a_place_for_hashes_files_are_read(tmp_path: Path) -> None:
    file = tmp_path / "x.csv"
    file.write_text("one")
    (tmp_path / "home").write_text("no folder")
    with Hashes(str(tmp_path / "home")) as hashes:
        assert hashes.of(str(file)) == content._hashed(str(file))


def test_the_digest_tells_names_contents_and_nothing_of_the_place(tmp_path: Path) -> None:
    for place in ("a", "b"):
        (tmp_path / place / "deep").mkdir(parents=True)
        (tmp_path / place / "deep" / "x").write_text("same")
    first, second = (facts(found(of_paths(tmp_path / place))) for place in ("a", "b"))
    assert first == second
    (tmp_path / "b" / "deep" / "x").rename(tmp_path / "b" / "deep" / "y")
    assert facts(found(of_paths(tmp_path / "b"))).digest != first.digest


def test_a_url_stands_for_what_its_server_says_of_it(web: Web, tmp_path: Path) -> None:
    url = web.put("/x.csv", b"n\n1\n", ETag='"one"')
    web.asked.clear()
    assert identity(remote(url)) == ('"one"', 4)
    assert web.asked == ["HEAD /x.csv"]
    web.put("/x.csv", b"n\n2\n", ETag='"two"')
    assert identity(remote(url)) == ('"two"', 4)


def test_a_url_of_which_nothing_is_said_is_read(web: Web) -> None:
    url = web.put("/plain.csv", b"n\n1\n")
    first = identity(remote(url))
    web.put("/plain.csv", b"n\n2\n")
    assert identity(remote(url)) != first


def test_what_is_fetched_is_whole_or_not_there(web: Web, tmp_path: Path) -> None:
    target = tmp_path / "deep" / "x.csv"
    assert fetch(remote(web.put("/whole.csv", b"n\n1\n")), str(target)) == 4
    assert target.read_bytes() == b"n\n1\n"
    broken = web.put("/broken.csv", b"half", Content_Length="1000")
    with pytest.raises(Unreachable, match="broke off"):
        fetch(remote(broken), str(tmp_path / "broken.csv"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["deep"]


def test_a_missing_url_is_not_asked_for_again_and_a_busy_server_is(web: Web) -> None:
    web.asked.clear()
    with pytest.raises(NotFound, match="404"):
        identity(remote(web.url + "/nothing"))
    assert len(web.asked) == 1
    with pytest.raises(Unreachable, match="503"):
        identity(remote(web.put("/busy", b"", 503)))
    assert len(web.asked) == 1 + content.TRIES


def test_a_redirect_never_leads_to_a_local_file(web: Web, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("s3cret")
    url = web.put("/away", b"", 302, Location=f"file://{secret}")
    with pytest.raises((NotFound, Unreachable)):
        fetch(remote(url), str(tmp_path / "got"))
    assert not (tmp_path / "got").exists()
    web.put("/there", b"ok")
    assert fetch(remote(web.put("/moved", b"", 302, Location="/there")), str(tmp_path / "got")) == 2


def test_a_server_that_is_not_there_is_unreachable(tmp_path: Path) -> None:
    with pytest.raises(Unreachable, match="can't be reached"):
        fetch(remote("http://127.0.0.1:9/x.csv"), str(tmp_path / "x"))


def test_a_download_replaces_nothing_unasked(tmp_path: Path) -> None:
    data, here = tmp_path / "data", tmp_path / "here"
    data.mkdir()
    here.mkdir()
    for name in ("a", "b"):
        (data / name).write_text("new")
    (here / "b").write_text("old")
    files = found(of_paths(data))
    with pytest.raises(Conflict, match="exists"):
        download(files, str(here))
    assert sorted(path.name for path in here.iterdir()) == ["b"]
    assert download(files, str(here), is_overwriting=True) == [str(here / "a"), str(here / "b")]
    assert (here / "b").read_text() == "new"


def test_a_link_in_the_target_leads_no_file_out_of_it(tmp_path: Path) -> None:
    (tmp_path / "data" / "sub").mkdir(parents=True)
    (tmp_path / "data" / "sub" / "x").write_text("new")
    (tmp_path / "outside").mkdir()
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "sub").symlink_to(tmp_path / "outside")
    with pytest.raises(Unreachable, match="leads out"):
        download(found(of_paths(tmp_path / "data")), str(tmp_path / "here"))
    assert not list((tmp_path / "outside").iterdir())


def test_an_object_store_is_read_by_fsspec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    memory: Any = pytest.importorskip("fsspec.implementations.memory")
    monkeypatch.setattr("outlast.data.files.filesystem", lambda url: memory.MemoryFileSystem())
    monkeypatch.setattr("outlast.data.content.filesystem", lambda url: memory.MemoryFileSystem())
    store = memory.MemoryFileSystem()
    store.pipe("/bucket/a/x.csv", b"n\n1\n")
    store.pipe("/bucket/a/deep/y.csv", b"n\n2\n")
    whole = found(of_paths("s3://bucket/a"))
    assert [one.name for one in whole] == ["deep/y.csv", "x.csv"]
    assert facts(whole).size_bytes == 8
    assert [one.name for one in found(of_paths("s3://bucket/a/*.csv"))] == ["x.csv"]
    download(whole, str(tmp_path))
    assert (tmp_path / "deep" / "y.csv").read_bytes() == b"n\n2\n"
    with pytest.raises(NotFound):
        found(of_paths("s3://bucket/nothing"))
