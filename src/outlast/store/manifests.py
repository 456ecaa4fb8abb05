"""Which outputs are stored, and whose they are.

The contents are in artifacts/blobs; a row here says that a file of a run has such a content. A
content that no row and no folder names any more may be removed (scheduler/prune).
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from outlast.errors import Conflict
from outlast.run.manifest import Entry, Manifest
from outlast.store.runs import key_of
from outlast.store.schema import manifest_files, manifests
from outlast.store.statement import execute_many

_FILE = ("run", "attempt", "path", "size_bytes", "sha256", "mtime_ns", "origin", "source")
_ADD_FILE = (
    f"INSERT INTO manifest_files ({', '.join(_FILE)}) VALUES ({', '.join('?' * len(_FILE))})"
)
CONTENTS_AT_ONCE = 500


def commit(connection: Connection, manifest: Manifest, committed_ns: int) -> bool:
    """Store the manifest of an attempt; False when the same one is there already.

    The contents must be stored before. Raises NotFound for an unknown run, and Conflict when the
    attempt has another manifest; nothing was stored then.
    """
    key = key_of(connection, manifest.run_id)
    digest = manifest.digest()
    of_attempt = sa.and_(manifests.c.run == key, manifests.c.attempt == manifest.attempt)
    known = connection.execute(sa.select(manifests.c.digest).where(of_attempt)).scalar()
    if known == digest:
        return False
    if known is not None:
        raise Conflict(
            f"attempt {manifest.attempt} of run {manifest.run_id} has stored other outputs"
            f" ({known[:12]}, not {digest[:12]})",
            known=known,
        )
    foreign = [_portable(path) for path in manifest.foreign]
    connection.execute(
        manifests.insert().values(
            run=key,
            attempt=manifest.attempt,
            digest=digest,
            files=len(manifest.entries),
            size_bytes=manifest.size_bytes,
            foreign_paths=msgspec.json.encode(foreign).decode(),
            committed_ns=committed_ns,
        )
    )
    execute_many(
        connection,
        _ADD_FILE,
        [
            (key, manifest.attempt, _portable(entry.path), entry.size_bytes, entry.sha256,
             entry.mtime_ns, entry.origin, _portable(entry.source))
            for entry in manifest.entries
        ],
    )  # fmt: skip
    return True


def load(connection: Connection, run_id: str, attempt: int = 0) -> Manifest | None:
    """The stored manifest of an attempt (0 = the last one stored); None when there is none.

    Raises NotFound for an unknown run.
    """
    key = key_of(connection, run_id)
    query = sa.select(manifests).where(manifests.c.run == key)
    if attempt:
        query = query.where(manifests.c.attempt == attempt)
    found = connection.execute(query.order_by(manifests.c.attempt.desc()).limit(1)).first()
    if found is None:
        return None
    files = (
        sa.select(*(manifest_files.c[name] for name in Entry._fields))
        .where(manifest_files.c.run == key, manifest_files.c.attempt == found.attempt)
        .order_by(manifest_files.c.path)
    )
    entries = tuple(_native_ends(Entry(*row)) for row in connection.execute(files))
    foreign = tuple(_native(path) for path in msgspec.json.decode(found.foreign_paths))
    return Manifest(run_id, found.attempt, entries, foreign)


def files_of(connection: Connection, run_id: str) -> list[Entry]:
    """The stored outputs of a run's last stored attempt, by path. Raises NotFound."""
    manifest = load(connection, run_id)
    return [] if manifest is None else list(manifest.entries)


def contents(connection: Connection) -> Iterator[str]:
    """Every content (sha256, hex) that some stored output has; one may come more than once."""
    query = sa.select(manifest_files.c.sha256).execution_options(yield_per=CONTENTS_AT_ONCE)
    yield from connection.execute(query).scalars()


# A file name is bytes; what isn't UTF-8 is a lone surrogate in a str, which no database takes.
# It is kept as %XX, and so is a "%" that is there, so that every name comes back as it was.


def _portable(name: str) -> str:
    if "%" not in name and name.isascii():
        return name
    kept = name.replace("%", "%25")
    return "".join(f"%{ord(char) - 0xDC00:02X}" if _is_raw(char) else char for char in kept)


def _native(name: str) -> str:
    if "%" not in name:
        return name
    first, *rest = name.split("%")
    codes = [(int(part[:2], 16), part[2:]) for part in rest]
    return first + "".join(
        (chr(code) if code < 0x80 else chr(0xDC00 + code)) + after for code, after in codes
    )


def _is_raw(char: str) -> bool:
    return "\udc80" <= char <= "\udcff"


def _native_ends(entry: Entry) -> Entry:
    return entry._replace(path=_native(entry.path), source=_native(entry.source))
