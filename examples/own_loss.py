"""
User-defined loss
=================

The Brier score, which penalizes confident mistakes less than cross-entropy.
"""

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from tinyclf import SKLEARN_DEFAULTS, Loss, TinyClassifier, softmax
from tinyclf.gradcheck import check_loss


class Brier(Loss):
    """|p - y|^2 with p = softmax(z); with r = p - y, the gradient is 2 p (r - sum(p r))."""

    def rows(self, z, y, dz, t):
        p = softmax(z)
        r = p - np.eye(z.shape[1])[y]
        dz[...] = 2 * p * (r - np.sum(p * r, axis=1, keepdims=True))
        return np.sum(r * r, axis=1)


error = check_loss(Brier(), n_classes=4)
print(f"relative error of the gradient: {error:.0e} ({'right' if error < 1e-7 else 'WRONG'})")

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X / 16, y, stratify=y, random_state=0)
wrong = np.random.default_rng(0).uniform(size=len(y_train)) < 0.2  # 20% of the labels are wrong
y_train = np.where(wrong, (y_train + 3) % 10, y_train)
for loss in ("log_loss", Brier()):
    model = TinyClassifier(**SKLEARN_DEFAULTS)  # no early stopping, so it may also fit the wrong labels
    model.set_params(loss=loss, learning_rate_init=0.01, max_iter=500, tol=0.01, random_state=0)
    print(f"test accuracy with {loss}: {model.fit(X_train, y_train).score(X_test, y_test):.3f}")
