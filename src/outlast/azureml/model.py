"""`azureml.core.Model`: a version of a model, from Outlast's registry.

Registering, finding and fetching are those of `outlast.models`. What serves a model (deploy,
package, profile) is refused: Outlast serves none.
"""

from __future__ import annotations

import json
import os
import time
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Dict, List, Mapping, NoReturn, Optional
from urllib.parse import quote

from outlast.azureml import listing, reach
from outlast.azureml.exceptions import (
    ModelNotFoundException,
    ModelPathNotFoundException,
    RefusedException,
    UserErrorException,
    WebserviceException,
    translated,
)
from outlast.azureml.names import WHY, load
from outlast.errors import NotFound

if TYPE_CHECKING:
    from outlast.sdk.models import Model as NativeModel
    from outlast.sdk.workspace import Workspace as Client

# An upload is registered at once when a server runs; an output when its run is over.
REGISTERED_WITHIN_S = 10.0
LOOK_S = 0.05
MODELS_FOLDER = "azureml-models"
DATASETS = "datasets"  # the property that lists them
RESOURCES = "resource_configuration"  # the property that tells them


class Framework:
    """What a model was made with, as its property `framework`."""

    CUSTOM = "Custom"
    ONNX = "Onnx"
    SCIKITLEARN = "ScikitLearn"
    TENSORFLOW = "TensorFlow"
    PYTORCH = "PyTorch"


