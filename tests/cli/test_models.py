"""`outlast models`: what each verb prints, and what it does."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cli.terminal import Piped


def test_a_model_from_its_file_to_its_deletion(cli: Piped, tmp_path: Path) -> None:
    model = tmp_path / "model.pkl"
    model.write_bytes(b"\x80\x04cos\nsystem\n")  # a pickle is bytes like any other
    words = ["models", "register", "digits", str(model), "--tag", "team=a", "--description", "text"]
    made = cli(*words)
    assert (made.code, made.out) == (0, "registered digits:1, 13 bytes\n")
    assert cli("models", "register", "digits", str(model), "-q").out == "digits:2\n"
    assert cli("models", "alias", "digits:1", "production").out == (
        "digits:production is version 1\n"
    )
    listed = cli("models", "ls", "digits").out.splitlines()
    assert listed[0].split() == ["MODEL", "ALIASES", "AGE", "SIZE", "TAGS", "DESCRIPTION"]
    assert listed[2].split()[:2] == ["digits:1", "production"]
    shown = cli("models", "show", "digits:production").out
    assert "digits:1" in shown
    assert "team=a" in shown
    assert "model.pkl" in shown
    assert (
        json.loads(cli("models", "show", "digits:1", "--json").out)["files"][0]["size_bytes"] == 13
    )
    assert cli("models", "tag", "digits:1", "team=b", "x=1", "--remove", "x").out == (
        "digits:1  team=b x=1\n"
    )
    fetched = cli("models", "download", "digits:production", str(tmp_path / "here"))
    assert fetched.out == f"digits:1 in {tmp_path}/here/model.pkl\n"
    assert (tmp_path / "here" / "model.pkl").read_bytes() == model.read_bytes()
    assert cli("models", "alias", "digits", "production", "--remove").code == 0
    assert cli("models", "rm", "digits", "-y").code == 2
    assert cli("models", "rm", "digits:2", "-y").code == 0
    assert cli("models", "ls", "-q").out == "digits:1\n"


def test_what_is_not_there_says_what_to_type(cli: Piped, tmp_path: Path) -> None:
    missing = cli("models", "show", "nothing")
    assert (missing.code, missing.err) == (
        5, "error: there is no model 'nothing'\n  try: outlast models ls\n",
    )  # fmt: skip
    assert cli("models", "register", "digits", str(tmp_path / "nothing")).code == 5
