"""How rows, states and times look in 80 columns. Colours only on a terminal that wants them."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

import click

from outlast import units
from outlast.printable import one_line, printable

COLOURS = {
    "Completed": "green",
    "Failed": "red",
    "Canceled": "yellow",
    "CancelRequested": "yellow",
    "NotResponding": "magenta",
    "Running": "cyan",
    "Finalizing": "cyan",
    "problem": "red",
    "warning": "yellow",
}


def has_colour() -> bool:
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")


def paint(text: str, kind: str) -> str:
    """`text` in the colour of a status or severity, where colours are wanted."""
    colour = COLOURS.get(kind)
    return click.style(text, fg=colour) if colour and has_colour() else text


def width() -> int:
    """Columns of the terminal; 80 where there is none."""
    return shutil.get_terminal_size((80, 24)).columns


def age(t_ns: int) -> str:
    """How long ago, as "12 s ago"; "" for never."""
    return f"{units.duration(max(0, time.time_ns() - t_ns) / 1e9)} ago" if t_ns else ""


def lasted(row: Mapping[str, Any]) -> str:
    """How long the run took, or takes so far; "" before it started."""
    if not row["started_ns"]:
        return ""
    return units.between(row["started_ns"], row["ended_ns"] or time.time_ns())


def status(row: Mapping[str, Any]) -> str:
    """The status with what it waits for, or why it failed: "Failed: exit_code"."""
    more = row.get("cause") or row.get("stage") or ""
    mark = "!" if row.get("warnings") and row["status"] == "Completed" else ""
    return f"{row['status']}{mark}" + (
        f": {more}" if more and more != row["status"].lower() else ""
    )


def command_text(command: Sequence[str]) -> str:
    import shlex

    return shlex.join(command)


def title(row: Mapping[str, Any], *, max_chars: int = 40) -> str:
    """The run's name, else its command."""
    return one_line(row["name"] or command_text(row["command"]) or row["kind"], max_chars=max_chars)


def metrics(row: Mapping[str, Any], *, most: int = 2) -> str:
    """The first few metrics as "loss=0.12 acc=0.9"."""
    values = [(name, value) for name, value in (row.get("metrics") or {}).items()]
    shown = [f"{one_line(name, max_chars=16)}={number(value)}" for name, value in values[:most]]
    return " ".join(shown)


def number(value: Any) -> str:
    return (
        units.number(value)
        if isinstance(value, int | float)
        else one_line(str(value), max_chars=16)
    )


def table(headings: Sequence[str], rows: Sequence[Sequence[str]], *, paint_column: int = -1) -> str:
    """Plain columns; the longest texts are cut so that a line fits the terminal."""
    cells = [[printable(cell).replace("\n", " ") for cell in row] for row in [headings, *rows]]
    widths = [max(len(row[column]) for row in cells) for column in range(len(headings))]
    # Take from the widest column until the line fits; a piped table is never cut.
    room = width() if sys.stdout.isatty() else 10_000
    while sum(widths) + 2 * (len(widths) - 1) > room and max(widths) > 8:
        widths[widths.index(max(widths))] -= 1
    lines = []
    for number_, row in enumerate(cells):
        texts = []
        for column, cell in enumerate(row):
            cut = cell if len(cell) <= widths[column] else cell[: widths[column] - 1] + "…"
            padded = cut.ljust(widths[column])
            if column == paint_column and number_:
                padded = paint(padded, cell.split(":")[0].rstrip("!"))
            texts.append(padded)
        lines.append("  ".join(texts).rstrip())
    return "\n".join(lines)


def explanation(why: Mapping[str, Any]) -> str:
    """A `why` answer as text: headline, then each finding with evidence and what to do."""
    lines = [
        click.style(printable(why["headline"]), bold=True)
        if has_colour()
        else printable(why["headline"])
    ]
    for finding in why["findings"]:
        mark = {"problem": "✗", "warning": "!"}.get(finding["severity"], "•")
        lines.append("")
        lines += _wrapped(f"{mark} ", printable(finding["claim"]), finding["severity"])
        for fact in finding["evidence"]:
            place = f"  [{fact['journal']} @ {fact['offset']}]" if fact.get("journal") else ""
            for number_, line in enumerate(printable(fact["text"]).splitlines() or [""]):
                lines.append(f"    {line}{place if number_ == 0 else ''}")
        if finding.get("next"):
            lines += _wrapped("  next: ", printable(finding["next"]), "")
        if finding.get("command"):
            lines.append(f"  try:  {printable(finding['command'])}")
    return "\n".join(lines)


def _wrapped(lead: str, text: str, kind: str) -> list[str]:
    import textwrap

    lines = textwrap.wrap(
        text, max(40, min(width(), 100)), initial_indent=lead, subsequent_indent=" " * len(lead),
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip
    return [paint(line, kind) for line in lines]
