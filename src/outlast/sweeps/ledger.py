"""The journal `trials` of a sweep, for its one writer: read once, then written and kept in step.

Each record is on the disk when its method returns; what follows from it is done after that.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from outlast.journal.writer import Writer
from outlast.run import trials
from outlast.run.folder import TRIALS, RunFolder
from outlast.run.trials import Told, Trial


class Ledger:
    """What the sweep has tried so far."""

    def __init__(self, folder: RunFolder) -> None:
        """Raises JournalError, DiskFull when the journal can't be opened."""
        self._writer = Writer(folder.file(TRIALS))  # cuts off what a killed writer left half
        self.told: Told = trials.read(folder.file(TRIALS))

    def begin(self, metric: str, goal: str, total: int) -> None:
        """The sweep's program is here (again)."""
        self._write({"k": trials.BEGUN, "metric": metric, "goal": goal, "total": total})

    def plan(self, run_id: str, parameters: Mapping[str, Any]) -> Trial:
        """The next trial: this run is going to be asked for."""
        number = len(self.told.trials)
        record = {"k": trials.TRIAL, "n": number, "id": run_id, "parameters": dict(parameters)}
        self._write(record)
        return self.told.trials[number]

    def stop(self, number: int, reason: str) -> None:
        """The trial is going to be canceled."""
        self._write({"k": trials.STOP, "n": number, "reason": reason})

    def over(self, number: int, status: str, value: float | None) -> Trial:
        """The trial is over."""
        self._write({"k": trials.OVER, "n": number, "status": status, "value": value})
        return self.told.trials[number]

    def end(self, reason: str) -> None:
        """The sweep is ended before every trial was tried."""
        self._write({"k": trials.END, "reason": reason})

    def _write(self, record: dict[str, Any]) -> None:
        record["t"] = time.time_ns()
        self._writer.append(record)
        self._writer.sync()
        self.told = trials.taken(self.told, record)

    def close(self) -> None:
        self._writer.close()
