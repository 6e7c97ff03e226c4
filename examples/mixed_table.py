"""
A table with strings and missing values
=======================================

Fit a data frame as it is, behind a ColumnTransformer, and behind skrub's TableVectorizer.
The log-losses agree.
"""

import numpy as np
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder
from skrub import TableVectorizer

from tinyclf import TinyClassifier

rng = np.random.default_rng(0)
n = 2000
X = pd.DataFrame({"age": rng.integers(18, 80, n), "income": rng.lognormal(10, 1, n)})
X["city"] = rng.choice(["Lima", "Oslo", "Pune"], n)
X["member"] = rng.random(n) < 0.5
score = (X["age"] - 60) / 10 + np.log(X["income"]) - 10 + 2 * (X["city"] == "Oslo") + X["member"]
y = np.where(rng.random(n) < 1 / (1 + np.exp(-score)), "stays", "leaves")
X["income"] = X["income"].mask(rng.random(n) < 0.1)
X["city"] = X["city"].mask(rng.random(n) < 0.1)
print(X.head(), "\n")

X_train, X_test, y_train, y_test = train_test_split(X, y, stratify=y, random_state=0)
model = TinyClassifier(random_state=0).fit(X_train, y_train)
print("accuracy", model.score(X_test, y_test), "\n")
print("inputs of the network:", *model.input_names_, "\n")

columns = make_column_transformer(
    (SimpleImputer(add_indicator=True), ["age", "income"]),
    (OneHotEncoder(handle_unknown="ignore"), ["city", "member"]),
)


def mean_loss(*steps):  # of three seeds, since the results of a single one differ by a few percent
    models = [make_pipeline(*steps, TinyClassifier(random_state=seed)) for seed in range(3)]
    return np.mean([log_loss(y_test, one.fit(X_train, y_train).predict_proba(X_test)) for one in models])


bare, behind_columns, vectorized = mean_loss(), mean_loss(columns), mean_loss(TableVectorizer())
losses = {"the bare table": bare, "ColumnTransformer": behind_columns, "TableVectorizer": vectorized}
for name, loss in losses.items():
    print(f"{name:17}  log-loss {loss:.3f}, {loss / bare:.3f} times that of the bare table")
