"""The program of a sweep: asks for trials, follows them, ends the bad ones, and finds the best.

All that it knows stands in the journal `trials` and in the trials themselves, so it may be killed
at any moment: the next one asks again for what was planned (the same run, under the same id) and
goes on. It talks to the server alone and survives its absence.
"""

from __future__ import annotations

import math
import os
import signal
import time
from collections.abc import Mapping
from typing import Any, NoReturn

from outlast.errors import Conflict, NotFound, OutlastError, Refused
from outlast.run import redact
from outlast.run.folder import RunFolder
from outlast.run.spec import RunSpec
from outlast.run.state import COMPLETED, FAILED, TERMINAL
from outlast.run.trials import MAXIMIZE, Trial
from outlast.runtime import Run
from outlast.sdk import caller
from outlast.sdk.handle import RunHandle
from outlast.sdk.live import Live
from outlast.sdk.submit import post
from outlast.sdk.workspace import Workspace
from outlast.sweeps import search, stopping
from outlast.sweeps.asking import Sweep
from outlast.sweeps.ledger import Ledger
from outlast.sweeps.plan import Plan, delivered, filled, shown
from outlast.units import duration, number

# A server that is away for so long is waited for: trials go on without it.
PATIENCE_S = 30 * 24 * 3600.0
LOOK_S = 60.0
# When so many trials are over and every one of them failed, it isn't the values' fault.
FIRST_FAILURES = 5
DELETED = "Deleted"


