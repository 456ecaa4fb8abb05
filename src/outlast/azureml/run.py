"""`azureml.core.Run`: a run seen from inside its process, or from outside by id.

What it logs and hands over is in `logging_calls` and `files`. Unlike Azure ML's, a run outside any
job (`get_context()` in a script that was simply started) is kept like every other one, and
`wait_for_completion` returns when the run is truly over.
"""

from __future__ import annotations

import os
from types import TracebackType
from typing import Any, Callable, Dict, Iterator, List, Mapping, Optional, Type

from outlast.azureml import details, keyvault, listing, metrics, reach, waiting
from outlast.azureml.dataset_input import InputDatasets, OutputDatasets, inputs_of
from outlast.azureml.exceptions import (
    ActivityFailedException,
    RunEnvironmentException,
    ServiceException,
    UserErrorException,
    translated,
)
from outlast.azureml.files import FileCalls
from outlast.azureml.logging_calls import LoggingCalls
from outlast.azureml.model import Model, own_properties
from outlast.azureml.model import texts as model_tags
from outlast.azureml.names import load
from outlast.azureml.portal import Portal
from outlast.errors import NotFound
from outlast.ids import new_run_id
from outlast.run import logged
from outlast.runtime import Run as NativeRun
from outlast.runtime import current

EXIT_CODE = "exit_code"  # a cause that says little by itself
# Where MLflow and Azure ML keep a run's description.
DESCRIPTION_TAG = "mlflow.note.content"


