"""Show a run's metrics: last values, a series, or curves drawn in the terminal."""

from __future__ import annotations

import click

from outlast.cli import follow, show
from outlast.sdk.handle import RunHandle


@click.command()
@click.argument("run", default="@last")
@click.argument("names", nargs=-1)
@click.option("--plot", is_flag=True, help="Draw the curves.")
@click.option("--json", "as_json", is_flag=True, help="JSON: summaries, or the points of NAMES.")
@click.option("--csv", "as_csv", is_flag=True, help="The points of NAMES as CSV.")
def command(run: str, names: tuple[str, ...], plot: bool, as_json: bool, as_csv: bool) -> None:
    """Show the metrics of RUN, or only NAMES."""
    handle = follow.run(run)
    summaries = [s for s in handle.series() if not names or s["name"] in names]
    for name in names:
        if name not in {summary["name"] for summary in summaries}:
            known = ", ".join(s["name"] for s in handle.series()) or "none"
            raise click.UsageError(f"this run has no metric {name!r}; it has: {known}")
    if as_csv:
        _print_csv(handle, [summary["name"] for summary in summaries])
    elif as_json:
        answer = {name: handle.metrics(name) for name in names} if names else summaries
        follow.print_json(answer)
    elif plot:
        from outlast.cli import plot as drawing

        for summary in summaries:
            series = handle.view(summary["name"], points=4 * show.width())
            click.echo(drawing.curve(summary["name"], series["steps"], series["values"]))
    else:
        rows = [
            [
                summary["name"],
                f"{summary['n']:,}",
                *(show.number(summary[key]) for key in ("last", "min", "max")),
                str(summary["last_step"]),
            ]
            for summary in summaries
        ]
        empty = "no metrics yet"
        headings = ["METRIC", "POINTS", "LAST", "MIN", "MAX", "STEP"]
        click.echo(show.table(headings, rows) if rows else empty)


def _print_csv(handle: RunHandle, names: list[str]) -> None:
    import csv
    import sys

    writer = csv.writer(sys.stdout)
    writer.writerow(["name", "step", "time_ns", "value"])
    for name in names:
        series = handle.metrics(name)
        for step, t_ns, value in zip(
            series["steps"], series["times_ns"], series["values"], strict=True
        ):
            writer.writerow([name, step, t_ns, value])
