"""Paths that others named stay inside, whatever they are and whatever happens meanwhile."""

from __future__ import annotations

import contextlib
import ctypes
import os
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outlast.artifacts import inside
from outlast.artifacts.inside import create_beneath, make_folders, open_beneath, parts, walk_beneath
from outlast.errors import Invalid, NotFound, OutlastError

HOSTILE = [
    "",
    ".",
    "..",
    "/",
    "/etc/passwd",
    "//etc/passwd",
    "../etc/passwd",
    "a/../../etc/passwd",
    "a/..",
    "a/./b",
    "a//b",
    "a/",
    "./a",
    "a/b/../../../c",
    "..\\..\\windows",
    "a\\b",
    "C:/windows",
    "a:stream",
    "file:///etc/passwd",
    "a\0b",
    "a\nb",
    "a\x1bb",
    "a\x7fb",
    "a\x85b",
    "a\u202eb",
    "a\ud800b",
    "a\udcffb",
    "x" * 256,
    "é" * 128,
    "/".join(["abcdefgh"] * 500),
]


@pytest.mark.parametrize("path", HOSTILE)
def test_a_hostile_path_is_refused(path: str) -> None:
    with pytest.raises(Invalid, match="path = "):
        parts(path)


@pytest.mark.parametrize(
    "path", ["a", "a/b", "...", "..a", "a..", ".hidden", "%2e%2e", "~", "x" * 255, "é/ü", "a b"]
)
def test_a_plain_path_is_split(path: str) -> None:
    assert "/".join(parts(path)) == path


def test_a_colon_is_allowed_only_where_the_caller_says_so() -> None:
    assert parts("12:30.json", allow=":") == ("12:30.json",)
    with pytest.raises(Invalid):
        parts("12:30\\.json", allow=":")


def names_in(folder: Path) -> list[str]:
    return sorted(found.name for found in folder.iterdir())


@pytest.fixture(params=["openat2", "walking"])
def _resolver(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "openat2":
        if not inside._has_openat2():
            pytest.skip("injector absent: this kernel has no openat2")
    else:
        monkeypatch.setattr(inside, "_has_openat2", lambda: False)


pytestmark = pytest.mark.usefixtures("_resolver")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """root/ with a file and all that a job may plant, beside a canary that must never be read."""
    (tmp_path / "canary").write_text("secret")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "file").write_text("secret")
    root = tmp_path / "root"
    (root / "a" / "b").mkdir(parents=True)
    (root / "a" / "b" / "file").write_text("inside")
    (root / "link").symlink_to("../canary")
    (root / "absolute").symlink_to(tmp_path / "canary")
    (root / "inner").symlink_to("a/b/file")
    (root / "folder").symlink_to("../elsewhere")
    (root / "a" / "up").symlink_to("..")
    (root / "magic").symlink_to("/proc/self/root")
    os.mkfifo(root / "fifo")
    with socket.socket(socket.AF_UNIX) as planted, contextlib.chdir(root):
        planted.bind("socket")
    return root


def _content(fd: int) -> str:
    with open(fd) as file:
        return file.read()


def test_a_file_inside_is_opened(tree: Path) -> None:
    assert _content(open_beneath(str(tree), "a/b/file")) == "inside"
    root = os.open(tree, os.O_RDONLY)
    try:
        assert _content(open_beneath(root, ("a", "b", "file"))) == "inside"
    finally:
        os.close(root)


@pytest.mark.parametrize(
    "path",
    [
        "link",
        "absolute",
        "inner",
        "folder/file",
        "a/up/a/b/file",
        "magic/etc/passwd",
        "fifo",
        "socket",
        "a",
        "a/b/file/x",
    ],
)
def test_links_and_special_files_are_refused_at_once(tree: Path, path: str) -> None:
    with pytest.raises(Invalid):
        open_beneath(str(tree), path)


def test_a_device_is_refused() -> None:
    with pytest.raises(Invalid, match="regular"):
        open_beneath("/dev", "null")


