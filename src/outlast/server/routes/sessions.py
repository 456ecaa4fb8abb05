"""Sessions: open and list them, read them back, and the WebSocket of their terminal."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType
from starlette.responses import Response, StreamingResponse

from outlast.errors import Conflict, NotFound, Refused
from outlast.run.folder import RunFolder
from outlast.run.spec import RunSpec
from outlast.run.state import STATUSES, TERMINAL, RunState
from outlast.scheduler import launching
from outlast.server import follow, terminal
from outlast.server.answers import json_answer
from outlast.server.auth import MAY, TICKET_S, place_of
from outlast.server.call import Call
from outlast.server.route import BYTES, Route
from outlast.server.routes.tickets import Ticket
from outlast.server.shapes import Ns, RunId
from outlast.sessions import listing, opening, transcript
from outlast.store import pages, runs

TERMINAL_PATH = "/api/sessions/{id}/terminal"
MAX_OFFSET = (1 << 63) - 1
LISTED = 1_000
Offset = Annotated[int, Meta(ge=0, le=MAX_OFFSET, description="offset in bytes")]


class Foreground(msgspec.Struct):
    """The command that has the terminal now."""

    command: str
    since_ns: Ns


class Session(msgspec.Struct):
    """A session in one line."""

    id: RunId
    name: str
    status: str
    message: str
    created_ns: Ns
    ended_ns: Ns
    exit_code: int | None
    created_by: str
    shell: Annotated[str, Meta(description="its command")]
    columns: int
    rows: int
    last_byte_ns: Annotated[int, Meta(description="when it printed last; 0 = never")]
    driver: Annotated[str | None, Meta(description="who types")]
    viewers: list[str]
    foreground: Annotated[Foreground | None, Meta(description="null: it waits for a command")]
    cwd: str
    output_bytes: Annotated[int, Meta(description="printed in all")]
    kept_bytes: int
    quota_bytes: Annotated[int, Meta(description="of output that is kept at most")]
    idle_s: Annotated[float, Meta(description="ended after so long without use; 0 = never")]
    entered: Annotated[str, Meta(description="the run in whose folder and environment it is")]
    missing_variables: Annotated[str, Meta(description="of that run: secret, so nobody kept them")]
    is_answered: Annotated[bool, Meta(description="did its supervisor answer just now?")]


class Sessions(msgspec.Struct):
    sessions: list[Session]


class Which(msgspec.Struct, forbid_unknown_fields=True):
    """Which sessions."""

    all: Annotated[bool, Meta(description="also those that are over")] = False


class Wanted(msgspec.Struct, forbid_unknown_fields=True):
    """What to open; without a command the user's own shell."""

    command: Annotated[list[str], Meta(max_length=10_000)] = []
    folder: Annotated[str, Meta(description="absolute; empty: the home folder")] = ""
    environ: Annotated[
        dict[str, str] | None, Meta(description="null: the server's own, without its secrets")
    ] = None
    umask: Annotated[int, Meta(ge=0, le=0o777)] = launching.DEFAULT_UMASK
    run: Annotated[str, Meta(description="enter this run: its folder and environment")] = ""
    name: Annotated[str, Meta(max_length=255)] = ""
    compute: Annotated[str, Meta(description="the instance on which it is opened")] = ""
    login: Annotated[bool | None, Meta(description="a login shell; null: without environ")] = None
    columns: Annotated[int, Meta(ge=1, le=1000)] = 80
    rows: Annotated[int, Meta(ge=1, le=1000)] = 24
    quota_bytes: Annotated[int, Meta(ge=1 << 20, le=1 << 50)] = 1 << 30
    idle_s: Annotated[float, Meta(ge=0, le=1e9)] = 0


class Pass(msgspec.Struct, forbid_unknown_fields=True):
    """What a ticket is for."""

    role: Literal["driver", "viewer"] = "viewer"


class Closing(msgspec.Struct, forbid_unknown_fields=True):
    """How to close it."""

    force: Annotated[bool, Meta(description="kill what is in it at once")] = False


