"""
Grid search on a Dask cluster
=============================

A grid search on a Dask cluster finds the same parameters and scores as in one process.
"""

import tempfile

import dask
import joblib
from distributed import Client, LocalCluster
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV

from tinyclf import TinyClassifier


def search(X, y):
    grid = {"hidden_layer_sizes": [(20,), (50,)], "alpha": [1e-4, 1.0]}
    model = TinyClassifier(max_iter=5, random_state=0)
    return GridSearchCV(model, grid, scoring="neg_log_loss", cv=3).fit(X, y)


def main():
    X, y = load_digits(return_X_y=True)
    with (
        tempfile.TemporaryDirectory() as folder,  # otherwise the workers create one in the current folder
        dask.config.set({"temporary-directory": folder}),
        LocalCluster(n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address=None) as cluster,
        Client(cluster),
        joblib.parallel_config(backend="dask"),
    ):
        by_dask = search(X, y)
    local = search(X, y)
    scores = [found.cv_results_["mean_test_score"].tolist() for found in (by_dask, local)]
    print("the same parameters:", by_dask.best_params_ == local.best_params_)
    print("the same scores:", scores[0] == scores[1])
    print(f"log-loss {-local.best_score_:.4f} with {local.best_params_}")


if __name__ == "__main__":  # workers import this file
    main()
