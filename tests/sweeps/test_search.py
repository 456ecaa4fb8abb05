"""Where the values of trials come from."""

from __future__ import annotations

import math
from typing import Any

import pytest

from outlast.errors import Invalid
from outlast.run.trials import Trial
from outlast.sweeps import search
from outlast.sweeps.search import (
    choice,
    lognormal,
    loguniform,
    normal,
    qlognormal,
    qloguniform,
    qnormal,
    quniform,
    randint,
    uniform,
)


def drawn(space: search.Space, count: int = 200, *, sampling: str = "random") -> list[Any]:
    spaces = search.checked("parameters", {"x": space}, sampling)
    return [
        search.propose(spaces, sampling, n, seed=7, trials=(), goal="minimize")["x"]
        for n in range(count)
    ]


def test_random_values_depend_on_seed_and_number_alone() -> None:
    assert drawn(uniform(0, 1)) == drawn(uniform(0, 1))
    assert len(set(drawn(uniform(0, 1)))) == 200


@pytest.mark.parametrize(
    ("space", "low", "high"),
    [
        (uniform(2, 3), 2, 3),
        (loguniform(-6, -1), math.exp(-6), math.exp(-1)),
        (randint(5), 0, 4),
        (choice(range(1, 4)), 1, 3),
        (lognormal(0, 1), 0, 100),
    ],
)
def test_values_lie_in_their_space(space: search.Space, low: float, high: float) -> None:
    values = drawn(space)
    assert low <= min(values) <= max(values) <= high
    assert max(values) - min(values) > (high - low) / 20


@pytest.mark.parametrize(
    "space", [quniform(0, 100, 5), qloguniform(0, 5, 5), qnormal(50, 20, 5), qlognormal(3, 1, 5)]
)
def test_rounded_values_are_multiples_of_q(space: search.Space) -> None:
    values = drawn(space)
    assert all(isinstance(value, int) and value % 5 == 0 for value in values)
    assert len(set(values)) > 3


def test_normal_values_scatter_around_their_mean() -> None:
    values = drawn(normal(10, 2), 500)
    assert abs(sum(values) / 500 - 10) < 0.5
    assert 1.5 < (sum((v - 10) ** 2 for v in values) / 500) ** 0.5 < 2.5


def test_a_grid_is_every_combination_once() -> None:
    spaces = search.checked("parameters", {"a": choice("x", "y"), "b": randint(3)}, "grid")
    assert search.size(spaces) == 6
    points = [
        tuple(search.propose(spaces, "grid", n, seed=0, trials=(), goal="minimize").items())
        for n in range(6)
    ]
    assert points[0] == (("a", "x"), ("b", 0))
    assert points[1] == (("a", "x"), ("b", 1))
    assert len(set(points)) == 6


@pytest.mark.parametrize(
    ("space", "sampling", "said"),
    [
        (uniform(0, 1), "grid", "grid sampling takes choice, randint"),
        (normal(0, 1), "bayesian", "bayesian sampling takes choice"),
        (uniform(1, 0), "random", "the lower limit first"),
        (quniform(0, 1, 0), "random", "q is above 0"),
        (normal(0, 0), "random", "sigma is above 0"),
        (randint(0), "random", "at least 1"),
        (choice([]), "random", "at least one option"),
        (["between", [0, 1]], "random", "use one of: choice"),
        (["uniform", [0]], "random", "takes 2 arguments"),
        ("uniform", "random", "give choice"),
        (uniform(0, math.inf), "random", "finite"),
    ],
)
def test_a_wrong_space_is_named(space: Any, sampling: str, said: str) -> None:
    with pytest.raises(Invalid, match=said) as caught:
        search.checked("parameters", {"lr": space}, sampling)
    assert "parameters.lr" in caught.value.message


def test_bayesian_sampling_finds_the_valley() -> None:
    pytest.importorskip("optuna")
    spaces = search.checked(
        "parameters",
        {"x": uniform(-10, 10), "n": quniform(0, 50, 10), "kind": choice("a", [1, 2])},
        "bayesian",
    )
    trials: list[Trial] = []
    for number in range(40):
        found = search.propose(spaces, "bayesian", number, seed=3, trials=trials, goal="minimize")
        assert found["n"] in (0, 10, 20, 30, 40, 50)
        assert found["kind"] in ("a", [1, 2])
        value = (found["x"] - 2) ** 2
        # One is still at work, one has failed: both are told to the sampler as what they are.
        status, known = ("", None) if number == 3 else ("Completed", value)
        status, known = ("Failed", None) if number == 4 else (status, known)
        trials.append(Trial(number, f"t{number}", found, "", status, known))
    far = [abs(trial.parameters["x"] - 2) for trial in trials]
    assert sum(far[25:]) / 15 < 0.6 * sum(far[:10]) / 10  # the first ten are random
