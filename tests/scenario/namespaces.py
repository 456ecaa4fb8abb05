"""A client, a firewall and a server, each in a network namespace of its own. Needs root."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

FORGETS_S = 3
CLIENT, SERVER = "10.77.1.2", "10.77.2.2"
_PATH = f"{os.environ['PATH']}:/usr/sbin:/sbin"

_RULES = """
table inet firewall {
    chain cuts { }
    chain forward {
        type filter hook forward priority 0; policy drop;
        jump cuts
        ct state invalid drop
        ct state established accept
        ct state new tcp flags & (fin | syn | rst | ack) == syn accept
    }
}
"""


class Namespaces:
    """The three of them, joined by two links."""

    def __init__(self) -> None:
        self._mark = f"outlast-{os.getpid()}"

    def words(self, where: str, *command: str) -> list[str]:
        """The command line that runs `command` in `client`, `firewall` or `server`."""
        ip = shutil.which("ip", path=_PATH)
        assert ip is not None
        return [ip, "netns", "exec", f"{self._mark}-{where}", *command]

    def run(self, where: str, *command: str, text: str = "") -> str:
        done = subprocess.run(
            self.words(where, *command),
            input=text, capture_output=True, text=True, timeout=20, check=False,
            env={**os.environ, "PATH": _PATH},
        )  # fmt: skip
        assert done.returncode == 0, f"{command}: {done.stderr}"
        return done.stdout

    def make(self) -> None:
        for where in ("client", "firewall", "server"):
            _ip("netns", "add", f"{self._mark}-{where}")
            self.run(where, "ip", "link", "set", "lo", "up")
        self._join("client", CLIENT, "wall1", "10.77.1.1")
        self._join("server", SERVER, "wall2", "10.77.2.1")
        settings = {
            "net/ipv4/ip_forward": 1,
            "net/netfilter/nf_conntrack_tcp_timeout_established": FORGETS_S,
            # What isn't known isn't taken up in its middle.
            "net/netfilter/nf_conntrack_tcp_loose": 0,
        }
        self.run("firewall", "nft", "-f", "-", text=_RULES)
        for name, value in settings.items():
            self.run("firewall", "sh", "-c", f"echo {value} > /proc/sys/{name}")

    def _join(self, where: str, address: str, device: str, gateway: str) -> None:
        _ip(
            "link", "add", device, "netns", f"{self._mark}-firewall",
            "type", "veth", "peer", "name", "out", "netns", f"{self._mark}-{where}",
        )  # fmt: skip
        self.run("firewall", "ip", "address", "add", f"{gateway}/24", "dev", device)
        self.run("firewall", "ip", "link", "set", device, "up")
        self.run(where, "ip", "address", "add", f"{address}/24", "dev", "out")
        self.run(where, "ip", "link", "set", "out", "up")
        self.run(where, "ip", "route", "add", "default", "via", gateway)

    def limit(self, rate: str) -> None:
        """How much passes towards the server."""
        words = ("tc", "qdisc", "replace", "dev", "wall2", "root", "tbf", "rate", rate)
        self.run("firewall", *words, "burst", "256k", "latency", "50ms")

    def forget(self) -> None:
        """Let the firewall forget every connection, silently: nothing passes for a while."""
        for device in ("wall1", "wall2"):
            self.run("firewall", "ip", "link", "set", device, "down")
        time.sleep(FORGETS_S + 1)
        for device in ("wall1", "wall2"):
            self.run("firewall", "ip", "link", "set", device, "up")

    def reset(self) -> None:
        """Let the firewall answer every packet by a reset, for a moment."""
        rule = "add rule inet firewall cuts meta l4proto tcp reject with tcp reset"
        self.run("firewall", "nft", rule)
        time.sleep(0.5)
        self.run("firewall", "nft", "flush chain inet firewall cuts")

    def remove(self) -> None:
        for where in ("client", "firewall", "server"):
            subprocess.run(
                ["ip", "netns", "delete", f"{self._mark}-{where}"],
                env={"PATH": _PATH}, capture_output=True, timeout=20, check=False,
            )  # fmt: skip


def why_not() -> str:
    """Why there can be no namespaces here; "" if there can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    absent = [name for name in ("ip", "nft", "tc") if shutil.which(name, path=_PATH) is None]
    if absent:
        return f"{', '.join(absent)} isn't here"
    probe = Namespaces()
    try:
        probe.make()
    except AssertionError as error:
        return f"this kernel lets nobody build the firewall: {error}"
    finally:
        probe.remove()
    return ""


@contextmanager
def namespaces() -> Iterator[Namespaces]:
    made = Namespaces()
    try:
        made.make()
        yield made
    finally:
        made.remove()


def _ip(*words: str) -> None:
    done = subprocess.run(
        ["ip", *words], env={"PATH": _PATH}, capture_output=True, text=True, timeout=20, check=False
    )
    assert done.returncode == 0, f"ip {' '.join(words)}: {done.stderr}"
