"""The constants that Run and Experiment have from the portal of Azure ML, for scripts."""

from __future__ import annotations


class Portal:
    """Parts of the portal's addresses; of these only RUN_PATH is one of the studio's too."""

    DELIM = "#"
    RUN_PATH = "/runs/{0}"
    EXPERIMENT_NAME_PATH = "/experiments/{0}"
    EXPERIMENT_ID_PATH = "/experiments/id/{0}"
    WORKSPACE_FMT = "?wsid=/subscriptions/{0}/resourcegroups/{1}/workspaces/{2}"
    TID_FMT = "&tid={0}"
