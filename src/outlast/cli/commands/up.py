"""Start the server of this workspace."""

from __future__ import annotations

import click

from outlast.cli import reach, show


@click.command()
@click.option("-d", "--detach", is_flag=True, help="Return when it is ready; it goes on.")
@click.option("--host", help="Address to listen on [127.0.0.1].")
@click.option("--port", type=int, help="Port [8686].")
def command(detach: bool, host: str | None, port: int | None) -> int:
    """Start the workspace's server, here or with --detach in the background."""
    from outlast.sdk.start import start
    from outlast.transport.address import find

    home = reach.workspace().home
    flags = [
        *(["--host", host] if host else []),
        *(["--port", str(port)] if port is not None else []),
    ]
    if detach:
        was_there = find(home) is not None
        server = start(home, flags)
        if was_there and flags:
            show.say("a server runs already; it keeps its address (outlast down stops it)")
        click.echo(f"{'runs already' if was_there else 'ready'}: {server.url}   pid {server.pid}")
        return 0
    from outlast.server.process import main

    return main(["--home", str(home), *flags])
