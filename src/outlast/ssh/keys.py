"""Who may enter, and whom one has reached: key pairs, authorized keys, pinned host keys.

All in `$OUTLAST_HOME/ssh` (0700), nothing of ~/.ssh is read or changed:

    client/key, key.pub       of this workspace's clients
    hosts/TARGET/key, key.pub the host key of a target
    authorized/DIGEST         one public key each, for the tunnels that this key asked for
    known_hosts               the host keys that this client has met

Files appear whole or not at all, so that many processes may want them at once. What is made of them
is in `daemon` and `config`.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from outlast.errors import Invalid, NotFound, Refused, Unreachable

KEYGEN_S = 30.0
MAX_KEY_CHARS = 4_096
# What a client may show: no certificates, whose options would be an authority's and not ours.
KEY_TYPES = frozenset(
    (
        "ssh-ed25519",
        "sk-ssh-ed25519@openssh.com",
        "ecdsa-sha2-nistp256",
        "ecdsa-sha2-nistp384",
        "ecdsa-sha2-nistp521",
        "ssh-rsa",
    )
)


def folder(home: str | Path) -> Path:
    """Where all of this lies."""
    return Path(home, "ssh")


def client_key(home: str | Path) -> Path:
    """The private key of this workspace's clients, made when there is none.

    The public one has the same name with `.pub`. Raises NotFound without ssh-keygen, Unreachable.
    """
    return _pair(folder(home) / "client", "outlast")


def host_key(home: str | Path, target: str) -> Path:
    """The private host key of a target, made when there is none; raises as `client_key`."""
    return _pair(folder(home) / "hosts" / target, f"outlast {target}")


def public_of(key: Path) -> str:
    """Type and key of a pair, without the comment."""
    return " ".join(key.with_suffix(".pub").read_text().split()[:2])


def checked(public_key: str) -> str:
    """Type and key of what a client calls its public key. Raises Invalid."""
    line = public_key.strip()
    kind, _, rest = line.partition(" ")
    text = rest.split(" ")[0]
    try:
        data = base64.b64decode(text, validate=True)
        is_one = data[4 : 4 + len(kind)].decode() == kind and int.from_bytes(data[:4]) == len(kind)
    except (binascii.Error, UnicodeDecodeError, ValueError):
        is_one = False
    if kind not in KEY_TYPES or not is_one or len(line) > MAX_KEY_CHARS or "\n" in line:
        remedy = f"give one line of a .pub file, of type {', '.join(sorted(KEY_TYPES))}"
        raise Invalid.field("public_key", public_key[:100], remedy)
    return f"{kind} {text}"


def authorize(home: str | Path, public_key: str) -> Path:
    """A file for sshd's AuthorizedKeysFile with this one key in it. Raises Invalid."""
    line = checked(public_key) + "\n"
    place = folder(home) / "authorized" / hashlib.sha256(line.encode()).hexdigest()
    if not place.exists():
        write_whole(place, line)
    return place


def pin(home: str | Path, alias: str, public_key: str) -> Path:
    """Note the host key of `alias`, and return the file for ssh's UserKnownHostsFile.

    Raises Refused, and nothing has changed, when it had another one before.
    """
    line = f"{alias} {checked(public_key)}\n"
    place = known_hosts(home)
    place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _locked(place.parent / "lock"):
        known = place.read_text() if place.exists() else ""
        for other in known.splitlines(keepends=True):
            if other == line:
                return place
            if other.split(" ")[0] == alias:
                raise Refused(
                    f"the host key of {alias} is another one than before: somebody may be in "
                    "between, or the workspace was made anew",
                    hint=f"if it was: ssh-keygen -R {alias} -f {place}",
                )
        write_whole(place, known + line)
    return place


def known_hosts(home: str | Path) -> Path:
    """The file of pinned host keys."""
    return folder(home) / "known_hosts"


def write_whole(place: Path, text: str) -> None:
    """Write a file (0600) that is there with all of its text, or not at all."""
    place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fd, temporary = tempfile.mkstemp(prefix=".making-", dir=place.parent)
    try:
        with open(fd, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).rename(place)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _pair(place: Path, comment: str) -> Path:
    """A key pair in a folder of its own, which appears whole."""
    key = place / "key"
    if key.exists():
        return key
    place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    making = Path(tempfile.mkdtemp(prefix=".making-", dir=place.parent))
    try:
        _generate(making / "key", comment)
        # Fails when another process was faster: its pair is as good.
        with contextlib.suppress(OSError):
            making.rename(place)
    finally:
        shutil.rmtree(making, ignore_errors=True)
    if not key.exists():
        raise Unreachable(f"no key could be made at {key}", hint=f"look at {place.parent}")
    return key


def _generate(key: Path, comment: str) -> None:
    program = shutil.which("ssh-keygen")
    if program is None:
        raise NotFound(
            "ssh-keygen isn't here, so no key can be made", hint="install OpenSSH's client"
        )
    words = [program, "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", str(key)]
    done = subprocess.run(
        words, stdin=subprocess.DEVNULL, capture_output=True, timeout=KEYGEN_S, check=False
    )
    if done.returncode != 0:
        said = done.stderr.decode("utf-8", "replace").strip()
        raise Unreachable(f"ssh-keygen made no key: {said}")


@contextlib.contextmanager
def _locked(place: Path) -> Iterator[None]:
    fd = os.open(place, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)
