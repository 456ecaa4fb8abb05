# A run with runs below it: folds of a cross validation, and one that is submitted.
import os

from azureml.core import Experiment, Run, ScriptRunConfig, Workspace

ws = Workspace.from_config()
experiment = Experiment(ws, "child-runs")

with experiment.start_logging() as parent_run:
    for fold in range(3):
        with parent_run.child_run(name=f"fold {fold}") as child_run:
            child_run.log("accuracy", 0.8 + fold / 100)
            child_run.tag("fold", fold)
    batch = parent_run.create_children(count=2)
    for child in batch:
        child.log("accuracy", 0.5)
        child.complete()
    try:
        with parent_run.child_run() as broken:
            raise RuntimeError("division by zero")
    except RuntimeError:
        pass

children = list(parent_run.get_children())
assert len(children) == 6
assert {c.parent.id for c in children} == {parent_run.id}
assert broken.get_status() == "Failed"
assert parent_run.get_status() == "Completed"
best = max((c for c in children if c.get_metrics()), key=lambda c: c.get_metrics()["accuracy"])
assert best.tags["fold"] == "2"
everything = parent_run.get_metrics(recursive=True)
assert everything[best.id] == {"accuracy": 0.8 + 2 / 100}
assert [c.id for c in parent_run.get_children(tags={"fold": "0"})] != []
# children are runs of the experiment, which get_runs tells of only when asked
assert len(list(experiment.get_runs())) == 1
assert len(list(experiment.get_runs(include_children=True))) == 7

# A job makes children too, here one whose parent is the job itself.
os.makedirs("src", exist_ok=True)
with open("src/parent.py", "w") as f:
    f.write("""
from azureml.core import Run
run = Run.get_context()
for i in range(2):
    child = run.child_run(f"child {i}")
    child.log("i", i)
    child.complete()
run.log("children", 2)
""")
job = experiment.submit(ScriptRunConfig("src", "parent.py"))
job.wait_for_completion(show_output=False, wait_post_processing=True)
assert sorted(c.get_metrics()["i"] for c in Run.get(ws, job.id).get_children()) == [0, 1]
