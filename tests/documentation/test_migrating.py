"""The page on migrating is true: code runs, names exist, each difference has a test of both classifiers."""

import builtins
import inspect
import re
import warnings
from contextlib import redirect_stdout
from functools import partial
from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from sklearn.calibration import CalibratedClassifierCV
from sklearn.callback import ProgressBar
from sklearn.datasets import load_digits, load_iris
from sklearn.exceptions import ConvergenceWarning, DataConversionWarning, NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import tinyclf
from tests.support.doubles import Interrupts
from tests.support.pages import table
from tinyclf import (
    SKLEARN_DEFAULTS,
    CollapseWarning,
    DivergenceError,
    DivergenceWarning,
    FeatureScaleWarning,
    TinyClassifier,
    TrainingWarning,
)

# ConvergenceWarnings do not matter here, except in the tests that expect them.
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "how_to" / "migrating.md").read_text()
X, Y = load_iris(return_X_y=True)
X = StandardScaler().fit_transform(X)
MANY = np.tile(X, (4, 1)) + np.arange(600)[:, None] * 1e-9  # all rows differ
W = np.random.default_rng(0).uniform(0.5, 2.0, len(X))
QUICK = {"hidden_layer_sizes": 8, "max_iter": 10, "random_state": 0}


def ours(**parameters):
    return TinyClassifier(**{**SKLEARN_DEFAULTS, **QUICK, **parameters})


def theirs(**parameters):
    return MLPClassifier(**{**QUICK, **parameters})


def error_of(function, *arguments):
    """The type of the error or warning that a call raises, or None."""
    try:
        function(*arguments)
    except (Exception, KeyboardInterrupt) as error:
        return type(error)
    return None


# --- the page ----------------------------------------------------------------------------------------------


def spans():
    """Return the code spans outside of code blocks, without the names of skorch and scikeras."""
    prose, foreign = re.sub(r"```.*?```", "", TEXT, flags=re.DOTALL).split("## From skorch or scikeras")
    prose += " ".join(line.split(" | ", 1)[1] for line in foreign.splitlines() if line.startswith("| `"))
    return sorted(set(re.findall(r"`([^`]+)`", prose)))


VALIDATION = {"X_val": X[1::2], "y_val": Y[1::2]}
NAMES = {
    **vars(builtins),
    **{name: getattr(tinyclf, name) for name in tinyclf.__all__},
    **{"np": np, "scipy": scipy, "tinyclf": tinyclf, "warnings": warnings, "X": X, "y": Y, **VALIDATION},
    **{a.__name__: a for a in (MLPClassifier, CalibratedClassifierCV, ProgressBar, StandardScaler)},
    **{a.__name__: a for a in (ConvergenceWarning, DataConversionWarning, NotFittedError, make_pipeline)},
}


def known_words():
    model = ours().fit(X[::2], Y[::2], **VALIDATION)
    pipelines = [make_pipeline(StandardScaler(), c()) for c in (TinyClassifier, MLPClassifier)]
    return {
        *NAMES,
        "model",
        *(name for name in dir(model) if not name.startswith("_")),
        *model.get_params(),
        *inspect.signature(model.fit).parameters,
        *inspect.signature(model.partial_fit).parameters,
        *(name for pipeline in pipelines for name in pipeline.get_params()),
    }


