"""Ask for a sweep, and see how it goes: `outlast.sweep(...)` and the handle that it returns."""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from outlast.errors import Conflict
from outlast.ids import check_run_id, new_run_id
from outlast.run import redact
from outlast.run.folder import TRIALS
from outlast.run.spec import Output
from outlast.run.trials import MINIMIZE, Told, Trial, taken
from outlast.sdk import caller
from outlast.sdk.environment import Asked, asked_for, shown
from outlast.sdk.handle import RunHandle
from outlast.sdk.submit import checked_folder, declared, git_facts, post, user, with_data, words_of
from outlast.sdk.workspace import Workspace
from outlast.sweeps import plan as plans
from outlast.sweeps import search
from outlast.sweeps.search import Space
from outlast.sweeps.stopping import Policy
from outlast.transport.connection import Connection

# Its program may be killed so often in a row; each next one goes on where the journal ends.
MAX_ATTEMPTS = 20
RETRY_DELAY_S = 0.2
RETRY_DELAY_MAX_S = 30.0
# To cancel every trial, and to see each of them end.
STOP_GRACE_S = 60.0


def sweep(
    command: str | Sequence[Any], parameters: Mapping[str, Space], *,
    metric: str, goal: str = MINIMIZE, sampling: str = search.RANDOM,
    max_trials: int | None = None, max_at_once: int | None = None,
    max_duration_s: float = plans.MAX_DURATION_S,
    stopping: Policy | Mapping[str, Any] | None = None, seed: int | None = None,
    first: Sequence[Mapping[str, Any]] = (), earlier: Sequence[str] = (),
    experiment: str = "default", name: str = "", folder: str | Path = ".", in_place: bool = False,
    inputs: Mapping[str, Any] | None = None, deliveries: Mapping[str, Any] | None = None,
    outputs: Sequence[str | Output | Mapping[str, Any]] = (),
    variables: Mapping[str, str] | None = None, environment: Asked = None,
    resources: Mapping[str, Any] | None = None, target: str = "",
    distributed: Mapping[str, Any] | None = None, limits: Mapping[str, Any] | None = None,
    policy: Mapping[str, Any] | None = None, tags: Mapping[str, str | None] | None = None,
    properties: Mapping[str, str] | None = None, trial: Mapping[str, Any] | None = None,
    parent: str | None = None, id: str | None = None, workspace: Workspace | None = None,
) -> Sweep:  # fmt: skip
    """Try many values of a command's parameters, and return at once; the sweep goes on by itself.

    In `command`, `{name}` stands for the value of the parameter `name`, whose space is
    `outlast.sweeps.uniform(0, 1)`, `choice(16, 32)` or the like. Each trial is a run that logs
    `metric`; its best value, smallest or with goal="maximize" greatest, is what counts. `sampling`
    is "random", "grid" (every combination) or "bayesian" (needs outlast[sweeps]). At most
    `max_trials` (20; of a grid, all) are tried, `max_at_once` of them together, for
    `max_duration_s`. `stopping` ends bad trials early: `outlast.sweeps.bandit(slack_factor=0.1)`.
    `seed` makes random values repeatable; `first` are values to begin with; Bayesian sampling also
    learns from the sweeps `earlier` (ids), over the same parameters. The rest is as of
    `outlast.submit`, for each trial; `trial` holds further fields of their specs. All trials work
    on one snapshot of `folder`.
    Raises Invalid (names the field; nothing was queued), Conflict, Unreachable as submit.
    """
    workspace = workspace or Workspace()
    folder = checked_folder(folder, workspace)
    words = words_of(command, "python" if environment else sys.executable)
    wanted = asked_for(environment, workspace)
    data = with_data(plans.TRIAL_ID, inputs or {}, deliveries or {})
    plan = plans.checked({
        "spaces": parameters, "metric": metric, "goal": goal, "sampling": sampling,
        "max_trials": max_trials or (0 if sampling == search.GRID else 20),
        "max_at_once": max_at_once or 0, "max_duration_s": max_duration_s, "stopping": stopping,
        "seed": random.randrange(1 << 31) if seed is None else int(seed),
        "first": [dict(values) for values in first], "earlier": list(earlier),
        "trial": {
            **data, "outputs": [*(declared(output) for output in outputs), *data["outputs"]],
            "resources": dict(resources or {}), "target": target,
            "distributed": dict(distributed or {}), "limits": dict(limits or {}),
            "policy": dict(policy or {}), "environment": shown(wanted), **(trial or {}),
        },
    })  # fmt: skip
    plans.check_command(words, plan.spaces)
    real = [sys.executable, "-P", "-m", "outlast.sweeps", "--", *words]
    spec = {
        **_own(plan, id or new_run_id()), "experiment": experiment, "name": name,
        "command": redact.command(real),
        "source": {"kind": "in_place" if in_place else "snapshot", "folder": str(folder)},
        "variables": redact.variables(variables or {}), "tags": dict(tags or {}),
        "properties": dict(properties or {}), "created_by": user(), "git": git_facts(folder),
        "parent": parent or os.environ.get("OUTLAST_RUN_ID") or None,
    }  # fmt: skip
    told = {**os.environ, **wanted.get("variables", {}), **(variables or {})}
    launch = {
        "command": real, "environ": caller.environ(told), "folder": str(folder),
        "umask": caller.umask(),
    }  # fmt: skip
    row = post(workspace.connection, spec, launch)
    return Sweep(workspace.connection, row.id)


