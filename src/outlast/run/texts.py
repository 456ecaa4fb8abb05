"""Text in what is asked for: what a run's spec and a dataset's definition take as strings.

Only such text is taken as stands alike in every file, database and command line.
"""

from __future__ import annotations

from typing import Any, Tuple

from outlast.errors import Invalid


def text_of(field: str, value: Any) -> str:
    """Return the string; raise Invalid for what is none, or has NUL or a lone surrogate."""
    if not isinstance(value, str):
        raise Invalid.field(field, value, "give a string")
    if "\0" in value or any("\ud800" <= char <= "\udfff" for char in value):
        raise Invalid.field(field, value, "remove NUL characters and lone surrogates")
    return value


def texts_of(field: str, value: Any) -> Tuple[str, ...]:
    """Return the strings of a list; raise Invalid naming the first that can't be kept."""
    if isinstance(value, str) or not isinstance(value, (list, tuple)):
        raise Invalid.field(field, value, "give a list of strings")
    return tuple(text_of(f"{field}[{index}]", item) for index, item in enumerate(value))
