"""Free the stored files of deleted runs."""

from __future__ import annotations

import click

from outlast import units
from outlast.cli import reach
from outlast.cli.options import Duration


@click.command()
@click.option("--dry-run", is_flag=True, help="Say what would be freed; delete nothing.")
@click.option(
    "--older-than",
    type=Duration(least_s=2 * 3600),
    default="1d",
    show_default=True,
    help="Only what was stored so long ago; 2h at least.",
)
@click.option("--sole-user", is_flag=True, help="No other workspace uses this blobs_folder.")
def command(dry_run: bool, older_than: float, sole_user: bool) -> None:
    """Delete stored outputs and snapshots that no run and no model names any more."""
    asked = {"is_dry_run": dry_run, "older_than_s": older_than, "is_sole_user": sole_user}
    freed = reach.workspace().connection.post("/api/prune", asked, repeat=True)
    told = f"{units.count(freed['files'], 'file')}, {units.size(freed['size_bytes'])}"
    click.echo(f"would free {told}" if dry_run else f"freed {told}")
