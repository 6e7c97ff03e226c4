"""
A scikit-learn pipeline
=======================

Fit a pipeline on digits, predict probabilities, and list the least confident predictions.
"""

from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline

from tinyclf import TinyClassifier

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X, y, stratify=y, random_state=0)

model = make_pipeline(PCA(40), TinyClassifier(random_state=0))
model.fit(X_train, y_train)
network = model[-1]
print(f"{network.n_iter_} epochs, training loss {network.loss_:.4f}")
print(f"test accuracy {model.score(X_test, y_test):.3f}")

p = model.predict_proba(X_test)
print("\nThe five least confident predictions on the test digits:")
for i in p.max(axis=1).argsort()[:5]:
    first, second = p[i].argsort()[:-3:-1]
    print(f"  {first} with {p[i, first]:.2f}, {second} with {p[i, second]:.2f}; the label is {y_test[i]}")
