"""`azureml.widgets.RunDetails`: a run in a notebook, as `outlast.show` shows it."""

from __future__ import annotations

from typing import Any, Dict

from outlast.azureml.exceptions import UserErrorException, translated


class RunDetails:
    """A live view of a run: status, metrics, log; of a sweep, its runs."""

    def __init__(self, run_instance: Any) -> None:
        """Raises UserErrorException for what is no Run."""
        if not hasattr(run_instance, "_handle"):
            raise UserErrorException(f"run_instance = {run_instance!r}: give a Run")
        self._run = run_instance

    def __repr__(self) -> str:
        return f"RunDetails({self._run.id!r})"

    def show(self, render_lib: Any = None, widget_settings: Any = None) -> None:
        """Show it in the notebook, and return at once; outside a notebook, print how it is."""
        from outlast.notebook.show import show

        with translated():
            show(self._run._handle())

    def get_widget_data(self, widget_settings: Any = None) -> Dict[str, Any]:
        """What it shows, as it is now."""
        from outlast.notebook.watched import look

        with translated():
            return dict(look(self._run._handle()))
