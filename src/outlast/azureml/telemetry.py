"""`azureml.telemetry`: Outlast sends nothing to anybody, whatever is asked for."""

from __future__ import annotations


def set_diagnostics_collection(send_diagnostics: bool = True, verbosity: object = None) -> None:
    """Accepted: nothing is sent either way."""
