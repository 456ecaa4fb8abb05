"""Print the version of this client and of the running server."""

from __future__ import annotations

import platform

import click

from outlast import __version__


@click.command()
def command() -> None:
    """Print the version, and that of the workspace's server when one runs."""
    from outlast.sdk import Workspace
    from outlast.transport.connection import find

    click.echo(f"outlast {__version__}   Python {platform.python_version()}")
    server = find(Workspace().home)
    if server is not None:
        click.echo(f"server {server.version}   {server.url}   pid {server.pid}")
