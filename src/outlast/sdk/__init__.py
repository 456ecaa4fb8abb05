"""The Python door: submit runs, follow them, read what they produced. Synchronous, no threads.

Nothing is imported until it is used, and pandas only when it is asked for. Inside a script, use
`outlast.runtime` (get_context, log, …), which works without a server.
"""

from outlast.sdk.experiment import Experiment
from outlast.sdk.handle import RunHandle
from outlast.sdk.submit import Output, submit
from outlast.sdk.workspace import Workspace, get_run, runs

__all__ = ["Experiment", "Output", "RunHandle", "Workspace", "get_run", "runs", "submit"]
