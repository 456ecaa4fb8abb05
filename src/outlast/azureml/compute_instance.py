"""`azureml.core.compute.ComputeInstance`: a named place for terminals and runs, of one node."""

from __future__ import annotations

from typing import Any, Dict, List, NamedTuple, Optional

from outlast.azureml import compute
from outlast.azureml.camel_case import camel
from outlast.azureml.compute import (
    ComputeTargetProvisioningConfiguration,
    OfNodes,
    kept,
)

RUNNING, STOPPED = "Running", "Stopped"


class ComputeInstanceStatus(NamedTuple):
    """How an instance stands."""

    creation_time: Optional[str]
    created_by_user_name: str
    created_by_user_id: str
    created_by_user_org: str
    errors: Optional[List[Any]]
    modified_time: Optional[str]
    state: str
    vm_size: str

    def serialize(self) -> Dict[str, Any]:
        return {camel(name): value for name, value in self._asdict().items()}

    @staticmethod
    def deserialize(object_dict: Dict[str, Any]) -> ComputeInstanceStatus:
        """What `serialize` told."""
        return ComputeInstanceStatus(
            *(object_dict[camel(name)] for name in ComputeInstanceStatus._fields)
        )


class ComputeInstanceProvisioningConfiguration(ComputeTargetProvisioningConfiguration):
    """An instance as it is asked for. What only Azure acts on is kept."""

    def __init__(
        self, vm_size: str = "", ssh_public_access: bool = False,
        admin_user_ssh_public_key: Optional[str] = None,
        vnet_resourcegroup_name: Optional[str] = None, vnet_name: Optional[str] = None,
        subnet_name: Optional[str] = None, tags: Optional[Dict[str, str]] = None,
        description: Optional[str] = None, assigned_user_object_id: Optional[str] = None,
        assigned_user_tenant_id: Optional[str] = None,
    ) -> None:  # fmt: skip
        super().__init__(ComputeInstance, None)
        self.vm_size = vm_size or ""
        self.ssh_public_access = ssh_public_access
        self.admin_user_ssh_public_key = admin_user_ssh_public_key
        self.vnet_resourcegroup_name = vnet_resourcegroup_name
        self.vnet_name = vnet_name
        self.subnet_name = subnet_name
        self.tags = tags
        self.description = description
        self.assigned_user_object_id = assigned_user_object_id
        self.assigned_user_tenant_id = assigned_user_tenant_id

    def _create(self, workspace: Any, name: str) -> Any:
        fields = (
            "ssh_public_access", "admin_user_ssh_public_key", "vnet_resourcegroup_name",
            "vnet_name", "subnet_name", "description", "assigned_user_object_id",
            "assigned_user_tenant_id",
        )  # fmt: skip
        found = {field: getattr(self, field) for field in fields}
        return compute.create_native(
            workspace, name, kind=ComputeInstance._KIND, size=self.vm_size, nodes=1, min_nodes=0,
            idle_s=0, tags=self.tags or {},
            settings={field: value for field, value in found.items() if value},
        )  # fmt: skip


class ComputeInstance(OfNodes):
    """A place for terminals: `outlast shell --compute NAME`. Runs may be submitted to it too."""

    _KIND = "instance"

    @staticmethod
    def provisioning_configuration(
        vm_size: str = "", ssh_public_access: bool = False,
        admin_user_ssh_public_key: Optional[str] = None,
        vnet_resourcegroup_name: Optional[str] = None, vnet_name: Optional[str] = None,
        subnet_name: Optional[str] = None, tags: Optional[Dict[str, str]] = None,
        description: Optional[str] = None, assigned_user_object_id: Optional[str] = None,
        assigned_user_tenant_id: Optional[str] = None,
    ) -> ComputeInstanceProvisioningConfiguration:  # fmt: skip
        """What to create it from. SSH: `outlast ssh` reaches this machine with a key of its own."""
        return ComputeInstanceProvisioningConfiguration(
            vm_size, ssh_public_access, admin_user_ssh_public_key, vnet_resourcegroup_name,
            vnet_name, subnet_name, tags, description, assigned_user_object_id,
            assigned_user_tenant_id,
        )  # fmt: skip

    @classmethod
    def get_docs_url(cls) -> str:
        """Where this is told of."""
        return "docs/compute.md"

    @property
    def status(self) -> ComputeInstanceStatus:
        return self._status()

    @property
    def applications(self) -> List[Dict[str, str]]:
        """None are started by it."""
        return []

    @property
    def errors(self) -> Optional[List[Any]]:
        return None

    @property
    def private_ip_address(self) -> str:
        return "127.0.0.1"

    @property
    def public_ip_address(self) -> Optional[str]:
        return None

    @property
    def ssh_port(self) -> Optional[int]:
        """No port is opened: `outlast ssh` goes through the server."""
        return None

    @property
    def admin_username(self) -> str:
        return str(self._row["created_by"])

    @property
    def ssh_public_access(self) -> bool:
        return bool(self._settings.get("ssh_public_access", False))

    admin_user_ssh_public_key = kept("admin_user_ssh_public_key")
    assigned_user_object_id = kept("assigned_user_object_id")
    assigned_user_tenant_id = kept("assigned_user_tenant_id")
    subnet_id = kept("subnet_id")
    subnet_name = kept("subnet_name")
    vnet_name = kept("vnet_name")
    vnet_resourcegroup_name = kept("vnet_resourcegroup_name")

    def get_status(self) -> ComputeInstanceStatus:
        """How it stands now."""
        self.refresh_state()
        return self._status()

    def start(self, wait_for_completion: bool = False, show_output: bool = False) -> None:
        """Let runs and terminals onto it."""
        self._set(False, show_output)

    def stop(self, wait_for_completion: bool = False, show_output: bool = False) -> None:
        """Let nothing further onto it; runs and terminals that are on it stay."""
        self._set(True, show_output)

    def restart(self, wait_for_completion: bool = False, show_output: bool = False) -> None:
        """As start: there is no machine of its own to start anew."""
        self._set(False, show_output)

    def delete(self, wait_for_completion: bool = False, show_output: bool = False) -> None:
        """Remove it. Raises ComputeTargetException while a run or terminal is on it."""
        super().delete()

    def update_sso_settings(self, value: bool) -> None:
        """Keep it with the instance; nothing signs in to Azure here."""
        with compute.translated():
            found = compute.native(self.workspace, self.name)
            found.change(settings={**found.row["settings"], "sso": bool(value)})
        self.refresh_state()

    def _set(self, is_stopped: bool, show_output: bool) -> None:
        with compute.translated():
            compute.native(self.workspace, self.name).change(is_stopped=is_stopped)
        self.refresh_state()
        if show_output:
            print(f"{self.name}: {self._status().state}")

    def _status(self) -> ComputeInstanceStatus:
        made, changed = self.created_on, self.modified_on
        who = str(self._row["created_by"])
        return ComputeInstanceStatus(
            made.isoformat() if made else None, who, who, "", None,
            changed.isoformat() if changed else None,
            STOPPED if self._row["is_stopped"] else RUNNING, self.vm_size,
        )  # fmt: skip

    def _properties(self) -> Dict[str, Any]:
        return {"vmSize": self.vm_size, "status": self._status().serialize()}
