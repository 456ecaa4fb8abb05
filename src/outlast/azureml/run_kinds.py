"""Which class of `azureml` a run is shown as."""

from __future__ import annotations

from typing import Any, Mapping

from outlast.azureml.names import load
from outlast.azureml.run import Run, ScriptRun


def shown(experiment: Any, row: Mapping[str, Any]) -> Run:
    """The run of this row of the server's, by its kind."""
    if row["kind"] == "sweep":  # by name: it is a Run itself, and few need it
        found: Run = load("azureml.train.hyperdrive", "HyperDriveRun")(experiment, row["id"])
        return found
    return (ScriptRun if row["kind"] == "command" else Run)(experiment, row["id"])
