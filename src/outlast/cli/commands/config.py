"""Show the settings and where each comes from."""

from __future__ import annotations

import click

from outlast.cli import show
from outlast.cli.options import Deeds


@click.group(cls=Deeds)
def command() -> None:
    """The settings of this workspace.

    \b
    outlast config show --sources
    """


@command.command("show")
@click.option("--sources", is_flag=True, help="Where each value comes from.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def show_(sources: bool, as_json: bool) -> None:
    """Show every setting."""
    from outlast import config

    settings, origin = config.load(), config.sources()
    if as_json:
        show.print_json(settings._asdict())
        return
    rows = [
        [name, str(value), *([origin[name].source] if sources else [])]
        for name, value in settings._asdict().items()
    ]
    headings = ["SETTING", "VALUE", *(["FROM"] if sources else [])]
    click.echo(show.table(headings, rows))