def test_python_blocks_run_one_after_the_other(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names = {}
    blocks = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for block in blocks:
            exec(compile(block, "migrating.md", "exec"), names)
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == sum(block.count("print(") for block in blocks) == 3
    assert float(printed[0].split()[0]) > 0.95
    assert printed[1] == "True"
    assert -0.2 < float(printed[2]) < 0
    assert names["pipeline"].score(names["X_val"], names["y_val"]) > 0.9


def test_the_page_is_one_page():
    assert TEXT.count("\n") <= 190
    assert max(len(line) for line in TEXT.splitlines() if not line.startswith("|")) <= 120


def test_links_to_issues_have_the_numbers_that_they_show():
    targets = re.findall(r"\[(\d+)\]\((https:[^)]+)\)", TEXT)
    for number, target in targets:
        assert re.fullmatch(rf"https://github.com/scikit-learn/scikit-learn/(issues|pull)/{number}", target)
    assert len(targets) > 15


@pytest.mark.parametrize("span", spans())
def test_code_in_the_text_names_what_is_there_and_works(span, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    if "ProgressBar" in span:
        pytest.importorskip("rich")
    if "to_onnx" in span:
        pytest.importorskip("onnx")
    if span.startswith("python -m pytest "):
        for path in span.split()[3:]:
            assert (ROOT / path).exists(), path
    elif span.startswith("_"):
        assert not hasattr(ours().fit(X, Y), span)
        assert hasattr(theirs().fit(X, Y), span)
    elif re.fullmatch(r"\w+", span):
        assert span in known_words()
    elif re.match(r"\w+=", span):
        parameters = eval(f"dict({span})", NAMES)
        y = np.eye(3)[Y] if "soft_targets" in parameters else Y
        TinyClassifier(**{"max_iter": 3, "random_state": 0, **parameters}).fit(X, y).predict(X)
    else:
        with warnings.catch_warnings():
            exec(span, {**NAMES, "model": ours().fit(X, Y)})


def test_links_lead_to_the_issues_that_they_name():
    links = re.findall(r"\[(\d+)\]\(([^)]+)\)", TEXT)
    assert len(links) > 10
    for number, target in links:
        assert re.fullmatch(rf"https://github.com/scikit-learn/scikit-learn/(issues|pull)/{number}", target)


def test_what_mlp_classifier_does_not_have_is_mentioned():
    words = set(re.findall(r"\w+", " ".join(spans())))
    parameters = set(TinyClassifier().get_params()) - set(MLPClassifier().get_params())
    arguments = set(inspect.signature(TinyClassifier.fit).parameters)
    arguments -= set(inspect.signature(MLPClassifier.fit).parameters)
    fitted = [model.fit(X, Y) for model in (ours(), theirs())]
    mine, other = ({name for name in dir(model) if not name.startswith("_")} for model in fitted)
    assert other - mine - {"loss"} <= {"set_partial_fit_request"}
    new = parameters | arguments | (mine - other)
    assert new - words == set()
    assert len(parameters) > 7


def test_the_defaults_that_differ_are_named():
    mine = TinyClassifier().get_params()
    changed = {name for name, value in SKLEARN_DEFAULTS.items() if mine[name] != value}
    (sentence,) = re.findall(
        r"The defaults of these parameters differ .*?: (.*?)\. Scikit-learn's", TEXT, re.DOTALL
    )
    assert changed == set(re.findall(r"`(\w+)`", sentence))


def test_a_pipeline_names_the_step_after_the_class():
    grid = {"mlpclassifier__alpha": [0.1]}
    assert error_of(GridSearchCV(make_pipeline(ours()), grid, cv=2).fit, X, Y) is ValueError
    names = {"TinyClassifier": TinyClassifier}
    exec("class MLPClassifier(TinyClassifier): pass", names)
    renamed = names["MLPClassifier"](**QUICK)
    GridSearchCV(make_pipeline(renamed), grid, cv=2, error_score="raise").fit(X, Y)


def test_every_difference_has_a_test():
    rows = table(TEXT, "What differs on purpose")
    assert sorted(DIFFERENCES) == sorted(re.match(r"\*\*(.*?)\*\*", here)[1] for here, _, _ in rows)


# --- what is equal -----------------------------------------------------------------------------------------


def test_values_that_are_refused_are_refused():
    wrong = {
        "hidden_layer_sizes": [0, (5, 0)],
        "learning_rate_init": [0.0, -1.0],
        "momentum": [1.5],
        "tol": [-1.0],
        "batch_size": [0, "all"],
        "solver": ["newton"],
        "activation": ["softplus"],
        "n_iter_no_change": [0, 1.5],
        "validation_fraction": [1.0],
        "shuffle": ["yes"],
        "max_iter": [0],
        "max_fun": [0],
    }
    for name, values in wrong.items():
        for value in values:
            expected = error_of(theirs(**{name: value}).fit, X, Y)
            assert issubclass(expected, ValueError)
            assert error_of(ours(**{name: value}).fit, X, Y) is expected


def test_the_same_is_printed(capsys):
    said = []
    for make in (ours, theirs):
        for parameters in ({}, {"early_stopping": True}):
            make(verbose=True, tol=1e9, n_iter_no_change=1, **parameters).fit(X, Y)
            # Without losses and scores: the weights at the start differ. See test_drop_in for these.
            said.append(re.sub(r"(loss|score)( =|:) \d\.\d+", r"\1", capsys.readouterr().out))
    assert said[:2] == said[2:]
    assert said[0].count("\n") == 4
    assert "did not improve more than tol=1000000000.000000 for 1 consecutive epochs. Stopping." in said[0]


def test_curves_and_counts_continue_with_a_warm_start_and_in_partial_fit():
    for make in (ours, theirs):
        model = make(warm_start=True, max_iter=3).fit(X, Y).fit(X, Y)
        assert (model.n_iter_, model.t_, len(model.loss_curve_)) == (3, 900, 6)
        model.partial_fit(X, Y)
        assert (model.n_iter_, model.t_, len(model.loss_curve_)) == (1, 1050, 7)
        assert error_of(model.fit, X, Y % 2) is ValueError
        assert error_of(getattr, make(solver="lbfgs"), "partial_fit") is AttributeError


# --- what differs on purpose -------------------------------------------------------------------------------

DIFFERENCES = {}


def differs(head, here, there, **default):
    """Note a function for the row of the table that starts with these words, and its results.

    ``here`` is its result for ``ours``, ``there`` that for ``theirs``. If a default of TinyClassifier
    makes the difference, the result without it is that of MLPClassifier.
    """

    def note(observe):
        assert head not in DIFFERENCES
        DIFFERENCES[head] = (observe, here, there, default)
        return observe

    return note


@differs(
    "float32",
    here=[("float32", "float64")] * 2,
    there=[("float32", "float32"), ("float64", "float64")],
    dtype="float32",
)
def types_of_weights_and_probabilities(make):
    found = []
    for dtype in ("float32", "float64"):
        model = make().fit(X.astype(dtype), Y)
        found.append((model.coefs_[0].dtype.name, model.predict_proba(X.astype(dtype)).dtype.name))
    return found


SURE, LESS_SURE = pytest.approx(1000.0), [pytest.approx(36.04, abs=0.01), pytest.approx(15.94, abs=0.01)]


@differs("exact loss", here=[SURE, SURE], there=LESS_SURE)
def losses_of_confident_wrong_predictions(make, attribute="loss_"):
    settings = {
        "hidden_layer_sizes": (),
        "solver": "sgd",
        "alpha": 0.0,
        "momentum": 0.0,
        "learning_rate_init": 0.1,
    }
    found = []
    for dtype in ("float64", "float32"):
        x = X.astype(dtype)
        model = make(**settings).partial_fit(x, Y, classes=[0, 1, 2])
        model.coefs_[0][:] = 0.0
        model.intercepts_[0][:] = [0.0, 0.0, 1000.0]
        found.append(getattr(model.partial_fit(x[:50], Y[:50]), attribute))  # all of class 0
    return found


def test_the_training_steps_are_the_same_where_mlp_classifier_clips_the_loss():
    mine, other = (losses_of_confident_wrong_predictions(make, "coefs_") for make in (ours, theirs))
    for one, another in zip(mine, other, strict=True):
        np.testing.assert_allclose(one[0], another[0], rtol=1e-5, atol=1e-7)


@differs("`predict_log_proba`", here=(None, False), there=(RuntimeWarning, True))
def infinite_log_probabilities(make):
    model, far = make().fit(X, Y), 1e4 * X
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        error = error_of(model.predict_log_proba, far)
    return error, bool(np.isneginf(model.predict_log_proba(far)).any())


@differs("`decision_function`", here=[True, True], there=[False, False])
def calibration_works_without_probabilities(make):
    model = make().fit(X, Y)
    assert hasattr(model, "decision_function") == (make is not theirs)
    model.predict_proba = None
    found = []
    for method in ("sigmoid", "temperature"):
        calibrated = CalibratedClassifierCV(FrozenEstimator(model), method=method)
        found.append(error_of(calibrated.fit, X, Y) is None)
    return found


@differs("single class", here=((150, 1), 1), there=((150, 2), 1))
def probabilities_of_a_single_class(make):
    model = make().fit(X, ["a"] * 150)
    return model.predict_proba(X).shape, len(model.classes_)


@differs("`scale_inputs=True`", here=True, there=False, scale_inputs=True)
def the_units_of_columns_do_not_matter(make):
    one, other = (make().fit(x, Y).predict_proba(x) for x in (X, 8.0 * X + 3.0))
    return np.allclose(one, other, rtol=1e-9)


@differs(
    "missing entries and categories",
    here=[None, None, 6, 2],
    there=[ValueError, ValueError, 1, 1],
    scale_inputs=True,
    categorical_features="from_dtype",
)
def errors_of_missing_entries_and_strings_and_the_inputs_of_digits_and_booleans(make):
    missing, codes = np.where(X > 2.0, np.nan, X), np.arange(150) % 6
    words = np.array(["one", "two", "three"])[codes % 3]
    errors = [error_of(make().fit, x, Y) for x in (missing, pd.DataFrame({"a": words}))]
    widths = [len(make().fit(pd.DataFrame({"a": a}), Y).coefs_[0]) for a in (codes.astype(str), codes < 3)]
    return errors + widths


@differs(
    '`n_members="auto"`',
    here=[(4, 8), (8, 8, 3), (8, 8), (8, 3)],
    there=[(4, 8), (8, 3), (8,), (3,)],
    n_members="auto",
)
def shapes_of_the_weights(make):
    model = make().fit(X, Y)
    if getattr(model, "n_members", 1) == "auto":
        assert model.activations(X).shape == (150, 8 * 8)
    return [values.shape for values in (*model.coefs_, *model.intercepts_)]


@differs("epochs", here=(40, []), there=(200, [ConvergenceWarning]))
def epochs_and_warnings_of_the_defaults(make):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = type(make())(random_state=0).fit(X, Y)
    return model.n_iter_, [one.category for one in caught]


@differs(
    '`early_stopping="auto"`',
    here=[(False, 399), (True, 400)],
    there=[(False, 499), (False, 500)],
    **{"early_stopping": "auto", "validation_fraction": "auto", "calibrate": True, "refit": True},
)
def whether_rows_are_scored_and_the_number_trained_on(make):
    found = []
    for n in (499, 500):
        model = make().fit(MANY[:n], np.tile(Y, 4)[:n])
        found.append((model.validation_scores_ is not None, model.t_ // model.n_iter_))
    return found


@differs(
    "`calibrate=True`",
    here=False,
    there=True,
    **{"early_stopping": "auto", "validation_fraction": "auto", "calibrate": True, "refit": True},
)
def a_network_fitted_to_noise_is_confident(make):
    rng = np.random.default_rng(0)
    x, y, new = rng.normal(size=(200, 20)), rng.integers(0, 2, 200), rng.normal(size=(500, 20))
    model = make(hidden_layer_sizes=100, max_iter=40, learning_rate_init=0.01).fit(x, y)
    return bool(abs(model.predict_proba(new)[:, 1] - 0.5).mean() > 0.2)


FEW = slice(44, 56)  # six rows of each of two classes


def trained_on(make, x, y):
    """The rows without which a fit of one epoch with early stopping gives other weights."""
    settings = {"early_stopping": True, "validation_fraction": 0.5, "max_iter": 1, "solver": "sgd"}
    expected = make(**settings).fit(x, y).coefs_[0]
    found = []
    for row in range(len(x)):
        changed = np.where(np.arange(len(x))[:, None] == row, -x, x)
        if (make(**settings).fit(changed, y).coefs_[0] != expected).any():
            found.append(row)
    return found


@differs("`refit=True`", here=12, there=6, refit=True)
def rows_that_matter_with_early_stopping(make):
    return len(trained_on(make, X[FEW], Y[FEW]))


@differs("held-out rows", here=[True, True], there=[True, False])
def whether_the_same_fraction_of_each_class_is_held_out(make):
    found = []
    for rows in (FEW, np.r_[0:6, 50:56, 100:106]):
        counts = np.bincount(Y[rows][trained_on(make, X[rows], Y[rows])])
        found.append(len(set(counts)) == 1)
    return found


@differs("random numbers", here=(False, True), there=(True, False))
def whether_the_first_weights_are_the_same_and_the_held_out_rows_do_not_depend_on_their_number(make):
    still = {"solver": "sgd", "learning_rate_init": 1e-300, "max_iter": 1}
    first, expected = (one(**still).fit(X, Y).coefs_[0] for one in (make, theirs))
    rows = [trained_on(partial(make, hidden_layer_sizes=width), X[FEW], Y[FEW]) for width in (8, 9)]
    return np.array_equal(first, expected), rows[0] == rows[1]


@differs("order of the rows", here=False, there=True)
def two_epochs_from_the_same_weights_give_the_same(make):
    still = {"solver": "sgd", "momentum": 0.0, "batch_size": 10}
    model, ends = make(**still).partial_fit(X, Y, classes=[0, 1, 2]), []
    for _ in range(2):
        for parameters in (*model.coefs_, *model.intercepts_):
            parameters[:] = 0.1
        ends.append(model.partial_fit(X, Y).coefs_[1].copy())
    return np.array_equal(*ends)


@differs("patience", here=[True, True], there=[False, False])
def further_fits_after_convergence_have_more_than_one_epoch(make):
    model = make(warm_start=True, tol=0.01, n_iter_no_change=3, learning_rate_init=0.05, max_iter=500).fit(
        X, Y
    )
    return [model.fit(X, Y).n_iter_ > 1 for _ in range(2)]


CHANGES = {"hidden_layer_sizes": 5}, {"hidden_layer_sizes": (8, 4)}, {"activation": "tanh"}


@differs(
    "layers are fixed",
    here=[(ValueError, ValueError, None)] * 3,
    there=[(None, None, None), (AttributeError, AttributeError, None), (None, None, None)],
)
def errors_after_a_change_of_the_layers(make):
    found = []
    for change in CHANGES:
        model = make(warm_start=True).fit(X, Y).set_params(**change)
        errors = [error_of(model.fit, X, Y), error_of(model.partial_fit, X, Y)]
        assert model.coefs_[0].shape == (4, 8)
        found.append((*errors, error_of(model.set_params(warm_start=False).fit, X, Y)))
    return found


@differs("solver and `early_stopping`", here=[None] * 3, there=[AttributeError, AttributeError, TypeError])
def errors_after_a_change_of_solver_or_early_stopping(make):
    return [
        error_of(make(warm_start=True, **first).fit(X, Y).set_params(**then).fit, X, Y)
        for first, then in [
            ({"solver": "lbfgs"}, {"solver": "adam"}),
            ({"early_stopping": False}, {"early_stopping": True}),
            ({"early_stopping": True}, {"early_stopping": False}),
        ]
    ]


@differs("`partial_fit` reads the parameters", here=[False, False], there=[True, True])
def partial_fit_moves_after_a_change_to_tiny_steps(make):
    found = []
    for change in (
        {"learning_rate_init": 1e-300, "momentum": 0.0},
        {"solver": "adam", "learning_rate_init": 1e-300},
    ):
        model = make(solver="sgd").partial_fit(X, Y, classes=[0, 1, 2])
        before = model.coefs_[0].copy()
        found.append(bool((model.set_params(**change).partial_fit(X, Y).coefs_[0] != before).any()))
    return found


DIVERGES = {"solver": "sgd", "learning_rate_init": 1e300}


@differs("a failed `fit`", here=True, there=False)
def a_failed_fit_keeps_the_model(make):
    model = make().fit(X, Y)
    before = model.predict_proba(X)
    assert issubclass(error_of(model.set_params(**DIVERGES).fit, X, Y), ValueError)
    return error_of(model.predict_proba, X) is None and bool((model.predict_proba(X) == before).all())


class Interrupted(MLPClassifier):
    """MLPClassifier that raises KeyboardInterrupt in the batch with the number ``batches``."""

    def _backprop(self, *arguments):
        self.batches -= 1
        if self.batches == 0:
            raise KeyboardInterrupt
        return super()._backprop(*arguments)


def interrupted(make, at, **parameters):
    if make is not theirs:
        return make(loss=Interrupts(at), batch_size=50, **parameters)
    model = Interrupted(**{**QUICK, "batch_size": 50, **parameters})
    model.batches = at
    return model


@differs(
    "Ctrl-C",
    here=[UserWarning, UserWarning, KeyboardInterrupt, KeyboardInterrupt],
    there=[UserWarning, KeyboardInterrupt, UserWarning, UserWarning],
)
def what_ctrl_c_raises_in_fit_in_lbfgs_in_partial_fit_and_in_a_second_fit(make):
    second = interrupted(make, 30 + 2, warm_start=True)
    first = (interrupted(make, 8).fit, interrupted(make, 8, solver="lbfgs").fit)
    part = partial(interrupted(make, 2).partial_fit, classes=[0, 1, 2])
    return [error_of(call, X, Y) for call in (*first, part, second.fit(X, Y).fit)]


@differs("`DivergenceError`", here=(DivergenceError, None), there=(ValueError, 10))
def the_error_of_a_fit_that_diverges_and_its_epochs(make):
    model = make(**DIVERGES)
    return error_of(model.fit, X, Y), vars(model).get("n_iter_")


@differs("prediction beyond the type's range", here=ValueError, there=None)
def the_error_of_logits_beyond_the_range(make):
    model = make(hidden_layer_sizes=()).fit(X, Y)
    far = 1.7e308 * np.sign(model.coefs_[0].T)
    error = error_of(model.predict_proba, far)
    assert error or np.isnan(model.predict_proba(far)).any()
    return error


BAD_ENDS = [FeatureScaleWarning, CollapseWarning, DivergenceWarning]


@differs("`DivergenceWarning`, `CollapseWarning`, `FeatureScaleWarning`", here=BAD_ENDS, there=[None] * 3)
def warnings_of_fits_that_ended_badly(make):
    assert all(issubclass(category, TrainingWarning) for category in BAD_ENDS)
    rate = {"solver": "sgd", "max_iter": 40}
    return [
        error_of(make().fit, X * [1e5, 1, 1, 1], Y),
        error_of(make(**rate, learning_rate_init=1.0).fit, *load_digits(return_X_y=True)),
        error_of(make(**rate, learning_rate_init=1e4).fit, X, Y),
    ]


@differs("rows of weight 0", here=(None, 1400), there=(ZeroDivisionError, 1500))
def what_rows_of_weight_zero_do(make):
    w = np.where(np.arange(150) < 10, 0.0, 1.0)
    return error_of(make(batch_size=10, shuffle=False).fit, X, Y, w), make().fit(X, Y, w).t_


@differs("negative weights", here=[ValueError, ValueError], there=[None, None])
def errors_of_negative_weights(make):
    w = np.r_[-1.0, np.ones(149)]
    return [error_of(make().fit, X, Y, w), error_of(make().fit(X, Y).score, X, Y, w)]


@differs("masked entries", here=[ValueError, TypeError], there=[None, None])
def errors_of_masked_entries_and_dates(make):
    dates = np.arange(300).reshape(150, 2).astype("M8[D]")
    return [error_of(make().fit, x, Y) for x in (np.ma.masked_less(X, 1.0), dates)]


@differs(
    '"lbfgs"',
    here=(["best_loss_", "loss_curve_"], "float32", True),
    there=([], "float64", False),
)
def what_lbfgs_keeps_and_prints(make):
    with redirect_stdout(StringIO()) as printed:
        model = make(solver="lbfgs", verbose=True).fit(X.astype("float32"), Y)
    kept = [name for name in ("best_loss_", "loss_curve_") if hasattr(model, name)]
    return kept, model.coefs_[0].dtype.name, bool(printed.getvalue())


@differs("`coefs_`, `intercepts_`", here=[ValueError, None], there=[None, ValueError])
def errors_of_weights_of_another_shape_and_of_the_next_prediction(make):
    model = make().fit(X, Y)
    model.coefs_[1] = np.zeros((8, 3))
    model.intercepts_ = [model.intercepts_[0], np.arange(3.0)]
    np.testing.assert_allclose(model.predict_proba(X[:1]), [[0.09003057, 0.24472847, 0.66524096]])
    return [error_of(model.coefs_.__setitem__, 0, np.zeros((5, 8))), error_of(model.predict, X)]


@differs(
    "labels",
    here=[None, ValueError, ValueError, ValueError],
    there=[ValueError, TypeError, TypeError, TypeError],
)
def errors_of_integer_objects_mixed_and_missing_labels_and_a_fractional_width(make):
    mixed, missing = np.array([0, "b", 1], object)[Y], np.array(["a", "b", None])[Y]
    errors = [error_of(make().fit, X, y) for y in (Y.astype(object), mixed, missing)]
    return [*errors, error_of(make(hidden_layer_sizes=(1.5,)).fit, X, Y)]


@differs("predictions of sparse y", here=scipy.sparse.csr_array, there=scipy.sparse.csr_matrix)
def the_type_of_predictions_of_sparse_labels(make):
    sets = (X > 0).astype(int)
    (kind,) = {
        type(make().fit(X, kind(sets)).predict(X))
        for kind in (scipy.sparse.csr_matrix, scipy.sparse.csr_array)
    }
    return kind


@differs("private attributes", here=["network_"], there=["_optimizer"])
def where_the_trained_network_is(make):
    model = make().fit(X, Y)
    return [name for name in ("_optimizer", "network_") if hasattr(model, name)]


@pytest.mark.parametrize("head", DIFFERENCES)
@pytest.mark.filterwarnings("ignore:.* encountered:RuntimeWarning")  # of MLPClassifier
def test_each_difference_between_the_classifiers_is_as_stated(head):
    observe, here, there, default = DIFFERENCES[head]
    defaults = TinyClassifier().get_params()
    assert default == {name: defaults[name] for name in default}
    assert observe(partial(ours, **default)) == here
    assert observe(theirs) == there != here
    if default:
        assert observe(ours) == there
