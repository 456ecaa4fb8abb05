"""Name roots of data, and list them."""

from __future__ import annotations

import click

from outlast.cli import reach, show
from outlast.cli.options import Deeds


@click.group(cls=Deeds)
def command() -> None:
    """Datastores: named folders or URLs in which datasets lie.

    \b
    outlast datastores add scans /data/scans --default
    """


@command.command("ls")
@click.option("--json", "as_json", is_flag=True, help="As JSON, one document.")
@click.option("-q", "--quiet", is_flag=True, help="Names only, one a line.")
def ls(as_json: bool, quiet: bool) -> None:
    """List the datastores; the default one has a star."""
    from outlast.sdk import datastores

    found = datastores.list(workspace=reach.workspace())
    if as_json:
        show.print_json([one.row for one in found])
    elif quiet:
        click.echo("".join(f"{one.name}\n" for one in found), nl=False)
    else:
        cells = [[one.name + (" *" if one.is_default else ""), one.root] for one in found]
        click.echo(show.table(["DATASTORE", "ROOT"], cells))


@command.command("show")
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def show_one(name: str, as_json: bool) -> None:
    """Show one datastore."""
    from outlast.sdk import datastores

    found = datastores.get(name, workspace=reach.workspace())
    if as_json:
        show.print_json(found.row)
        return
    click.echo(show.field("datastore", found.name))
    click.echo(show.field("root", found.root))
    click.echo(show.field("default", "yes" if found.is_default else "no"))
    for fact, text in found.facts.items():
        click.echo(show.field(f"  {fact}", text))


@command.command("add")
@click.argument("name")
@click.argument("root", default="")
@click.option("--default", "is_default", is_flag=True, help="Let it be the default.")
@click.option("--overwrite", is_flag=True, help="Give a name that is taken another root.")
def add(name: str, root: str, is_default: bool, overwrite: bool) -> None:
    """Give the folder or URL ROOT a NAME; without ROOT, a new folder in the workspace."""
    from outlast.sdk import datastores

    made = datastores.register(name, root, overwrite=overwrite, workspace=reach.workspace())
    if is_default:
        made.set_as_default()
    click.echo(f"{made.name} is {made.root}")


@command.command("rm")
@click.argument("name")
def rm(name: str) -> None:
    """Forget the datastore NAME; its data stay."""
    from outlast.sdk import datastores

    datastores.get(name, workspace=reach.workspace()).unregister()
    click.echo(f"forgot {name}   (its data stay)")
