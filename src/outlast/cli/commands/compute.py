"""Compute targets: named pools of nodes on which runs wait, and instances for terminals."""

from __future__ import annotations

from typing import Any

import click

from outlast import units
from outlast.cli import reach, show
from outlast.cli.options import Deeds, Duration, Size


@click.group(cls=Deeds)
def command() -> None:
    """Shares of this machine, by name: pools for runs, instances for terminals.

    \b
    outlast compute create small --nodes 2 --cpus 1
    outlast submit --compute small -- python train.py
    """


@command.command("ls")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def ls(as_json: bool) -> None:
    """List the compute targets: their nodes, how many are busy, how many runs wait."""
    found = reach.workspace().connection.get("/api/compute")
    if as_json:
        show.print_json(found)
    elif found["targets"]:
        header = ["NAME", "KIND", "SIZE", "A NODE HAS", "BUSY", "WAITING"]
        click.echo(show.table(header, [_row(row) for row in found["targets"]]))
    else:
        click.echo("there is no compute target   (outlast compute create NAME --nodes N)")


def _row(row: dict[str, Any]) -> list[str]:
    busy = f"{row['busy_nodes']} of {row['max_nodes']}" + (
        " (stopped)" if row["is_stopped"] else ""
    )
    waiting = str(len(row["waiting"]))
    return [row["name"], row["kind"], row["size"] or "-", _amounts(row["node"]), busy, waiting]


def _amounts(node: dict[str, Any]) -> str:
    parts = [f"{node['cpus']:g} CPU", units.size(node["memory_bytes"])]
    return ", ".join(parts + ([units.count(node["gpus"], "GPU")] if node["gpus"] else []))


@command.command("show")
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def show_one(name: str, as_json: bool) -> None:
    """Show NAME: what a node of it has, the runs on it, those that wait for it."""
    from outlast.sdk import compute

    row = compute.get(name, workspace=reach.workspace()).row
    if as_json:
        show.print_json(row)
        return
    click.echo(f"{row['name']}   {row['kind']} {row['size']}".rstrip())
    click.echo(f"a node   {_amounts(row['node'])}")
    click.echo(f"nodes    {_row(row)[4]} busy")
    for word, runs in (("on it", row["runs"]), ("waiting", row["waiting"])):
        if runs:
            click.echo(f"{word:<8} {', '.join(runs)}")
    for note in row["notes"]:
        click.echo(f"note     {note}")


@command.command("create")
@click.argument("name")
@click.option("--size", default="", help="Each node has what STANDARD_D2_V2 or the like has.")
@click.option("--nodes", type=int, default=1, show_default=True, help="Runs on it at once.")
@click.option("--cpus", type=float, default=0.0, help="Of each node [an equal part].")
@click.option("--memory", type=Size(), default=0, help="Of each node, as 4GB [an equal part].")
@click.option("--gpus", type=int, default=0, help="Of each node [0].")
@click.option("--instance", is_flag=True, help="One node, on which terminals are opened too.")
@click.option("--idle", type=Duration(), default=0.0, help="Kept, not acted on.")
def create(
    name: str, size: str, nodes: int, cpus: float, memory: int, gpus: int, instance: bool,
    idle: float,
) -> None:  # fmt: skip
    """Make NAME; say how its nodes differ from what was asked for."""
    from outlast.sdk import compute

    made = compute.create(
        name, size=size, nodes=nodes, cpus=cpus, memory_bytes=memory, gpus=gpus,
        kind="instance" if instance else "pool", idle_s=idle, workspace=reach.workspace(),
    )  # fmt: skip
    click.echo(made.name)
    for note in made.notes:
        show.say(note)


@command.command("set")
@click.argument("name")
@click.option("--nodes", type=int, required=True, help="Runs on it at once.")
def set_nodes(name: str, nodes: int) -> None:
    """Give NAME another number of nodes; runs that are on it stay."""
    from outlast.sdk import compute

    changed = compute.get(name, workspace=reach.workspace()).change(nodes=nodes)
    for note in changed.notes:
        show.say(note)


@command.command("stop")
@click.argument("name")
def stop(name: str) -> None:
    """Let no further run or terminal onto NAME; those that are on it stay."""
    from outlast.sdk import compute

    compute.get(name, workspace=reach.workspace()).stop()


@command.command("start")
@click.argument("name")
def start(name: str) -> None:
    """Let runs and terminals onto NAME again."""
    from outlast.sdk import compute

    compute.get(name, workspace=reach.workspace()).start()


@command.command("rm")
@click.argument("name")
def rm(name: str) -> None:
    """Remove NAME; refused while a run is on it or waits for it."""
    from outlast.sdk import compute

    compute.delete(name, workspace=reach.workspace())


@command.command("sizes")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def list_sizes(as_json: bool) -> None:
    """List the sizes that have a name, with what a node of each has."""
    from outlast.sdk import compute

    found = compute.sizes(workspace=reach.workspace())
    if as_json:
        show.print_json(found)
        return
    rows = [[size["name"], _amounts(size)] for size in found]
    click.echo(show.table(["SIZE", "A NODE HAS"], rows))
