"""What was in the places of outputs before the command started, so that it never counts as made.

A file is known by its signature, of which 8 bytes are kept: a million files cost 8 MB, and no name
of them is held. It is also written beside the run, for a supervisor that takes over:

    inventory    one line of JSON {"attempt", "roots", "refused", "logged_bytes", "files"},
                 then 8 bytes for each file, little-endian

Where the places are, and what is there, is told by `outputs`.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any, Dict, Iterable, List, NamedTuple, Optional

from outlast.run.folder import LOGGED_PREFIX, RunFolder
from outlast.supervisor import outputs
from outlast.supervisor.durable import making_of
from outlast.supervisor.outputs import MAX_FILES, Place, Signature

INVENTORY = "inventory"
_CLOCK_TICK_NS = 10_000_000  # file times are those of the last tick: at most 10 ms behind the clock
_MAKE = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
_PARTS = 256  # sorted one by one, so that sorting needs little room
_PRIME = (1 << 61) - 1
_BASE = 0x1B873593CC9E2D51 % _PRIME


class Signatures:
    """A set of signatures; two different ones are taken for the same once in 10^17 times."""

    def __init__(self) -> None:
        self._parts: List[Any] = []
        self._is_sorted = True
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, signature: Signature) -> None:
        self._add(_short(signature))

    def __contains__(self, signature: Signature) -> bool:
        if not self._count:
            return False
        from bisect import bisect_left

        self._sort()
        short = _short(signature)
        part = self._parts[short % _PARTS]
        at = bisect_left(part, short)
        return at < len(part) and bool(part[at] == short)

    def to_bytes(self) -> Iterable[bytes]:
        """Piece by piece."""
        for part in self._parts:
            yield _little(part).tobytes()

    @classmethod
    def from_bytes(cls, data: bytes) -> Signatures:
        """Raises ValueError when the bytes were cut."""
        from array import array

        found, all_ = cls(), array("Q")
        all_.frombytes(data)
        for short in _little(all_):
            found._add(short)
        return found

    def _add(self, short: int) -> None:
        if not self._parts:
            from array import array  # most runs begin with nothing

            self._parts = [array("Q") for _ in range(_PARTS)]
        self._parts[short % _PARTS].append(short)
        self._count += 1
        self._is_sorted = False

    def _sort(self) -> None:
        if not self._is_sorted:
            from array import array

            self._parts = [array("Q", sorted(part)) for part in self._parts]
            self._is_sorted = True


def _short(signature: Signature) -> int:
    # Not hash(): another Python, which may take over, must come to the same.
    short = 0
    for number in signature:
        short = (short * _BASE + number) % _PRIME
    return short


def _little(numbers: Any) -> Any:
    if sys.byteorder == "little":
        return numbers
    turned = numbers[:]
    turned.byteswap()
    return turned


class Inventory(NamedTuple):
    """What was there before the command started."""

    files: Signatures
    roots: Dict[str, str]  # a place's path -> where it really leads
    refused: Dict[str, str]  # a place's path -> why nothing is collected there
    logged_bytes: Dict[str, int]  # journals of attempts before this one

    def holds(self, signature: Signature) -> bool:
        """Was this very file there before, unchanged?"""
        return signature in self.files

    def refusal(self) -> str:
        """Why the run can't begin with such outputs; "" when it can."""
        return next((f"{path}: {reason}" for path, reason in self.refused.items()), "")


def nothing() -> Inventory:
    """Nothing was there."""
    return Inventory(Signatures(), {}, {}, {})


def take(
    places: Iterable[Place], folder: RunFolder, *, owner_since_ns: Optional[int] = None
) -> Inventory:
    """What is there now. Uploads are the script's own word and are never foreign.

    A place that can't be collected, or holds more than MAX_FILES, is in `refused`. An owner (of an
    interactive run) worked already while its supervisor was starting: what it logged and what was
    written `owner_since_ns` or later is its own, not of before.
    """
    inventory = nothing()
    for place in places:
        real = inventory.roots[place.path] = os.path.realpath(place.path)
        if place.origin == "upload":
            continue
        reason = outputs.unfit(real, folder.path)
        if not reason and not _add_all(inventory, place, folder, owner_since_ns):
            reason = outputs.TOO_MANY_BEFORE
        if reason:
            inventory.refused[place.path] = reason
    for entry in os.scandir(folder.path) if owner_since_ns is None else ():
        if entry.name.startswith(LOGGED_PREFIX) and entry.is_file(follow_symlinks=False):
            inventory.logged_bytes[entry.name] = entry.stat(follow_symlinks=False).st_size
    return inventory


def _add_all(
    inventory: Inventory, place: Place, folder: RunFolder, owner_since_ns: Optional[int]
) -> bool:
    """Add what is at the place; False when it is more than may be."""
    root = inventory.roots[place.path]
    for item in outputs.walk(place, root, os.path.dirname(place.path), folder.path):
        if item.signature is not None and not _is_since(item.signature, owner_since_ns):
            if len(inventory.files) >= MAX_FILES:
                return False
            inventory.files.add(item.signature)
    return True


def _is_since(signature: Signature, since_ns: Optional[int]) -> bool:
    return since_ns is not None and signature.ctime_ns >= since_ns - _CLOCK_TICK_NS


def save(folder: RunFolder, attempt: int, inventory: Inventory) -> None:
    """For a supervisor that takes over; nothing is written when all was plain. Raises OSError."""
    is_plain = all(path == real for path, real in inventory.roots.items())
    if is_plain and not inventory.files and not inventory.logged_bytes and not inventory.refused:
        return
    data = {"attempt": attempt, **inventory._asdict(), "files": len(inventory.files)}
    making = making_of(folder.file(INVENTORY))
    # Not synced: after a power loss there is nothing to take over.
    with open(os.open(making, _MAKE, 0o600), "wb") as file:
        file.write(json.dumps(data).encode() + b"\n")
        for piece in inventory.files.to_bytes():
            file.write(piece)
    os.rename(making, folder.file(INVENTORY))


def load(folder: RunFolder, attempt: int) -> Optional[Inventory]:
    """The inventory of this attempt; None when there is none that can be read."""
    try:
        with open(folder.file(INVENTORY), "rb") as file:
            data: Dict[str, Any] = json.loads(file.readline())
            files = Signatures.from_bytes(file.read())
        if data["attempt"] != attempt or data["files"] != len(files):
            return None
        return Inventory(files, data["roots"], data["refused"], data["logged_bytes"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
