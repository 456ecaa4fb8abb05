"""`azureml.core.compute.ComputeTarget`: a named pool of nodes, an instance, or `local`.

`local` is this machine as a whole and is always there. Another name is a target that was created
(docs/compute.md); `ComputeTarget(workspace, name)` is then an AmlCompute or a ComputeInstance. A
name that nothing has raises ComputeTargetException, as scripts expect that create one then.
"""

from __future__ import annotations

from contextlib import contextmanager
from datetime import datetime, timezone
from typing import Any, Dict, Iterator, List, Optional, Type

from outlast.azureml import names
from outlast.azureml.exceptions import ComputeTargetException
from outlast.errors import Conflict, NotFound, OutlastError

LOCAL = "local"
SUCCEEDED = "Succeeded"
_CLASSES = {"pool": "AmlCompute", "instance": "ComputeInstance"}
LOCATION = "local"


class ComputeTargetProvisioningConfiguration:
    """What a target is created from."""

    def __init__(self, type: Any, location: Optional[str]) -> None:
        self._compute_type = type
        self.location = location

    def validate_configuration(self) -> None:
        """Nothing to check by itself: a target checks when it is created."""


class ComputeTarget:
    """A place where runs are."""

    _KIND = ""  # of the native targets that this class stands for

    def __new__(cls, workspace: Any, name: str) -> ComputeTarget:
        # Scripts ask for any target by this class, and by isinstance what it is.
        kind: Type[ComputeTarget] = _class_of(workspace, name) if cls is ComputeTarget else cls
        return object.__new__(kind)

    def __init__(self, workspace: Any, name: str) -> None:
        """Raises ComputeTargetException when there is no such target, or one of another kind."""
        self.workspace = workspace
        self.name = self._checked(workspace, name)
        self._row: Dict[str, Any] = {}
        self.refresh_state()
        if self._KIND and self._row.get("kind") != self._KIND:
            raise ComputeTargetException(f"{name} is no {type(self).__name__}")

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(workspace={self.workspace!r}, name={self.name}, id={self.id}, "
            f"type={self.type}, provisioning_state={self.provisioning_state}, "
            f"location={self.location}, tags={self.tags})"
        )

    # --- what it is ---

    @property
    def type(self) -> str:
        """AmlCompute, ComputeInstance or local."""
        return type(self).__name__ if self._KIND else LOCAL

    @property
    def id(self) -> str:
        details = self.workspace.get_details()["id"]
        return f"{details}/computes/{self.name}"

    @property
    def tags(self) -> Dict[str, Optional[str]]:
        return dict(self._row.get("tags") or {})

    @property
    def description(self) -> Optional[str]:
        found: Optional[str] = self._settings.get("description")
        return found

    @property
    def location(self) -> str:
        return LOCATION

    @property
    def cluster_location(self) -> str:
        return LOCATION

    @property
    def cluster_resource_id(self) -> Optional[str]:
        """No Azure resource stands behind it."""
        return None

    @property
    def created_on(self) -> Optional[datetime]:
        return moment(self._row.get("created_ns"))

    @property
    def modified_on(self) -> Optional[datetime]:
        return moment(self._row.get("changed_ns"))

    @property
    def is_attached(self) -> bool:
        return False

    @property
    def provisioning_state(self) -> str:
        return SUCCEEDED

    @property
    def provisioning_errors(self) -> Optional[List[Any]]:
        return None

    @property
    def _settings(self) -> Dict[str, Any]:
        return dict(self._row.get("settings") or {})

    # --- making, finding, removing ---

    @staticmethod
    def create(workspace: Any, name: str, provisioning_configuration: Any) -> Any:
        """Make a target; one that is there and of this kind is set to these nodes.

        Prints how its nodes differ from what was asked for. Raises ComputeTargetException.
        """
        if not hasattr(provisioning_configuration, "_create"):
            raise ComputeTargetException(
                f"provisioning_configuration = {provisioning_configuration!r}: give what "
                "AmlCompute.provisioning_configuration or that of ComputeInstance returned"
            )
        provisioning_configuration.validate_configuration()
        with translated():
            made = provisioning_configuration._create(workspace, name)
        for note in made.notes:
            print(f"{name}: {note}")
        return ComputeTarget(workspace, name)

    @staticmethod
    def attach(workspace: Any, name: str, attach_configuration: Any) -> Any:
        """The target of this name. Raises ComputeTargetException: nothing of Azure is attached."""
        if name in ComputeTarget._names(workspace):
            return ComputeTarget(workspace, name)
        raise ComputeTargetException(
            f"{name}: Outlast attaches no compute from elsewhere. Make a pool of nodes of this "
            "machine with ComputeTarget.create and AmlCompute.provisioning_configuration"
        )

    @staticmethod
    def list(workspace: Any) -> List[Any]:
        """Every target of the workspace."""
        return [ComputeTarget(workspace, name) for name in ComputeTarget._names(workspace)]

    @staticmethod
    def deserialize(workspace: Any, object_dict: Dict[str, Any]) -> Any:
        """The target that `serialize` told of."""
        return ComputeTarget(workspace, object_dict["name"])

    def serialize(self) -> Dict[str, Any]:
        """What it is, as plain values."""
        state = {"provisioningState": self.provisioning_state, "provisioningErrors": None}
        about = {
            "computeType": self.type, "computeLocation": LOCATION, "description": self.description,
            "resourceId": None, "isAttachedCompute": False, "properties": self._properties(),
        }  # fmt: skip
        return {
            "id": self.id, "name": self.name, "location": LOCATION, "tags": self.tags,
            "properties": {**about, **state},
        }  # fmt: skip

    def _properties(self) -> Dict[str, Any]:
        return {}

    def delete(self) -> None:
        """Remove it. Raises ComputeTargetException while a run is on it or waits for it."""
        if not self._KIND:
            raise ComputeTargetException("local is this machine: it isn't deleted")
        from outlast.sdk import compute

        with translated():
            compute.delete(self.name, workspace=self.workspace._client())

    def detach(self) -> None:
        """Raises ComputeTargetException: nothing was attached."""
        raise ComputeTargetException(f"{self.name} was created, not attached; use delete()")

    def wait_for_completion(
        self, show_output: bool = False, is_delete_operation: bool = False
    ) -> None:
        """Nothing to wait for: a share of this machine is there at once."""
        if show_output:
            print(f'{self.name}: provisioning operation finished, operation "{SUCCEEDED}"')

    def get_status(self) -> Any:
        """Its provisioning state."""
        return self.provisioning_state

    def refresh_state(self) -> None:
        """Ask again how it stands. Raises ComputeTargetException when it was deleted."""
        if self.name != LOCAL:
            self._row = native(self.workspace, self.name).row

    # --- names ---

    @classmethod
    def _checked(cls, workspace: Any, name: str) -> str:
        if name not in cls._names(workspace):
            raise _unknown(name, cls._names(workspace))
        return name

    @classmethod
    def _names(cls, workspace: Any) -> List[str]:
        from outlast.sdk import compute

        with translated():
            found = compute.targets(workspace=workspace._client())
        return [*(target.name for target in found), LOCAL]


