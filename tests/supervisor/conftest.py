"""A run without a server: its folder, its supervisor as a process, its events as they come."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import outlast
from outlast import process
from outlast.journal.cursor import Cursor
from outlast.journal.watch import Watcher
from outlast.run import events as ev
from outlast.run.folder import EVENTS, RunFolder
from outlast.supervisor import control

MAIN = str(Path(outlast.__file__).parent / "supervisor" / "__main__.py")
PYTHON = sys.executable
TIMEOUT_S = 20.0


class Run:
    """One run in a fresh workspace."""

    def __init__(self, home: Path, run_id: str = "run1") -> None:
        self.path = home / "runs" / run_id
        self.path.mkdir(parents=True, mode=0o700)
        self.working = home / "working"
        self.working.mkdir(exist_ok=True)
        self.folder = RunFolder(str(self.path))
        self.spec: dict[str, Any] = {"id": run_id}
        self.supervisors: list[subprocess.Popen[bytes]] = []
        self._cursor = Cursor(self.folder.file(EVENTS))
        self._seen: list[ev.Event] = []
        self.environ = {"PATH": os.environ["PATH"], "HOME": str(home)}

    # --- what is asked for ---

    def limits(self, **limits: float) -> Run:
        self.spec.setdefault("limits", {}).update(limits)
        return self

    def policy(self, **policy: Any) -> Run:
        self.spec.setdefault("policy", {}).update(policy)
        return self

    def outputs(self, *outputs: Any) -> Run:
        self.spec["outputs"] = list(outputs)
        return self

    def write(self, command: list[str], attempt: int = 1, **launch: Any) -> None:
        spec = {**self.spec, "command": command}
        self.path.joinpath("spec.json").write_text(json.dumps(spec))
        data = {
            "attempt": attempt,
            "command": command,
            "environ": self.environ,
            "folder": str(self.working),
            "gpus": [],
            "kit": "",
            **launch,
        }
        self.path.joinpath("launch.json").write_text(json.dumps(data))

    # --- supervisors ---

    def supervise(
        self, *arguments: str, attempt: int = 1, **options: Any
    ) -> subprocess.Popen[bytes]:
        command = [PYTHON, "-I", "-S", MAIN, str(self.path), "--attempt", str(attempt), *arguments]
        with self.path.joinpath("supervisor.log").open("ab") as log:
            started = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={"PATH": os.environ["PATH"], "OUTLAST_DETACHED": "1"},
                start_new_session=True,
                **options,
            )
        self.supervisors.append(started)
        return started

    def start(self, command: list[str], *arguments: str, **launch: Any) -> Run:
        """Write the run's files and start its supervisor."""
        self.write(command, **launch)
        self.supervise(*arguments)
        return self

    def shell(self, script: str) -> Run:
        return self.start(["/bin/sh", "-c", script])

    def python(self, script: str) -> Run:
        return self.start([PYTHON, "-c", script])

    @property
    def keeper(self) -> int:
        return self.supervisors[-1].pid

    @property
    def supervisor(self) -> int:
        """The one in charge, as it said itself last."""
        return [e for e in self.events() if isinstance(e, ev.Supervised)][-1].pid

    def ask(self, **request: Any) -> dict[str, Any]:
        return control.ask(self.folder, request, timeout_s=TIMEOUT_S)

    # --- what is told ---

    def events(self) -> list[ev.Event]:
        batch = self._cursor.read_records()
        assert not batch.corrupt
        for record in batch.records:
            event = ev.from_record(record)
            assert event is not None
            self._seen.append(event)
        return list(self._seen)

    def kinds(self) -> list[str]:
        return [ev.kind_of(event) for event in self.events()]

    def of(self, kind: type[Any]) -> list[Any]:
        return [event for event in self.events() if isinstance(event, kind)]

    def wait(self, kind: type[Any], count: int = 1, timeout_s: float = TIMEOUT_S) -> Any:
        """The count-th event of this kind, as soon as it is there."""
        until_s = time.monotonic() + timeout_s
        with Watcher() as watcher:
            watcher.add(str(self.path))
            while len(self.of(kind)) < count:
                left_s = until_s - time.monotonic()
                if left_s <= 0:
                    pytest.fail(f"no {kind.__name__} in {timeout_s} s: {self.kinds()}\n{self.log}")
                watcher.wait(min(left_s, 1.0))
        return self.of(kind)[count - 1]

    def ended(self, timeout_s: float = TIMEOUT_S) -> Any:
        """The last word; end.json says the same, and the supervisors are gone."""
        ended = self.wait(ev.Ended, timeout_s=timeout_s)
        for supervisor in self.supervisors:
            supervisor.wait(timeout_s)
        assert json.loads(self.path.joinpath("end.json").read_text()) == json.loads(
            json.dumps(ev.to_record(ended))
        )
        return ended

    def wait_output(self, text: str, timeout_s: float = TIMEOUT_S) -> str:
        """The output as soon as it holds this text."""
        until_s = time.monotonic() + timeout_s
        with Watcher() as watcher:
            watcher.add(str(self.path))
            while text not in self.output:
                left_s = until_s - time.monotonic()
                if left_s <= 0:
                    pytest.fail(f"no {text!r} in {timeout_s} s: {self.output[-500:]}\n{self.log}")
                watcher.wait(min(left_s, 1.0))
        return self.output

    @property
    def output(self) -> str:
        path = self.path / "output"
        return path.read_text(errors="replace") if path.exists() else ""

    @property
    def log(self) -> str:
        path = self.path / "supervisor.log"
        return path.read_text() if path.exists() else ""

    @property
    def manifest(self) -> dict[str, Any]:
        data: dict[str, Any] = json.loads(self.path.joinpath("manifest.json").read_text())
        return data

    def members(self) -> list[int]:
        """The run's processes that live, wherever they are."""
        entry = b"OUTLAST_RUN=" + os.fsencode(str(self.path))
        found = []
        for pid in process.with_environ(entry):
            stat = process.read_stat(pid)
            if stat is not None and stat.state != "Z":
                found.append(pid)
        return found

    def close(self) -> None:
        for supervisor in self.supervisors:
            children = [stat.pid for stat in process.descendants(supervisor.pid)]
            for pid in [supervisor.pid, *children, *self.members()]:
                kill(pid, signal.SIGKILL)
            supervisor.wait()
        for event in self.of(ev.Supervised):
            identity = process.Identity(event.pid, event.start_ticks, event.boot_id)
            if identity.is_alive():
                kill(event.pid, signal.SIGKILL)
        for pid in self.members():
            kill(pid, signal.SIGKILL)
        self._cursor.close()


def kill(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def wait_gone(pid: int, timeout_s: float = TIMEOUT_S) -> None:
    """Return when the process is dead; it needn't be a child."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        poll = select.poll()
        poll.register(fd, select.POLLIN)
        assert poll.poll(timeout_s * 1000), f"{pid} lives on"
    finally:
        os.close(fd)


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    made = Run(tmp_path)
    yield made
    made.close()