class Model:
    """One version of a model; its files never change."""

    Framework = Framework

    def __init__(
        self, workspace: Any, name: Optional[str] = None, id: Optional[str] = None,
        tags: Any = None, properties: Any = None, version: Optional[int] = None,
        run_id: Optional[str] = None, model_framework: Optional[str] = None, expand: bool = True,
        **kwargs: Any,
    ) -> None:  # fmt: skip
        """The version asked for, else the newest that has the tags, properties and run.

        `id` is "name:version". Raises ModelNotFoundException without one.
        """
        self.workspace = workspace
        self._found: Optional[NativeModel] = kwargs.get("_native")
        self._wished = kwargs.get("_wished")  # by a run, so that its version comes later
        if id is not None:
            name, _, number = id.partition(":")
            version = int(number) if number.isdigit() else version
        if not name:
            raise UserErrorException("give a model's name, or its id as name:version")
        self.name = name
        if self._found is None and self._wished is None:
            self._found = _newest(
                workspace._client(), name, version=version, tags=tags, properties=properties,
                run_id=run_id, framework=model_framework,
            )  # fmt: skip

    def __repr__(self) -> str:
        version = self._found.version if self._found is not None else "not registered yet"
        return f"Model(workspace={self.workspace!r}, name={self.name}, version={version})"

    @property
    def _native(self) -> NativeModel:
        if self._found is None:
            self._found = self._registered()
        return self._found

    def _registered(self) -> NativeModel:
        """What became of the wish. Raises ModelNotFoundException while that isn't known."""
        from outlast.sdk import models

        client, deadline = self.workspace._client(), time.monotonic() + REGISTERED_WITHIN_S
        while True:
            made = [m for m in models.list(run=self._wished, workspace=client)]
            mine = [model for model in made if model.name == self.name]
            if mine:
                return max(mine, key=lambda model: model.version)
            if time.monotonic() > deadline:
                raise ModelNotFoundException(
                    f"model {self.name!r} is asked for by run {self._wished} and not registered "
                    f"yet: an output is once its run is over; outlast why {self._wished} tells"
                )
            time.sleep(LOOK_S)  # nobody tells when a wish is carried out

    # --- what it is ---

    @property
    def version(self) -> int:
        return self._native.version

    @property
    def id(self) -> str:
        """As "name:version"."""
        return f"{self.name}:{self.version}"

    @property
    def tags(self) -> Dict[str, Optional[str]]:
        return self._native.tags

    @property
    def properties(self) -> Dict[str, str]:
        return self._native.properties

    @property
    def description(self) -> str:
        return self._native.description

    @property
    def run_id(self) -> Optional[str]:
        """The run that made it, None for files from elsewhere."""
        return self._native.run_id or None

    @property
    def run(self) -> Any:
        """The run that made it, None for files from elsewhere."""
        return self.workspace.get_run(self.run_id) if self.run_id else None

    @property
    def experiment_name(self) -> Optional[str]:
        return str(self.run.experiment.name) if self.run_id else None

    @property
    def created_time(self) -> datetime:
        return datetime.fromtimestamp(self._native.created_ns / 1e9, tz=timezone.utc)

    @property
    def created_by(self) -> Dict[str, str]:
        return {"userName": str(self._native.row["created_by"])}

    @property
    def model_framework(self) -> Optional[str]:
        return self.properties.get("framework")

    @property
    def model_framework_version(self) -> Optional[str]:
        return self.properties.get("framework_version")

    @property
    def url(self) -> str:
        """Where the server tells of it."""
        address = self.workspace._client().connection.address.url
        return f"{address}/api/models/{quote(self.name, safe='')}/versions/{self.version}"

    @property
    def mime_type(self) -> str:
        return "application/x-python"

    def get_sas_urls(self) -> Dict[str, str]:
        """{file: its address}; whoever fetches it shows the workspace's token."""
        paths = [str(entry["path"]) for entry in self._native.files]
        return {path: f"{self.url}/files/{quote(path)}" for path in paths}

    @staticmethod
    def deserialize(workspace: Any, model_payload: Mapping[str, Any]) -> Model:
        """The model that serialize() told of. Raises ModelNotFoundException without one."""
        return Model(workspace, id=str(model_payload["id"]))

    @property
    def datasets(self) -> Dict[str, List[Any]]:
        """What it was made with, as said at its registration: {purpose: [Dataset]}."""
        made: Dict[str, List[Any]] = {}
        for purpose, dataset_id in json.loads(self.properties.get(DATASETS, "[]")):
            dataset = load("azureml.core", "Dataset").get_by_id(self.workspace, dataset_id)
            made.setdefault(purpose, []).append(dataset)
        return made

    @property
    def resource_configuration(self) -> Any:
        """What it would like to be served with, as said at its registration; None without."""
        from outlast.azureml.resource_configuration import ResourceConfiguration

        return ResourceConfiguration.deserialize(json.loads(self.properties.get(RESOURCES, "null")))

    def serialize(self) -> Dict[str, Any]:
        """Its facts as JSON values."""
        return {
            "id": self.id,
            "name": self.name,
            "version": self.version,
            "tags": self.tags,
            "properties": self.properties,
            "description": self.description,
            "runId": self.run_id,
            "createdTime": self.created_time.isoformat(),
            "framework": self.model_framework,
        }

    # --- find and fetch ---

    @staticmethod
    def list(
        workspace: Any, name: Optional[str] = None, tags: Any = None, properties: Any = None,
        run_id: Optional[str] = None, latest: bool = False, dataset_id: Optional[str] = None,
        expand: bool = True, page_count: int = 255, model_framework: Optional[str] = None,
    ) -> List[Model]:  # fmt: skip
        """Every version that has all that is given, newest first; `latest`: one of each name."""
        from outlast.sdk import models

        client = workspace._client()
        found: List[NativeModel] = []
        with translated():
            names = [name] if name else [model.name for model in models.list(workspace=client)]
            for one in names:
                wanted = [
                    model
                    for model in _versions(client, one)
                    if _has(model, tags, properties, run_id, model_framework)
                ]
                found += wanted[:1] if latest else wanted
        found.sort(key=lambda model: model.created_ns, reverse=True)
        return [Model(workspace, model.name, _native=model) for model in found]

    def download(
        self, target_dir: str = ".", exist_ok: bool = False, exists_ok: Optional[bool] = None
    ) -> str:
        """Fetch its files, each checked; returns the path of the file or folder.

        Raises WebserviceException for one that exists, unless `exist_ok`.
        """
        overwrite = exist_ok if exists_ok is None else exists_ok
        target = os.path.join(target_dir, self._native.files[0]["path"].split("/")[0])
        if os.path.exists(target) and not overwrite:
            raise WebserviceException(f"{target} exists; give exist_ok=True to replace it")
        os.makedirs(target_dir, exist_ok=True)
        with translated():
            self._native.download(target_dir, overwrite=overwrite)
        return target

    @staticmethod
    def get_model_path(
        model_name: str, version: Optional[int] = None, _workspace: Any = None
    ) -> str:
        """The path of the model's file or folder: as it lies in azureml-models/ here, else fetched.

        A path that exists under this name is taken as the model. Raises ModelNotFoundException.
        """
        if version is None and os.path.exists(model_name):
            return model_name
        client = _workspace._client() if _workspace is not None else reach.workspace()
        found = _newest(client, model_name, version=version)
        folder = os.path.join(MODELS_FOLDER, found.name, str(found.version))
        with translated():
            return str(found.download(folder, overwrite=True))

    # --- register and change ---

    @staticmethod
    def register(
        workspace: Any, model_path: str, model_name: str, tags: Any = None, properties: Any = None,
        description: Optional[str] = None, datasets: Any = None,
        model_framework: Optional[str] = None, model_framework_version: Optional[str] = None,
        child_paths: Any = None, sample_input_dataset: Any = None,
        sample_output_dataset: Any = None, resource_configuration: Any = None,
    ) -> Model:  # fmt: skip
        """Register a local file or folder as the next version; it is stored then.

        Raises ModelPathNotFoundException without the path.
        """
        from outlast.sdk import models

        if not os.path.exists(model_path):
            raise ModelPathNotFoundException(f"model_path = {model_path!r}: no such file or folder")
        print(f"Registering model {model_name}")
        with translated():
            made = models.register(
                model_name, model_path, tags=texts(tags), description=description or "",
                properties=own_properties(
                    properties, model_framework, model_framework_version, datasets,
                    resource_configuration,
                ),
                workspace=workspace._client(),
            )  # fmt: skip
        return Model(workspace, model_name, _native=made)

    def add_tags(self, tags: Mapping[str, Any]) -> None:
        """Set tags."""
        self._change(tags=texts(tags))

    def remove_tags(self, tags: Any) -> None:
        """Remove tags by name."""
        self._change(removed_tags=[tags] if isinstance(tags, str) else [*tags])

    def update(
        self, tags: Optional[Mapping[str, Any]] = None, description: Optional[str] = None,
        sample_input_dataset: Any = None, sample_output_dataset: Any = None,
        resource_configuration: Any = None,
    ) -> None:  # fmt: skip
        """Have these tags and no others, and this description; None leaves what is."""
        gone = [name for name in self.tags if name not in (tags or {})] if tags is not None else []
        self._change(tags=texts(tags), removed_tags=gone, description=description)

    def update_tags_properties(
        self, add_tags: Any = None, remove_tags: Any = None, add_properties: Any = None
    ) -> None:
        """Set and remove tags. Raises UserErrorException for properties: they never change."""
        if add_properties:
            raise UserErrorException("a registered model's properties don't change; use tags")
        self._change(tags=texts(add_tags), removed_tags=[*(remove_tags or ())])

    def delete(self) -> None:
        """Delete this version for good; its number is never given again."""
        with translated():
            self._native.delete()

    def _change(self, **asked: Any) -> None:
        with translated():
            self._native.change(**asked)

    # --- refused ---

    @staticmethod
    def deploy(
        workspace: Any, name: str, models: Any, inference_config: Any = None,
        deployment_config: Any = None, deployment_target: Any = None, overwrite: bool = False,
        show_output: bool = False,
    ) -> NoReturn:  # fmt: skip
        """Refused: raises UserErrorException, which says what is nearest."""
        raise _refused("deploy")

    @staticmethod
    def package(
        workspace: Any, models: Any, inference_config: Any = None,
        generate_dockerfile: bool = False, image_name: Any = None, image_label: Any = None,
    ) -> NoReturn:  # fmt: skip
        """Refused: raises UserErrorException, which says what is nearest."""
        raise _refused("package")

    @staticmethod
    def profile(
        workspace: Any, profile_name: str, models: Any, inference_config: Any, input_dataset: Any,
        cpu: Any = None, memory_in_gb: Any = None, description: Optional[str] = None,
    ) -> NoReturn:  # fmt: skip
        """Refused: raises UserErrorException, which says what is nearest."""
        raise _refused("profile")


