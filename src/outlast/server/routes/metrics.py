"""What a run logged: summaries of its series, the points of one, and everything that is no number.

Numbers that JSON doesn't have are the strings "nan", "inf" and "-inf". The binary form of a series
is that of `store.chunks.to_binary`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
import numpy as np
from msgspec import Meta
from sqlalchemy.engine import Connection
from starlette.responses import Response

from outlast.errors import Invalid
from outlast.ids import check_name
from outlast.server.answers import json_answer, number
from outlast.server.call import Call
from outlast.server.route import BYTES, Route
from outlast.store import runs, series
from outlast.store.chunks import Points, to_binary

MAX_POINTS = 1_000_000
ALL = "all"


class Wanted(msgspec.Struct, forbid_unknown_fields=True):
    """Which series, how many of its points, and in which form."""

    name: Annotated[str, Meta(min_length=1)]
    points: Annotated[str, Meta(description="points that draw the series, or `all`")] = "2000"
    format: Literal["json", "binary"] = "json"
    first_step: int | None = None
    last_step: int | None = None


class Summary(msgspec.Struct):
    name: str
    n: int
    first_step: int
    last_step: int
    min: float | None
    max: float | None
    last: float | str
    last_t_ns: int
    non_finite: int


class Summaries(msgspec.Struct):
    series: list[Summary]


class Series(msgspec.Struct):
    name: str
    n: int
    steps: list[int]
    times_ns: list[int]
    values: list[float | str]


class Values(msgspec.Struct):
    values: list[dict[str, Any]]


def summaries_of(connection: Connection, run_id: str) -> list[dict[str, Any]]:
    """One entry for each series of the run, as JSON holds it."""
    key = runs.key_of(connection, run_id)
    found = series.summaries(connection, [key])[key]
    return [{**summary._asdict(), "last": number(summary.last)} for summary in found]


async def metrics(call: Call) -> Response:
    """The run's series, one line each."""
    await call.catch_up()
    return json_answer({"series": await call.parts.read(summaries_of, call.run_id)})


async def one_series(call: Call) -> Response:
    """The points of one series, sorted by step: those that draw it, or all of them."""
    query = call.query_as(Wanted)
    check_name("name", query.name)
    await call.catch_up()
    return await call.parts.read(_answer, call.run_id, query)


def _answer(connection: Connection, run_id: str, query: Wanted) -> Response:
    """Read and encoded in the same thread: a million points shouldn't stop the loop."""
    key = runs.key_of(connection, run_id)
    if query.points == ALL:
        points = series.read(connection, key, query.name)
    else:
        count = _count(query.points)
        points = series.view(connection, key, query.name, count, query.first_step, query.last_step)
    if query.format == "binary":
        return Response(to_binary(*points), 200, None, BYTES)
    answer = {
        "name": query.name,
        "n": len(points.steps),
        "steps": points.steps.tolist(),
        "times_ns": points.times_ns.tolist(),
        "values": _values(points),
    }
    return json_answer(answer)


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 16 <= int(text[:9]) <= MAX_POINTS:
        raise Invalid.field("points", text, f"give `all`, or a number from 16 to {MAX_POINTS}")
    return int(text)


def _values(points: Points) -> list[float | str]:
    values: list[float | str] = points.values.tolist()
    for index in np.flatnonzero(~np.isfinite(points.values)).tolist():
        values[index] = number(float(points.values[index]))
    return values


async def values(call: Call) -> Response:
    """Lists, rows, tables, images and strings that were logged, in order of arrival."""
    await call.catch_up()
    return json_answer({"values": await call.parts.read(runs.values_of, call.run_id)})


routes = [
    Route("GET", "/api/runs/{id}/metrics", "read", metrics, answer=Summaries),
    Route("GET", "/api/runs/{id}/series", "read", one_series, Wanted, answer=Series),
    Route("GET", "/api/runs/{id}/values", "read", values, answer=Values),
]
