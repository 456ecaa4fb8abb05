"""Keys are made once, host keys are pinned, and nothing else passes for a public key."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from outlast.errors import Invalid, NotFound, Refused
from outlast.ssh import keys
from tests.ssh.world import needs_ssh

ED25519 = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJhOJ8U+DgwuiyJlcRN2gHo1HGGaHPF9+lDcK1cjepJj"
OTHER = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJhOJ8U+DgwuiyJlcRN2gHo1HGGaHPF9+lDcK1cjepJk"


@needs_ssh
def test_many_processes_at_once_get_one_pair(tmp_path: Path) -> None:
    script = "import sys; from outlast.ssh import keys; print(keys.client_key(sys.argv[1]))"
    words = [sys.executable, "-c", script, str(tmp_path)]
    makers = [subprocess.Popen(words, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    said = {maker.communicate(timeout=60)[0] for maker in makers}
    key = tmp_path / "ssh" / "client" / "key"
    assert said == {f"{key}\n"}
    assert key.stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "ssh").stat().st_mode & 0o077 == 0
    assert sorted(path.name for path in (tmp_path / "ssh").iterdir()) == ["client"]
    check = subprocess.run(["ssh-keygen", "-y", "-f", key], capture_output=True, check=True)
    assert check.stdout.decode().split()[:2] == keys.public_of(key).split()


def test_without_ssh_keygen_it_is_said_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda _name: None)
    with pytest.raises(NotFound, match="ssh-keygen"):
        keys.client_key(tmp_path)
    assert list((tmp_path / "ssh").iterdir()) == []


def test_a_public_key_is_kept_without_its_comment() -> None:
    assert keys.checked(f" {ED25519} me@laptop\n") == ED25519


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ssh-ed25519",
        "ssh-ed25519 not-base64!",
        "ssh-ed25519 AAAA",
        f'command="/bin/sh" {ED25519}',
        f'from="*",environment="A=b" {ED25519}',
        ED25519.replace("ssh-ed25519 ", "ssh-rsa "),
        f"ssh-ed25519-cert-v01@openssh.com {ED25519.split()[1]}",
        f"{ED25519}\n{OTHER}",
        f"{ED25519} comment\n{OTHER}",
        f"cert-authority {ED25519}",
        f"{ED25519} {'x' * 5000}",
    ],
)
def test_what_is_no_plain_public_key_is_refused(text: str) -> None:
    with pytest.raises(Invalid, match="public_key"):
        keys.checked(text)


def test_a_host_key_that_changes_is_refused_and_the_first_stays(tmp_path: Path) -> None:
    place = keys.pin(tmp_path, "outlast-local", ED25519)
    keys.pin(tmp_path, "outlast-other", OTHER)
    keys.pin(tmp_path, "outlast-local", ED25519)
    with pytest.raises(Refused, match="another one than before"):
        keys.pin(tmp_path, "outlast-local", OTHER)
    assert place.read_text() == f"outlast-local {ED25519}\noutlast-other {OTHER}\n"


def test_each_key_has_a_file_of_its_own(tmp_path: Path) -> None:
    one, other = keys.authorize(tmp_path, ED25519), keys.authorize(tmp_path, OTHER)
    assert keys.authorize(tmp_path, f"{ED25519} again") == one
    assert (one.read_text(), other.read_text()) == (f"{ED25519}\n", f"{OTHER}\n")
    assert one.stat().st_mode & 0o777 == 0o600
