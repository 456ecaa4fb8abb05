"""The code that a run works on, fetched from the server: files as outputs are, and links.

The other side is believed nothing: a link that would lead out of the folder isn't made.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from outlast.artifacts.download import Opener, download
from outlast.artifacts.inside import parts
from outlast.errors import Conflict, Invalid


def fetch(
    entries: Iterable[Mapping[str, Any]], opener: Opener, target: str | Path, *, overwrite: bool
) -> list[Path]:
    """Fetch each entry of a snapshot below `target`; returns their paths. Raises as download."""
    root = Path(target)
    links = [entry for entry in entries if entry["is_link"]]
    plain = [entry for entry in entries if not entry["is_link"]]
    paths = download(plain, opener, root, overwrite=overwrite)
    for path, entry in zip(paths, plain, strict=True):
        path.chmod(stat.S_IMODE(entry["mode"]) & 0o777)
    return paths + [_linked(entry, opener, root, overwrite) for entry in links]


def _linked(entry: Mapping[str, Any], opener: Opener, root: Path, overwrite: bool) -> Path:
    place = root.joinpath(*parts(entry["path"]))
    leads = os.fsdecode(b"".join(opener(entry["path"], 0)))
    real = os.path.realpath(root)
    goal = os.path.realpath(os.path.join(os.path.realpath(place.parent), leads))
    if os.path.isabs(leads) or not f"{goal}/".startswith(f"{real}/"):
        raise Invalid.field("path", entry["path"], f"it is a link that leads out, to {leads!r}")
    place.parent.mkdir(parents=True, exist_ok=True)
    if os.path.lexists(place):
        if not overwrite:
            raise Conflict(f"{place} exists already")
        place.unlink()
    place.symlink_to(leads)
    return place
