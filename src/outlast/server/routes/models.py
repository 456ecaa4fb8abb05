"""Models: versions by name, their files, tags and aliases; registering what a client or run has."""

from __future__ import annotations

import time
from typing import Annotated, Any

import msgspec
from msgspec import Meta
from sqlalchemy.engine import Connection
from starlette.responses import Response

from outlast.errors import Conflict, Invalid, NotFound
from outlast.run.manifest import Manifest
from outlast.server.answers import json_answer
from outlast.server.call import Call
from outlast.server.files import StoredFile
from outlast.server.route import BYTES, Route
from outlast.server.routes.blobs import Sha256
from outlast.server.versions import Change, Limit, Number, Request, intent_of, named, numbered
from outlast.store import manifests, models, runs
from outlast.store.models import File, Lineage, New, Version


class ModelRow(msgspec.Struct):
    """A version of a model in one line."""

    name: str
    version: int
    description: str
    tags: dict[str, str | None]
    properties: dict[str, str]
    aliases: list[str]
    created_ns: int
    created_by: str
    run: Annotated[str, Meta(description="id of the run that made it; empty for other files")]
    attempt: int
    manifest: Annotated[str, Meta(description="digest of that run's outputs")]
    path: Annotated[str, Meta(description="among that run's stored files")]
    digest: Annotated[str, Meta(description="of the files")]
    files: int
    size_bytes: int


class Listed(ModelRow):
    """The newest version of a model."""

    versions: Annotated[int, Meta(description="how many there are")]


class Models(msgspec.Struct):
    models: list[Listed]
    next: str | None


class Versions(msgspec.Struct):
    versions: list[ModelRow]
    next: int | None


class WholeModel(msgspec.Struct):
    """A version with its files."""

    model: ModelRow
    files: list[dict[str, Any]]


class NamesPage(msgspec.Struct, forbid_unknown_fields=True):
    """Which models, in the order of names."""

    limit: Limit = 100
    after: Annotated[str, Meta(description="`next` of the page before")] = ""
    run: Annotated[str, Meta(description="only versions that this run made, all of them")] = ""


class Before(msgspec.Struct, forbid_unknown_fields=True):
    """Which versions, newest first."""

    limit: Limit = 100
    before: Number = 0


