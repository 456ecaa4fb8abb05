"""`azureml.core.compute.ComputeTarget`: by now the one target `local`, this machine.

Another name is no target: ComputeTargetException, as scripts expect that make one then.
"""

from __future__ import annotations

from typing import Any, List

from outlast.azureml.exceptions import ComputeTargetException

LOCAL = "local"


class ComputeTarget:
    """A place where runs are."""

    def __init__(self, workspace: Any, name: str) -> None:
        """Raises ComputeTargetException when there is no target of this name."""
        self.workspace = workspace
        self.name = self._checked(workspace, name)
        self.type = LOCAL
        self.provisioning_state = "Succeeded"

    def __repr__(self) -> str:
        return f"ComputeTarget({self.name!r})"

    @classmethod
    def _checked(cls, workspace: Any, name: str) -> str:
        if name not in cls._names(workspace):
            raise ComputeTargetException(
                f"ComputeTargetNotFound: Compute Target with name {name} not found in provided "
                f"workspace; there is: {', '.join(cls._names(workspace))} (this machine)"
            )
        return name

    @classmethod
    def _names(cls, workspace: Any) -> List[str]:
        return [LOCAL]

    @staticmethod
    def list(workspace: Any) -> List[ComputeTarget]:
        """Every target of the workspace."""
        return [ComputeTarget(workspace, name) for name in ComputeTarget._names(workspace)]

    def wait_for_completion(
        self, show_output: bool = False, is_delete_operation: bool = False
    ) -> None:
        """Nothing to wait for: it is there."""

    def get_status(self) -> Any:
        """Its provisioning state."""
        return self.provisioning_state

    def refresh_state(self) -> None:
        """Nothing to do: it doesn't change."""
