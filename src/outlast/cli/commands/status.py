"""Show the server of this workspace: who, where, what runs and waits."""

from __future__ import annotations

import click

from outlast import units
from outlast.cli import reach, show
from outlast.cli.exits import OK, UNREACHABLE


@click.command()
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def command(as_json: bool) -> int:
    """Show the workspace's server, its slots and its queue; starts nothing."""
    workspace = reach.workspace()
    if workspace.server() is None:
        if as_json:
            show.print_json({"is_running": False, "workspace": str(workspace.home)})
        else:
            click.echo(f"no server runs on {workspace.home}   start it with: outlast up --detach")
        return UNREACHABLE
    status = workspace.status()
    if as_json:
        show.print_json({"is_running": True, **status})
        return 0
    click.echo(f"server     {status['url']}   pid {status['pid']}   version {status['version']}")
    click.echo(f"workspace  {status['workspace']}")
    click.echo(f"up         {show.age(status['started_ns'])}")
    total, free = status["slots"]["total"], status["slots"]["free"]
    click.echo(f"cpus       {free['cpus']:g} of {total['cpus']:g} free")
    memory = units.size(free["memory_bytes"])
    click.echo(f"memory     {memory} of {units.size(total['memory_bytes'])} free to be asked for")
    if total["gpus"]:
        click.echo(f"gpus       {len(free['gpus'])} of {len(total['gpus'])} free")
    if status["queue"]:
        rows = [
            [waiting["id"], show.age(waiting["since_ns"]), waiting["waits_for"]]
            for waiting in status["queue"]
        ]
        click.echo("\n" + show.table(["WAITING", "SINCE", "FOR"], rows))
    return OK