class ModelFile(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    """A file as `[path, size_bytes, sha256]`."""

    path: Annotated[str, Meta(min_length=1)]
    size_bytes: Annotated[int, Meta(ge=0)]
    sha256: Sha256


class Registration(msgspec.Struct, forbid_unknown_fields=True):
    """What becomes the next version: stored contents (`files`), or a path of a run's outputs."""

    name: str
    files: Annotated[list[ModelFile], Meta(max_length=models.MAX_FILES)] = []
    run: Annotated[str, Meta(description="id of a run, instead of files")] = ""
    path: Annotated[str, Meta(description="a file or folder among its stored outputs")] = ""
    tags: dict[str, str | None] = {}
    properties: dict[str, str] = {}
    description: str = ""
    request: Request = ""


class ModelChange(Change):
    """What to change; files and properties never change."""


class Target(msgspec.Struct, forbid_unknown_fields=True):
    """What the alias names from now on."""

    version: Annotated[str, Meta(description="a number, another alias, or latest")]


def _row(found: Version) -> dict[str, Any]:
    lineage = found.lineage._asdict()
    row = {name: value for name, value in found._asdict().items() if name != "lineage"}
    return {**row, **lineage}


async def list_models(call: Call) -> Response:
    """Every model with its newest version, in the order of names; or what one run has made."""
    page = call.query_as(NamesPage)
    if page.run:
        made = await call.parts.read(models.of_run, page.run)
        return json_answer({"models": [{**_row(one), "versions": 1} for one in made], "next": None})
    found = await call.parts.read(models.newest_of_each, after=page.after, limit=page.limit)
    rows = [{**_row(version), "versions": count} for count, version in found]
    last = rows[-1]["name"] if len(rows) == page.limit else None
    return json_answer({"models": rows, "next": last})


async def register_model(call: Call) -> Response:
    """Register the next version of a model. The contents of its files must be stored before."""
    wanted, parts = await call.body_as(Registration), call.parts
    who, now_ns = call.principal.name, time.time_ns()
    if bool(wanted.files) == bool(wanted.run):
        raise Invalid.field("files", "", "give either files, or run and path")

    def work() -> Version:
        files = [File(one.path, one.size_bytes, one.sha256) for one in wanted.files]
        lineage = Lineage()
        if wanted.run:
            with parts.database.read() as connection:
                lineage, files = _of_run(connection, wanted.run, wanted.path)
        for file in files:
            if not parts.blobs.keep(file.sha256, file.size_bytes):
                raise Conflict(
                    f"the content of {file.path!r} ({file.sha256[:12]}) isn't stored in this size",
                    hint="PUT /api/blobs/SHA256 first",
                )
        new = New(
            wanted.name, files, who, wanted.tags, wanted.properties, wanted.description,
            lineage, intent_of(wanted.request),
        )  # fmt: skip
        models.check(new)
        return parts.database.transact(lambda connection: models.register(connection, new, now_ns))

    made = await parts.in_thread(work)
    return json_answer(_row(made), 201)


def _of_run(connection: Connection, run_id: str, path: str) -> tuple[Lineage, list[File]]:
    manifest: Manifest | None = manifests.load(connection, run_id)
    files = manifest.below(path) if manifest is not None else []
    if manifest is None or not files:
        status = runs.row(connection, run_id)["status"]
        raise NotFound(
            f"path = {path!r}: not among the stored outputs of run {run_id}, which is {status}",
            hint=f"outlast outputs {run_id}",
        )
    lineage = Lineage(run_id, manifest.attempt, manifest.digest(), path)
    return lineage, [File(name, entry.size_bytes, entry.sha256) for name, entry in files]


async def list_versions(call: Call) -> Response:
    """The versions of a model, newest first."""
    page, name = call.query_as(Before), call.found.parts["name"]
    found = await call.parts.read(models.versions, name, before=page.before, limit=page.limit)
    last = found[-1].version if len(found) == page.limit else None
    return json_answer({"versions": [_row(one) for one in found], "next": last})


async def get_version(call: Call) -> Response:
    """One version by number, alias or `latest`, with its files."""
    found, files = await call.parts.read(_whole, *named(call))
    return json_answer({"model": _row(found), "files": [one._asdict() for one in files]})


async def change_version(call: Call) -> Response:
    """Set or remove tags of a version, or set its description."""
    change = await call.body_as(ModelChange)
    changed = await call.parts.write(models.change, *named(call), change.labels)
    return json_answer(_row(changed))


async def delete_version(call: Call) -> Response:
    """Delete a version by its number; that number is never given again."""
    await call.parts.write(models.delete, *numbered(call), time.time_ns())
    return Response(None, 204)


async def set_alias(call: Call) -> Response:
    """Let an alias name this version, and no other of the model any more."""
    wanted, parts = await call.body_as(Target), call.found.parts
    found = await call.parts.write(models.set_alias, parts["name"], parts["alias"], wanted.version)
    return json_answer(_row(found))


async def delete_alias(call: Call) -> Response:
    """Take an alias away; the version stays."""
    parts = call.found.parts
    await call.parts.write(models.drop_alias, parts["name"], parts["alias"])
    return Response(None, 204)


async def one_file(call: Call) -> Response:
    """One file of a version as an attachment; Range with one range is honoured."""
    wanted = call.found.parts["path"]
    found, files = await call.parts.read(_whole, *named(call))
    file = next((one for one in files if one.path == wanted), None)
    if file is None:
        name = f"{found.name}:{found.version}"
        raise NotFound("the model has no file of this name", hint=f"outlast models show {name}")
    fd = await call.parts.in_thread(call.parts.blobs.open, file.sha256)
    return StoredFile(call, fd, file.path.encode(), file.sha256)


def _whole(connection: Connection, name: str, reference: str) -> tuple[Version, list[File]]:
    found = models.get(connection, name, reference)
    return found, models.files_of(connection, name, found.version)


_ONE = "/api/models/{name}/versions/{version}"
_ALIAS = "/api/models/{name}/aliases/{alias}"

routes = [
    Route("GET", "/api/models", "read", list_models, NamesPage, answer=Models),
    Route(
        "POST", "/api/models", "manage", register_model,
        body=Registration, answer=ModelRow, status=201,
    ),
    Route("GET", "/api/models/{name}/versions", "read", list_versions, Before, answer=Versions),
    Route("GET", _ONE, "read", get_version, answer=WholeModel),
    Route("PATCH", _ONE, "manage", change_version, body=ModelChange, answer=ModelRow),
    Route("DELETE", _ONE, "manage", delete_version, status=204),
    Route("GET", _ONE + "/files/{path*}", "read", one_file, answer=BYTES),
    Route("PUT", _ALIAS, "manage", set_alias, body=Target, answer=ModelRow),
    Route("DELETE", _ALIAS, "manage", delete_alias, status=204),
]  # fmt: skip
