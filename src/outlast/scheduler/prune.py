"""Free the stored contents that nothing names any more: those of deleted runs, and broken-off ones.

Kept is whatever the index *or* a run's folder names: outputs by manifest, and the snapshot that a
run works on with all its files. An index that was lost and read up anew therefore costs nothing,
and a folder that can't be read stops the clean-up before anything is deleted. Kept too are the
files of models, whose only list is the index. Blocks.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator

from outlast.artifacts import snapshot
from outlast.artifacts.blobs import GRACE_S, Blobs, Deleted
from outlast.config import Settings
from outlast.errors import Conflict, Corrupt, Invalid, NotFound
from outlast.run.folder import MANIFEST, SPEC
from outlast.run.manifest import Manifest
from outlast.run.spec import RunSpec
from outlast.scheduler.launching import MAKING
from outlast.store import manifests, models, runs
from outlast.store.database import Database

LEAST_AGE_S = 2 * 3600  # what is stored already and needed again is marked so often, not each time


def prune(
    settings: Settings,
    database: Database,
    blobs: Blobs,
    *,
    older_than_s: float = GRACE_S,
    is_sole_user: bool = False,
    is_dry_run: bool = False,
) -> Deleted:
    """Delete what nothing names and was last stored `older_than_s` (default: a day) ago.

    Returns how much that was. With `is_dry_run` nothing is deleted. Raises Invalid for less than
    two hours; Conflict when the blobs aren't in the workspace (another may use them as well) unless
    `is_sole_user`, or when a run's folder can't be read. Nothing was deleted then.
    """
    if older_than_s < LEAST_AGE_S:
        remedy = f"give at least {LEAST_AGE_S} s: a run may be about to name what was just stored"
        raise Invalid.field("older_than_s", older_than_s, remedy)
    _check_owner(settings, blobs, is_sole_user)
    wanted = named(settings.runs_folder, database, blobs)
    return blobs.delete_unreferenced(wanted, older_than_s=older_than_s, is_dry_run=is_dry_run)


def named(runs_folder: str, database: Database, blobs: Blobs) -> set[str]:
    """Every content (sha256) that a run or a model names. Raises Conflict, naming the folder."""
    wanted: set[str] = set()
    lists: set[str] = set()
    with database.read() as connection:
        wanted.update(manifests.contents(connection))
        wanted.update(models.contents(connection))
        lists.update(runs.snapshots(connection))
    # After the index: a run that comes meanwhile has its folder by now.
    for folder in _folders(runs_folder):
        digest = _snapshot_of(folder)
        if digest:
            lists.add(digest)
        wanted.update(_outputs_of(folder))
    for digest in lists:
        wanted.add(digest)
        wanted.update(_files_of(digest, blobs))
    return wanted


def _check_owner(settings: Settings, blobs: Blobs, is_sole_user: bool) -> None:
    home = os.path.realpath(settings.home)
    if not is_sole_user and not os.path.realpath(blobs.folder).startswith(home + "/"):
        raise Conflict(
            f"blobs_folder = {blobs.folder!r} lies outside the workspace, so other workspaces may "
            "keep their outputs there too; nothing was deleted",
            hint="outlast prune --sole-user  if no other does",
        )


def _folders(runs_folder: str) -> Iterator[str]:
    """Of all runs, also of those that are being made; not of those that are being deleted."""
    # One that is being made may get its name meanwhile: then the second look finds it.
    for is_making in (True, False):
        try:
            names = os.listdir(runs_folder)
        except FileNotFoundError:
            return
        for name in names:
            if name.startswith(MAKING) if is_making else not name.startswith("."):
                yield os.path.join(runs_folder, name)


def _snapshot_of(folder: str) -> str | None:
    try:
        with open(os.path.join(folder, SPEC), "rb") as file:
            source = RunSpec.from_dict(json.load(file)).source
    except FileNotFoundError:
        if os.path.basename(folder).startswith(MAKING) or not os.path.lexists(folder):
            return None  # not written yet, or renamed or deleted meanwhile
        raise _unreadable(folder, f"it has no {SPEC}") from None
    except (OSError, ValueError, Invalid) as error:
        raise _unreadable(folder, f"its {SPEC} can't be read ({error})") from None
    return source.digest if source is not None else None


def _outputs_of(folder: str) -> Iterator[str]:
    try:
        with open(os.path.join(folder, MANIFEST), "rb") as file:
            manifest = Manifest.from_json(file.read())
    except FileNotFoundError:
        return
    except (OSError, Corrupt) as error:
        raise _unreadable(folder, f"its {MANIFEST} can't be read ({error})") from None
    for entry in manifest.entries:
        yield entry.sha256


def _files_of(digest: str, blobs: Blobs) -> Iterator[str]:
    try:
        taken = snapshot.load(digest, blobs)
    except NotFound:
        return  # without its list a snapshot can't be laid out any more
    except Corrupt as error:
        raise Conflict(
            f"{error.message}; nothing was deleted",
            hint="restore the blobs folder from a backup, or delete the runs on that snapshot",
        ) from None
    for entry in taken.entries:
        yield entry.sha256


def _unreadable(folder: str, what: str) -> Conflict:
    return Conflict(
        f"{folder}: {what}, so what it needs isn't known; nothing was deleted",
        hint=f"outlast rm {os.path.basename(folder)}  (or move the folder elsewhere)",
    )
