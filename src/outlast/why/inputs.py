"""Which inputs of a run hold something else than when they were registered, as it says itself."""

from __future__ import annotations

import json

from outlast.printable import one_line
from outlast.run.folder import INPUTS_STATE, RunFolder

_MOST = 20


def changed(folder: RunFolder) -> tuple[str, ...]:
    """Each as "NAME (DATASET:VERSION)"; none where that can't be read."""
    try:
        with open(folder.file(INPUTS_STATE), encoding="utf-8") as file:
            told = json.load(file)
        found = [
            f"{name} ({one['dataset']}:{one['version']})"
            for name, one in told.items()
            if one["has_changed"]
        ]
    except (OSError, ValueError, TypeError, KeyError, AttributeError):  # a job may write in here
        return ()
    return tuple(one_line(text, max_chars=200) for text in found[:_MOST])
