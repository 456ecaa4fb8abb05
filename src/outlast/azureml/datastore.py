"""`azureml.core.Datastore` and `azureml.data.azure_storage_datastore`: named roots of data.

Each is a datastore of Outlast: a folder of this machine, or a URL. One that is registered as a
container of an Azure account stands for it as a folder of its own: nothing of Azure is asked.
"""

from __future__ import annotations

import glob
import os
from typing import TYPE_CHECKING, Any, List, NoReturn, Optional, Sequence

from outlast.azureml.data_path import DataReference
from outlast.azureml.dataset_types import named
from outlast.azureml.exceptions import UserErrorException
from outlast.run.dataset import Source

if TYPE_CHECKING:
    from outlast.sdk.datastores import Datastore as NativeDatastore

BLOB, FILE_SHARE = "AzureBlob", "AzureFile"


class AbstractDatastore:
    """A named root."""

    _native: NativeDatastore

    def __init__(self, workspace: Any, name: str, datastore_type: Any = BLOB) -> None:
        """The datastore of this name. Raises UserErrorException without one."""
        self._workspace, client = workspace, workspace._client()
        from outlast.sdk import datastores

        with named():
            self._native = datastores.get(name or "", workspace=client)
        self._type = str(self._native.facts.get("type", datastore_type))

    def __repr__(self) -> str:
        return f"Datastore({self.name!r}, {self._native.root!r})"

    @property
    def name(self) -> str:
        return self._native.name

    @property
    def workspace(self) -> Any:
        return self._workspace

    @property
    def datastore_type(self) -> str:
        """What it was registered as."""
        return self._type

    def set_as_default(self) -> None:
        """Let it be the workspace's default."""
        with named():
            self._native.set_as_default()

    def unregister(self) -> None:
        """Forget it; its data stay."""
        with named():
            self._native.unregister()

    def _source(self, path: Optional[str]) -> Source:
        with named():
            return self._native.path(path or "")


class AbstractAzureStorageDatastore(AbstractDatastore):
    """One whose files can be put and fetched."""

    def __init__(
        self, workspace: Any, name: str, datastore_type: Any = BLOB,
        container_name: Optional[str] = None, account_name: Optional[str] = None,
        sas_token: Optional[str] = None, account_key: Optional[str] = None,
        protocol: Optional[str] = None, endpoint: Optional[str] = None,
    ) -> None:  # fmt: skip
        super().__init__(workspace, name, datastore_type)
        facts = self._native.facts
        self.container_name = facts.get("container_name", container_name or self.name)
        self.account_name = facts.get("account_name", account_name or "local")
        self.protocol = facts.get("protocol", protocol or "https")
        self.endpoint = facts.get("endpoint", endpoint or "core.windows.net")
        # Keys are never kept.
        self.account_key = account_key
        self.sas_token = sas_token
        self.credential_type = "None"

    @property
    def is_sas(self) -> bool:
        """Was it opened with a token? Tokens aren't kept."""
        return self.sas_token is not None

    def path(
        self, path: Optional[str] = None, data_reference_name: Optional[str] = None
    ) -> DataReference:
        """A place in it, for a dataset or as an argument of a script."""
        return DataReference(self, data_reference_name, path_on_datastore=path)

    def as_mount(self) -> DataReference:
        """All of it, as an argument of a script."""
        return self.path().as_mount()

    def as_download(self, path_on_compute: Optional[str] = None) -> DataReference:
        """All of it as a copy, as an argument of a script."""
        return self.path().as_download(path_on_compute)

    def as_upload(self, path_on_compute: Optional[str] = None) -> DataReference:
        """A folder that a run fills and that comes here at its end."""
        return self.path().as_upload(path_on_compute)

    def upload(
        self, src_dir: str, target_path: Optional[str] = None, overwrite: bool = False,
        show_progress: bool = True,
    ) -> DataReference:  # fmt: skip
        """Put every file of a folder here below `target_path`; one that is there stays as it is,
        unless `overwrite`. Raises UserErrorException for a folder that isn't there.
        """
        if not os.path.isdir(src_dir):
            raise UserErrorException(f"src_dir = {src_dir!r}: there is no such folder")
        found: List[str] = []
        for folder, _folders, names in os.walk(src_dir):
            found += [os.path.join(folder, name) for name in sorted(names)]
        return self._put(found, src_dir, target_path, overwrite, show_progress)

    def upload_files(
        self, files: Sequence[str], relative_root: Optional[str] = None,
        target_path: Optional[str] = None, overwrite: bool = False, show_progress: bool = True,
    ) -> DataReference:  # fmt: skip
        """Put files here below `target_path`, named as below `relative_root` (default: the folder
        that they share); one that is there stays as it is, unless `overwrite`.
        """
        if isinstance(files, (str, bytes)) or not files:
            raise UserErrorException("files: give a list of paths")
        paths = [os.path.abspath(os.fspath(path)) for path in files]
        for path in paths:
            if not os.path.isfile(path):
                raise UserErrorException(f"files: there is no file {path}")
        root = relative_root or os.path.commonpath([os.path.dirname(path) for path in paths])
        return self._put(paths, root, target_path, overwrite, show_progress)

    def _put(
        self, paths: Sequence[str], root: str, target_path: Optional[str], overwrite: bool,
        show_progress: bool,
    ) -> DataReference:  # fmt: skip
        place = self._source(target_path)
        base = os.path.abspath(root)
        wanted = [
            path
            for path in paths
            if overwrite
            or not os.path.exists(os.path.join(place.root, place.path, os.path.relpath(path, base)))
        ]
        if show_progress:
            left = len(paths) - len(wanted)
            kept = f", {left} already there (overwrite=False)" if left else ""
            print(f"Uploading {len(wanted)} files to {self.name}/{place.path}{kept}")
        if wanted:
            with named():
                self._native.upload(wanted, place.path, overwrite=True, relative_to=base)
        return self.path(target_path)

    def download(
        self, target_path: str, prefix: Optional[str] = None, overwrite: bool = False,
        show_progress: bool = True,
    ) -> int:  # fmt: skip
        """Copy what lies below `prefix` to the folder `target_path`; returns how many files."""
        with named():
            copied = self._native.download(target_path, prefix or "", overwrite=overwrite)
        if show_progress:
            print(f"Downloaded {len(copied)} files from {self.name} to {target_path}")
        return len(copied)


