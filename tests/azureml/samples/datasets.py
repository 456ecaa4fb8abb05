# Datasets: from files, registered, versioned, and the input of a job.
import os

from azureml.core import Dataset, Experiment, ScriptRunConfig, Workspace

ws = Workspace.from_config()
datastore = ws.get_default_datastore()
print(datastore.name)

os.makedirs("data", exist_ok=True)
with open("data/weather.csv", "w") as f:
    f.write("city,temperature\nOslo,3\nRome,\nCairo,31\n")
datastore.upload_files(files=["data/weather.csv"], target_path="weather/", overwrite=True,
                       show_progress=True)

tabular = Dataset.Tabular.from_delimited_files(path=(datastore, "weather/weather.csv"))
df = tabular.to_pandas_dataframe()
print(df)
assert list(df.columns) == ["city", "temperature"]
assert df["temperature"].sum() == 34
assert tabular.take(1).to_pandas_dataframe()["city"][0] == "Oslo"
assert list(tabular.keep_columns("city").to_pandas_dataframe().columns) == ["city"]

tabular = tabular.register(workspace=ws, name="weather", description="three cities",
                           tags={"source": "sample"})
assert tabular.version == 1
assert Dataset.get_by_name(ws, "weather").to_pandas_dataframe().shape == (3, 2)
assert "weather" in ws.datasets

files = Dataset.File.from_files(path=(datastore, "weather/*.csv"))
files = files.register(workspace=ws, name="weather-files", create_new_version=True)

os.makedirs("job", exist_ok=True)
with open("job/train.py", "w") as f:
    f.write("""
import argparse, os
from azureml.core import Run
parser = argparse.ArgumentParser()
parser.add_argument("--data-folder", type=str)
args = parser.parse_args()
run = Run.get_context()
names = os.listdir(args.data_folder)
run.log_list("names", names)
lines = open(os.path.join(args.data_folder, names[0])).read().splitlines()
run.log("rows", len(lines) - 1)
""")
src = ScriptRunConfig(source_directory="job", script="train.py", compute_target="local",
                      arguments=["--data-folder", files.as_named_input("weather").as_mount()])
run = Experiment(ws, "datasets").submit(src)
run.wait_for_completion(show_output=True)
assert run.get_metrics() == {"names": "weather.csv", "rows": 3}, run.get_metrics()
