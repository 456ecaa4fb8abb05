"""What public scripts use most is there, with the parameters that they name.

The names are the first of a count over 389 public notebooks and scripts for SDK v1, of the
classes that are served by now.
"""

from __future__ import annotations

import inspect
from importlib import import_module

import pytest

# Module and class -> member -> the parameters that scripts give by name.
USED = {
    "azureml.core.Workspace": {
        "from_config": "path auth", "name": "", "location": "", "resource_group": "",
        "subscription_id": "", "compute_targets": "", "get_details": "", "experiments": "",
        "create": "name auth subscription_id resource_group location create_resource_group sku "
        "exist_ok",
        "get": "name auth subscription_id resource_group", "sku": "", "models": "",
        "get_mlflow_tracking_uri": "", "write_config": "path file_name", "get_run": "run_id",
    },
    "azureml.core.Experiment": {
        "submit": "config tags", "start_logging": "", "get_runs": "type tags properties",
        "workspace": "", "name": "", "id": "", "list": "workspace",
    },
    "azureml.core.Run": {
        "get_context": "allow_offline", "log": "name value description step", "id": "",
        "wait_for_completion": "show_output wait_post_processing raise_on_error",
        "get_metrics": "name recursive run_type populate", "experiment": "", "tags": "",
        "register_model": "model_name model_path tags properties description datasets "
        "model_framework model_framework_version",
        "download_file": "name output_file_path", "complete": "", "parent": "", "properties": "",
        "upload_file": "name path_or_stream", "get_details": "", "get_children": "recursive tags",
        "get_file_names": "", "get_environment": "", "get_portal_url": "", "get_status": "",
        "log_image": "name path plot description", "cancel": "", "tag": "key value",
        "get_tags": "", "get_properties": "", "log_list": "name value", "log_row": "name",
        "log_table": "name value", "set_tags": "tags", "get_details_with_logs": "",
        "child_run": "name", "upload_folder": "name path", "number": "", "display_name": "",
        "download_files": "prefix output_directory output_paths append_prefix", "fail": "",
        "add_properties": "properties", "get": "workspace run_id", "status": "", "flush": "",
    },
    "azureml.core.ScriptRunConfig": {},
    "azureml.core.RunConfiguration": {"target": ""},
    "azureml.core.Environment": {
        "from_pip_requirements": "name file_path", "clone": "new_name", "register": "workspace",
        "from_conda_specification": "name file_path", "get": "workspace name version",
        "from_docker_image": "name image conda_specification pip_requirements",
    },
    "azureml.core.conda_dependencies.CondaDependencies": {
        "create": "pip_indexurl pip_packages conda_packages python_version pin_sdk_version",
        "add_pip_package": "pip_package", "add_conda_package": "conda_package",
        "add_channel": "channel", "serialize_to_string": "", "set_python_version": "version",
    },
    "azureml.core.model.Model": {
        "register": "workspace model_path model_name tags properties description datasets "
        "model_framework model_framework_version",
        "version": "", "id": "", "tags": "", "properties": "", "description": "",
        "get_model_path": "model_name version _workspace",
        "list": "workspace name tags properties run_id latest", "Framework": "",
        "download": "target_dir exist_ok", "delete": "", "created_time": "",
    },
    "azureml.core.compute.ComputeTarget": {"list": "workspace"},
}  # fmt: skip

IDIOMS = [
    "import azureml.core; print(azureml.core.VERSION)",
    "from azureml.core import Workspace, Experiment, Environment, ScriptRunConfig, Run, Model",
    "from azureml.core.workspace import Workspace",
    "from azureml.core.experiment import Experiment",
    "from azureml.core.run import Run, _OfflineRun",
    "from azureml.core.model import Model",
    "from azureml.core.compute import ComputeTarget",
    "from azureml.core.compute_target import ComputeTargetException",
    "from azureml.core.runconfig import RunConfiguration, CondaDependencies, DEFAULT_CPU_IMAGE",
    "from azureml.core.runconfig import MpiConfiguration, PyTorchConfiguration",
    "from azureml.core.script_run_config import ScriptRunConfig",
    "from azureml.core.conda_dependencies import CondaDependencies",
    "from azureml.core.environment import Environment, CondaDependencies",
    "from azureml.core.authentication import InteractiveLoginAuthentication",
    "from azureml.core.authentication import ServicePrincipalAuthentication",
    "from azureml.core.webservice import AciWebservice, AksWebservice, Webservice",
    "from azureml.core.model import InferenceConfig",
    "from azureml.exceptions import ComputeTargetException, UserErrorException",
    "from azureml._restclient.exceptions import ServiceException",
    "from azureml.telemetry import set_diagnostics_collection",
    "from azureml.core import *",
]
CASES = [
    (served, member, parameters)
    for served, members in USED.items()
    for member, parameters in members.items()
]


@pytest.mark.parametrize("statement", IDIOMS)
def test_an_import_that_scripts_write_works(statement: str) -> None:
    import_module("outlast.azureml").hook.install()
    exec(statement, {})


@pytest.mark.parametrize(("served", "member", "parameters"), CASES)
def test_a_member_that_scripts_use_is_there(served: str, member: str, parameters: str) -> None:
    module, _, name = served.rpartition(".")
    kind = getattr(import_module(f"outlast.{module}"), name)
    call = inspect.unwrap(getattr(kind, member))
    if parameters:
        assert set(parameters.split()) <= set(inspect.signature(call).parameters)
