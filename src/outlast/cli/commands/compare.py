"""Compare runs: what differs, and what came of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from outlast.cli import reach, show

# What was asked for comes first, then what it ran on, then what came of it.
ORDER = (
    "name", "experiment", "param", "command", "folder", "git", "snapshot", "variable", "resource",
    "tag", "status", "lasted", "metric",
)  # fmt: skip


@click.command()
@click.argument("runs", nargs=-1, required=True)
@click.option("--all", "shows_all", is_flag=True, help="Also what is the same.")
@click.option("--json", "as_json", is_flag=True, help="JSON.")
def command(runs: tuple[str, ...], shows_all: bool, as_json: bool) -> None:
    """Compare RUNS: parameters, command, code, environment and results that differ."""
    if len(runs) < 2:
        raise click.UsageError("name two runs or more, as: outlast compare @last @-2")
    facts = [reach.run(run).fetch() for run in runs]
    if as_json:
        rows = differences(facts, shows_all=shows_all)
        show.print_json([{"name": name, "values": values} for name, values in rows])
    else:
        click.echo(comparison(facts, shows_all=shows_all))


def comparison(facts: Sequence[dict[str, Any]], *, shows_all: bool = False) -> str:
    """The runs side by side; for two of them, by how much each number changed."""
    found = differences(facts, shows_all=shows_all)
    if not found:
        return "these runs don't differ in anything that is kept   see all: --all"
    is_pair = len(facts) == 2
    rows = [
        [name, *map(_shown, values), *([_change(values)] if is_pair else [])]
        for name, values in found
    ]
    headings = ["", *(of["id"] for of in facts), *(["CHANGE"] if is_pair else [])]
    text = show.table(headings, rows)
    if not shows_all:
        names = {name for name, _ in found}
        same = [name for name in _flat(facts[0]) if name not in names]
        text += "\n\n" + show.paragraph(f"the same in all: {', '.join(same)}") if same else ""
    return text


def differences(
    facts: Sequence[dict[str, Any]], *, shows_all: bool = False
) -> list[tuple[str, list[Any]]]:
    """(name, a value for each run) of what isn't the same in all of them; None = it has none."""
    columns = [_flat(of) for of in facts]
    names = dict.fromkeys(name for column in columns for name in column)
    ordered = sorted(names, key=_rank)
    rows = [(name, [column.get(name) for column in columns]) for name in ordered]
    return [row for row in rows if shows_all or any(value != row[1][0] for value in row[1])]


def _rank(name: str) -> int:
    return ORDER.index(name.split(" ")[0])


def _flat(facts: dict[str, Any]) -> dict[str, Any]:
    """Everything worth comparing, under names whose first word says what it is."""
    spec = facts["spec"]
    git, source = spec.get("git") or {}, spec.get("source") or {}
    flat: dict[str, Any] = {
        "name": facts["name"],
        "experiment": facts["experiment"],
        "command": show.command_text(spec.get("command") or facts["command"]),
        "folder": source.get("folder", ""),
        "snapshot": (source.get("digest") or "")[:12],
        "git": f"{git['commit'][:12]}{' + changes' if git.get('is_dirty') else ''}" if git else "",
        "status": show.status(facts),
        "lasted": show.lasted(facts),
    }
    for kind, values in (
        ("param", spec.get("parameters")),
        ("variable", spec.get("variables")),
        ("resource", spec.get("resources")),
        ("tag", facts["tags"]),
    ):
        for name, value in (values or {}).items():
            flat[f"{kind} {name}"] = "(hidden)" if kind == "variable" and value is None else value
    for name, metric in facts["series"].items():
        flat[f"metric {name}"] = metric["last"]
    return {name: value for name, value in flat.items() if value not in ("", None)}


def _shown(value: Any) -> str:
    return show.number(value) if isinstance(value, int | float) else str(value or "")


def _change(values: Sequence[Any]) -> str:
    """From the first number to the second, as "+12 %"; "" where that says nothing."""
    before, after = (_as_number(value) for value in values)
    if before is None or after is None or before == after:
        return ""
    if not before:
        return f"{after - before:+.3g}"
    percent = (after - before) / abs(before) * 100
    return f"{percent:+,.3g} %" if abs(percent) < 1000 else f"x {after / before:.3g}"


def _as_number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except ValueError:
        return None
    return number if abs(number) < float("inf") else None
