"""Packages made on the spot, so that a build needs no network: wheels, and one that waits."""

from __future__ import annotations

import base64
import hashlib
import os
import zipfile
from pathlib import Path


def wheel(folder: Path, name: str, version: str = "1.0", requires: tuple[str, ...] = ()) -> Path:
    """A wheel with one module, which holds its version."""
    folder.mkdir(parents=True, exist_ok=True)
    needs = "".join(f"Requires-Dist: {other}\n" for other in requires)
    info = f"{name}-{version}.dist-info"
    files = {
        f"{name}/__init__.py": f"version = {version!r}\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\n"
        "Tag: py3-none-any\n",
        f"{info}/entry_points.txt": f"[console_scripts]\n{name}-tool = {name}:version.lower\n",
    }
    record = "".join(_line(path, text) for path, text in files.items()) + f"{info}/RECORD,,\n"
    path = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for inner, text in {**files, f"{info}/RECORD": record}.items():
            archive.writestr(inner, text)
    return path


def _line(path: str, text: str) -> str:
    digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
    return f"{path},sha256={digest},{len(text.encode())}\n"


BACKEND = """
import os, pathlib, sys
HERE = pathlib.Path(__file__).parent
def build_wheel(folder, config_settings=None, metadata_directory=None):
    # Opened by the test, which knows then that the build is here.
    with open(HERE.with_name(HERE.name + "-gate") / "go", "rb") as go:
        go.read()
    name = "slow-1.0-py3-none-any.whl"
    pathlib.Path(folder, name).write_bytes((HERE / name).read_bytes())
    return name
"""


class Slow:
    """A package whose build waits until `release` is called; `await_build` waits until it is
    being built."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        wheel(folder, "slow")
        (folder / "backend.py").write_text(BACKEND)
        (folder / "pyproject.toml").write_text(
            '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
            '[project]\nname = "slow"\nversion = "1.0"\n'
        )
        # Beside it: the package itself stays as it is.
        self.gate = folder.with_name(folder.name + "-gate")
        self.gate.mkdir()
        os.mkfifo(self.gate / "go")
        self._fd = -1

    @property
    def line(self) -> str:
        return f"slow @ file://{self.folder}"

    def await_build(self) -> None:
        """Return as soon as some process builds it (opening blocks until it reads)."""
        self._fd = os.open(self.gate / "go", os.O_WRONLY)

    def release(self) -> None:
        """Let it go on, and every later build of it."""
        (self.gate / "open").touch()
        (self.gate / "open").replace(self.gate / "go")
        os.close(self._fd)


def environ(home: Path) -> dict[str, str]:
    """For builds: uv's own store in `home`, and no network."""
    return {
        "PATH": "/usr/bin:/bin",
        "HOME": str(home),
        "UV_CACHE_DIR": str(home / "uv-cache"),
        "UV_OFFLINE": "1",
        "UV_NO_CONFIG": "1",
        "PIP_CONFIG_FILE": os.devnull,
    }


def definition(wheels: Path, *lines: str, **more: object) -> dict[str, object]:
    """An environment of kind pip whose packages all lie in `wheels`."""
    return {"kind": "pip", "pip": ["--no-index", f"--find-links {wheels}", *lines], **more}
