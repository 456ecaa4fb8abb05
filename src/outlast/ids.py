"""Names and identifiers: how they are made, and which of a user's names are allowed.

A run id is 10 letters and digits that can't be mistaken for each other (50 random bits), so that a
short prefix names a run. Standard library only.
"""

from __future__ import annotations

import os
import re

from outlast.errors import Invalid

# 32 characters: without i, l, o and u, which are misread or spell words.
ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
RUN_ID_CHARS = 10

_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_MODEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,254}")
# People name datasets in words, as "diabetes dataset".
_DATASET = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9 ._-]{0,253}[A-Za-z0-9._-])?")
_ALIAS = re.compile(r"[A-Za-z][A-Za-z0-9._-]{0,63}")
LATEST = "latest"  # of a model's versions; no alias can take its place
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def new_run_id() -> str:
    """A fresh run id; two are the same once in 2**50 draws."""
    return "".join(ALPHABET[byte & 31] for byte in os.urandom(RUN_ID_CHARS))


def check_run_id(value: object) -> str:
    """Return `value` if it may name a run's folder; raise Invalid otherwise."""
    if not isinstance(value, str) or not _RUN_ID.fullmatch(value):
        raise Invalid.field(
            "id",
            value,
            "use 1 to 100 letters, digits, '.', '_' or '-', beginning with one of the first two",
        )
    return value


def check_name(field: str, value: object, *, max_chars: int = 255) -> str:
    """Return `value` if it may name an experiment, a metric, a tag or the like.

    Raises Invalid for an empty or overlong name and for characters that can't be shown safely
    (control characters, direction overrides, lone surrogates): both databases and every screen get
    the same answer.
    """
    if not isinstance(value, str) or not value.strip():
        raise Invalid.field(field, value, "give a name that isn't empty")
    if len(value) > max_chars:
        raise Invalid.field(field, value, f"use at most {max_chars} characters")
    if _CONTROL.search(value):
        raise Invalid.field(field, value, "remove control or direction characters")
    return value


def check_dataset_name(value: object) -> str:
    """Return `value` if it may name a dataset: as a model's name, with blanks inside.

    Raises Invalid otherwise.
    """
    if not isinstance(value, str) or not _DATASET.fullmatch(value):
        raise Invalid.field(
            "name",
            value,
            "use 1 to 255 letters, digits, '.', '_', '-' or blanks, beginning with one of the "
            "first two and not ending in a blank",
        )
    return value


def check_model_name(value: object) -> str:
    """Return `value` if it may name a model, in paths and URLs too; raise Invalid otherwise."""
    if not isinstance(value, str) or not _MODEL.fullmatch(value):
        raise Invalid.field(
            "name",
            value,
            "use 1 to 255 letters, digits, '.', '_' or '-', beginning with one of the first two",
        )
    return value


def check_alias(value: object) -> str:
    """Return `value` if it may be an alias of a model's version; raise Invalid otherwise."""
    if not isinstance(value, str) or not _ALIAS.fullmatch(value) or value == LATEST:
        raise Invalid.field(
            "alias",
            value,
            "use a letter, then up to 63 letters, digits, '.', '_' or '-'; "
            f"{LATEST!r} is the newest version by itself",
        )
    return value
