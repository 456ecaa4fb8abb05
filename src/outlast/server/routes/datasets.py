"""Datasets: versions by name, each a definition that is kept and told, and never opened here."""

from __future__ import annotations

import time
from typing import Annotated, Any

import msgspec
from msgspec import Meta
from starlette.responses import Response

from outlast.run.dataset import Definition
from outlast.server.answers import json_answer
from outlast.server.call import Call
from outlast.server.route import Route
from outlast.server.versions import Change, Limit, Number, Request, intent_of, named, numbered
from outlast.store import datasets
from outlast.store.datasets import New


class DatasetRow(msgspec.Struct):
    """A version of a dataset."""

    name: str
    version: int
    id: Annotated[str, Meta(description="of the definition")]
    kind: Annotated[str, Meta(description="file or tabular")]
    definition: dict[str, Any]
    description: str
    tags: dict[str, str | None]
    digest: Annotated[str, Meta(description="of the contents when it was registered")]
    files: int
    size_bytes: int
    run: Annotated[str, Meta(description="id of the run that put it out")]
    created_ns: int
    created_by: str


class ListedDataset(DatasetRow):
    """The newest version of a dataset."""

    versions: Annotated[int, Meta(description="how many there are")]


class Datasets(msgspec.Struct):
    datasets: list[ListedDataset]
    next: str | None


class DatasetVersions(msgspec.Struct):
    versions: list[DatasetRow]
    next: int | None


class DatasetsPage(msgspec.Struct, forbid_unknown_fields=True):
    """Which datasets, in the order of names."""

    limit: Limit = 100
    after: Annotated[str, Meta(description="`next` of the page before")] = ""
    id: Annotated[str, Meta(description="only the newest version with this id")] = ""


class BeforeVersion(msgspec.Struct, forbid_unknown_fields=True):
    """Which versions, newest first."""

    limit: Limit = 100
    before: Number = 0


class DatasetRegistration(msgspec.Struct, forbid_unknown_fields=True):
    """What becomes the next version."""

    name: str
    definition: dict[str, Any]
    description: str = ""
    tags: dict[str, str | None] = {}
    digest: str = ""
    files: Annotated[int, Meta(ge=0, le=2**53)] = 0
    size_bytes: Annotated[int, Meta(ge=0, le=2**53)] = 0
    new_version: Annotated[
        bool, Meta(description="else a name that is taken must have the same definition")
    ] = True
    request: Request = ""


class DatasetChange(Change):
    """What to change; the definition never changes."""


async def list_datasets(call: Call) -> Response:
    """Every dataset with its newest version, in the order of names; or the one of an id."""
    page = call.query_as(DatasetsPage)
    if page.id:
        one = await call.parts.read(datasets.of_id, page.id)
        return json_answer({"datasets": [{**one._asdict(), "versions": 1}], "next": None})
    found = await call.parts.read(datasets.newest_of_each, after=page.after, limit=page.limit)
    rows = [{**version._asdict(), "versions": count} for count, version in found]
    last = rows[-1]["name"] if len(rows) == page.limit else None
    return json_answer({"datasets": rows, "next": last})


async def register_dataset(call: Call) -> Response:
    """Register the next version of a dataset."""
    wanted = await call.body_as(DatasetRegistration)
    new = New(
        wanted.name, Definition.from_dict(wanted.definition), call.principal.name,
        wanted.description, wanted.tags, wanted.digest, wanted.files, wanted.size_bytes,
        is_new_version=wanted.new_version,
        intent=intent_of(wanted.request),
    )  # fmt: skip
    made = await call.parts.write(datasets.register, new, time.time_ns())
    return json_answer(made._asdict(), 201)


async def list_dataset_versions(call: Call) -> Response:
    """The versions of a dataset, newest first."""
    page, name = call.query_as(BeforeVersion), call.found.parts["name"]
    found = await call.parts.read(datasets.versions, name, before=page.before, limit=page.limit)
    last = found[-1].version if len(found) == page.limit else None
    return json_answer({"versions": [one._asdict() for one in found], "next": last})


async def get_dataset(call: Call) -> Response:
    """One version by number or `latest`."""
    return json_answer((await call.parts.read(datasets.get, *named(call)))._asdict())


async def change_dataset(call: Call) -> Response:
    """Set or remove tags of a version, or set its description."""
    change = await call.body_as(DatasetChange)
    changed = await call.parts.write(datasets.change, *named(call), change.labels)
    return json_answer(changed._asdict())


async def delete_dataset(call: Call) -> Response:
    """Delete a version by its number; that number is never given again, and the data stay."""
    await call.parts.write(datasets.delete, *numbered(call), time.time_ns())
    return Response(None, 204)


_ONE = "/api/datasets/{name}/versions/{version}"

routes = [
    Route("GET", "/api/datasets", "read", list_datasets, DatasetsPage, answer=Datasets),
    Route(
        "POST", "/api/datasets", "manage", register_dataset,
        body=DatasetRegistration, answer=DatasetRow, status=201,
    ),
    Route(
        "GET", "/api/datasets/{name}/versions", "read", list_dataset_versions, BeforeVersion,
        answer=DatasetVersions,
    ),
    Route("GET", _ONE, "read", get_dataset, answer=DatasetRow),
    Route("PATCH", _ONE, "manage", change_dataset, body=DatasetChange, answer=DatasetRow),
    Route("DELETE", _ONE, "manage", delete_dataset, status=204),
]  # fmt: skip
