"""The client's ssh_config: a Host block for a target, and how it comes into ~/.ssh/config.

The blocks are files of ours in `$OUTLAST_HOME/ssh/config.d`; the user's own file gets one Include
line before all others, once, and is otherwise left as it is, byte by byte.
"""

from __future__ import annotations

import os
import re
import shlex
import sys
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

from outlast.errors import Conflict, Invalid
from outlast.ssh import keys
from outlast.ssh.daemon import ALIVE_COUNT, ALIVE_INTERVAL_S

# A target as the server names it, and a host that one connects to directly.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,200}")


def alias(target: str, url: str = "") -> str:
    """What `ssh` is told, and under which name the host key is pinned.

    `url` is that of a server elsewhere: `outlast-local` is always this workspace's own machine.
    """
    place = urlsplit(url)
    host = f".{place.hostname}" if place.hostname else ""
    port = f".{place.port}" if place.port else ""
    return f"outlast-{checked(target)}{host}{port}".replace(":", "_")


def checked(name: str) -> str:
    """Raises Invalid for what can't stand in a configuration or a command line."""
    if not _NAME.fullmatch(name):
        raise Invalid.field("target", name, "use letters, digits and . _ : -, as `local`")
    return name


def tunnel_block(home: str | Path, target: str, user: str, *, url: str = "") -> str:
    """The Host block of a target behind a tunnel.

    ssh itself asks nothing (ServerAliveInterval 0): the tunnel notices within 6 s that the link is
    dead, and a link that is away for hours is no reason to end anything.
    """
    proxy = [sys.executable, "-m", "outlast"]
    proxy = ["env", f"OUTLAST_URL={url}", *proxy] if url else [*proxy, "--home", str(home)]
    words = shlex.join([*proxy, "proxy"]).replace("%", "%%")
    name = alias(target, url)
    return f"""\
Host {name}
    HostName {target}
    User {user}
    ProxyCommand {words} %h
    HostKeyAlias {name}
    UserKnownHostsFile {_quoted(keys.known_hosts(home))}
    GlobalKnownHostsFile /dev/null
    StrictHostKeyChecking yes
    IdentityFile {_quoted(keys.folder(home) / "client" / "key")}
    IdentitiesOnly yes
    ServerAliveInterval 0
    TCPKeepAlive no
    ConnectTimeout 0
"""


def direct_block(host: str) -> str:
    """The Host block of a host that one connects to without a tunnel.

    A packet every 30 s keeps firewalls from forgetting the connection, which they do after 60 to
    350 s without one. It can't survive a network that is really gone: a tunnel can.
    """
    return f"""\
Host {checked(host)}
    ServerAliveInterval {ALIVE_INTERVAL_S}
    ServerAliveCountMax {ALIVE_COUNT}
    TCPKeepAlive no
"""


def write_block(home: str | Path, name: str, block: str) -> Path:
    """Put a block into our folder and return its file, which `ssh -F` takes as well."""
    place = keys.folder(home) / "config.d" / f"{checked(name)}.conf"
    if not place.exists() or place.read_text() != block:
        keys.write_whole(place, block)
    return place


def include(home: str | Path, user_config: Path) -> bool:
    """Let the user's ssh know our blocks; False when it does already.

    Raises Conflict when the file can't be written; it is as it was then.
    """
    blocks = keys.folder(home) / "config.d" / "*.conf"
    return _include(f"Include {_quoted(blocks)}\n", user_config)


def _include(line: str, user_config: Path) -> bool:
    real = Path(os.path.realpath(user_config))  # a link into somebody's dotfiles stays one
    try:
        before = real.read_bytes() if real.exists() else b""
        if line.encode() in _head(before):
            return False
        real.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        mode = real.stat().st_mode & 0o777 if real.exists() else 0o600
        fd, temporary = tempfile.mkstemp(prefix=".outlast-", dir=real.parent)
        try:
            with open(fd, "wb") as file:
                file.write(line.encode() + (b"\n" if before else b"") + before)
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).chmod(mode)
            Path(temporary).rename(real)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise Conflict(
            f"{user_config} can't be changed: {error.strerror or error}",
            hint=f"put this line at its top yourself: {line.strip()}",
        ) from None
    return True


def _head(text: bytes) -> list[bytes]:
    """The lines before the first Host or Match: an Include further down is only theirs."""
    head = []
    for line in text.splitlines(keepends=True):
        if line.strip().lower().startswith((b"host ", b"match ", b"host\t", b"match\t")):
            break
        head.append(line if line.endswith(b"\n") else line + b"\n")
    return head


def _quoted(path: Path) -> str:
    text = str(path).replace("%", "%%")
    if '"' in text or "\n" in text:
        raise Invalid.field("home", text, "ssh can't name a path with a quote or a line break")
    return f'"{text}"'
