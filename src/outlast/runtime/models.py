"""What a script says when it wants a model registered: checked here, carried out by the server.

Pure but for the environment, which tells where this run's outputs are. Nothing is copied and
nothing is opened: a model may be too large for that, and outputs aren't complete before the end.
"""

from __future__ import annotations

import os
from typing import Any, Dict, Mapping

from outlast.errors import Invalid
from outlast.ids import check_model_name, check_name
from outlast.run.folder import UPLOADS, RunFolder

TEXT_CHARS = 10_000  # of a description or the value of a tag


def wish(
    name: str,
    tags: Mapping[str, Any],
    properties: Mapping[str, Any],
    description: str,
) -> Dict[str, Any]:
    """The fields of the record. Raises Invalid naming the one that is wrong."""
    if len(description) > TEXT_CHARS:
        raise Invalid.field("description", description, f"use at most {TEXT_CHARS} characters")
    return {
        "n": check_model_name(name),
        "tags": {check_name("tag", tag): _text(tag, value) for tag, value in tags.items()},
        "properties": {
            check_name("property", key): _text(key, value) or ""
            for key, value in properties.items()
        },
        "description": description,
    }


def stored_name(path: str, folder: RunFolder, *, is_owner: bool) -> str:
    """What the run's manifest will call this file or folder. Raises Invalid when nothing can be.

    Relative paths are names already. An absolute one in the working folder or among the uploads is
    made relative to it; any other loses its leading slash, as declared outputs do.
    """
    path = os.path.normpath(os.fspath(path))
    if os.path.isabs(path):
        outputs = "" if is_owner else os.environ.get("OUTLAST_OUTPUTS", "")
        for root in (folder.file(UPLOADS), os.path.dirname(outputs)):
            if root and path.startswith(root + "/"):
                path = path[len(root) + 1 :]
                break
        path = path.lstrip("/")
    if path in ("", ".") or path.split("/")[0] == "..":
        remedy = "give a file or folder of the run's outputs or uploads, as 'outputs/model.pkl'"
        raise Invalid.field("path", path, remedy)
    try:
        path.encode()
    except UnicodeEncodeError:
        raise Invalid.field("path", path, "a model's files need names in UTF-8") from None
    return path


def _text(name: str, value: Any) -> Any:
    text = None if value is None else str(value)
    if text is not None and len(text) > TEXT_CHARS:
        raise Invalid.field(name, text[:80], f"use at most {TEXT_CHARS} characters")
    return text