class Reading(msgspec.Struct, forbid_unknown_fields=True, rename={"start": "from"}):
    """Which part, and as what."""

    start: Offset = 0
    before: Offset | None = None  # the part that ends here instead
    limit: Annotated[
        int, Meta(ge=1, le=transcript.MOST_PAGE_BYTES, description="bytes, hits or commands")
    ] = 64 << 10
    search: Annotated[str, Meta(max_length=1000, description="lines that hold this text")] = ""
    commands: Annotated[bool, Meta(description="its commands instead")] = False
    after: Annotated[int, Meta(ge=0, description="commands behind this number")] = 0


class Export(msgspec.Struct, forbid_unknown_fields=True):
    """As what."""

    format: Annotated[
        Literal["text", "asciicast"], Meta(description="plain lines, or asciicast version 3")
    ] = "text"


class Transcript(msgspec.Struct, rename={"start": "from"}):
    """A page, hits, or commands; `next` is where the following part begins."""

    first: Annotated[int, Meta(description="first offset that is kept")]
    end: Annotated[int, Meta(description="length of the output by now")]
    start: int = 0
    next: int = 0
    text: str | UnsetType = UNSET
    hits: list[Any] | UnsetType = UNSET
    commands: list[Any] | UnsetType = UNSET


async def list_sessions(call: Call) -> Response:
    """Sessions that are open, or all, newest first: who is there and what runs in them."""
    which = call.query_as(Which)
    open_ones = tuple(sorted(set(STATUSES) - TERMINAL))
    query = pages.Query(limit=LISTED, kind="session", status=() if which.all else open_ones)
    page = await call.parts.read(pages.page, query)
    rows = await asyncio.gather(*(_row(call, row["id"]) for row in page.rows))
    return json_answer({"sessions": rows})


async def open_session(call: Call) -> Response:
    """Open a session; it starts at once, whatever the queue holds."""
    wanted = await call.body_as(Wanted)
    is_login = wanted.environ is None if wanted.login is None else wanted.login
    asked = opening.Asked(
        command=tuple(wanted.command),
        environ=wanted.environ,
        folder=wanted.folder,
        umask=wanted.umask,
        name=wanted.name,
        columns=wanted.columns,
        rows=wanted.rows,
        quota_bytes=wanted.quota_bytes,
        idle_s=wanted.idle_s,
        is_login=is_login,
        target=wanted.compute,
        by=call.principal.name,
    )
    entered = None
    if wanted.run:
        run_id = await call.parts.read(runs.resolve, wanted.run)
        entered = follow.folder_of(call.settings.runs_folder, run_id)
    plan = await call.parts.in_thread(opening.plan, asked, entered)
    spec = await call.parts.scheduler.submit(plan.spec, plan.launch)
    return json_answer(await _row(call, spec.id), 201)


async def get_session(call: Call) -> Response:
    """One session."""
    return json_answer(await _row(call, call.run_id))


async def make_ticket(call: Call) -> Response:
    """A pass for one WebSocket of this session: good once, for 30 seconds, for one role."""
    role = (await call.body_as(Pass)).role
    principal = call.principal
    if role == "viewer":
        principal = principal._replace(scope="read")
    elif "manage" not in MAY[principal.scope]:
        raise Refused("this token may only look on", hint="ask for a ticket with role viewer")
    await _session(call, call.run_id)
    ticket = call.parts.tickets.make(principal, place_of(TERMINAL_PATH, call.found.parts))
    return json_answer({"ticket": ticket, "expires_s": TICKET_S}, 201)


async def close_session(call: Call) -> Response:
    """End a session: what runs in it is hung up, then ended. One that is over stays as it is."""
    wanted = await call.body_as(Closing)
    run_id = call.run_id
    await _session(call, run_id)
    await call.parts.scheduler.cancel(
        run_id, by=call.principal.name, reason="closed", force=wanted.force
    )
    return json_answer(await _row(call, run_id))


