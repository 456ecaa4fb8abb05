"""sshd at the node: the configuration of one behind a tunnel, and of a plain one on an instance.

`sshd -i` serves one connection on its stdin and stdout, as root or as an ordinary user, who can
then be entered as alone. It listens nowhere: only who holds the tunnel reaches it. What it is told
stands here; who starts it is the supervisor, who asks for it the server's `routes/tunnels`.
"""

from __future__ import annotations

import os
import pwd
import re
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

from outlast.errors import Conflict, NotFound
from outlast.ssh import keys

CHECK_S = 10.0
# Firewalls and balancers forget an idle connection after 60 s (small routers) to 350 s.
ALIVE_INTERVAL_S = 30
# An hour without an answer: a sleeping laptop is back by then, a lost one doesn't stay for ever.
ALIVE_COUNT = 120
_PLACES = "/usr/sbin:/sbin:/usr/local/sbin:/usr/lib/ssh:/usr/libexec"
_NO_SHELLS = ("nologin", "false")

# Both kinds. No password is asked for, so PAM has nothing to check; without it sshd needs no root.
_COMMON = """\
PubkeyAuthentication yes
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
AllowTcpForwarding yes
AllowStreamLocalForwarding yes
AllowAgentForwarding yes
GatewayPorts no
X11Forwarding no
PermitTunnel no
PermitUserEnvironment no
AcceptEnv LANG LC_*
PrintMotd no
UseDNS no
Subsystem sftp internal-sftp
"""


class Daemon(NamedTuple):
    """An `sshd -i` as a tunnel starts it."""

    command: tuple[str, ...]
    user: str  # as whom alone one may enter
    host_key: str


def prepare(home: str | Path, target: str, public_key: str) -> Daemon:
    """The sshd of a tunnel to this machine for whoever has this key. Blocks.

    Raises Invalid for the key, NotFound without sshd, Conflict when it can't serve this account.
    """
    program = find()
    user = account()
    host_key = keys.host_key(home, target)
    config = keys.folder(home) / "hosts" / target / "sshd_config"
    text = tunnel_config(host_key, user)
    if not config.exists() or config.read_text() != text:
        keys.write_whole(config, text)
    _check(program, config)  # each time: what it wants in /run is gone after a reboot
    # The key of this client alone: another client's tunnel doesn't open for it.
    authorized = keys.authorize(home, public_key)
    command = (program, "-i", "-e", "-f", str(config), "-o", f'AuthorizedKeysFile "{authorized}"')
    return Daemon(command, user, keys.public_of(host_key))


def tunnel_config(host_key: Path, user: str) -> str:
    """The sshd_config of a tunnel.

    It neither asks whether the client lives nor limits the time of the login: a connection that is
    away for hours is nothing unusual here, and the tunnel itself knows when its client is gone.
    """
    return f"""\
HostKey "{host_key}"
PidFile none
UsePAM no
StrictModes no
AllowUsers {user}
LoginGraceTime 0
ClientAliveInterval 0
TCPKeepAlive no
LogLevel ERROR
SetEnv OUTLAST_DETACHED=1
{_COMMON}"""


def instance_config(user: str, *, port: int = 22) -> str:
    """A plain sshd_config for an instance that one connects to directly.

    sshd speaks more often than any usual firewall forgets, and bears an hour without an answer.
    """
    return f"""\
# sshd_config of an instance, made by Outlast.
Port {port}
# A packet every {ALIVE_INTERVAL_S} s: firewalls forget what is idle after 60 to 350 s.
ClientAliveInterval {ALIVE_INTERVAL_S}
# So many without an answer, {ALIVE_INTERVAL_S * ALIVE_COUNT // 60} minutes, end the connection.
ClientAliveCountMax {ALIVE_COUNT}
TCPKeepAlive no
AllowUsers {user}
{_COMMON}"""


def find() -> str:
    """The path of sshd. Raises NotFound."""
    program = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:{_PLACES}")
    if program is None:
        raise NotFound(
            "there is no sshd on the server's machine: tunnels end in one",
            hint="install OpenSSH's server (Debian: apt-get install openssh-server)",
        )
    return str(Path(program).absolute())  # sshd starts itself again by this name


def account() -> str:
    """The account of this process, which is the one to enter. Raises Conflict."""
    try:
        entry = pwd.getpwuid(os.geteuid())
    except KeyError:
        raise Conflict(
            f"user {os.geteuid()} has no entry in /etc/passwd: sshd lets nobody in as it"
        ) from None
    if Path(entry.pw_shell).name in _NO_SHELLS:
        raise Conflict(
            f"user {entry.pw_name} has no login shell ({entry.pw_shell}): sshd lets nobody in",
            hint=f"usermod --shell /bin/bash {entry.pw_name}   (as root)",
        )
    return entry.pw_name


def _check(program: str, config: Path) -> None:
    """Let sshd read its configuration, and make the folder that it wants as root."""
    said = _said(program, config)
    missing = re.search(r"Missing privilege separation directory: (/\S+)", said)
    if missing is not None and os.geteuid() == 0:
        Path(missing.group(1)).mkdir(mode=0o755, parents=True, exist_ok=True)
        said = _said(program, config)
    if said:
        raise Conflict(f"sshd can't serve here: {said}", hint=f"{program} -t -f {config}")


def _said(program: str, config: Path) -> str:
    done = subprocess.run(
        [program, "-t", "-f", str(config)],
        stdin=subprocess.DEVNULL, capture_output=True, timeout=CHECK_S, check=False,
    )  # fmt: skip
    return done.stderr.decode("utf-8", "replace").strip() if done.returncode else ""
