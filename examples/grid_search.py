"""Grid search: sizes, activations and whole optimizers are parameters like any other."""

from sklearn.datasets import load_wine
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tinyclf import SGD, Adam, TinyClassifier

X, y = load_wine(return_X_y=True)
classifier = TinyClassifier(max_iter=300, tol=1e-3, random_state=0)
search = GridSearchCV(
    make_pipeline(StandardScaler(), classifier),
    {
        "tinyclassifier__hidden_layer_sizes": [(), (20,), (20, 20)],
        "tinyclassifier__activation": ["relu", "tanh"],
        "tinyclassifier__solver": [Adam(0.01), SGD(0.1, momentum=0.9, nesterov=True)],
    },
    scoring="neg_log_loss",
    n_jobs=2,
)
search.fit(X, y)

results = search.cv_results_
for i in results["rank_test_score"].argsort():
    chosen = {name.split("__")[1]: value for name, value in results["params"][i].items()}
    print(f"log-loss {-results['mean_test_score'][i]:.4f}  {chosen}")
