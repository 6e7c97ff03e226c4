"""Data frames of pandas and polars: feature names, named classes, mixed columns."""

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_iris
from sklearn.impute import SimpleImputer
from sklearn.model_selection import cross_val_score
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


def test_columns_of_a_frame_of_soft_targets_name_the_classes(frames):
    names = ["setosa", "versicolor", "virginica"]
    y = as_frame(frames, 0.9 * (np.unique(SPECIES) == SPECIES[:, None]) + 0.1 / 3, names)
    model = learned(soft_targets=True).fit(as_frame(frames, IRIS), y)
    assert model.classes_.tolist() == names
    assert model.score(as_frame(frames, IRIS), SPECIES) > 0.8
