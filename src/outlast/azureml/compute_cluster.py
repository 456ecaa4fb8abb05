"""`azureml.core.compute.AmlCompute`: a pool of nodes, each a share of this machine."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Dict, List, NamedTuple, Optional

from outlast.azureml import compute
from outlast.azureml.camel_case import camel
from outlast.azureml.compute import (
    ComputeTarget,
    ComputeTargetProvisioningConfiguration,
    OfNodes,
    kept,
)
from outlast.azureml.exceptions import ComputeTargetException

DEFAULT_NODES = 4  # as AmlCompute's own
IDLE_S = 1800


def _told(t: Optional[datetime]) -> Optional[str]:
    return t.isoformat() if t is not None else None


class ScaleSettings:
    """How many nodes there may be."""

    def __init__(
        self, minimum_node_count: int, maximum_node_count: int, idle_seconds_before_scaledown: int
    ) -> None:
        self.minimum_node_count = minimum_node_count
        self.maximum_node_count = maximum_node_count
        self.idle_seconds_before_scaledown = idle_seconds_before_scaledown

    def serialize(self) -> Dict[str, Any]:
        return {
            "minNodeCount": self.minimum_node_count,
            "maxNodeCount": self.maximum_node_count,
            "nodeIdleTimeBeforeScaleDown": f"PT{int(self.idle_seconds_before_scaledown)}S",
        }

    @staticmethod
    def deserialize(object_dict: Dict[str, Any]) -> ScaleSettings:
        idle = str(object_dict.get("nodeIdleTimeBeforeScaleDown", f"PT{IDLE_S}S"))
        return ScaleSettings(
            object_dict["minNodeCount"], object_dict["maxNodeCount"], int(idle.strip("PTS") or 0)
        )


_COUNTS = ("idle", "leaving", "preempted", "preparing", "running", "unusable")


class AmlComputeNodeStateCounts(NamedTuple):
    """How many nodes are in which state."""

    idle_node_count: int
    leaving_node_count: int
    preempted_node_count: int
    preparing_node_count: int
    running_node_count: int
    unusable_node_count: int

    def serialize(self) -> Dict[str, int]:
        return {f"{name}NodeCount": getattr(self, f"{name}_node_count") for name in _COUNTS}

    @staticmethod
    def deserialize(object_dict: Dict[str, int]) -> AmlComputeNodeStateCounts:
        return AmlComputeNodeStateCounts(*(object_dict[f"{name}NodeCount"] for name in _COUNTS))


class AmlComputeStatus(NamedTuple):
    """How a pool stands."""

    allocation_state: str
    allocation_state_transition_time: Optional[str]
    creation_time: Optional[str]
    current_node_count: int
    errors: Optional[List[Any]]
    modified_time: Optional[str]
    node_state_counts: AmlComputeNodeStateCounts
    provisioning_state: str
    provisioning_state_transition_time: Optional[str]
    scale_settings: ScaleSettings
    target_node_count: int
    vm_priority: str
    vm_size: str

    def serialize(self) -> Dict[str, Any]:
        """As Azure ML's status reads, with its names."""
        told = {camel(name): value for name, value in self._asdict().items()}
        told["nodeStateCounts"] = self.node_state_counts.serialize()
        told["scaleSettings"] = self.scale_settings.serialize()
        return told

    @staticmethod
    def deserialize(object_dict: Dict[str, Any]) -> AmlComputeStatus:
        """What `serialize` told."""
        values = {name: object_dict[camel(name)] for name in AmlComputeStatus._fields}
        counts = AmlComputeNodeStateCounts.deserialize(values.pop("node_state_counts"))
        scale = ScaleSettings.deserialize(values.pop("scale_settings"))
        return AmlComputeStatus(node_state_counts=counts, scale_settings=scale, **values)


