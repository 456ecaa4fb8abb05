# A script on several processes, each of which knows its place.
import os

from azureml.core import Experiment, ScriptRunConfig, Workspace
from azureml.core.compute import AmlCompute, ComputeTarget
from azureml.core.compute_target import ComputeTargetException
from azureml.core.runconfig import PyTorchConfiguration

ws = Workspace.from_config()

cluster_name = "gpu-cluster"
try:
    compute_target = ComputeTarget(workspace=ws, name=cluster_name)
    print("Found existing compute target.")
except ComputeTargetException:
    print("Creating a new compute target...")
    compute_config = AmlCompute.provisioning_configuration(vm_size="STANDARD_DS1_V2", max_nodes=2)
    compute_target = ComputeTarget.create(ws, cluster_name, compute_config)
    compute_target.wait_for_completion(show_output=True)
print(compute_target.get_status().serialize())

os.makedirs("ranks", exist_ok=True)
with open("ranks/train.py", "w") as f:
    f.write("""
import os
from azureml.core import Run
rank, world = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
assert os.environ["MASTER_ADDR"] and int(os.environ["MASTER_PORT"]) > 0
print("rank", rank, "of", world)
run = Run.get_context()
if rank == 0:
    run.log("world", world)
run.log(f"loss of rank {rank}", 1 / (1 + rank))
""")
src = ScriptRunConfig(
    source_directory="ranks", script="train.py", compute_target=compute_target,
    distributed_job_config=PyTorchConfiguration(process_count=2, node_count=2),
)
run = Experiment(ws, "distributed").submit(src)
run.wait_for_completion(show_output=True)
assert run.get_metrics() == {"world": 2, "loss of rank 0": 1.0, "loss of rank 1": 0.5}
assert run.get_details()["target"] == cluster_name
