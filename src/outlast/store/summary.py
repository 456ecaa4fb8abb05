"""The JSON beside a run's columns: what a list shows of it, kept when its journals are read.

One row a run is thus enough for a list. The narrow rows of `run_values` repeat its tags, parameters
and last metric values for filters and sorting.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import msgspec
from sqlalchemy.engine import Connection

from outlast.run.spec import RunSpec
from outlast.store.schema import TEXT_CHARS
from outlast.store.statement import execute, execute_many

METRICS_LISTED = 200  # names; a run with more has all of them in its series, only not in lists
COMMAND_CHARS = 300

# {"last", "min", "max", "n", "step"}; a value that JSON doesn't have is "nan", "inf" or "-inf".
Metric = dict[str, Any]


class Summary(msgspec.Struct):
    command: str = ""
    created_by: str = ""
    exit_code: int | None = None
    tags: dict[str, str | None] = {}
    properties: dict[str, str] = {}
    metrics: dict[str, Metric] = {}
    warnings: list[tuple[str, str]] = []  # of the run's state
    noticed: list[tuple[str, str]] = []  # found while its journals were read
    lost_records: int = 0  # that the script could not write down, as it says itself

    def notice(self, code: str, message: str) -> None:
        """A warning on the run, once for each code."""
        if all(known != code for known, _ in self.noticed):
            self.noticed.append((code, message))


def begun(spec: RunSpec) -> Summary:
    """The summary of a run of which nothing is known but its spec."""
    words = spec.command
    if spec.kind == "sweep":  # what is varied, not the program that leads it
        words = ("sweep", *words[words.index("--") + 1 :]) if "--" in words else words
    command = " ".join(words)
    return Summary(
        command=command if len(command) <= COMMAND_CHARS else command[: COMMAND_CHARS - 1] + "…",
        created_by=spec.created_by,
        tags=dict(spec.tags),
        properties=dict(spec.properties),
    )


def encode(summary: Summary) -> str:
    return msgspec.json.encode(summary).decode()


def decode(text: str) -> Summary:
    return msgspec.json.decode(text, type=Summary)


def plain_number(value: float) -> float | str:
    """The value as JSON can hold it."""
    if math.isfinite(value):
        return value
    return "nan" if math.isnan(value) else ("inf" if value > 0 else "-inf")


# --- narrow rows ---


Value = tuple[int, str, float | None, str | None]  # run, name, number, text


def value_row(run: int, name: str, value: Any) -> Value:
    """The row by which runs are filtered and sorted; what isn't a number or text is its JSON."""
    number: float | None = None
    if isinstance(value, bool):
        number, text = float(value), "true" if value else "false"
    elif isinstance(value, (int, float)):
        number = _stored(value)
        text = f"{value:.17g}" if isinstance(value, float) else str(value)
    elif isinstance(value, str):
        number, text = _number_in(value), value
    else:
        text = "" if value is None else msgspec.json.encode(value).decode()
    # PostgreSQL takes no NUL; its indexes take no long rows.
    return (run, name, number, text[:TEXT_CHARS].replace("\0", "\N{REPLACEMENT CHARACTER}"))


def metric_row(run: int, name: str, last: float) -> Value:
    return (run, f"metrics.{name}", _stored(last), None)


def _stored(value: float) -> float | None:
    try:
        number = float(value)
    except OverflowError:
        return None
    return None if math.isnan(number) else number


def _number_in(text: str) -> float | None:
    try:
        return _stored(float(text)) if len(text) < 40 else None
    except ValueError:
        return None


def store_values(connection: Connection, rows: Iterable[Value]) -> None:
    """Put these rows in place of those of the same names."""
    execute_many(connection, _PUT, list(rows))


def drop_value(connection: Connection, run: int, name: str) -> None:
    execute(connection, "DELETE FROM run_values WHERE run = ? AND name = ?", run, name)


_PUT = (
    "INSERT INTO run_values (run, name, number, text) VALUES (?, ?, ?, ?)"
    " ON CONFLICT (run, name) DO UPDATE SET number = excluded.number, text = excluded.text"
)
