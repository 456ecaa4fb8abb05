"""The widget: what `Watched` tells, as traits that the page draws (`widget.js`).

Importing this needs anywidget, the extra `outlast[notebook]`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anywidget
import traitlets

from outlast.notebook.watched import Watched
from outlast.sdk.handle import RunHandle

_HERE = Path(__file__).parent


class RunWidget(anywidget.AnyWidget):
    """A live view of one run; it follows the run from the moment that it is made."""

    _esm = (_HERE / "widget.js").read_text()
    _css = (_HERE / "widget.css").read_text()

    facts: Any = traitlets.Dict().tag(sync=True)
    series: Any = traitlets.List().tag(sync=True)
    trials: Any = traitlets.List().tag(sync=True)
    log: Any = traitlets.Unicode().tag(sync=True)
    problem: Any = traitlets.Unicode().tag(sync=True)

    def __init__(self, run: RunHandle) -> None:
        super().__init__()
        self.watched = Watched(run, self._put)
        self.watched.start()

    def _put(self, news: dict[str, Any]) -> None:
        with self.hold_sync():  # one message for all that changed
            for name, value in news.items():
                setattr(self, name, value)

    def close(self) -> None:
        """Follow no more and take the view away."""
        self.watched.leave()
        super().close()
