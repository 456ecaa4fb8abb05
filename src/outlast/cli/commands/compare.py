"""Compare runs: what differs, and what came of it."""

from __future__ import annotations

from typing import Any

import click

from outlast.cli import follow, show


@click.command()
@click.argument("runs", nargs=-1, required=True)
@click.option("--all", "shows_all", is_flag=True, help="Also what is the same.")
@click.option("--json", "as_json", is_flag=True, help="JSON.")
def command(runs: tuple[str, ...], shows_all: bool, as_json: bool) -> None:
    """Compare RUNS: parameters, command, code and results that differ."""
    if len(runs) < 2:
        raise click.UsageError("name two runs or more, as: outlast compare @last @-2")
    facts = [follow.run(run).fetch() for run in runs]
    columns = [_flat(of) for of in facts]
    names = list(dict.fromkeys(name for column in columns for name in column))
    rows = []
    for name in names:
        values = [column.get(name, "") for column in columns]
        if shows_all or len(set(values)) > 1:
            rows.append([name, *values])
    if as_json:
        follow.print_json([{"name": row[0], "values": row[1:]} for row in rows])
    elif rows:
        click.echo(show.table(["", *(of["id"] for of in facts)], rows))
    else:
        click.echo("these runs don't differ   (see all with --all)")


def _flat(facts: dict[str, Any]) -> dict[str, str]:
    spec = facts["spec"]
    flat = {
        "status": show.status(facts),
        "lasted": show.lasted(facts),
        "command": show.command_text(facts["command"]),
        "git": str((spec.get("git") or {}).get("commit", ""))[:12],
        "snapshot": str((spec.get("source") or {}).get("digest") or "")[:12],
    }
    for kind, values in (("param", spec.get("parameters") or {}), ("tag", facts["tags"])):
        flat.update({f"{kind} {name}": str(value) for name, value in values.items()})
    for series in facts["series"]:
        flat[f"metric {series['name']}"] = show.number(series["last"])
    return flat
