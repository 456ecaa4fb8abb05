"""What storing outputs and taking snapshots costs: `python bench/artifacts.py [--folder DIR]`.

Each figure stands beside a floor of the same run: the shell's own tools on the same files. The
floors don't put anything on disk for good (no sync), Outlast does.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from outlast.artifacts import commit, snapshot
from outlast.artifacts.blobs import Blobs
from outlast.artifacts.verify import verify
from outlast.run.folder import MANIFEST, RunFolder
from outlast.run.manifest import Entry, Manifest, made

ROUNDS = 3
BIG_BYTES = 1 << 30
SMALL_FILES = 10_000
SMALL_BYTES = 4096
SOURCE_FILES = 5_000


def timed_s(call: Callable[[], object], after: Callable[[], object] = lambda: None) -> float:
    """The median of some rounds; `after` each one, outside the time."""
    took: list[float] = []
    for _ in range(ROUNDS):
        os.sync()  # what the round before left to be written isn't this one's cost
        before = time.perf_counter()
        call()
        took.append(time.perf_counter() - before)
        after()
    return statistics.median(took)


def show(name: str, took_s: float, floor: str, floor_s: float) -> None:
    print(f"{name:<46} {took_s:8.3f} s   {floor:<22} {floor_s:8.3f} s   {took_s / floor_s:5.2f}x")


def shell(*command: str | Path) -> Callable[[], object]:
    return lambda: subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def emptied(folder: Path) -> Callable[[], object]:
    return lambda: shutil.rmtree(folder, ignore_errors=True)


def filled(file: Path, size_bytes: int) -> None:
    with file.open("wb") as opened:
        for _ in range(max(1, size_bytes >> 22)):
            opened.write(os.urandom(min(size_bytes, 1 << 22)))


def measure_big(base: Path) -> None:
    big, store = base / "big", base / "blobs"
    filled(big, BIG_BYTES)
    hash_and_copy = timed_s(
        lambda: (shell("sha256sum", big)(), shell("cp", big, base / "copy")()),
        lambda: (base / "copy").unlink(),
    )
    took_s = timed_s(lambda: Blobs(store).put(str(big)), emptied(store))
    show("store 1 GiB: copy, hash, sync", took_s, "sha256sum; cp", hash_and_copy)
    big.unlink()


def measure_small(base: Path) -> None:
    run = RunFolder(str(base / "run"))
    outputs = base / "work" / "outputs"
    outputs.mkdir(parents=True)
    Path(run.path).mkdir()
    for number in range(SMALL_FILES):
        (outputs / f"{number:05}").write_bytes(os.urandom(SMALL_BYTES))
    manifest = inventory(outputs)
    Path(run.file(MANIFEST)).write_bytes(manifest.to_json())
    store = base / "blobs"
    copy_s = timed_s(shell("cp", "-r", outputs, base / "copy"), emptied(base / "copy"))
    took_s = timed_s(lambda: commit.store(run, Blobs(store)), emptied(store))
    show(f"commit {SMALL_FILES:,} files of 4 KiB, verified", took_s, "cp -r", copy_s)
    blobs = Blobs(store)
    commit.store(run, blobs)
    again_s = timed_s(lambda: commit.store(run, blobs))
    show("the same again, all stored already", again_s, "cp -r", copy_s)
    verify_s = timed_s(lambda: verify(manifest.entries, blobs))
    hash_s = timed_s(shell("sh", "-c", f"cd {outputs} && sha256sum *"))
    show(f"verify {SMALL_FILES:,} stored files", verify_s, "sha256sum", hash_s)
    emptied(store)()


def inventory(outputs: Path) -> Manifest:
    """As the run's supervisor writes it."""
    from hashlib import sha256

    entries = []
    for path in sorted(outputs.iterdir()):
        content = path.read_bytes()
        name = f"outputs/{path.name}"
        digest = sha256(content).hexdigest()
        entries.append(Entry(name, len(content), digest, 0, "outputs", str(path)))
    return made("bench", 1, entries)


def measure_snapshot(base: Path) -> None:
    source, store = base / "source", base / "home" / "blobs"
    for number in range(SOURCE_FILES):
        folder = source / f"package{number % 100}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"module{number}.py").write_bytes(os.urandom(SMALL_BYTES))
    (source / ".gitignore").write_text("*.log\n/data/\nbuild/\n*.egg-info/\n!keep.log\n")
    time.sleep(2.1)  # a file is taken for unchanged only when its last change is that long ago
    copy_s = timed_s(shell("cp", "-r", source, base / "copy"), emptied(base / "copy"))
    first_s = timed_s(lambda: snapshot.take(str(source), Blobs(store)), emptied(store.parent))
    show(f"first snapshot of {SOURCE_FILES:,} files", first_s, "cp -r", copy_s)
    blobs = Blobs(store)
    taken = snapshot.take(str(source), blobs)
    git_s = git_status_s(source)
    again_s = timed_s(lambda: snapshot.take(str(source), blobs))
    show("snapshot, nothing changed", again_s, "git status", git_s)
    target = base / "checkout"
    laid_s = timed_s(lambda: snapshot.checkout(taken, blobs, str(target)), emptied(target))
    show("checkout, verified", laid_s, "cp -r", copy_s)


def git_status_s(source: Path) -> float:
    """What the best-known program for this takes to see that nothing changed."""
    git = ("git", "-C", str(source))
    shell(*git, "init", "-q")()
    shell(*git, "add", ".")()
    return timed_s(shell(*git, "status", "--porcelain"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", help="where to write; default: a temporary folder")
    base = Path(tempfile.mkdtemp(prefix="outlast-bench-", dir=parser.parse_args().folder))
    try:
        measure_big(base)
        measure_small(base)
        measure_snapshot(base)
    finally:
        shutil.rmtree(base)


if __name__ == "__main__":
    main()
