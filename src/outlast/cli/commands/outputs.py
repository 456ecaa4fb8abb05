"""List, download, verify or push a run's stored outputs."""

from __future__ import annotations

import click

from outlast import units
from outlast.cli import reach, show
from outlast.cli.exits import FAILED
from outlast.cli.options import Deeds
from outlast.printable import one_line


class ListingByDefault(Deeds):
    """`outlast outputs RUN` means `outlast outputs ls RUN`, and RUN is the last one."""

    def parse_args(self, context: click.Context, args: list[str]) -> list[str]:
        is_option = bool(args) and args[0].startswith("-")
        is_of_ls = is_option and args[0] not in context.help_option_names
        return super().parse_args(context, ["ls", *args] if is_of_ls or not args else args)

    def resolve_command(
        self, context: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        return super().resolve_command(context, args if args[0] in self.commands else ["ls", *args])


@click.group(cls=ListingByDefault)
def command() -> None:
    """What a run produced: files, each with its size and sha256.

    \b
    outlast outputs @last
    outlast outputs download @last results/ --prefix outputs/
    """


@command.command("ls")
@click.argument("run", default="@last")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def ls(run: str, as_json: bool) -> None:
    """List the stored files of RUN."""
    files = reach.run(run).outputs
    if as_json:
        show.print_json(files)
        return
    if not files:
        click.echo("no stored outputs   (they are stored when the run ends)")
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

    handle = reach.run(run)
    wanted = [file for file in handle.outputs if file["path"].startswith(prefix)]
    with bar("download", sum(file["size_bytes"] for file in wanted)) as progress:
        fetched = handle.download(folder, prefix=prefix, overwrite=overwrite, progress=progress)
    click.echo(f"{units.count(len(fetched), 'file')} in {folder}")


@command.command("verify")
@click.argument("run", default="@last")
def verify(run: str) -> int:
    """Hash each stored file of RUN again and compare."""
    problems = reach.run(run).verify()
    for problem in problems:
        text = one_line(f"{problem['path']}: {problem['problem']}")
        click.echo(show.paint(text, "problem"))
    if not problems:
        click.echo("every stored file is whole")
    return FAILED if problems else 0


@command.command("push")
@click.argument("run")
def push(run: str) -> int:
    """Store the outputs of RUN again that could not be stored in time."""
    handle = reach.run(run)
    handle.push_outputs()
    click.echo(f"storing the outputs of {handle.id}   see: outlast why {handle.id}")
    return 0
