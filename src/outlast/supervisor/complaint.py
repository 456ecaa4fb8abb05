"""A word for the operator, into supervisor.log."""

from __future__ import annotations

import os


def complain(text: str) -> None:
    """Write one line to stderr; when that has no room either, the supervisor goes on without."""
    try:
        os.write(2, f"outlast: {text}\n".encode("utf-8", "replace"))
    except OSError:
        return
