"""`azureml.core.ScriptRunConfig`: a script or command, its folder and its settings.

What it describes becomes one submission of `outlast.submit`: the run works on a snapshot of
`source_directory` and collects `outputs/`, `logs/` and `output/`.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import sys
from typing import Any, Dict, List, Mapping, Optional, Union

from outlast.azureml.compute import LOCAL, ComputeTarget
from outlast.azureml.environment import DEFAULT_CPU_IMAGE, Environment
from outlast.azureml.exceptions import UserErrorException, translated
from outlast.azureml.files import SHELL, OutputFolder
from outlast.azureml.run import ScriptRun
from outlast.azureml.run_configuration import RunConfiguration
from outlast.azureml.run_data import data_of, is_data, word_of

# Collected when there is something in them; with a slash they are made before the script starts, as
# Azure ML does. It doesn't know `output`, which many scripts write.
MADE_OUTPUTS = ("outputs/", "logs/")
EXTRA_OUTPUT = "output"
_BELOW_OUTPUT = re.compile(rb"""['"](?:\./)?output/""")
_MAKES_FOLDERS = re.compile(rb"mkdir|makedirs|copytree")
# Where scripts look for the first node of an MPI job; all ranks are on this machine.
MPI_MASTER = {"AZ_BATCHAI_MPI_MASTER_NODE": "127.0.0.1", "AZ_BATCH_MASTER_NODE": "127.0.0.1:6105"}
_OPERATORS = ("&&", "||", ";", "|", ">", ">>", "<", "2>&1", "&")
_OF_SHELL = re.compile(r"[&|;<>$`*?~\n]")
_PLACE = re.compile(r"\$\{\{.*?\}\}")  # of an input or output, filled in when the run starts
INPUT_VARIABLE = "AZUREML_DATAREFERENCE_"


class ScriptRunConfig:
    """What to run, for `experiment.submit`."""

    DELIM = "#"
    MAX_DURATION_SECONDS_DEFAULT = 30 * 24 * 3600

    def __init__(
        self,
        source_directory: Optional[str],
        script: Optional[str] = None,
        arguments: Optional[List[Any]] = None,
        run_config: Optional[RunConfiguration] = None,
        _telemetry_values: Any = None,
        compute_target: Any = None,
        environment: Optional[Environment] = None,
        distributed_job_config: Any = None,
        resume_from: Any = None,
        max_run_duration_seconds: Optional[int] = MAX_DURATION_SECONDS_DEFAULT,
        command: Union[str, List[Any], None] = None,
        docker_runtime_config: Any = None,
    ) -> None:
        """With `run_config`, what it holds counts: target, environment and limits are its.

        Raises UserErrorException for `command` beside `script` or `arguments`, and wrong types.
        """
        if command is not None and (script is not None or arguments is not None):
            raise UserErrorException("give either command, or script and arguments")
        if run_config is not None and not isinstance(run_config, RunConfiguration):
            raise UserErrorException(f"run_config = {run_config!r}: give a RunConfiguration")
        if environment is not None and not isinstance(environment, Environment):
            raise UserErrorException(f"environment = {environment!r}: give an Environment")
        if isinstance(arguments, str):
            raise UserErrorException("arguments: give a list, as ['--lr', 0.1]")
        self.source_directory = os.path.abspath(source_directory or ".")
        self.script = script
        self.arguments = list(arguments or [])
        self.command = command
        self.resume_from = resume_from
        if run_config is None:
            run_config = RunConfiguration()
            run_config.target = compute_target if compute_target is not None else "local"
            run_config.environment = environment or Environment("default-environment")
            run_config.max_run_duration_seconds = max_run_duration_seconds
            run_config._distribute(distributed_job_config)
            if docker_runtime_config is not None:
                run_config.docker = docker_runtime_config
        self.run_config = run_config

    @property
    def identity(self) -> str:
        """A word for it in messages."""
        return f"{type(self).__name__}{self.DELIM}{self.script or self.run_config.script or ''}"

    def __repr__(self) -> str:
        what = self.command or self.script or self.run_config.script
        return f"ScriptRunConfig({what!r} in {self.source_directory!r})"

    def _submitted(
        self, experiment: Any, tags: Mapping[str, Optional[str]], *,
        parent: Optional[str] = None, inputs: Optional[Mapping[str, Any]] = None,
        run_id: Optional[str] = None, credential_passthrough: Any = None, **kwargs: Any,
    ) -> ScriptRun:  # fmt: skip
        """Queue it; experiment.submit is the way in."""
        from outlast.sdk.submit import submit

        if kwargs:
            raise TypeError(f"submit() got an unexpected keyword argument {next(iter(kwargs))!r}")
        words = self._arguments()
        wanted = self._wanted(experiment, inputs)
        with translated():
            handle = submit(words, tags=tags, id=run_id, parent=parent, **wanted)
        return ScriptRun(experiment, handle.id, self.source_directory)

    def _wanted(self, experiment: Any, inputs: Optional[Mapping[str, Any]]) -> Dict[str, Any]:
        """The keywords of `outlast.submit` for what is described here."""
        ranks = self.run_config._ranks()
        target = ComputeTarget._checked(experiment.workspace, self.run_config.target)
        datasets = {name: value for name, value in (inputs or {}).items() if is_data(value)}
        others = {name: value for name, value in (inputs or {}).items() if name not in datasets}
        given = {name: _input(name, value) for name, value in others.items()}
        data = data_of(self._given(), datasets, self.run_config, experiment.workspace)
        variables = dict(self.run_config.environment_variables)
        variables.update(self.run_config.environment._variables())
        variables.update({INPUT_VARIABLE + name: facts["path"] for name, facts in given.items()})
        properties = {"azureml.target": target, "azureml.runsource": "experiment"}
        properties["azureml.environment"] = self.run_config.environment.name
        properties.update(_container(self.run_config))
        command = self._command()
        if not command:
            properties["azureml.script"] = self._script()
        elif command[:2] == [*SHELL] and not self.run_config.environment._spec():
            # Its `python` is this one, as a script's is.
            path = [os.path.dirname(sys.executable), variables.get("PATH", os.environ.get("PATH"))]
            variables["PATH"] = os.pathsep.join(part for part in path if part)
        seconds = self.run_config.max_run_duration_seconds
        if ranks.get("kind") == "mpi":
            variables.update(MPI_MASTER)
        return {
            **({"distributed": ranks} if ranks else {}),
            **({"target": target} if target != LOCAL else {}),
            "experiment": experiment.name,
            "folder": self.source_directory,
            "outputs": [{"path": name, "is_required": False} for name in self._outputs()],
            "variables": variables,
            "parameters": {"inputs": given} if given else {},
            "limits": {"max_run_duration_s": seconds} if seconds else {},
            "properties": properties,
            "environment": self.run_config.environment._spec(),
            "workspace": experiment.workspace._client(),
            **data,
        }

    def _given(self) -> List[Any]:
        """The arguments as they were given, datasets among them."""
        command = self.command or self.run_config.command
        words = self.arguments or self.run_config.arguments
        return [*words, *(() if isinstance(command, str) else command or ())]

    def _arguments(self) -> List[str]:
        command = self._command()
        if command:
            return command
        script = self._script()
        if not os.path.isfile(os.path.join(self.source_directory, script)):
            raise UserErrorException(
                f"script = {script!r}: there is no such file in {self.source_directory}"
            )
        words = [word_of(word) for word in (self.arguments or self.run_config.arguments)]
        # `python` is the environment's where the run has one of its own.
        python = "python" if self.run_config.environment._spec() else sys.executable
        return [python, script, *words]

    def _outputs(self) -> List[str]:
        """The folders that are collected; `output/` is made for a script that expects it."""
        names = [*MADE_OUTPUTS, EXTRA_OUTPUT]
        if not self._command():
            with open(os.path.join(self.source_directory, self._script()), "rb") as file:
                if _expects_output_folder(file.read()):
                    names[-1] += "/"
        return names

    def _command(self) -> List[str]:
        """The words of the command; [] for a script. What only a shell understands, one gets."""
        command = self.command or self.run_config.command
        given = [command] if isinstance(command, str) else list(command or ())
        words = [word_of(word) for word in given]
        if len(words) == 1:  # a line, also as the one item of a list
            if _OF_SHELL.search(_PLACE.sub("", words[0])):
                return [*SHELL, words[0]]
            words = shlex.split(words[0])
        elif any(word in _OPERATORS for word in words):
            return [*SHELL, " ".join(words)]
        if words and words[0] in ("python", "python3") and not self.run_config.environment._spec():
            words[0] = sys.executable
        return words

    def _script(self) -> str:
        script = self.script or self.run_config.script
        if not script:
            raise UserErrorException("give a script, as script='train.py', or a command")
        return str(script)


def _container(config: RunConfiguration) -> Dict[str, str]:
    """What was asked for of a container, as the run keeps it: none is started."""
    docker = config.environment.docker
    asked = {
        "use_docker": config.docker.use_docker or docker.enabled or None,
        "arguments": config.docker.arguments or docker.arguments or None,
        "image": docker.base_image if docker.base_image != DEFAULT_CPU_IMAGE else None,
        "dockerfile": docker.base_dockerfile,
    }
    found = {name: value for name, value in asked.items() if value}
    if not found:
        return {}
    return {"azureml.docker": json.dumps({**found, "note": "kept: Outlast starts no container"})}


def _expects_output_folder(source: bytes) -> bool:
    """Does the script name files below output/, and make no folder? Then it is there already."""
    return bool(_BELOW_OUTPUT.search(source)) and not _MAKES_FOLDERS.search(source)


def _input(name: str, value: Any) -> Dict[str, Any]:
    """What is kept of an input, with the folder where the run finds it."""
    if isinstance(value, OutputFolder):
        path = value._place()
        return {"path": path, "run": value.run.id, "folder": value.folder}
    if isinstance(value, (str, os.PathLike)) and os.path.exists(value):
        return {"path": os.path.abspath(value)}
    raise UserErrorException(
        f"inputs[{name!r}] = {value!r}: give a dataset, run.get_output_data(folder), or a path "
        "that exists"
    )
