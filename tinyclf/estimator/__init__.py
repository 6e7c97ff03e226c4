"""`TinyClassifier`: scikit-learn's interface around the network of `nn`. `classifier` has the phases of a fit."""
