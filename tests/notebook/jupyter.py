"""A real JupyterLab for the tests, with its settings and kernels in a folder of their own."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

READY_S = 60.0
LOOK_S = 0.1
OPTIONS = (
    "--no-browser", "--allow-root", "--ServerApp.port=0", "--ServerApp.ip=127.0.0.1",
    "--LabApp.news_url=None", "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
)  # fmt: skip


class Lab(NamedTuple):
    """Where it listens, and what it serves."""

    url: str
    token: str
    folder: Path

    def page(self, notebook: str) -> str:
        """Its page with this notebook alone."""
        return f"{self.url}doc/tree/{notebook}?token={self.token}&reset"


def write_notebook(path: Path, *cells: str) -> None:
    """A notebook of these code cells, for the kernel of this interpreter."""
    made: list[dict[str, object]] = [
        {
            "cell_type": "code", "id": f"cell-{number}", "execution_count": None,
            "metadata": {}, "outputs": [], "source": source,
        }
        for number, source in enumerate(cells)
    ]  # fmt: skip
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    path.write_text(
        json.dumps(
            {"cells": made, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}
        )
    )


@contextlib.contextmanager
def lab(home: Path, environ: Mapping[str, str]) -> Iterator[Lab]:
    """JupyterLab, ready; ended with its kernels at the end. Its notebooks are in `home`/work."""
    folder, runtime = home / "work", home / "runtime"
    folder.mkdir(parents=True)
    settings = {
        "HOME": home, "JUPYTER_CONFIG_DIR": home / "config", "JUPYTER_DATA_DIR": home / "data",
        "JUPYTER_RUNTIME_DIR": runtime, "IPYTHONDIR": home / "ipython",
    }  # fmt: skip
    with (home / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "jupyterlab", *OPTIONS, f"--ServerApp.root_dir={folder}"],
            env={**environ, **{name: str(path) for name, path in settings.items()}},
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
    try:
        yield _ready(process, runtime, folder, home / "log")
    finally:
        process.terminate()
        process.wait(READY_S)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def _ready(process: subprocess.Popen[bytes], runtime: Path, folder: Path, log: Path) -> Lab:
    deadline_s = time.monotonic() + READY_S
    while time.monotonic() < deadline_s and process.poll() is None:
        for path in runtime.glob("jpserver-*.json"):
            with contextlib.suppress(ValueError):  # it is being written
                facts = json.loads(path.read_text())
                return Lab(facts["url"], facts["token"], folder)
        time.sleep(LOOK_S)
    raise AssertionError(f"JupyterLab isn't ready:\n{log.read_text()[-4000:]}")
