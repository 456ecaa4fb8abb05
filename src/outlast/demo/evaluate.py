"""Measure how the model of a run bears noise, level by level; takes a few seconds."""

from __future__ import annotations

import json
import pickle
import sys
import time
from pathlib import Path

import numpy as np

LEVELS = 8
SECONDS_A_LEVEL = 0.6


def main(outputs: Path) -> None:
    # The model was written by the same run a moment ago; a pickle of anybody else is not loaded.
    model = pickle.loads((outputs / "model.pkl").read_bytes())
    with np.load(outputs / "test.npz") as data:
        x, y = data["x"], data["y"]
    random = np.random.default_rng(0)
    accuracy = {}
    for level in np.linspace(0.0, 0.7, LEVELS):
        end = time.monotonic() + SECONDS_A_LEVEL
        scores = []
        while time.monotonic() < end:
            scores.append(float((model.predict(x + random.normal(0, level, x.shape)) == y).mean()))
        accuracy[f"{level:.1f}"] = sum(scores) / len(scores)
        print(f"noise {level:.1f}: accuracy {accuracy[f'{level:.1f}']:.4f}", flush=True)
    (outputs / "evaluation.json").write_text(json.dumps(accuracy, indent=1))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