class OfNodes(ComputeTarget):
    """What a pool and an instance have alike: nodes of one size, each a share of this machine."""

    @staticmethod
    def supported_vmsizes(workspace: Any, location: Optional[str] = None) -> List[Dict[str, Any]]:
        """The sizes that have a name, with what a node of each has."""
        return vm_sizes(workspace)

    @property
    def vm_size(self) -> str:
        return str(self._row["size"])

    def get(self) -> Dict[str, Any]:
        """What it is, as plain values."""
        self.refresh_state()
        return self.serialize()

    def get_active_runs(
        self, type: Optional[str] = None, tags: Any = None, properties: Any = None,
        status: Optional[str] = None,
    ) -> Iterator[Any]:  # fmt: skip
        """The runs that are on it or wait for it."""
        return active_runs(self, tags, properties, status)


def kept(name: str) -> property:
    """A setting that only Azure acts on, as it was given; None without one."""
    return property(lambda target: target._settings.get(name))


def native(workspace: Any, name: str) -> Any:
    """The native target of this name. Raises ComputeTargetException without one."""
    from outlast.sdk import compute

    try:
        with translated():
            return compute.get(name, workspace=workspace._client())
    except ComputeTargetException as error:
        if isinstance(error.inner_exception, NotFound):
            raise _unknown(name, ComputeTarget._names(workspace)) from None
        raise


