"""Show a run's metrics: last values, a series, or curves drawn in the terminal.

What was logged beside numbers (tables, rows, lists, images, texts) is told below them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click

from outlast.cli import logged, plot, reach, show
from outlast.errors import Invalid, NotFound
from outlast.sdk.handle import RunHandle


@click.command()
@click.argument("run", default="@last")
@click.argument("names", nargs=-1)
@click.option("--plot", is_flag=True, help="Draw the curves.")
@click.option("--json", "as_json", is_flag=True, help="JSON: summaries, or all of NAMES.")
@click.option("--csv", "as_csv", is_flag=True, help="The points of NAMES (default: all) as CSV.")
def command(run: str, names: tuple[str, ...], plot: bool, as_json: bool, as_csv: bool) -> None:
    """Show the metrics of RUN, or only NAMES: tables and lists that were logged, whole.

    \b
    outlast metrics @last --plot
    outlast metrics 4aav7c loss accuracy --csv > curves.csv
    """
    handle = reach.run(run)
    summaries, others = _chosen(handle, names)
    if as_csv and names and others:
        shown = ", ".join(others)
        raise Invalid(f"--csv is for points, and {shown} isn't a series", hint="take --json")
    if as_csv:
        _print_csv(handle, [summary["name"] for summary in summaries])
    elif as_json:
        series = {
            summary["name"]: handle.metrics(summary["name"]) for summary in summaries if names
        }
        told = {name: other.json for name, other in others.items()}
        show.print_json({**series, **told} if names else summaries)
    elif not summaries and not others:
        click.echo("no metrics yet   a script logs them by: outlast.get_context().log(name, value)")
    else:
        click.echo("\n\n".join(_shown(handle, summaries, others, plot, bool(names))))


def _chosen(
    handle: RunHandle, names: tuple[str, ...]
) -> tuple[list[dict[str, Any]], dict[str, logged.Logged]]:
    summaries, others = handle.series(), logged.gathered(handle.values())
    known = [*(summary["name"] for summary in summaries), *others]
    for name in names:
        if name not in known:
            shown = ", ".join(known[:20]) or "none"
            raise NotFound(
                f"run {handle.id} has no metric {name!r}; it has: {shown}",
                hint=f"outlast metrics {handle.id}",
            )
    if names:
        summaries = [summary for summary in summaries if summary["name"] in names]
        others = {name: other for name, other in others.items() if name in names}
    return summaries, others


def _shown(
    handle: RunHandle,
    summaries: list[dict[str, Any]],
    others: dict[str, logged.Logged],
    is_plot: bool,
    is_whole: bool,
) -> Iterator[str]:
    if is_plot:
        yield from _curves(handle, summaries)
    elif summaries:
        headings = ["METRIC", "POINTS", "LAST", "MIN", "MAX", "LAST STEP"]
        yield show.table(headings, [_row(summary) for summary in summaries])
    if is_whole:
        yield from (other.whole() for other in others.values())
    elif others and not is_plot:
        yield show.table(logged.HEADINGS, [other.line for other in others.values()])


def _row(summary: dict[str, Any]) -> list[str]:
    values = [show.number(summary[key]) for key in ("last", "min", "max")]
    return [summary["name"], f"{summary['n']:,}", *values, str(summary["last_step"])]


def _curves(handle: RunHandle, summaries: list[dict[str, Any]]) -> Iterator[str]:
    for summary in summaries:
        series = handle.view(summary["name"], points=4 * show.width())
        count, last = summary["n"], summary["last"]
        yield plot.curve(summary["name"], series["steps"], series["values"], count, last)


def _print_csv(handle: RunHandle, names: list[str]) -> None:
    import csv
    import sys

    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(["name", "step", "time_ns", "value"])
    for name in names:
        series = handle.metrics(name)
        columns = (series["steps"], series["times_ns"], series["values"])
        writer.writerows((name, *point) for point in zip(*columns, strict=True))
