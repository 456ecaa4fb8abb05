"""The manifest: every output file of a run by path, size and content.

Two runs that produced the same contents have the same digest; who made them, and when, doesn't
enter it. Made on the node by the supervisor, checked and stored by the server.
"""

from __future__ import annotations

import json
from typing import Any, Dict, Iterable, List, Mapping, NamedTuple, Tuple

from outlast.errors import Corrupt

FORMAT = 1


class Entry(NamedTuple):
    """One file."""

    path: str  # its name among the run's outputs, '/'-separated, relative
    size_bytes: int
    sha256: str
    mtime_ns: int
    origin: str  # outputs | declared | upload
    source: str  # where it lies on the node; absolute


class Manifest(NamedTuple):
    """All output files of one attempt, sorted by path."""

    run_id: str
    attempt: int
    entries: Tuple[Entry, ...]
    foreign: Tuple[str, ...] = ()  # paths that were there before, or that another run owns

    @property
    def size_bytes(self) -> int:
        return sum(entry.size_bytes for entry in self.entries)

    def digest(self) -> str:
        """sha256 over the sorted (path, size, sha256) lines, in hex."""
        from hashlib import sha256  # 5 ms that only a run with outputs pays

        hasher = sha256()
        for path, size_bytes, content in sorted(entry[:3] for entry in self.entries):
            hasher.update(f"{content} {size_bytes} {path}\n".encode("utf-8", "surrogateescape"))
        return hasher.hexdigest()

    def below(self, path: str) -> List[Tuple[str, Entry]]:
        """The file of this name, or all in the folder, by names from the path's last part on."""
        begin = len(path.rpartition("/")[0])
        return [
            (entry.path[begin:].lstrip("/"), entry)
            for entry in self.entries
            if entry.path == path or entry.path.startswith(path + "/")
        ]

    def to_json(self) -> bytes:
        """The bytes of manifest.json."""
        data: Dict[str, Any] = {
            "format": FORMAT,
            "run_id": self.run_id,
            "attempt": self.attempt,
            "digest": self.digest(),
            "foreign": list(self.foreign),
            "files": [entry._asdict() for entry in self.entries],
        }
        return json.dumps(data, indent=1).encode()

    @classmethod
    def from_json(cls, text: bytes) -> Manifest:
        """Raises Corrupt when the bytes aren't a manifest, or not the one they claim to be."""
        try:
            data: Mapping[str, Any] = json.loads(text)
            entries = [
                Entry(**{field: item[field] for field in Entry._fields}) for item in data["files"]
            ]
            manifest = cls(data["run_id"], data["attempt"], tuple(entries), tuple(data["foreign"]))
            claimed = data["digest"]
        except (ValueError, KeyError, TypeError) as error:
            raise Corrupt(f"the manifest can't be read: {error!r}") from None
        if claimed != manifest.digest():
            raise Corrupt("the manifest's digest doesn't match its entries")
        return manifest


def made(
    run_id: str, attempt: int, entries: Iterable[Entry], foreign: Iterable[str] = ()
) -> Manifest:
    """A manifest in its one order."""
    ordered: List[Entry] = sorted(entries, key=lambda entry: entry.path)
    return Manifest(run_id, attempt, tuple(ordered), tuple(sorted(foreign)))
