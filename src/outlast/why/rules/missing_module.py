"""A Python module is missing in the environment that ran the command; and what to install."""

from __future__ import annotations

import os
import re
import shlex

from outlast.run.state import FAILED
from outlast.why.evidence import Evidence
from outlast.why.finding import Fact, Finding
from outlast.why.wording import ending_fact, traceback_fact

RANK = 10
ANSWERS = True

# Modules whose distribution bears another name.
DISTRIBUTIONS = {
    "attr": "attrs", "bs4": "beautifulsoup4", "cv2": "opencv-python", "dateutil": "python-dateutil",
    "dotenv": "python-dotenv", "git": "GitPython", "PIL": "pillow", "skimage": "scikit-image",
    "sklearn": "scikit-learn", "yaml": "pyyaml", "pytorch_lightning": "pytorch-lightning",
}  # fmt: skip
# Those of the same name that may be advised without a doubt. For any other name, nobody knows what
# a package index holds under it.
KNOWN = frozenset(
    (
        "accelerate", "catboost", "datasets", "einops", "evaluate", "flax", "gensim", "h5py", "jax",
        "joblib", "keras", "lightgbm", "lightning", "matplotlib", "networkx", "nltk", "numba",
        "numpy", "openpyxl", "optuna", "pandas", "peft", "plotly", "polars", "pyarrow", "requests",
        "safetensors", "scipy", "seaborn", "sentencepiece", "spacy", "statsmodels", "sympy",
        "tensorboard", "tensorflow", "timm", "tokenizers", "torch", "torchaudio", "torchvision",
        "tqdm", "transformers", "wandb", "xgboost",
    )
)  # fmt: skip
_NAMED = re.compile(r"No module named '?([\w.]+)'?")


def rule(evidence: Evidence) -> Finding | None:
    state = evidence.state
    if state.status != FAILED:
        return None
    found, module, facts = evidence.traceback, "", traceback_fact(evidence)
    if found and found.name in ("ModuleNotFoundError", "ImportError"):
        named = _NAMED.search(found.message)
        module = named[1] if named else ""
    elif not found:  # `python -m name` says it in one line
        for line in evidence.lines[-3:]:
            named = re.search(r"python[\d.]*: " + _NAMED.pattern, line.text)
            if named:
                module, facts = named[1], (Fact(line.text, "output", line.offset),)
    if not module:
        return None
    python = _python(evidence)
    top = module.partition(".")[0]
    package = DISTRIBUTIONS.get(top) or (top if top in KNOWN else "")
    own = (
        () if package else (Fact(f"if {top} is your own code, Python must find it on PYTHONPATH"),)
    )
    return Finding(
        rule="missing_module",
        claim=f"The Python module {module} is missing in the environment that ran the command"
        f" ({python}).",
        evidence=(*facts, *own, *ending_fact(evidence)),
        since_ns=state.ended_ns,
        command=f"{shlex.quote(python)} -m pip install {package}"
        if package
        else f"outlast show {evidence.id}",
        severity="problem",
    )


def _python(evidence: Evidence) -> str:
    first = evidence.spec.command[0] if evidence.spec.command else ""
    return first if re.fullmatch(r"python[\d.]*", os.path.basename(first)) else "python"
