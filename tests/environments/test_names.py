"""Conda's packages and versions, as pip writes them."""

from __future__ import annotations

import pytest

from outlast.environments.names import mapped, split


@pytest.mark.parametrize(
    ("spec", "name", "version"),
    [
        ("numpy", "numpy", ""),
        ("numpy=1.26", "numpy", "==1.26.*"),
        ("numpy=1.26.*", "numpy", "==1.26.*"),
        ("numpy==1.26.4", "numpy", "==1.26.4"),
        ("numpy=1.26.4=py311h_0", "numpy", "==1.26.4.*"),
        ("numpy==1.26.4=py311h_0", "numpy", "==1.26.4"),
        ("numpy >=1.26,<2", "numpy", ">=1.26,<2"),
        ("numpy 1.26.*", "numpy", "==1.26.*"),
        ("conda-forge::NumPy=1", "numpy", "==1.*"),
        ("pytorch[build=cuda*]", "pytorch", ""),
        ("numpy=*", "numpy", ""),
    ],
)
def test_a_spec_is_split_into_name_and_version(spec: str, name: str, version: str) -> None:
    assert split(spec) == (name, version)


def test_names_are_those_of_pypi_and_what_it_lacks_is_told() -> None:
    found = mapped(("python=3.10", "pytorch=2.1", "scikit-learn", "cudatoolkit=11.3", "py-opencv"))
    assert found.pip == ("torch==2.1.*", "scikit-learn", "opencv-python-headless")
    assert found.renamed == ("pytorch as torch", "py-opencv as opencv-python-headless")
    assert found.left_out == ("cudatoolkit",)
    assert found.python == "3.10"
