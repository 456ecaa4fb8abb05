"""Scripts as users have them, run by the command line in a workspace."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

TIMEOUT_S = 60.0
USERS = Path(__file__).parent / "scripts"


class Done(NamedTuple):
    code: int
    out: str
    err: str


class Scripts:
    """Writes scripts to a folder and runs them there."""

    def __init__(self, home: Path, folder: Path) -> None:
        self.folder = folder
        kept = {key: v for key, v in os.environ.items() if not key.startswith("OUTLAST_")}
        self.environ = {**kept, "OUTLAST_HOME": str(home), "OUTLAST_PORT": "0"}

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.write_text(text)
        return path

    def users(self, name: str) -> Path:
        """A script of a user's, as it was published."""
        return self.write(f"{name}.py", (USERS / f"{name}.txt").read_text())

    def start(self, path: Path, *arguments: str, **variables: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "outlast", "exec", str(path), *arguments],
            cwd=self.folder, env={**self.environ, **variables}, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def run(self, path: Path, *arguments: str, **variables: str) -> Done:
        """To its end."""
        with self.start(path, *arguments, **variables) as process:
            return ended(process)


def ended(process: subprocess.Popen[str]) -> Done:
    out, err = process.communicate(timeout=TIMEOUT_S)
    return Done(process.returncode, out, err)
