"""Datasets and datastores by Azure ML's names: tables, files, the registry, inputs and outputs."""

from __future__ import annotations

import datetime
import sys
from pathlib import Path
from typing import Any

import pytest

from outlast.azureml.data_path import DataPath, DataReference
from outlast.azureml.dataset import Dataset
from outlast.azureml.dataset_factory import DataType
from outlast.azureml.dataset_input import DatasetConsumptionConfig
from outlast.azureml.dataset_output import LinkTabularOutputDatasetConfig, OutputFileDatasetConfig
from outlast.azureml.dataset_types import DatasetValidationError, PromoteHeadersBehavior
from outlast.azureml.datastore import AzureBlobDatastore, Datastore
from outlast.azureml.exceptions import DatasetTimestampMissingError, UserErrorException
from outlast.azureml.experiment import Experiment
from outlast.azureml.script_config import ScriptRunConfig
from outlast.azureml.workspace import Workspace
from tests.data.web import served

pandas: Any = pytest.importorskip("pandas")

PEOPLE = "id,age,city,day\n" + "".join(
    f'{n},{n + 20},"Rome, {n % 2}",2020-01-{n + 1:02}\n' for n in range(10)
)


@pytest.fixture
def ws() -> Workspace:
    return Workspace.from_config()


@pytest.fixture
def store(ws: Workspace) -> Any:
    return ws.get_default_datastore()


@pytest.fixture
def people(here: Path) -> Any:
    (here / "people.csv").write_text(PEOPLE)
    return Dataset.Tabular.from_delimited_files(str(here / "people.csv"))


def ages(table: Any) -> list[int]:
    return [int(age) for age in table.to_pandas_dataframe()["age"]]


def test_a_table_is_read_with_its_quotes_and_dates(people: Any) -> None:
    read = people.to_pandas_dataframe()
    assert list(read.columns) == ["id", "age", "city", "day"]
    assert read["city"][1] == "Rome, 1"
    assert read["day"][0] == pandas.Timestamp(2020, 1, 1)


