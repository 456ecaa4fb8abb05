"""Bayesian sampling by Optuna's TPE: the next values from what the trials before have shown.

The study is made anew from the sweep's journal for each trial: what is running counts as taken, so
that trials at once don't try the same. Needs the extra `outlast[sweeps]`.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from outlast.errors import Invalid
from outlast.run.trials import MAXIMIZE, Trial

REMEDY = "Bayesian sampling needs Optuna: pip install 'outlast[sweeps]', or use sampling='random'"


def check_installed() -> None:
    """Raises Invalid when Optuna isn't installed; imports nothing."""
    from importlib.util import find_spec

    if find_spec("optuna") is None:
        raise Invalid.field("sampling", "bayesian", REMEDY)


def propose(
    spaces: Mapping[str, Any], number: int, *, seed: int, trials: Sequence[Trial], goal: str
) -> dict[str, Any]:
    """The values of trial `number`. Raises Invalid without Optuna."""
    try:
        import optuna
    except ModuleNotFoundError:
        raise Invalid.field("sampling", "bayesian", REMEDY) from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    distributions = {name: _distribution(optuna, space) for name, space in spaces.items()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        sampler = optuna.samplers.TPESampler(seed=seed + number, constant_liar=True)
    study = optuna.create_study(
        sampler=sampler, direction="maximize" if goal == MAXIMIZE else "minimize"
    )
    for trial in trials:
        study.add_trial(_told(optuna, trial, spaces, distributions))
    asked = study.ask(fixed_distributions=distributions)
    return {name: _value(spaces[name], asked.params[name]) for name in spaces}


def _distribution(optuna: Any, space: Any) -> Any:
    kind, arguments = space
    of = optuna.distributions
    if kind == "choice":
        # By place: options may be lists, which Optuna doesn't take.
        return of.CategoricalDistribution(tuple(range(len(arguments[0]))))
    if kind == "randint":
        return of.IntDistribution(0, int(arguments[0]) - 1)
    if kind == "loguniform":
        return of.FloatDistribution(math.exp(arguments[0]), math.exp(arguments[1]), log=True)
    if kind == "quniform":
        low, high, q = arguments
        # Whole multiples between the limits; Optuna wants the upper one to be one.
        steps = max(0, math.floor(high / q) - math.ceil(low / q))
        return of.IntDistribution(math.ceil(low / q), math.ceil(low / q) + steps)
    return of.FloatDistribution(*arguments)


def _value(space: Any, found: Any) -> Any:
    kind, arguments = space
    if kind == "choice":
        return arguments[0][found]
    return found * arguments[2] if kind == "quniform" else found


def _told(
    optuna: Any, trial: Trial, spaces: Mapping[str, Any], distributions: Mapping[str, Any]
) -> Any:
    states = optuna.trial.TrialState
    state = states.RUNNING
    if trial.status:
        state = states.COMPLETE if trial.value is not None else states.FAIL
    return optuna.trial.create_trial(
        params={name: _inner(spaces[name], trial.parameters[name]) for name in spaces},
        distributions=dict(distributions),
        value=trial.value,
        state=state,
    )


def _inner(space: Any, value: Any) -> Any:
    kind, arguments = space
    if kind == "choice":
        return arguments[0].index(value)
    return round(value / arguments[2]) if kind == "quniform" else value
