"""Compare classifiers on mixed tables: ``python benchmarks/tables.py [FOLDER] [--splits N] [--ablation]``.

The tables have columns of numbers, strings, categories and booleans, and missing values. Those in a folder
are files ``NAME.csv`` or ``NAME.csv.gz`` with a column ``target``, read by ``pandas.read_csv``. Without a
folder, they are data sets that are installed with scikit-learn and statsmodels; columns that their
documentation describes as codes are converted to categories. Rows without a target, and classes with a single
row, are left out. Each table is split several times, stratified, with a quarter of the rows as test set. The
process uses one pinned core.

The classifiers have their default parameters:

- TinyClassifier on the data frame as it is, by default and with ``n_members=1``;
- TinyClassifier and MLPClassifier behind a ColumnTransformer, with SimpleImputer(add_indicator=True) for
  numbers and OneHotEncoder(handle_unknown="infrequent_if_exist") for the other columns. For MLPClassifier,
  StandardScaler follows the imputer; TinyClassifier scales its inputs itself;
- HistGradientBoostingClassifier, with all columns except numbers as categories. It takes at most 255
  categories per column; the others are missing values;
- CatBoostClassifier, if it is installed, with the same columns as ``cat_features``; a missing entry is one
  more category.

The results are compared with those of TinyClassifier behind the ColumnTransformer, and with those of
HistGradientBoostingClassifier. The columns are those of ``defaults.py``, but 0.01 is added to each log-loss
and Brier score before two are divided, so that tables on which nearly every row is certain do not dominate.
The last table has wins, ties and losses of each pair of classifiers.

``--ablation`` compares TinyClassifier() with other limits of the number of categories, and with indicators
of categories and missing entries that are standardized like numbers.
"""

import argparse
import json
from importlib.util import find_spec
from pathlib import Path

from defaults import (
    BOOSTING,
    CATBOOST,
    ONE_MEMBER,
    OURS,
    Contender,
    catboost,
    compare,
    installed,
    one_member,
    ours,
    pairwise_table,
    spread,
    table,
)
from timing import pin_to_one_core

pin_to_one_core()

import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
from sklearn.base import BaseEstimator, TransformerMixin  # noqa: E402
from sklearn.compose import make_column_selector, make_column_transformer  # noqa: E402
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine  # noqa: E402
from sklearn.ensemble import HistGradientBoostingClassifier  # noqa: E402
from sklearn.impute import SimpleImputer  # noqa: E402
from sklearn.neural_network import MLPClassifier  # noqa: E402
from sklearn.pipeline import make_pipeline  # noqa: E402
from sklearn.preprocessing import OneHotEncoder, StandardScaler  # noqa: E402

from tinyclf import TinyClassifier, use_fast  # noqa: E402

Table = tuple[pd.DataFrame, pd.Series]

BEHIND, MLP = "TinyClassifier, ColumnTransformer", "MLPClassifier, ColumnTransformer"

# Added to each log-loss and Brier score.
ADDED = 0.01


def not_numbers(X: pd.DataFrame) -> list[str]:
    return list(X.select_dtypes(exclude="number").columns)


def columns(*after_imputing: object, **encoding: object) -> object:
    """Return the usual preprocessing of a mixed table; ``encoding`` has parameters of the OneHotEncoder."""
    return make_column_transformer(
        (
            make_pipeline(SimpleImputer(add_indicator=True), *after_imputing),
            make_column_selector(dtype_include="number"),
        ),
        (
            OneHotEncoder(handle_unknown="infrequent_if_exist", **encoding),
            make_column_selector(dtype_exclude="number"),
        ),
    )


class ToCategory(TransformerMixin, BaseEstimator):
    """Convert the columns that are not numbers to their 255 most frequent categories; others are missing.

    Columns without any value are left out: HistGradientBoostingClassifier fails on them.
    """

    def fit(self, X: pd.DataFrame, y: object = None) -> "ToCategory":
        self.columns_ = X.columns[X.notna().any()]
        names = not_numbers(X[self.columns_])
        self.kept_ = {name: X[name].value_counts().index[:255].astype(str) for name in names}
        return self

    def transform(self, X: pd.DataFrame) -> pd.DataFrame:
        codes = {name: kept.get_indexer(X[name].astype(str)) for name, kept in self.kept_.items()}
        made = {name: pd.Categorical.from_codes(codes[name], self.kept_[name]) for name in codes}
        return X[self.columns_].assign(**made)


class CatBoost:
    """CatBoostClassifier on one thread, with the columns that are not numbers as ``cat_features``."""

    def __init__(self, seed: int) -> None:
        self.model = catboost(seed)

    def fit(self, X: pd.DataFrame, y: np.ndarray) -> "CatBoost":
        self.model.fit(self._texts(X), y, cat_features=not_numbers(X))
        self.classes_ = self.model.classes_
        return self

    def predict_proba(self, X: pd.DataFrame) -> np.ndarray:
        return self.model.predict_proba(self._texts(X))

    def _texts(self, X: pd.DataFrame) -> pd.DataFrame:
        return X.assign(**{name: X[name].astype(str).fillna("missing") for name in not_numbers(X)})


