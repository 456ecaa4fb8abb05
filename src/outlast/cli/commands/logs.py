"""Show what a run printed, from any offset, exactly once."""

from __future__ import annotations

import click

from outlast.cli import follow, reach


@click.command()
@click.argument("run", default="@last")
@click.option("-f", "--follow", "is_followed", is_flag=True, help="Go on until the run is over.")
@click.option(
    "--from",
    "start",
    type=click.IntRange(min=0),
    default=0,
    metavar="OFFSET",
    help="Begin at this byte.",
)
@click.option(
    "-n",
    "--tail",
    type=click.IntRange(min=0),
    metavar="N",
    help="Begin so many lines before the end.",
)
@click.option("--raw", is_flag=True, help="The bytes as they are, control characters included.")
@click.option("--environment", is_flag=True, help="How its environment was built, instead.")
def command(
    run: str, is_followed: bool, start: int, tail: int | None, raw: bool, environment: bool
) -> None:
    """Show what RUN printed (stdout and stderr, in order). Ctrl-C leaves the run alone.

    \b
    outlast logs -f @last          go on until it is over
    outlast logs -n 20 4aav7c      the last lines of one; its id may be cut
    """
    handle = reach.run(run)
    journal = "environment" if environment else "output"
    if tail is not None:
        start = follow.tail_offset(handle, tail, journal)
    following = follow.Following(handle, start, is_raw=raw, journal=journal)
    if not is_followed:
        following.so_far()
        return
    following.to_the_end()
    follow.tell_end(handle)
