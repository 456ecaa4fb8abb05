"""Show all that is known of a run."""

from __future__ import annotations

from typing import Any

import click

from outlast import units
from outlast.cli import logged, reach, show
from outlast.printable import one_line
from outlast.sdk.handle import RunHandle

METRICS_SHOWN = 20
PAINTED = frozenset(("status", "warning"))
KINDS = {"warning": "warning"}


@click.command()
@click.argument("run", default="@last")
@click.option("--json", "as_json", is_flag=True, help="JSON: row, spec, state, series, properties.")
def command(run: str, as_json: bool) -> None:
    """Show RUN: what was asked, what happened, what it logged and produced."""
    handle = reach.run(run)
    facts = handle.fetch()
    if as_json:
        show.print_json(facts)
        return
    for name, text in [*_lines(facts), *_logged(handle), ("outputs", _outputs(handle))]:
        if text:
            line = show.field(name, text)
            kind = KINDS.get(name, facts["status"])
            click.echo(show.paint(line, kind) if name in PAINTED else line)
    click.echo(f"\nnext: outlast logs {facts['id']}   outlast why {facts['id']}")


def _lines(facts: dict[str, Any]) -> list[tuple[str, str]]:
    spec, state = facts["spec"], facts["state"]
    source = spec.get("source") or {}
    git = spec.get("git") or {}
    lines = [
        ("run", facts["id"] + (f"  ({facts['name']})" if facts["name"] else "")),
        ("status", show.status(facts)),
        ("message", facts["message"]),
        ("experiment", facts["experiment"]),
        ("command", show.command_text(spec.get("command") or facts["command"])),
        ("folder", f"{source['folder']} ({source['kind']})" if source else ""),
        ("left out", "; ".join(source.get("left_out", ()))),
        (
            "git",
            f"{git['commit'][:12]} on {git['branch']}{', with changes' if git['is_dirty'] else ''}"
            if git
            else "",
        ),
        (
            "created",
            f"{show.age(facts['created_ns'])} ago"
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
    lines += [("children", " ".join(facts["children"]))]
    lines += [("warning", message) for _, message in facts["warnings"]]
    shown = list(facts["series"].items())[:METRICS_SHOWN]
    for name, metric in shown:
        points = units.count(metric["n"], "point")
        lines.append(("metric", f"{one_line(name)} = {show.number(metric['last'])}   ({points})"))
    more = len(facts["series"]) - len(shown)
    return [*lines, ("", f"and {more} more: outlast metrics {facts['id']}")] if more else lines


def _logged(handle: RunHandle) -> list[tuple[str, str]]:
    others = list(logged.gathered(handle.values()).values())[:METRICS_SHOWN]
    return [("logged", "{} ({}: {})".format(*other.line)) for other in others]


def _outputs(handle: RunHandle) -> str:
    files = handle.outputs
    size = units.size(sum(file["size_bytes"] for file in files))
    return f"{units.count(len(files), 'file')}, {size}" if files else ""


def _pairs(values: dict[str, Any]) -> str:
    return "  ".join(name if value is None else f"{name}={value}" for name, value in values.items())
