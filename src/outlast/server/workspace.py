"""What a server keeps in the workspace folder for itself: lock, token, and where it listens.

`lock` is held (flock) as long as the server lives, so the kernel gives it back however it dies.
`server.json` says who answers and is written when it does; a stale one names a process that is
gone. `token` (0600) is made at the first start and stays.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
from typing import Any

from outlast.errors import Conflict, Invalid
from outlast.process import Identity

LOCK = "server.lock"
TOKEN = "token"
FACTS = "server.json"
TOKEN_BYTES = 32


class AlreadyRunning(Conflict):
    """Another server looks after this workspace."""


def make_folder(home: str) -> None:
    """The workspace folder, for this user alone. Raises Invalid where it can't be made."""
    try:
        os.makedirs(os.path.join(home, "runs"), mode=0o700, exist_ok=True)
        os.chmod(home, 0o700)
    except OSError as error:
        remedy = f"it can't be used as a workspace ({error.strerror}); set OUTLAST_HOME"
        raise Invalid.field("home", home, remedy) from None


class Lock:
    """The right to serve a workspace; one process at a time has it."""

    def __init__(self, home: str) -> None:
        """Take it at once. Raises AlreadyRunning, which says who has it."""
        self.home = home
        self.fd = os.open(os.path.join(home, LOCK), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            who = os.read(self.fd, 4096).decode("utf-8", "replace").strip()
            os.close(self.fd)
            facts = read_facts(home) or {}
            url = facts.get("url", "")
            shown = f"pid {who or facts.get('pid', 'unknown')}" + (f", {url}" if url else "")
            raise AlreadyRunning(
                f"a server already looks after {home} ({shown})", hint="outlast status"
            ) from None
        os.ftruncate(self.fd, 0)
        os.write(self.fd, f"{os.getpid()}\n".encode())

    def is_in_place(self) -> bool:
        """Is the workspace still where it was? It may have been removed, moved or replaced."""
        try:
            found = os.stat(os.path.join(self.home, LOCK))
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError:  # nobody can tell just now
            return True
        return os.path.samestat(found, os.fstat(self.fd))

    def release(self) -> None:
        """Let the next server in."""
        os.ftruncate(self.fd, 0)
        os.close(self.fd)


def token(home: str) -> str:
    """The workspace's admin token: 256 bits, made if there is none yet.

    Raises Invalid when others can read the file: whoever did may know the token.
    """
    path = os.path.join(home, TOKEN)
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        _write_synced(path, secrets.token_hex(TOKEN_BYTES).encode() + b"\n")
        return token(home)
    with os.fdopen(fd) as file:
        if os.fstat(fd).st_mode & 0o077:
            raise Invalid(
                f"others may read {path}: the token in it may be known to them",
                hint=f"rm {path}   (a new token is made at the next start)",
            )
        text = file.read().strip()
    if len(text) < 2 * TOKEN_BYTES:
        raise Invalid(f"{path} holds no token", hint=f"rm {path}   (a new one is made)")
    return text


def write_facts(home: str, url: str, version: str) -> None:
    """Say who answers, and where."""
    me = Identity.of(os.getpid())
    if me is None:
        raise AssertionError("a process can read its own /proc entry")
    facts = {**me._asdict(), "url": url, "version": version}
    _write_synced(os.path.join(home, FACTS), json.dumps(facts).encode() + b"\n")


def read_facts(home: str) -> dict[str, Any] | None:
    """Who answered last; None when nobody did, or the file can't be understood."""
    try:
        with open(os.path.join(home, FACTS)) as file:
            facts = json.load(file)
    except (OSError, ValueError):
        return None
    return facts if isinstance(facts, dict) else None


def remove_facts(home: str) -> None:
    """Say that nobody answers any more."""
    facts = read_facts(home)
    if facts is not None and facts.get("pid") == os.getpid():
        os.unlink(os.path.join(home, FACTS))


def _write_synced(path: str, content: bytes) -> None:
    """All or nothing, 0600, on the disk on return."""
    temporary = f"{path}.{os.getpid()}"
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(fd)
    os.rename(temporary, path)
