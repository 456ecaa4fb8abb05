"""`azureml.core.Experiment`: start an interactive run, submit one, list them.

An experiment exists once it has a run; its tags are kept in no other place than this object.
"""

from __future__ import annotations

import os
from typing import Any, Dict, Iterator, List, Mapping, Optional

from outlast.azureml import listing, run_kinds
from outlast.azureml.exceptions import UserErrorException, of, translated
from outlast.azureml.portal import Portal
from outlast.azureml.run import Run, of_native
from outlast.errors import Invalid
from outlast.ids import check_name


class Experiment(Portal):
    """The runs of one name in a workspace."""

    def __init__(self, workspace: Any, name: str, **kwargs: Any) -> None:
        """Raises UserErrorException for a name that can't be, or what is no workspace."""
        if not hasattr(workspace, "_client"):
            raise UserErrorException(f"workspace = {workspace!r}: give a Workspace")
        try:
            self._name = check_name("name", name)
        except Invalid as error:
            raise of(error) from error
        self._workspace = workspace
        self._tags: Dict[str, Optional[str]] = dict(kwargs.get("tags") or {})
        self._begun: List[Run] = []  # by this object, and maybe not over

    def __repr__(self) -> str:
        return f"Experiment(Name: {self.name},\nWorkspace: {self.workspace.name})"

    @property
    def name(self) -> str:
        return self._name

    @property
    def id(self) -> str:
        """Its name: that is what tells experiments apart."""
        return self._name

    @property
    def workspace(self) -> Any:
        return self._workspace

    @property
    def workspace_object(self) -> Any:
        """As workspace."""
        return self._workspace

    @property
    def tags(self) -> Dict[str, Optional[str]]:
        """The tags that were given to this object."""
        return dict(self._tags)

    def tag(self, key: str, value: Optional[str] = None) -> None:
        """Give this object a tag."""
        self._tags[key] = value

    def set_tags(self, tags: Mapping[str, Optional[str]]) -> None:
        """Give this object several tags."""
        self._tags.update(tags)

    def remove_tags(self, tags: List[str]) -> None:
        """Take tags from this object."""
        for name in tags:
            self._tags.pop(name, None)

    def refresh(self) -> None:
        """Nothing to do: what is asked for is asked of the server each time."""

    @staticmethod
    def list(
        workspace: Any, experiment_name: Optional[str] = None,
        view_type: str = "ActiveOnly", tags: Any = None,
    ) -> List[Experiment]:  # fmt: skip
        """The experiments that have runs."""
        with translated():
            names = [str(row["name"]) for row in workspace._client().experiments()]
        return [Experiment(workspace, name) for name in names if experiment_name in (None, name)]

    def get_runs(
        self, type: Optional[str] = None, tags: Any = None, properties: Any = None,
        include_children: bool = False, _status: Optional[str] = None,
    ) -> Iterator[Run]:  # fmt: skip
        """Its runs, newest first."""
        wanted = listing.Wanted(type, tags, properties, _status)
        client = self.workspace._client()
        with translated():
            for run in self._begun:  # the server may not have noticed yet what happened here
                run._wait_noticed()
            self._begun = [run for run in self._begun if not run._has_ended]
            for row in listing.rows(client, self.name, wanted, include_children=include_children):
                run = run_kinds.shown(self, row)
                if wanted.has_properties(run):
                    yield run

    def get_portal_url(self) -> str:
        """The page of its runs in the studio."""
        from urllib.parse import quote

        url = self.workspace._client().connection.address.url
        return f"{url}/runs?experiment={quote(self.name, safe='')}"

    @property
    def portal_url(self) -> str:
        """The address of the server."""
        return str(self.workspace._client().connection.address.url)

    def start_logging(self, *args: Any, **kwargs: Any) -> Run:
        """Start an interactive run that this process owns; it ends by complete(), fail(), cancel().

        Keywords: `outputs` (a folder, which is made, and collected at its end; by default
        "outputs", with False none), `display_name`, `run_id`; `snapshot_directory` is accepted and
        not used. Raises UserErrorException for others.
        """
        from outlast.runtime import start_logging

        given = dict(zip(("outputs", "snapshot_directory"), args))
        given.update(kwargs)
        known = ("outputs", "snapshot_directory", "display_name", "run_id")
        for name in given:
            if name not in known:
                raise UserErrorException(f"start_logging takes {', '.join(known)}, not {name}")
        outputs = [{"path": name, "is_required": False} for name in _watched(given.get("outputs"))]
        client = self.workspace._client()
        if client.url:
            raise UserErrorException(
                "start_logging needs a workspace on this machine; submit a run"
            )
        with translated():
            native = start_logging(
                self.name, given.get("display_name") or "", home=str(client.home),
                outputs=outputs, run_id=given.get("run_id"), tags=self._tags,
            )  # fmt: skip
        run = of_native(native, Run)
        run._experiment = self
        self._begun.append(run)
        return run

    def submit(self, config: Any, tags: Optional[Mapping[str, Any]] = None, **kwargs: Any) -> Run:
        """Queue what `config` describes and return at once.

        Beside Azure ML's keywords: `inputs={name: run.get_output_data(folder)}`, and `show_output`,
        which follows the run to its end. Raises UserErrorException for what can't be run.
        """
        return self._submit(config, tags, **kwargs)

    def _submit(
        self, config: Any, tags: Optional[Mapping[str, Any]] = None, *,
        parent: Optional[str] = None, show_output: bool = False, **kwargs: Any,
    ) -> Run:  # fmt: skip
        if not hasattr(config, "_submitted"):
            raise UserErrorException(
                f"config = {type(config).__name__}: give a ScriptRunConfig, as "
                "ScriptRunConfig(source_directory='.', script='train.py')"
            )
        texts = {str(k): None if v is None else str(v) for k, v in (tags or {}).items()}
        run: Run = config._submitted(self, texts, parent=parent, **kwargs)
        if show_output:
            run.wait_for_completion(show_output=True)
        return run


def _watched(outputs: Any) -> List[str]:
    """The folder that an interactive run collects, made: "outputs" unless told otherwise."""
    if outputs is not None and not outputs:
        return []
    folder = os.fspath(outputs or "outputs")
    try:
        os.makedirs(folder, exist_ok=True)
    except OSError as error:
        if outputs is None and not os.path.isdir(folder):  # where nothing can be written
            return []
        raise UserErrorException(f"outputs = {folder!r}: {error.strerror}") from None
    return [folder]