class Driver:
    """One sweep's program."""

    def __init__(self, run: Run, spec: RunSpec, plan: Plan, command: list[str]) -> None:
        self.run_of_it = run
        self.spec = spec
        self.plan = plan
        self.command = command
        self.workspace = Workspace(os.environ["OUTLAST_HOME"])
        self.connection = self.workspace.connection
        self.connection.patience_s = PATIENCE_S
        self.live = Live(self.connection)
        self.ledger = Ledger(RunFolder(run.folder))
        self.signals = Signals()
        self.series: dict[int, list[float]] = {}  # values of the metric, as far as were needed
        self.judged: dict[int, int] = {}  # at how many values

    def drive(self) -> str:
        """Work until every trial is over. Returns why the sweep failed, "" when it didn't."""
        self.ledger.begin(self.plan.metric, self.plan.goal, self.plan.max_trials)
        self._resume()
        while self._fill() or self.ledger.told.open:
            left_s = self._deadline_s() - time.time()
            timeout_s = min(left_s, LOOK_S) if left_s > 0 else LOOK_S
            for message in self.live.receive(timeout_s, or_when=self.signals.descriptor):
                self._hear(message)
            if self.signals.take():
                self._on_term()
            if time.time() > self._deadline_s():
                self._end(f"it has run for {duration(self.plan.max_duration_s)}, as max_duration_s")
        return self._close()

    # --- beginning trials ---

    def _resume(self) -> None:
        """Ask again for all that an earlier program had planned and not seen the end of."""
        told = self.ledger.told
        if self.plan.stopping.kind != "none":
            for trial in told.over:
                self.series[trial.number] = self._values_of(trial)
        for trial in told.open:
            print(f"trial {trial.number}: goes on as run {trial.id}")
            self._ask_for(trial)
            if trial.stop_reason or told.end_reason:
                self._cancel(trial, trial.stop_reason or told.end_reason)

    def _fill(self) -> bool:
        """Begin as many trials as may be at work; is any of them?"""
        while self._may_begin():
            count = len(self.ledger.told.trials)
            values = self._propose(count)
            trial = self.ledger.plan(f"{self.spec.id}_{count}", values)
            told_values = " ".join(f"{name}={shown(value)}" for name, value in values.items())
            print(f"trial {trial.number}: {told_values} as run {trial.id}")
            self._ask_for(trial)
        return bool(self.ledger.told.open)

    def _may_begin(self) -> bool:
        told = self.ledger.told
        has_more = not told.end_reason and len(told.trials) < self.plan.max_trials
        return has_more and len(told.open) < self.plan.max_at_once

    def _propose(self, count: int) -> dict[str, Any]:
        plan = self.plan
        if count < len(plan.first):
            return dict(plan.first[count])
        before = [trial for _, trial in sorted(self.ledger.told.trials.items())]
        if plan.sampling == search.BAYESIAN:
            before = self._earlier() + before
        return search.propose(
            plan.spaces, plan.sampling, count, seed=plan.seed, trials=before, goal=plan.goal
        )

    def _earlier(self) -> list[Trial]:
        """What the sweeps before this one have tried, of the same parameters."""
        names = set(self.plan.spaces)
        found = Sweep(self.connection, self.spec.id).earlier_trials()
        return [trial for trial in found if set(trial.parameters) == names]

    def _ask_for(self, trial: Trial) -> None:
        words = filled(self.command, trial.parameters)
        spec = {
            **self.spec.to_dict(),
            **self.plan.trial,
            "deliveries": delivered(self.plan.trial.get("deliveries", {}), trial.id),
            "id": trial.id,
            "kind": "command",
            "name": "",
            "command": redact.command(words),
            "parameters": {**self.plan.trial.get("parameters", {}), **trial.parameters},
            "parent": self.spec.id,
            "after": [],
            "tags": {},
        }
        source = self.spec.source
        launch = {
            "command": words,
            "environ": caller.environ(_environ(self.workspace.home.joinpath("kit").as_posix())),
            "folder": source.folder if source is not None else os.getcwd(),
            "umask": caller.umask(),
        }
        try:
            post(self.connection, spec, launch)
        except Conflict:
            pass  # an earlier program had got so far
        except Refused:
            raise
        except OutlastError as error:  # what is wrong with one is wrong with all
            self.ledger.over(trial.number, FAILED, None)
            self._end(f"trial {trial.number} was refused: {error.message}")
            return
        self.live.follow({"run": trial.id, "state": True}, {"run": trial.id, "metrics": True})

    # --- following them ---

    def _hear(self, message: Mapping[str, Any]) -> None:
        run_id = message.get("run") or (message.get("entry") or {}).get("run")
        trial = next((trial for trial in self.ledger.told.open if trial.id == run_id), None)
        if trial is None:
            return
        if "error" in message:
            self._is_over(trial, DELETED)
        elif "metrics" in message:
            self._judge(trial, message["metrics"])
        elif "state" in message and message["state"]["status"] in TERMINAL:
            self._is_over(trial, message["state"]["status"])

    def _judge(self, trial: Trial, metrics: list[dict[str, Any]]) -> None:
        """Has it logged enough to be compared with the others? Then one of them may be too bad."""
        found = next((m for m in metrics if m["name"] == self.plan.metric), None)
        at = stopping.due(self.plan.stopping, found["n"] if found else 0)
        if at <= self.judged.get(trial.number, 0):
            return
        self.judged[trial.number] = at
        self.series[trial.number] = self._values_of(trial)
        self._judge_all()

    def _judge_all(self) -> None:
        """One has got further: the others as well, who may have had nobody to compare with."""
        plan = self.plan
        for trial in self.ledger.told.open:
            at = self.judged.get(trial.number, 0)
            reason = stopping.verdict(plan.stopping, plan.goal, trial.number, at, self.series)
            if reason and not trial.stop_reason:
                print(f"trial {trial.number}: is ended early ({reason})")
                self.ledger.stop(trial.number, reason)
                self._cancel(trial, reason)

    def _is_over(self, trial: Trial, status: str) -> None:
        value = None
        if status != DELETED:
            value = self._best_value(trial)
            if self.plan.stopping.kind != "none":
                self.series[trial.number] = self._values_of(trial)
        self.live.unfollow({"run": trial.id, "state": True}, {"run": trial.id, "metrics": True})
        over = self.ledger.over(trial.number, status, value)
        told = self.ledger.told
        best = told.best
        text = f"{self.plan.metric} {number(value)}" if value is not None else "without a value"
        is_best = best is not None and best.number == over.number
        print(f"trial {trial.number}: {status}, {text}{', the best so far' if is_best else ''}")
        if best is not None and best.value is not None:
            self.run_of_it.log(f"best_{self.plan.metric}", best.value, step=len(told.over))
        failed = [trial for trial in told.over if trial.status == FAILED]
        self._judge_all()
        if len(failed) == len(told.over) >= FIRST_FAILURES:
            self._end(f"the first {len(failed)} trials have failed, as run {failed[0].id}")

    def _best_value(self, trial: Trial) -> float | None:
        try:
            series = RunHandle(self.connection, trial.id).series()
        except NotFound:
            return None
        found = next((one for one in series if one["name"] == self.plan.metric), None)
        key = "max" if self.plan.goal == MAXIMIZE else "min"
        return float(found[key]) if found is not None and found[key] is not None else None

    def _values_of(self, trial: Trial) -> list[float]:
        """The values of the metric; what is no number counts as the worst there is."""
        worst = -math.inf if self.plan.goal == MAXIMIZE else math.inf
        try:
            view = RunHandle(self.connection, trial.id).view(self.plan.metric, points=None)
        except NotFound:  # none was logged, or the run was deleted
            return []
        return [worst if math.isnan(value) else value for value in view["values"]]

    # --- ending ---

    def _end(self, reason: str) -> None:
        """End the sweep early: no further trial, and those at work are canceled. Once."""
        if self.ledger.told.end_reason:
            return
        print(f"the sweep ends: {reason}")
        self.ledger.end(reason)
        for trial in self.ledger.told.open:
            self._cancel(trial, reason)

    def _cancel(self, trial: Trial, reason: str) -> None:
        try:
            RunHandle(self.connection, trial.id).cancel(reason)
        except NotFound:  # deleted: nothing is left to be canceled
            self.ledger.over(trial.number, DELETED, None)

    def _on_term(self) -> None:
        """Canceled: end the trials first. Else somebody kills this program: die of it."""
        _, state = RunHandle(self.connection, self.spec.id).state()
        if state.get("cancel_ns"):
            self._end("the sweep was canceled")
            return
        _die()

    def _deadline_s(self) -> float:
        """In seconds since 1970, over all of the programs that lead this sweep."""
        return self.ledger.told.begun_ns / 1e9 + self.plan.max_duration_s

    def _close(self) -> str:
        told = self.ledger.told
        best = told.best
        self.live.close()
        self.ledger.close()
        if best is not None and best.value is not None:
            print(f"best: {told.metric} {number(best.value)} by trial {best.number}, run {best.id}")
        elif any(trial.status == COMPLETED for trial in told.over):
            print(f"no trial has logged {told.metric}: there is no best one")
        else:
            count = len(told.over)
            return (
                told.end_reason or f"none of {count} trials was Completed, as run {told.over[0].id}"
            )
        return ""


class Signals:
    """SIGTERM as a descriptor that becomes readable, so that waiting ends at once."""

    def __init__(self) -> None:
        self.descriptor, self._writing = os.pipe()
        os.set_blocking(self.descriptor, False)
        os.set_blocking(self._writing, False)
        signal.signal(signal.SIGTERM, lambda *_: os.write(self._writing, b"t"))

    def take(self) -> bool:
        """Has one come since the last look?"""
        try:
            return bool(os.read(self.descriptor, 100))
        except BlockingIOError:
            return False


def _die() -> NoReturn:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGTERM)
    raise SystemExit(128 + signal.SIGTERM)


def _environ(kits: str) -> dict[str, str]:
    """This program's variables without the kit that was put before its modules."""
    environ = dict(os.environ)
    entries = environ.get("PYTHONPATH", "").split(os.pathsep)
    kept = [entry for entry in entries if entry and not entry.startswith(kits + os.sep)]
    environ["PYTHONPATH"] = os.pathsep.join(kept)
    if not kept:
        del environ["PYTHONPATH"]
    return environ
