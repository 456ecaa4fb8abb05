"""`outlast demo`, end to end: what a newcomer sees first."""

from __future__ import annotations

import importlib.util
import json

import pytest

from tests.cli.terminal import Piped

EXTRA = ("sklearn", "matplotlib")
is_there = all(importlib.util.find_spec(name) for name in EXTRA)


@pytest.mark.longest
@pytest.mark.slow
@pytest.mark.skipif(not is_there, reason="needs the extra outlast[demo]")
def test_two_models_are_trained_awaited_explained_and_compared(cli: Piped) -> None:
    done = cli("demo")
    assert done.code == 0, done.err
    rows = json.loads(cli("ls", "--json", "-e", "demo").out)
    assert [row["name"] for row in rows] == ["digits-32", "digits-4"]
    for row in rows:
        assert row["status"] == "Completed"
        assert set(row["metrics"]) == {"accuracy", "loss"}
        assert row["metrics"]["loss"]["n"] == 30
        assert f"$ outlast why {row['id']}" in done.out
        files = [file["path"] for file in json.loads(cli("outputs", "ls", "--json", row["id"]).out)]
        assert "outputs/model.pkl" in files
        assert "outputs/evaluation.json" in files
        assert any(path.endswith(".png") for path in files)
    assert rows[0]["metrics"]["accuracy"]["last"] > 0.85 > rows[1]["metrics"]["accuracy"]["last"]
    # It is shown while the first one waits (the second may be over by the time it is looked at).
    assert 1 <= done.out.count("Not finished yet: ") <= 2
    waits = done.out.index("Not finished yet: ")
    assert done.out.index("noise 0.0") < waits < done.out.index("noise 0.7")
    assert done.out.count("Completed in ") == 2
    assert "param hidden" in done.out
    assert "What to look at next:" in done.out
    assert done.err == ""


def test_without_its_libraries_it_says_what_to_install(
    cli: Piped, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from outlast.cli.main import main

    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    assert main(["demo"]) == 2
    assert capsys.readouterr().err == (
        "error: the demo needs sklearn and matplotlib, which this Python lacks\n"
        "  try: pip install 'outlast[demo]'\n"
    )