class Run(LoggingCalls, FileCalls, Portal):
    """One run. Get it by `Run.get_context()`, `experiment.start_logging()` or `.submit(…)`."""

    def __init__(self, experiment: Any, run_id: str, outputs: Any = None, **kwargs: Any) -> None:
        """The run of this id, as `experiment.workspace` knows it."""
        home = experiment.workspace._home if experiment is not None else None
        super().__init__(run_id, home, kwargs.get("_native"))
        self._experiment = experiment

    def __repr__(self) -> str:
        return f"Run(Experiment: {self.experiment.name},\nId: {self.id},\nStatus: {self.status})"

    def _repr_html_(self) -> str:
        from html import escape

        cells = (self.experiment.name, self.id, self.status)
        row = "".join(f"<td>{escape(cell)}</td>" for cell in cells)
        heads = "<th>Experiment</th><th>Id</th><th>Status</th>"
        return f"<table><tr>{heads}</tr><tr>{row}</tr></table>"

    # --- which run ---

    @classmethod
    def get_context(
        cls, allow_offline: bool = True, used_for_context_manager: bool = False, **kwargs: Any
    ) -> Run:
        """The run that this process belongs to; without one, a new local one.

        With allow_offline=False, raises RunEnvironmentException instead.
        """
        with translated():
            try:
                native = current.get_context(
                    allow_offline=allow_offline, offline_id=f"OfflineRun_{new_run_id()}"
                )
            except NotFound:
                raise RunEnvironmentException(
                    "this process doesn't belong to a run; submit the script, or allow_offline"
                ) from None
        if not native.is_interactive:
            # As in Azure ML, a job finds its `outputs` there.
            native.output_folder  # noqa: B018
        return of_native(native)

    @classmethod
    def get_submitted_run(cls, **kwargs: Any) -> Run:
        """As get_context()."""
        return cls.get_context(**kwargs)

    @staticmethod
    def get(workspace: Any, run_id: str) -> Run:
        """The run of this id. Raises ServiceException without one."""
        return _of_id(workspace, run_id)

    @staticmethod
    def list_by_compute(
        compute: Any, type: Optional[str] = None, tags: Any = None, properties: Any = None,
        status: Optional[str] = None,
    ) -> Iterator[Run]:  # fmt: skip
        """The runs that are or were on this compute target, newest first."""
        target = {"azureml.target": compute.name, **dict(properties or {})}
        for experiment in compute.workspace.experiments.values():
            yield from experiment.get_runs(type, tags, target, True, _status=status)

    @staticmethod
    def list(
        experiment: Any, type: Optional[str] = None, tags: Any = None,
        properties: Any = None, status: Optional[str] = None, include_children: bool = False,
    ) -> Iterator[Run]:  # fmt: skip
        """The experiment's runs, newest first."""
        found: Iterator[Run] = experiment.get_runs(
            type, tags, properties, include_children, _status=status
        )
        return found

    @property
    def experiment(self) -> Any:
        """The experiment that it belongs to."""
        if self._experiment is None:
            # By name: Experiment and Workspace are made of runs themselves.
            workspace = load("azureml.core", "Workspace")._at(self._where())
            made = load("azureml.core", "Experiment")
            self._experiment = made(workspace, self._spec()["experiment"])
        return self._experiment

    @property
    def display_name(self) -> str:
        """The run's name; its id when it has none."""
        name = self._spec()["name"] if self._is_inside else self._handle().fetch()["name"]
        return str(name or self.id)

    @display_name.setter
    def display_name(self, value: str) -> None:
        with translated():
            self._patch(name=value)

    @property
    def name(self) -> str:
        """As display_name."""
        return self.display_name

    @property
    def number(self) -> int:
        """Which run of its experiment it is, from 1, by when it was made."""
        with translated():
            created_ns = self._handle().fetch()["created_ns"]
            experiment = self.experiment.name
            rows = self._client().rows(experiment=experiment)
            return sum(row["created_ns"] <= created_ns for row in rows)

    @property
    def type(self) -> Optional[str]:
        """azureml.scriptrun of a submitted run, None of an interactive one."""
        return "azureml.scriptrun" if self._spec()["kind"] == "command" else None

    @property
    def description(self) -> Optional[str]:
        return self.tags.get(DESCRIPTION_TAG)

    @description.setter
    def description(self, value: str) -> None:
        self.tag(DESCRIPTION_TAG, value)

    @property
    def parent(self) -> Optional[Run]:
        """The run that started it, None without one."""
        parent = self._spec().get("parent")
        return _of_id(self.experiment.workspace, parent) if parent else None

    # --- how it is ---

    def get_status(self) -> str:
        """The status now, as "Running" or "Completed"."""
        return self._status()

    @property
    def status(self) -> str:
        """As get_status()."""
        return self._status()

    def get_detailed_status(self) -> Dict[str, Any]:
        """The status and why it is so."""
        why = self._handle().why()
        return {"status": self._status(), "details": why["headline"], "findings": why["findings"]}

    def get_details(self) -> Dict[str, Any]:
        """Everything of note in one dict, with Azure ML's keys."""
        with translated():
            self._wait_noticed()
            facts = self._handle().fetch()
            if facts["status"] == "Failed" and facts["cause"] == EXIT_CODE:
                facts["message"] = self._handle().why()["headline"]  # the exception, where it tells
            return details.of(facts, self.portal_url)

    def get_details_with_logs(self) -> Dict[str, Any]:
        """As get_details(), with what the run printed in place of where that is."""
        found = self.get_details()
        text = "".join(self._handle().logs())
        return {**found, "logFiles": {name: text for name in found["logFiles"]}}

    def get_portal_url(self) -> str:
        """The run's page in the studio."""
        return f"{self._client().connection.address.url}/runs/{self.id}"

    @property
    def portal_url(self) -> str:
        """The address of the server."""
        return self._client().connection.address.url

    def wait_for_completion(
        self,
        show_output: bool = False,
        wait_post_processing: bool = False,
        raise_on_error: bool = True,
    ) -> Dict[str, Any]:
        """Wait until the run is truly over, outputs stored; returns get_details().

        Raises ActivityFailedException when it Failed, unless `raise_on_error` is false.
        """
        status = waiting.wait(
            self._handle(),
            url=self.get_portal_url(),
            show_output=show_output,
            is_own=self._native is not None and not self._has_ended,
        )
        found = self.get_details()
        if status == "Failed" and raise_on_error:
            raise ActivityFailedException(error_details=found["error"])
        return found

    def get_metrics(
        self,
        name: Optional[str] = None,
        recursive: bool = False,
        run_type: Optional[str] = None,
        populate: bool = False,
    ) -> Dict[str, Any]:
        """What was logged: one value of a name as it is, several as a list, tables by column.

        With `recursive`, {run id: metrics} of this run and all below it.
        """
        if recursive:
            below = {run.id: run.get_metrics(name) for run in self.get_children(recursive=True)}
            return {self.id: self.get_metrics(name), **below}
        folder = self._folder()
        if folder is not None:
            found = metrics.of_folder(folder)
        else:
            found = metrics.of_handle(self._handle())
        return found if name is None else {key: found[key] for key in (name,) if key in found}

    # --- tags and properties ---

    @property
    def tags(self) -> Dict[str, Optional[str]]:
        """The tags now."""
        return self.get_tags()

    def get_tags(self) -> Dict[str, Optional[str]]:
        """The tags now."""
        folder = self._folder()
        if not self._is_inside or folder is None:
            return dict(self._handle().fetch()["tags"])
        found: Dict[str, Optional[str]] = dict(self._spec().get("tags") or {})
        told = metrics.records(folder)
        return {**found, **{r["n"]: r["v"] for r in told if r.get("k") == logged.TAG}}

    def tag(self, key: str, value: Any = None) -> None:
        """Set a tag; without a value it is None."""
        self.set_tags({key: value})

    def set_tags(self, tags: Mapping[str, Any]) -> None:
        """Set several tags."""
        texts = {str(k): None if v is None else str(v) for k, v in tags.items()}
        with translated():
            if self._native is not None and self._is_inside:
                for key, text in texts.items():
                    self._native.tag(key, text)
            else:
                self._patch(tags=texts)

    def remove_tags(self, tags: Any) -> None:
        """Remove tags by name."""
        names = [tags] if isinstance(tags, str) else [str(tag) for tag in tags]
        with translated():
            self._patch(removed_tags=names)

    @property
    def properties(self) -> Dict[str, str]:
        """The properties now."""
        return self.get_properties()

    def get_properties(self) -> Dict[str, str]:
        """The properties now; Azure ML's own about the code are among them."""
        spec, folder = self._spec(), self._folder()
        found = details.own_properties(spec)
        if not self._is_inside or folder is None:
            return {**found, **self._handle().fetch()["properties"]}
        for record in metrics.records(folder):
            if record.get("k") == logged.PROPERTY:
                found.setdefault(record["n"], record["v"])
        return found

    def add_properties(self, properties: Mapping[str, Any]) -> None:
        """Set properties, each once. Raises UserErrorException for one that has another value."""
        already = self.get_properties()
        for key, value in properties.items():
            if key in already and already[key] != str(value):
                raise UserErrorException(f"property {key!r} is {already[key]!r} and can't change")
        with translated():
            if self._native is not None and self._is_inside:
                self._native.set_properties(properties)
            else:
                self._patch(properties={str(key): str(value) for key, value in properties.items()})

    # --- runs below it ---

    def child_run(
        self, name: Optional[str] = None, run_id: Optional[str] = None, outputs: Any = None
    ) -> Run:
        """Start an interactive run below this one; it ends by its own complete()."""
        with translated():
            child = self._writer().child_run(name or "", run_id=run_id)
        return Run(self.experiment, child.id, _native=child)

    def create_children(
        self, count: Optional[int] = None, tag_key: Optional[str] = None,
        tag_values: Optional[List[Any]] = None,
    ) -> List[Run]:  # fmt: skip
        """Start several at once: `count` of them, or one for each of the tag's values."""
        if (count is None) == (tag_key is None or tag_values is None):
            raise UserErrorException("give either count, or tag_key and tag_values")
        if count is not None:
            return [self.child_run() for _ in range(count)]
        children = []
        for value in tag_values or ():
            child = self.child_run()
            child.tag(str(tag_key), value)
            children.append(child)
        return children

    def submit_child(
        self, config: Any, tags: Optional[Mapping[str, Any]] = None, **kwargs: Any
    ) -> Run:
        """Submit a run below this one; returns at once."""
        child: Run = self.experiment._submit(config, tags, parent=self.id, **kwargs)
        return child

    def get_children(
        self, recursive: bool = False, tags: Any = None, properties: Any = None,
        type: Optional[str] = None, status: Optional[str] = None,
    ) -> Iterator[Run]:  # fmt: skip
        """The runs below this one, newest first; with `recursive`, below those too."""
        wanted = listing.Wanted(type=type, tags=tags, properties=properties, status=status)
        ids = self._children()
        for child_id in reversed(ids):
            child = _of_id(self.experiment.workspace, child_id)
            if wanted.has(child):
                yield child
            if recursive:
                yield from child.get_children(True, tags, properties, type, status)

    def _children(self) -> List[str]:
        ids: List[str] = []
        folder = self._folder()
        if folder is not None:  # the server may not know the newest yet
            told = metrics.records(folder)
            ids = [record["id"] for record in told if record.get("k") == logged.CHILD]
            home = reach.home_of(folder)
            ids = [child for child in ids if reach.folder(home, child) is not None]
        known = self._handle().fetch()["children"]
        return [*known, *(child for child in ids if child not in known)]

    # --- its course ---

    def start(self) -> None:
        """Nothing to do: it has started."""

    def start_logging(self, *args: Any, **kwargs: Any) -> Run:
        """Make sure that this run is started: it is. Returns itself."""
        return self

    def flush(self, timeout_seconds: float = 300) -> None:
        """Return when everything logged so far is on the disk."""
        if self._logger is not None:
            with translated():
                self._logger.flush()

    def complete(self) -> None:
        """End an interactive run well. In a submitted one, only flush: its exit code decides."""
        self._end(lambda native: native.complete())

    def fail(self, error_details: Any = None, error_code: Optional[str] = None) -> None:
        """End the run as Failed: an interactive one now, a submitted one when it is over."""
        self._end(lambda native: native.fail(error_details, error_code))

    def cancel(self) -> None:
        """Stop the run with everything that it has started; from outside, returns at once."""
        if self._native is None:
            with translated():
                self._handle().cancel("canceled by run.cancel()")
        else:
            self._end(lambda native: native.cancel())

    def _end(self, end: Callable[[NativeRun], None]) -> None:
        if self._has_ended or (self._native is None and self._is_over()):
            return
        native = self._writer()
        is_owner = native.is_interactive
        with translated():
            end(native)
        if is_owner:
            self._has_ended, self._logger = True, None

    def __enter__(self) -> Run:
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        native = self._writer() if not self._has_ended else None
        if native is not None:
            self._end(lambda native: native.__exit__(kind, error, trace))

    # --- code, models, environment, secrets ---

    def get_snapshot_id(self) -> str:
        """The digest of the code that it runs on. Raises ServiceException without a snapshot."""
        digest = (self._spec().get("source") or {}).get("digest")
        if not digest:
            raise ServiceException(f"run {self.id} has no snapshot: it runs where its code stands")
        return str(digest)

    def restore_snapshot(
        self, snapshot_id: Optional[str] = None, path: Optional[str] = None
    ) -> str:
        """Fetch the code that it runs on as a ZIP file; returns its path.

        `path` is that file, or the folder in which it is to be (default: here, by the digest).
        Raises ServiceException without a snapshot, UserErrorException for another run's.
        """
        from outlast.azureml.files import zipped

        own = self.get_snapshot_id()
        if snapshot_id not in (None, own):
            raise UserErrorException(f"snapshot_id = {snapshot_id!r}: run {self.id} has {own}")
        target = os.path.abspath(path or ".")
        if os.path.isdir(target):
            target = os.path.join(target, f"{own}.zip")
        with translated():
            zipped(self._handle().download_snapshot, target)
        return target

    def register_model(
        self, model_name: str, model_path: Optional[str] = None, tags: Any = None,
        properties: Any = None, model_framework: Optional[str] = None,
        model_framework_version: Optional[str] = None, description: Optional[str] = None,
        datasets: Any = None, sample_input_dataset: Any = None, sample_output_dataset: Any = None,
        resource_configuration: Any = None, **kwargs: Any,
    ) -> Any:  # fmt: skip
        """Register a file or folder of the run's (default: `model_name`); returns the Model.

        Of a run that goes on, the wish is on the disk when this returns, and is carried out once
        the files are stored; the Model's version is known then.
        """
        path = model_path or model_name
        facts: Dict[str, Any] = {
            "tags": model_tags(tags),
            "properties": own_properties(
                properties,
                model_framework,
                model_framework_version,
                datasets,
                resource_configuration,
            ),
            "description": description or "",
        }
        with translated():
            if not self._is_over():
                self._writer().register_model(model_name, path, **facts)
                wish: Dict[str, Any] = {"_wished": self.id}
            else:
                from outlast.sdk import models

                client = self._client()
                native = models.register(model_name, path, run=self.id, workspace=client, **facts)
                wish = {"_native": native}
        return Model(self.experiment.workspace, model_name, **wish)

    def get_environment(self) -> Any:
        """The environment that it was submitted with."""
        from outlast.azureml.environment import Environment

        spec = self._spec()
        made = Environment._of_spec(spec.get("environment") or {})
        made.name = (spec.get("properties") or {}).get("azureml.environment", made.name)
        return made

    def get_secret(self, name: str) -> str:
        """The environment variable of this name, else the secret in the workspace's Keyvault."""
        found = self.get_secrets([name])[name]
        if found is None:
            raise UserErrorException(
                f"secret {name!r}: there is none; set the environment variable {name}, or call "
                f"ws.get_default_keyvault().set_secret({name!r}, …)"
            )
        return found

    def get_secrets(self, secrets: List[str]) -> Dict[str, Optional[str]]:
        """The values of these names, as get_secret finds them; None for one that isn't there."""
        folder = os.path.join(self._where() or reach.default_folder(), keyvault.FOLDER)
        return {
            name: os.environ[name] if name in os.environ else keyvault.value_in(folder, name)
            for name in secrets
        }


