"""What a run logged, in the shapes of `Run.get_metrics`.

One value of a name is that value, several are a list; rows and tables are a dict of columns; an
image is its address among the run's files. Read from the run's own journals where they are on this
machine (then integers stay integers, and nothing is behind), else from the server.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Dict, Iterable, Iterator, List, Mapping

from outlast.journal.cursor import Cursor
from outlast.run import logged
from outlast.run.folder import LOGGED_PREFIX, RunFolder

if TYPE_CHECKING:
    from outlast.sdk.handle import RunHandle


def address(run_id: str, path: str) -> str:
    """How Azure ML names a file of a run in a metric."""
    return f"aml://artifactId/ExperimentRun/dcid.{run_id}/{path}"


def of_folder(folder: RunFolder) -> Dict[str, Any]:
    """From the journals in the run's folder, in the order in which it was logged."""
    return shaped(records(folder), folder.run_id)


def records(folder: RunFolder) -> List[Dict[str, Any]]:
    """Every record that the run's processes logged, by time."""
    found: List[Dict[str, Any]] = []
    journals = [name for name in os.listdir(folder.path) if name.startswith(LOGGED_PREFIX)]
    for name in journals:
        found.extend(_read(folder.file(name)))
    if len(journals) > 1:
        found.sort(key=lambda record: int(record.get("t", 0)))
    return found


def _read(path: str) -> Iterator[Dict[str, Any]]:
    with Cursor(path) as cursor:
        while True:
            start = cursor.offset
            yield from cursor.read_records().records
            if cursor.offset == start:
                return


def of_handle(handle: RunHandle) -> Dict[str, Any]:
    """From the server: of a workspace on another machine. Numbers are floats then."""
    told: List[Dict[str, Any]] = []
    for summary in handle.series():
        name = summary["name"]
        told += [{"k": "m", "n": name, "v": v} for v in handle.view(name, points=None)["values"]]
    for value in handle.values():
        is_text = value["kind"] not in (logged.LIST, logged.ROW, logged.TABLE, logged.IMAGE)
        kind = logged.METRIC if is_text else value["kind"]
        given = value["value"]
        path = given.get("path") if isinstance(given, dict) else given
        told.append({"k": kind, "n": value["name"], "v": given, "path": path})
    return shaped(told, handle.id)


def shaped(told: Iterable[Mapping[str, Any]], run_id: str) -> Dict[str, Any]:
    """The records of metrics, of any run, as get_metrics gives them."""
    values: Dict[str, List[Any]] = {}
    columns: Dict[str, Dict[str, List[Any]]] = {}
    tables = set()
    for record in told:
        kind, name = record.get("k"), record.get("n", "")
        if kind == logged.METRIC:
            values.setdefault(name, []).append(_value(record))
        elif kind == logged.LIST:
            values.setdefault(name, []).extend(record["v"])
        elif kind == logged.IMAGE:
            values.setdefault(name, []).append(address(run_id, str(record["path"])))
        elif kind in (logged.ROW, logged.TABLE):
            table = columns.setdefault(name, {})
            if kind == logged.TABLE:
                tables.add(name)
            for column, cells in record["v"].items():
                table.setdefault(column, []).extend(cells if kind == logged.TABLE else [cells])
    found: Dict[str, Any] = {name: v[0] if len(v) == 1 else v for name, v in values.items()}
    for name, table in columns.items():
        is_row = name not in tables and all(len(cells) == 1 for cells in table.values())
        found[name] = {column: v[0] for column, v in table.items()} if is_row else table
    return found


def _value(record: Mapping[str, Any]) -> Any:
    return logged.NON_FINITE[record["x"]] if "x" in record else record["v"]
