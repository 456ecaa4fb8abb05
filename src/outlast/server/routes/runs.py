"""Runs: lists of them, one of them, and what can be asked of it."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType
from starlette.responses import Response

from outlast.errors import Invalid
from outlast.run.state import STATUSES
from outlast.scheduler import launching
from outlast.server.answers import json_answer
from outlast.server.call import Call
from outlast.server.route import Route
from outlast.server.shapes import Full, Row
from outlast.store import pages, runs

MAX_TAGS = 1_000

_STATUS_OF = {status.lower(): status for status in STATUSES}


class Listing(msgspec.Struct, forbid_unknown_fields=True):
    """Which runs, in which order."""

    limit: Annotated[int, Meta(ge=1, le=pages.MAX_LIMIT, description="runs a page")] = 50
    cursor: Annotated[str, Meta(description="`next` of the page before")] = ""
    experiment: str = ""
    status: Annotated[str, Meta(description="one status, or several with commas")] = ""
    kind: Annotated[
        str,
        Meta(description="command, interactive, sweep, session, tunnel or all; else the first 3"),
    ] = ""
    parent: str = ""
    since_ns: Annotated[int, Meta(ge=0, description="created at or after")] = 0
    where: Annotated[str, Meta(description="as `metrics.loss < 0.1 and tags.team = 'a'`")] = ""
    sort: Annotated[str, Meta(description="as `-metrics.accuracy`; - = greatest first")] = (
        "-created"
    )

    def query(self) -> pages.Query:
        asked = (part.strip() for part in self.status.split(",") if part.strip())
        statuses = tuple(_STATUS_OF.get(part.lower(), part) for part in asked)
        return pages.Query(**{**msgspec.structs.asdict(self), "status": statuses})


class Page(msgspec.Struct):
    runs: list[Row]
    next: str | None


class Launch(msgspec.Struct, forbid_unknown_fields=True):
    """The real command and environment: kept until the run is over, and shown to nobody."""

    command: Annotated[list[str], Meta(min_length=1)]
    folder: Annotated[str, Meta(pattern="^/", description="where it runs; absolute")]
    environ: dict[str, str] = {}
    umask: Annotated[int, Meta(ge=0, le=0o777)] = launching.DEFAULT_UMASK


class Repeat(msgspec.Struct, forbid_unknown_fields=True):
    """How to run it again, and under which id: asked for twice, that is the same run."""

    id: Annotated[str, Meta(description="of the new run; a fresh one by default")] = ""
    environ: Annotated[
        dict[str, str] | None, Meta(description="its environment; by default what was kept of it")
    ] = None


class Submission(msgspec.Struct, forbid_unknown_fields=True):
    """What to run; the fields of `spec` are told in docs/runs.md."""

    launch: Launch
    spec: dict[str, Any] = {}


class Change(msgspec.Struct, forbid_unknown_fields=True):
    """What to change; a tag set to null is a tag without a value, a property is set once."""

    tags: dict[str, str | None] | UnsetType = UNSET
    removed_tags: list[str] = []
    properties: dict[str, str] = {}
    name: str | UnsetType = UNSET


class Cancel(msgspec.Struct, forbid_unknown_fields=True):
    """Why, and whether to leave out the grace between TERM and KILL."""

    reason: Annotated[str, Meta(max_length=1000)] = ""
    force: bool = False


class Nothing(msgspec.Struct, forbid_unknown_fields=True):
    """No field is taken."""


async def list_runs(call: Call) -> Response:
    """A page of runs, newest first."""
    await call.parts.scheduler.catch_up()
    page = await call.parts.read(pages.page, call.query_as(Listing).query())
    return json_answer({"runs": page.rows, "next": page.next})


async def submit_run(call: Call) -> Response:
    """Queue a run, or make an interactive one. Answers as soon as that is durable."""
    wanted = await call.body_as(Submission)
    spec = await call.parts.scheduler.submit(wanted.spec, msgspec.structs.asdict(wanted.launch))
    return json_answer(await call.parts.read(runs.row, spec.id), 201)


async def get_run(call: Call) -> Response:
    """A run with its spec, state, series, properties and children."""
    await call.catch_up()
    full = await call.parts.read(runs.full, call.run_id)
    answer = {
        **full.row,
        "spec": full.spec,
        "state": full.state,
        "series": full.row["metrics"],
        "properties": full.properties,
        "children": full.children,
    }
    return json_answer(answer)


async def change_run(call: Call) -> Response:
    """Set or remove tags, set properties that aren't set yet, or the name."""
    change = await call.body_as(Change)
    tags = {} if change.tags is UNSET else change.tags
    for field, given in (("tags", tags), ("properties", change.properties)):
        if len(given) > MAX_TAGS:
            raise Invalid.field(field, len(given), f"set at most {MAX_TAGS} at once")
    name = None if change.name is UNSET else change.name
    parts, run_id = call.parts, call.run_id

    def write() -> dict[str, Any]:
        return parts.database.transact(
            lambda connection: runs.update(
                connection,
                run_id,
                tags=tags,
                removed_tags=change.removed_tags,
                properties=change.properties,
                name=name,
            )
        )

    row = await parts.in_thread(write)
    parts.scheduler.changes.note(run_id)
    return json_answer(row)


async def delete_run(call: Call) -> Response:
    """Delete a run that is over: its folder, its rows, and files that no other run holds."""
    await call.parts.scheduler.delete(call.run_id)
    return Response(None, 204)


async def cancel_run(call: Call) -> Response:
    """Ask for the run to be stopped; it is over when its state says so."""
    wanted = await call.body_as(Cancel)
    run_id = call.run_id
    await call.parts.scheduler.cancel(
        run_id, reason=wanted.reason, force=wanted.force, by=call.principal.name
    )
    return json_answer(await call.parts.read(runs.row, run_id))


async def retry_run(call: Call) -> Response:
    """A new run of the same spec, in the environment of who asks for it."""
    wanted = await call.body_as(Repeat)
    again = await call.parts.scheduler.retry(call.run_id, new_id=wanted.id, environ=wanted.environ)
    return json_answer(await call.parts.read(runs.row, again.id), 201)


async def push_outputs(call: Call) -> Response:
    """Store the outputs now that could not be stored when the run ended."""
    await call.body_as(Nothing)
    run_id = call.run_id
    await call.parts.scheduler.push_outputs(run_id)
    return json_answer(await call.parts.read(runs.row, run_id))


routes = [
    Route("GET", "/api/runs", "read", list_runs, Listing, answer=Page),
    Route("POST", "/api/runs", "manage", submit_run, body=Submission, answer=Row, status=201),
    Route("GET", "/api/runs/{id}", "read", get_run, answer=Full),
    Route("PATCH", "/api/runs/{id}", "append", change_run, body=Change, answer=Row),
    Route("DELETE", "/api/runs/{id}", "manage", delete_run, status=204),
    Route("POST", "/api/runs/{id}/cancel", "manage", cancel_run, body=Cancel, answer=Row),
    Route("POST", "/api/runs/{id}/retry", "manage", retry_run, body=Repeat, answer=Row, status=201),
    Route("POST", "/api/runs/{id}/outputs/push", "manage", push_outputs, body=Nothing, answer=Row),
]
