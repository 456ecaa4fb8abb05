"""Where values come from: the space of each parameter, and how the next trial is chosen in it.

A space is a list, `[kind, arguments]`, so that it is JSON as it stands. What trial number N gets
depends on the plan's seed, on N and, for Bayesian sampling, on the trials before it; nothing is
kept in memory between two trials.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from outlast.errors import Invalid
from outlast.run.trials import Trial

Space = list[Any]  # [kind, arguments]

GRID = "grid"
RANDOM = "random"
BAYESIAN = "bayesian"
SAMPLINGS = (GRID, RANDOM, BAYESIAN)
# What each sampling can work on.
_GRID_KINDS = ("choice", "randint")
_BAYESIAN_KINDS = ("choice", "randint", "uniform", "quniform", "loguniform")


def choice(*options: Any) -> Space:
    """One of these; given a single list or range, one of its items."""
    if len(options) == 1 and isinstance(options[0], (list, tuple, range)):
        options = tuple(options[0])
    return ["choice", [list(options)]]


def randint(upper: int) -> Space:
    """A whole number from 0 to `upper` - 1."""
    return ["randint", [upper]]


def uniform(low: float, high: float) -> Space:
    """Any number between, each as likely."""
    return ["uniform", [low, high]]


def quniform(low: float, high: float, q: float) -> Space:
    """As uniform, rounded to multiples of `q`."""
    return ["quniform", [low, high, q]]


def loguniform(low: float, high: float) -> Space:
    """exp(uniform(low, high)): each order of magnitude as likely. -7, -2 is 0.0009 to 0.14."""
    return ["loguniform", [low, high]]


def qloguniform(low: float, high: float, q: float) -> Space:
    """As loguniform, rounded to multiples of `q`."""
    return ["qloguniform", [low, high, q]]


def normal(mean: float, sigma: float) -> Space:
    """Normally distributed."""
    return ["normal", [mean, sigma]]


def qnormal(mean: float, sigma: float, q: float) -> Space:
    """As normal, rounded to multiples of `q`."""
    return ["qnormal", [mean, sigma, q]]


def lognormal(mean: float, sigma: float) -> Space:
    """exp(normal(mean, sigma))."""
    return ["lognormal", [mean, sigma]]


def qlognormal(mean: float, sigma: float, q: float) -> Space:
    """As lognormal, rounded to multiples of `q`."""
    return ["qlognormal", [mean, sigma, q]]


_ARGUMENTS = {
    "choice": 1, "randint": 1, "uniform": 2, "quniform": 3, "loguniform": 2, "qloguniform": 3,
    "normal": 2, "qnormal": 3, "lognormal": 2, "qlognormal": 3,
}  # fmt: skip


def checked(field: str, spaces: Any, sampling: str) -> dict[str, Space]:
    """The space of each parameter. Raises Invalid, naming the parameter."""
    if not isinstance(spaces, Mapping) or not spaces:
        raise Invalid.field(field, spaces, "give at least one parameter, as {'lr': uniform(0, 1)}")
    found = {str(name): _space(f"{field}.{name}", space) for name, space in spaces.items()}
    for name, (kind, _) in found.items():
        fit = {GRID: _GRID_KINDS, BAYESIAN: _BAYESIAN_KINDS}.get(sampling, tuple(_ARGUMENTS))
        if kind not in fit:
            remedy = f"{sampling} sampling takes {', '.join(fit)}"
            raise Invalid.field(f"{field}.{name}", kind, remedy)
    return found


def _space(field: str, space: Any) -> Space:
    if isinstance(space, (str, bytes)) or not isinstance(space, Sequence) or len(space) != 2:
        raise Invalid.field(field, space, "give choice(...), uniform(low, high) or the like")
    kind, arguments = space
    if kind not in _ARGUMENTS or not isinstance(arguments, Sequence):
        raise Invalid.field(field, space, f"use one of: {', '.join(_ARGUMENTS)}")
    if len(arguments) != _ARGUMENTS[kind]:
        raise Invalid.field(field, space, f"{kind} takes {_ARGUMENTS[kind]} arguments")
    if kind == "choice":
        options = arguments[0]
        if isinstance(options, str) or not isinstance(options, Sequence) or not options:
            raise Invalid.field(field, options, "give at least one option")
        return [kind, [list(options)]]
    for number in arguments:
        is_number = isinstance(number, (int, float)) and not isinstance(number, bool)
        if not is_number or not math.isfinite(number):
            raise Invalid.field(field, number, "give a finite number")
    _check_order(field, kind, arguments)
    return [kind, list(arguments)]


def _check_order(field: str, kind: str, arguments: Sequence[float]) -> None:
    if kind == "randint" and (arguments[0] < 1 or int(arguments[0]) != arguments[0]):
        raise Invalid.field(field, arguments[0], "give a whole number of at least 1")
    if kind.endswith("uniform") and arguments[0] >= arguments[1]:
        raise Invalid.field(field, arguments[:2], "give the lower limit first")
    if kind.endswith("normal") and arguments[1] <= 0:
        raise Invalid.field(field, arguments[1], "sigma is above 0")
    if kind.startswith("q") and arguments[2] <= 0:
        raise Invalid.field(field, arguments[2], "q is above 0")


def size(spaces: Mapping[str, Space]) -> int:
    """How many combinations a grid has."""
    return math.prod(len(_options(space)) for space in spaces.values())


def propose(
    spaces: Mapping[str, Space], sampling: str, number: int, *, seed: int,
    trials: Sequence[Trial], goal: str,
) -> dict[str, Any]:  # fmt: skip
    """The values of trial `number` (from 0; of a grid, below its size).

    `trials` are those before it. Raises Invalid when Bayesian sampling lacks its library.
    """
    if sampling == GRID:
        return _grid_point(spaces, number)
    if sampling == RANDOM:
        rng = random.Random(f"{seed}/{number}")
        return {name: _draw(space, rng) for name, space in spaces.items()}
    from outlast.sweeps import bayesian

    return bayesian.propose(spaces, number, seed=seed, trials=trials, goal=goal)


def _options(space: Space) -> Sequence[Any]:
    kind, arguments = space
    options: Sequence[Any] = arguments[0] if kind == "choice" else range(int(arguments[0]))
    return options


def _grid_point(spaces: Mapping[str, Space], number: int) -> dict[str, Any]:
    """The last parameter changes first."""
    found: dict[str, Any] = {}
    for name, space in reversed(list(spaces.items())):
        options = _options(space)
        number, index = divmod(number, len(options))
        found[name] = options[index]
    return {name: found[name] for name in spaces}


def _draw(space: Space, rng: random.Random) -> Any:
    kind, arguments = space
    if kind in ("choice", "randint"):
        options = _options(space)
        return options[rng.randrange(len(options))]
    base = kind.removeprefix("q")
    value = _DRAWS[base](rng, arguments[0], arguments[1])
    return rounded(value, arguments[2]) if kind.startswith("q") else value


_DRAWS: dict[str, Callable[[random.Random, float, float], float]] = {
    "uniform": lambda rng, low, high: rng.uniform(low, high),
    "loguniform": lambda rng, low, high: math.exp(rng.uniform(low, high)),
    "normal": lambda rng, mean, sigma: rng.gauss(mean, sigma),
    "lognormal": lambda rng, mean, sigma: math.exp(rng.gauss(mean, sigma)),
}


def rounded(value: float, q: float) -> float:
    """The nearest multiple of q; a whole number when q is one."""
    return round(value / q) * q
