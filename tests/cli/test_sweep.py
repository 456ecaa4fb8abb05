"""`outlast sweep`: from words on a command line to trials."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.cli.terminal import Piped

SCRIPT = "import sys, outlast; outlast.get_context().log('loss', float(sys.argv[1]))"


def test_a_sweep_from_the_command_line_to_its_end(cli: Piped, tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(SCRIPT)
    made = cli(
        "sweep", "--param", "lr=choice(0.5, 0.25)", "--metric", "loss", "--sampling", "grid",
        "--stop", "bandit(slack_factor=0.2, delay=3)", "--name", "tried", "--wait", "--",
        sys.executable, "train.py", "{lr}",
    )  # fmt: skip
    assert made.code == 0, made.err
    run_id = made.out.split()[0]
    assert f"best: loss 0.25 by trial 1, run {run_id}_1" in cli("logs", run_id).out
    listed = cli("ls", "-q", "--where", f"parent = '{run_id}'").out.split()
    assert sorted(listed) == [f"{run_id}_0", f"{run_id}_1"]
    why = cli("why", run_id).out
    assert "2 of 2 trials are over; best loss 0.25 by trial 1." in why
    assert cli("ls", "-q", "--kind", "sweep").out.split() == [run_id]


def test_wrong_values_say_what_is_right(cli: Piped, tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(SCRIPT)
    end = ["--metric", "loss", "--", "python", "train.py", "{lr}"]
    for text, said in (
        ("lr=0.5", "give one of choice"),
        ("lr=system('true')", "give one of choice"),
        ("lr=uniform(0)", "missing 1 required positional argument"),
        ("lr=uniform(1, 0)", "the lower limit first"),
        ("rate=uniform(0, 1)", "say where the value goes"),
    ):
        refused = cli("sweep", "--param", text, *end)
        assert (refused.code, refused.out) == (2, ""), text
        assert said in refused.err
