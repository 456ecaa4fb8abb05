"""Run folders for the tests, written as the script, the supervisor and the server write them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from outlast.journal.line import pack
from outlast.run import events as ev
from outlast.run.folder import DECISIONS, EVENTS, SPEC, RunFolder
from outlast.run.spec import RunSpec

T_NS = 1_763_700_000_000_000_000


class Written:
    """A folder that grows."""

    def __init__(self, home: Path, run_id: str = "run1", **spec: Any) -> None:
        self.folder = RunFolder(str(home / "runs" / run_id))
        Path(self.folder.path).mkdir(parents=True)
        asked = {"id": run_id, "command": ["python", "train.py"], "created_ns": T_NS, **spec}
        self.spec = RunSpec.from_dict(asked)
        Path(self.folder.file(SPEC)).write_text(json.dumps(self.spec.to_dict()))

    def write(self, journal: str, data: bytes) -> int:
        """Append bytes; returns the journal's new size."""
        with Path(self.folder.file(journal)).open("ab") as file:
            file.write(data)
            return file.tell()

    def size(self, journal: str) -> int:
        return Path(self.folder.file(journal)).stat().st_size

    def decide(self, *decisions: ev.Event, seen: int = 0) -> int:
        records = ({**ev.to_record(decision), "seen": seen} for decision in decisions)
        return self.write(DECISIONS, b"".join(map(pack, records)))

    def tell(self, *events: ev.Event) -> int:
        return self.write(EVENTS, b"".join(pack(ev.to_record(event)) for event in events))

    def log(self, *records: dict[str, Any], writer: str = "1") -> int:
        return self.write(f"logged.{writer}", b"".join(map(pack, records)))

    def log_metric(self, name: str, *values: float, first_step: int = 0) -> int:
        return self.log(
            *(point(name, value, step) for step, value in enumerate(values, first_step))
        )

    def start(self) -> None:
        """Tell the story up to Running."""
        self.decide(
            ev.Created(T_NS), ev.Queued(T_NS + 1), ev.Dispatched(T_NS + 2, 1, "local"),
            ev.Launched(T_NS + 3, 1),
        )  # fmt: skip
        self.tell(
            ev.Supervised(T_NS + 4, 1, "command", 10, 20, "boot", "host", "1"),
            ev.Started(T_NS + 5, 1, 11, 21, "boot", "/", 0),
        )

    def end(self, code: int = 0) -> None:
        """Tell the rest of a run that went on for a second, without outputs."""
        t_ns = T_NS + 5 + 1_000_000_000
        outcome, cause = ("completed", "") if code == 0 else ("failed", "exit_code")
        self.tell(
            ev.Exited(t_ns, 1, code),
            ev.TreeEnded(t_ns, 1),
            ev.Ended(t_ns, 1, outcome, cause, "" if code == 0 else f"exit code {code}"),
        )


def point(name: str, value: Any, step: int, t_ns: int = T_NS) -> dict[str, Any]:
    return {"k": "m", "n": name, "v": value, "s": step, "t": t_ns}
