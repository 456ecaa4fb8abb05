"""What public scripts use is there, with the parameters that they name.

The names are those of a count over 389 public notebooks and scripts for SDK v1, but for pipelines:
tests/vectors/azureml/used.tsv has class, member, parameters given by name, and how often.
"""

from __future__ import annotations

import inspect
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from outlast.azureml import hook

COUNTS = Path(__file__).parent.parent / "vectors" / "azureml" / "used.tsv"


class Used(NamedTuple):
    """A class or function (no member), or a member of a class."""

    served: str
    member: str
    parameters: str
    uses: int


def _counted() -> list[Used]:
    lines = [line.split("\t") for line in COUNTS.read_text().splitlines()]
    return [Used(served, name, words, int(uses)) for served, name, words, uses in lines]


# What the workspace has no use for, or can't have here, by its name.
MISSING = {"Run.restore_snapshot"}
CASES = [
    used for used in _counted() if f"{used.served.rpartition('.')[2]}.{used.member}" not in MISSING
]

IDIOMS = [
    "import azureml.core; print(azureml.core.VERSION)",
    "from azureml.core import Workspace, Experiment, Environment, ScriptRunConfig, Run, Model",
    "from azureml.core.workspace import Workspace",
    "from azureml.core.experiment import Experiment",
    "from azureml.core.run import Run, _OfflineRun",
    "from azureml.core.model import Model",
    "from azureml.core.compute import ComputeTarget",
    "from azureml.core.compute_target import ComputeTargetException",
    "from azureml.core.runconfig import RunConfiguration, CondaDependencies, DEFAULT_CPU_IMAGE",
    "from azureml.core.runconfig import MpiConfiguration, PyTorchConfiguration",
    "from azureml.core.script_run_config import ScriptRunConfig",
    "from azureml.core.conda_dependencies import CondaDependencies",
    "from azureml.core.environment import Environment, CondaDependencies",
    "from azureml.core.authentication import InteractiveLoginAuthentication",
    "from azureml.core.authentication import ServicePrincipalAuthentication",
    "from azureml.core.webservice import AciWebservice, AksWebservice, Webservice",
    "from azureml.core.model import InferenceConfig",
    "from azureml.exceptions import ComputeTargetException, UserErrorException",
    "from azureml._restclient.exceptions import ServiceException",
    "from azureml.telemetry import set_diagnostics_collection",
    "from azureml.core import *",
]


@pytest.mark.parametrize("statement", IDIOMS)
def test_an_import_that_scripts_write_works(statement: str) -> None:
    import_module("outlast.azureml").hook.install()
    exec(statement, {})


def has_member(kind: Any, name: str) -> bool:
    """On the class, or given to each object of it when it is made."""
    if hasattr(kind, name):
        return True
    made = "".join(inspect.getsource(one) for one in kind.__mro__ if one is not object)
    return f"self.{name} " in made or f"self.{name}:" in made


@pytest.mark.parametrize("used", CASES, ids=lambda used: f"{used.served}.{used.member}".strip("."))
def test_what_scripts_use_is_there(used: Used) -> None:
    hook.install()
    module, _, name = used.served.rpartition(".")
    found = getattr(import_module(module), name)
    if used.member:
        assert has_member(found, used.member)
        found = getattr(found, used.member, None)
    if used.parameters:
        taken = inspect.signature(inspect.unwrap(found)).parameters
        swallows = any(one.kind is one.VAR_KEYWORD for one in taken.values())
        assert swallows or set(used.parameters.split()) <= set(taken)


def test_nearly_everything_is_there_by_weight() -> None:
    counted = _counted()
    missing = sum(used.uses for used in counted if used not in CASES)
    assert missing / sum(used.uses for used in counted) < 0.03
