"""From the options of `run` and `submit` to a run in the queue."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from outlast.cli import reach, show
from outlast.cli.options import request
from outlast.ids import new_run_id
from outlast.sdk.handle import RunHandle


def submitted(command: Sequence[str], asked: Mapping[str, Any], *, in_place: bool) -> RunHandle:
    """Queue the command as asked. Raises as `outlast.submit`; Ctrl-C says what may be queued."""
    from outlast.sdk.submit import submit

    run_id = new_run_id()
    try:
        return submit(
            list(command),
            in_place=in_place,
            id=run_id,
            after=reach.ids(asked["after"]),
            workspace=reach.workspace(),
            **request(asked),
        )
    except KeyboardInterrupt:
        show.say(f"stopped while submitting; it may be queued: outlast show {run_id}")
        raise
