"""What every test may use: a database of each kind that Outlast knows.

A test of the store asks for `database_url` or `database` and runs once on each kind. A test that
starts a server or a scheduler runs on SQLite, or on each kind when it is marked `each_database`.
`--database postgresql` puts all of them on PostgreSQL, marked or not.
"""

from __future__ import annotations

import gc
import itertools
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from outlast.store.database import Database, metadata
from tests import postgres

KINDS = ("sqlite", "postgresql")
_numbers = itertools.count(1)


def pytest_configure(config: pytest.Config) -> None:
    # A job in the background of a script ignores Ctrl-C, and so would all that the tests start.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if not hasattr(config, "workerinput"):  # workers inherit it
        home = Path(tempfile.mkdtemp(prefix="outlast-home-"))
        config.add_cleanup(lambda: shutil.rmtree(home, ignore_errors=True))
        _live_in(home)


def _live_in(home: Path) -> None:
    """Whatever is started finds an empty home: no startup files, keys or settings of a person's.

    A login shell's own may take a minute, where its pyenv waits for the lock of one that was
    killed. sshd asks /etc/passwd for the home, so one that says otherwise is found first.
    """
    for name in [name for name in os.environ if name.startswith("OUTLAST_")]:
        del os.environ[name]
    os.environ.setdefault("XDG_CACHE_HOME", str(Path.home() / ".cache"))
    os.environ["HOME"] = str(home)
    sshd = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    if sshd is not None:
        programs = home / "programs"
        programs.mkdir()
        told = f'SetEnv="HOME={home}" OUTLAST_DETACHED=1'
        (programs / "sshd").write_text(f"#!/bin/sh\nexec {sshd} -o '{told}' \"$@\"\n")
        (programs / "sshd").chmod(0o755)
        os.environ["PATH"] = f"{programs}:{os.environ['PATH']}"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--database", choices=KINDS, help="run on this kind of database only")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "database_kind" not in metafunc.fixturenames:
        return
    is_each = metafunc.definition.get_closest_marker("each_database") is not None
    chosen = metafunc.config.getoption("database")
    if chosen is not None:
        metafunc.parametrize("database_kind", [chosen], scope="module")
    elif is_each or not {"database", "database_url"}.isdisjoint(metafunc.fixturenames):
        metafunc.parametrize("database_kind", KINDS, scope="module")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest begin first, so that no worker ends alone with one of them."""
    items.sort(key=lambda item: item.get_closest_marker("longest") is None)


def pytest_collection_finish() -> None:
    """Thousands of tests are never garbage, and were looked at by every full collection."""
    gc.freeze()


@pytest.fixture(scope="session")
def postgres_cluster() -> Iterator[postgres.Cluster]:
    """One PostgreSQL for all tests of this process."""
    if postgres.programs() is None:
        pytest.skip(postgres.ABSENT)
    cluster = postgres.Cluster()
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.remove()


@pytest.fixture(scope="module")
def database_kind() -> str:
    """The kind for a test that doesn't care."""
    return "sqlite"


@contextmanager
def _empty_database(request: pytest.FixtureRequest, kind: str) -> Iterator[str]:
    """The `database_url` of a workspace: "" for the file of its own, or a new PostgreSQL one."""
    if kind == "sqlite":
        yield ""
        return
    cluster: postgres.Cluster = request.getfixturevalue("postgres_cluster")
    name = f"test_{os.getpid()}_{next(_numbers)}"
    yield cluster.create_database(name)
    cluster.drop_database(name)


@pytest.fixture
def workspace_database(request: pytest.FixtureRequest, database_kind: str) -> Iterator[str]:
    """The setting `database_url` for a workspace of one test."""
    with _empty_database(request, database_kind) as url:
        yield url


@pytest.fixture(scope="module")
def module_database(request: pytest.FixtureRequest, database_kind: str) -> Iterator[str]:
    """The setting `database_url` for a workspace that the tests of a module share."""
    with _empty_database(request, database_kind) as url:
        yield url


@pytest.fixture
def database_url(workspace_database: str, tmp_path: Path) -> str:
    """The URL of an empty database; the test runs once on SQLite and once on PostgreSQL."""
    return workspace_database or f"sqlite:///{tmp_path}/outlast.db"


@pytest.fixture(scope="session")
def kept_database(postgres_cluster: postgres.Cluster) -> Iterator[str]:
    """The name of a PostgreSQL database with its tables, for one test of this process at a time."""
    name = f"kept_{os.getpid()}"
    Database.open(postgres_cluster.create_database(name)).close()
    yield name
    postgres_cluster.drop_database(name)


@pytest.fixture
def database(
    request: pytest.FixtureRequest, database_kind: str, tmp_path: Path
) -> Iterator[Database]:
    """An open database without a run, on each kind; who changes its tables makes another."""
    url = f"sqlite:///{tmp_path}/outlast.db"
    if database_kind == "postgresql":  # to empty one takes a tenth of what it takes to make one
        cluster: postgres.Cluster = request.getfixturevalue("postgres_cluster")
        name = request.getfixturevalue("kept_database")
        cluster.empty_database(name, [table.name for table in metadata.sorted_tables])
        url = cluster.url(name)
    opened = Database.open(url)
    yield opened
    opened.close()
