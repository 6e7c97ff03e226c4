"""A search on a Dask cluster finds the same parameters, with the same scores, as in one process."""

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
        tempfile.TemporaryDirectory() as folder,  # for the workers, who else make one where this is run
        dask.config.set({"temporary-directory": folder}),
        LocalCluster(n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address=None) as cluster,
        Client(cluster),
        joblib.parallel_config(backend="dask"),
    ):
        by_dask = search(X, y)
    alone = search(X, y)
    scores = [found.cv_results_["mean_test_score"].tolist() for found in (by_dask, alone)]
    print("the same parameters:", by_dask.best_params_ == alone.best_params_)
    print("the same scores:", scores[0] == scores[1])
    print(f"log-loss {-alone.best_score_:.4f} with {alone.best_params_}")


if __name__ == "__main__":  # the workers import this file
    main()
