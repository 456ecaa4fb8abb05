"""A real server process on a workspace of its own, and raw ways to talk to it."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from outlast import process
from outlast.executors.local import supervised_folders

READY_S = 20.0


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        return str(self.json["error"]["code"])


class Server:
    """One server; `stop` or `kill` it, `start` it again."""

    def __init__(self, home: Path, *flags: str, database_url: str = "") -> None:
        self.home = home
        self.flags = (*flags, "--database-url", database_url) if database_url else flags
        self.log = home.parent / "server.log"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *more: str) -> Server:
        environ = {k: v for k, v in os.environ.items() if not k.startswith("OUTLAST_")}
        flags = ["--home", str(self.home), "--port", "0", *self.flags, *more]
        with self.log.open("ab") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "outlast.server", *flags],
                stdout=out, stderr=out, env=environ, cwd="/",
            )  # fmt: skip
        deadline = time.monotonic() + READY_S
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise AssertionError(f"the server ended: {self.log.read_text()}")
            if self._facts().get("pid") == self.process.pid:
                return self
            time.sleep(0.01)
        raise AssertionError(f"the server isn't ready: {self.log.read_text()}")

    def _facts(self) -> dict[str, Any]:
        try:
            facts: dict[str, Any] = json.loads((self.home / "server.json").read_text())
        except FileNotFoundError:
            return {}
        return facts

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    @property
    def port(self) -> int:
        return int(self._facts()["url"].rpartition(":")[2])

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def token(self) -> str:
        return (self.home / "token").read_text().strip()

    @property
    def bearer(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    def stop(self, number: int = signal.SIGTERM) -> int:
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(20)

    def ask(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None,
        *, token: str | None = "", timeout_s: float = 30.0,
    ) -> Answer:  # fmt: skip
        """One request on a connection of its own; token "" = the right one, None = none."""
        sent = dict(headers or {})
        if token is not None:
            sent.setdefault("Authorization", f"Bearer {token or self.token}")
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
            sent.setdefault("Content-Type", "application/json")
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout_s)
        with contextlib.closing(connection):
            connection.putrequest(method, path, skip_host="Host" in sent, skip_accept_encoding=True)
            if body is not None:
                sent.setdefault("Content-Length", str(len(body)))
            for name, value in sent.items():
                connection.putheader(name, value)
            connection.endheaders()
            if body is not None:
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                    connection.send(body)
            answer = connection.getresponse()
            named = {name.lower(): value for name, value in answer.getheaders()}
            return Answer(answer.status, named, answer.read())

    def raw(self, text: bytes, *, timeout_s: float = 5.0) -> bytes:
        """Send bytes as they are; what comes back until the server closes."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=timeout_s) as connection:
            connection.sendall(text)
            pieces = []
            with contextlib.suppress(TimeoutError, ConnectionResetError):
                while piece := connection.recv(65536):
                    pieces.append(piece)
            return b"".join(pieces)

    def rss_bytes(self) -> int:
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS"):
                return int(line.split()[1]) * 1024
        raise AssertionError("no VmRSS")


@contextlib.contextmanager
def running(folder: Path, *flags: str, database_url: str = "") -> Iterator[Server]:
    server = Server(folder / "home", *flags, database_url=database_url).start()
    try:
        yield server
    finally:
        server.stop()
        end_sessions(server.home)


def end_sessions(home: Path) -> None:
    """Sessions outlive their server, as they should; the tests' own must not."""
    supervisors = {
        pid: path for pid, path in supervised_folders().items() if path.startswith(f"{home}/")
    }
    members = [
        pid
        for path in set(supervisors.values())
        for pid in process.with_environ(b"OUTLAST_RUN=" + os.fsencode(path))
    ]
    for pid in (*supervisors, *members):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def submit(server: Server, *command: str, wait_s: float = 20.0, **spec: Any) -> str:
    """Submit a command and return the run's id once it is over (or at once with wait_s=0)."""
    launch = {"command": list(command), "environ": {"PATH": os.environ["PATH"]}, "folder": "/tmp"}
    answer = server.ask("POST", "/api/runs", {"spec": spec, "launch": launch})
    assert answer.status == 201, answer
    run_id = str(answer.json["id"])
    if wait_s:
        wait_over(server, run_id, wait_s)
    return run_id


def wait_over(server: Server, run_id: str, wait_s: float = 20.0) -> str:
    """The status in which the run ends."""
    deadline = time.monotonic() + wait_s
    query = ""
    while time.monotonic() < deadline:
        answer = server.ask("GET", f"/api/runs/{run_id}/state{query}").json
        if answer["state"]["status"] in ("Completed", "Failed", "Canceled"):
            return str(answer["state"]["status"])
        query = f"?version={answer['version']}&wait=10"
    raise AssertionError(f"run {run_id} isn't over after {wait_s} s: {answer}")