def test_a_table_from_a_web_address(ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with served() as web:
        url = web.put("/people.csv", PEOPLE.encode(), ETag='"1"')
        table = Dataset.Tabular.from_delimited_files(path=url)
        assert len(table.to_pandas_dataframe()) == 10
        table.register(ws, "from_the_web")
        assert not table._native(ws).has_changed()


def test_columns_and_rows_are_chosen(people: Any) -> None:
    assert list(people.keep_columns(["id", "age"]).to_pandas_dataframe().columns) == ["id", "age"]
    assert "age" not in people.drop_columns("age").to_pandas_dataframe().columns
    assert ages(people.skip(2).take(3)) == [22, 23, 24]
    assert ages(people.filter((people["age"] > 21) & ~(people["age"] >= 24))) == [22, 23]
    assert ages(people.filter(people["city"].contains("1"))) == [21, 23, 25, 27, 29]
    first, rest = people.random_split(percentage=0.5, seed=7)
    assert sorted(ages(first) + ages(rest)) == list(range(20, 30))
    assert ages(people.take_sample(0.5, seed=7)) == ages(people.take_sample(0.5, seed=7))
    with pytest.raises(UserErrorException, match="the columns are"):
        people.keep_columns("nothing", validate=True)
    with pytest.raises(UserErrorException, match="by & and"):
        bool(people["age"] > 3)


def test_rows_of_a_time(people: Any) -> None:
    stamped = people.with_timestamp_columns(timestamp="day", validate=True)
    assert stamped.timestamp_columns == ("day", None)
    moment = datetime.datetime(2020, 1, 3)
    assert ages(stamped.time_before(moment)) == [20, 21, 22]
    assert ages(stamped.time_before(moment, include_boundary=False)) == [20, 21]
    assert len(ages(stamped.time_after(moment))) == 8
    assert ages(stamped.time_between(moment, datetime.datetime(2020, 1, 4))) == [22, 23]
    assert ages(stamped.time_recent(datetime.timedelta(days=1))) == []
    with pytest.raises(DatasetTimestampMissingError):
        people.time_before(moment)


def test_types_headers_and_json_lines(here: Path) -> None:
    (here / "plain.csv").write_text("007,1\n008,2\n")
    read = Dataset.Tabular.from_delimited_files(
        "plain.csv", header=PromoteHeadersBehavior.NO_HEADERS,
        set_column_types={"Column1": DataType.to_string(), "Column2": DataType.to_float()},
    ).to_pandas_dataframe()  # fmt: skip
    assert list(read["Column1"]) == ["007", "008"]
    assert str(read["Column2"].dtype) == "float64"
    (here / "x.jsonl").write_text('{"a": 1}\n{"a": 2}\n')
    assert len(Dataset.Tabular.from_json_lines_files("x.jsonl").to_pandas_dataframe()) == 2
    assert len(Dataset.auto_read_files("x.jsonl").to_pandas_dataframe()) == 2
    with pytest.raises(UserErrorException, match="give a DataType"):
        Dataset.Tabular.from_delimited_files("plain.csv", set_column_types={"a": "int"})


def test_what_is_not_there_is_a_validation_error(here: Path, store: Any) -> None:
    for path in ("nothing.csv", [(store, "nothing/*.csv")], store.path("nothing")):
        with pytest.raises(DatasetValidationError, match="there is no"):
            Dataset.Tabular.from_delimited_files(path)
    Dataset.Tabular.from_delimited_files("nothing.csv", validate=False)
    with pytest.raises(UserErrorException):
        Dataset.File.from_files((store, "../../etc/passwd"))


def test_the_registry_by_name_version_and_id(ws: Workspace, people: Any) -> None:
    first = people.register(workspace=ws, name="people", description="text", tags={"a": 1})
    assert (first.name, first.version, first.description, first.tags) == (
        "people", 1, "text", {"a": "1"},
    )  # fmt: skip
    assert people.register(ws, "people").version == 1
    narrow = people.keep_columns("id")
    with pytest.raises(UserErrorException, match="another definition"):
        narrow.register(ws, "people")
    second = narrow.register(ws, "people", create_new_version=True)
    assert Dataset.get_by_name(ws, "people").version == second.version == 2
    assert Dataset.get_by_name(ws, name="people", version=1).id == first.id
    assert Dataset.get_by_id(ws, id=first.id).version == 1
    assert ws.datasets["people"].version == 2
    assert "people" in [one.name for one in Dataset.list(ws)]
    second.add_tags({"b": "2"})
    second.update(description="other", tags={"c": None})
    assert Dataset.get(ws, name="people").tags == {"c": None}
    second.unregister_all_versions()
    with pytest.raises(UserErrorException, match="no dataset"):
        Dataset.get_by_name(ws, "people")


def test_files_by_pattern_download_and_mount(here: Path, store: Any) -> None:
    (here / "src" / "deep").mkdir(parents=True)
    for name in ("a.txt", "deep/b.txt", "c.csv"):
        (here / "src" / name).write_text(name)
    target = (store, "by-pattern")
    made = Dataset.File.upload_directory("src", DataPath(*target), pattern="*.txt")
    assert made.to_path() == ["/a.txt", "/deep/b.txt"]
    assert made.take(1).download(str(here / "got")) == [str(here / "got" / "a.txt")]
    with pytest.raises(UserErrorException, match="exists"):
        made.download("got")
    assert Dataset.File.from_files("nothing", validate=False).download(
        "none", ignore_not_found=True
    ) == []  # fmt: skip
    with made.mount() as context:
        names = [path.name for path in Path(context.mount_point).iterdir()]
        assert sorted(names) == ["a.txt", "deep"]
    assert not Path(context.mount_point).exists()


def test_a_dataframe_is_written_and_registered(ws: Workspace, store: Any) -> None:
    pytest.importorskip("pyarrow")
    frame = pandas.DataFrame({"n": [1, 2], "k": ["a", "b"]})
    made = Dataset.Tabular.register_pandas_dataframe(frame, target=store, name="frame")
    pandas.testing.assert_frame_equal(
        made.to_pandas_dataframe(), frame, check_dtype=False, check_index_type=False
    )
    parts = made.partition_by(["k"], (store, "parts"), name="parts")
    assert parts.partition_keys == ["k"]
    assert sorted(one["k"] for one in parts.get_partition_key_values()) == ["a", "b"]
    assert sorted(parts.to_pandas_dataframe()["n"]) == [1, 2]
    assert made.to_csv_files().to_path() == ["/part-00000.csv"]
    assert made.to_parquet_files().to_path() == ["/part-00000.parquet"]
    with pytest.raises(UserErrorException, match="give a DataFrame"):
        Dataset.Tabular.register_pandas_dataframe({"n": [1]}, store, "frame")


def test_datastores_by_name(ws: Workspace, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert isinstance(Datastore.get(ws, "workspaceblobstore"), AzureBlobDatastore)
    assert Datastore.get_default(ws).name == ws.get_default_datastore().name
    made = Datastore.register_azure_blob_container(
        workspace=ws, datastore_name="container", container_name="c", account_name="a",
        account_key="s3cret",
    )  # fmt: skip
    assert (made.container_name, made.account_name, made.datastore_type) == ("c", "a", "AzureBlob")
    assert f"put its files into {made._native.root}" in capsys.readouterr().out
    assert "s3cret" not in str(made._native.row)
    assert "container" in ws.datastores
    (here / "x.txt").write_text("x")
    made.upload_files(["x.txt"], target_path="t", show_progress=False)
    (here / "x.txt").write_text("y")
    made.upload_files(["x.txt"], target_path="t", overwrite=False, show_progress=False)
    assert made.download("back", prefix="t", show_progress=False) == 1
    assert (here / "back" / "t" / "x.txt").read_text() == "x"
    ws.set_default_datastore("container")
    assert ws.get_default_datastore().name == "container"
    made.unregister()
    assert ws.get_default_datastore().name == "workspaceblobstore"
    with pytest.raises(UserErrorException, match="no datastore"):
        Datastore(ws, "container")
    with pytest.raises(UserErrorException, match="not a database"):
        Datastore.register_azure_sql_database(ws, "sql", "server", "database")


JOB = """
import os, sys
from azureml.core import Dataset, Run
run = Run.get_context()
table = run.input_datasets["people"].to_pandas_dataframe()
same = Dataset.get_by_id(run.experiment.workspace, id=sys.argv[1]).to_pandas_dataframe()
assert table.equals(same), table
print(len(table), sorted(os.listdir(run.input_datasets["files"])), sys.argv[4:])
assert sys.argv[2] == run.input_datasets["files"] == os.environ["files"]
table.to_csv(os.path.join(sys.argv[3], "clean.csv"), index=False)
"""


def test_a_job_reads_its_inputs_and_fills_its_output(
    experiment: Experiment, ws: Workspace, store: Any, people: Any, here: Path
) -> None:
    (here / "code").mkdir()
    (here / "code" / "train.py").write_text(JOB)
    store.upload_files([str(here / "people.csv")], target_path="in", show_progress=False)
    files = Dataset.File.from_files(store.path("in"))
    table = people.register(ws, "job_people")
    clean = OutputFileDatasetConfig(name="clean", destination=(store, "out/{run-id}"))
    clean = clean.register_on_complete("job_clean")
    source = ScriptRunConfig(
        "code", "train.py",
        arguments=[
            table.as_named_input("people"), files.as_named_input("files").as_mount(),
            clean.as_upload(overwrite=True), "--lr", 0.1, store.path("in").as_download(),
        ],
    )  # fmt: skip
    run = experiment.submit(source)
    run.wait_for_completion()
    told = run.get_details_with_logs()
    assert "10 ['people.csv'] ['--lr', '0.1', '" in told["logFiles"]["user_logs/std_log.txt"]
    inputs = {
        one["consumptionDetails"]["inputName"]: one["dataset"] for one in told["inputDatasets"]
    }
    assert inputs["people"] == {"id": table.id, "name": "job_people", "version": 1}
    assert inputs["files"] == {"id": files.id}
    assert told["outputDatasets"][-1]["outputDetails"] == {"outputName": "clean"}
    made = Dataset.get_by_name(ws, "job_clean")
    assert made.to_path() == ["/clean.csv"]
    assert Dataset.File.from_files((store, f"out/{run.id}/*.csv")).to_path() == ["/clean.csv"]
    assert run.properties["input.people"].startswith("job_people:1 sha256:")


def test_an_output_may_be_a_table(
    experiment: Experiment, ws: Workspace, store: Any, here: Path
) -> None:
    (here / "code").mkdir()
    (here / "code" / "make.py").write_text(
        "import sys; open(sys.argv[1] + '/x.csv', 'w').write('n,m\\n1,2\\n')"
    )
    made = OutputFileDatasetConfig("table").read_delimited_files().keep_columns(["n"])
    made = made.register_on_complete(name="job_table")
    run = experiment.submit(ScriptRunConfig("code", "make.py", arguments=[made]))
    run.wait_for_completion()
    table = Dataset.get_by_name(ws, "job_table")
    assert table.to_pandas_dataframe().to_dict("list") == {"n": [1]}


def test_inputs_by_name_at_submission(experiment: Experiment, people: Any, here: Path) -> None:
    (here / "code").mkdir()
    (here / "code" / "read.py").write_text(
        "from azureml.core import Run; run = Run.get_context()\n"
        "print(len(run.input_datasets['table'].to_pandas_dataframe()), "
        "open(run.input_datasets['file']).read()[:2])"
    )
    one = Dataset.File.from_files(str(here / "people.csv"))
    run = experiment.submit(
        ScriptRunConfig("code", "read.py"), inputs={"table": people, "file": one}
    )
    run.wait_for_completion()
    log = run.get_details_with_logs()["logFiles"]["user_logs/std_log.txt"]
    assert log == "10 id\n"


BARE = """
import sys
from azureml.core import Dataset, Run
from azureml.exceptions import RunEnvironmentException
try:
    import click
    sys.exit("this environment isn't bare")
except ImportError:
    pass
run = Run.get_context()
print(open(run.input_datasets["data"] + "/people.csv").read()[:2], sys.argv[1:])
print(run.input_datasets["direct"].to_path())
try:
    Dataset.get_by_name(run.experiment.workspace, "people")
except RunEnvironmentException as error:
    print("needs Outlast's server" in error.message)
"""


def test_a_job_without_outlast_reads_its_mounted_input(
    experiment: Experiment, people: Any, here: Path
) -> None:
    import subprocess

    from outlast.azureml.environment import Environment

    python = here / "bare" / "bin" / "python"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(here / "bare")], check=True)
    (here / "code").mkdir()
    (here / "code" / "read.py").write_text(BARE)
    (here / "data").mkdir()
    (here / "data" / "people.csv").write_text(PEOPLE)
    bare = Environment("bare")
    bare.python.user_managed_dependencies = True
    bare.python.interpreter_path = str(python)
    data = Dataset.File.from_files(str(here / "data"))
    words = [data.as_named_input("data").as_mount(), data.as_named_input("direct")]
    run = experiment.submit(ScriptRunConfig("code", "read.py", words, environment=bare))
    run.wait_for_completion()
    log = run.get_details_with_logs()["logFiles"]["user_logs/std_log.txt"].splitlines()
    assert log[0].startswith("id ['")
    assert log[1:] == ["['/people.csv']", "True"]


