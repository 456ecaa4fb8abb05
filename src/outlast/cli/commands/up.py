"""Start the server of this workspace."""

from __future__ import annotations

from pathlib import Path

import click

from outlast.cli import reach, show


@click.command(context_settings={"ignore_unknown_options": True})
@click.option("-d", "--detach", is_flag=True, help="Return when it is ready; it goes on.")
@click.option("--host", metavar="ADDRESS", help="Address to listen on [127.0.0.1].")
@click.option("--port", type=int, metavar="N", help="Port; 0 takes any free one [8686].")
@click.argument("settings", nargs=-1, type=click.UNPROCESSED)
def command(detach: bool, host: str | None, port: int | None, settings: tuple[str, ...]) -> int:
    """Start the workspace's server, here or with --detach in the background.

    \b
    outlast up --detach --port 9000 --cpus 6

    Every setting is a flag; `outlast config show` lists them.
    """
    from outlast.server import process

    home = reach.workspace().home
    flags = [
        *(["--host", host] if host else []),
        *(["--port", str(port)] if port is not None else []),
        *settings,
    ]
    process.check(flags)
    return _detached(home, flags) if detach else process.main(["--home", str(home), *flags])


def _detached(home: Path, flags: list[str]) -> int:
    from outlast.sdk.start import start
    from outlast.transport.address import find

    was_there = find(home) is not None
    server = start(home, flags)
    if was_there and flags:
        show.say("a server runs already; it keeps its settings (outlast down stops it)")
    click.echo(f"{'runs already' if was_there else 'ready'}: {server.url}   pid {server.pid}")
    return 0
