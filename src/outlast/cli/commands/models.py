"""Register, list, fetch and name versions of models."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from outlast import units
from outlast.cli import reach, show
from outlast.cli.options import Deeds, NameVersion, Numbered, Pair

if TYPE_CHECKING:
    from outlast.sdk.models import Model

NONE = "no models   try: outlast models register NAME PATH"


@click.group(cls=Deeds)
def command() -> None:
    """Models: versions by name, which outlive the runs that made them.

    MODEL is NAME (its newest version), NAME:3, or NAME:ALIAS.

    \b
    outlast models register digits outputs/model.pt --run @last
    outlast models alias digits:2 production
    outlast models download digits:production ./here
    """


def _found(model: tuple[str, str]) -> Model:
    from outlast.sdk import models

    return models.get(*model, workspace=reach.workspace())


@command.command("ls")
@click.argument("name", default="")
@click.option("--run", default="", help="Only what this run has made.")
@click.option("--json", "as_json", is_flag=True, help="As JSON, one document.")
@click.option("-q", "--quiet", is_flag=True, help="NAME:VERSION only, one a line.")
def ls(name: str, run: str, as_json: bool, quiet: bool) -> None:
    """List all models by their newest version, or every version of NAME."""
    from outlast.sdk import models

    workspace = reach.workspace()
    if name:
        found = [*models.versions(name, workspace=workspace)]
    else:
        made_by = reach.run(run).id if run else None
        found = [*models.list(run=made_by, workspace=workspace)]
    if as_json:
        show.print_json([model.row for model in found])
    elif quiet:
        click.echo("".join(f"{model.name}:{model.version}\n" for model in found), nl=False)
    elif not found:
        click.echo(NONE)
    else:
        click.echo(_table(found))


def _table(found: list[Model]) -> str:
    headings = ["MODEL", "ALIASES", "AGE", "SIZE", "RUN", "TAGS", "DESCRIPTION"]
    cells = [
        [
            f"{model.name}:{model.version}",
            ", ".join(model.aliases),
            show.age(model.created_ns),
            units.size(model.size_bytes),
            model.run_id,
            show.tags(model.tags),
            model.description,
        ]
        for model in found
    ]
    return show.table(headings, cells, gives_way=(5, 6))


@command.command("show")
@click.argument("model", type=NameVersion())
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def show_one(model: tuple[str, str], as_json: bool) -> None:
    """Show MODEL: where it comes from, and its files."""
    found = _found(model)
    files = found.files
    if as_json:
        show.print_json({**found.row, "files": files})
        return
    row = found.row
    made_by = f"run {row['run']}, attempt {row['attempt']}, {row['path']}" if row["run"] else ""
    fields = {
        "model": f"{found.name}:{found.version}",
        "aliases": ", ".join(found.aliases),
        "description": found.description,
        "made by": made_by or row["created_by"],
        "outputs": row["manifest"][:12],
        "age": show.age(found.created_ns),
        "tags": show.tags(found.tags),
        **{f"  {name}": value for name, value in found.properties.items()},
    }
    click.echo(show.fields(fields))
    rows = [[file["path"], units.size(file["size_bytes"]), file["sha256"][:12]] for file in files]
    click.echo(show.table(["PATH", "SIZE", "SHA256"], rows))


@command.command("register")
@click.argument("name")
@click.argument("path")
@click.option("--run", default=None, help="PATH is among the stored outputs of this run.")
@click.option("--tag", "tags", type=Pair(), multiple=True, help="NAME=VALUE; may be repeated.")
@click.option("--description", default="", help="What it is.")
@click.option("-q", "--quiet", is_flag=True, help="Print NAME:VERSION only.")
def register(
    name: str,
    path: str,
    run: str | None,
    tags: tuple[tuple[str, str], ...],
    description: str,
    quiet: bool,
) -> None:
    """Register the file or folder PATH as the next version of model NAME."""
    from outlast.sdk import models

    made = models.register(
        name, path, run=run, tags=dict(tags), description=description, workspace=reach.workspace()
    )
    told = f"{made.name}:{made.version}"
    size = units.size(made.size_bytes)
    click.echo(told if quiet else f"registered {told}, {size}")


@command.command("download")
@click.argument("model", type=NameVersion())
@click.argument("folder")
@click.option("--overwrite", is_flag=True, help="Replace files that exist.")
def download(model: tuple[str, str], folder: str, overwrite: bool) -> None:
    """Fetch MODEL to FOLDER, each file checked against its sha256."""
    from outlast.cli.progress import bar

    found = _found(model)
    with bar("download", found.size_bytes) as progress:
        where = found.download(folder, overwrite=overwrite, progress=progress)
    click.echo(f"{found.name}:{found.version} in {where}")


@command.command("tag")
@click.argument("model", type=NameVersion())
@click.argument("tags", type=Pair(), nargs=-1)
@click.option("--remove", "removed", multiple=True, help="A tag to take away; may be repeated.")
@click.option("--description", default=None, help="Set the description.")
def tag(
    model: tuple[str, str],
    tags: tuple[tuple[str, str], ...],
    removed: tuple[str, ...],
    description: str | None,
) -> None:
    """Set TAGS (NAME=VALUE) of MODEL."""
    found = _found(model)
    found.change(tags=dict(tags), removed_tags=removed, description=description)
    click.echo(f"{found.name}:{found.version}  {show.tags(found.tags)}".rstrip())


@command.command("alias")
@click.argument("model", type=NameVersion())
@click.argument("alias")
@click.option("--remove", is_flag=True, help="Take the alias away from the model.")
def alias(model: tuple[str, str], alias: str, remove: bool) -> None:
    """Let ALIAS, as `production`, name MODEL and no other version of it."""
    from outlast.sdk import models

    if remove:
        models.drop_alias(model[0], alias, workspace=reach.workspace())
        click.echo(f"{model[0]} has no alias {alias} any more")
        return
    found = _found(model)
    found.alias(alias)
    click.echo(f"{found.name}:{alias} is version {found.version}")


@command.command("rm")
@click.argument("model", type=Numbered())
@click.option("-y", "--yes", is_flag=True, help="Don't ask.")
def rm(model: tuple[str, str], yes: bool) -> None:
    """Delete MODEL, a NAME:VERSION, for good; its number is never given again."""
    found = _found(model)
    if not yes:
        click.confirm(f"Delete {found.name}:{found.version} for good?", abort=True)
    found.delete()
    click.echo(f"deleted {found.name}:{found.version}   (its files go with: outlast prune)")
