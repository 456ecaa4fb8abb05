"""Join stdin and stdout to a target by a tunnel; what ssh runs as its ProxyCommand."""

from __future__ import annotations

import sys

import click

from outlast.cli import reach


@click.command()
@click.argument("target", default="local")
def command(target: str) -> None:
    """Join stdin and stdout to TARGET's sshd; goes on by itself over any break of the network.

    Made for ssh's ProxyCommand: see `outlast ssh-config`.
    """
    from outlast.ssh import config, keys
    from outlast.ssh.proxy import Opened, Proxy
    from outlast.transport.websocket import WebSocket

    workspace = reach.workspace()
    connection = workspace.connection
    wanted = {"target": target, "public_key": keys.public_of(keys.client_key(workspace.home))}
    # Asked twice it opens two; the one that nobody comes to ends after a minute.
    made = connection.post("/api/tunnels", wanted, repeat=True)
    keys.pin(workspace.home, config.alias(target, workspace.url), made["host_key"])

    def connect(path: str, offline_s: float) -> WebSocket:
        return WebSocket(connection.find_again(offline_s), path)

    Proxy(Opened(made["id"], made["token"]), connect, _tell).run()


def _tell(text: str) -> None:
    # ssh may have set the terminal to raw: a line feed alone doesn't go back to its start.
    print(f"outlast: {text}", end="\r\n", file=sys.stderr, flush=True)
