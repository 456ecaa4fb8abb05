"""Settings: precedence, refusals that name the nearest, and the docs page that equals the code."""

from __future__ import annotations

from pathlib import Path

import pytest

from outlast import config
from outlast.errors import Invalid

MOST_SETTINGS = 29
DOCS = Path(__file__).parents[1] / "docs" / "settings.md"


def environ(home: Path, **more: str) -> dict[str, str]:
    return {"OUTLAST_HOME": str(home), "PATH": "/bin", **more}


def test_flag_beats_variable_beats_file_beats_default(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text('port = 1\ncpus = 2\nallowed_hosts = ["a", "b:80"]\n')
    given = environ(tmp_path, OUTLAST_CPUS="3.5", OUTLAST_GPUS="0")
    settings = config.load({"gpus": 1, "port": None}, given)
    assert (settings.port, settings.cpus, settings.gpus) == (1, 3.5, 1)
    assert settings.allowed_hosts == ("a", "b:80")
    assert settings.host == "127.0.0.1"
    found = config.sources({"gpus": 1}, given)
    assert found["port"].source == str(tmp_path / "config.toml")
    assert found["cpus"].source == "OUTLAST_CPUS"
    assert found["gpus"].source == "--gpus"
    assert found["host"].source == "default"
    assert found["home"].source == "OUTLAST_HOME"


def test_database_and_blobs_live_in_the_workspace_unless_told_otherwise(tmp_path: Path) -> None:
    settings = config.load({}, environ(tmp_path))
    assert settings.database == f"sqlite:///{tmp_path}/outlast.db"
    assert settings.blobs == str(tmp_path / "blobs")
    assert settings.runs_folder == str(tmp_path / "runs")
    assert config.load({"database_url": "postgresql://x"}, environ(tmp_path)).database == (
        "postgresql://x"
    )


def test_variables_of_a_run_are_no_settings(tmp_path: Path) -> None:
    given = environ(tmp_path, OUTLAST_RUN="/x", OUTLAST_TOKEN="t", OUTLAST_TEST_DATABASE="y")
    assert config.load({}, given).port == 8686


@pytest.mark.parametrize(
    ("flags", "variables", "text", "words"),
    [
        ({"prot": 1}, {}, "", ("--prot", "--port")),
        ({}, {"OUTLAST_PROT": "1"}, "", ("OUTLAST_PROT", "OUTLAST_PORT")),
        ({}, {}, "prot = 1", ("prot", "port", "config.toml")),
        ({}, {}, "port = 'x'", ("port = 'x'", "whole number", "config.toml")),
        ({}, {"OUTLAST_PORT": "70000"}, "", ("port", "65535", "OUTLAST_PORT")),
        ({}, {"OUTLAST_PORT": "1.5"}, "", ("port", "whole number")),
        ({"port": True}, {}, "", ("port", "whole number")),
        ({}, {"OUTLAST_CPUS": "nan"}, "", ("cpus",)),
        ({}, {"OUTLAST_INSECURE_BIND": "perhaps"}, "", ("insecure_bind", "true or false")),
        ({}, {}, "port = ", ("isn't TOML",)),
        ({}, {}, "home = '/x'", ("OUTLAST_HOME",)),
        ({"log_level": "loud"}, {}, "", ("log_level", "warning")),
        ({"tls_cert": "/c"}, {}, "", ("tls_key", "both")),
    ],
)
def test_what_is_wrong_is_named_with_its_remedy(
    tmp_path: Path,
    flags: dict[str, object],
    variables: dict[str, str],
    text: str,
    words: tuple[str, ...],
) -> None:
    (tmp_path / "config.toml").write_text(text)
    with pytest.raises(Invalid) as caught:
        config.load(flags, environ(tmp_path, **variables))
    for word in words:
        assert word in caught.value.message


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7", "example.org"])
@pytest.mark.parametrize("has_tls", [False, True])
@pytest.mark.parametrize("is_insecure", [False, True])
@pytest.mark.parametrize("has_auth", [False, True])
def test_an_open_address_needs_auth_and_tls_or_a_word(
    tmp_path: Path, host: str, has_tls: bool, is_insecure: bool, has_auth: bool
) -> None:
    flags: dict[str, object] = {"host": host, "insecure_bind": is_insecure}
    flags["insecure_no_auth"] = not has_auth
    if has_tls:
        flags |= {"tls_cert": "/c", "tls_key": "/k"}
    if has_auth and (has_tls or is_insecure):
        assert config.load(flags, environ(tmp_path)).host == host
        return
    with pytest.raises(Invalid):
        config.load(flags, environ(tmp_path))


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_loopback_may_be_without_tls(tmp_path: Path, host: str) -> None:
    assert config.load({"host": host, "insecure_no_auth": True}, environ(tmp_path)).host == host


def test_every_setting_is_told_and_the_page_equals_the_code() -> None:
    assert set(config.ABOUT) == set(config.Settings._fields)
    assert len(config.ABOUT) < 30
    page = DOCS.read_text()
    for name, kind, default, about in config.as_table():
        assert f"| `{name}` | {kind} | {default} | {about} |" in page


def test_there_are_fewer_than_thirty_settings() -> None:
    assert len(config.Settings._fields) <= MOST_SETTINGS


def test_a_quota_leaves_room_for_the_last_lines(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="output_quota_bytes = 1000"):
        config.load({"output_quota_bytes": 1000}, environ(tmp_path))
