"""Making an environment before it is needed: a short run in it, whose preparation is the build."""

from __future__ import annotations

import sys
from typing import Any, Dict

from outlast.azureml.exceptions import ActivityFailedException, translated
from outlast.errors import NotFound

EXPERIMENT = "prepare-environment"
_STATES = {"Completed": "Succeeded", "Failed": "Failed", "Canceled": "Failed"}


class ImageBuildDetails:
    """How a build goes on."""

    def __init__(self, environment_client: Any, location: Any) -> None:
        """Begin to make the environment `environment_client` in the workspace `location`."""
        from outlast.sdk.submit import submit

        self.environment_client = environment_client
        self.location = location
        client = location._client()
        wanted: Dict[str, Any] = environment_client._spec()
        python = "python" if wanted else sys.executable
        with translated():
            self._run = submit(
                [python, "-c", ""], experiment=EXPERIMENT, name=environment_client.name,
                in_place=True, folder=str(client.home), resources={"cpus": 0},
                environment=wanted or None, workspace=client,
            )  # fmt: skip
        self.log_url = f"/api/runs/{self._run.id}/journals/environment"

    @property
    def status(self) -> str:
        """Running, Succeeded or Failed."""
        with translated():
            return _STATES.get(self._run.status, "Running")

    def get_log(self) -> str:
        """What the build has said so far."""
        try:
            pieces = self._run.output_so_far(journal="environment")
            return b"".join(piece.data for piece in pieces).decode("utf-8", "replace")
        except NotFound:  # it was made before, so nothing was built
            return ""

    def wait_for_completion(self, show_output: bool = True) -> None:
        """Wait until it is made. Raises ActivityFailedException, with the reason."""
        with translated():
            status = self._run.wait(raise_on_error=False)
            if show_output:
                print(f"environment {self.environment_client.name}: {_STATES[status]}")
            if status != "Completed":
                raise ActivityFailedException(self._run.why()["headline"])
