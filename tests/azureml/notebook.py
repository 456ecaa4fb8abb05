"""Run a notebook from top to bottom in a kernel of its own, as Jupyter does without a browser."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

jupyter_client = pytest.importorskip("jupyter_client")
pytest.importorskip("ipykernel")

TIMEOUT_S = 60.0


def run(path: Path, environ: Mapping[str, str]) -> str:
    """What its cells print. Raises AssertionError with the traceback of a cell that fails."""
    cells = json.loads(path.read_text())["cells"]
    manager = jupyter_client.KernelManager(kernel_name="python3")
    # PYDEVD_…: the debugger of ipykernel warns about frozen modules.
    told = {**environ, "PYDEVD_DISABLE_FILE_VALIDATION": "1"}
    manager.start_kernel(env=told, cwd=str(path.parent))
    try:
        client = manager.blocking_client()
        client.start_channels()
        try:
            client.wait_for_ready(timeout=TIMEOUT_S)
            code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
            return "".join(_executed(client, cell) for cell in code)
        finally:
            client.stop_channels()
    finally:
        manager.shutdown_kernel(now=True)


def _executed(client: Any, cell: str) -> str:
    printed: list[str] = []
    errors: list[str] = []

    def output(message: dict[str, Any]) -> None:
        content = message["content"]
        if message["msg_type"] == "stream":
            printed.append(content["text"])
        elif message["msg_type"] == "error":
            errors.extend(content["traceback"])

    reply = client.execute_interactive(cell, output_hook=output, timeout=TIMEOUT_S)
    assert reply["content"]["status"] == "ok", "\n".join([*printed, *errors])
    return "".join(printed)
