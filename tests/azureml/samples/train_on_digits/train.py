import argparse
import os

import numpy as np
from azureml.core import Run

parser = argparse.ArgumentParser()
parser.add_argument("--data-size", type=int, dest="size", default=200, help="number of pictures")
parser.add_argument("--regularization", type=float, dest="reg", default=0.01)
args = parser.parse_args()

# Pictures of ten digits, 5 x 3 pixels, with noise.
PIXELS = ("111101101101111", "010110010010111", "111001111100111", "111001111001111",
          "101101111001001", "111100111001111", "111100111101111", "111001001001001",
          "111101111101111", "111101111001111")
rng = np.random.default_rng(7)
digits = np.array([[int(p) for p in picture] for picture in PIXELS], dtype=float)
y = rng.integers(0, 10, args.size)
X = digits[y] + rng.normal(0, 0.15, (args.size, 15))
X_train, X_test = X[: args.size * 2 // 3], X[args.size * 2 // 3 :]
y_train, y_test = y[: args.size * 2 // 3], y[args.size * 2 // 3 :]

run = Run.get_context()
run.log("regularization rate", args.reg)
print("Train a softmax regression with regularization rate of", args.reg)
weights = np.zeros((15, 10))
for epoch in range(40):
    scores = np.exp(X_train @ weights)
    chances = scores / scores.sum(axis=1, keepdims=True)
    run.log("loss", -np.log(chances[np.arange(len(y_train)), y_train]).mean(), step=epoch)
    gradient = X_train.T @ (chances - np.eye(10)[y_train]) / len(y_train)
    weights -= 0.5 * gradient
    weights /= 1 + args.reg

accuracy = np.mean(np.argmax(X_test @ weights, axis=1) == y_test)
run.log("accuracy", accuracy)  # a numpy scalar, as scripts have it
print("accuracy", accuracy)

os.makedirs("outputs", exist_ok=True)
# what is saved in the outputs folder is uploaded into the run's record
np.savez("outputs/digits_model.npz", weights=weights)
run.complete()
