"""The shapes of answers and queries that several routes share, as in the OpenAPI document."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

RunId = Annotated[str, Meta(description="the run's id")]
Ns = Annotated[int, Meta(description="nanoseconds since 1970; 0 = not yet")]


class Row(msgspec.Struct):
    """A run in one line."""

    id: RunId
    name: str
    experiment: str
    kind: str
    status: str
    stage: str
    cause: str
    message: str
    warnings: list[Any]
    created_ns: Ns
    queued_ns: Ns
    started_ns: Ns
    ended_ns: Ns
    attempt: int
    command: str
    tags: dict[str, str | None]
    metrics: dict[str, Any]
    exit_code: int | None
    created_by: str
    parent: str | None
    version: int


class Full(Row):
    """A run with everything that is known of it."""

    spec: dict[str, Any]
    state: dict[str, Any]
    series: dict[str, Any]
    properties: dict[str, Any]
    children: list[str]


class Wait(msgspec.Struct, forbid_unknown_fields=True):
    """How long to wait for a change."""

    wait: Annotated[float, Meta(ge=0, le=86_400, description="seconds; 60 at most are waited")] = 0
