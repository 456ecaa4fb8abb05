"""The runs of one name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from outlast.sdk.handle import RunHandle
from outlast.sdk.submit import submit
from outlast.sdk.workspace import Workspace


class Experiment:
    """An experiment of a workspace; it exists once it has a run."""

    def __init__(self, name: str, *, workspace: Workspace | None = None) -> None:
        self.name = name
        self.workspace = workspace or Workspace()

    def __repr__(self) -> str:
        return f"Experiment({self.name!r})"

    def submit(self, command: str | Sequence[Any], **options: Any) -> RunHandle:
        """As `outlast.submit`, in this experiment."""
        return submit(command, experiment=self.name, workspace=self.workspace, **options)

    def runs(self, **filters: Any) -> Iterator[RunHandle]:
        """Its runs, newest first; `filters` as of Workspace.runs."""
        return self.workspace.runs(experiment=self.name, **filters)
