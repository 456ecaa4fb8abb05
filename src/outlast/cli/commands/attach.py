"""Sit down at a session again, where it stands."""

from __future__ import annotations

import click

from outlast.cli import attached, reach


@click.command()
@click.argument("session")
@click.option("--read-only", is_flag=True, help="Look on; nothing that is typed is sent.")
@attached.escape_option
def command(session: str, read_only: bool, escape: str) -> int:
    """Attach this terminal to SESSION (id, its beginning, name, or @last).

    Who typed there before looks on from now. The connection may break, and the server restart: it
    goes on by itself, at the byte. Exits as the session's shell did when that ended.
    """
    from outlast.sdk import sessions

    row = sessions.session(session, workspace=reach.workspace())
    return attached.sit_at(row, is_driver=not read_only, escape=escape)
