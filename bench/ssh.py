"""SSH through a tunnel beside the same sshd reached directly: `python bench/ssh.py [--mb N]`.

Both in turns, in the same run. Throughput is counted from the first byte, since logging in is a
figure of its own. On a machine whose cores are all busy with the ciphers, each further process that
a byte passes costs throughput: the cost in processor time stands beside.
"""

from __future__ import annotations

import argparse
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from outlast.ssh import daemon, keys
from outlast.transport.address import find

READ_BYTES = 1 << 20


class Way:
    """How to reach sshd: `ssh` with the words that follow."""

    def __init__(self, name: str, words: list[str], environ: dict[str, str]) -> None:
        self.name = name
        self.words = words
        self.environ = environ

    def popen(self, *command: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [*self.words, *command], env=self.environ, bufsize=0,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip


def login_s(way: Way) -> float:
    began = time.perf_counter()
    way.popen("true").communicate(timeout=60)
    return time.perf_counter() - began


def echo_s(way: Way) -> list[float]:
    """A byte to `cat` and back."""
    took = []
    with way.popen("cat") as shell:
        assert shell.stdin is not None
        assert shell.stdout is not None
        for _ in range(300):
            began = time.perf_counter()
            shell.stdin.write(b"k")
            shell.stdout.read(1)
            took.append(time.perf_counter() - began)
            time.sleep(0.002)
        shell.stdin.close()
    return took[20:]


def down_mb_per_s(way: Way, size_mb: int) -> float:
    with way.popen(f"head -c {size_mb << 20} /dev/zero") as shell:
        assert shell.stdout is not None
        count = len(shell.stdout.read(1))
        began = time.perf_counter()
        while data := shell.stdout.read(READ_BYTES):
            count += len(data)
        took = time.perf_counter() - began
    assert count == size_mb << 20
    return size_mb / took


def up_mb_per_s(way: Way, size_mb: int) -> float:
    piece = bytes(1 << 20)
    with way.popen("echo ready; wc -c") as shell:
        assert shell.stdin is not None
        assert shell.stdout is not None
        assert shell.stdout.readline() == b"ready\n"
        began = time.perf_counter()
        for _ in range(size_mb):
            shell.stdin.write(piece)
        shell.stdin.close()
        assert int(shell.stdout.readline()) == size_mb << 20
        return size_mb / (time.perf_counter() - began)


def compare(
    name: str, unit: str, ways: tuple[Way, Way], measure: Callable[[Way], float], rounds: int
) -> None:
    found: dict[str, list[float]] = {way.name: [] for way in ways}
    for number in range(rounds):
        for way in ways if number % 2 == 0 else reversed(ways):
            found[way.name].append(measure(way))
    direct, tunnel = (statistics.median(found[way.name]) for way in ways)
    print(
        f"{name:<22} direct {direct:8.2f} {unit:<5} tunnel {tunnel:8.2f} {unit:<5} "
        f"{tunnel / direct:6.0%}   load {os.getloadavg()[0]:.1f}"
    )


@contextmanager
def ways(folder: Path) -> Iterator[tuple[Way, Way]]:
    """The direct one, and the tunnel; both end in an sshd with the same configuration."""
    home = folder / "home"
    environ = {k: v for k, v in os.environ.items() if not k.startswith("OUTLAST_")}
    environ |= {"OUTLAST_HOME": str(home), "OUTLAST_PORT": "0", "HOME": str(folder)}
    outlast = [sys.executable, "-m", "outlast"]
    subprocess.run([*outlast, "ssh-config"], env=environ, check=True, stdout=subprocess.DEVNULL)
    (config,) = (home / "ssh" / "config.d").glob("*.conf")
    tunnel = Way("tunnel", ["ssh", "-F", str(config), config.stem], environ)
    key = keys.client_key(home)
    prepared = daemon.prepare(home, "local", keys.public_of(key))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    plain = home / "direct"
    text = Path(prepared.command[4]).read_text()
    authorized = f'AuthorizedKeysFile "{key}.pub"\n'
    plain.write_text(f"Port {port}\nListenAddress 127.0.0.1\n{authorized}{text}")
    log = (folder / "sshd.log").open("wb")
    server = subprocess.Popen([prepared.command[0], "-D", "-e", "-f", str(plain)], stderr=log)
    options = ["-i", str(key), "-o", "StrictHostKeyChecking=no", "-o", "LogLevel=ERROR"]
    words = ["ssh", "-F", "none", *options, "-p", str(port), f"{prepared.user}@127.0.0.1"]
    words[1:1] = ["-o", f"UserKnownHostsFile={folder / 'known'}"]
    try:
        wait_for_port(port)
        yield Way("direct", words, environ), tunnel
    finally:
        server.terminate()
        server.wait(10)
        log.close()
        if find(home) is not None:
            subprocess.run([*outlast, "down"], env=environ, check=True, stdout=subprocess.DEVNULL)


def wait_for_port(port: int) -> None:
    for _ in range(500):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise SystemExit("sshd doesn't listen")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--mb", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=5)
    chosen = parser.parse_args()
    if shutil.which("ssh") is None:
        raise SystemExit("OpenSSH isn't here")
    folder = Path(tempfile.mkdtemp(prefix="outlast-bench-"))
    try:
        with ways(folder) as both:
            compare("log in", "s", both, login_s, chosen.rounds)
            compare("a key and its echo", "ms", both, lambda way: echo_ms(way), chosen.rounds)
            compare("down", "MB/s", both, lambda way: down_mb_per_s(way, chosen.mb), chosen.rounds)
            compare("up", "MB/s", both, lambda way: up_mb_per_s(way, chosen.mb), chosen.rounds)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def echo_ms(way: Way) -> float:
    return statistics.median(echo_s(way)) * 1000


if __name__ == "__main__":
    main()
