"""What a sweep consists of, checked; it stands in the sweep's spec as `parameters.sweep`.

The command of the trials isn't in it: that is what follows `--` in the sweep's own command, so that
secrets in it are starred out like everyone's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from outlast.errors import Invalid
from outlast.ids import check_name
from outlast.run.trials import MAXIMIZE, MINIMIZE
from outlast.sweeps import bayesian, search, stopping
from outlast.sweeps.search import Space
from outlast.sweeps.stopping import Policy

PARAMETER = "sweep"  # where it stands in the spec's parameters
TRIAL_ID = "{run-id}"  # in where a trial delivers to: filled in when its run is asked for
MAX_TRIALS = 10_000
MAX_DURATION_S = 7 * 24 * 3600.0
MAX_AT_ONCE = 500  # what one connection follows is bounded


class Plan(NamedTuple):
    """What is tried, how values are chosen, and when it ends."""

    spaces: Mapping[str, Space]
    metric: str
    goal: str
    max_trials: int
    max_at_once: int
    max_duration_s: float
    sampling: str
    seed: int
    stopping: Policy
    first: Sequence[Mapping[str, Any]]  # values that are tried before any are chosen
    earlier: Sequence[str]  # sweeps that Bayesian sampling learns from
    trial: Mapping[str, Any]  # fields of the trials' specs that the sweep's own spec has not

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; `checked` reads it back to an equal plan."""
        return {**self._asdict(), "stopping": self.stopping._asdict()}


def checked(asked: Mapping[str, Any]) -> Plan:
    """The plan, with each field checked. Raises Invalid, naming the field."""
    values = dict(asked)
    if values.get("sampling") not in search.SAMPLINGS:
        remedy = f"use one of: {', '.join(search.SAMPLINGS)}"
        raise Invalid.field("sampling", values.get("sampling"), remedy)
    if values.get("goal") not in (MAXIMIZE, MINIMIZE):
        raise Invalid.field("goal", values.get("goal"), f"use {MAXIMIZE} or {MINIMIZE}")
    values["spaces"] = search.checked("parameters", values["spaces"], values["sampling"])
    values["stopping"] = stopping.checked(values["stopping"])
    for index, given in enumerate(values["first"]):
        if set(given) != set(values["spaces"]):
            remedy = f"give a value for each of {', '.join(values['spaces'])}"
            raise Invalid.field(f"first[{index}]", dict(given), remedy)
    check_name("metric", values["metric"])
    if values["sampling"] == search.GRID:
        size = search.size(values["spaces"])
        values["max_trials"] = min(values["max_trials"] or size, size)
    values["max_at_once"] = min(values["max_at_once"] or values["max_trials"], MAX_AT_ONCE)
    _check_limit("max_trials", values["max_trials"], MAX_TRIALS)
    _check_limit("max_at_once", values["max_at_once"], MAX_TRIALS)
    duration_s = values["max_duration_s"]
    if not isinstance(duration_s, (int, float)) or not 0 < duration_s < 1e9:
        raise Invalid.field("max_duration_s", duration_s, "give seconds above 0")
    if values["sampling"] == search.BAYESIAN:
        bayesian.check_installed()
    return Plan(**values)


def _check_limit(field: str, value: Any, most: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
        raise Invalid.field(field, value, f"give a whole number from 1 to {most}")


def filled(command: Sequence[str], parameters: Mapping[str, Any]) -> list[str]:
    """The words of a trial's command: `{name}` stands for the value of the parameter."""
    words = []
    for word in command:
        for name, value in parameters.items():
            word = word.replace("{" + name + "}", shown(value))
        words.append(word)
    return words


def delivered(deliveries: Mapping[str, Any], run_id: str) -> dict[str, Any]:
    """Where this trial delivers to."""
    return {
        name: {**delivery, "target": delivery["target"].replace(TRIAL_ID, run_id)}
        for name, delivery in deliveries.items()
    }


def check_command(command: Sequence[str], spaces: Mapping[str, Space]) -> None:
    """Raises Invalid when a parameter would never reach the command."""
    for name in spaces:
        if not any("{" + name + "}" in word for word in command):
            remedy = f"say where the value goes, as --{name.lstrip('-')} {{{name}}}"
            raise Invalid.field("command", " ".join(command), remedy)


def shown(value: Any) -> str:
    """A value as a word of a command: lists and objects as JSON, all else as Python prints it."""
    if isinstance(value, (list, tuple, dict)):
        import json

        return json.dumps(value)
    return str(value)
