"""
Monitoring a fit
================

A validation set, a callback that saves the model after each epoch, and two plots.
"""

import sys
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from tinyclf import Checkpoint, ConfidenceDisplay, LossCurveDisplay, TinyClassifier, load

folder = Path(tempfile.mkdtemp())
X, y = load_digits(return_X_y=True)
X_train, X_rest, y_train, y_rest = train_test_split(X, y, test_size=0.5, stratify=y, random_state=0)
X_val, X_test, y_val, y_test = train_test_split(
    X_rest, y_rest, test_size=0.5, stratify=y_rest, random_state=0
)

# Checkpoint writes a file after each epoch; with resume=True, a fit that was killed continues from it.
model = TinyClassifier(random_state=0).set_callbacks(Checkpoint(folder / "model.npz"))
model.fit(X_train, y_train, X_val=X_val, y_val=y_val)
print(f"stopped after {model.n_iter_} epochs, kept the weights of epoch {model.best_epoch_}")
loaded = load(folder / "model.npz")
print("the loaded model predicts the same:", (loaded.predict(X_test) == model.predict(X_test)).all())

figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
LossCurveDisplay.from_estimator(model, ax=left, log=True)
display = ConfidenceDisplay.from_estimator(model, X_test, y_test, ax=right)
print(f"test accuracy {display.accuracy:.3f}, mean confidence {display.confidence:.3f}")
if len(sys.argv) > 1:  # the name of a file for the figure
    figure.savefig(sys.argv[1], dpi=110)
