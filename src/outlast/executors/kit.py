"""The kit: the part of Outlast that travels to a run, frozen for as long as the run lives.

`stage(home)` copies floors 0 and 1, `supervisor/`, `environments/` and `runtime/` to
`home/kit/<digest>/outlast/` and compiles them; the digest is over their contents. A running
supervisor imports from its kit only, so an upgrade of the server doesn't touch it.
`sweep(home, used)` removes the kits that no run names any more.
"""

from __future__ import annotations

import compileall
import hashlib
import os
import py_compile
import shutil
import sys
import tempfile
import time
from collections.abc import Collection
from pathlib import Path

import outlast
from outlast.errors import Unreachable

# What runs in a job's own environment: standard library only, Python >= 3.8.
FOLDERS = ("journal", "run", "wire", "supervisor", "runtime", "environments", "data", "azureml")
MODULES = ("__init__.py", "errors.py", "ids.py", "process.py")
# A job finds `azureml` by its search path: the first file, as a package beside outlast/.
STANDS_IN, STAND_IN = "azureml/children/azureml/__init__.py", Path("azureml", "__init__.py")
_DIGEST_CHARS = 16
_ABANDONED_S = 3600.0  # filling takes a second; what is older was left by a killed process


def stage(home: str | Path) -> str:
    """Return the folder to put on a job's path; make it first if it isn't there.

    Safe from many processes at once, and after a power cut: what is there is compared with its
    digest. Raises Unreachable when it can't be written; nothing of it is left then.
    """
    files = _files(Path(outlast.__file__).parent)
    digest = _digest(files)
    shelf = Path(home, "kit")
    place = shelf / digest
    if _is_whole(place, digest):
        return str(place)
    try:
        shelf.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(prefix=".new-", dir=shelf))
        try:
            _fill(fresh, files, place)
            _put(fresh, place, digest)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
    except OSError as error:
        raise Unreachable(
            f"the files that a run needs can't be written to {place}: {error.strerror or error}",
            hint="outlast doctor",
        ) from error
    return str(place)


def sweep(home: str | Path, used: Collection[str]) -> list[str]:
    """Remove the kits that are neither the present one nor among the paths `used`.

    Returns the folders that were removed. What can't be removed stays, and is tried the next time.
    """
    present = _digest(_files(Path(outlast.__file__).parent))
    kept = {Path(path).name for path in used} | {present}
    shelf = Path(home, "kit")
    removed = []
    for entry in sorted(shelf.iterdir()) if shelf.is_dir() else ():
        is_being_made = entry.name.startswith(".new-") and _age_s(entry) < _ABANDONED_S
        if entry.name not in kept and not is_being_made:
            shutil.rmtree(entry, ignore_errors=True)
            removed.append(str(entry))
    return removed


def _age_s(entry: Path) -> float:
    try:
        return time.time() - entry.stat().st_mtime
    except OSError:  # it has its place now
        return 0.0


def _files(package: Path) -> dict[str, bytes]:
    """The kit's sources by their name below outlast/."""
    paths = [package / name for name in MODULES]
    for folder in FOLDERS:
        paths += sorted(package.joinpath(folder).rglob("*.py"))
    return {str(path.relative_to(package)): path.read_bytes() for path in paths}


def _digest(files: dict[str, bytes]) -> str:
    # The tag is part of it: after an upgrade of Python the kit is compiled anew.
    hasher = hashlib.sha256((sys.implementation.cache_tag or "").encode())
    for name, content in sorted(files.items()):
        hasher.update(f"{name}\0{len(content)}\0".encode())
        hasher.update(content)
    return hasher.hexdigest()[:_DIGEST_CHARS]


def _is_whole(place: Path, digest: str) -> bool:
    try:
        files = _files(place / "outlast")
        has_stand_in = (place / STAND_IN).read_bytes() == files.get(STANDS_IN)
        return has_stand_in and _digest(files) == digest
    except OSError:
        return False


def _fill(fresh: Path, files: dict[str, bytes], place: Path) -> None:
    for name, content in files.items():
        path = fresh / "outlast" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    stand_in = fresh / STAND_IN
    stand_in.parent.mkdir()
    stand_in.write_bytes(files[STANDS_IN])
    # Unchecked: nobody changes a kit, and a start then needs no stat of each source.
    # Tracebacks name the place where the files will lie.
    compileall.compile_dir(
        fresh,
        quiet=2,
        stripdir=str(fresh),
        prependdir=str(place),
        invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
    )


def _put(fresh: Path, place: Path, digest: str) -> None:
    """Rename it into its place, unless another process was faster."""
    try:
        fresh.rename(place)
    except OSError:
        if _is_whole(place, digest):
            return
        broken = place.with_name(f".new-broken-{os.getpid()}")
        place.rename(broken)
        shutil.rmtree(broken, ignore_errors=True)
        fresh.rename(place)
