"""Stop the server of this workspace; runs go on."""

from __future__ import annotations

import click

from outlast.cli import reach


@click.command()
def command() -> None:
    """Stop the workspace's server. Runs go on; a server started later takes them up again."""
    from outlast.sdk.start import stop

    home = reach.workspace().home
    click.echo("stopped; runs go on" if stop(home) else f"no server runs on {home}")