@pytest.mark.parametrize("names", [("..", "canary"), ("a/../../canary",), ("",), (), ("a\0",)])
def test_names_that_are_not_single_steps_are_refused(tree: Path, names: tuple[str, ...]) -> None:
    with pytest.raises(Invalid):
        open_beneath(str(tree), names)


def test_absence_is_told_apart_from_refusal(tree: Path) -> None:
    with pytest.raises(NotFound):
        open_beneath(str(tree), "a/none")
    with pytest.raises(NotFound):
        open_beneath(str(tree / "none"), "a")


def test_refusals_leave_no_descriptor_open(tree: Path) -> None:
    before = len(names_in(Path("/proc/self/fd")))
    for path in ("link", "folder/file", "fifo", "a", "none", "magic/etc/passwd"):
        with pytest.raises(OutlastError):
            open_beneath(str(tree), path)
        with pytest.raises(OutlastError):
            create_beneath(str(tree), path + "/x/y" if path in ("link", "folder/file") else "fifo")
    assert len(names_in(Path("/proc/self/fd"))) == before


def test_truncating_is_not_possible(tree: Path) -> None:
    with pytest.raises(ValueError, match="O_TRUNC"):
        open_beneath(str(tree), "a/b/file", os.O_WRONLY | os.O_TRUNC)


def test_a_hard_link_to_another_users_file_is_refused(tree: Path) -> None:
    if os.getuid() != 0:
        pytest.skip("injector absent: needs root to give a file to somebody else")
    mine = tree / "mine"
    mine.write_text("x")
    os.link(mine, tree / "second")
    assert _content(open_beneath(str(tree), "second")) == "x"
    os.chown(mine, 12345, 12345)
    with pytest.raises(Invalid, match="hard link"):
        open_beneath(str(tree), "second")
    (tree / "second").unlink()
    assert _content(open_beneath(str(tree), "mine")) == "x"


def test_nothing_is_created_through_a_link(tree: Path) -> None:
    for path in ("folder/new", "link", "a/up/new", "folder/new/deeper", "a/b/file/x"):
        with pytest.raises(Invalid):
            create_beneath(str(tree), path)
    assert names_in(tree.parent / "elsewhere") == ["file"]
    assert (tree.parent / "canary").read_text() == "secret"


def test_a_new_file_comes_with_its_folders(tree: Path) -> None:
    fd = create_beneath(str(tree), "x/y/z")
    os.write(fd, b"new")
    os.close(fd)
    assert (tree / "x" / "y" / "z").read_bytes() == b"new"
    with pytest.raises(Invalid, match="there already"):
        create_beneath(str(tree), "x/y/z")


def test_a_walk_names_everything_and_follows_nothing(tree: Path) -> None:
    assert [found.path for found in walk_beneath(str(tree))] == [
        "absolute",
        "fifo",
        "folder",
        "inner",
        "link",
        "magic",
        "socket",
        "a/up",
        "a/b/file",
    ]


def test_a_walk_asks_before_it_enters(tree: Path) -> None:
    asked = []

    def enter(names: tuple[str, ...], _folder: int) -> bool:
        asked.append(names)
        return names != ("a",)

    assert "a/b/file" not in {found.path for found in walk_beneath(str(tree), enter)}
    assert asked == [(), ("a",)]


@pytest.fixture
def deep(tmp_path: Path) -> Iterator[Path]:
    """For a tree that pytest's own clean-up couldn't descend."""
    yield tmp_path
    subprocess.run(["rm", "-rf", str(tmp_path)], check=True)


def test_a_walk_of_a_deep_tree_needs_few_descriptors(deep: Path) -> None:
    here = os.open(deep, os.O_RDONLY)
    for _ in range(1500):
        os.mkdir("d", dir_fd=here)
        below = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(os.open("leaf", os.O_CREAT | os.O_WRONLY, dir_fd=here))
    os.close(here)
    (found,) = walk_beneath(str(deep))
    assert len(found.names) == 1501


