"""ssh and sshd read what is written for them, and the user's own file is left alone."""

from __future__ import annotations

import pwd
import subprocess
from pathlib import Path

import pytest

from outlast.errors import Conflict, Invalid, NotFound
from outlast.ssh import config, daemon, keys
from tests.ssh.test_keys import ED25519
from tests.ssh.world import needs_ssh


def understood(file: Path, host: str) -> dict[str, str]:
    """What ssh makes of a configuration."""
    words = ["ssh", "-G", "-F", str(file), host]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return dict(line.partition(" ")[::2] for line in done.stdout.splitlines())


@needs_ssh
def test_ssh_reads_the_block_of_a_tunnel(tmp_path: Path) -> None:
    home = tmp_path / "my home 50%"
    block = config.tunnel_block(home, "local", "me")
    file = config.write_block(home, "outlast-local", block)
    said = understood(file, "outlast-local")
    assert said["hostname"] == "local"
    assert said["user"] == "me"
    assert said["hostkeyalias"] == "outlast-local"
    assert said["stricthostkeychecking"] == "true"
    assert said["serveraliveinterval"] == "0"
    assert said["identitiesonly"] == "yes"
    assert "proxy" in said["proxycommand"]
    assert said["identityfile"].startswith(str(home).replace("%", "%%"))
    assert "proxycommand" not in understood(file, "elsewhere")


def test_a_server_elsewhere_has_a_name_of_its_own() -> None:
    assert config.alias("local") == "outlast-local"
    assert config.alias("local", "https://gpu.example:8686") == "outlast-local.gpu.example.8686"
    assert config.alias("local", "http://[::1]:8686") == "outlast-local.__1.8686"
    block = config.tunnel_block("/home/me/.outlast", "local", "me", url="https://gpu.example:8686")
    assert "env OUTLAST_URL=https://gpu.example:8686 " in block


@pytest.mark.parametrize("name", ["", "-oProxyCommand=x", "a b", "a\nHost *", "$(id)", "a/b", "%h"])
def test_no_name_becomes_an_option_or_a_line(name: str) -> None:
    with pytest.raises(Invalid):
        config.alias(name)
    with pytest.raises(Invalid):
        config.direct_block(name)


@needs_ssh
def test_direct_connections_speak_before_firewalls_forget(tmp_path: Path) -> None:
    file = tmp_path / "config"
    file.write_text(config.direct_block("gpu.example"))
    said = understood(file, "gpu.example")
    assert (said["serveraliveinterval"], said["serveralivecountmax"]) == ("30", "120")


def test_the_users_file_gets_one_line_and_keeps_all_others(tmp_path: Path) -> None:
    user_config = tmp_path / ".ssh" / "config"
    user_config.parent.mkdir()
    mine = b"# mine \xff\r\nHost a\n  User b"
    user_config.write_bytes(mine)
    user_config.chmod(0o644)
    assert config.include(tmp_path / "home", user_config)
    once = user_config.read_bytes()
    assert once == b'Include "%s/home/ssh/config.d/*.conf"\n\n' % bytes(tmp_path) + mine
    assert not config.include(tmp_path / "home", user_config)
    assert user_config.read_bytes() == once
    assert user_config.stat().st_mode & 0o777 == 0o644
    assert [path.name for path in user_config.parent.iterdir()] == ["config"]


def test_the_users_file_may_be_missing_or_a_link(tmp_path: Path) -> None:
    fresh = tmp_path / "fresh" / ".ssh" / "config"
    assert config.include(tmp_path / "home", fresh)
    assert fresh.stat().st_mode & 0o777 == 0o600
    dotfiles = tmp_path / "dotfiles"
    dotfiles.write_text("Host a\n")
    link = tmp_path / "link"
    link.symlink_to(dotfiles)
    assert config.include(tmp_path / "home", link)
    assert link.is_symlink()
    assert dotfiles.read_text().endswith("Host a\n")


def test_an_include_further_down_is_somebody_elses(tmp_path: Path) -> None:
    user_config = tmp_path / "config"
    line = f'Include "{tmp_path}/home/ssh/config.d/*.conf"\n'
    user_config.write_text(f"Host a\n{line}")
    assert config.include(tmp_path / "home", user_config)
    assert user_config.read_text().startswith(line)


@needs_ssh
def test_plain_ssh_finds_the_blocks_through_the_include(tmp_path: Path) -> None:
    home = tmp_path / "a home"
    config.write_block(home, "outlast-local", config.tunnel_block(home, "local", "me"))
    config.write_block(home, "direct-gpu", config.direct_block("gpu"))
    user_config = tmp_path / "config"
    user_config.write_text("Host *\n  User somebody\n")
    config.include(home, user_config)
    assert understood(user_config, "outlast-local")["user"] == "me"
    assert understood(user_config, "gpu")["serveraliveinterval"] == "30"
    assert understood(user_config, "gpu")["user"] == "somebody"


def test_a_file_that_cannot_be_changed_is_said_with_the_line_to_add(tmp_path: Path) -> None:
    in_the_way = tmp_path / "file"
    in_the_way.write_text("")
    with pytest.raises(Conflict, match="can't be changed") as caught:
        config.include(tmp_path / "home", in_the_way / "config")
    assert "Include" in (caught.value.hint or "")


def check(text: str, folder: Path) -> str:
    """What sshd complains of."""
    file = folder / "sshd_config"
    key = keys.host_key(folder, "test")
    file.write_text(text if "HostKey" in text else f'{text}HostKey "{key}"\n')
    words = [daemon.find(), "-t", "-f", str(file)]
    return subprocess.run(words, capture_output=True, text=True, check=False).stderr


@needs_ssh
def test_sshd_reads_both_of_its_configurations(tmp_path: Path) -> None:
    home = tmp_path / "a home"
    prepared = daemon.prepare(home, "local", ED25519)  # makes what sshd wants in /run, as root
    assert prepared.host_key == keys.public_of(keys.host_key(home, "local"))
    assert prepared.command[0].startswith("/")
    assert check(daemon.instance_config("me", port=2222), home) == ""
    text = daemon.tunnel_config(keys.host_key(home, "local"), "me")
    assert check(text, home) == ""
    for line in ("PermitUserEnvironment no", "GatewayPorts no", "PasswordAuthentication no"):
        assert line in text.splitlines()


def test_an_instance_speaks_before_firewalls_forget() -> None:
    text = daemon.instance_config("me").splitlines()
    assert "ClientAliveInterval 30" in text
    assert "ClientAliveCountMax 120" in text


def test_an_account_without_a_shell_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = pwd.struct_passwd(("svc", "x", 7, 7, "", "/", "/usr/sbin/nologin"))
    monkeypatch.setattr(pwd, "getpwuid", lambda _uid: entry)
    with pytest.raises(Conflict, match="no login shell"):
        daemon.account()


def test_without_sshd_it_is_said_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(daemon, "_PLACES", "")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NotFound, match="sshd"):
        daemon.find()
