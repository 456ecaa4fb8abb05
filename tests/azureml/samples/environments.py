# Environments: define, keep, find again, and run in one.
import os
import sys

from azureml.core import Environment, Experiment, ScriptRunConfig, Workspace
from azureml.core.conda_dependencies import CondaDependencies
from azureml.core.runconfig import DEFAULT_CPU_IMAGE, RunConfiguration

ws = Workspace.from_config()

# packages by pip
myenv = Environment(name="sample-env")
conda_dep = CondaDependencies()
conda_dep.add_pip_package("small-package==1.0")
myenv.python.conda_dependencies = conda_dep
myenv.environment_variables = {"GREETING": "hello"}
myenv.docker.base_image = DEFAULT_CPU_IMAGE
registered = myenv.register(workspace=ws)
print(registered.name, registered.version)

found = Environment.get(workspace=ws, name="sample-env")
assert found.version == registered.version
assert "sample-env" in Environment.list(workspace=ws)
assert list(found.python.conda_dependencies.pip_packages) == ["small-package==1.0"]

os.makedirs("project", exist_ok=True)
with open("project/train.py", "w") as f:
    f.write("""
import os, sys
import small_package
from azureml.core import Run
run = Run.get_context()
run.log("version", small_package.version)
run.log("greeting", os.environ["GREETING"])
run.log("prefix", sys.prefix)
try:
    import outlast.cli
    run.log("bare", "no")
except ImportError:
    run.log("bare", "yes")
""")
src = ScriptRunConfig(source_directory="project", script="train.py", environment=found)
run = Experiment(ws, "environments").submit(src)
run.wait_for_completion(show_output=True)
metrics = run.get_metrics()
assert metrics["version"] == "1.0"
assert metrics["greeting"] == "hello"
assert metrics["prefix"] != sys.prefix
assert metrics["bare"] == "yes"

# a second run finds it made
run_config = RunConfiguration()
run_config.environment = found
again = Experiment(ws, "environments").submit(
    ScriptRunConfig("project", "train.py", run_config=run_config))
again.wait_for_completion()
assert again.get_metrics()["prefix"] == metrics["prefix"]
assert again.get_environment().name == "sample-env"

# from files
with open("requirements.txt", "w") as f:
    f.write("small-package\n# more to come\n")
with open("environment.yml", "w") as f:
    f.write("name: x\ndependencies:\n- python=3.11\n- pip:\n  - small-package\n")
pip_env = Environment.from_pip_requirements(name="pip-env", file_path="requirements.txt")
conda_env = Environment.from_conda_specification(name="conda-env", file_path="environment.yml")
for env in (pip_env, conda_env):
    assert list(env.python.conda_dependencies.pip_packages) == ["small-package"]
