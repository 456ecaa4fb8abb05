"""How rows, states and times look in 80 columns. Colours only on a terminal that wants them."""

from __future__ import annotations

import json
import os
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
MARKS = {"problem": "✗", "warning": "!"}
TEXT_COLUMNS = 100  # longer lines are hard to read, however wide the terminal
FIELD_COLUMNS = 12
FIELD_CHARS = 2000
LEAST_GIVING = 10  # what a column keeps of its text when it gives way before others
LEAST_COLUMNS = 6  # and when all have to
PIPED_COLUMNS = 100_000  # a table that isn't shown on a terminal is never cut


def say(text: str) -> None:
    """One line beside the output: on stderr, so that what a command prints stays what it is."""
    line = f"outlast: {printable(text)}"
    shown = "\n".join(_wrapped("", line, indent=9)) if sys.stderr.isatty() else line
    click.echo(shown, err=True)


def print_json(value: Any) -> None:
    """A document that is valid JSON whatever the run logged: NaN and infinities are texts."""
    text = json.dumps(_finite(value), indent=1, ensure_ascii=not sys.stdout.isatty())
    click.echo(text)


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not abs(value) < float("inf"):
        return str(value)
    if isinstance(value, dict):
        return {name: _finite(item) for name, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, list | tuple) else value


def has_colour() -> bool:
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")


def paint(text: str, kind: str) -> str:
    """`text` in the colour of a status or severity, where colours are wanted."""
    colour = COLOURS.get(kind)
    return click.style(text, fg=colour) if colour and has_colour() else text


def bold(text: str) -> str:
    return click.style(text, bold=True) if has_colour() else text


def width() -> int:
    """Columns of the terminal; 80 where there is none."""
    columns = os.environ.get("COLUMNS", "")
    if columns.isdigit() and int(columns) > 0:
        return int(columns)
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns or 80
    except (OSError, ValueError):
        return 80


def age(t_ns: int) -> str:
    """How long ago, in its largest unit: "12 s", "3 m", "5 d"; "" for never."""
    if not t_ns:
        return ""
    seconds = max(0, time.time_ns() - t_ns) / 1e9
    for unit_s, unit in ((86_400, "d"), (3_600, "h"), (60, "m")):
        if seconds >= unit_s:
            return f"{int(seconds // unit_s)} {unit}"
    return f"{int(seconds)} s"


def lasted(row: Mapping[str, Any]) -> str:
    """How long the run took, or takes so far; "" before it started."""
    if not row["started_ns"]:
        return ""
    return units.between(row["started_ns"], row["ended_ns"] or time.time_ns())


def status(row: Mapping[str, Any]) -> str:
    """The status with what it waits for, or why it failed: "Failed: exit 3"."""
    more = str(row.get("cause") or row.get("stage") or "").removesuffix("_failed")
    if more == "exit_code" and row.get("exit_code") is not None:
        more = f"exit {row['exit_code']}"
    more = more.replace("_", " ")
    mark = "!" if row.get("warnings") and row["status"] == "Completed" else ""
    return f"{row['status']}{mark}" + (
        f": {more}" if more and more != row["status"].lower() else ""
    )


def command_text(command: Sequence[str] | str) -> str:
    """A command as one would type it."""
    if isinstance(command, str):
        return command
    import shlex

    return shlex.join(command)


def title(row: Mapping[str, Any], *, max_chars: int = 40) -> str:
    """The run's name, else its command."""
    return one_line(row["name"] or command_text(row["command"]) or row["kind"], max_chars=max_chars)


def metrics(row: Mapping[str, Any], *, most: int = 2) -> str:
    """The first few metrics as "loss=0.12 acc=0.9"."""
    shown = [
        f"{one_line(name, max_chars=16)}={short(metric['last'])}"
        for name, metric in list((row.get("metrics") or {}).items())[:most]
    ]
    return " ".join(shown)


def tags(tags: Mapping[str, str | None]) -> str:
    """Tags in one line, as "team=a best"."""
    return " ".join(name if value is None else f"{name}={value}" for name, value in tags.items())


def number(value: Any) -> str:
    """A measured value in at most 6 digits; "" for none."""
    if value is None:
        return ""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return units.number(value)
    return one_line(str(value), max_chars=16)


def short(value: Any) -> str:
    """A measured value in at most 4 digits, for lists."""
    return f"{value:.4g}" if isinstance(value, int | float) else number(value)


# --- tables ---


def columns_of(text: str) -> int:
    """How many columns of a terminal the text takes: two for most of East Asia, none for marks."""
    if text.isascii():
        return len(text)
    import unicodedata

    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1
        for char in text
    )


