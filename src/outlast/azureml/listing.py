"""Which runs a query gives: by type, status, tags and properties, as Azure ML's lists take them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Dict, Iterator, Mapping, NamedTuple, Optional

if TYPE_CHECKING:
    from outlast.sdk.workspace import Workspace as Client

KINDS = {"command": "azureml.scriptrun", "interactive": None, "sweep": "hyperdrive"}


class Wanted(NamedTuple):
    """A run is wanted when it has all that is given; a tag may be a name alone."""

    type: Optional[str] = None
    tags: Any = None
    properties: Any = None
    status: Optional[str] = None

    def has(self, run: Any) -> bool:
        """Is this Run wanted? Asks the server."""
        return (
            self.type in (None, run.type)
            and self.status in (None, run.get_status())
            and all_in(self.tags, run.tags)
            and self.has_properties(run)
        )

    def has_row(self, row: Mapping[str, Any]) -> bool:
        """Is the run of this row wanted, as far as the row tells? Its properties it doesn't."""
        return self.type in (None, KINDS.get(row["kind"])) and all_in(self.tags, row["tags"])

    def has_properties(self, run: Any) -> bool:
        """Are this Run's properties wanted?"""
        return not self.properties or all_in(self.properties, run.properties)


def rows(
    client: Client, experiment: str, wanted: Wanted, *, include_children: bool
) -> Iterator[Dict[str, Any]]:
    """The rows of the experiment's runs, newest first, fetched page by page."""
    sessions: Dict[str, bool] = {}  # a session's shell is the parent of what is typed in it
    for row in client.rows(experiment=experiment, status=wanted.status):
        parent = row["parent"]
        if parent and not include_children:
            if parent not in sessions:
                sessions[parent] = client.run(parent).fetch()["kind"] == "session"
            if not sessions[parent]:
                continue
        if wanted.has_row(row):
            yield row


def all_in(asked: Any, there: Mapping[str, Any]) -> bool:
    """Has it every name and value asked for? A value of None asks for the name alone."""
    if not asked:
        return True
    if isinstance(asked, Mapping):
        return all(k in there and (v is None or there[k] == str(v)) for k, v in asked.items())
    names = [asked] if isinstance(asked, str) else list(asked)
    return all(name in there for name in names)
