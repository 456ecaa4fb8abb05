"""Room that a SQLite database keeps for itself, for the day when its disk is full.

What a full disk has ended must be told as ended, and to store that takes a few pages. So the file
holds free pages ahead, which SQLite fills before it grows the file, and the write-ahead log, once
emptied, is written over from its beginning: a small transaction then needs no room at all. A file
system that never writes in place (btrfs, ZFS) may refuse it all the same.
"""

from __future__ import annotations

import os
import sqlite3

LOG_LIMIT_BYTES = 64 << 20  # a reader that never ends keeps the log from starting over
ROOM_BYTES = 2 << 20  # kept free: dozens of ends of runs
TAKEN_BYTES = 4 << 20  # asked of the disk at a time
PLENTY_BYTES = 4 << 30  # a disk with so much is not about to be full: nothing is asked of it


def look_after(connection: sqlite3.Connection, path: str) -> None:
    """Bound the log and keep the room; called between transactions, cheap where all is well.

    Raises sqlite3.Error; what was there before is there still.
    """
    try:
        log_bytes = os.stat(f"{path}-wal").st_size
    except FileNotFoundError:
        return
    disk = os.statvfs(path)
    if log_bytes > LOG_LIMIT_BYTES:
        _empty_log(connection, "TRUNCATE")
    elif not 4 * TAKEN_BYTES < disk.f_bavail * disk.f_frsize < PLENTY_BYTES:
        return
    elif log_bytes < ROOM_BYTES or _free_bytes(connection) < ROOM_BYTES:
        _take(connection)


def use(connection: sqlite3.Connection, _path: str) -> None:
    """The disk is full: let the next transaction begin where the write-ahead log begins."""
    _empty_log(connection, "RESTART")


def _take(connection: sqlite3.Connection) -> None:
    """Write pages and give them back: they belong to the file then, whoever fills the disk."""
    try:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("CREATE TABLE IF NOT EXISTS room (taken BLOB)")
        connection.execute("INSERT INTO room VALUES (zeroblob(?))", (TAKEN_BYTES,))
        connection.execute("COMMIT")
        _empty_log(connection, "PASSIVE")
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("DROP TABLE room")
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def _free_bytes(connection: sqlite3.Connection) -> int:
    (pages,) = connection.execute("PRAGMA freelist_count").fetchone()
    (page_bytes,) = connection.execute("PRAGMA page_size").fetchone()
    return int(pages * page_bytes)


def _empty_log(connection: sqlite3.Connection, mode: str) -> None:
    """As far as nobody reads in it: readers are not waited for."""
    (patience_ms,) = connection.execute("PRAGMA busy_timeout").fetchone()
    connection.execute("PRAGMA busy_timeout = 0")
    try:
        connection.execute(f"PRAGMA wal_checkpoint({mode})").fetchall()
    finally:
        connection.execute(f"PRAGMA busy_timeout = {patience_ms}")