class AmlComputeProvisioningConfiguration(ComputeTargetProvisioningConfiguration):
    """A pool as it is asked for. What only Azure acts on is kept; passwords and keys are not."""

    def __init__(
        self, vm_size: str = "", vm_priority: str = "dedicated", min_nodes: int = 0,
        max_nodes: Optional[int] = None, idle_seconds_before_scaledown: Optional[int] = IDLE_S,
        admin_username: Optional[str] = None, admin_user_password: Optional[str] = None,
        admin_user_ssh_key: Optional[str] = None, vnet_resourcegroup_name: Optional[str] = None,
        vnet_name: Optional[str] = None, subnet_name: Optional[str] = None,
        tags: Optional[Dict[str, str]] = None, description: Optional[str] = None,
        remote_login_port_public_access: str = "NotSpecified",
        identity_type: Optional[str] = None, identity_id: Any = None,
        compute_location: Optional[str] = None, enable_node_public_ip: Optional[bool] = True,
    ) -> None:  # fmt: skip
        super().__init__(AmlCompute, compute_location)
        self.vm_size = vm_size or ""
        self.vm_priority = vm_priority
        nodes = DEFAULT_NODES if max_nodes is None else max_nodes
        self.scale_settings = ScaleSettings(
            min_nodes or 0, nodes, idle_seconds_before_scaledown or 0
        )
        self.admin_username = admin_username
        self.admin_user_password = admin_user_password
        self.admin_user_ssh_key = admin_user_ssh_key
        self.vnet_resourcegroup_name = vnet_resourcegroup_name
        self.vnet_name = vnet_name
        self.subnet_name = subnet_name
        self.tags = tags
        self.description = description
        self.remote_login_port_public_access = remote_login_port_public_access
        self.identity_type = identity_type
        self.identity_id = identity_id
        self.compute_location = compute_location
        self.enable_node_public_ip = enable_node_public_ip

    def validate_configuration(self) -> None:
        """Raises ComputeTargetException for node counts that can't be."""
        scale = self.scale_settings
        if not 0 <= scale.minimum_node_count <= scale.maximum_node_count:
            raise ComputeTargetException(
                f"min_nodes = {scale.minimum_node_count}, max_nodes = {scale.maximum_node_count}: "
                "the first is from 0 to the second"
            )
        if str(self.vm_priority).lower() not in ("dedicated", "lowpriority"):
            raise ComputeTargetException(
                f"vm_priority = {self.vm_priority!r}: give dedicated or lowpriority"
            )

    def _create(self, workspace: Any, name: str) -> Any:
        fields = (
            "vm_priority", "admin_username", "vnet_resourcegroup_name", "vnet_name", "subnet_name",
            "description", "remote_login_port_public_access", "identity_type", "identity_id",
        )  # fmt: skip
        found = {field: getattr(self, field) for field in fields}
        scale = self.scale_settings
        return compute.create_native(
            workspace, name, kind=AmlCompute._KIND, size=self.vm_size,
            nodes=scale.maximum_node_count, min_nodes=scale.minimum_node_count,
            idle_s=scale.idle_seconds_before_scaledown, tags=self.tags or {},
            settings={field: value for field, value in found.items() if value is not None},
        )  # fmt: skip


