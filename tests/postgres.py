"""A real PostgreSQL for the tests: its own cluster in a temporary folder, behind a Unix socket.

It comes from the distribution's package, is never a system service, keeps nothing (fsync is off)
and ends with the process that started it. PostgreSQL refuses to run as root, so root starts it as
an unprivileged user.
"""

from __future__ import annotations

import ctypes
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import IO

ABSENT = "PostgreSQL isn't installed (no initdb found): apt-get install postgresql"
PORT = 5432  # only part of the socket's name: nothing listens on the network
_PR_SET_PDEATHSIG = 1


def programs() -> Path | None:
    """The folder of initdb and postgres, the newest version; None when there is none."""
    found = sorted(
        Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: float(path.parts[-3])
    )
    on_path = shutil.which("initdb")
    return found[-1].parent if found else Path(on_path).parent if on_path else None


class Cluster:
    """A PostgreSQL server; `start` again after `kill` finds the same data."""

    def __init__(self, *, is_durable: bool = False) -> None:
        """`is_durable`: commits are synced, as a benchmark needs them; tests don't."""
        self._is_durable = is_durable
        found = programs()
        if found is None:
            raise FileNotFoundError(ABSENT)
        self._programs = found
        self._folder = Path(tempfile.mkdtemp(prefix="outlast-postgres-", dir="/tmp"))
        self._process: subprocess.Popen[bytes] | None = None
        self._user: str | None = None
        if os.geteuid() == 0:
            account = pwd.getpwnam("nobody")
            self._user = account.pw_name
            os.chown(self._folder, account.pw_uid, account.pw_gid)
        initdb = ["initdb", "-D", self._data, "-U", "outlast", "-A", "trust", "-E", "UTF8"]
        self._run([*initdb, "--no-sync", "--locale=C.UTF-8"]).check_returncode()

    @property
    def _data(self) -> str:
        return str(self._folder / "data")

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def url(self, name: str = "postgres") -> str:
        return f"postgresql+psycopg://outlast@/{name}?host={self._folder}&port={PORT}"

    def start(self) -> None:
        """Return when it accepts connections."""
        log = self._folder / "log"
        log.touch()
        if self._user is not None:
            log.chmod(0o666)
        self._process = subprocess.Popen(
            [self._programs / "postgres", "-D", self._data, *self._settings()],
            stderr=subprocess.PIPE,
            cwd=self._folder,
            user=self._user,
            group=self._user and pwd.getpwnam(self._user).pw_gid,
            extra_groups=[] if self._user else None,
            preexec_fn=_end_with_parent,
        )
        assert self._process.stderr is not None
        self._wait_ready(self._process.stderr)

    def _settings(self) -> list[str]:
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": str(self._folder),
            "port": str(PORT),
            "fsync": "on" if self._is_durable else "off",
            "full_page_writes": "on" if self._is_durable else "off",
            "shared_buffers": "64MB",
            "max_connections": "60",
            "autovacuum": "off",
        }
        return [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]

    def _wait_ready(self, messages: IO[bytes]) -> None:
        seen = b""
        for line in messages:
            seen += line
            if b"ready to accept connections" in line:
                break
        else:
            raise RuntimeError(f"PostgreSQL didn't start:\n{seen.decode()}")
        # Nobody reads on: its later messages would fill the pipe, so let the pipe go to nowhere.
        drain = subprocess.Popen(["cat"], stdin=messages, stdout=subprocess.DEVNULL)
        self._drain = drain
        messages.close()

    def signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def pause(self, *, is_whole: bool) -> None:
        """SIGSTOP: the postmaster alone (nobody gets in), or all of it (nobody is answered)."""
        self.signal(signal.SIGSTOP)
        if is_whole:
            self._signal_children(signal.SIGSTOP)

    def resume(self) -> None:
        """Undo `pause`; harmless otherwise."""
        if self._process is not None and self._process.poll() is None:
            self._signal_children(signal.SIGCONT)
            self.signal(signal.SIGCONT)

    def _signal_children(self, number: int) -> None:
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text()
        for pid in children.split():
            os.kill(int(pid), number)

    def cut_connections(self) -> None:
        """pg_terminate_backend of every client."""
        self._execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
        )

    def kill(self) -> None:
        """kill -9 of the postmaster: its backends notice, and nothing is cleaned up."""
        self.signal(signal.SIGKILL)
        self._ended()

    def stop(self) -> None:
        """End it without ceremony."""
        if self._process is not None and self._process.poll() is None:
            self.signal(signal.SIGQUIT)
            self._ended()

    def _ended(self) -> None:
        assert self._process is not None
        self._process.wait()
        self._drain.wait()  # the pipe ends with the last backend

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self._folder)

    def create_database(self, name: str) -> str:
        """An empty database; returns its URL."""
        self._execute(f"CREATE DATABASE {name} TEMPLATE template0")
        return self.url(name)

    def empty_database(self, name: str, tables: list[str]) -> None:
        """Delete every row of these tables, the last of them first, but what says the schema."""
        emptied = [table for table in reversed(tables) if table != "alembic_version"]
        self._execute(";".join(f"DELETE FROM {table}" for table in emptied), name)

    def drop_database(self, name: str) -> None:
        """Remove it, whoever is still connected."""
        self._execute(f"DROP DATABASE {name} WITH (FORCE)")

    def _execute(self, text: str, name: str = "postgres") -> None:
        import psycopg

        with psycopg.connect(
            host=str(self._folder), port=PORT, user="outlast", dbname=name, autocommit=True
        ) as connection:
            connection.execute(text.encode())

    def _run(self, command: list[str]) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [str(self._programs / command[0]), *command[1:]],
            capture_output=True,
            cwd=self._folder,
            user=self._user,
            group=self._user and pwd.getpwnam(self._user).pw_gid,
            extra_groups=[] if self._user else None,
            check=False,
        )


def _end_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGQUIT)
