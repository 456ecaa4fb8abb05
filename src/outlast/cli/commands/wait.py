"""Wait until runs are truly over."""

from __future__ import annotations

import click

from outlast.cli import follow, reach


@click.command()
@click.argument("runs", nargs=-1, required=True)
def command(runs: tuple[str, ...]) -> int:
    """Wait until every one of RUNS is over: processes ended, outputs stored.

    \b
    outlast wait @last && echo trained

    Exits as the first of them that didn't complete, else with 0.
    """
    codes = [follow.until_over(handle) for handle in map(reach.run, runs)]
    return next((code for code in codes if code), 0)
