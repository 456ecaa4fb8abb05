"""Compute targets by their Azure ML names: pools, instances, and what is unknown."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from outlast.azureml.compute import ComputeTarget
from outlast.azureml.compute_cluster import AmlCompute, AmlComputeStatus
from outlast.azureml.compute_instance import ComputeInstance
from outlast.azureml.exceptions import ComputeTargetException, RunConfigurationException
from outlast.azureml.experiment import Experiment
from outlast.azureml.run_configuration import (
    DockerConfiguration,
    MpiConfiguration,
    PyTorchConfiguration,
    RunConfiguration,
    TensorflowConfiguration,
)
from outlast.azureml.script_config import ScriptRunConfig
from outlast.azureml.workspace import Workspace


@pytest.fixture
def workspace() -> Workspace:
    return Workspace.from_config()


def pool(workspace: Workspace, name: str, **asked: Any) -> AmlCompute:
    asked = {"vm_size": "STANDARD_D2_V2", "max_nodes": 2, **asked}
    made = ComputeTarget.create(workspace, name, AmlCompute.provisioning_configuration(**asked))
    assert isinstance(made, AmlCompute)
    return made


def test_the_idiom_find_else_create(workspace: Workspace) -> None:
    with pytest.raises(ComputeTargetException, match="found-or-made not found in provided"):
        ComputeTarget(workspace=workspace, name="found-or-made")
    made = pool(workspace, "found-or-made")
    made.wait_for_completion(show_output=True, min_node_count=None, timeout_in_minutes=20)
    found = ComputeTarget(workspace=workspace, name="found-or-made")
    assert type(found) is AmlCompute
    assert (found.type, found.provisioning_state) == ("AmlCompute", "Succeeded")
    assert "found-or-made" in workspace.compute_targets
    assert workspace.compute_targets["found-or-made"].vm_size == "STANDARD_D2_V2"
    default = workspace.get_default_compute_target("CPU")
    assert isinstance(default, AmlCompute)
    found.delete()
    assert "found-or-made" not in workspace.compute_targets


def test_the_status_reads_as_scripts_expect(workspace: Workspace) -> None:
    made = pool(workspace, "status", min_nodes=1, idle_seconds_before_scaledown=2400)
    status = made.get_status()
    told = status.serialize()
    assert told["scaleSettings"] == {
        "minNodeCount": 1, "maxNodeCount": 2, "nodeIdleTimeBeforeScaleDown": "PT2400S",
    }  # fmt: skip
    assert (told["currentNodeCount"], told["nodeStateCounts"]["idleNodeCount"]) == (1, 1)
    assert AmlComputeStatus.deserialize(json.loads(json.dumps(told))).serialize() == told
    assert made.serialize()["properties"]["properties"]["vmSize"] == "STANDARD_D2_V2"
    made.update(max_nodes=3)
    assert AmlCompute(workspace, "status").scale_settings.maximum_node_count == 3


def test_created_again_a_pool_is_set_and_another_size_is_refused(workspace: Workspace) -> None:
    pool(workspace, "again")
    assert pool(workspace, "again", max_nodes=4).scale_settings.maximum_node_count == 4
    with pytest.raises(ComputeTargetException, match="delete it first"):
        pool(workspace, "again", vm_size="STANDARD_D3_V2")


def test_how_nodes_differ_from_what_was_asked_for_is_printed(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    pool(workspace, "cut", vm_size="STANDARD_NC6", max_nodes=1000)
    assert "this machine" in capsys.readouterr().out


def test_what_is_wrong_is_a_compute_target_exception(workspace: Workspace) -> None:
    with pytest.raises(ComputeTargetException, match="STANDARD_D2_V2"):
        pool(workspace, "wrong", vm_size="STANDARD_D2_V22")
    with pytest.raises(ComputeTargetException, match="min_nodes"):
        pool(workspace, "wrong", min_nodes=3)
    with pytest.raises(ComputeTargetException, match="attaches no compute"):
        ComputeTarget.attach(workspace, "wrong", None)
    with pytest.raises(ComputeTargetException, match="local is this machine"):
        ComputeTarget(workspace, "local").delete()
    assert AmlCompute.supported_vmsizes(workspace)[0].keys() >= {"name", "vCPUs", "memoryGB"}


def test_an_instance_starts_and_stops(workspace: Workspace) -> None:
    asked = ComputeInstance.provisioning_configuration(
        vm_size="STANDARD_D3_V2", ssh_public_access=False
    )
    made = ComputeInstance.create(workspace, "desk", asked)
    made.wait_for_completion(show_output=True)
    assert type(ComputeTarget(workspace, "desk")) is ComputeInstance
    assert made.get_status().state == "Running"
    made.stop()
    assert made.get_status().serialize()["state"] == "Stopped"
    made.start()
    with pytest.raises(ComputeTargetException, match="is no AmlCompute"):
        AmlCompute(workspace, "desk")
    made.delete()


def test_a_run_on_a_pool_with_ranks(workspace: Workspace, experiment: Experiment) -> None:
    pool(workspace, "ranks", max_nodes=2)
    Path("train.py").write_text(
        "import os\nfrom azureml.core import Run\n"
        "run = Run.get_context()\n"
        "run.log('rank ' + os.environ['RANK'], int(os.environ['WORLD_SIZE']))\n"
    )
    run = experiment.submit(
        ScriptRunConfig(
            ".", "train.py", compute_target="ranks",
            distributed_job_config=PyTorchConfiguration("Gloo", 4, 2),
            docker_runtime_config=DockerConfiguration(use_docker=True),
        )
    )  # fmt: skip
    assert run.wait_for_completion()["target"] == "ranks"
    assert run.get_metrics() == {f"rank {rank}": 4 for rank in range(4)}
    assert "starts no container" in run.get_properties()["azureml.docker"]


def ranks_of(asked: Any) -> dict[str, Any]:
    config = RunConfiguration()
    config._distribute(asked)
    return config._ranks()


def test_what_the_distributed_configurations_mean() -> None:
    assert ranks_of(MpiConfiguration(2, 3)) == {
        "nodes": 3, "processes_per_node": 2, "kind": "mpi",
    }  # fmt: skip
    assert ranks_of(PyTorchConfiguration(process_count=6, node_count=2)) == {
        "nodes": 2, "processes_per_node": 3, "kind": "torch",
    }  # fmt: skip
    assert ranks_of(PyTorchConfiguration(node_count=2))["processes_per_node"] == 1
    assert ranks_of(TensorflowConfiguration(2, 1)) == {
        "nodes": 2, "kind": "tensorflow", "parameter_servers": 1,
    }  # fmt: skip
    assert RunConfiguration()._ranks() == {}
    with pytest.raises(RunConfigurationException, match="multiple of node_count"):
        ranks_of(PyTorchConfiguration(process_count=3, node_count=2))
    with pytest.raises(RunConfigurationException, match="give an MpiConfiguration"):
        ranks_of("mpi")
