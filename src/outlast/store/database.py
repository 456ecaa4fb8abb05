"""One database, SQLite or PostgreSQL: connections, transactions, and errors in Outlast's words.

`read()` is a snapshot; `write()` is one transaction, one at a time in this process, on disk when
it has returned. `transact(work)` also tries again, once, when the connection died in the middle.
It knows no table but the one that says which migration the database stands at; see schema.py.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy import exc
from sqlalchemy.engine import URL, Connection, Engine, make_url

from outlast.errors import Conflict, Corrupt, DiskFull, Invalid, OutlastError, Unreachable
from outlast.store import room, schema, series_tables

Result = TypeVar("Result")

metadata = schema.metadata  # whole: importing series_tables has added its tables
assert series_tables.__name__

BUSY_TIMEOUT_S = 10.0  # how long another process may hold the lock of a SQLite file
CONNECT_TIMEOUT_S = 5  # a stopped PostgreSQL accepts connections and never answers
CACHE_KIB = 16 << 10  # of pages, for each connection
MIGRATION_LOCK = 0x6F75746C617374  # "outlast": two servers must not migrate at once


class Database:
    """An open database at the newest schema."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._snapshots = engine
        self._writing = threading.Lock()
        self._writer = 0  # the thread that holds the lock
        self._broken: OutlastError | None = None
        self.is_sqlite = engine.dialect.name == "sqlite"
        if not self.is_sqlite:  # a transaction of SQLite is a snapshot by itself
            self._snapshots = engine.execution_options(isolation_level="REPEATABLE READ")

    @classmethod
    def open(cls, url: str) -> Database:
        """Open `sqlite:///PATH` or `postgresql+psycopg://…`; make the tables, or bring them up.

        Raises Invalid for another kind of URL, Unreachable when nobody answers, Conflict when the
        schema is newer than this Outlast, DiskFull, Corrupt. Nothing was changed then.
        """
        engine = _engine(url)
        database = cls(engine)
        try:
            database._bring_up()
        except BaseException:
            database.close()
            raise
        return database

    @property
    def url(self) -> str:
        """Where it is; a password is starred out."""
        return self._engine.url.render_as_string(hide_password=True)

    @property
    def path(self) -> str:
        """The file of a SQLite database, "" for PostgreSQL."""
        return (self._engine.url.database or "") if self.is_sqlite else ""

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A connection that sees one moment of the database and takes no lock.

        Raises Unreachable, Corrupt.
        """
        with self._translated(), self._snapshots.connect() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """One transaction: durable when the block has ended, undone when the block raised.

        Waits for the writer before it. Raises Unreachable (also when another process holds the
        lock for BUSY_TIMEOUT_S), DiskFull (nothing was written, later writes may succeed), Corrupt.
        """
        if self._writer == threading.get_ident():
            raise RuntimeError("write() inside write(): pass the connection on instead")
        with self._writing, self._translated():
            if self._broken is not None:
                raise self._broken
            self._writer = threading.get_ident()
            try:
                with self._engine.connect() as plain:
                    connection = plain.execution_options(outlast_write=True)
                    with connection.begin():
                        yield connection
                    if self.is_sqlite:
                        self._tend(connection, room.look_after)
            finally:
                self._writer = 0

    def transact(self, work: Callable[[Connection], Result]) -> Result:
        """`work(connection)` in one write transaction; once more if the connection died meanwhile,
        or if the disk was full and the room that is kept may do.

        The commit may have been the last thing that worked before the connection died, so `work`
        must find out by itself what is already there.
        """
        try:
            with self.write() as connection:
                return work(connection)
        except Unreachable as error:
            if not error.facts.get("is_disconnect"):
                raise
        except DiskFull:
            if not self.is_sqlite:
                raise
            with self._engine.connect() as connection:
                self._tend(connection, room.use)
        with self.write() as connection:
            return work(connection)

    def size_bytes(self) -> int:
        """What the database takes on disk."""
        if self.is_sqlite:
            names = (self.path, f"{self.path}-wal")
            return sum(os.stat(name).st_size for name in names if os.path.exists(name))
        with self.read() as connection:
            query = "SELECT pg_database_size(current_database())"
            return int(connection.exec_driver_sql(query).scalar_one())

    def close(self) -> None:
        """Close every connection; a SQLite file is then whole without its write-ahead log."""
        self._engine.dispose()

    def _bring_up(self) -> None:
        with self.read() as connection:
            if revision(connection) == schema.HEAD:
                return
        with self.write() as connection:
            if not self.is_sqlite:
                connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({MIGRATION_LOCK})")
            found = revision(connection)
            if found is None:
                metadata.create_all(connection, checkfirst=False)
                connection.execute(schema.alembic_version.insert().values(version_num=schema.HEAD))
            elif found > schema.HEAD:
                raise Conflict(
                    f"the database is at schema {found}, this Outlast knows up to {schema.HEAD}:"
                    " a newer Outlast has used it, and going back would lose what it wrote",
                    hint="upgrade Outlast, or point OUTLAST_HOME or the database elsewhere",
                    found=found,
                    known=schema.HEAD,
                )
            elif found != schema.HEAD:
                from outlast.store.migrations import upgrade  # alembic takes 0.1 s to import

                upgrade(connection)

    def _tend(
        self, connection: Connection, care: Callable[[sqlite3.Connection, str], None]
    ) -> None:
        """Between transactions, whose outcome nothing here may change."""
        plain = connection.connection.driver_connection
        assert isinstance(plain, sqlite3.Connection)
        try:
            care(plain, self.path)
        except sqlite3.Error as error:  # tried again after the next one
            told = _translate_sqlite(error, self.url)
            if told is not None and told.facts.get("is_fatal"):
                self._broken = told

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except exc.DBAPIError as error:
            translated = _translate(error, self.url)
            if translated is None:
                raise
            if translated.facts.get("is_fatal"):
                # What a failed fsync has lost, the next one doesn't report: only a new process
                # reads back what is really there.
                self._broken = translated
            raise translated from error
        except exc.TimeoutError as error:
            raise Unreachable(f"the database is too busy: {error}") from error


def revision(connection: Connection) -> str | None:
    """The migration that the database stands at; None for an empty one."""
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(sa.select(schema.alembic_version.c.version_num)).scalar()


# --- opening ---


def _engine(url: str) -> Engine:
    try:
        parsed = make_url(url)
    except (exc.ArgumentError, ValueError):
        parsed = None
    is_sqlite = parsed is not None and parsed.drivername == "sqlite"
    if parsed is not None and is_sqlite and parsed.database not in (None, "", ":memory:"):
        return _sqlite_engine(parsed)
    if parsed is not None and parsed.drivername in ("postgresql", "postgresql+psycopg"):
        return _postgres_engine(parsed.set(drivername="postgresql+psycopg"))
    shown = parsed.render_as_string(hide_password=True) if parsed is not None else url
    raise Invalid.field(
        "database", shown, "give sqlite:///PATH or postgresql+psycopg://USER@HOST/NAME"
    )


def _sqlite_engine(url: URL) -> Engine:
    path = os.path.abspath(str(url.database))
    try:  # 0600, and so are the log and the index beside it
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise Unreachable(f"the database {path} can't be opened: {error.strerror}") from error
    engine = sa.create_engine(
        url.set(database=path),
        pool_size=8,
        max_overflow=24,
        connect_args={"timeout": BUSY_TIMEOUT_S, "check_same_thread": False},
    )

    @sa.event.listens_for(engine, "connect")
    def prepare(connection: sqlite3.Connection, _record: object) -> None:
        connection.isolation_level = None  # transactions begin where `begin` below says so
        _enter_wal(connection)
        for pragma in (
            "synchronous = FULL",  # a commit is on disk before it returns
            f"journal_size_limit = {room.LOG_LIMIT_BYTES}",
            f"cache_size = -{CACHE_KIB}",
            "temp_store = MEMORY",
        ):
            connection.execute(f"PRAGMA {pragma}").fetchall()

    @sa.event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        is_write = connection.get_execution_options().get("outlast_write")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if is_write else "BEGIN")

    return engine


def _enter_wal(connection: sqlite3.Connection) -> None:
    """Switch to the write-ahead log. SQLite's busy timeout doesn't cover the switch itself."""
    deadline = time.monotonic() + BUSY_TIMEOUT_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL").fetchall()
            return
        except sqlite3.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)  # another process makes the same switch; nothing tells when it is done


def _postgres_engine(url: URL) -> Engine:
    try:
        from outlast.store import postgres  # psycopg is an extra

        engine = sa.create_engine(
            url,
            pool_size=8,
            max_overflow=8,
            pool_pre_ping=True,
            connect_args={
                "connect_timeout": CONNECT_TIMEOUT_S,
                "application_name": "outlast",
                "options": "-c lock_timeout=10s -c statement_timeout=120s",
                "keepalives_idle": 10,
                "keepalives_interval": 5,
                "keepalives_count": 3,
                "tcp_user_timeout": 30_000,
            },
        )
    except ImportError as error:
        raise Invalid.field(
            "database",
            url.render_as_string(hide_password=True),
            "install the extra for PostgreSQL",
            hint="pip install 'outlast[postgres]'",
        ) from error

    @sa.event.listens_for(engine, "do_connect")
    def connect(_dialect: object, _record: object, _none: object, asked: dict[str, Any]) -> Any:
        return postgres.connect(**asked)

    return engine


# --- errors ---

_FULL_HINT = "make room on the disk of the database; writing goes on by itself"


def _translate(error: exc.DBAPIError, url: str) -> OutlastError | None:
    if isinstance(error.orig, sqlite3.Error):
        return _translate_sqlite(error.orig, url)
    return _translate_postgres(error, url)


def _translate_sqlite(error: sqlite3.Error, url: str) -> OutlastError | None:
    code = getattr(error, "sqlite_errorname", "")
    if code == "SQLITE_FULL" or code == "SQLITE_IOERR_SHMSIZE":
        return DiskFull(f"no room left for the database {url}", hint=_FULL_HINT)
    if code.startswith(("SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_PROTOCOL")):
        return Unreachable(
            f"another process has held the database {url} for {BUSY_TIMEOUT_S:g} s",
            hint="find it with: fuser -v FILE",
        )
    if code.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
        return Corrupt(
            f"the database {url} is damaged: {error}",
            hint="move the file away and start again: the lists are made anew from the run folders",
        )
    if code.startswith("SQLITE_IOERR"):
        return Unreachable(
            f"the disk of the database {url} reported an error ({code}): nothing more is written",
            hint="look at the disk, then restart the server",
            is_fatal=True,
        )
    if code.startswith(("SQLITE_CANTOPEN", "SQLITE_READONLY", "SQLITE_PERM")):
        return Unreachable(f"the database {url} can't be written: {error}")
    return None


def _translate_postgres(error: exc.DBAPIError, url: str) -> OutlastError | None:
    state = getattr(error.orig, "sqlstate", None) or ""
    first_line = str(error.orig).strip().split("\n")[0]
    if state == "53100":
        return DiskFull(f"no room left for the database {url}", hint=_FULL_HINT)
    if error.connection_invalidated:
        return Unreachable(
            f"the connection to the database {url} was lost: {first_line}", is_disconnect=True
        )
    # Too many connections, shutting down, starting up, read only (a fail-over), locks, time-outs.
    if state[:2] in ("08", "53", "57", "58") or state in ("25006", "40001", "40P01", "55P03"):
        return Unreachable(f"the database {url} doesn't serve now: {first_line}")
    if isinstance(error, exc.OperationalError) and not state:
        return Unreachable(f"the database {url} can't be reached: {first_line}")
    return None


def insert_or_nothing(table: sa.Table, connection: Connection) -> Any:
    """An INSERT that leaves rows alone that are already there, in either dialect."""
    if connection.dialect.name == "sqlite":
        from sqlalchemy.dialects.sqlite import insert as sqlite_insert

        return sqlite_insert(table).on_conflict_do_nothing()
    from sqlalchemy.dialects.postgresql import insert as postgres_insert

    return postgres_insert(table).on_conflict_do_nothing()