class ScriptRun(Run):
    """A run that was submitted with a ScriptRunConfig."""

    RUN_TYPE = "azureml.scriptrun"

    def __init__(
        self, experiment: Any, run_id: str, directory: Optional[str] = None, **kwargs: Any
    ) -> None:
        super().__init__(experiment, run_id, **kwargs)
        self._directory = directory


class _SubmittedRun(Run):
    """The run of this process, which was started for it."""

    @property
    def input_datasets(self) -> Dict[str, Any]:
        """The inputs that it was submitted with, by name: paths, and tables as datasets."""
        folder = self._folder()
        found = InputDatasets() if folder is None else inputs_of(folder)
        inputs: Mapping[str, Any] = self._spec().get("parameters", {}).get("inputs", {})
        found.update({name: facts["path"] for name, facts in inputs.items()})
        return found

    @property
    def output_datasets(self) -> Dict[str, Any]:
        """The folders that it fills for datastores and datasets, by name."""
        found = OutputDatasets()
        found.update(
            {
                name: os.environ.get(name, one["folder"])
                for name, one in _delivered(self._spec()).items()
            }
        )
        return found


def _delivered(spec: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = spec.get("deliveries") or {}
    return found


class _OfflineRun(_SubmittedRun):
    """The run that get_context() makes for a script that belongs to none."""


_contexts: Dict[int, Run] = {}


def of_native(native: NativeRun, kind: Optional[Type[Run]] = None) -> Run:
    """The Run of this process's native one: the same object each time."""
    found = _contexts.get(id(native))
    if found is None or found._native is not native:
        offline = _OfflineRun if native.id.startswith("OfflineRun") else Run
        chosen = kind or (offline if native.is_interactive else _SubmittedRun)
        found = _contexts[id(native)] = chosen(None, native.id, _native=native)
    return found


def _of_id(workspace: Any, run_id: str) -> Run:
    with translated():
        found: Run = workspace.get_run(run_id)
        return found


def get_run(experiment: Any, run_id: str, rehydrate: bool = True, clean_up: bool = True) -> Run:
    """The run of this id in the experiment's workspace."""
    return _of_id(experiment.workspace, run_id)
