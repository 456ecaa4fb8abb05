"""Names of fields between Python and the documents of Azure ML, which write them in camel case."""

from __future__ import annotations

import re


def camel(name: str) -> str:
    """ "node_count" as "nodeCount"."""
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


def snake(name: str) -> str:
    """ "nodeCount" as "node_count"."""
    return re.sub(r"(?<=[a-z])([A-Z])", r"_\1", name).lower()