def contenders() -> dict[str, Contender]:
    made: dict[str, Contender] = {
        OURS: ours,
        ONE_MEMBER: one_member,
        BEHIND: lambda seed: make_pipeline(columns(), ours(seed)),
        MLP: lambda seed: make_pipeline(columns(StandardScaler()), MLPClassifier(random_state=seed)),
        BOOSTING: lambda seed: make_pipeline(
            ToCategory(), HistGradientBoostingClassifier(random_state=seed, categorical_features="from_dtype")
        ),
        CATBOOST: CatBoost,
    }
    return installed(made)


def ablations() -> dict[str, Contender]:
    made: dict[str, Contender] = {OURS: ours}
    for most in (20, 30, 50, 255, None):
        made[f"max_categories={most}"] = lambda seed, most=most: TinyClassifier(
            random_state=seed, max_categories=most
        )
    made["standardized indicators"] = lambda seed: make_pipeline(
        columns(max_categories=100, sparse_output=False), TinyClassifier(random_state=seed)
    )
    return made


def of_scikit_learn() -> dict[str, Table]:
    cancer, wine = load_breast_cancer(as_frame=True), load_wine(as_frame=True)
    diabetes = load_diabetes(as_frame=True, scaled=False)
    return {
        "breast_cancer": (cancer.data, cancer.target),
        "diabetes": (diabetes.data.astype({"sex": "category"}), above_median(diabetes.target)),
        "wine": (wine.data, wine.target),
    }


def of_statsmodels() -> dict[str, Table]:
    if not find_spec("statsmodels"):
        print("statsmodels is not installed; its tables are left out")
        return {}
    from statsmodels import datasets

    anes96, fair, fertility, grunfeld, modechoice, randhie = (
        getattr(datasets, name).load_pandas().data
        for name in ("anes96", "fair", "fertility", "grunfeld", "modechoice", "randhie")
    )
    occupations = {"occupation": "category", "occupation_husb": "category"}
    fertility = fertility[fertility["2011"].notna()]
    randhie = randhie.sample(5000, random_state=0)
    health = randhie[["hlthg", "hlthf", "hlthp"]]  # the fourth category, excellent, has no column
    randhie["health"] = health.idxmax(axis=1).where(health.any(axis=1), "excellent")
    return {
        "anes96": (anes96.drop(columns="vote").astype({"PID": "category"}), anes96["vote"]),
        "fair": (fair.drop(columns="affairs").astype(occupations), fair["affairs"] > 0),
        "fertility": (fertility.loc[:, "1960":"1990"], above_median(fertility["2011"])),
        "grunfeld": (grunfeld.drop(columns="invest"), above_median(grunfeld["invest"])),
        "modechoice": (
            modechoice.drop(columns=["individual", "choice"]).astype({"mode": "category"}),
            modechoice["choice"],
        ),
        "randhie": (
            randhie.drop(columns=["mdvis", *health]).astype({"idp": bool}),
            randhie["mdvis"] > 0,
        ),
    }


def above_median(y: pd.Series) -> pd.Series:
    return y > y.median()


def of_folder(folder: Path) -> dict[str, Table]:
    files = sorted([*folder.glob("*.csv"), *folder.glob("*.csv.gz")])
    if not files:
        raise SystemExit(f"FOLDER must contain .csv or .csv.gz files, got {folder}, which has none")
    found = {}
    for file in files:
        frame = pd.read_csv(file)
        if "target" not in frame:
            raise SystemExit(f"{file} must have a column 'target', got {list(frame.columns)}")
        found[file.name.partition(".csv")[0]] = frame.drop(columns="target"), frame["target"]
    return found


def data_sets(folder: Path | None, only: list[str]) -> dict[str, tuple[pd.DataFrame, np.ndarray]]:
    found = {**of_scikit_learn(), **of_statsmodels()} if folder is None else of_folder(folder)
    made = {}
    for name, (X, y) in found.items():
        if not only or any(part in name for part in only):
            rows = y.notna() & (y.map(y.value_counts()) > 1)
            made[name] = X[rows], y[rows].astype(str).to_numpy(str)
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare classifiers on mixed tables.")
    parser.add_argument("folder", type=Path, nargs="?", help="folder of .csv files with a column 'target'")
    parser.add_argument("--splits", type=int, default=5)
    parser.add_argument("--only", nargs="*", default=[], help="parts of names of tables")
    parser.add_argument("--ablation", action="store_true")
    parser.add_argument("--json", type=Path, help="file for the results")
    options = parser.parse_args()
    use_fast(False)
    compared = ablations() if options.ablation else contenders()
    results = compare(compared, data_sets(options.folder, options.only), options.splits)
    for reference in (OURS,) if options.ablation else (BEHIND, BOOSTING):
        table(results, list(compared), reference, ADDED)
    if not options.ablation:
        pairwise_table(results, list(compared), ADDED)
    if options.splits > 1:
        print(
            f"\nstandard deviation of {OURS}'s log-loss over the splits: {spread(results, OURS):.0%} (median)"
        )
    if options.json:
        options.json.write_text(json.dumps(results))


if __name__ == "__main__":
    main()
