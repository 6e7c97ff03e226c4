"""Data frames of pandas and polars: feature names, named classes, mixed columns."""

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer, make_column_transformer
from sklearn.datasets import load_iris
from sklearn.impute import SimpleImputer
from sklearn.inspection import permutation_importance
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from tests.support.data import shuffled
from tests.support.estimators import learned

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

IRIS, SPECIES = shuffled(load_iris(), 4, 150)


@pytest.fixture(params=["pandas", "polars"])
def frames(request):
    """A library of data frames."""
    return pytest.importorskip(request.param)


NAMES = ["petal width", "petal length", "sepal width", "sepal length"]


def as_frame(frames, X, names=NAMES):
    return frames.DataFrame(dict(zip(names, X.T, strict=True)))


def test_a_frame_gives_its_numbers_and_its_feature_names(frames):
    frame, labels = as_frame(frames, IRIS), frames.Series(SPECIES)
    plain = learned().fit(IRIS, SPECIES)
    model = learned().fit(frame, labels)
    assert model.feature_names_in_.tolist() == NAMES
    assert model.feature_names_in_.dtype == object
    assert model.n_features_in_ == 4
    assert model.classes_.tolist() == ["setosa", "versicolor", "virginica"]
    np.testing.assert_array_equal(model.predict_proba(frame), plain.predict_proba(IRIS))
    assert model.score(frame, labels) > 0.8
    parts = learned().partial_fit(frame, labels, classes=frames.Series(sorted(set(SPECIES))))
    assert parts.feature_names_in_.tolist() == NAMES
    model.fit(IRIS, SPECIES)
    assert not hasattr(model, "feature_names_in_")


def test_wrong_and_missing_names_are_errors(frames):
    frame = as_frame(frames, IRIS)
    model = learned(warm_start=True).fit(frame, SPECIES)
    before = model.network_.theta.copy()
    turned, short, renamed = frame[NAMES[::-1]], frame[NAMES[:3]], as_frame(frames, IRIS, list("abcd"))
    for wrong, message in [
        (turned, "same order"),
        (short, "now missing:\n- sepal length"),
        (renamed, "unseen"),
    ]:
        for call in (
            model.predict,
            model.predict_proba,
            model.predict_log_proba,
            model.decision_function,
            model.activations,
            lambda X: model.score(X, SPECIES),
            lambda X: model.fit(X, SPECIES),
            lambda X: model.partial_fit(X, SPECIES),
            lambda X: learned().fit(frame, SPECIES, X_val=X, y_val=SPECIES),
        ):
            with pytest.raises(ValueError, match=message):
                call(wrong)
    np.testing.assert_array_equal(model.network_.theta, before)
    with pytest.warns(UserWarning, match="does not have valid feature names, but TinyClassifier was fitted"):
        model.predict(IRIS)
    with pytest.warns(UserWarning, match="TinyClassifier was fitted without feature names"):
        learned().fit(IRIS, SPECIES).predict(frame)
    with pytest.raises(ValueError, match="X has 3 features, but TinyClassifier is expecting 4 features"):
        learned().fit(IRIS, SPECIES).predict(IRIS[:, :3])


def test_columns_numbered_by_integers_give_no_feature_names():
    assert not hasattr(learned().fit(pd.DataFrame(IRIS), SPECIES), "feature_names_in_")
    with pytest.raises(TypeError, match="only supported if all input features have string names"):
        learned().fit(pd.DataFrame(IRIS, columns=["a", 1, "b", 2]), SPECIES)


def test_scorers_get_the_frames_that_were_passed(frames):
    seen = []

    def scorer(model, X, y):
        seen.append((type(X), type(y), list(X.columns)))
        return model.score(X, y)

    frame, labels = as_frame(frames, IRIS), frames.Series(SPECIES)
    expected = (frames.DataFrame, np.ndarray, NAMES)
    model = learned(early_stopping=True, scoring=scorer, max_iter=3).fit(frame, labels)
    learned(scoring=scorer, max_iter=3).fit(frame, labels, X_val=frame[:30], y_val=labels[:30])
    assert seen == [expected] * 6
    assert model.feature_names_in_.tolist() == NAMES


def test_mixed_columns_work_with_a_column_transformer(frames):
    rng = np.random.default_rng(0)
    size = np.where(rng.random(150) < 0.1, np.nan, IRIS[:, 2])
    color = np.where(rng.random(150) < 0.1, "grey", np.where(SPECIES == "setosa", "white", "blue"))
    frame = frames.DataFrame({"size": size, "color": color, "width": IRIS[:, 3]})
    labels = frames.Series(SPECIES)

    def chain(output):
        numbers = make_pipeline(SimpleImputer(), StandardScaler())
        kinds = OneHotEncoder(sparse_output=False)
        columns = ColumnTransformer([("numbers", numbers, ["size", "width"]), ("kinds", kinds, ["color"])])
        return make_pipeline(columns, learned()).set_output(transform=output)

    assert cross_val_score(chain(frames.__name__), frame, labels, cv=3).min() > 0.8
    framed, plain = (chain(output).fit(frame, labels) for output in (frames.__name__, "default"))
    kinds = [f"kinds__color_{name}" for name in ("blue", "grey", "white")]
    assert framed[-1].feature_names_in_.tolist() == ["numbers__size", "numbers__width", *kinds]
    assert not hasattr(plain[-1], "feature_names_in_")
    np.testing.assert_allclose(framed.predict_proba(frame), plain.predict_proba(frame), rtol=1e-4)


