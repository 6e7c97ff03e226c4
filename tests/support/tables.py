"""A table of numbers, texts and booleans with missing entries, as every library of data frames holds it."""

from importlib.util import find_spec

import numpy as np
import pandas as pd
import polars as pl
from sklearn.impute import MissingIndicator
from sklearn.preprocessing import OneHotEncoder

N = 60
CITIES = ["Quito", "Lima", "La Paz", "Oruro"]
MISSING = None


def _with_missing(values, every):
    return [MISSING if i % every == 1 else value for i, value in enumerate(values)]


def _columns():
    rng = np.random.default_rng(0)
    cities = rng.choice(CITIES, N, p=[0.5, 0.3, 0.15, 0.05])
    return {
        "age": _with_missing((rng.normal(size=N) * 10 + 40).round(3).tolist(), 7),
        "city": _with_missing([str(city) for city in cities], 11),
        "rooms": rng.integers(1, 9, N).tolist(),
        "member": _with_missing((rng.random(N) < 0.4).tolist(), 13),
        "plan": [str(plan) for plan in rng.choice(["basic", "plus"], N)],
        "owner": (rng.random(N) < 0.7).tolist(),
    }


COLUMNS = _columns()
CATEGORIES = ["city", "member", "plan", "owner"]
LABELS = (np.nan_to_num(np.array(COLUMNS["age"], float), nan=40.0) > 42).astype(int) + (
    np.array(COLUMNS["city"]) == "Quito"
)


def objects(columns=COLUMNS):
    """A pandas data frame in which each column has the dtype object."""
    return pd.DataFrame({name: pd.Series(values, dtype=object) for name, values in columns.items()})


def as_categories(columns):
    texts = [name for name, values in columns.items() if isinstance(values[0], str)]
    return pd.DataFrame(columns).astype(dict.fromkeys(texts, "category"))


def as_enums(columns):
    frame = pl.DataFrame(columns)
    texts = [name for name in frame.columns if frame[name].dtype == pl.String]
    kinds = {name: pl.Enum(["unused", *sorted({*columns[name]} - {MISSING})[::-1]]) for name in texts}
    return frame.cast(kinds)


def pyarrow_table(columns):
    import pyarrow

    return pyarrow.table(columns)


LIBRARIES = {
    "pandas, objects": objects,
    "pandas": pd.DataFrame,
    "pandas, nullable": lambda columns: pd.DataFrame(columns).convert_dtypes(),
    "pandas, categories": as_categories,
    "polars": pl.DataFrame,
    "polars, categories": lambda columns: pl.DataFrame(columns).cast({pl.String: pl.Categorical}),
    "polars, enums": as_enums,
}
if find_spec("pyarrow"):
    LIBRARIES |= {
        "pandas, pyarrow": lambda columns: pd.DataFrame(columns).convert_dtypes(dtype_backend="pyarrow"),
        "pyarrow": pyarrow_table,
        "pyarrow, dictionaries": lambda columns: pyarrow_table(columns).set_column(
            1, "city", pyarrow_table(columns)["city"].dictionary_encode()
        ),
    }


def take(table, rows):
    """Rows of a table of any library, with its dtypes."""
    if isinstance(table, pd.DataFrame):
        return table.iloc[rows]
    return table.take(rows) if hasattr(table, "schema") and hasattr(table, "take") else table[rows]


def of_scikit_learn(fitted, new, categories, max_categories=None):
    """Names and values of indicators and categories for rows ``new``, by scikit-learn's transformers.

    They are fitted to the rows ``fitted``: MissingIndicator to all columns with missing and known entries,
    and OneHotEncoder to the known entries of each column of ``categories`` that is not constant. Both
    arguments are data frames of pandas.
    """
    fitted, new = (frame.astype(object).where(frame.notna(), MISSING) for frame in (fitted, new))
    used = [name for name in fitted if fitted[name].notna().any()]
    missing = MissingIndicator(missing_values=MISSING, features="missing-only", error_on_new=False).fit(
        fitted[used]
    )
    names = missing.get_feature_names_out().tolist()
    values = [missing.transform(new[used]).astype(float)]
    for name in categories:
        known, is_known = fitted.loc[fitted[name].notna(), [name]], new[[name]].notna()
        if len(known) == len(fitted) and known[name].nunique() == 1:
            continue  # a constant, from which nothing can be learned
        # OneHotEncoder groups one category alone if there are exactly max_categories.
        limit = None if known[name].nunique() == max_categories else max_categories
        encoder = OneHotEncoder(
            max_categories=limit, handle_unknown="infrequent_if_exist", sparse_output=False
        ).fit(known)
        names += encoder.get_feature_names_out().tolist()
        values.append(
            np.where(is_known, encoder.transform(new[[name]].where(is_known, known.iloc[0, 0])), 0.0)
        )
    return names, np.concatenate(values, axis=1)
