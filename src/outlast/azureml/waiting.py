"""`Run.wait_for_completion`: the true end of a run, with what it prints meanwhile."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from outlast.azureml.exceptions import ExperimentExecutionException, translated
from outlast.azureml.files import STD_LOG

if TYPE_CHECKING:
    from outlast.sdk.handle import RunHandle


def wait(handle: RunHandle, *, url: str, show_output: bool, is_own: bool) -> str:
    """Wait for the end; returns the status. `url` is the run's page.

    Ctrl-C while output is shown raises ExperimentExecutionException; the run goes on.
    """
    if is_own:
        print(f"run {handle.id} is this process's own: it ends by its complete()", file=sys.stderr)
    if show_output:
        print(f"RunId: {handle.id}\nWeb View: {url}\n\nStreaming {STD_LOG}\n{'=' * 20}\n")
    try:
        with translated():
            status: str = handle.wait(show_output=show_output, raise_on_error=False)
    except KeyboardInterrupt:
        if not show_output:
            raise
        raise ExperimentExecutionException(
            "The output streaming for the run interrupted.\nBut the run is still executing; "
            f"outlast logs -f {handle.id} shows it, outlast cancel {handle.id} stops it"
        ) from None
    if show_output:
        print(f"\nExecution Summary\n{'=' * 17}\nRunId: {handle.id}\nWeb View: {url}\n")
    return status