def _unknown(name: str, known: List[str]) -> ComputeTargetException:
    return ComputeTargetException(
        f"ComputeTargetNotFound: Compute Target with name {name} not found in provided "
        f"workspace; there is: {', '.join(known)} (local is this machine)"
    )


def _class_of(workspace: Any, name: str) -> Any:
    if name == LOCAL:
        return ComputeTarget
    kind = native(workspace, name).kind
    return names.load("azureml.core.compute", _CLASSES[kind])  # they stand on this file


def moment(t_ns: Optional[int]) -> Optional[datetime]:
    """The time as scripts get it: aware, in UTC."""
    return datetime.fromtimestamp(t_ns / 1e9, timezone.utc) if t_ns else None


def create_native(workspace: Any, name: str, **asked: Any) -> Any:
    """Make it natively, or set one of the same kind and size to these nodes."""
    from outlast.sdk import compute

    client = workspace._client()
    try:
        return compute.create(name, workspace=client, **asked)
    except Conflict:
        there = compute.get(name, workspace=client)
        if (there.kind, there.row["size"].upper()) != (asked["kind"], asked["size"].upper()):
            raise ComputeTargetException(
                f"{name} is there already, as {there.kind} of size "
                f"{there.row['size'] or '(none)'}: delete it first, or choose another name"
            ) from None
        kept = {key: asked[key] for key in ("min_nodes", "idle_s", "settings", "tags")}
        return there.change(nodes=asked["nodes"], **kept)


@contextmanager
def translated() -> Iterator[None]:
    """Errors of Outlast as ComputeTargetException; the message and the hint stay."""
    try:
        yield
    except OutlastError as error:
        hint = f"\n\tTry: {error.hint}" if error.hint else ""
        raise ComputeTargetException(error.message + hint, inner_exception=error) from error


def active_runs(target: ComputeTarget, tags: Any, properties: Any, status: Any) -> Iterator[Any]:
    """The runs that are on a target or wait for it, where these hold."""
    target.refresh_state()
    for run_id in [*target._row["runs"], *target._row["waiting"]]:
        run = target.workspace.get_run(run_id)
        if status is not None and run.get_status() != status:
            continue
        if _holds(tags, run.get_tags()) and _holds(properties, run.get_properties()):
            yield run


def _holds(asked: Any, has: Dict[str, Any]) -> bool:
    """{name: value}, or names that must be there."""
    if isinstance(asked, dict):
        return all(has.get(key) == value for key, value in asked.items())
    return all(name in has for name in ([asked] if isinstance(asked, str) else asked or ()))


def vm_sizes(workspace: Any) -> List[Dict[str, Any]]:
    """The sizes that have a name, as `supported_vmsizes` tells them."""
    from outlast.sdk import compute

    with translated():
        found = compute.sizes(workspace=workspace._client())
    return [
        {
            "name": size["name"], "vCPUs": int(size["cpus"]), "gpus": size["gpus"],
            "memoryGB": size["memory_bytes"] / (1 << 30), "maxResourceVolumeMB": 0,
        }
        for size in found
    ]  # fmt: skip
