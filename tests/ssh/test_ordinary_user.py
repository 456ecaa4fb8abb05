"""Without root: the server of an ordinary account lets its owner in, and nobody else."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ssh.world import PATH, needs_root, needs_ssh

pytestmark = [needs_ssh, needs_root, pytest.mark.root, pytest.mark.slow]

NAME = "outlast-test"


def tool(name: str) -> str:
    found = shutil.which(name, path=PATH)
    if found is None:
        pytest.skip(f"{name} isn't here")
    return found


@pytest.fixture(scope="module")
def account() -> Iterator[pwd.struct_passwd]:
    """An account of its own, removed at the end."""
    tool("userdel")
    # Without a password, but not locked: who may read /etc/shadow lets no locked account in.
    add = [tool("useradd"), "--create-home", "--shell", "/bin/sh", "--password", "*", NAME]
    done = subprocess.run(add, capture_output=True, text=True, check=False)
    if done.returncode not in (0, 9):  # 9: left over by a test that was killed
        pytest.skip(f"no account can be made here: {done.stderr.strip()}")
    try:
        yield pwd.getpwnam(NAME)
    finally:
        subprocess.run(
            [tool("userdel"), "--remove", "--force", NAME], capture_output=True, check=False
        )


class Owner:
    """Runs commands as an ordinary user, in a workspace of its own."""

    def __init__(self, account: pwd.struct_passwd, folder: Path) -> None:
        self.folder = folder
        self.words = [
            tool("setpriv"), f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}",
            "--clear-groups",
        ]  # fmt: skip
        if not self.can_run_python():
            # Python lies in a folder of root's: the right to read it is all that is added.
            right = "+dac_read_search"
            self.words += [f"--inh-caps=-all,{right}", f"--ambient-caps=-all,{right}"]
        self.environ = {
            "PATH": PATH,
            "HOME": account.pw_dir,
            "USER": account.pw_name,
            "OUTLAST_HOME": str(folder / "home"),
            "OUTLAST_PORT": "0",
            "PYTHONDONTWRITEBYTECODE": "1",
        }

    def can_run_python(self) -> bool:
        """Also as a child of its own, as a server and its supervisors are started."""
        script = "import subprocess, sys; subprocess.check_call([sys.executable, '-c', ''])"
        words = [*self.words, sys.executable, "-c", script]
        return subprocess.run(words, capture_output=True, cwd="/", check=False).returncode == 0

    def run(self, *words: str, data: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [*self.words, *words], env=self.environ, input=data, capture_output=True, timeout=60,
            check=False, cwd="/",
        )  # fmt: skip

    def outlast(self, *words: str) -> subprocess.CompletedProcess[bytes]:
        done = self.run(sys.executable, "-m", "outlast", *words)
        assert done.returncode == 0, done.stderr
        return done


@pytest.fixture(scope="module")
def owner(account: pwd.struct_passwd) -> Iterator[Owner]:
    # Not below pytest's own folder, which only root may enter.
    folder = Path(tempfile.mkdtemp(prefix="outlast-owner-"))
    os.chown(folder, account.pw_uid, account.pw_gid)
    made = Owner(account, folder)
    if not made.can_run_python():
        shutil.rmtree(folder)
        pytest.skip(f"an ordinary user can't run {sys.executable}")
    try:
        made.outlast("up", "--detach")
        yield made
        made.outlast("down")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def test_its_owner_runs_commands_and_copies_files(owner: Owner, account: pwd.struct_passwd) -> None:
    done = owner.outlast("ssh", "local", "id -u; id -gn; cat")
    assert done.stdout.split() == [str(account.pw_uid).encode(), NAME.encode()]
    (config,) = (owner.folder / "home" / "ssh" / "config.d").glob("*.conf")
    source, copy = owner.folder / "home" / "token", owner.folder / "copy"
    done = owner.run("scp", "-q", "-F", str(config), str(source), f"{config.stem}:{copy}")
    assert done.returncode == 0, done.stderr
    assert copy.read_bytes() == source.read_bytes()


def test_no_other_account_is_entered(owner: Owner) -> None:
    done = owner.run(
        sys.executable, "-m", "outlast", "ssh", "local", "-l", "root", "-o", "BatchMode=yes", "id"
    )
    assert done.returncode == 255
    assert b"Permission denied" in done.stderr
