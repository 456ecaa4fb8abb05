"""Compare runs: what differs, and what came of it."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from typing import Any

import click

from outlast.cli import reach, show

# What was asked for comes first, then what it ran on, then what came of it.
ORDER = (
    "name", "experiment", "param", "command", "folder", "git", "snapshot", "variable", "resource",
    "tag", "status", "lasted", "metric",
)  # fmt: skip
TEXTS = ("command", "folder")  # long, and mostly alike: where they differ has to be in sight
LEAST_COLUMNS = 16  # of such a text


@click.command()
@click.argument("runs", nargs=-1, required=True)
@click.option("--all", "shows_all", is_flag=True, help="Also what is the same.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def command(runs: tuple[str, ...], shows_all: bool, as_json: bool) -> None:
    """Compare RUNS: parameters, command, code, environment and results that differ.

    \b
    outlast compare @-2 @last
    """
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
    changes = [_change(values) if is_pair else "" for _, values in found]
    columns = _columns(found, changes, len(facts))
    rows = [
        [name, *_told(name, values, columns), *([change] if is_pair else [])]
        for (name, values), change in zip(found, changes, strict=True)
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


def differing(texts: Sequence[str], columns: int) -> list[str]:
    """Texts that may be longer than so many columns, each with what differs near its beginning.

    Of what all begin with, as much is kept as there is room for, whole words or folders, and "…"
    stands for the rest.
    """
    if max(map(show.columns_of, texts)) <= columns or len(set(texts)) == 1:
        return list(texts)
    pieces = [re.findall(r"/?[^ /]*[ /]|/?[^ /]+", text) for text in texts]
    alike = 0
    for together in zip(*pieces, strict=False):
        if len(set(together)) > 1:
            break
        alike += 1
    if alike > 1 and pieces[0][alike - 1].startswith("-"):
        alike -= 1  # the option whose value differs
    rests = ["".join(words[alike:]) for words in pieces]
    room = columns - max(map(show.columns_of, rests)) - len("… ")
    kept = 0
    # What it begins with says what it is, and so stays even if an end is cut for it.
    while kept < alike and (show.columns_of("".join(pieces[0][: kept + 1])) <= room or not kept):
        kept += 1
    head = "".join(pieces[0][:kept])
    if kept < alike:
        head += "…/" if pieces[0][alike - 1].endswith("/") else "… "
    return [head + rest for rest in rests]


def program_name(commands: Sequence[str]) -> list[str]:
    """The commands without the folder of the program, where that is the same in all of them."""
    folders = {os.path.dirname(command.partition(" ")[0]) for command in commands if command}
    folder = folders.pop() if len(folders) == 1 else ""
    if not folder or folder.startswith("'"):  # quoted: it ends elsewhere
        return list(commands)
    return [command.removeprefix(f"{folder}/") for command in commands]


def _told(name: str, values: Sequence[Any], columns: int) -> list[str]:
    shown = [_shown(value) for value in values]
    if name not in TEXTS or not sys.stdout.isatty():
        return shown
    return differing(program_name(shown) if name == "command" else shown, columns)


def _columns(found: Sequence[tuple[str, Sequence[Any]]], changes: Sequence[str], runs: int) -> int:
    """What a table of this terminal's width has for each run."""
    names, change = max(len(name) for name, _ in found), max(map(len, changes))
    return max(LEAST_COLUMNS, (show.width() - names - change - 2 * (runs + 1)) // runs)


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
