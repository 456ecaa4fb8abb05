"""A workspace for the tests of the azureml names, and scripts that run in it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from outlast.azureml import hook, reach
from outlast.azureml.experiment import Experiment
from outlast.azureml.workspace import Workspace
from tests.azureml.scripted import Scripts
from tests.sdk.place import Place, place_at


@pytest.fixture(scope="package")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OUTLAST_PORT", "0")
        with place_at(tmp_path_factory.mktemp("azureml") / "home") as made:
            yield made
            reach._workspaces.clear()


@pytest.fixture(autouse=True)
def here(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The test's own folder, in the tests' workspace."""
    monkeypatch.setenv("OUTLAST_HOME", str(place.home))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def scripts(place: Place, here: Path) -> Scripts:
    return Scripts(place.home, here)


@pytest.fixture
def experiment(request: pytest.FixtureRequest) -> Experiment:
    """An experiment that no other test has."""
    return Experiment(Workspace.from_config(), request.node.name)


@pytest.fixture
def unserved() -> Iterator[None]:
    """Nothing of azureml is imported, and the hook isn't in place; put back after the test."""
    before = {name: module for name, module in sys.modules.items() if name.startswith("azureml")}
    was_installed = hook._FINDER in sys.meta_path
    hook.uninstall()
    yield
    hook.uninstall()
    sys.modules.update(before)
    if was_installed:  # not by install(): the test's search path is still there
        sys.meta_path.insert(0, hook._FINDER)


@pytest.fixture(scope="session")
def bare_python(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An environment with nothing in it."""
    folder = tmp_path_factory.mktemp("bare") / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    return str(folder / "bin" / "python")