def test_a_folder_that_cannot_be_read_is_said(deep: Path) -> None:
    here = os.open(deep, os.O_RDONLY)
    for _ in range(20):  # deeper than a path may be long
        os.mkdir("d" * 250, dir_fd=here)
        below = os.open("d" * 250, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    with pytest.raises(Invalid):
        list(walk_beneath(str(deep)))


@contextlib.contextmanager
def _in_background(work: Callable[[], None]) -> Iterator[None]:
    stop = threading.Event()

    def loop() -> None:
        while not stop.is_set():
            work()

    thread = threading.Thread(target=loop)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _exchange(one: Path, other: Path) -> None:
    at_cwd, rename_exchange = -100, 2
    libc = inside._libc()
    if libc.renameat2(at_cwd, bytes(one), at_cwd, bytes(other), rename_exchange) != 0:
        raise OSError(ctypes.get_errno(), "renameat2")


@pytest.mark.slow
def test_a_folder_swapped_with_a_link_is_never_followed(tmp_path: Path) -> None:
    """10,000 look-ups of each kind while somebody swaps a folder and a link to another one."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "file").write_text("the secret of another")
    root = tmp_path / "root"
    (root / "real").mkdir(parents=True)
    (root / "real" / "file").write_text("inside")
    (root / "trap").symlink_to("../elsewhere")
    (root / "name").mkdir()
    (root / "name" / "file").write_text("inside")

    def swap() -> None:
        _exchange(root / "name", root / "trap")

    seen = {"inside": 0, "refused": 0}
    with _in_background(swap):
        for turn in range(10_000):
            try:
                seen[_content(open_beneath(str(root), "name/file"))] += 1
            except (Invalid, NotFound):
                seen["refused"] += 1
            if turn % 10 == 0:
                with contextlib.suppress(Invalid, NotFound):
                    os.close(create_beneath(str(root), f"name/new{turn}"))
                sizes = {found.stat.st_size for found in walk_beneath(str(root))}
                assert len("the secret of another") not in sizes
    assert seen["inside"] > 100
    assert seen["refused"] > 100
    assert sum(seen.values()) == 10_000
    assert names_in(tmp_path / "elsewhere") == ["file"]


_NAMES = st.lists(
    st.one_of(
        st.sampled_from(["..", ".", "", "a", "b", "up", "link", "folder", "file", "fifo", "magic"]),
        st.text(max_size=6),
    ),
    min_size=1,
    max_size=6,
)


@pytest.fixture(scope="module")
def hostile_root(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder where some texts lead to files, and others would lead out."""
    base = Path(os.path.realpath(tmp_path_factory.mktemp("hostile")))
    (base / "canary").write_text("secret")
    (base / "root" / "a" / "b").mkdir(parents=True)
    for name in ("file", "a/file", "a/b/file"):
        (base / "root" / name).write_text("inside")
    (base / "root" / "link").symlink_to("../canary")
    (base / "root" / "folder").symlink_to("..")
    (base / "root" / "a" / "up").symlink_to("../..")
    (base / "root" / "magic").symlink_to("/proc/self/root")
    os.mkfifo(base / "root" / "fifo")
    return str(base / "root")


@given(names=_NAMES, is_absolute=st.booleans())
def test_no_text_leads_outside(hostile_root: str, names: list[str], is_absolute: bool) -> None:
    text = ("/" if is_absolute else "") + "/".join(names)
    try:
        fd = open_beneath(hostile_root, text)
    except (Invalid, NotFound):
        return
    assert os.path.realpath(f"/proc/self/fd/{fd}").startswith(hostile_root + "/")
    assert _content(fd) == "inside"


def test_folders_are_made_only_downwards(tree: Path) -> None:
    os.close(make_folders(str(tree), ("x", "y")))
    assert (tree / "x" / "y").is_dir()
    os.close(make_folders(str(tree), ()))
    for names in (("..", "z"), ("folder", "z"), ("a", "b", "file")):
        with pytest.raises(Invalid):
            make_folders(str(tree), names)
    assert not (tree.parent / "z").exists()
