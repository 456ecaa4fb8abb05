# Train on remote compute, here the local machine: parameters from the command line, one run each.
import os

from azureml.core import Environment, Experiment, ScriptRunConfig, Workspace

ws = Workspace.from_config()
experiment = Experiment(workspace=ws, name="sklearn-digits")

script_folder = os.path.join(os.getcwd(), "train_on_digits")
env = Environment("user-managed-env")
env.python.user_managed_dependencies = True

runs = []
for reg in (0.001, 10.0):
    src = ScriptRunConfig(
        source_directory=script_folder,
        script="train.py",
        arguments=["--data-size", 300, "--regularization", reg],
        compute_target="local",
        environment=env,
    )
    run = experiment.submit(config=src, tags={"regularization": str(reg)})
    print("submitted", run.id, run.get_status())
    runs.append(run)

for run in runs:
    run.wait_for_completion(show_output=True)

best = max(runs, key=lambda r: r.get_metrics()["accuracy"])
print("best:", best.tags["regularization"], best.get_metrics())
assert best.tags["regularization"] == "0.001"
assert best.get_metrics()["accuracy"] > 0.9
assert len(best.get_metrics()["loss"]) == 40
print(best.get_file_names())
assert "outputs/digits_model.npz" in best.get_file_names()
best.download_file("outputs/digits_model.npz", output_file_path="downloaded/model.npz")
assert os.path.getsize("downloaded/model.npz") > 1000

definition = best.get_details()["runDefinition"]
assert definition["script"] == "train.py"
assert definition["arguments"] == ["--data-size", "300", "--regularization", "0.001"]

model = best.register_model(model_name="digits", model_path="outputs/digits_model.npz",
                            tags={"data": "digits"})
print(model.name, model.id, model.version, sep="\t")
assert model.version == 1
