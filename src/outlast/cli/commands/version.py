"""Print the version of this client and of the running server."""

from __future__ import annotations

import platform

import click

from outlast import __version__
from outlast.cli import reach


@click.command()
def command() -> None:
    """Print the version, and that of the workspace's server when one runs."""
    click.echo(f"outlast {__version__}   Python {platform.python_version()}")
    server = reach.workspace().server()
    if server is not None and server.pid:
        click.echo(f"server {server.version}   {server.url}   pid {server.pid}")
