"""`azureml.train.hyperdrive.HyperDriveConfig`: what becomes one call of `outlast.sweep`.

The values of a run are appended to its arguments, as `--name value`.
"""

from __future__ import annotations

from enum import Enum
from typing import Any, Dict, List, Mapping, Optional

from outlast.azureml.exceptions import translated
from outlast.azureml.hyperdrive_exceptions import HyperDriveConfigException
from outlast.azureml.hyperdrive_policy import EarlyTerminationPolicy, NoTerminationPolicy
from outlast.azureml.hyperdrive_run import HyperDriveRun
from outlast.azureml.hyperdrive_space import HyperParameterSampling
from outlast.azureml.script_config import ScriptRunConfig


class PrimaryMetricGoal(Enum):
    """Whether the metric is to become great or small."""

    MAXIMIZE = "MAXIMIZE"
    MINIMIZE = "MINIMIZE"

    @staticmethod
    def from_str(goal: str) -> PrimaryMetricGoal:
        """The goal of this name, in any case. Raises HyperDriveConfigException."""
        try:
            return PrimaryMetricGoal[goal.upper()]
        except (KeyError, AttributeError):
            raise HyperDriveConfigException(
                f"primary_metric_goal = {goal!r}: use PrimaryMetricGoal.MAXIMIZE or MINIMIZE"
            ) from None


class HyperDriveConfig:
    """What to try, for `experiment.submit`."""

    def __init__(
        self,
        hyperparameter_sampling: HyperParameterSampling,
        primary_metric_name: str,
        primary_metric_goal: PrimaryMetricGoal,
        max_total_runs: int,
        max_concurrent_runs: Optional[int] = None,
        max_duration_minutes: int = 10080,
        policy: Optional[EarlyTerminationPolicy] = None,
        estimator: Any = None,
        run_config: Optional[ScriptRunConfig] = None,
        resume_from: Any = None,
        resume_child_runs: Any = None,
        pipeline: Any = None,
        debug_flag: Any = None,
        custom_run_id: Optional[str] = None,
    ) -> None:
        """`resume_from`: earlier sweeps whose runs the Bayesian sampling learns from, and that
        count for the best run; `resume_child_runs`: runs whose values are tried first.

        Raises HyperDriveConfigException for wrong types and numbers.
        """
        if not isinstance(hyperparameter_sampling, HyperParameterSampling):
            raise _wrong("hyperparameter_sampling", hyperparameter_sampling, "a sampling")
        if policy is not None and not isinstance(policy, EarlyTerminationPolicy):
            raise _wrong("policy", policy, "a policy, as BanditPolicy(slack_factor=0.1)")
        if isinstance(primary_metric_goal, str):
            primary_metric_goal = PrimaryMetricGoal.from_str(primary_metric_goal)
        if not isinstance(primary_metric_goal, PrimaryMetricGoal):
            raise _wrong("primary_metric_goal", primary_metric_goal, "a PrimaryMetricGoal")
        run_config = estimator if run_config is None else run_config  # an estimator is one
        if not isinstance(run_config, ScriptRunConfig):
            remedy = "a ScriptRunConfig or an estimator; pipelines can't be tried"
            raise _wrong("run_config", run_config, remedy)
        _check_number("max_total_runs", max_total_runs)
        _check_number("max_concurrent_runs", max_concurrent_runs or 1)
        _check_number("max_duration_minutes", max_duration_minutes)
        self._sampling = hyperparameter_sampling
        self._metric = primary_metric_name
        self._goal = primary_metric_goal
        self._max_total_runs = max_total_runs
        self._max_concurrent_runs = max_concurrent_runs or max_total_runs
        self._max_duration_minutes = max_duration_minutes
        self._policy = policy or NoTerminationPolicy()
        self._estimator = estimator
        self._run_config = run_config
        self._pipeline = pipeline
        self._resume_from = _listed(resume_from)
        self._resume_child_runs = _listed(resume_child_runs)
        self._custom_run_id = custom_run_id

    def __repr__(self) -> str:
        name = self._sampling.SAMPLING_NAME
        return f"HyperDriveConfig({self._run_config!r}, {name}, {self._max_total_runs} runs)"

    @property
    def estimator(self) -> Any:
        """What was given as such."""
        return self._estimator

    @property
    def pipeline(self) -> Any:
        """What was given as such: nothing that could be tried."""
        return self._pipeline

    @property
    def run_config(self) -> ScriptRunConfig:
        """What is run with each set of values."""
        return self._run_config

    @property
    def source_directory(self) -> str:
        """The folder of its code."""
        return self._run_config.source_directory

    def _submitted(
        self, experiment: Any, tags: Mapping[str, Optional[str]], *,
        parent: Optional[str] = None, inputs: Optional[Mapping[str, Any]] = None,
        run_id: Optional[str] = None, **kwargs: Any,
    ) -> HyperDriveRun:  # fmt: skip
        """Queue it; experiment.submit is the way in."""
        from outlast.sweeps.asking import sweep

        if kwargs:
            raise TypeError(f"submit() got an unexpected keyword argument {next(iter(kwargs))!r}")
        wanted = self._run_config._wanted(experiment, inputs)
        keys = ("parameters", "distributed")
        trial: Dict[str, Any] = {key: wanted.pop(key) for key in keys if key in wanted}
        with translated():
            handle = sweep(
                self._command(),
                self._sampling._parameter_space,
                metric=self._metric,
                goal=self._goal.name.lower(),
                sampling=self._sampling._native,
                max_trials=self._max_total_runs,
                max_at_once=self._max_concurrent_runs,
                max_duration_s=60.0 * self._max_duration_minutes,
                stopping=self._policy._stopping(),
                first=[_values_of(run) for run in self._resume_child_runs],
                earlier=[run.id for run in self._resume_from],
                tags=tags,
                id=run_id or self._custom_run_id,
                parent=parent,
                trial=trial,
                **wanted,
            )
        return HyperDriveRun(experiment, handle.id, hyperdrive_config=self)

    def _command(self) -> List[str]:
        words = self._run_config._arguments()
        for name in self._sampling._parameter_space:
            words += [name if name.startswith("-") else f"--{name}", "{" + name + "}"]
        return words


class HyperDriveRunConfig(HyperDriveConfig):
    """The older name, for estimators."""

    def __init__(
        self, estimator: Any, hyperparameter_sampling: HyperParameterSampling,
        primary_metric_name: str, primary_metric_goal: PrimaryMetricGoal, max_total_runs: int,
        max_concurrent_runs: Optional[int] = None, max_duration_minutes: int = 10080,
        policy: Optional[EarlyTerminationPolicy] = None,
    ) -> None:  # fmt: skip
        """A ScriptRunConfig is taken as the estimator."""
        super().__init__(
            hyperparameter_sampling, primary_metric_name, primary_metric_goal, max_total_runs,
            max_concurrent_runs, max_duration_minutes, policy, run_config=estimator,
        )  # fmt: skip


def _values_of(run: Any) -> Dict[str, Any]:
    parent = run.parent
    if not isinstance(parent, HyperDriveRun):
        raise HyperDriveConfigException(f"resume_child_runs: run {run.id} is of no sweep")
    return dict(parent._trial(run.id).parameters)


def _listed(runs: Any) -> List[Any]:
    return [] if runs is None else list(runs) if isinstance(runs, (list, tuple)) else [runs]


def _wrong(name: str, value: Any, remedy: str) -> HyperDriveConfigException:
    return HyperDriveConfigException(f"{name} = {value!r}: give {remedy}")


def _check_number(name: str, value: Any) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise _wrong(name, value, "a whole number, 1 or more")
