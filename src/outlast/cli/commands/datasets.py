"""Register, list and fetch versions of datasets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from outlast import units
from outlast.cli import reach, show
from outlast.cli.options import Deeds, NameVersion, Numbered, Pair

if TYPE_CHECKING:
    from outlast.sdk.datasets import Dataset

NONE = "no datasets   try: outlast datasets register NAME PATH"
FORMATS = ("delimited", "parquet", "json_lines")


@click.group(cls=Deeds)
def command() -> None:
    """Datasets: where data lie and how they are read, as versions by name.

    DATASET is NAME (its newest version) or NAME:3.

    \b
    outlast datasets register digits data/digits
    outlast datasets register sales "data/sales-*.csv" --format delimited
    outlast datasets show sales
    """


def _found(dataset: tuple[str, str]) -> Dataset:
    from outlast.sdk import datasets

    return datasets.get(*dataset, workspace=reach.workspace())


@command.command("ls")
@click.argument("name", default="")
@click.option("--json", "as_json", is_flag=True, help="As JSON, one document.")
@click.option("-q", "--quiet", is_flag=True, help="NAME:VERSION only, one a line.")
def ls(name: str, as_json: bool, quiet: bool) -> None:
    """List all datasets by their newest version, or every version of NAME."""
    from outlast.run.dataset import described
    from outlast.sdk import datasets

    workspace = reach.workspace()
    found = [
        *(
            datasets.versions(name, workspace=workspace)
            if name
            else datasets.list(workspace=workspace)
        )
    ]
    if as_json:
        show.print_json([one.row for one in found])
    elif quiet:
        click.echo("".join(f"{one.reference}\n" for one in found), nl=False)
    elif not found:
        click.echo(NONE)
    else:
        headings = ["DATASET", "KIND", "AGE", "FILES", "SIZE", "PLACE", "DESCRIPTION"]
        cells = [
            [
                one.reference,
                one.kind,
                show.age(one.row["created_ns"]),
                str(one.row["files"]),
                units.size(one.row["size_bytes"]),
                described(one.definition, 1),
                one.description,
            ]
            for one in found
        ]
        click.echo(show.table(headings, cells, gives_way=(5, 6)))


def _amount(row: Mapping[str, Any]) -> str:
    return f"{units.count(row['files'], 'file')}, {units.size(row['size_bytes'])}"


@command.command("show")
@click.argument("dataset", type=NameVersion())
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def show_one(dataset: tuple[str, str], as_json: bool) -> None:
    """Show DATASET: where it lies, and whether it has changed since it was registered."""
    from outlast.errors import OutlastError
    from outlast.run.dataset import described

    found = _found(dataset)
    try:
        state = "changed since it was registered" if found.has_changed() else "as registered"
    except OutlastError as error:
        state = error.message
    if as_json:
        show.print_json({**found.row, "state": state})
        return
    row = found.row
    fields = {
        "dataset": found.reference,
        "kind": " ".join(filter(None, (found.kind, found.definition.format))),
        "description": found.description,
        "place": described(found.definition, 20),
        "content": f"{_amount(row)}, {row['digest'][:12]}",
        "now": state,
        "made by": f"run {row['run']}" if row["run"] else row["created_by"],
        "age": show.age(row["created_ns"]),
        "tags": show.tags(found.tags),
    }
    click.echo(show.fields(fields))


@command.command("register")
@click.argument("name")
@click.argument("paths", nargs=-1, required=True)
@click.option("--datastore", default="", help="PATHS are in this datastore.")
@click.option("--format", "form", type=click.Choice(FORMATS), help="A table; else files.")
@click.option("--separator", default=None, help="Between the fields of a delimited one.")
@click.option("--tag", "tags", type=Pair(), multiple=True, help="NAME=VALUE; may be repeated.")
@click.option("--description", default="", help="What it is.")
@click.option("-q", "--quiet", is_flag=True, help="Print NAME:VERSION only.")
def register(
    name: str,
    paths: tuple[str, ...],
    datastore: str,
    form: str | None,
    separator: str | None,
    tags: tuple[tuple[str, str], ...],
    description: str,
    quiet: bool,
) -> None:
    """Register PATHS (files, folders, quoted globs, URLs) as the next version of dataset NAME."""
    from outlast.sdk import datasets, datastores

    workspace = reach.workspace()
    store = datastores.get(datastore, workspace=workspace) if datastore else None
    places = [store.path(path) if store else path for path in paths]
    options = {"separator": separator} if separator else {}
    table = {"format": form, **options} if form else None
    made = datasets.tabular(places, **table) if table else datasets.file(places)
    made = made.register(name, description=description, tags=dict(tags), workspace=workspace)
    size = _amount(made.row)
    click.echo(made.reference if quiet else f"registered {made.reference}, {size}")


@command.command("download")
@click.argument("dataset", type=NameVersion())
@click.argument("folder")
@click.option("--overwrite", is_flag=True, help="Replace files that exist.")
def download(dataset: tuple[str, str], folder: str, overwrite: bool) -> None:
    """Copy the files of DATASET to FOLDER."""
    found = _found(dataset)
    paths = found.download(folder, overwrite=overwrite)
    click.echo(f"{found.reference}: {units.count(len(paths), 'file')} in {folder}")


@command.command("rm")
@click.argument("dataset", type=Numbered())
@click.option("-y", "--yes", is_flag=True, help="Don't ask.")
def rm(dataset: tuple[str, str], yes: bool) -> None:
    """Delete DATASET, a NAME:VERSION, from the registry; the data stay."""
    found = _found(dataset)
    if not yes:
        click.confirm(f"Delete {found.reference} from the registry?", abort=True)
    found.delete()
    click.echo(f"deleted {found.reference}   (its data stay)")
