"""Show the live processes of a run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click

from outlast import units
from outlast.cli import reach, show


@click.command()
@click.argument("run", default="@last")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def command(run: str, as_json: bool) -> None:
    """Show every live process of RUN: what it is, what it computes and holds."""
    processes = reach.run(run).processes()
    if as_json:
        show.print_json(processes)
        return
    if not processes:
        click.echo("no process of this run is alive")
        return
    rows = [
        [
            str(process["pid"]),
            process["state"],
            f"{process['cpu_percent']:.0f} %",
            units.duration(process["cpu_s"]),
            units.size(process["rss_bytes"]),
            "· " * depth + process["command"],
        ]
        for process, depth in _as_tree(processes)
    ]
    click.echo(show.table(["PID", "STATE", "CPU", "CPU TIME", "MEMORY", "COMMAND"], rows))


def _as_tree(processes: list[dict[str, Any]]) -> Iterator[tuple[dict[str, Any], int]]:
    """Each process with its depth, right after its parent; a root has its parent elsewhere."""
    pids = {process["pid"] for process in processes}

    def below(parent: int, depth: int) -> Iterator[tuple[dict[str, Any], int]]:
        for process in processes:
            if process["ppid"] == parent:
                yield process, depth
                yield from below(process["pid"], depth + 1)

    for root in processes:
        if root["ppid"] not in pids:
            yield root, 0
            yield from below(root["pid"], 1)
