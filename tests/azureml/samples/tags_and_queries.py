# Find runs again: by tag, property, status, and what they logged.
from azureml.core import Experiment, Workspace

ws = Workspace.from_config()
experiment = Experiment(workspace=ws, name="tags-and-queries")

for rate in [0.1, 0.2, 0.3]:
    run = experiment.start_logging()
    run.log("rate", rate)
    run.log("accuracy", 1 - rate)
    run.tag("rate", rate)
    run.add_properties({"stage": "search"})
    if rate < 0.3:
        run.complete()
    else:
        run.fail("diverged")

runs = list(experiment.get_runs())
print([(r.number, r.id, r.get_status()) for r in runs])
assert [r.number for r in runs] == [3, 2, 1]

tagged = list(experiment.get_runs(tags={"rate": "0.2"}))
assert [r.get_metrics()["rate"] for r in tagged] == [0.2]
assert len(list(experiment.get_runs(tags="rate"))) == 3
assert len(list(experiment.get_runs(properties={"stage": "search"}))) == 3
assert len(list(experiment.get_runs(properties={"stage": "final"}))) == 0

# the best run, as a thousand notebooks look for it
minimum_rmse_runid = None
for run in experiment.get_runs():
    if run.get_status() == "Completed":
        metric = run.get_metrics()["accuracy"]
        if minimum_rmse_runid is None or metric > best:
            minimum_rmse_runid, best = run.id, metric
best_run = ws.get_run(minimum_rmse_runid)
assert best_run.get_metrics(name="rate") == {"rate": 0.1}

best_run.tag("production")
assert best_run.get_tags()["production"] is None
best_run.tag("rate", "0.10")
best_run.remove_tags("production")
assert best_run.get_tags() == {"rate": "0.10"}
try:
    best_run.add_properties({"stage": "final"})
    raise SystemExit("a property was changed")
except Exception as e:
    print("refused, as it should be:", e.message)
best_run.display_name = "the best"
assert ws.get_run(best_run.id).display_name == "the best"
assert ws.experiments["tags-and-queries"].name == experiment.name
