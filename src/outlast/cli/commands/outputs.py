"""List, download, verify or push a run's stored outputs."""

from __future__ import annotations

import click

from outlast import units
from outlast.cli import follow, show
from outlast.cli.exits import FAILED


@click.group(invoke_without_command=True)
@click.pass_context
def command(context: click.Context) -> None:
    """What a run produced: files, each with its size and sha256."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


@command.command("ls")
@click.argument("run", default="@last")
@click.option("--json", "as_json", is_flag=True, help="JSON.")
def ls(run: str, as_json: bool) -> None:
    """List the stored files of RUN."""
    files = follow.run(run).outputs
    if as_json:
        follow.print_json(files)
        return
    if not files:
        click.echo("no stored outputs   (a run's outputs are stored when it ends)")
        return
    rows = [[file["path"], units.size(file["size_bytes"]), file["sha256"][:12]] for file in files]
    click.echo(show.table(["PATH", "SIZE", "SHA256"], rows))


@command.command("download")
@click.argument("run")
@click.argument("folder")
@click.option("--prefix", default="", help="Only files whose path begins so.")
@click.option("--overwrite", is_flag=True, help="Replace files that exist.")
def download(run: str, folder: str, prefix: str, overwrite: bool) -> None:
    """Fetch the stored files of RUN to FOLDER, each checked against its sha256."""
    from outlast.cli.progress import bar

    handle = follow.run(run)
    wanted = [file for file in handle.outputs if file["path"].startswith(prefix)]
    with bar("download", sum(file["size_bytes"] for file in wanted)) as progress:
        fetched = handle.download(folder, prefix=prefix, overwrite=overwrite, progress=progress)
    click.echo(f"{units.count(len(fetched), 'file')} in {folder}")


@command.command("verify")
@click.argument("run", default="@last")
def verify(run: str) -> int:
    """Hash each stored file of RUN again and compare."""
    problems = follow.run(run).verify()
    for problem in problems:
        click.echo(show.paint(f"{problem['path']}: {problem['problem']}", "problem"))
    click.echo("every stored file is whole" if not problems else "", nl=not problems)
    return FAILED if problems else 0


@command.command("push")
@click.argument("run")
def push(run: str) -> int:
    """Store the outputs of RUN again that could not be stored in time."""
    handle = follow.run(run)
    handle.push_outputs()
    click.echo(f"storing the outputs of {handle.id}   see: outlast why {handle.id}")
    return 0
