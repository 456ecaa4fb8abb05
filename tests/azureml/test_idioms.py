"""The twenty things that public scripts use most, each as they write it, by `outlast exec`.

In the order of how many of 389 public notebooks and scripts have it.
"""

from __future__ import annotations

import pytest

from tests.azureml.scripted import Scripts
from tests.sdk.place import Place

pytestmark = pytest.mark.slow

CONFIG = '{"subscription_id": "my-sub", "resource_group": "my-group", "workspace_name": "my-ws"}'
WORKSPACE = "from azureml.core import Workspace\nws = Workspace.from_config()\n"
TRAIN = """
import argparse
from azureml.core import Run
parser = argparse.ArgumentParser()
parser.add_argument("--learning_rate", type=float, default=0.1)
args = parser.parse_args()
run = Run.get_context()
for step in range(3):
    run.log("loss", args.learning_rate / (step + 1))
print("trained with", args.learning_rate)
"""
SUBMIT = (
    WORKSPACE + "from azureml.core import Experiment, ScriptRunConfig\n"
    "experiment = Experiment(workspace=ws, name='{name}')\n"
    "config = ScriptRunConfig(source_directory='.', script='train.py', "
    "arguments=['--learning_rate', 0.5])\n"
    "run = experiment.submit(config=config)\n"
)
CLUSTER = (
    WORKSPACE + "from azureml.core.compute import AmlCompute, ComputeTarget\n"
    "from azureml.core.compute_target import ComputeTargetException\n"
    "compute_config = AmlCompute.provisioning_configuration(vm_size='STANDARD_D2_V2',\n"
    "    vm_priority='lowpriority', min_nodes=0, max_nodes=4, idle_seconds_before_scaledown=2400)\n"
)


class Idiom:
    """Runs snippets in the test's folder and gives what they print."""

    def __init__(self, scripts: Scripts) -> None:
        self.scripts = scripts
        scripts.write("train.py", TRAIN)

    def printed(self, snippet: str) -> str:
        done = self.scripts.run(self.scripts.write("snippet.py", snippet))
        assert done.code == 0, done.out + done.err
        return done.out


@pytest.fixture
def idiom(scripts: Scripts) -> Idiom:
    return Idiom(scripts)


def test_01_workspace_from_config_finds_the_file_and_works_without(idiom: Idiom) -> None:
    assert idiom.printed(WORKSPACE + "print(ws.name)") == "local\n"
    idiom.scripts.write("config.json", CONFIG)
    (idiom.scripts.folder / "deep").mkdir()
    below = "import os\nos.chdir('deep')\n"
    assert idiom.printed(below + WORKSPACE + "print(ws.name)") == "my-ws\n"
    named = "from azureml.core import Workspace\nprint(Workspace.from_config('{}').name)"
    assert idiom.printed(named.format("config.json")) == "my-ws\n"


def test_02_an_experiment_has_a_name_and_its_runs(idiom: Idiom) -> None:
    snippet = "from azureml.core import Experiment\nexperiment = Experiment(ws, 'idiom-02')\n"
    told = "print(experiment.name, experiment.workspace.name, list(experiment.get_runs()))"
    assert idiom.printed(WORKSPACE + snippet + told) == "idiom-02 local []\n"


def test_03_submit_returns_a_run_at_once(idiom: Idiom, place: Place) -> None:
    go = idiom.scripts.folder / "go"
    held = f"import os, time\nwhile not os.path.exists({str(go)!r}):\n    time.sleep(0.02)\n"
    idiom.scripts.write("train.py", held + TRAIN)
    told = "print(run.id, run.get_status(), run.get_portal_url())"
    run_id, status, url = idiom.printed(SUBMIT.format(name="idiom-03") + told).split()
    assert status not in ("Completed", "Failed", "Canceled")
    assert url.endswith(f"/runs/{run_id}")
    # Its submitter has ended; it hasn't.
    go.touch()
    assert place.workspace.run(run_id).wait() == "Completed"


@pytest.mark.parametrize(
    ("attribute", "local", "named"),
    [
        pytest.param("name", "local", "my-ws", id="04-name"),
        pytest.param("location", "local", "local", id="05-location"),
        pytest.param("resource_group", "local", "my-group", id="06-resource_group"),
        pytest.param(
            "subscription_id", "00000000-0000-0000-0000-000000000000", "my-sub",
            id="07-subscription_id",
        ),
    ],
)  # fmt: skip
def test_what_a_workspace_is_called_is_printed(
    idiom: Idiom, attribute: str, local: str, named: str
) -> None:
    told = f"print('Value: ' + ws.{attribute}, sep='\\t')"
    assert idiom.printed(WORKSPACE + told) == f"Value: {local}\n"
    idiom.scripts.write("config.json", CONFIG)
    assert idiom.printed(WORKSPACE + told) == f"Value: {named}\n"


def test_08_waiting_for_a_cluster_shows_that_it_is_ready(idiom: Idiom) -> None:
    snippet = CLUSTER + (
        "cluster = ComputeTarget.create(ws, 'idiom-08', compute_config)\n"
        "cluster.wait_for_completion(show_output=True, min_node_count=None,\n"
        "                            timeout_in_minutes=20)\n"
        "print(cluster.get_status().serialize()['currentNodeCount'])\n"
    )
    shown = idiom.printed(snippet)
    assert "Succeeded" in shown
    assert shown.splitlines()[-1].isdigit()