def fitted(text: str, columns: int) -> str:
    """The text cut with "…" or filled with blanks to exactly so many columns."""
    missing = columns - columns_of(text)
    if missing >= 0:
        return text + " " * missing
    kept = text
    while columns_of(kept) > columns - 1:
        kept = kept[:-1]
    return kept + "…" + " " * (columns - 1 - columns_of(kept))


def table(
    headings: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    paint_column: int = -1,
    gives_way: Sequence[int] = (),
) -> str:
    """Plain columns; the longest texts are cut so that a line fits the terminal.

    The columns `gives_way` are cut before any other. Those that are empty in every row are left
    out. The status in `paint_column` has its colour.
    """
    clean = [[" ".join(printable(cell).split()) for cell in row] for row in rows]
    used = [n for n in range(len(headings)) if not clean or any(row[n] for row in clean)]
    widths = _widths([headings, *clean], used, gives_way)
    lines = [_line([fitted(headings[n], widths[n]) for n in used])]
    for row in clean:
        cells = []
        for column in used:
            cell = fitted(row[column], widths[column])
            kind = row[column].split(":")[0].rstrip("!") if column == paint_column else ""
            cells.append(paint(cell, kind))
        lines.append(_line(cells))
    return "\n".join(lines)


def _line(cells: Sequence[str]) -> str:
    return "  ".join(cells).rstrip()


def _widths(
    rows: Sequence[Sequence[str]], used: Sequence[int], gives_way: Sequence[int]
) -> dict[int, int]:
    widths = {column: max(columns_of(row[column]) for row in rows) for column in used}
    room = width() if sys.stdout.isatty() else PIPED_COLUMNS
    excess = sum(widths.values()) + 2 * (len(used) - 1) - room
    for columns, least in ((gives_way, LEAST_GIVING), (used, LEAST_COLUMNS)):
        giving = [column for column in columns if column in widths]
        while excess > 0 and giving and max(widths[column] for column in giving) > least:
            widest = max(giving, key=lambda column: widths[column])
            widths[widest] -= 1
            excess -= 1
    return widths


# --- why ---


def explanation(why: Mapping[str, Any]) -> str:
    """A `why` answer as text: headline, then each finding with evidence and what to do."""
    headline = printable(why["headline"])
    lines = _wrapped("", headline)
    lines = [bold(line) for line in lines]
    for number_, finding in enumerate(why["findings"]):
        claim = printable(finding["claim"])
        if number_ or claim.rstrip(".") != headline.rstrip("."):
            mark = MARKS.get(finding["severity"], "•")
            claimed = _wrapped(f"{mark} ", claim)
            lines += ["", *(paint(line, finding["severity"]) for line in claimed)]
        for fact in finding["evidence"]:
            lines += _evidence(fact)
        if finding.get("next"):
            lines += _wrapped("  next: ", printable(finding["next"]))
        if finding.get("command"):
            lines.append(f"  try:  {printable(finding['command'])}")
    return "\n".join(lines)


def _evidence(fact: Mapping[str, Any]) -> list[str]:
    text = printable(fact["text"])
    if fact.get("journal") and fact.get("offset") is not None:
        text += f"  [{printable(fact['journal'])} @ {fact['offset']}]"
    lines = text.splitlines() or [""]
    if len(lines) > 1:  # what was printed: as it was, for instance a traceback
        return [f"    {line}" for line in lines]
    return _wrapped("    ", text)


def field(name: str, text: str) -> str:
    """A named value, over several lines on a terminal that is too narrow for it."""
    lead = f"{name:<{FIELD_COLUMNS}}"
    line = one_line(text, max_chars=FIELD_CHARS)
    return "\n".join(_wrapped(lead, line)) if sys.stdout.isatty() else lead + line


def fields(named: Mapping[str, str]) -> str:
    """Named values, one below the other; what is empty is left out."""
    return "\n".join(field(name, text) for name, text in named.items() if text)


def paragraph(text: str) -> str:
    """A sentence over as many lines as the terminal needs; one line where there is none."""
    return "\n".join(_wrapped("", text)) if sys.stdout.isatty() else text


def _wrapped(lead: str, text: str, *, indent: int | None = None) -> list[str]:
    import textwrap

    columns = max(40, min(width(), TEXT_COLUMNS))
    return textwrap.wrap(
        text, columns, initial_indent=lead,
        subsequent_indent=" " * (len(lead) if indent is None else indent),
        break_long_words=False, break_on_hyphens=False,
    ) or [lead.rstrip()]  # fmt: skip
