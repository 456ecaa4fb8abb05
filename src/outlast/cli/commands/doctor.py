"""Check this machine and workspace, with a remedy for each finding."""

from __future__ import annotations

import os
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import click

from outlast import units
from outlast.cli import exits, reach, show
from outlast.errors import OutlastError
from outlast.process import read_stat
from outlast.transport.address import find
from outlast.transport.connection import Connection

LOW_DISK_BYTES = 2 << 30
ANSWER_S = 5.0
MOST_SKEW_S = 2.0


class Check(NamedTuple):
    """One thing looked at: how it is, and what to do when it isn't well."""

    name: str
    is_well: bool
    text: str
    remedy: str = ""


@click.command()
def command() -> int:
    """Look at what Outlast needs here, and say what to do where something is missing."""
    bad = 0
    for check in _checks(reach.workspace().home):
        mark = show.paint("ok ", "Completed") if check.is_well else show.paint("!! ", "problem")
        click.echo(f"{mark} {check.name:<12} {check.text}")
        if not check.is_well:
            bad += 1
            click.echo(f"    {'':<12} do: {check.remedy}")
    return exits.FAILED if bad else exits.OK


def _checks(home: Path) -> Iterator[Check]:
    yield Check("python", sys.version_info >= (3, 11), sys.version.split()[0], "use 3.11 or newer")
    yield _workspace(home)
    yield _disk(home)
    yield _server(home)
    yield _port(home)
    yield _inotify()
    yield _pidfd()
    yield _memory_evidence()
    yield _clock(home)
    yield _tool("git", "to note the commit of a run", "install git")
    yield _tool("py-spy", "to see what a silent run does", "pip install 'outlast[pyspy]'")


def _workspace(home: Path) -> Check:
    there = home if home.exists() else home.parent
    is_writable = os.access(there, os.W_OK | os.X_OK)
    mode = home.stat().st_mode & 0o077 if home.exists() else 0
    if mode:
        return Check("workspace", False, f"{home} is open to others", f"chmod 700 {home}")
    return Check("workspace", is_writable, str(home), f"make {there} writable, or set OUTLAST_HOME")


def _disk(home: Path) -> Check:
    there = next(path for path in (home, *home.parents) if path.exists())
    free = shutil.disk_usage(there).free
    text = f"{units.size(free)} free"
    return Check("disk", free > LOW_DISK_BYTES, text, "free some room, or: outlast rm RUN")


def _server(home: Path) -> Check:
    server = find(home)
    if server is None:
        return Check("server", True, "none runs (it is started when it is needed)")
    stat = read_stat(server.pid) if server.pid else None
    if stat is not None and stat.state in "Tt":
        text = f"pid {server.pid} is stopped by a signal or a debugger, and answers nobody"
        return Check("server", False, text, f"kill -CONT {server.pid}")
    line = Connection(server, patience_s=ANSWER_S)
    try:
        line.get("/api/status")
    except OutlastError as error:
        remedy = f"look at {home / 'server.log'}, then: outlast down"
        return Check("server", False, f"pid {server.pid} lives; {error.message}", remedy)
    finally:
        line.close()
    return Check("server", True, f"{server.url}, pid {server.pid}")


def _port(home: Path) -> Check:
    from outlast import config

    settings = config.load()
    if find(home) is not None:
        return Check("port", True, "the server has one")
    with socket.socket(socket.AF_INET6 if ":" in settings.host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except OSError as error:
            text = f"{settings.host}:{settings.port}: {error.strerror}"
            is_default = config.sources()["port"].source == "default"
            return Check("port", is_default, f"{text}{'; the next free one serves' * is_default}",
                         "choose another by OUTLAST_PORT")  # fmt: skip
    return Check("port", True, f"{settings.host}:{settings.port} is free")


def _inotify() -> Check:
    try:
        watches = int(Path("/proc/sys/fs/inotify/max_user_watches").read_text())
    except OSError:
        return Check("inotify", False, "not there", "use Linux; without it Outlast polls")
    remedy = "sysctl fs.inotify.max_user_watches=65536"
    return Check("inotify", watches >= 8192, f"{watches:,} watches", remedy)


def _pidfd() -> Check:
    try:
        os.close(os.pidfd_open(os.getpid()))
    except OSError as error:
        return Check("pidfd", False, str(error), "use Linux 5.3 or newer, and allow pidfd_open")
    return Check("pidfd", True, f"Linux {os.uname().release}")


def _memory_evidence() -> Check:
    for place in ("/sys/fs/cgroup/cgroup.controllers", "/sys/fs/cgroup/memory"):
        if Path(place).exists():
            kind = "v2" if place.endswith("controllers") else "v1"
            return Check("cgroup", True, f"{kind}; memory limits by it where it may be written")
    return Check("cgroup", True, "none: memory limits are kept by looking every 0.5 s")


def _clock(home: Path) -> Check:
    """The machine's clock beside that of the file system, which may be another machine's."""
    text = time.strftime("%F %T %Z")
    if not 2024 <= time.gmtime().tm_year < 2100:
        return Check("clock", False, text, "set the machine's clock")
    if not home.is_dir() or not os.access(home, os.W_OK):
        return Check("clock", True, text)
    with tempfile.TemporaryFile(dir=home) as file:
        file.write(b"now")
        file.flush()
        skew_s = abs(os.fstat(file.fileno()).st_mtime - time.time())
    is_well = skew_s < MOST_SKEW_S
    shown = text if is_well else f"{text}; the disk's clock differs by {units.duration(skew_s)}"
    return Check("clock", is_well, shown, "let both machines follow a time server")


def _tool(name: str, purpose: str, remedy: str) -> Check:
    found = shutil.which(name) or shutil.which(name, path=str(Path(sys.executable).parent))
    return Check(name, True, found or f"not there; it would serve {purpose} ({remedy})")