def test_09_a_target_is_created_where_there_is_none(idiom: Idiom) -> None:
    snippet = CLUSTER + (
        "for attempt in range(2):\n"
        "    try:\n"
        "        target = ComputeTarget(workspace=ws, name='idiom-09')\n"
        "        print('Found existing cluster, use it.')\n"
        "    except ComputeTargetException:\n"
        "        target = ComputeTarget.create(ws, 'idiom-09', compute_config)\n"
        "        print('made', target.name)\n"
        "print('idiom-09' in ws.compute_targets)\n"
    )
    told = idiom.printed(snippet).splitlines()[-3:]  # before: how its size fits this machine
    assert told == ["made idiom-09", "Found existing cluster, use it.", "True"]


def test_10_a_cluster_is_described_before_it_is_made(idiom: Idiom) -> None:
    told = "print(compute_config.vm_size, compute_config.scale_settings.maximum_node_count)"
    assert idiom.printed(CLUSTER + told) == "STANDARD_D2_V2 4\n"


def test_11_waiting_shows_the_output_and_ends_with_the_run(idiom: Idiom) -> None:
    told = "details = run.wait_for_completion(show_output=True)\nprint(details['status'])"
    shown = idiom.printed(SUBMIT.format(name="idiom-11") + told).splitlines()
    assert shown[0].startswith("RunId: ")
    assert "trained with 0.5" in shown
    assert shown[-1] == "Completed"


def test_12_get_context_is_the_jobs_run_and_without_a_job_one_that_is_kept(idiom: Idiom) -> None:
    shown = idiom.printed(
        SUBMIT.format(name="idiom-12") + "run.wait_for_completion()\n"
        "print([r.id == run.id for r in experiment.get_runs()], run.get_metrics()['loss'][0])"
    )
    assert shown == "[True] 0.5\n"
    offline = (
        "from azureml.core import Run\nrun = Run.get_context()\nrun.log('a', 1)\n"
        "print(run.id.startswith('OfflineRun'), run.get_metrics(), run.experiment.name)"
    )
    assert idiom.printed(offline) == "True {'a': 1} local\n"


def test_13_the_default_datastore_takes_files(idiom: Idiom) -> None:
    idiom.scripts.write("data.csv", "a,b\n1,2\n")
    snippet = WORKSPACE + (
        "ds = ws.get_default_datastore()\n"
        "ds.upload_files(files=['./data.csv'], target_path='idiom-13/', overwrite=True)\n"
        "print(ds.name, ds.download('fetched', prefix='idiom-13'))\n"
        "print(open('fetched/idiom-13/data.csv').read())\n"
    )
    assert "workspaceblobstore 1\na,b\n1,2\n" in idiom.printed(snippet)


def test_14_a_script_run_config_holds_script_arguments_and_target(idiom: Idiom) -> None:
    told = (
        "run.wait_for_completion()\ndefinition = run.get_details()['runDefinition']\n"
        "print(definition['script'], definition['arguments'], config.run_config.target)"
    )
    shown = idiom.printed(SUBMIT.format(name="idiom-14") + told)
    assert shown == "train.py ['--learning_rate', '0.5'] local\n"


def test_15_an_unknown_target_is_the_exception_that_scripts_wait_for(idiom: Idiom) -> None:
    snippet = CLUSTER + (
        "try:\n    ComputeTarget(workspace=ws, name='no-such-cluster')\n"
        "except ComputeTargetException as e:\n    print(e.message)\n"
    )
    shown = idiom.printed(snippet)
    assert "ComputeTargetNotFound" in shown
    assert "no-such-cluster" in shown


@pytest.mark.parametrize("show", ["", ".show()"], ids=["16-RunDetails", "17-show"])
def test_run_details_are_shown_as_text_outside_a_notebook(idiom: Idiom, show: str) -> None:
    told = (
        f"from azureml.widgets import RunDetails\nrun.wait_for_completion()\nRunDetails(run){show}"
    )
    shown = idiom.printed(SUBMIT.format(name="idiom-16") + told + "\nprint(run.id)")
    run_id = shown.split()[-1]
    assert not show or run_id in shown.rpartition(run_id)[0]


def test_18_what_is_logged_again_under_its_name_is_a_series(idiom: Idiom) -> None:
    told = "run.wait_for_completion()\nprint(run.get_metrics())"
    shown = idiom.printed(SUBMIT.format(name="idiom-18") + told)
    assert shown == f"{ {'loss': [0.5, 0.25, 0.5 / 3]} }\n"


def test_19_a_tabular_dataset_is_made_of_a_file_and_registered(idiom: Idiom) -> None:
    idiom.scripts.write("data.csv", "a,b\n1,x\n2,y\n")
    snippet = WORKSPACE + (
        "from azureml.core import Dataset\n"
        "data = Dataset.Tabular.from_delimited_files(path='data.csv')\n"
        "data = data.register(workspace=ws, name='idiom-19', create_new_version=True)\n"
        "print(data.name, data.version, Dataset.get_by_name(ws, name='idiom-19').version)\n"
    )
    assert idiom.printed(snippet) == "idiom-19 1 1\n"


def test_20_a_tabular_dataset_becomes_a_dataframe(idiom: Idiom) -> None:
    idiom.scripts.write("data.csv", "a,b\n1,x\n2,y\n")
    snippet = (
        "from azureml.core import Dataset\n"
        "df = Dataset.Tabular.from_delimited_files('data.csv').to_pandas_dataframe()\n"
        "print(df.shape, df['a'].sum(), list(df['b']))\n"
    )
    assert idiom.printed(snippet) == "(2, 2) 3 ['x', 'y']\n"
