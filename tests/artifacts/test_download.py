"""A download believes nothing: not the names, not the bytes, not their number."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from outlast.artifacts.download import download
from outlast.errors import Conflict, Corrupt, DiskFull, Invalid, NotFound, Unreachable
from tests.artifacts.test_blobs import mounted, name_of
from tests.artifacts.test_inside import HOSTILE


class Server:
    """Serves contents in pieces; can be told to lie or to break off."""

    def __init__(self, **contents: bytes) -> None:
        self.contents = {path.replace("__", "/"): content for path, content in contents.items()}
        self.asked: list[tuple[str, int]] = []
        self.answer: Callable[[str, int], Iterator[bytes]] = self.honest

    @property
    def entries(self) -> list[dict[str, Any]]:
        return [
            {"path": path, "size_bytes": len(content), "sha256": name_of(content)}
            for path, content in self.contents.items()
        ]

    def open(self, path: str, offset: int) -> Iterator[bytes]:
        self.asked.append((path, offset))
        return self.answer(path, offset)

    def honest(self, path: str, offset: int) -> Iterator[bytes]:
        content = self.contents[path]
        for at in range(offset, len(content), 1000):
            yield content[at : at + 1000]

    def breaking_after(self, count: int) -> Callable[[str, int], Iterator[bytes]]:
        def answer(path: str, offset: int) -> Iterator[bytes]:
            for number, piece in enumerate(self.honest(path, offset)):
                if number == count:
                    raise ConnectionResetError("the line broke")
                yield piece

        return answer


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_files_arrive_with_their_content(tmp_path: Path) -> None:
    server = Server(outputs__model=os.urandom(5432), outputs__deep__empty=b"", readme=b"x")
    server.contents["at 12:30.json"] = b"{}"
    told: list[int] = []
    fetched = download(server.entries, server.open, tmp_path / "to", progress=told.append)
    assert [path.read_bytes() for path in fetched] == list(server.contents.values())
    assert files(tmp_path / "to") == sorted(server.contents)
    assert sum(told) == sum(map(len, server.contents.values()))


@pytest.mark.parametrize("path", [path for path in HOSTILE if path != "a:stream"])
def test_a_hostile_name_stops_everything(tmp_path: Path, path: str) -> None:
    if path in ("C:/windows", "file:///etc/passwd"):
        path = "/" + path
    server = Server(good=b"good")
    server.contents[path] = b"evil"
    with pytest.raises(Invalid):
        download(server.entries, server.open, tmp_path / "to")
    assert server.asked == []
    assert files(tmp_path) == []


def test_names_that_contradict_each_other_are_refused(tmp_path: Path) -> None:
    server = Server(a=b"1", a__b=b"2")
    with pytest.raises(Invalid, match="name of its folder"):
        download(server.entries, server.open, tmp_path)
    with pytest.raises(Invalid, match="twice"):
        download(Server(a=b"1").entries * 2, server.open, tmp_path)


def test_links_in_the_target_are_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "canary").write_bytes(b"before")
    target = tmp_path / "to"
    target.mkdir()
    (target / "folder").symlink_to("../elsewhere")
    (target / "file").symlink_to("../canary")
    for overwrite in (False, True):
        server = Server(folder__x=b"evil")
        with pytest.raises(Invalid):
            download(server.entries, server.open, target, overwrite=overwrite)
    server = Server(file=b"new")
    with pytest.raises(Invalid, match="link"):
        download(server.entries, server.open, target)
    download(server.entries, server.open, target, overwrite=True)
    assert (target / "file").read_bytes() == b"new"
    assert not (target / "file").is_symlink()
    assert (tmp_path / "canary").read_bytes() == b"before"
    assert files(tmp_path / "elsewhere") == []


def test_wrong_bytes_never_get_the_name(tmp_path: Path) -> None:
    server = Server(model=b"right")
    server.answer = lambda path, offset: iter([b"wrong"])
    with pytest.raises(Corrupt, match="model"):
        download(server.entries, server.open, tmp_path)
    assert not (tmp_path / "model").exists()
    server.answer = server.honest
    download(server.entries, server.open, tmp_path)
    assert (tmp_path / "model").read_bytes() == b"right"
    assert files(tmp_path) == ["model"]


def test_no_more_bytes_are_taken_than_were_promised(tmp_path: Path) -> None:
    given = 0

    def endless(path: str, offset: int) -> Iterator[bytes]:
        nonlocal given
        while True:
            given += 1000
            yield bytes(1000)

    server = Server(model=bytes(2500))
    server.answer = endless
    with pytest.raises(Corrupt, match="more bytes"):
        download(server.entries, server.open, tmp_path)
    assert given == 3000


def test_a_broken_line_is_continued_where_it_broke(tmp_path: Path) -> None:
    server = Server(model=os.urandom(5500))
    server.answer = server.breaking_after(2)
    download(server.entries, server.open, tmp_path)
    assert server.asked == [("model", 0), ("model", 2000), ("model", 4000)]
    assert (tmp_path / "model").read_bytes() == server.contents["model"]


def test_a_later_call_goes_on_from_the_part(tmp_path: Path) -> None:
    server = Server(model=os.urandom(5500), other=b"x")
    steps = iter([server.breaking_after(3), server.breaking_after(0)])
    server.answer = lambda path, offset: next(steps)(path, offset)
    with pytest.raises(Unreachable, match="3000 of 5500") as caught:
        download(server.entries, server.open, tmp_path)
    assert "goes on" in str(caught.value.hint)
    server.answer = server.honest
    server.asked.clear()
    told: list[int] = []
    download(server.entries, server.open, tmp_path, progress=told.append)
    assert server.asked == [("model", 3000), ("other", 0)]
    assert sum(told) == 5501
    assert files(tmp_path) == ["model", "other"]


def test_a_damaged_part_is_fetched_anew_once(tmp_path: Path) -> None:
    server = Server(model=os.urandom(2500))
    steps = iter([server.breaking_after(1), server.breaking_after(0)])
    server.answer = lambda path, offset: next(steps)(path, offset)
    with pytest.raises(Unreachable):
        download(server.entries, server.open, tmp_path)
    (part,) = tmp_path.iterdir()
    part.write_bytes(bytes(2600))
    server.answer = server.honest
    download(server.entries, server.open, tmp_path)
    assert (tmp_path / "model").read_bytes() == server.contents["model"]


def test_what_is_there_already_is_not_fetched(tmp_path: Path) -> None:
    server = Server(a=b"content")
    download(server.entries, server.open, tmp_path)
    server.asked.clear()
    assert download(server.entries, server.open, tmp_path) == [tmp_path / "a"]
    assert server.asked == []


def test_another_content_is_replaced_only_when_asked(tmp_path: Path) -> None:
    (tmp_path / "b").write_bytes(b"mine")
    server = Server(a=b"new", b=b"theirs")
    with pytest.raises(Conflict, match="b exists"):
        download(server.entries, server.open, tmp_path)
    assert files(tmp_path) == ["b"]
    download(server.entries, server.open, tmp_path, overwrite=True)
    assert (tmp_path / "b").read_bytes() == b"theirs"


def test_a_folder_in_the_way_is_said(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    server = Server(a=b"x")
    with pytest.raises(Invalid):
        download(server.entries, server.open, tmp_path)
    with pytest.raises(Conflict, match="folder"):
        download(server.entries, server.open, tmp_path, overwrite=True)


def test_what_the_server_no_longer_has_is_said(tmp_path: Path) -> None:
    def absent(path: str, offset: int) -> Iterator[bytes]:
        raise NotFound("the run has no stored output of this name")

    with pytest.raises(NotFound):
        download(Server(a=b"x").entries, absent, tmp_path)


@pytest.mark.root
def test_a_full_disk_is_told_and_the_part_kept(tmp_path: Path) -> None:
    server = Server(model=os.urandom(3_000_000))
    with mounted(tmp_path / "small", "tmpfs", "size=1m") as small:
        with pytest.raises(DiskFull, match="model"):
            download(server.entries, server.open, small)
        os.system(f"mount -o remount,size=8m {small}")
        server.asked.clear()
        download(server.entries, server.open, small)
        assert server.asked[0][1] > 900_000
        assert (small / "model").read_bytes() == server.contents["model"]