class AzureBlobDatastore(AbstractAzureStorageDatastore):
    """A datastore as scripts know it."""

    def __init__(
        self, workspace: Any, name: str, container_name: Optional[str] = None,
        account_name: Optional[str] = None, sas_token: Optional[str] = None,
        account_key: Optional[str] = None, protocol: Optional[str] = None,
        endpoint: Optional[str] = None, request_session: Any = None,
        workspace_msi_has_access: bool = False, subscription_id: Optional[str] = None,
        resource_group: Optional[str] = None, service_data_access_auth_identity: Any = None,
    ) -> None:  # fmt: skip
        super().__init__(
            workspace, name, BLOB, container_name, account_name, sas_token, account_key, protocol,
            endpoint,
        )  # fmt: skip
        self.subscription_id = subscription_id
        self.resource_group = resource_group
        self.workspace_msi_has_access = workspace_msi_has_access
        self.service_data_access_auth_identity = service_data_access_auth_identity
        self.blob_service = None  # there is no client of Azure's


class AzureFileDatastore(AbstractAzureStorageDatastore):
    """A file share: a datastore like the others."""


class Datastore(AzureBlobDatastore):
    """`Datastore(workspace, name)`: the datastore of this name, without one the default."""

    def __init__(self, workspace: Any, name: Optional[str] = None) -> None:
        super().__init__(workspace, name or "")

    @staticmethod
    def get(workspace: Any, datastore_name: str) -> Datastore:
        """The datastore of this name. Raises UserErrorException without one."""
        if not datastore_name:
            raise UserErrorException("datastore_name: give a name")
        return Datastore(workspace, datastore_name)

    @staticmethod
    def get_default(workspace: Any) -> Datastore:
        """The workspace's default."""
        return Datastore(workspace)

    @staticmethod
    def _all(workspace: Any) -> List[Datastore]:
        from outlast.sdk import datastores

        with named():
            found = datastores.list(workspace=workspace._client())
        return [Datastore(workspace, one.name) for one in found]

    @staticmethod
    def register_azure_blob_container(
        workspace: Any, datastore_name: str, container_name: str, account_name: str,
        sas_token: Optional[str] = None, account_key: Optional[str] = None,
        protocol: Optional[str] = None, endpoint: Optional[str] = None, overwrite: bool = False,
        create_if_not_exists: bool = False, skip_validation: bool = False,
        blob_cache_timeout: Optional[int] = None, grant_workspace_access: bool = False,
        subscription_id: Optional[str] = None, resource_group: Optional[str] = None,
    ) -> Datastore:  # fmt: skip
        """A folder of this workspace that stands for the container; keys and tokens aren't kept."""
        facts = {"container_name": container_name, "account_name": account_name}
        return _standing_in(workspace, datastore_name, BLOB, facts, overwrite)

    @staticmethod
    def register_azure_file_share(
        workspace: Any, datastore_name: str, file_share_name: str, account_name: str,
        sas_token: Optional[str] = None, account_key: Optional[str] = None,
        protocol: Optional[str] = None, endpoint: Optional[str] = None, overwrite: bool = False,
        create_if_not_exists: bool = False, skip_validation: bool = False,
    ) -> Datastore:  # fmt: skip
        """A folder of this workspace that stands for the share; keys and tokens aren't kept."""
        facts = {"container_name": file_share_name, "account_name": account_name}
        return _standing_in(workspace, datastore_name, FILE_SHARE, facts, overwrite)

    @staticmethod
    def register_azure_data_lake(
        workspace: Any, datastore_name: str, store_name: str, tenant_id: Optional[str] = None,
        client_id: Optional[str] = None, client_secret: Optional[str] = None,
        resource_url: Optional[str] = None, authority_url: Optional[str] = None,
        subscription_id: Optional[str] = None, resource_group: Optional[str] = None,
        overwrite: bool = False, grant_workspace_access: bool = False,
    ) -> Datastore:  # fmt: skip
        """A folder of this workspace that stands for the store; secrets aren't kept."""
        facts = {"account_name": store_name}
        return _standing_in(workspace, datastore_name, "AzureDataLake", facts, overwrite)

    @staticmethod
    def register_azure_data_lake_gen2(
        workspace: Any, datastore_name: str, filesystem: str, account_name: str,
        tenant_id: Optional[str] = None, client_id: Optional[str] = None,
        client_secret: Optional[str] = None, resource_url: Optional[str] = None,
        authority_url: Optional[str] = None, protocol: Optional[str] = None,
        endpoint: Optional[str] = None, overwrite: bool = False,
        subscription_id: Optional[str] = None, resource_group: Optional[str] = None,
        grant_workspace_access: bool = False,
    ) -> Datastore:  # fmt: skip
        """A folder of this workspace that stands for the file system; secrets aren't kept."""
        facts = {"container_name": filesystem, "account_name": account_name}
        return _standing_in(workspace, datastore_name, "AzureDataLakeGen2", facts, overwrite)

    @staticmethod
    def register_azure_sql_database(
        workspace: Any, datastore_name: str, server_name: str, database_name: str,
        tenant_id: Optional[str] = None, client_id: Optional[str] = None,
        client_secret: Optional[str] = None, resource_url: Optional[str] = None,
        authority_url: Optional[str] = None, endpoint: Optional[str] = None,
        overwrite: bool = False, username: Optional[str] = None, password: Optional[str] = None,
        subscription_id: Optional[str] = None, resource_group: Optional[str] = None,
        grant_workspace_access: bool = False, **kwargs: Any,
    ) -> NoReturn:  # fmt: skip
        """Refused: raises UserErrorException, which says what is nearest."""
        raise _no_database("register_azure_sql_database")

    @staticmethod
    def register_azure_postgre_sql(
        workspace: Any, datastore_name: str, server_name: str, database_name: str, user_id: str,
        user_password: str, port_number: Optional[str] = None, endpoint: Optional[str] = None,
        overwrite: bool = False, enforce_ssl: bool = True, **kwargs: Any,
    ) -> NoReturn:  # fmt: skip
        """Refused: raises UserErrorException, which says what is nearest."""
        raise _no_database("register_azure_postgre_sql")

    @staticmethod
    def register_azure_my_sql(
        workspace: Any, datastore_name: str, server_name: str, database_name: str, user_id: str,
        user_password: str, port_number: Optional[str] = None, endpoint: Optional[str] = None,
        overwrite: bool = False, **kwargs: Any,
    ) -> NoReturn:  # fmt: skip
        """Refused: raises UserErrorException, which says what is nearest."""
        raise _no_database("register_azure_my_sql")

    @staticmethod
    def register_dbfs(workspace: Any, datastore_name: str) -> NoReturn:
        """Refused: raises UserErrorException, which says what is nearest."""
        raise _no_cluster("register_dbfs")

    @staticmethod
    def register_hdfs(
        workspace: Any, datastore_name: str, protocol: str, namenode_address: str,
        hdfs_server_certificate: str, kerberos_realm: str, kerberos_kdc_address: str,
        kerberos_principal: str, kerberos_keytab: Optional[str] = None,
        kerberos_password: Optional[str] = None, overwrite: bool = False,
    ) -> NoReturn:  # fmt: skip
        """Refused: raises UserErrorException, which says what is nearest."""
        raise _no_cluster("register_hdfs")


def _standing_in(workspace: Any, name: str, kind: str, facts: Any, overwrite: bool) -> Datastore:
    from outlast.sdk import datastores

    told = {"type": kind, **facts}
    with named():
        made = datastores.register(
            name, facts=told, overwrite=overwrite, workspace=workspace._client()
        )
    what = " of account ".join(filter(None, (facts.get("container_name"), facts["account_name"])))
    if not glob.glob(os.path.join(glob.escape(made.root), "*")):
        print(f"Datastore {name} stands for {what}: put its files into {made.root}")
    return Datastore(workspace, name)


def _no_database(call: str) -> UserErrorException:
    return UserErrorException(
        f"Datastore.{call}: a datastore of Outlast is a folder or a URL, not a database. Read the "
        "table with pandas.read_sql, and keep it by Dataset.Tabular.register_pandas_dataframe"
    )


def _no_cluster(call: str) -> UserErrorException:
    return UserErrorException(
        f"Datastore.{call}: a datastore of Outlast is a folder or a URL. Name the folder where the "
        "cluster's files are mounted: outlast datastores add NAME FOLDER"
    )
