"""YAML files of plain values: read into dictionaries, written from them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from outlast.errors import Invalid, Unreachable


def read_yaml(path: str | Path) -> dict[str, Any]:
    """The file's values. Raises Invalid when it isn't there or holds no names and values."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        with open(path, encoding="utf-8") as file:
            found = YAML(typ="safe", pure=True).load(file)
    except (OSError, ValueError, YAMLError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise Invalid.field("path", str(path), f"it can't be read: {reason}") from None
    if not isinstance(found, dict):
        raise Invalid.field("path", str(path), "it holds no names and values")
    return found


def write_yaml(path: str | Path, values: dict[str, Any]) -> None:
    """Replace the file. Raises Unreachable when it can't be written; the old one is there then."""
    from ruamel.yaml import YAML

    writer = YAML(typ="safe", pure=True)
    writer.default_flow_style = False
    writer.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    beside = f"{os.fspath(path)}.new"
    try:
        with open(beside, "w", encoding="utf-8") as file:
            writer.dump(values, file)
        os.replace(beside, path)
    except OSError as error:
        raise Unreachable(f"{path} can't be written: {error.strerror or error}") from None
