"""`azureml.core.Workspace`: the workspace of Outlast, by its folder or its server's address.

A config.json that a script finds gives the names that are printed; it never leads elsewhere: the
runs are in Outlast's workspace (OUTLAST_HOME, OUTLAST_URL), whatever subscription is named.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping as MappingOf
from typing import TYPE_CHECKING, Any, Dict, Iterator, List, Mapping, NamedTuple, Optional

from outlast.azureml import reach
from outlast.azureml.exceptions import UserErrorException, WorkspaceException, translated

if TYPE_CHECKING:
    from outlast.azureml.experiment import Experiment
    from outlast.azureml.keyvault import Keyvault
    from outlast.azureml.run import Run
    from outlast.sdk.workspace import Workspace as Client

NO_SUBSCRIPTION = "00000000-0000-0000-0000-000000000000"
CONFIG_PLACES = ("config.json", ".azureml/config.json", "aml_config/config.json")


class ServiceContext(NamedTuple):
    """What a workspace is called, in the words of its web services."""

    subscription_id: str
    resource_group_name: str
    workspace_name: str
    workspace_id: str


class Workspace:
    """The workspace of this machine, or of the server that OUTLAST_URL names."""

    _home: Optional[str] = None

    def __init__(
        self,
        subscription_id: str = NO_SUBSCRIPTION,
        resource_group: str = "local",
        workspace_name: str = "local",
        auth: Any = None,
        _location: Optional[str] = None,
        _disable_service_check: bool = False,
        _workspace_id: Optional[str] = None,
        sku: str = "basic",
        tags: Optional[Mapping[str, str]] = None,
        **kwargs: Any,
    ) -> None:
        for field, value in (
            ("subscription_id", subscription_id),
            ("resource_group", resource_group),
            ("workspace_name", workspace_name),
        ):
            if not str(value or "").strip():
                raise UserErrorException(f"{field} = {value!r}: give a name")
        self._subscription_id = subscription_id
        self._resource_group = resource_group
        self._name = workspace_name
        self._location = _location or "local"
        self._sku = sku
        self._tags = dict(tags or {})

    def __repr__(self) -> str:
        return (
            f"Workspace.create(name={self.name!r}, subscription_id={self.subscription_id!r}, "
            f"resource_group={self.resource_group!r})"
        )

    @classmethod
    def _at(cls, home: Optional[str]) -> Workspace:
        made = cls()
        made._home = home
        return made

    def _client(self) -> Client:
        return reach.workspace(self._home)

    # --- where it comes from ---

    @staticmethod
    def from_config(
        path: Optional[str] = None, auth: Any = None, _logger: Any = None,
        _file_name: Optional[str] = None,
    ) -> Workspace:  # fmt: skip
        """The workspace, with the names of the nearest config.json, if there is one.

        Raises UserErrorException for a `path` that doesn't exist and a file that can't be read.
        """
        found = _config(path, _file_name)
        if found is None:
            return Workspace()
        try:
            with open(found, encoding="utf-8") as file:
                names = json.load(file)
            return Workspace(
                names["subscription_id"], names["resource_group"], names["workspace_name"]
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UserErrorException(
                f"{found}: give subscription_id, resource_group and workspace_name ({error})"
            ) from None

    @staticmethod
    def get(
        name: str, auth: Any = None, subscription_id: Optional[str] = None,
        resource_group: Optional[str] = None, location: Optional[str] = None,
        cloud: str = "AzureCloud", id: Optional[str] = None,
    ) -> Workspace:  # fmt: skip
        """The workspace, under this name: there is one."""
        return Workspace(
            subscription_id or NO_SUBSCRIPTION, resource_group or "local", name,
            _location=location,
        )  # fmt: skip

    @staticmethod
    def create(
        name: str, auth: Any = None, subscription_id: Optional[str] = None,
        resource_group: Optional[str] = None, location: Optional[str] = None,
        create_resource_group: bool = True, sku: str = "basic",
        tags: Optional[Mapping[str, str]] = None, friendly_name: Optional[str] = None,
        storage_account: Any = None, key_vault: Any = None, app_insights: Any = None,
        container_registry: Any = None, adb_workspace: Any = None,
        primary_user_assigned_identity: Any = None, cmk_keyvault: Any = None,
        resource_cmk_uri: Any = None, hbi_workspace: bool = False,
        default_cpu_compute_target: Any = None, default_gpu_compute_target: Any = None,
        private_endpoint_config: Any = None, private_endpoint_auto_approval: bool = True,
        exist_ok: bool = False, show_output: bool = True,
        user_assigned_identity_for_cmk_encryption: Any = None,
        system_datastores_auth_mode: str = "accessKey", v1_legacy_mode: Optional[bool] = None,
    ) -> Workspace:  # fmt: skip
        """The workspace, under this name; what only Azure has is accepted and not used."""
        made = Workspace.get(name, auth, subscription_id, resource_group, location)
        made._sku, made._tags = sku, dict(tags or {})
        return made

    @staticmethod
    def list(
        subscription_id: str, auth: Any = None, resource_group: Optional[str] = None
    ) -> Dict[str, List[Workspace]]:
        """The one workspace, by its name."""
        found = Workspace(subscription_id, resource_group or "local")
        return {found.name: [found]}

    @staticmethod
    def setup() -> Workspace:
        """As from_config()."""
        return Workspace.from_config()

    def write_config(self, path: Optional[str] = None, file_name: Optional[str] = None) -> None:
        """Write .azureml/config.json below `path` (default: the current folder)."""
        folder = os.path.join(path or ".", ".azureml")
        os.makedirs(folder, exist_ok=True)
        names = {
            "subscription_id": self.subscription_id,
            "resource_group": self.resource_group,
            "workspace_name": self.name,
        }
        with open(os.path.join(folder, file_name or "config.json"), "w", encoding="utf-8") as file:
            json.dump(names, file, indent=4)

    # --- what it is called ---

    @property
    def name(self) -> str:
        return self._name

    @property
    def subscription_id(self) -> str:
        return self._subscription_id

    @property
    def resource_group(self) -> str:
        return self._resource_group

    @property
    def location(self) -> str:
        return self._location

    @property
    def sku(self) -> str:
        return self._sku

    @property
    def tags(self) -> Dict[str, str]:
        return self._tags

    def get_details(self) -> Dict[str, Any]:
        """The names, and where the workspace really is."""
        client = self._client()
        return {
            "id": (
                f"/subscriptions/{self.subscription_id}/resourceGroups/{self.resource_group}"
                f"/providers/Microsoft.MachineLearningServices/workspaces/{self.name}"
            ),
            "name": self.name,
            "location": self.location,
            "type": "Microsoft.MachineLearningServices/workspaces",
            "tags": self.tags,
            "sku": self.sku,
            "workspaceid": self.name,
            "friendlyName": self.name,
            "discoveryUrl": client.connection.address.url,
            "storageAccount": client.url or str(client.home),
        }

    @property
    def discovery_url(self) -> str:
        """The address of the server."""
        return self._client().connection.address.url

    def get_mlflow_tracking_uri(self, _with_auth: bool = False) -> str:
        """MLflow's own database in the workspace's folder: what it logs is kept there.

        Raises UserErrorException for a workspace on another machine.
        """
        client = self._client()
        if client.url:
            raise UserErrorException("the server keeps nothing of MLflow's; use run.log")
        return f"sqlite:///{client.home / 'mlflow.db'}"

    # --- what is in it ---

    @property
    def experiments(self) -> Dict[str, Experiment]:
        """Its experiments by name."""
        from outlast.azureml.experiment import Experiment

        return {experiment.name: experiment for experiment in Experiment.list(self)}

    def get_run(self, run_id: str) -> Run:
        """The run of this id. Raises ServiceException without one."""
        from outlast.azureml import run_kinds
        from outlast.azureml.experiment import Experiment

        with translated():
            row = reach.handle(self._client(), run_id).fetch()
        return run_kinds.shown(Experiment(self, row["experiment"]), row)

    @property
    def environments(self) -> Dict[str, Any]:
        """The newest version of each registered environment, by name."""
        from outlast.azureml.environment import Environment

        return dict(Environment.list(self))

    @property
    def models(self) -> Dict[str, Any]:
        """The newest version of each model, by name."""
        from outlast.azureml.model import Model

        return {model.name: model for model in Model.list(self, latest=True)}

    @property
    def datasets(self) -> Mapping[str, Any]:
        """The newest version of each registered dataset, by name."""
        from outlast.azureml.abstract_dataset import AbstractDataset

        return AbstractDataset.get_all(self)

    @property
    def datastores(self) -> Mapping[str, Any]:
        """Its datastores by name."""
        from outlast.azureml.datastore import Datastore

        return {one.name: one for one in Datastore._all(self)}

    def get_default_datastore(self) -> Any:
        """The default datastore: workspaceblobstore, unless another was set."""
        from outlast.azureml.datastore import Datastore

        return Datastore(self)

    def set_default_datastore(self, name: str) -> None:
        """Let the datastore of this name be the default."""
        from outlast.azureml.datastore import Datastore

        Datastore(self, name).set_as_default()

    @property
    def compute_targets(self) -> Mapping[str, Any]:
        """Its compute targets by name."""
        return _Targets(self)

    @property
    def webservices(self) -> Dict[str, Any]:
        """None: Outlast serves no models."""
        return {}

    @property
    def images(self) -> Dict[str, Any]:
        """None: Outlast builds no container images."""
        return {}

    @property
    def linked_services(self) -> List[Any]:
        """None: there are no services of Azure's beside it."""
        return []

    @property
    def private_endpoints(self) -> Dict[str, Any]:
        """None: the server listens where its settings say."""
        return {}

    def get_default_keyvault(self) -> Keyvault:
        """The workspace's secrets."""
        from outlast.azureml.keyvault import Keyvault

        return Keyvault(self)

    @property
    def service_context(self) -> ServiceContext:
        """Its names, as a script may ask for them one by one."""
        return ServiceContext(self.subscription_id, self.resource_group, self.name, self.name)

    def get_default_compute_target(self, type: str) -> Optional[Any]:
        """The first pool whose nodes have GPUs ("GPU") or none ("CPU"); None without such a one."""
        from outlast.azureml.compute_cluster import AmlCompute

        for target in self.compute_targets.values():
            wanted = isinstance(target, AmlCompute) and bool(target._row["node"]["gpus"])
            if isinstance(target, AmlCompute) and wanted == (str(type).upper() == "GPU"):
                return target
        return None

    def delete(self, delete_dependent_resources: bool = False, no_wait: bool = False) -> None:
        """Never done by a script."""
        raise WorkspaceException(
            f"Workspace.delete: a script doesn't delete every run of {self.name!r}; "
            "outlast down, then remove the workspace's folder"
        )


class _Targets(MappingOf):  # type: ignore[type-arg]
    """What `local` names is here without being created."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    def __getitem__(self, name: str) -> Any:
        from outlast.azureml.compute import ComputeTarget

        if name not in ComputeTarget._names(self._workspace):
            raise KeyError(name)
        return ComputeTarget(self._workspace, name)

    def __iter__(self) -> Iterator[str]:
        from outlast.azureml.compute import ComputeTarget

        return iter(ComputeTarget._names(self._workspace))

    def __len__(self) -> int:
        return sum(1 for _name in self)


def _config(path: Optional[str], file_name: Optional[str]) -> Optional[str]:
    """The config.json that is meant: at `path`, else upwards from the current folder."""
    places = (file_name, f".azureml/{file_name}") if file_name else CONFIG_PLACES
    if path is not None and os.path.isfile(path):
        return path
    if path is not None and not os.path.exists(path):
        raise UserErrorException(f"path = {path!r}: no such file or folder")
    folder = os.path.abspath(path or ".")
    while True:
        for place in places:
            if os.path.isfile(os.path.join(folder, place)):
                return os.path.join(folder, place)
        if path is not None or folder == os.path.dirname(folder):
            return None
        folder = os.path.dirname(folder)