def test_what_can_be_no_input_or_output(experiment: Experiment, people: Any, store: Any) -> None:
    with pytest.raises(UserErrorException, match="read by the job itself"):
        people.as_named_input("x").as_mount()
    with pytest.raises(UserErrorException, match="name"):
        DatasetConsumptionConfig("a b", people)
    with pytest.raises(UserErrorException, match="mode"):
        DataReference(store, mode="sideways")
    output = OutputFileDatasetConfig("x")
    for words in (
        [output.as_input("y")],
        [LinkTabularOutputDatasetConfig("x")],
        [OutputFileDatasetConfig("x", source="../up")],
        [people.as_named_input("x"), people.take(1).as_named_input("x")],
    ):
        with pytest.raises(UserErrorException):
            experiment.submit(ScriptRunConfig(None, command=["true", *words]))


def test_references_and_paths_say_the_same(store: Any) -> None:
    path = DataPath(store, "a")
    reference = path.create_data_reference("data").path("b")
    assert (reference.path_on_datastore, str(reference)) == (
        "a/b", "$AZUREML_DATAREFERENCE_data",
    )  # fmt: skip
    assert reference.as_download("here").to_config().path_on_data_store == "a/b"
    again = DataPath.create_from_data_reference(reference)
    assert (again.datastore_name, again.path_on_datastore) == ("workspaceblobstore", "a/b")
