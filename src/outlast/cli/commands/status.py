"""Show the server of this workspace: who, where, what runs and waits."""

from __future__ import annotations

import click

from outlast.cli import follow, show
from outlast.cli.exits import UNREACHABLE


@click.command()
@click.option("--json", "as_json", is_flag=True, help="JSON.")
def command(as_json: bool) -> int:
    """Show the workspace's server, its slots and its queue; starts nothing."""
    from outlast.sdk import Workspace
    from outlast.transport.connection import find

    workspace = Workspace()
    if find(workspace.home) is None:
        if as_json:
            follow.print_json({"is_running": False, "workspace": str(workspace.home)})
        else:
            click.echo(f"no server runs on {workspace.home}   start it with: outlast up --detach")
        return UNREACHABLE
    status = workspace.status()
    if as_json:
        follow.print_json({"is_running": True, **status})
        return 0
    click.echo(f"server     {status['url']}   pid {status['pid']}   version {status['version']}")
    click.echo(f"workspace  {status['workspace']}")
    click.echo(f"up         since {show.age(status['started_ns'])}")
    total, free = status["slots"]["total"], status["slots"]["free"]
    click.echo(f"cpus       {free['cpus']:g} of {total['cpus']:g} free")
    for waiting in status["queue"]:
        click.echo(f"waiting    {waiting['id']}   {waiting['waits_for']}")
    return 0
