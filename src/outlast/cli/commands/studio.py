"""Open the studio in a browser, let in by a link that is good once."""

from __future__ import annotations

import os
import sys

import click

from outlast.cli import reach, show


@click.command()
@click.option("--no-open", is_flag=True, help="Print the link only; open no browser.")
@click.option("--sign-out", is_flag=True, help="End every session of the studio, in all browsers.")
def command(no_open: bool, sign_out: bool) -> int:
    """Open the studio, the workspace in a browser; starts the server if there is none."""
    connection = reach.workspace().connection
    if sign_out:
        ended = connection.post("/api/logins/end", repeat=True)["ended"]
        click.echo(f"{ended} session{'' if ended == 1 else 's'} ended")
        return 0
    made = connection.post("/api/logins", repeat=True)
    link = f"{connection.address.url}/login#{made['code']}"
    click.echo(link)
    show.say(f"good once, within {made['expires_s']:g} s; `outlast studio` makes another")
    if not no_open and _has_browser():
        import webbrowser

        webbrowser.open(link)
    return 0


def _has_browser() -> bool:
    """Is somebody in front of a screen of this machine? Text browsers would take the terminal."""
    has_screen = bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
    return sys.stdout.isatty() and (has_screen or sys.platform == "darwin")
