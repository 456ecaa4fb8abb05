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

Step = Callable[[int], object]  # takes the number of the round

ROUNDS = 3
BIG_BYTES = 1 << 30
SMALL_FILES = 10_000
SMALL_BYTES = 4096
SOURCE_FILES = 5_000


def beside(name: str, call: Step, floor_name: str, floor: Step) -> None:
    """Print the median of some rounds of each, taken in turn so that both meet the same machine.

    Each round gets a number to write under: nothing is deleted in between, since ext4 makes new
    files up to ten times as slowly for a minute after many were deleted.
    """
    took: list[float] = []
    floor_took: list[float] = []
    for number in range(ROUNDS):
        floor_took.append(timed_s(floor, number))
        took.append(timed_s(call, number))
    took_s, floor_s = statistics.median(took), statistics.median(floor_took)
    ratio = took_s / floor_s
    print(f"{name:<42} {took_s:8.3f} s   {floor_name:<14} {floor_s:8.3f} s   {ratio:6.2f}x")


def timed_s(call: Step, number: int) -> float:
    os.sync()  # what the round before left to be written isn't this one's cost
    before = time.perf_counter()
    call(number)
    return time.perf_counter() - before


def shell(*command: str | Path) -> None:
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def filled(file: Path, size_bytes: int) -> None:
    with file.open("wb") as opened:
        for _ in range(max(1, size_bytes >> 22)):
            opened.write(os.urandom(min(size_bytes, 1 << 22)))


def measure_big(base: Path) -> None:
    big = base / "big"
    filled(big, BIG_BYTES)

    def hash_and_copy(number: int) -> None:
        shell("sha256sum", big)
        shell("cp", big, base / f"copy{number}")

    beside(
        "store 1 GiB: copy, hash, sync",
        lambda number: Blobs(base / f"blobs{number}").put(str(big)),
        "sha256sum; cp",
        hash_and_copy,
    )


def measure_small(base: Path) -> None:
    run = RunFolder(str(base / "run"))
    outputs = base / "work" / "outputs"
    outputs.mkdir(parents=True)
    Path(run.path).mkdir()
    for number in range(SMALL_FILES):
        (outputs / f"{number:05}").write_bytes(os.urandom(SMALL_BYTES))
    manifest = inventory(outputs)
    Path(run.file(MANIFEST)).write_bytes(manifest.to_json())
    count = f"{SMALL_FILES:,}"
    stores = [Blobs(base / f"small{number}") for number in range(ROUNDS)]
    beside(
        f"commit {count} files of 4 KiB",
        lambda number: commit.store(run, stores[number]),
        "cp -r",
        lambda number: shell("cp", "-r", outputs, base / f"copies{number}"),
    )
    beside(
        "the same again, all stored already",
        lambda number: commit.store(run, stores[number]),
        "sha256sum",
        lambda _: shell("sh", "-c", f"cd {outputs} && sha256sum *"),
    )
    beside(
        f"verify {count} stored files",
        lambda number: verify(manifest.entries, stores[number]),
        "sha256sum",
        lambda _: shell("sh", "-c", f"cd {outputs} && sha256sum *"),
    )


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
    source = base / "source"
    for number in range(SOURCE_FILES):
        folder = source / f"package{number % 100}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"module{number}.py").write_bytes(os.urandom(SMALL_BYTES))
    (source / ".gitignore").write_text("*.log\n/data/\nbuild/\n*.egg-info/\n!keep.log\n")
    git = ("git", "-C", source)
    shell(*git, "init", "-q")
    shell(*git, "add", ".")
    time.sleep(2.1)  # a file is taken for unchanged only when its last change is that long ago
    stores = [Blobs(base / f"home{number}" / "blobs") for number in range(ROUNDS)]
    beside(
        f"first snapshot of {SOURCE_FILES:,} files",
        lambda number: snapshot.take(str(source), stores[number]),
        "cp -r",
        lambda number: shell("cp", "-r", source, base / f"source{number}"),
    )
    beside(
        "snapshot, nothing changed",
        lambda number: snapshot.take(str(source), stores[number]),
        "git status",
        lambda _: shell(*git, "status", "--porcelain"),
    )
    taken = snapshot.take(str(source), stores[0])
    beside(
        "checkout, each content hashed",
        lambda number: snapshot.checkout(taken, stores[0], str(base / f"checkout{number}")),
        "cp -r",
        lambda number: shell("cp", "-r", source, base / f"again{number}"),
    )


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
