"""
Grid search
===========

Search over layer sizes, activations and optimizers, all of which are parameters of the estimator.
"""

from sklearn.datasets import load_wine
from sklearn.model_selection import GridSearchCV

from tinyclf import SGD, Adam, TinyClassifier

X, y = load_wine(return_X_y=True)
search = GridSearchCV(
    TinyClassifier(random_state=0),
    {
        "hidden_layer_sizes": [(), (20,), (20, 20)],
        "activation": ["relu", "tanh"],
        "solver": [Adam(0.01), SGD(0.1, momentum=0.9, nesterov=True)],
    },
    scoring="neg_log_loss",
    n_jobs=2,
)
search.fit(X, y)

results = search.cv_results_
for i in results["rank_test_score"].argsort():
    print(f"log-loss {-results['mean_test_score'][i]:.4f}  {results['params'][i]}")
