"""A server behind a network that breaks, and an ssh that reaches it through a tunnel."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from outlast.transport.address import find
from tests.server.running import Server
from tests.ssh.network import Network

PATH = f"{os.environ['PATH']}:/usr/sbin:/sbin"
HAS_SSH = all(shutil.which(name, path=PATH) for name in ("ssh", "sshd", "ssh-keygen"))
needs_ssh = pytest.mark.skipif(not HAS_SSH, reason="OpenSSH (ssh, sshd, ssh-keygen) isn't here")
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may do this")


class World:
    """One workspace, its server, the network before it, and the client's own folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.network = Network()
        home = folder / "home"
        home.mkdir(mode=0o700)
        (home / "config.toml").write_text(f'allowed_hosts = ["127.0.0.1:{self.network.port}"]\n')
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        self.server = Server(home, "--port", str(port))
        self.network.target_port = port
        self.client_home = folder / "client"
        self.environ = {k: v for k, v in os.environ.items() if not k.startswith("OUTLAST_")}
        self.environ |= {"PATH": PATH, "HOME": str(folder), "OUTLAST_HOME": str(self.client_home)}

    def start(self) -> World:
        self.server.start()
        self.environ["OUTLAST_URL"] = f"http://127.0.0.1:{self.network.port}"
        self.environ["OUTLAST_TOKEN"] = self.server.token
        return self

    def restart_server(self) -> None:
        """As after a crash: nothing is said to anybody."""
        self.server.stop(9)
        self.server.start()

    def outlast(self, *arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "outlast", *arguments],
            env=self.environ, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    @property
    def config(self) -> Path:
        """The ssh_config of the target."""
        folder = self.client_home / "ssh" / "config.d"
        if not folder.exists():
            self.outlast("ssh-config")
        (file,) = folder.glob("outlast-local*.conf")
        return file

    def words(self, program: str = "ssh", *options: str) -> list[str]:
        return [program, "-F", str(self.config), *options]

    @property
    def host(self) -> str:
        return self.config.stem

    def ssh(
        self, *words: str, options: tuple[str, ...] = (), data: bytes = b"", timeout_s: float = 60
    ) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [*self.words("ssh", *options), self.host, *words],
            env=self.environ, input=data, capture_output=True, timeout=timeout_s, check=False,
        )  # fmt: skip

    def popen(self, *words: str, options: tuple[str, ...] = ()) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [*self.words("ssh", *options), self.host, *words],
            env=self.environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def close(self) -> None:
        if find(self.server.home) is None:
            self.server.start()
        for row in self.server.ask("GET", "/api/runs?kind=all").json["runs"]:
            if row["status"] not in ("Completed", "Failed", "Canceled"):
                self.server.ask("POST", f"/api/runs/{row['id']}/cancel", {"force": True})
        self.server.stop()
        self.network.close()


@contextmanager
def world_in(folder: Path) -> Iterator[World]:
    world = World(folder)
    try:
        yield world.start()
    finally:
        world.close()
