"""Train a small neural network on scikit-learn's digits (1,797 real scans of 8 x 8 pixels).

Logs curves and a confusion matrix, writes the model, and leaves an evaluation running in the
background, which the run waits for. Run it by `outlast demo`, or by hand:

    outlast submit --follow -- python train.py --hidden 32
"""

from __future__ import annotations

import argparse
import pickle
import subprocess
import sys
from pathlib import Path

import matplotlib as mpl
import numpy as np
from sklearn.datasets import load_digits
from sklearn.metrics import ConfusionMatrixDisplay, accuracy_score, log_loss
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

from outlast import Run

EVALUATION = Path(__file__).with_name("evaluate.py")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--hidden", type=int, default=32, help="width of the hidden layer")
    parser.add_argument("--epochs", type=int, default=30)
    options = parser.parse_args()
    mpl.use("Agg")

    run = Run.get_context()
    images, labels = load_digits(return_X_y=True)
    train_x, test_x, train_y, test_y = train_test_split(
        images / 16.0, labels, test_size=0.25, random_state=0, stratify=labels
    )
    print(f"{len(train_x)} images to learn from, {len(test_x)} to test; hidden = {options.hidden}")

    model = MLPClassifier(hidden_layer_sizes=(options.hidden,), random_state=0)
    for epoch in range(1, options.epochs + 1):
        model.partial_fit(train_x, train_y, classes=np.arange(10))
        loss = log_loss(test_y, model.predict_proba(test_x))
        accuracy = accuracy_score(test_y, model.predict(test_x))
        run.log("loss", loss, step=epoch)
        run.log("accuracy", accuracy, step=epoch)
        if epoch % 5 == 0:
            print(f"epoch {epoch:2d}  loss {loss:.4f}  accuracy {accuracy:.4f}")

    picture = ConfusionMatrixDisplay.from_predictions(test_y, model.predict(test_x))
    run.log_image("confusion", plot=picture.figure_)
    outputs = Path(run.output_folder)
    (outputs / "model.pkl").write_bytes(pickle.dumps(model))
    np.savez(outputs / "test.npz", x=test_x, y=test_y)
    # Not awaited here: the run is over when this is, and not before.
    subprocess.Popen([sys.executable, str(EVALUATION), str(outputs)])
    print("training is over; an evaluation goes on in the background")


if __name__ == "__main__":
    main()
