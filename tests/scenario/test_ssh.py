"""SSH through a firewall that forgets idle connections, cuts, and a server that is killed."""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from outlast import process
from outlast.errors import Unreachable
from outlast.run.folder import RunFolder
from outlast.supervisor import control
from outlast.transport.address import find
from tests.scenario import namespaces
from tests.scenario.namespaces import FORGETS_S, SERVER, Namespaces
from tests.ssh.world import needs_ssh

pytestmark = [needs_ssh, pytest.mark.root, pytest.mark.slow, pytest.mark.timeout(400)]

PORT = 8686
BIG_BYTES = 200 << 20


class Place:
    """A server behind the firewall and a client before it."""

    def __init__(self, folder: Path, net: Namespaces) -> None:
        self.net = net
        self.home = folder / "home"
        self.log = folder / "server.log"
        self.client_home = folder / "client"
        self.environ = {k: v for k, v in os.environ.items() if not k.startswith("OUTLAST_")}
        self.environ |= {
            "HOME": str(folder),
            "OUTLAST_HOME": str(self.client_home),
            "OUTLAST_URL": f"http://{SERVER}:{PORT}",
        }

    def start_server(self) -> None:
        words = [sys.executable, "-m", "outlast.server", "--home", str(self.home)]
        words += ["--host", SERVER, "--port", str(PORT), "--insecure-bind"]
        environ = {k: v for k, v in os.environ.items() if not k.startswith("OUTLAST_")}
        with self.log.open("ab") as log:
            self.server = subprocess.Popen(
                self.net.words("server", *words), stdout=log, stderr=log, env=environ, cwd="/"
            )
        deadline = time.monotonic() + 20
        while (found := find(self.home)) is None or found.pid != self.server.pid:
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.02)
        self.environ["OUTLAST_TOKEN"] = found.token

    def kill_server(self) -> None:
        self.server.kill()
        self.server.wait(10)

    def popen(self, *words: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            self.net.words("client", *words), env=self.environ,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def words(self, program: str) -> list[str]:
        """`program` with its configuration; the host is `host`."""
        folder = self.client_home / "ssh" / "config.d"
        if not folder.exists():
            outlast = [sys.executable, "-m", "outlast", "ssh-config"]
            done = self.popen(*outlast)
            _, said = done.communicate(timeout=30)
            assert done.returncode == 0, said
        (file,) = folder.glob("*.conf")
        self.host = file.stem
        return [program, "-F", str(file)]

    def proxies(self) -> list[int]:
        """The processes that ssh started as its ProxyCommand."""
        end = b"\0proxy\0local\0"
        found = []
        for pid in process.pids():
            with contextlib.suppress(OSError):
                if Path(f"/proc/{pid}/cmdline").read_bytes().endswith(end):
                    environ = Path(f"/proc/{pid}/environ").read_bytes()
                    if f"OUTLAST_HOME={self.client_home}\0".encode() in environ:
                        found.append(pid)
        return found

    def close(self) -> None:
        for folder in (self.home / "runs").glob("[a-z0-9]*"):
            request = {"op": "stop", "reason": "cancel", "force": True}
            with contextlib.suppress(Unreachable):
                control.ask(RunFolder(str(folder)), request, timeout_s=5)
        self.server.terminate()
        self.server.wait(20)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    absent = namespaces.why_not()
    if absent:
        pytest.skip(absent)
    with namespaces.namespaces() as net:
        made = Place(tmp_path_factory.mktemp("place"), net)
        made.start_server()
        try:
            yield made
        finally:
            made.close()


def ask(shell: subprocess.Popen[bytes], text: bytes) -> bytes:
    assert shell.stdin is not None
    assert shell.stdout is not None
    shell.stdin.write(text + b"\n")
    shell.stdin.flush()
    return shell.stdout.readline()


def test_the_firewall_forgets_a_plain_idle_connection(place: Place) -> None:
    """Else the other tests prove nothing."""
    script = (
        "import socket, time\n"
        f"s = socket.create_connection(('{SERVER}', {PORT}), 5)\n"
        f"time.sleep({FORGETS_S + 2})\n"
        "s.settimeout(4)\n"
        "s.sendall(b'GET /api/version HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n')\n"
        "try: print('answered', s.recv(10))\n"
        "except TimeoutError: print('forgotten')\n"
    )
    out, said = place.popen(sys.executable, "-c", script).communicate(timeout=30)
    assert out == b"forgotten\n", said


@pytest.mark.longest
def test_a_session_that_is_idle_for_30_s_goes_on(place: Place) -> None:
    words = place.words("ssh")
    with place.popen(*words, place.host, "cat") as shell:
        assert ask(shell, b"before") == b"before\n"
        time.sleep(30)
        began = time.monotonic()
        assert ask(shell, b"after") == b"after\n"
        assert time.monotonic() - began < 2
        out, said = shell.communicate(timeout=20)
    assert (shell.returncode, out, said) == (0, b"", b"")


def test_a_session_goes_on_after_its_client_has_slept(place: Place) -> None:
    words = place.words("ssh")
    with place.popen(*words, place.host, "cat") as shell:
        assert ask(shell, b"before") == b"before\n"
        (proxy,) = place.proxies()
        os.kill(proxy, signal.SIGSTOP)
        time.sleep(FORGETS_S + 4)  # the firewall has forgotten it by now
        os.kill(proxy, signal.SIGCONT)
        assert ask(shell, b"after") == b"after\n"
        shell.communicate(timeout=20)
    assert shell.returncode == 0


@pytest.mark.longest
def test_200_mb_by_scp_over_five_cuts_and_a_killed_server_are_the_same_bytes(
    place: Place, tmp_path: Path
) -> None:
    source, copy = tmp_path / "source", tmp_path / "copy"
    whole = hashlib.sha256()
    with source.open("wb") as file:
        for _ in range(BIG_BYTES >> 20):
            piece = os.urandom(1 << 20)
            whole.update(piece)
            file.write(piece)
    place.net.limit("400mbit")  # so that it lasts long enough to be cut
    words = place.words("scp")
    with place.popen(*words, "-q", str(source), f"{place.host}:{copy}") as copying:
        for number in range(6):
            wait_for_size(copy, BIG_BYTES * (number + 1) // 8, copying)
            if number == 3:
                place.kill_server()
                place.start_server()
            elif number % 2:
                place.net.forget()
            else:
                place.net.reset()
        assert copying.poll() is None, "it was over before the last cut"
        _, said = copying.communicate(timeout=200)
    assert copying.returncode == 0, said
    with copy.open("rb") as file:
        assert hashlib.file_digest(file, "sha256").digest() == whole.digest()


def wait_for_size(path: Path, size_bytes: int, copying: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 100
    while not path.exists() or path.stat().st_size < size_bytes:
        assert time.monotonic() < deadline, f"no {size_bytes} bytes in {path}"
        assert copying.poll() is None, "it ended before"
        time.sleep(0.02)
