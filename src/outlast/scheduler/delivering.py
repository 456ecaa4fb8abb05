"""Deliver what runs put out to datastores, and register it, before they are called Completed.

Files are copied from the store, by content, into the folder of a datastore of this machine: each
whole or not at all, none outside it. Doing it twice is harmless: a file that is there with this
content stays, and a version is made once for each run and output.
"""

from __future__ import annotations

import contextlib
import fnmatch
import hashlib
import os
import secrets
import shutil
from collections.abc import Iterator

from outlast.artifacts.blobs import Blobs
from outlast.artifacts.inside import make_folders
from outlast.data import content
from outlast.errors import Conflict, Invalid
from outlast.run import dataset
from outlast.run.dataset import Delivery
from outlast.run.manifest import Entry, Manifest
from outlast.run.spec import RunSpec
from outlast.scheduler.scribe import now_ns
from outlast.store import datasets, manifests, runs
from outlast.store.database import Database
from outlast.store.datasets import New

_READ_BYTES = 1 << 20


def deliver(database: Database, blobs: Blobs, run_id: str) -> None:
    """In a thread: deliver every output of this run that is to be, if the run ended well.

    Raises Conflict for a file that may not be overwritten, Invalid for a link that leads out of the
    datastore, OSError; trying again is safe.
    """
    with database.read() as connection:
        spec = runs.spec_of(connection, run_id)
        if not spec.deliveries:
            return
        state = runs.state_of(connection, run_id)[1]
        manifest = manifests.load(connection, run_id)
    if manifest is None or state.outcome != "completed":
        return
    for name, one in dataset.deliveries("deliveries", spec.deliveries).items():
        files = list(_files(manifest, one))
        os.makedirs(one.root, exist_ok=True)
        for path, entry in files:
            _put(blobs, one, path, entry)
        if one.register:
            _register(database, _new(spec, name, one, files))


def _register(database: Database, new: New) -> None:
    database.transact(lambda connection: datasets.register(connection, new, now_ns()))


def _files(manifest: Manifest, delivery: Delivery) -> Iterator[tuple[str, Entry]]:
    """The files of the folder that are wanted, by their names in it."""
    begin = delivery.folder + "/"
    for entry in manifest.entries:
        if entry.path.startswith(begin):
            path = entry.path[len(begin) :]
            if not delivery.globs or any(fnmatch.fnmatch(path, glob) for glob in delivery.globs):
                yield path, entry


def _put(blobs: Blobs, delivery: Delivery, path: str, entry: Entry) -> None:
    names = [*delivery.target.split("/"), *path.split("/")]
    folder = make_folders(delivery.root, names[:-1])
    try:
        if _has(folder, names[-1], entry.sha256):
            return
        with contextlib.suppress(FileNotFoundError):
            os.stat(names[-1], dir_fd=folder, follow_symlinks=False)
            if not delivery.is_overwriting:
                where = os.path.join(delivery.root, *names)
                raise Conflict(f"{where} exists with another content, and isn't to be overwritten")
        _write(blobs, folder, names[-1], entry.sha256)
    finally:
        os.close(folder)


def _has(folder: int, name: str, sha256: str) -> bool:
    """Is it there with this content?"""
    try:
        fd = os.open(
            name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder
        )
    except OSError:
        return False
    hasher = hashlib.sha256()
    with open(fd, "rb") as file:
        while piece := file.read(_READ_BYTES):
            hasher.update(piece)
    return hasher.hexdigest() == sha256


def _write(blobs: Blobs, folder: int, name: str, sha256: str) -> None:
    partial = f".part-{secrets.token_hex(8)}"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    source = blobs.open(sha256)
    try:
        with (
            open(source, "rb") as reads,
            open(os.open(partial, flags, 0o644, dir_fd=folder), "wb") as writes,
        ):
            shutil.copyfileobj(reads, writes, _READ_BYTES)
            writes.flush()
            os.fsync(writes.fileno())
        os.rename(partial, name, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException as error:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(partial, dir_fd=folder)
        if isinstance(error, IsADirectoryError):
            raise Invalid(f"a folder stands where the file {name!r} should be delivered") from None
        raise


def _new(spec: RunSpec, name: str, one: Delivery, files: list[tuple[str, Entry]]) -> New:
    told = [(path, entry.size_bytes, entry.sha256) for path, entry in files]
    given = dict(one.register.get("tags") or {})
    tags = {str(tag): None if text is None else str(text) for tag, text in given.items()}
    return New(
        one.register["name"], one.definition(), f"run:{spec.id}",
        str(one.register.get("description") or ""), tags, content.digest_of(told), len(files),
        sum(entry.size_bytes for _, entry in files), spec.id,
        intent=f"delivery/{spec.id}/{name}",
    )  # fmt: skip
