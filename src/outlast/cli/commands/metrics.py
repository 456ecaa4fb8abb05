"""Show a run's metrics: last values, a series, or curves drawn in the terminal."""

from __future__ import annotations

from typing import Any

import click

from outlast.cli import plot, reach, show
from outlast.errors import NotFound
from outlast.sdk.handle import RunHandle


@click.command()
@click.argument("run", default="@last")
@click.argument("names", nargs=-1)
@click.option("--plot", is_flag=True, help="Draw the curves.")
@click.option("--json", "as_json", is_flag=True, help="JSON: summaries, or the points of NAMES.")
@click.option("--csv", "as_csv", is_flag=True, help="The points of NAMES (default: all) as CSV.")
def command(run: str, names: tuple[str, ...], plot: bool, as_json: bool, as_csv: bool) -> None:
    """Show the metrics of RUN, or only NAMES.

    \b
    outlast metrics @last --plot
    outlast metrics 4aav7c loss accuracy --csv > curves.csv
    """
    handle = reach.run(run)
    summaries = _chosen(handle, names)
    if as_csv:
        _print_csv(handle, [summary["name"] for summary in summaries])
    elif as_json:
        answer = {name: handle.metrics(name) for name in names} if names else summaries
        show.print_json(answer)
    elif not summaries:
        click.echo("no metrics yet   a script logs them by: outlast.get_context().log(name, value)")
    elif plot:
        _plot(handle, summaries)
    else:
        headings = ["METRIC", "POINTS", "LAST", "MIN", "MAX", "LAST STEP"]
        click.echo(show.table(headings, [_row(summary) for summary in summaries]))


def _chosen(handle: RunHandle, names: tuple[str, ...]) -> list[dict[str, Any]]:
    summaries = handle.series()
    known = [summary["name"] for summary in summaries]
    for name in names:
        if name not in known:
            shown = ", ".join(known[:20]) or "none"
            raise NotFound(
                f"run {handle.id} has no metric {name!r}; it has: {shown}",
                hint=f"outlast metrics {handle.id}",
            )
    return [summary for summary in summaries if not names or summary["name"] in names]


def _row(summary: dict[str, Any]) -> list[str]:
    values = [show.number(summary[key]) for key in ("last", "min", "max")]
    return [summary["name"], f"{summary['n']:,}", *values, str(summary["last_step"])]


def _plot(handle: RunHandle, summaries: list[dict[str, Any]]) -> None:

    drawn = []
    for summary in summaries:
        series = handle.view(summary["name"], points=4 * show.width())
        count, last = summary["n"], summary["last"]
        drawn.append(plot.curve(summary["name"], series["steps"], series["values"], count, last))
    click.echo("\n\n".join(drawn))


def _print_csv(handle: RunHandle, names: list[str]) -> None:
    import csv
    import sys

    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(["name", "step", "time_ns", "value"])
    for name in names:
        series = handle.metrics(name)
        columns = (series["steps"], series["times_ns"], series["values"])
        writer.writerows((name, *point) for point in zip(*columns, strict=True))