def mixed(frames, n=150):
    """A table of IRIS with texts, booleans and missing entries, of which ``n`` rows."""
    rng = np.random.default_rng(0)
    width = [None if gone else float(x) for x, gone in zip(IRIS[:, 3], rng.random(150) < 0.2, strict=True)]
    color = ["white" if name == "setosa" else str(rng.choice(["blue", "red"])) for name in SPECIES]
    color = [None if rng.random() < 0.1 else name for name in color]
    wide = (IRIS[:, 2] > 0).tolist()
    columns = {"width": width, "color": color, "wide": wide, "length": IRIS[:, 0].tolist()}
    return frames.DataFrame({name: values[:n] for name, values in columns.items()})


def test_a_mixed_table_is_learned_as_it_is_by_the_tools_of_scikit_learn(frames):
    table, labels = mixed(frames), frames.Series(SPECIES)
    assert cross_val_score(learned(), table, labels, cv=3).min() > 0.75
    grid = {"max_categories": [2, None], "categorical_features": ["from_dtype", ["color", "wide"]]}
    search = GridSearchCV(learned(), grid, cv=2, error_score="raise").fit(table, labels)
    assert search.best_score_ > 0.75
    assert search.best_estimator_.feature_names_in_.tolist() == ["width", "color", "wide", "length"]
    if frames is pd:  # scikit-learn makes other frames arrays
        model = learned().fit(table, labels)
        found = permutation_importance(model, table, labels, n_repeats=2, random_state=0)
        assert found.importances_mean.argmax() in (0, 1)


@pytest.mark.parametrize("output", ["pandas", "polars"])
def test_a_pipeline_may_pass_on_frames_of_another_library(frames, output):
    pytest.importorskip("pyarrow" if output == "polars" and frames is pd else output)  # for the conversion
    table = mixed(frames)
    numbers = make_column_transformer(
        (StandardScaler(), ["length"]), remainder="passthrough", verbose_feature_names_out=False
    )
    chain = make_pipeline(numbers, learned()).set_output(transform=output).fit(table, SPECIES)
    assert chain[-1].feature_names_in_.tolist() == ["length", "width", "color", "wide"]
    colors = ["color_blue", "color_red", "color_white"]
    names = ["missingindicator_width", "missingindicator_color", *colors, "wide_False", "wide_True"]
    assert chain[-1].input_names_.tolist() == ["length", "width", *names]
    assert chain.score(table, SPECIES) > 0.75
    other = make_pipeline(numbers, learned()).set_output(transform="pandas").fit(mixed(pd), SPECIES)
    np.testing.assert_array_equal(chain.predict_proba(table), other.predict_proba(mixed(pd)))


def test_scorers_get_the_rows_of_a_mixed_table_as_they_were_passed(frames):
    seen = []

    def scorer(model, X, y):
        seen.append(X)
        return model.score(X, y)

    table = mixed(frames)
    model = learned(early_stopping=True, scoring=scorer, max_iter=2).fit(table, SPECIES)
    learned(scoring=scorer, max_iter=2).fit(table, SPECIES, X_val=table[:30], y_val=SPECIES[:30])
    assert [type(X) for X in seen] == [frames.DataFrame] * 4
    for X in seen:
        assert list(X.columns) == list(table.columns)
        assert list(X.dtypes) == list(table.dtypes)
        assert {"white", "red"} < {*X["color"]}
    assert len(seen[0]) == 75  # half of few rows
    values, seen = table.to_numpy(), []
    model = learned(early_stopping=True, scoring=scorer, max_iter=2, categorical_features=[1, 2])
    model.fit(values, SPECIES)
    assert {type(X) for X in seen} == {np.ndarray}
    assert {len(X) for X in seen} == {75}


def test_rows_are_held_out_of_a_mixed_table_whatever_its_index():
    table = mixed(pd)
    expected = learned(early_stopping=True).fit(table, SPECIES).predict_proba(table)
    for index in (range(500, 650), list("abc") * 50, pd.MultiIndex.from_product([range(15), range(10)])):
        other = table.set_axis(index, axis=0)
        found = learned(early_stopping=True).fit(other, SPECIES).predict_proba(other)
        np.testing.assert_array_equal(found, expected)


def test_columns_of_a_frame_of_soft_targets_name_the_classes(frames):
    names = ["setosa", "versicolor", "virginica"]
    y = as_frame(frames, 0.9 * (np.unique(SPECIES) == SPECIES[:, None]) + 0.1 / 3, names)
    model = learned(soft_targets=True).fit(as_frame(frames, IRIS), y)
    assert model.classes_.tolist() == names
    assert model.score(as_frame(frames, IRIS), SPECIES) > 0.8