def texts(tags: Any) -> Dict[str, Optional[str]]:
    """Tags as texts; a list of names is tags without values."""
    if isinstance(tags, Mapping):
        return {str(k): None if v is None else str(v) for k, v in tags.items()}
    return dict.fromkeys((str(tag) for tag in tags or ()), None)


def own_properties(
    properties: Any, framework: Optional[str], framework_version: Optional[str],
    datasets: Any = None, resources: Any = None,
) -> Dict[str, str]:  # fmt: skip
    """A model's properties, with what it was made with, and from which data, among them."""
    given = {"framework": framework, "framework_version": framework_version}
    told = {key: str(value) for key, value in given.items() if value is not None}
    if datasets:
        told[DATASETS] = json.dumps([[purpose, str(made.id)] for purpose, made in datasets])
    if resources is not None:
        told[RESOURCES] = json.dumps(resources.serialize())
    return {**told, **{str(key): str(value) for key, value in (properties or {}).items()}}


def _newest(
    client: Client, name: str, *, version: Optional[int] = None, tags: Any = None,
    properties: Any = None, run_id: Optional[str] = None, framework: Optional[str] = None,
) -> NativeModel:  # fmt: skip
    from outlast.sdk import models

    if version is not None:
        try:
            with translated():
                return models.get(name, version, workspace=client)
        except Exception as error:
            if not isinstance(error.__cause__, NotFound):
                raise
            raise ModelNotFoundException(f"ModelNotFound: {error.__cause__.message}") from None
    for model in _versions(client, name):
        if _has(model, tags, properties, run_id, framework):
            return model
    raise ModelNotFoundException(
        f"ModelNotFound: Model with name {name} not found in provided workspace"
    )


def _versions(client: Client, name: str) -> List[NativeModel]:
    from outlast.sdk import models

    try:
        return [*models.versions(name, workspace=client)]
    except NotFound:
        return []


def _has(
    model: NativeModel, tags: Any, properties: Any, run_id: Optional[str], framework: Optional[str]
) -> bool:
    return (
        listing.all_in(_pairs(tags), model.tags)
        and listing.all_in(_pairs(properties), model.properties)
        and run_id in (None, model.run_id)
        and framework in (None, model.properties.get("framework"))
    )


def _pairs(asked: Any) -> Any:
    """Tags may be given as names and as [name, value] pairs together."""
    if not isinstance(asked, (list, tuple)):
        return asked
    return dict((one, None) if isinstance(one, str) else tuple(one) for one in asked)


def _refused(call: str) -> RefusedException:
    why, nearest = WHY["Webservice"]
    return RefusedException(f"Model.{call}: {why}. {nearest}")
