"""Versions by name over HTTP: what the routes of models and of datasets ask for alike.

What a version consists of, and the answers, are told by each of them. `store.numbered` is the same
for the tables.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from outlast.errors import Invalid
from outlast.server.call import Call
from outlast.store.numbered import MAX_LIMIT, Labels

Limit = Annotated[int, Meta(ge=1, le=MAX_LIMIT)]
Number = Annotated[int, Meta(ge=0, description="`next` of the page before")]
Request = Annotated[
    str, Meta(max_length=100, description="asked again with the same, it is the same version")
]


class Change(msgspec.Struct, forbid_unknown_fields=True):
    """What may be changed of a version."""

    tags: dict[str, str | None] = {}
    removed_tags: list[str] = []
    description: str | UnsetType = UNSET

    @property
    def labels(self) -> Labels:
        text = None if self.description is UNSET else self.description
        return Labels(self.tags, self.removed_tags, text)


def intent_of(request: str) -> str | None:
    """What makes one version of a request, however often it comes; None when it has no name."""
    return f"request/{request}" if request else None


def named(call: Call) -> tuple[str, str]:
    """Name and version, as the path has them."""
    return call.found.parts["name"], call.found.parts["version"]


def numbered(call: Call) -> tuple[str, str]:
    """The same where the version must be a number, so that no word deletes another one's."""
    name, reference = named(call)
    if not reference.isdigit():
        raise Invalid.field("version", reference, "delete a version by its number")
    return name, reference
