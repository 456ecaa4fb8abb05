"""Environments that runs are started in: list, show, build, save under a name, prune."""

from __future__ import annotations

import os
import time
from typing import Any

import click

from outlast import units
from outlast.cli import reach, show
from outlast.cli.options import Deeds, Duration
from outlast.errors import Invalid


@click.group(cls=Deeds)
def command() -> None:
    """What runs are started in: built once, kept by what is in them.

    \b
    outlast env build environment.yml --name digits
    outlast submit --env digits -- python train.py
    """


@command.command("ls")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def ls(as_json: bool) -> None:
    """List what is built, the last used first, and what is saved under a name."""
    found = reach.workspace().connection.get("/api/environments")
    if as_json:
        show.print_json(found)
        return
    rows = [_row(item) for item in found["environments"]]
    if rows:
        header = ["KEY", "NAME", "KIND", "PYTHON", "PACKAGES", "SIZE", "USED"]
        click.echo(show.table(header, rows))
    else:
        click.echo("no environment is built   (outlast run --env requirements.txt -- …)")
    for name, versions in found["named"].items():
        click.echo(f"saved: {name}:{versions[-1]}")


def _row(item: dict[str, Any]) -> list[str]:
    used = "now" if item["is_used"] else units.between(item["used_ns"], time.time_ns()) + " ago"
    size = units.size(item["size_bytes"])
    kind, python = item["kind"], item["python_version"]
    return [item["key"][:12], item["name"], kind, python, str(item["packages"]), size, used]


@command.command("show")
@click.argument("environment")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def show_one(environment: str, as_json: bool) -> None:
    """Show what is in ENVIRONMENT (a key's start, or a name), and how it was built."""
    from outlast.transport.connection import in_path

    found = reach.workspace().connection.get(f"/api/environments/{in_path(environment)}")
    if as_json:
        show.print_json(found)
        return
    click.echo(f"key      {found['key']}")
    click.echo(f"name     {found['name'] or '-'}")
    click.echo(f"folder   {found['prefix']}")
    click.echo(f"python   {found['python_version']}")
    click.echo(f"built    in {units.duration(found['took_s'])}, {units.size(found['size_bytes'])}")
    for _code, text in found["notes"]:
        click.echo(f"note     {text}")
    for line in found["lock"].splitlines():
        if line[:1].isalnum():
            click.echo(f"         {line.split(' ')[0]}")


@command.command("build")
@click.argument("environment")
@click.option("--fresh", is_flag=True, help="Resolve anew: newer versions are taken.")
@click.option("--name", default="", help="Save it under this name as well.")
def build(environment: str, fresh: bool, name: str) -> None:
    """Build ENVIRONMENT (a file or a saved name) now, here, and say where it is."""
    from outlast.environments.build import Build
    from outlast.environments.cache import Cache
    from outlast.environments.log import Log
    from outlast.run.environment import Environment
    from outlast.sdk import environment as asked

    workspace = reach.workspace()
    if workspace.url:
        remedy = "environments are built where runs run; submit a run with --env there"
        raise Invalid.field("url", workspace.url, remedy)
    definition = asked.asked_for(environment, workspace)
    if name:
        saved = asked.Environment.of({**definition, "name": name, "version": ""})
        definition = saved.save(workspace=workspace).definition
    log = Log(2)
    cache = Cache(str(workspace.home))
    made = Build(cache, os.environ, log, lambda _step, _about: None, who="")
    place = made.make(Environment.of(definition), is_fresh=fresh)
    click.echo(place.prefix)


@command.command("save")
@click.argument("name")
@click.argument("file")
def save(name: str, file: str) -> None:
    """Save the environment that FILE describes as NAME; print NAME:VERSION."""
    from outlast.sdk.environment import Environment

    saved = Environment.from_file(file, name=name).save(workspace=reach.workspace())
    click.echo(f"{saved.name}:{saved.version}")


@command.command("prune")
@click.option("--dry-run", is_flag=True, help="Say what would be removed; remove nothing.")
@click.option(
    "--older-than", type=Duration(least_s=3600), default="30d", show_default=True,
    help="Only what wasn't used for so long; 1h at least.",
)  # fmt: skip
def prune(dry_run: bool, older_than: float) -> None:
    """Remove environments that no run uses, and what killed builds left."""
    asked = {"is_dry_run": dry_run, "older_than_s": older_than}
    freed = reach.workspace().connection.post("/api/environments/prune", asked, repeat=True)
    told = f"{units.count(len(freed['keys']), 'environment')}, {units.size(freed['size_bytes'])}"
    click.echo(f"would remove {told}" if dry_run else f"removed {told}")
