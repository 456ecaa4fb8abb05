"""The workspace of this command line and its runs. The SDK is imported when one is asked for."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import TYPE_CHECKING

from outlast.cli.show import say

if TYPE_CHECKING:
    from outlast.sdk.handle import RunHandle
    from outlast.sdk.workspace import Workspace


@cache
def workspace() -> Workspace:
    """The workspace of this command line; its server is started by the first request."""
    from outlast.sdk.workspace import Workspace

    return Workspace(tell=say)


def run(ref: str) -> RunHandle:
    """The run that `ref` names. Raises NotFound, Conflict (it fits several)."""
    return workspace().run(ref)


def ids(refs: Iterable[str]) -> list[str]:
    """Full ids of these runs."""
    return [run(ref).id for ref in refs]
