"""Scripts and notebooks in the style of public samples run as they are, from top to bottom.

Each checks by itself what it has made; nothing of them is changed here.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.azureml import hurried, notebook
from tests.azureml.scripted import Scripts

pytestmark = pytest.mark.slow

SAMPLES = Path(__file__).parent / "samples"
SCRIPTS = sorted(path.name for path in SAMPLES.glob("*.py"))
NOTEBOOKS = sorted(path.name for path in SAMPLES.glob("*.ipynb"))


@pytest.fixture(scope="module")
def packaged(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Variables under which environments find packages without a network."""
    return hurried.variables(tmp_path_factory.mktemp("packaged"), "small-package")


@pytest.fixture
def sample(scripts: Scripts, packaged: dict[str, str]) -> Scripts:
    """A folder with the samples, and nothing that one of them makes."""
    shutil.copytree(SAMPLES, scripts.folder, dirs_exist_ok=True)
    scripts.environ.update(packaged)
    return scripts


def test_there_are_ten_samples() -> None:
    assert len(SCRIPTS) + len(NOTEBOOKS) == 10


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_sample_script_runs_unchanged(sample: Scripts, name: str) -> None:
    done = sample.run(sample.folder / name)
    assert done.code == 0, done.out + done.err


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_sample_notebook_runs_unchanged(sample: Scripts, name: str) -> None:
    notebook.run(sample.folder / name, sample.environ)
