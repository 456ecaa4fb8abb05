"""Show the live processes of a run."""

from __future__ import annotations

import click

from outlast import units
from outlast.cli import follow, show


@click.command()
@click.argument("run", default="@last")
@click.option("--json", "as_json", is_flag=True, help="JSON.")
def command(run: str, as_json: bool) -> None:
    """Show every live process of RUN: what it is, what it computes and holds."""
    processes = follow.run(run).processes()
    if as_json:
        follow.print_json(processes)
        return
    if not processes:
        click.echo("no process of this run is alive")
        return
    rows = [
        [
            str(process["pid"]),
            str(process["parent"]),
            process["state"],
            units.duration(process["cpu_s"]),
            units.size(process["rss_bytes"]),
            str(process["threads"]),
            process["command"],
        ]
        for process in processes
    ]
    click.echo(show.table(["PID", "PARENT", "STATE", "CPU", "MEMORY", "THREADS", "COMMAND"], rows))
