"""Environments: those that are built, those that are saved under a name, and their clean-up."""

from __future__ import annotations

import os
from typing import Annotated, Any

import msgspec
from msgspec import Meta
from starlette.responses import Response

from outlast.environments import using
from outlast.environments.cache import LEAST_AGE_S, Cache
from outlast.environments.named import Named
from outlast.server.answers import json_answer
from outlast.server.call import Call
from outlast.server.route import Route

DAY_S = 24 * 3600.0


class Built(msgspec.Struct):
    key: str
    name: str
    kind: str
    python_version: str
    packages: int
    size_bytes: int
    built_ns: int
    used_ns: int
    is_used: bool


class Listing(msgspec.Struct):
    environments: list[Built]
    named: dict[str, list[str]]


class Version(msgspec.Struct, forbid_unknown_fields=True):
    """Which one; "" is the newest."""

    version: str = ""


class Definition(msgspec.Struct, forbid_unknown_fields=True):
    """The fields are told in docs/environments.md."""

    definition: dict[str, Any]


class Prune(msgspec.Struct, forbid_unknown_fields=True):
    """What may go."""

    older_than_s: Annotated[float, Meta(ge=LEAST_AGE_S, description="since its last use")] = (
        30 * DAY_S
    )
    is_dry_run: Annotated[bool, Meta(description="say only what would go")] = False


class Freed(msgspec.Struct):
    keys: list[str]
    size_bytes: int
    is_dry_run: bool


def _cache(call: Call) -> Cache:
    return Cache(call.parts.settings.home)


async def list_environments(call: Call) -> Response:
    """What is built, the last used first; and the saved names with their versions."""
    home, runs = call.parts.settings.home, call.parts.settings.runs_folder

    def look() -> dict[str, Any]:
        used, named = using.keys_in(runs), Named(home)
        rows = [{**row, "is_used": row["key"] in used} for row in Cache(home).rows()]
        rows.sort(key=lambda row: -row["used_ns"])
        return {
            "environments": rows,
            "named": {name: named.versions(name) for name in named.names()},
        }

    return json_answer(await call.parts.in_thread(look))


async def get_environment(call: Call) -> Response:
    """One that is built: its lock, its definition, how it was built. By key, its start, or name."""
    ref = call.found.parts["ref"]
    cache, named = _cache(call), Named(call.parts.settings.home)
    found = await call.parts.in_thread(lambda: cache.shown(named.built(ref, cache, os.environ)))
    return json_answer(found)


async def save_environment(call: Call) -> Response:
    """Save a definition under its name, as its next version; the newest again is that version."""
    asked, home = await call.body_as(Definition), call.parts.settings.home
    saved = await call.parts.in_thread(lambda: Named(home).save(asked.definition))
    return json_answer({"definition": saved}, 201)


async def get_named(call: Call) -> Response:
    """A saved definition; by default its newest version."""
    name, version = call.found.parts["name"], call.query_as(Version).version
    home = call.parts.settings.home
    found = await call.parts.in_thread(lambda: Named(home).get(name, version))
    return json_answer({"definition": found})


async def prune_environments(call: Call) -> Response:
    """Remove what no run uses or has used lately."""
    asked, runs = await call.body_as(Prune), call.parts.settings.runs_folder
    cache = _cache(call)

    def remove() -> dict[str, Any]:
        used = using.keys_in(runs)
        options = msgspec.structs.asdict(asked)
        return {**cache.prune(used, **options)._asdict(), "is_dry_run": asked.is_dry_run}

    return json_answer(await call.parts.in_thread(remove))


routes = [
    Route("GET", "/api/environments", "read", list_environments, answer=Listing),
    Route(
        "POST", "/api/environments/named", "manage", save_environment, body=Definition,
        answer=Definition, status=201,
    ),
    Route(
        "GET", "/api/environments/named/{name}", "read", get_named, Version, answer=Definition
    ),
    Route("POST", "/api/environments/prune", "manage", prune_environments, body=Prune,
          answer=Freed),
    Route("GET", "/api/environments/{ref}", "read", get_environment, answer=dict[str, Any]),
]  # fmt: skip
