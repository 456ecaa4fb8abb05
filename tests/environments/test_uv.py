"""uv finds packages where pip would, and trusts whom pip trusts."""

from __future__ import annotations

from pathlib import Path

import pytest

from outlast.environments import uv


def test_pips_settings_are_uvs_where_it_has_none(tmp_path: Path) -> None:
    settings = tmp_path / ".config" / "pip" / "pip.conf"
    settings.parent.mkdir(parents=True)
    settings.write_text(
        "[global]\nindex-url = https://index/simple\nfind-links = /a\n  /b\ncert = /ca.pem\n"
    )
    asked = {"HOME": str(tmp_path), "PIP_INDEX_URL": "https://mine/simple", "UV_FIND_LINKS": "/c"}
    found = uv.clean(asked)
    assert found["UV_DEFAULT_INDEX"] == "https://mine/simple"
    assert found["UV_FIND_LINKS"] == "/c"
    assert found["SSL_CERT_FILE"] == "/ca.pem"


def test_whom_the_machine_trusts_is_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = tmp_path / "ca-certificates.crt"
    monkeypatch.setattr(uv, "_TRUSTED", (str(bundle),))
    asked = {"HOME": str(tmp_path)}
    assert "UV_SYSTEM_CERTS" not in uv.clean(asked)
    bundle.touch()
    assert uv.clean(asked)["UV_SYSTEM_CERTS"] == "1"
    assert uv.clean({**asked, "UV_SYSTEM_CERTS": "0"})["UV_SYSTEM_CERTS"] == "0"
