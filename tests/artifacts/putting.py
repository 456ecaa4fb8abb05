"""Puts twenty-three files into a store, as a process of its own where it is to be disturbed."""

from __future__ import annotations

import sys
from pathlib import Path

from outlast.artifacts.blobs import Blobs


def put_all(store: str, sources: Path) -> None:
    """Twenty of them in one batch, then three more."""
    with Blobs(store).batch() as batch:
        for number in range(20):
            batch.put(str(sources / str(number)))
        batch.flush()
        for number in range(20, 23):
            batch.put(str(sources / str(number)))


if __name__ == "__main__":
    put_all(sys.argv[1], Path(sys.argv[2]))
