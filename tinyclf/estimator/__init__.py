"""`TinyClassifier`: a scikit-learn estimator that trains a network of `nn`."""
