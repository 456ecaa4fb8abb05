"""An environment said in Python or read from the files that people have."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from outlast import Environment
from outlast.errors import Invalid
from outlast.sdk.environment import shown


def test_requirements_are_read_with_what_they_include_and_their_paths(tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "extra.txt").write_text("./local.whl\n--find-links=wheels\n")
    path = tmp_path / "requirements.txt"
    path.write_text(
        "# ours\nnumpy==1.26  # pinned\n-r more/extra.txt\nscipy \\\n  >=1.11\n\n-e .\n"
    )
    assert Environment.from_file(path).definition == {
        "kind": "pip",
        "pip": [
            "numpy==1.26",
            str(tmp_path / "more" / "local.whl"),
            f"--find-links {tmp_path / 'more' / 'wheels'}",
            "scipy >=1.11",
            f"-e {tmp_path}",
        ],
    }


def test_a_file_that_includes_itself_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "requirements.txt"
    path.write_text("-r requirements.txt\n")
    with pytest.raises(Invalid, match="names itself"):
        Environment.from_file(path)


def test_a_conda_file_gives_python_channels_and_both_kinds_of_packages(tmp_path: Path) -> None:
    path = tmp_path / "environment.yml"
    path.write_text(
        "name: digits\nchannels: [conda-forge]\ndependencies:\n- python=3.10\n- numpy=1.26\n"
        "- pip:\n  - scikit-learn==1.3\n  - --find-links=w\nvariables:\n  A: 1\n"
    )
    assert Environment.from_file(path).definition == {
        "kind": "conda",
        "name": "digits",
        "python": "3.10",
        "conda": ["numpy=1.26"],
        "pip": ["scikit-learn==1.3", f"--find-links {tmp_path / 'w'}"],
        "channels": ["conda-forge"],
        "variables": {"A": "1"},
    }


@pytest.mark.parametrize("text", ["dependencies: {", "- numpy\n", "dependencies: numpy\n"])
def test_a_broken_conda_file_is_refused_by_name(tmp_path: Path, text: str) -> None:
    path = tmp_path / "environment.yml"
    path.write_text(text)
    with pytest.raises(Invalid, match=r"environment\.yml"):
        Environment.from_file(path)


def test_a_project_gives_its_dependencies_and_python(tmp_path: Path) -> None:
    path = tmp_path / "pyproject.toml"
    path.write_text(
        '[project]\nname = "d"\nrequires-python = ">=3.9, <4"\ndependencies = ["six"]\n'
    )
    assert Environment.from_file(path).definition == {
        "kind": "pip",
        "name": "d",
        "python": ">=3.9,<4",
        "pip": ["six"],
    }


def test_an_interpreter_and_a_venv_are_taken_as_they_are(tmp_path: Path) -> None:
    expected = {"kind": "existing", "interpreter": sys.executable}
    assert Environment.from_file(sys.executable).definition == expected
    venv = Path(sys.executable).parents[1]  # whose bin/python may be this one by another name
    expected["interpreter"] = str(venv / "bin" / "python")
    assert Environment.from_file(venv).definition == expected
    with pytest.raises(Invalid, match="no bin/python"):
        Environment.from_file(tmp_path)


def test_secret_variables_are_not_in_what_is_shown() -> None:
    made = Environment(pip=["six"], variables={"API_KEY": "hunter2hunter2", "MODE": "fast"})
    assert shown(made.definition)["variables"] == {"API_KEY": None, "MODE": "fast"}
