"""Show all that is known of a run."""

from __future__ import annotations

from typing import Any

import click

from outlast import units
from outlast.cli import follow, show
from outlast.printable import printable


@click.command()
@click.argument("run", default="@last")
@click.option("--json", "as_json", is_flag=True, help="JSON: row, spec, state, series, properties.")
def command(run: str, as_json: bool) -> None:
    """Show RUN: what was asked, what happened, what it logged and produced."""
    facts = follow.run(run).fetch()
    if as_json:
        follow.print_json(facts)
        return
    for name, text in _lines(facts):
        if text:
            click.echo(f"{name:<12}{printable(text)}")
    click.echo(f"\nnext: outlast logs {facts['id']}   outlast why {facts['id']}")


def _lines(facts: dict[str, Any]) -> list[tuple[str, str]]:
    spec, state = facts["spec"], facts["state"]
    source = spec.get("source") or {}
    git = spec.get("git") or {}
    lines = [
        ("run", facts["id"] + (f"  ({facts['name']})" if facts["name"] else "")),
        ("status", show.paint(show.status(facts), facts["status"])),
        ("message", facts["message"]),
        ("experiment", facts["experiment"]),
        ("command", show.command_text(facts["command"])),
        ("folder", f"{source['folder']} ({source['kind']})" if source else ""),
        (
            "git",
            f"{git['commit'][:12]} on {git['branch']}{', with changes' if git['is_dirty'] else ''}"
            if git
            else "",
        ),
        (
            "created",
            show.age(facts["created_ns"])
            + (f" by {facts['created_by']}" if facts["created_by"] else ""),
        ),
        ("lasted", show.lasted(facts)),
        (
            "attempt",
            f"{state['attempt']} of {state['max_attempts']}" if state["max_attempts"] > 1 else "",
        ),
        ("parent", facts["parent"] or ""),
        ("tags", _pairs(facts["tags"])),
        ("parameters", _pairs(spec.get("parameters") or {})),
        ("properties", _pairs(facts["properties"])),
    ]
    lines += [("warning", show.paint(message, "warning")) for _, message in state["warnings"]]
    for series in facts["series"][:20]:
        lines.append(
            (
                "metric",
                f"{series['name']} = {_last(series)}   ({units.count(series['n'], 'point')})",
            )
        )
    return lines


def _last(series: dict[str, Any]) -> str:
    return show.number(series["last"]) if series["last"] is not None else "nan"


def _pairs(values: dict[str, Any]) -> str:
    return "  ".join(name if value is None else f"{name}={value}" for name, value in values.items())
