"""Conda's names of packages, and what the same is called on PyPI.

Only for machines without conda. What isn't listed has the same name there, or isn't there at all:
then the resolver says so.
"""

from __future__ import annotations

import re
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

# None: no Python package, or one that PyPI's wheels bring along.
PYPI: Dict[str, Optional[str]] = {
    "_libgcc_mutex": None, "_openmp_mutex": None, "binutils": None, "blas": None, "bzip2": None,
    "ca-certificates": None, "compilers": None, "cuda": None, "cuda-toolkit": None,
    "cudatoolkit": None, "cudnn": None, "cxx-compiler": None, "ffmpeg": None, "gcc": None,
    "gxx": None, "intel-openmp": None, "libblas": None, "libcblas": None, "libffi": None,
    "libgcc-ng": None, "libgfortran-ng": None, "liblapack": None, "libstdcxx-ng": None,
    "llvm-openmp": None, "mkl": None, "nccl": None, "ncurses": None, "ninja-base": None,
    "nomkl": None, "openblas": None, "openjdk": None, "openmpi": None, "openssl": None,
    "pytorch-cuda": None, "pytorch-mutex": None, "cpuonly": None, "readline": None, "sqlite": None,
    "tk": None, "xz": None, "zlib": None,
    "beautiful-soup": "beautifulsoup4", "dask-core": "dask", "importlib_metadata":
    "importlib-metadata", "keras-gpu": "keras", "lightgbm-gpu": "lightgbm", "matplotlib-base":
    "matplotlib", "msgpack-python": "msgpack", "mysql-connector-python": "mysql-connector-python",
    "opencv": "opencv-python-headless", "py-opencv": "opencv-python-headless", "py-xgboost":
    "xgboost", "py-xgboost-cpu": "xgboost", "py-xgboost-gpu": "xgboost", "pytables": "tables",
    "python-graphviz": "graphviz", "python-kaleido": "kaleido", "pytorch": "torch", "pytorch-cpu":
    "torch", "pytorch-gpu": "torch", "ruamel_yaml": "ruamel.yaml", "seaborn-base": "seaborn",
    "tensorflow-cpu": "tensorflow-cpu", "tensorflow-gpu": "tensorflow", "tensorflow-mkl":
    "tensorflow", "torch-cpu": "torch", "plotly-orca": None, "umap": "umap-learn",
}  # fmt: skip

_SPEC = re.compile(r"(?:[^:\s]+::)?(?P<name>[A-Za-z0-9_.-]+)\s*(?P<rest>.*)")


class Mapped(NamedTuple):
    """Packages of conda's as a requirements file would ask for them."""

    pip: Tuple[str, ...]
    renamed: Tuple[str, ...]  # "pytorch as torch"
    left_out: Tuple[str, ...]
    python: str  # what "python=3.8" among them said; "" when nothing did


def mapped(specs: Sequence[str]) -> Mapped:
    """Conda's specs as pip's; versions mean the same, builds are dropped."""
    pip: List[str] = []
    renamed: List[str] = []
    left_out: List[str] = []
    python = ""
    for spec in specs:
        name, version = split(spec)
        if name == "python":
            python = version[2:-2] if version.endswith(".*") else version.replace("==", "", 1)
            continue
        other = PYPI.get(name, name)
        if other is None:
            left_out.append(name)
            continue
        if other != name:
            renamed.append(f"{name} as {other}")
        pip.append(other + version)
    return Mapped(tuple(pip), tuple(renamed), tuple(left_out), python)


def split(spec: str) -> Tuple[str, str]:
    """Name and version of a conda spec, the version as pip writes it."""
    found = _SPEC.fullmatch(spec.split("[")[0].strip())
    if found is None:
        return spec.strip().lower(), ""
    rest = found["rest"].strip()
    if not rest or rest == "*":
        version = ""
    elif rest.startswith("=="):
        version = "==" + rest[2:].split("=")[0].strip()
    elif rest.startswith("="):  # numpy=1.26 is any 1.26.x; a build may follow
        version = _prefix(rest[1:].split("=")[0].split()[0])
    elif rest[0] in "<>!~":
        version = ",".join(part.strip() for part in rest.split(","))
    else:  # "numpy 1.26.*", a build may follow
        version = _prefix(rest.split()[0])
    return found["name"].lower(), version


def _prefix(version: str) -> str:
    if version in ("", "*"):
        return ""
    if version[0] in "<>!~":
        return version
    return f"=={version[:-2] if version.endswith('.*') else version.rstrip('*').rstrip('.')}.*"
