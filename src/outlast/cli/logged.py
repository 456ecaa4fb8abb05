"""What a run logged beside numbers, for people: a line for each name, or all of one name.

Rows and tables of one name are one table, as in `Run.get_metrics`; what was logged as a list grows.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from outlast import units
from outlast.cli import show
from outlast.run.logged import IMAGE, LIST, ROW, TABLE

SHOWN_VALUES = 8
HEADINGS = ("LOGGED", "KIND", "HOLDS")


class Logged(NamedTuple):
    """All that was logged under one name: table cells by column, anything else as values."""

    name: str
    kind: str
    values: list[Any]
    columns: dict[str, list[Any]]

    @property
    def json(self) -> Any:
        return self.columns or self.values

    @property
    def line(self) -> list[str]:
        """Its name, its kind, and what it holds in a few words."""
        return [self.name, "table" if self.columns else self.kind, self._holds()]

    def _holds(self) -> str:
        if self.columns:
            return f"{units.count(len(self._rows()), 'row')} of {', '.join(self.columns)}"
        if self.kind != LIST:
            return _text(self.values[-1])
        shown = ", ".join(map(_text, self.values[:SHOWN_VALUES]))
        more = ", …" if len(self.values) > SHOWN_VALUES else ""
        return f"{units.count(len(self.values), 'value')}: {shown}{more}"

    def whole(self) -> str:
        """All of it, as a table."""
        if self.columns:
            return show.table(list(self.columns), self._rows())
        return show.table([self.name], [[_text(value)] for value in self.values])

    def _rows(self) -> list[list[str]]:
        most = max(map(len, self.columns.values()))
        columns = [
            [*map(_text, cells), *[""] * (most - len(cells))] for cells in self.columns.values()
        ]
        return [list(row) for row in zip(*columns, strict=True)]


def gathered(values: Iterable[Mapping[str, Any]]) -> dict[str, Logged]:
    """By name, what `RunHandle.values` told record by record."""
    found: dict[str, Logged] = {}
    for told in values:
        name, kind, value = told["name"], told["kind"], told["value"]
        logged = found.setdefault(name, Logged(name, kind, [], {}))
        if kind in (ROW, TABLE):
            for column, cells in value.items():
                given = cells if kind == TABLE else [cells]
                logged.columns.setdefault(column, []).extend(given)
        elif kind == LIST:
            logged.values.extend(value)
        else:
            logged.values.append(value["path"] if kind == IMAGE else value)
    return found


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return units.number(value) if is_number else json.dumps(value)