class AmlCompute(OfNodes):
    """A pool of nodes; as many runs are on it at once as it has nodes."""

    _KIND = "pool"

    @staticmethod
    def provisioning_configuration(
        vm_size: str = "", vm_priority: str = "dedicated", min_nodes: int = 0,
        max_nodes: Optional[int] = None, idle_seconds_before_scaledown: Optional[int] = IDLE_S,
        admin_username: Optional[str] = None, admin_user_password: Optional[str] = None,
        admin_user_ssh_key: Optional[str] = None, vnet_resourcegroup_name: Optional[str] = None,
        vnet_name: Optional[str] = None, subnet_name: Optional[str] = None,
        tags: Optional[Dict[str, str]] = None, description: Optional[str] = None,
        remote_login_port_public_access: str = "NotSpecified",
        identity_type: Optional[str] = None, identity_id: Any = None,
        location: Optional[str] = None, enable_node_public_ip: Optional[bool] = True,
    ) -> AmlComputeProvisioningConfiguration:  # fmt: skip
        """What to create it from; `vm_size` says which share of the machine a node is."""
        return AmlComputeProvisioningConfiguration(
            vm_size, vm_priority, min_nodes, max_nodes, idle_seconds_before_scaledown,
            admin_username, admin_user_password, admin_user_ssh_key, vnet_resourcegroup_name,
            vnet_name, subnet_name, tags, description, remote_login_port_public_access,
            identity_type, identity_id, location, enable_node_public_ip,
        )  # fmt: skip

    @staticmethod
    def list_usages(
        workspace: Any, show_all: bool = False, location: Optional[str] = None
    ) -> List[Dict[str, Any]]:
        """How many nodes of each pool are in use."""
        pools = [one for one in ComputeTarget.list(workspace) if isinstance(one, AmlCompute)]
        return [
            {
                "name": pool.name, "unit": "Count", "limit": pool._row["max_nodes"],
                "currentValue": pool._row["busy_nodes"],
            }
            for pool in pools
        ]  # fmt: skip

    @staticmethod
    def list_quotas(workspace: Any, location: Optional[str] = None) -> List[Dict[str, Any]]:
        """How many nodes each pool may have."""
        return [
            {"name": one["name"], "unit": "Count", "limit": one["limit"]}
            for one in AmlCompute.list_usages(workspace)
        ]

    @staticmethod
    def update_quotas(
        workspace: Any, vm_family: Any, limit: Optional[int] = None, location: Optional[str] = None
    ) -> None:
        """Raises ComputeTargetException: a machine has what it has."""
        raise ComputeTargetException(
            "a machine has no quota: pool.update(max_nodes=…) says how many nodes a pool has"
        )

    @property
    def vm_priority(self) -> str:
        return str(self._settings.get("vm_priority", "dedicated"))

    @property
    def scale_settings(self) -> ScaleSettings:
        row = self._row
        return ScaleSettings(row["min_nodes"], row["max_nodes"], int(row["idle_s"]))

    @property
    def status(self) -> AmlComputeStatus:
        return self._status()

    admin_username = kept("admin_username")
    admin_user_password = kept("admin_user_password")
    admin_user_ssh_key = kept("admin_user_ssh_key")
    vnet_resourcegroup_name = kept("vnet_resourcegroup_name")
    vnet_name = kept("vnet_name")
    subnet_name = kept("subnet_name")
    remote_login_port_public_access = kept("remote_login_port_public_access")
    identity_type = kept("identity_type")
    identity_id = kept("identity_id")

    def get_status(self) -> AmlComputeStatus:
        """How it stands now."""
        self.refresh_state()
        return self._status()

    def wait_for_completion(  # type: ignore[override]  # as scripts for Azure ML call it
        self, show_output: bool = False, min_node_count: Optional[int] = None,
        timeout_in_minutes: float = 25, is_delete_operation: bool = False,
    ) -> None:  # fmt: skip
        """Nothing to wait for: shares of this machine are there at once."""
        super().wait_for_completion(show_output, is_delete_operation)
        if show_output:
            print("Minimum number of nodes requested have been provisioned")

    def update(
        self, min_nodes: Optional[int] = None, max_nodes: Optional[int] = None,
        idle_seconds_before_scaledown: Optional[int] = None,
    ) -> None:  # fmt: skip
        """Set how many nodes it has; runs that are on it stay. Raises ComputeTargetException."""
        asked = {
            "min_nodes": min_nodes, "nodes": max_nodes, "idle_s": idle_seconds_before_scaledown,
        }  # fmt: skip
        with compute.translated():
            found = compute.native(self.workspace, self.name)
            found.change(**{key: value for key, value in asked.items() if value is not None})
        self.refresh_state()

    def list_nodes(self) -> List[Dict[str, Any]]:
        """The nodes in use, with the run that is on each."""
        self.refresh_state()
        return [
            {
                "nodeId": f"{self.name}-{number}", "nodeState": "running", "runId": run_id,
                "privateIpAddress": "127.0.0.1", "publicIpAddress": None, "port": None,
            }
            for number, run_id in enumerate(self._row["runs"])
        ]  # fmt: skip

    def add_identity(self, identity_type: str, identity_id: Any = None) -> None:
        """Keep it with the target; a share of this machine has the user's own rights."""
        self._keep(identity_type=identity_type, identity_id=identity_id)

    def remove_identity(self, identity_id: Any = None) -> None:
        """Keep none any more."""
        self._keep(identity_type=None, identity_id=None)

    def _keep(self, **values: Any) -> None:
        left = {key: value for key, value in {**self._settings, **values}.items() if value}
        with compute.translated():
            compute.native(self.workspace, self.name).change(settings=left)
        self.refresh_state()

    def _status(self) -> AmlComputeStatus:
        row = self._row
        busy, current = row["busy_nodes"], max(row["min_nodes"], row["busy_nodes"])
        counts = AmlComputeNodeStateCounts(current - busy, 0, 0, 0, busy, 0)
        made, changed = _told(self.created_on), _told(self.modified_on)
        return AmlComputeStatus(
            "Steady", changed, made, current, None, changed, counts, compute.SUCCEEDED, made,
            self.scale_settings, current, self.vm_priority, self.vm_size,
        )  # fmt: skip

    def _properties(self) -> Dict[str, Any]:
        return {
            "vmSize": self.vm_size, "vmPriority": self.vm_priority,
            "scaleSettings": self.scale_settings.serialize(), "status": self._status().serialize(),
        }  # fmt: skip
