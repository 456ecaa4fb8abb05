"""Outlast under the judge of true states: maps its verbs to the CLI and the SDK, nothing else.

usage: python TRUTH/run.py bench/truth/outlast.py   (TRUTH: the folder with the judge)
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from adapters.base import Base, alive, cmdline, kids, kill9, ppid, tree

from outlast.sdk.handle import RunHandle
from outlast.sdk.workspace import Workspace

__all__ = ["Adapter", "alive", "cmdline", "kids", "ppid", "tree"]

STATES = {
    "NotStarted": "queued",
    "Queued": "queued",
    "Preparing": "queued",
    "Provisioning": "queued",
    "Starting": "queued",
    "Running": "running",
    "Finalizing": "running",
    "CancelRequested": "running",
    "NotResponding": "unknown",
    "Completed": "completed",
    "Failed": "failed",
    "Canceled": "canceled",
}


class Adapter(Base):  # type: ignore[misc]
    """One workspace for all scenarios, made in the judge's folder."""

    name = "outlast"
    features = {  # noqa: RUF012
        "cancel", "limit", "dag", "retry", "outputs", "memlimit", "client", "server", "supervisor",
    }  # fmt: skip

    def __init__(self, root: str) -> None:
        super().__init__(root)
        self.home = Path(root) / "home"
        self.local = threading.local()
        os.environ["OUTLAST_HOME"] = str(self.home)

    def start(self) -> None:
        self.start_server()

    def stop(self) -> None:
        self._cli("down")

    def start_server(self) -> None:
        self._cli("up", "--detach")

    def kill_server(self) -> None:
        kill9(json.loads(self._cli("status", "--json"))["pid"])

    def submit(self, job: Any) -> dict[str, Any]:
        return self._run(job, job.cmd)

    def submit_dag(self, job: Any) -> dict[str, Any]:
        first = self._cli("run", "-d", "--", *job.steps[0]).strip()
        return self._run(job, job.steps[1], "--after", first)

    def _run(self, job: Any, command: list[str], *more: str) -> dict[str, Any]:
        options = [*more, "--grace", "5", "--leftovers-wait", "300"]
        for path in job.declared:
            options += ["--output", path]
        if job.limit:
            options += ["--max-time", str(job.limit)]
        if job.mem_mb:
            options += ["--memory-limit", str(job.mem_mb << 20)]
        if job.retries:
            options += ["--retries", str(job.retries), "--retry-on", "lost", "--retry-on", "failed"]
        # The judge's own mark names the run, so that it can be found while its client follows it.
        client = subprocess.Popen(
            [sys.executable, "-m", "outlast", "run", "--name", job.tid, *options, "--", *command],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        return {"id": self._id_of(job.tid), "tid": job.tid, "client": client}

    def _id_of(self, name: str) -> str:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            found = self._cli("ls", "-q", "--where", f'name = "{name}"').split()
            if found:
                return found[0]
            time.sleep(0.05)
        raise RuntimeError(f"no run named {name} appeared")

    def status(self, handle: dict[str, Any]) -> tuple[str, str]:
        run = self._handle(handle)
        facts, why = run.fetch(), run.why()
        words = [facts["status"], facts["cause"], facts["message"], why["headline"]]
        words += [text for _, text in facts["warnings"]]
        for finding in why["findings"]:
            words += [finding["claim"], *(fact["text"] for fact in finding["evidence"])]
        return STATES[facts["status"]], "\n".join(filter(None, words))

    def log(self, handle: dict[str, Any]) -> bytes:
        run = self._handle(handle)
        start = max(0, run.output_size() - 100_000)
        return b"".join(piece.data for piece in run.output_so_far(start))

    def cancel(self, handle: dict[str, Any]) -> None:
        self._cli("cancel", handle["id"])

    def kill_client(self, handle: dict[str, Any]) -> None:
        kill9(handle["client"].pid)

    def kill_supervisor(self, handle: dict[str, Any]) -> str | None:
        """Every process of the supervisor, which are two: the hardest case."""
        state = self._handle(handle).fetch()["state"]
        pid = state["supervisor"][0]
        both = [pid]
        if "supervisor" in cmdline(ppid(pid)):
            both.append(ppid(pid))
        else:
            both += [child for child in kids(pid) if "supervisor" in cmdline(child)]
        words = cmdline(pid)[:200]
        # The outer one first, so that it has no time to go on alone.
        return words if all([kill9(each) for each in reversed(both)]) else None

    def forget(self, handle: dict[str, Any]) -> None:
        if handle["client"].poll() is None:
            handle["client"].kill()
        handle["client"].wait()

    def _handle(self, handle: dict[str, Any]) -> RunHandle:
        if not hasattr(self.local, "workspace"):
            self.local.workspace = Workspace(self.home)
        return RunHandle(self.local.workspace.connection, handle["id"])

    def _cli(self, *arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "outlast", *arguments],
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        return done.stdout
