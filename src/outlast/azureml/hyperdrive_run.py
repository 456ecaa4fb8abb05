"""`azureml.train.hyperdrive.HyperDriveRun`: a sweep, and the best of its runs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Dict, List, Optional

from outlast.azureml.exceptions import ServiceException, translated
from outlast.azureml.hyperdrive_exceptions import HyperDriveNotImplementedException
from outlast.azureml.run import Run, _of_id

if TYPE_CHECKING:
    from outlast.run.trials import Told, Trial
    from outlast.sweeps.asking import Sweep


class HyperDriveRun(Run):
    """A sweep that was submitted. Its runs are its children."""

    RUN_TYPE = "hyperdrive"
    HYPER_DRIVE_RUN_USER_AGENT = "sdk_run_hyperdrive"

    def __init__(
        self, experiment: Any, run_id: str, hyperdrive_config: Any = None, **kwargs: Any
    ) -> None:
        """The sweep of this id."""
        super().__init__(experiment, run_id, **kwargs)
        self._hyperdrive_config = hyperdrive_config

    @property
    def hyperdrive_config(self) -> Any:
        """What it was submitted with by this object; None when it was found by its id."""
        return self._hyperdrive_config

    @property
    def type(self) -> Optional[str]:
        return self.RUN_TYPE

    def get_best_run_by_primary_metric(
        self,
        include_failed: bool = True,
        include_canceled: bool = True,
        include_resume_from_runs: bool = True,
    ) -> Optional[Run]:
        """The run with the best value, of those that are over; None without any.

        `include_resume_from_runs`: of the sweeps that it went on from as well.
        """
        from outlast.run.trials import best_of

        left_out = [] if include_failed else ["Failed"]
        left_out += [] if include_canceled else ["Canceled"]
        with translated():
            sweep = self._sweep()
            told = sweep.told()
            trials = [trial for trial in told.over if trial.status not in left_out]
            if include_resume_from_runs:
                trials += [
                    trial for trial in sweep.earlier_trials() if trial.status not in left_out
                ]
            best = best_of(trials, told.goal)
        return None if best is None else _of_id(self.experiment.workspace, best.id)

    def get_children_sorted_by_primary_metric(
        self, top: int = 0, reverse: bool = False, discard_no_metric: bool = False
    ) -> List[Dict[str, Any]]:
        """A dict for each run, the best first (`reverse`: the worst), without a value last.

        Keys: run_id, hyperparameters (as JSON), best_primary_metric, status. `top`: so many; 0 =
        all.
        """
        told = self._told()
        trials = [trial for _, trial in sorted(told.trials.items())]
        valued = [trial for trial in trials if trial.value is not None]
        is_descending = (told.goal == "maximize") != reverse
        valued.sort(key=lambda trial: trial.value or 0.0, reverse=is_descending)
        rest = [] if discard_no_metric else [trial for trial in trials if trial.value is None]
        rows = [self._row(trial) for trial in (*valued, *rest)]
        return rows[:top] if top > 0 else rows

    def _row(self, trial: Trial) -> Dict[str, Any]:
        return {
            "run_id": trial.id,
            "hyperparameters": json.dumps(dict(trial.parameters)),
            "best_primary_metric": trial.value,
            "status": trial.status or _of_id(self.experiment.workspace, trial.id).get_status(),
        }

    def get_hyperparameters(self) -> Dict[str, str]:
        """The values of each run, as JSON, by its id."""
        trials = self._told().trials.values()
        return {trial.id: json.dumps(dict(trial.parameters)) for trial in trials}

    def get_metrics(self, *args: Any, **kwargs: Any) -> Dict[str, Any]:
        """What each of its runs has logged, by its id."""
        return {run.id: run.get_metrics(*args, **kwargs) for run in self.get_children()}

    def get_diagnostics(self) -> Dict[str, Any]:
        """How it is, why, and what became of each run."""
        told = self._told()
        why = self._handle().why()
        return {
            "run_id": self.id,
            "status": self.get_status(),
            "details": why["headline"],
            "findings": why["findings"],
            "total_runs": told.total,
            "runs": {trial.id: trial.status or "Running" for trial in told.trials.values()},
        }

    def cancel(self) -> None:
        """Stop it with all of its runs; returns at once."""
        with translated():
            self._handle().cancel("canceled by run.cancel()")

    def fail(self, error_details: Any = None, error_code: Optional[str] = None) -> None:
        """Raises HyperDriveNotImplementedException: its runs decide; cancel() stops it."""
        message = "a sweep fails when its runs do; use cancel() to stop it"
        raise HyperDriveNotImplementedException(message)

    def _sweep(self) -> Sweep:
        from outlast.sweeps.asking import Sweep

        return Sweep(self._handle().connection, self.id)

    def _told(self) -> Told:
        with translated():
            return self._sweep().told()

    def _trial(self, run_id: str) -> Trial:
        """The trial whose run has this id."""
        for trial in self._told().trials.values():
            if trial.id == run_id:
                return trial
        raise ServiceException(f"run {run_id} is none of {self.id}")