def _own(plan: plans.Plan, run_id: str) -> dict[str, Any]:
    """What of the sweep's own spec doesn't come from the caller."""
    check_run_id(f"{run_id}_{plan.max_trials}")
    return {
        "id": run_id,
        "kind": "sweep",
        "parameters": {plans.PARAMETER: plan.to_dict()},
        "resources": {"cpus": 0},  # its trials wait for slots; it mustn't wait with them
        "limits": {
            "max_run_duration_s": plan.max_duration_s + 24 * 3600,  # the plan's own comes first
            "stop_grace_s": STOP_GRACE_S,
        },
        "policy": {
            "max_attempts": MAX_ATTEMPTS,
            "retry_delay_s": RETRY_DELAY_S,
            "retry_delay_max_s": RETRY_DELAY_MAX_S,
        },
    }


def get(ref: str, *, workspace: Workspace | None = None) -> Sweep:
    """A sweep by id, unique prefix or name, or "@last": the newest sweep, not a trial of it.

    Raises NotFound; Conflict for a run that is none.
    """
    workspace = workspace or Workspace()
    newest = next(workspace.rows(kind="sweep", limit=1), None) if ref == "@last" else None
    handle = workspace.run(newest["id"] if newest else ref)
    if handle.fetch()["kind"] != "sweep":
        raise Conflict(f"run {handle.id} is no sweep", hint="outlast ls --kind sweep")
    return Sweep(handle.connection, handle.id)


class Sweep(RunHandle):
    """A sweep from outside: a run with trials below it."""

    def __init__(self, connection: Connection, id: str) -> None:
        super().__init__(connection, id)

    def __repr__(self) -> str:
        return f"Sweep({self.id!r})"

    @property
    def plan(self) -> plans.Plan:
        """What it tries, and how."""
        return plans.checked(self.fetch()["spec"]["parameters"][plans.PARAMETER])

    def told(self) -> Told:
        """What its journal says by now: every trial with its values and its end."""
        import json

        told = Told({})
        data = b"".join(piece.data for piece in self.output_so_far(journal=TRIALS))
        for line in data.splitlines():
            told = taken(told, json.loads(line))
        return told

    def earlier_trials(self) -> list[Trial]:
        """The trials that are over of the sweeps that it learnt from."""
        return [t for ref in self.plan.earlier for t in Sweep(self.connection, ref).told().over]

    def trials(self) -> list[Trial]:
        """Every trial so far, in the order in which they began."""
        return [trial for _, trial in sorted(self.told().trials.items())]

    def best(self) -> Trial | None:
        """The trial with the best value of those that are over; None without any."""
        return self.told().best

    def best_run(self) -> RunHandle | None:
        """The run of the best trial."""
        best = self.best()
        return None if best is None else RunHandle(self.connection, best.id)

    def runs(self) -> Iterator[RunHandle]:
        """The runs of its trials, in the order in which they began."""
        for trial in self.trials():
            yield RunHandle(self.connection, trial.id)
