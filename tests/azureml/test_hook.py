"""`azureml` is served lazily, never hides a real one unasked, and refuses clearly."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from outlast.azureml import hook
from outlast.azureml.exceptions import UserErrorException
from outlast.azureml.names import MODULES, load
from outlast.errors import Conflict, Invalid
from tests.azureml.scripted import Scripts


@pytest.fixture
def real_azureml(tmp_path: Path) -> Path:
    """A search path with something installed as azureml-core is."""
    site = tmp_path / "site"
    (site / "azureml" / "core").mkdir(parents=True)
    (site / "azureml" / "core" / "__init__.py").write_text("Run = 'the real one'\n")
    return site


def test_a_served_name_is_the_same_class_wherever_it_is_imported_from() -> None:
    core, runs = import_module("azureml.core"), import_module("azureml.core.run")
    assert core.Run is runs.Run is import_module("outlast.azureml.core").Run
    assert core.run is runs


@pytest.mark.parametrize("module", MODULES)
def test_every_name_in_the_table_is_there(module: str) -> None:
    served = import_module(module)
    assert set(MODULES[module]) <= set(dir(served))
    for name in MODULES[module]:
        assert getattr(served, name) is not None


def test_a_module_that_is_not_served_is_an_import_error() -> None:
    with pytest.raises(ModuleNotFoundError, match=r"azureml\.opendatasets.*served by Azure"):
        import_module("azureml.opendatasets")
    with pytest.raises(ModuleNotFoundError, match="FLAML"):
        import_module("azureml.automl.core.shared.constants")
    with pytest.raises(ModuleNotFoundError, match=r"docs/azureml\.md"):
        import_module("azureml.nothing")
    with pytest.raises(AttributeError, match="NoSuchThing"):
        import_module("azureml.core").NoSuchThing  # noqa: B018


def test_importing_azureml_core_imports_nothing_that_it_does_not_need() -> None:
    code = (
        "import sys, outlast.azureml; before = set(sys.modules)\n"
        "import azureml.core\nprint(*set(sys.modules) - before)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) == {"azureml", "azureml.core"}


@pytest.mark.parametrize("name", ["AciWebservice", "AksWebservice", "LocalWebservice"])
def test_what_only_azure_has_says_why_and_what_is_nearest(name: str) -> None:
    refused = load("azureml.core.webservice", name)
    assert not isinstance(object(), refused)
    with pytest.raises(UserErrorException, match=rf"{name}.*serves none.*download_file"):
        refused.deploy_configuration(cpu_cores=1)
    with pytest.raises(UserErrorException, match=name):
        refused()


@pytest.mark.usefixtures("unserved")
class TestBesideARealOne:
    def test_it_is_not_hidden_unasked(
        self, real_azureml: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.syspath_prepend(real_azureml)
        with pytest.raises(Conflict, match="azureml-core is installed here") as refusal:
            hook.install()
        assert refusal.value.hint is not None
        assert "OUTLAST_AZUREML=outlast" in refusal.value.hint
        assert import_module("azureml.core").Run == "the real one"
        for name in ("azureml", "azureml.core"):
            del sys.modules[name]

    def test_it_is_hidden_when_that_is_chosen(
        self, real_azureml: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.syspath_prepend(real_azureml)
        monkeypatch.setenv("OUTLAST_AZUREML", "outlast")
        hook.install()
        assert import_module("azureml.core").Run.__module__ == "outlast.azureml.run"

    def test_it_is_used_when_that_is_chosen(
        self, real_azureml: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.syspath_prepend(real_azureml)
        monkeypatch.setenv("OUTLAST_AZUREML", "installed")
        hook.install()
        assert import_module("azureml.core").Run == "the real one"
        for name in ("azureml", "azureml.core"):
            del sys.modules[name]

    def test_a_choice_that_does_not_exist_is_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("OUTLAST_AZUREML", "mine")
        with pytest.raises(Invalid, match="OUTLAST_AZUREML = 'mine'"):
            hook.install()


def test_exec_is_as_python_would_be(scripts: Scripts) -> None:
    scripts.write("beside.py", "value = 7\n")
    path = scripts.write(
        "script.py",
        "import sys, beside, __main__\n"
        "print(__name__, __main__.beside.value, sys.argv[1:], sys.path[0])\n"
        "print('click' in sys.modules)\n"
        "sys.exit(beside.value)\n",
    )
    done = scripts.run(path, "--flag", "-x", "--", "a b")
    assert done.code == 7, done.err
    expected = f"__main__ 7 ['--flag', '-x', '--', 'a b'] {scripts.folder}\nFalse"
    assert done.out.strip() == expected


@pytest.mark.parametrize("text", ["def read():\n    open('missing.txt')\nread()\n", "x = (\n"])
def test_exec_shows_the_traceback_that_python_shows(scripts: Scripts, text: str) -> None:
    path = scripts.write("script.py", text)
    done = scripts.run(path)
    plain = subprocess.run([sys.executable, path], cwd=scripts.folder, capture_output=True)
    assert done.code == plain.returncode == 1
    assert done.err == plain.stderr.decode()


def test_exec_without_the_script_says_so(scripts: Scripts) -> None:
    done = scripts.run(scripts.folder / "missing.py")
    assert done.code == 2
    assert "no such file" in done.err


def test_the_first_line_of_a_notebook_is_enough(scripts: Scripts) -> None:
    code = "import outlast.azureml\nfrom azureml.core import Run\nprint(Run.__module__)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=scripts.environ
    )
    assert done.stdout.strip() == "outlast.azureml.run", done.stderr


CHILDREN = """
import multiprocessing, os, subprocess, sys
from azureml.core import Run

def told(number):
    from azureml.core import Experiment
    return number, Run.__module__, Experiment.__name__

if __name__ == "__main__":
    for how in ("fork", "spawn"):
        with multiprocessing.get_context(how).Pool(1) as pool:
            print(pool.map(told, [3]), flush=True)
    code = "import azureml.core; print(azureml.core.Run.__module__)"
    subprocess.run([sys.executable, "-c", code], check=True)
    subprocess.run([sys.argv[1], "-c", "import azureml"], check=False)
"""


def test_processes_that_a_script_starts_have_the_names_too(
    scripts: Scripts, bare_python: str
) -> None:
    done = scripts.run(scripts.write("script.py", CHILDREN), bare_python)
    assert done.code == 0, done.err
    assert done.out.splitlines() == [
        "[(3, 'outlast.azureml.run', 'Experiment')]",
        "[(3, 'outlast.azureml.run', 'Experiment')]",
        "outlast.azureml.run",
    ]
    # An interpreter without Outlast is as it was.
    assert done.err.splitlines()[-1] == "ModuleNotFoundError: No module named 'azureml'"


@pytest.mark.parametrize("choice", ["outlast", "installed"])
def test_a_process_of_a_script_takes_the_one_that_is_chosen(
    scripts: Scripts, real_azureml: Path, choice: str
) -> None:
    code = "import azureml.core; print(azureml.core.Run)"
    text = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {code!r}], check=True)"
    path = scripts.write("script.py", text)
    done = scripts.run(path, PYTHONPATH=str(real_azureml), OUTLAST_AZUREML=choice)
    own = "<class 'outlast.azureml.run.Run'>"
    assert done.out.strip() == {"outlast": own, "installed": "the real one"}[choice], done.err
