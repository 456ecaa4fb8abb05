# Log and manage runs: start one in this script, write down what it does, look at it, end it.
import base64
from azureml.core import Experiment, Run, Workspace

PNG = ("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk"
       "+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==")
with open("plot.png", "wb") as f:
    f.write(base64.b64decode(PNG))

ws = Workspace.from_config()
print("Workspace name: " + ws.name,
      "Azure region: " + ws.location,
      "Subscription id: " + ws.subscription_id,
      "Resource group: " + ws.resource_group, sep="\n")

exp = Experiment(workspace=ws, name="log-and-manage-runs")
run = exp.start_logging(display_name="first try", snapshot_directory=None)
print(run.get_portal_url())

# one value, a value that changes, a list, a row, a table, an image
run.log(name="message", value="Hello from run!")
for alpha in [0.1, 0.2, 0.4, 0.8]:
    run.log("alpha", alpha)
run.log_list("fibonacci", [0, 1, 1, 2, 3, 5, 8], description="a list")
run.log_row("cosine", description="a row", angle=0.0, cos=1.0)
run.log_row("cosine", angle=3.14, cos=-1.0)
run.log_table("confusion", {"label": ["a", "b"], "count": [3, 5]})
run.log_image("plot", path="plot.png")
run.log_confusion_matrix("matrix", {
    "schema_type": "confusion_matrix", "schema_version": "v1",
    "data": {"class_labels": ["0", "1"], "matrix": [[9, 1], [2, 8]]},
})

run.tag("quality", "good run")
run.set_tags({"FavoriteColor": "fuchsia", "quality": "excellent run"})
run.add_properties({"author": "azureml-user"})
print(run.get_status())
assert run.get_status() == "Running"
run.complete()
assert run.get_status() == "Completed"

metrics = run.get_metrics()
print(metrics)
assert metrics["message"] == "Hello from run!"
assert metrics["alpha"] == [0.1, 0.2, 0.4, 0.8]
assert metrics["fibonacci"][-1] == 8
assert metrics["cosine"] == {"angle": [0.0, 3.14], "cos": [1.0, -1.0]}
assert metrics["confusion"]["count"] == [3, 5]
assert run.tags["quality"] == "excellent run"
assert run.properties["author"] == "azureml-user"
details = run.get_details()
assert (details["runId"], details["status"]) == (run.id, "Completed")

# a run of which it turns out that it went wrong, and one that isn't wanted any more
with exp.start_logging() as local_run:
    local_run.log("accuracy", 0.1)
    local_run.fail(error_details="below the threshold")
assert local_run.get_status() == "Failed"
unwanted = exp.start_logging()
unwanted.cancel()
assert unwanted.get_status() == "Canceled"

fetched = Run.get(ws, run.id)
assert fetched.display_name == "first try"
assert [r.id for r in exp.get_runs()] == [unwanted.id, local_run.id, run.id]
assert "log-and-manage-runs" in [e.name for e in Experiment.list(ws)]
