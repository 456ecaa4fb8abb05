"""What a training script imports: log metrics, hand over files, end the run.

    from outlast import Run
    run = Run.get_context()
    run.log("loss", 0.25)

Every call appends to a journal in the run's folder and returns; none waits for a network, and none
needs a server. Standard library only, Python 3.8 and newer, safe from threads, forks and ranks.
"""

from __future__ import annotations

from outlast.runtime.current import Run, get_context, start_logging

__all__ = ["Run", "get_context", "start_logging"]
