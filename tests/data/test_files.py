"""Which files a definition names: folders, globs, links, and the edge of a datastore."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from outlast.data import files
from outlast.data.files import found
from outlast.errors import Invalid, NotFound
from outlast.run.dataset import Definition, Source, of_paths


def make(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return root


def names(definition: Definition) -> list[str]:
    return [one.name for one in found(definition)]


def in_store(root: Path, path: str) -> Definition:
    return of_paths(Source(path, "store", str(root)))


def test_a_folder_means_all_files_below_it(tmp_path: Path) -> None:
    make(tmp_path, "a/x.csv", "a/deep/y.csv", "z.csv")
    assert names(of_paths(tmp_path)) == ["a/deep/y.csv", "a/x.csv", "z.csv"]
    assert names(of_paths(str(tmp_path / "a") + "/")) == ["deep/y.csv", "x.csv"]


@pytest.mark.parametrize(
    ("glob", "expected"),
    [
        ("*.csv", ["z.csv"]),
        ("**/*.csv", ["a/deep/y.csv", "a/x.csv", "z.csv"]),
        ("a/**", ["deep/y.csv", "x.csv"]),
        ("a/*/", ["deep/y.csv"]),
        ("a/?.csv", ["x.csv"]),
        ("[!a]*", ["z.csv"]),
        ("**/y.*", ["a/deep/y.csv"]),
    ],
)
def test_a_glob_stays_within_names_unless_it_says_otherwise(
    tmp_path: Path, glob: str, expected: list[str]
) -> None:
    make(tmp_path, "a/x.csv", "a/deep/y.csv", "z.csv")
    assert names(of_paths(f"{tmp_path}/{glob}")) == expected
    assert names(in_store(tmp_path, glob)) == expected


def test_a_file_whose_name_looks_like_a_glob_is_that_file(tmp_path: Path) -> None:
    make(tmp_path, "a[1].csv", "a1.csv")
    assert names(of_paths(str(tmp_path / "a[1].csv"))) == ["a[1].csv"]


def test_one_named_file_is_told_from_a_folder_with_one(tmp_path: Path) -> None:
    make(tmp_path, "a/x.csv")
    assert [one.is_sole for one in found(of_paths(tmp_path / "a" / "x.csv"))] == [True]
    assert [one.is_sole for one in found(of_paths(tmp_path / "a"))] == [False]


def test_several_sources_keep_their_common_folder(tmp_path: Path) -> None:
    make(tmp_path, "a/x.csv", "b/x.csv")
    both = of_paths([tmp_path / "a", tmp_path / "b" / "x.csv"])
    assert names(both) == ["a/x.csv", "b/x.csv"]


def test_a_file_that_is_named_twice_is_one_file(tmp_path: Path) -> None:
    make(tmp_path, "a/x.csv")
    assert names(of_paths([tmp_path / "a", tmp_path / "a" / "x.csv"])) == ["x.csv"]


def test_two_files_of_one_name_are_refused() -> None:
    with pytest.raises(Invalid, match="would both be called"):
        found(of_paths(["https://a.example/x?1", "https://a.example/x?2"]))


@pytest.mark.parametrize("name", ["nothing", "nothing/*.csv", "a/*.parquet"])
def test_what_is_not_there_is_named(tmp_path: Path, name: str) -> None:
    make(tmp_path, "a/x.csv")
    with pytest.raises(NotFound, match="there is no"):
        found(of_paths(str(tmp_path / name)))
    with pytest.raises(NotFound, match="datastore 'store'"):
        found(in_store(tmp_path, name))


@pytest.mark.parametrize("path", ["../secret", "a/../../secret", "/etc/passwd", "a//b", "./a"])
def test_a_path_in_a_datastore_never_leads_up(tmp_path: Path, path: str) -> None:
    with pytest.raises(Invalid):
        in_store(tmp_path, path)


def test_links_do_not_lead_out_of_a_datastore(tmp_path: Path) -> None:
    secret = make(tmp_path / "outside", "secret.txt")
    store = make(tmp_path / "store", "a/x.csv")
    (store / "a" / "out").symlink_to(secret)
    (store / "file.txt").symlink_to(secret / "secret.txt")
    for path in ("a", "a/**", "a/out", "a/out/secret.txt", "file.txt", "*.txt", "", "**/*.txt"):
        with pytest.raises(Invalid, match="leads out"):
            found(in_store(store, path))
    assert names(in_store(store, "a/x.csv")) == ["x.csv"]


def test_links_within_a_datastore_are_followed(tmp_path: Path) -> None:
    store = make(tmp_path, "real/x.csv")
    (store / "named").symlink_to("real")
    assert names(in_store(store, "named")) == ["x.csv"]


def test_elsewhere_links_are_the_users_own_and_a_loop_ends(tmp_path: Path) -> None:
    data = make(tmp_path / "data", "a/x.csv")
    make(tmp_path / "big", "y.csv")
    (data / "linked").symlink_to(tmp_path / "big")
    (data / "a" / "up").symlink_to(data)
    assert names(of_paths(data)) == ["a/x.csv", "linked/y.csv"]


def test_a_link_to_nothing_is_said(tmp_path: Path) -> None:
    make(tmp_path, "x.csv")
    (tmp_path / "gone").symlink_to(tmp_path / "nowhere")
    with pytest.raises(NotFound, match="nowhere"):
        found(of_paths(tmp_path))


def test_fifos_are_no_files(tmp_path: Path) -> None:
    make(tmp_path, "x.csv")
    os.mkfifo(tmp_path / "fifo")
    assert names(of_paths(tmp_path)) == ["x.csv"]


def test_a_split_takes_every_file_once_and_the_same_ones_again(tmp_path: Path) -> None:
    make(tmp_path, *(f"{number:03}.txt" for number in range(100)))
    whole = of_paths(tmp_path)
    parts = [
        names(whole.then("split", fraction=0.8, seed=7, is_rest=is_rest))
        for is_rest in (False, True)
    ]
    assert sorted(parts[0] + parts[1]) == names(whole)
    assert 65 <= len(parts[0]) <= 95
    assert names(whole.then("split", fraction=0.8, seed=7, is_rest=False)) == parts[0]
    assert names(whole.then("skip", count=2).then("take", count=1)) == ["002.txt"]


def test_a_web_server_lists_no_files() -> None:
    assert names(of_paths("https://example.org/data/a%20b.csv?x=1")) == ["a b.csv"]
    for url in ("https://example.org/data/*.csv", "https://example.org/data/"):
        with pytest.raises(Invalid, match="web server"):
            found(of_paths(url))


def test_no_name_of_a_url_leads_up() -> None:
    assert files._name("https://h/a/%2e%2e/%2e%2e/x", "https://h") == "a/x"
    assert files._name("https://h/..%2f..%2fx", "https://h") == "x"
