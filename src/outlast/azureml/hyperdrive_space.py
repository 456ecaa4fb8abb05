"""`azureml.train.hyperdrive`: spaces of parameters, and how values are chosen in them."""

from __future__ import annotations

from typing import Any, Dict, List, Mapping

from outlast.azureml.hyperdrive_exceptions import HyperDriveConfigException

Space = List[Any]


def choice(*options: Any) -> Space:
    """One of these; given a single list or range, one of its items."""
    if len(options) == 1 and isinstance(options[0], (list, tuple, range)):
        options = tuple(options[0])
    if not options:
        raise HyperDriveConfigException("choice: give at least one option")
    return ["choice", [list(options)]]


def randint(upper: int) -> Space:
    """A whole number from 0 to `upper` - 1."""
    return ["randint", [upper]]


def uniform(min_value: float, max_value: float) -> Space:
    """Any number between."""
    return ["uniform", [min_value, max_value]]


def quniform(min_value: float, max_value: float, q: float) -> Space:
    """As uniform, rounded to multiples of `q`."""
    return ["quniform", [min_value, max_value, q]]


def loguniform(min_value: float, max_value: float) -> Space:
    """exp(uniform(min_value, max_value))."""
    return ["loguniform", [min_value, max_value]]


def qloguniform(min_value: float, max_value: float, q: float) -> Space:
    """As loguniform, rounded to multiples of `q`."""
    return ["qloguniform", [min_value, max_value, q]]


def normal(mu: float, sigma: float) -> Space:
    """Normally distributed."""
    return ["normal", [mu, sigma]]


def qnormal(mu: float, sigma: float, q: float) -> Space:
    """As normal, rounded to multiples of `q`."""
    return ["qnormal", [mu, sigma, q]]


def lognormal(mu: float, sigma: float) -> Space:
    """exp(normal(mu, sigma))."""
    return ["lognormal", [mu, sigma]]


def qlognormal(mu: float, sigma: float, q: float) -> Space:
    """As lognormal, rounded to multiples of `q`."""
    return ["qlognormal", [mu, sigma, q]]


class HyperParameterSampling:
    """What every sampling is."""

    SAMPLING_NAME = ""
    _native = ""

    def __init__(self, parameter_space: Any, properties: Any = None) -> None:
        """Raises HyperDriveConfigException for what is no dict of spaces."""
        if not isinstance(parameter_space, Mapping) or not parameter_space:
            raise HyperDriveConfigException(
                f"parameter_space = {parameter_space!r}: give a dict, as {{'--lr': uniform(0, 1)}}"
            )
        self._parameter_space: Dict[str, Space] = dict(parameter_space)
        self._properties = properties

    def to_json(self) -> Dict[str, Any]:
        """As plain JSON values."""
        found = {"name": self.SAMPLING_NAME, "parameter_space": self._parameter_space}
        return {**found, "properties": self._properties} if self._properties else found


class RandomParameterSampling(HyperParameterSampling):
    """Each run draws by itself."""

    SAMPLING_NAME = "RANDOM"
    _native = "random"


class GridParameterSampling(HyperParameterSampling):
    """Every combination of choices."""

    SAMPLING_NAME = "GRID"
    _native = "grid"


class BayesianParameterSampling(HyperParameterSampling):
    """From what the runs before have shown."""

    SAMPLING_NAME = "BayesianOptimization"
    _native = "bayesian"