async def read_transcript(call: Call) -> Response:
    """What a session printed, as text: pages by offset, a search, or its commands."""
    query = call.query_as(Reading)
    await _session(call, call.run_id)
    folder, in_thread = call.folder, call.parts.in_thread
    if query.commands:
        limit = min(query.limit, transcript.MOST_COMMANDS)
        commands = await in_thread(transcript.commands, folder, query.after, limit)
        whole = await in_thread(transcript.page, folder, 0, 1)
        following = commands[-1].number if commands else query.after
        shown = [command._asdict() for command in commands]
        return _told(Transcript(whole.first, whole.end, next=following, commands=shown))
    if query.search:
        limit = min(query.limit, transcript.MOST_HITS)
        hits = await in_thread(transcript.search, folder, query.search, query.start, limit)
        shown = [hit._asdict() for hit in hits.hits]
        return _told(Transcript(0, hits.end, query.start, hits.next, hits=shown))
    page = await in_thread(_page, folder, query)
    text = page.data.decode("utf-8", "replace")
    return _told(Transcript(page.first, page.end, page.start, page.next, text=text))


def _page(folder: RunFolder, query: Reading) -> transcript.Page:
    return transcript.page(folder, query.start, query.limit, before=query.before)


def _told(told: Transcript) -> Response:
    return json_answer(told)


async def export_transcript(call: Call) -> Response:
    """All that is kept of what a session printed, as one file."""
    query = call.query_as(Export)
    spec, state = await _session(call, call.run_id)
    if query.format == "text":
        pieces = transcript.as_text(call.folder)
    else:
        code = state.exit_code if state.is_over else None
        pieces = transcript.as_asciicast(call.folder, spec, exit_code=code, title=spec.name)
    name = f"{call.run_id}.{'txt' if query.format == 'text' else 'cast'}"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return StreamingResponse(_read(call, pieces), 200, headers, BYTES)


async def _read(call: Call, pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
    while (piece := await call.parts.in_thread(next, pieces, None)) is not None:
        if piece:
            yield piece


async def _session(call: Call, run_id: str) -> tuple[RunSpec, RunState]:
    """The session's spec and state. Raises NotFound, or Conflict for a run that is none."""
    spec = await call.parts.read(runs.spec_of, run_id)
    if spec.kind != "session":
        raise Conflict(f"run {run_id} has no terminal", hint=f"outlast logs {run_id}")
    state = await call.parts.scheduler.state(run_id)
    if state is None:
        raise NotFound(terminal.UNKNOWN)
    return spec, state


async def _row(call: Call, run_id: str) -> dict[str, Any]:
    spec, state = await _session(call, run_id)
    row = await call.parts.read(runs.row, run_id)
    folder = RunFolder(call.settings.runs_folder + "/" + run_id)
    found = await call.parts.in_thread(
        lambda: listing.facts(folder, spec, is_over=state.is_over or bool(state.outcome))
    )
    kept = ("id", "name", "status", "message", "created_ns", "ended_ns", "exit_code", "created_by")
    foreground = found.foreground
    return {
        **{field: row[field] for field in kept},
        **found._asdict(),
        "foreground": None if foreground is None else foreground._asdict(),
    }


async def attach(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """A session's terminal: the frames are told in FORMATS.md."""
    await terminal.join(scope, receive, scope["outlast.parts"])


routes = [
    Route("GET", "/api/sessions", "read", list_sessions, Which, answer=Sessions),
    Route("POST", "/api/sessions", "manage", open_session, body=Wanted, answer=Session, status=201),
    Route("GET", "/api/sessions/{id}", "read", get_session, answer=Session),
    Route(
        "POST", "/api/sessions/{id}/tickets", "read", make_ticket, body=Pass, answer=Ticket,
        status=201,
    ),
    Route("POST", "/api/sessions/{id}/close", "manage", close_session, body=Closing,
          answer=Session),
    Route("GET", "/api/sessions/{id}/transcript", "read", read_transcript, Reading,
          answer=Transcript),
    Route("GET", "/api/sessions/{id}/export", "read", export_transcript, Export, answer=BYTES),
    Route("WEBSOCKET", TERMINAL_PATH, "read", attach),
]  # fmt: skip
