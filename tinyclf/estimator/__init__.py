"""`TinyClassifier`: scikit-learn's interface around the network of `nn`."""
