"""`outlast.show(run)`: a live view in a notebook, a few lines of text anywhere else."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from outlast.notebook.watched import as_text, look
from outlast.sdk.handle import RunHandle
from outlast.sdk.workspace import Workspace

if TYPE_CHECKING:
    from outlast.notebook.widget import RunWidget

HINT = "for a live view: pip install 'outlast[notebook]', and reload the page"


def show(run: RunHandle | str, *, workspace: Workspace | None = None) -> RunWidget | None:
    """Show a run: live in a notebook, where the widget is returned; else print how it is.

    Returns at once; the view follows the run until it is over. `run` may be an id, a name or
    "@last". Raises NotFound, Unreachable.
    """
    handle = run if isinstance(run, RunHandle) else (workspace or Workspace()).run(run)
    if not is_notebook():
        print(as_text(look(handle)))
        return None
    try:
        from outlast.notebook.widget import RunWidget
    except ModuleNotFoundError as error:
        if error.name not in ("anywidget", "traitlets", "ipywidgets"):
            raise
        print(f"{as_text(look(handle))}\n{HINT}")
        return None
    from IPython.display import display

    widget = RunWidget(handle)
    display(widget)  # type: ignore[no-untyped-call]
    return widget


def is_notebook() -> bool:
    """Is this the kernel of a notebook, whose page can show a widget?"""
    shell = sys.modules.get("IPython")
    found = shell.get_ipython() if shell is not None else None
    return found is not None and getattr(found, "kernel", None) is not None
