"""Compute targets and ranks from the command line."""

from __future__ import annotations

import json

from tests.cli.terminal import Piped


def test_a_target_from_its_creation_to_its_end(cli: Piped) -> None:
    assert cli("compute", "ls").out.startswith("there is no compute target")
    made = cli("compute", "create", "small", "--size", "STANDARD_D2_V2", "--nodes", "500")
    assert (made.code, made.out) == (0, "small\n")
    assert "a node is a share of" in made.err
    assert "0 of 500" in cli("compute", "ls").out
    assert cli("compute", "set", "small", "--nodes", "2").code == 0
    row = json.loads(cli("compute", "show", "small", "--json").out)
    assert (row["max_nodes"], row["size"]) == (2, "STANDARD_D2_V2")
    assert "0 of 2 busy" in cli("compute", "show", "small").out
    assert cli("compute", "stop", "small").code == 0
    assert "(stopped)" in cli("compute", "ls").out
    assert cli("compute", "start", "small").code == 0
    assert cli("compute", "rm", "small").code == 0
    gone = cli("compute", "show", "small")
    assert gone.code != 0
    assert "no compute target 'small'" in gone.err
    assert "STANDARD_NC6" in cli("compute", "sizes").out


def test_a_run_with_ranks_prints_each_ranks_lines(cli: Piped) -> None:
    done = cli(
        "run", "--nodes", "2", "--cpus", "0", "--", "sh", "-c", "echo I am $RANK of $WORLD_SIZE"
    )
    assert done.code == 0
    assert "[rank 0] I am 0 of 2\n" in done.out
    assert "[rank 1] I am 1 of 2\n" in done.out


def test_a_target_that_isnt_there_is_said_with_those_that_are(cli: Piped) -> None:
    done = cli("submit", "--compute", "nowhere", "--", "true")
    assert done.code != 0
    assert "there is no compute target 'nowhere'; there is: local" in done.err
