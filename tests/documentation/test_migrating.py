"""The page on migrating is true: code runs, names exist, each difference has a test of both classifiers."""

import builtins
import inspect
import re
import warnings
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.callback import ProgressBar
from sklearn.datasets import load_digits, load_iris
from sklearn.exceptions import ConvergenceWarning, DataConversionWarning, NotFittedError
from sklearn.metrics import accuracy_score, log_loss
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.class_weight import compute_class_weight, compute_sample_weight

import tinyclf
from tinyclf import (
    SKLEARN_DEFAULTS,
    CollapseWarning,
    DivergenceError,
    DivergenceWarning,
    FeatureScaleWarning,
    SoftmaxCrossEntropy,
    TinyClassifier,
    TrainingWarning,
)
from tinyclf.estimator.dataset import Dataset
from tinyclf.estimator.diagnostics import TrainingRows
from tinyclf.estimator.targets import Labels

# ConvergenceWarnings do not matter here, except in the tests that expect them.
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "how_to" / "migrating.md").read_text()
X, Y = load_iris(return_X_y=True)
X = StandardScaler().fit_transform(X)
W = np.random.default_rng(0).uniform(0.5, 2.0, len(X))
QUICK = {"hidden_layer_sizes": 8, "max_iter": 10, "random_state": 0}


def ours(**parameters):
    return TinyClassifier(**{**SKLEARN_DEFAULTS, **QUICK, **parameters})


def theirs(**parameters):
    return MLPClassifier(**{**QUICK, **parameters})


def error_of(function, *arguments):
    """The type of the error that a call raises, or None."""
    try:
        function(*arguments)
    except Exception as error:
        return type(error)
    return None


# --- the page ----------------------------------------------------------------------------------------------


def section(title):
    return TEXT.split(f"\n## {title}\n")[1].split("\n## ")[0]


def rows(title):
    """Return the cells of a section's table, without its head."""
    lines = [line for line in section(title).splitlines() if line.startswith("|")][2:]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


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


def test_links_lead_to_files_and_to_the_issues_they_name():
    targets = re.findall(r"\[([^\]]+)\]\(([^)]+)\)", TEXT)
    for label, target in targets:
        if target.startswith("https:"):
            assert re.fullmatch(
                r"https://github.com/scikit-learn/scikit-learn/(issues|pull)/" + label, target
            )
        else:
            assert (ROOT / "docs" / "how_to" / target).exists(), target
    assert len(targets) > 15


@pytest.mark.parametrize("span", spans())
def test_code_in_the_text_names_what_is_there_and_works(span, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    if "ProgressBar" in span:
        pytest.importorskip("rich")
    if "to_onnx" in span:
        pytest.importorskip("onnx")
    if command := re.fullmatch(r"python -m pytest (\S+)", span):
        assert (ROOT / command[1]).is_file()
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


def test_every_deviation_and_every_place_of_weights_has_a_test():
    heads = [re.match(r"\*\*(.*?)\*\*", here)[1] for here, _, _ in rows("What differs on purpose")]
    assert sorted(DEVIATIONS) == sorted(heads)
    assert sorted(PLACES) == sorted(place for place, _, _ in rows("Where weights go"))


# --- what is equal -----------------------------------------------------------------------------------------


def test_values_that_are_refused_are_refused():
    wrong = {
        "hidden_layer_sizes": [0, (5, 0)],
        "learning_rate_init": [0.0, -1.0],
        "momentum": [1.5],
        "tol": [-1.0],
        "batch_size": [0, "all"],
        "solver": ["newton"],
        "activation": ["swish"],
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

DEVIATIONS = {}


def deviation(head):
    """Mark a test as that of the row of the table that starts with these words."""

    def note(test):
        assert head not in DEVIATIONS
        DEVIATIONS[head] = test
        return test

    return note


@deviation("float32")
def test_the_type_is_float32_or_that_of_X():
    for dtype in ("float32", "float64"):
        model = TinyClassifier(**QUICK).fit(X.astype(dtype), Y)
        assert model.coefs_[0].dtype == model.predict_proba(X.astype(dtype)).dtype == "float32"
        for follows in (ours(dtype=None), theirs()):
            follows.fit(X.astype(dtype), Y)
            assert follows.coefs_[0].dtype == follows.predict_proba(X.astype(dtype)).dtype == dtype


@deviation("exact loss")
def test_the_loss_is_not_clipped_and_the_steps_are_the_same():
    for dtype, largest in [("float64", 36.04), ("float32", 15.94)]:
        x, models = X.astype(dtype), []
        for make in (ours, theirs):
            model = make(hidden_layer_sizes=(), solver="sgd", alpha=0.0, momentum=0.0, learning_rate_init=0.1)
            model.partial_fit(x, Y, classes=[0, 1, 2])
            model.coefs_[0][:] = 0.0
            model.intercepts_[0][:] = [0.0, 0.0, 1000.0]
            models.append(model.partial_fit(x[:50], Y[:50]))  # all of class 0, and sure of class 2
        assert models[0].loss_ == pytest.approx(1000.0)
        assert models[1].loss_ == pytest.approx(largest, abs=0.01)
        np.testing.assert_allclose(models[0].coefs_[0], models[1].coefs_[0], rtol=1e-5, atol=1e-7)


@deviation("`predict_log_proba`")
def test_log_probabilities_are_finite():
    x = 1e4 * X
    assert np.isfinite(ours().fit(X, Y).predict_log_proba(x)).all()
    with pytest.warns(RuntimeWarning, match="divide by zero"):
        assert np.isneginf(theirs().fit(X, Y).predict_log_proba(x)).any()


@deviation("`decision_function`")
def test_calibration_takes_the_logits():
    assert not hasattr(theirs(), "decision_function")
    model = ours().fit(X, Y)
    p = np.exp(model.decision_function(X))
    np.testing.assert_allclose(p / p.sum(axis=1, keepdims=True), model.predict_proba(X))

    asked = []

    class Theirs(MLPClassifier):
        def predict_proba(self, X):
            asked.append("probabilities")
            return super().predict_proba(X)

    class Ours(TinyClassifier):
        def decision_function(self, X):
            asked.append("logits")
            return super().decision_function(X)

        def predict_proba(self, X):
            asked.append("probabilities")
            return super().predict_proba(X)

    for method in ("sigmoid", "temperature"):
        for model, expected in [(Ours(**QUICK), "logits"), (Theirs(**QUICK), "probabilities")]:
            CalibratedClassifierCV(model, method=method, cv=2).fit(X, Y)
            assert set(asked) == {expected}
            asked.clear()


@deviation("single class")
def test_a_single_class_has_one_probability():
    mine, other = ours().fit(X, ["a"] * 150), theirs().fit(X, ["a"] * 150)
    np.testing.assert_array_equal(mine.predict_proba(X), np.ones((150, 1)))
    assert other.predict_proba(X).shape == (150, 2)
    assert len(mine.classes_) == len(other.classes_) == 1


@deviation("`scale_inputs=True`")
def test_columns_are_scaled_inside():
    raw = X * [1.0, 1e3, 1e-3, 1.0] + [0.0, 1e4, 0.0, -7.0]
    model = ours(scale_inputs=True).fit(raw, Y)
    np.testing.assert_allclose(model.input_mean_, raw.mean(axis=0), rtol=1e-6, atol=1e-12)
    np.testing.assert_allclose(model.input_scale_, raw.std(axis=0), rtol=1e-12)
    far = np.full((1, 4), 1e9)
    five = model.input_mean_ + 5 * model.input_scale_
    np.testing.assert_allclose(model.predict_proba(far), model.predict_proba([five]), rtol=1e-12)
    with pytest.warns(FeatureScaleWarning):
        ours().fit(raw, Y)


@deviation("epochs")
def test_the_schedule_ends_without_a_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = TinyClassifier(random_state=0).fit(X, Y)
    assert model.n_iter_ == 40
    assert model.t_ == 40 * 75  # the others are held out
    with pytest.warns(ConvergenceWarning):
        TinyClassifier(learning_rate="constant", max_iter=3, random_state=0).fit(X, Y)


@deviation('`early_stopping="auto"`')
def test_rows_are_held_out_and_tell_the_epoch_from_500_on():
    x, y = np.tile(X, (4, 1)) + np.arange(600)[:, None] * 1e-9, np.tile(Y, 4)
    lonely = np.where(np.arange(600) == 0, 7, y)
    for n, labels, watched in [(150, y, False), (499, y, False), (500, y, True), (600, lonely, True)]:
        model = TinyClassifier(**QUICK).fit(x[:n], labels[:n])
        assert (model.validation_scores_ is not None) == watched
        assert model.t_ // model.n_iter_ == pytest.approx(n - max(n / 5, min(100, n / 2)), abs=1)
        if watched:
            scores, losses = np.array(model.validation_scores_), np.array(model.validation_loss_curve_)
            assert np.all(scores >= -losses - 1e-9)  # after calibration
        for never in (ours(early_stopping=False), theirs()):
            assert never.fit(x[:n], labels[:n]).validation_scores_ is None


@deviation("`calibrate=True`")
def test_a_model_fitted_to_noise_is_not_confident():
    rng = np.random.default_rng(0)
    x, y, x_new = rng.normal(size=(200, 20)), rng.integers(0, 2, 200), rng.normal(size=(1000, 20))
    model = TinyClassifier(random_state=0).fit(x, y)
    assert model.calibration_ < 0.2
    assert abs(model.predict_proba(x_new)[:, 1] - 0.5).mean() < 0.1
    sure = TinyClassifier(calibrate=False, early_stopping=False, random_state=0).fit(x, y)
    for trained, without in zip(model.coefs_, sure.coefs_, strict=True):
        np.testing.assert_array_equal(trained, without)
    assert abs(sure.predict_proba(x_new)[:, 1] - 0.5).mean() > 0.3


@deviation("`refit=True`")
def test_all_rows_are_trained_on_in_the_end():
    search = {"early_stopping": True, "validation_fraction": 0.5, "scoring": "loss"}
    held, model = (ours(**search, refit=refit).fit(X, Y) for refit in (False, True))
    assert model.loss_curve_ == held.loss_curve_
    assert model.t_ == held.t_ == 75 * held.n_iter_
    assert model.best_epoch_ == held.best_epoch_ == 10
    alone = ours(early_stopping=False).fit(X, Y)
    np.testing.assert_array_equal(model.network_.theta, alone.network_.theta)
    assert not np.array_equal(model.network_.theta, held.network_.theta)


@deviation("held-out rows")
def test_the_hold_out_is_stratified_for_more_than_two_classes():
    held = {}

    class Theirs(MLPClassifier):
        def _score(self, X, y, sample_weight=None):
            held["theirs"] = np.bincount(y, minlength=3).tolist()
            return super()._score(X, y, sample_weight)

    def scorer(model, X, y):
        held["ours"] = np.bincount(y, minlength=3).tolist()
        return 0.0

    ours(early_stopping=True, scoring=scorer).fit(X, Y)
    Theirs(**QUICK, early_stopping=True).fit(X, Y)
    assert held["ours"] == [5, 5, 5] != held["theirs"]
    lonely = X[:101], Y[:101]  # one row of class 2
    few = X[::15], np.arange(10) % 5  # more classes than rows to hold out
    for make in (ours, theirs):
        assert error_of(make(early_stopping=True).fit, *lonely) is None
        assert error_of(make(early_stopping=True, validation_fraction=0.2).fit, *few) is None
        assert error_of(make(early_stopping=True).fit, X[49:101], Y[49:101] == 2) is ValueError


@deviation("random numbers")
def test_random_numbers_differ_and_each_use_has_its_own():
    still = {"solver": tinyclf.SGD(1e-300), "max_iter": 1}
    start = ours(**still).fit(X, Y)
    assert (start.coefs_[0] != theirs(solver="sgd", learning_rate_init=1e-300).fit(X, Y).coefs_[0]).all()
    for more in ({"dropout": 0.5}, {"early_stopping": True}, {"shuffle": False}):
        np.testing.assert_array_equal(ours(**still, **more).fit(X, Y).coefs_[0], start.coefs_[0])


@deviation("order of the rows")
def test_the_order_of_the_rows_continues_from_call_to_call():
    orders = []

    class Theirs(MLPClassifier):
        def _backprop(self, X, y, *others):
            orders.append(X[:, 0].tolist())
            return super()._backprop(X, y, *others)

    class Noting(SoftmaxCrossEntropy):
        def rows(self, z, y, dz, t):
            orders.append(y.tolist())
            return super().rows(z, y, dz, t)

    for model in (ours(loss=Noting()), Theirs(**QUICK)):
        orders.clear()
        model.partial_fit(X, Y, classes=[0, 1, 2]).partial_fit(X, Y).partial_fit(X, Y)
        assert (orders[1] == orders[2]) == isinstance(model, Theirs)


@deviation("patience")
def test_patience_restarts_in_each_fit():
    settings = {"warm_start": True, "tol": 0.01, "n_iter_no_change": 3, "learning_rate_init": 0.05}
    mine, other = (make(**settings, max_iter=500).fit(X, Y) for make in (ours, theirs))
    for _ in range(2):
        assert mine.fit(X, Y).n_iter_ > 3
        assert other.fit(X, Y).n_iter_ == 1


@deviation("layers are fixed")
def test_layers_are_fixed_once_there_is_a_network():
    for change, expected in [
        ({"hidden_layer_sizes": 5}, None),
        ({"hidden_layer_sizes": (8, 4)}, AttributeError),
        ({"activation": "tanh"}, None),
    ]:
        mine = ours(warm_start=True).fit(X, Y).set_params(**change)
        assert error_of(mine.fit, X, Y) is error_of(mine.partial_fit, X, Y) is ValueError
        assert error_of(mine.set_params(warm_start=False).fit, X, Y) is None
        other = theirs(warm_start=True).fit(X, Y).set_params(**change)
        assert error_of(other.fit, X, Y) is expected
        assert other.coefs_[0].shape == (4, 8)


@deviation("solver and `early_stopping`")
def test_solver_and_early_stopping_may_change_between_warm_starts():
    for first, then, expected in [
        ({"solver": "lbfgs"}, {"solver": "adam"}, AttributeError),
        ({"early_stopping": False}, {"early_stopping": True}, AttributeError),
        ({"early_stopping": True}, {"early_stopping": False}, TypeError),
    ]:
        models = [make(warm_start=True, **first).fit(X, Y).set_params(**then) for make in (ours, theirs)]
        assert [error_of(model.fit, X, Y) for model in models] == [None, expected]


@deviation("`partial_fit` reads the parameters")
def test_partial_fit_reads_the_parameters_in_each_call():
    for change, moves in [
        ({"learning_rate_init": 1e-300, "momentum": 0.0}, False),
        ({"solver": "adam"}, True),
    ]:
        models = []
        for make in (ours, theirs):
            model = make(solver="sgd").partial_fit(X, Y, classes=[0, 1, 2])
            before = model.coefs_[0].copy()
            models.append((model.set_params(**change).partial_fit(X, Y).coefs_[0] != before).any())
        assert models == [moves, True]
    assert type(model._optimizer).__name__ == "SGDOptimizer"


@deviation("a failed `fit`")
@pytest.mark.filterwarnings("ignore:.* encountered:RuntimeWarning")  # of MLPClassifier
def test_a_failed_fit_leaves_the_model_as_it_was():
    for make, kept in [(ours, True), (theirs, False)]:
        model = make().fit(X, Y)
        before = model.predict_proba(X)
        assert issubclass(
            error_of(model.set_params(solver="sgd", learning_rate_init=1e300).fit, X, Y), ValueError
        )
        assert (error_of(model.predict_proba, X) is None and (model.predict_proba(X) == before).all()) == kept


class Interrupts(SoftmaxCrossEntropy):
    """Raise KeyboardInterrupt in the batch with this number."""

    def __init__(self, at):
        object.__setattr__(self, "label_smoothing", 0.0)
        object.__setattr__(self, "batches", iter([False] * (at - 1) + [True]))

    def rows(self, *arguments):
        if next(self.batches, False):
            raise KeyboardInterrupt
        return super().rows(*arguments)


class Interrupted(MLPClassifier):
    """MLPClassifier that raises KeyboardInterrupt in the batch with the number ``batches``."""

    def _backprop(self, *arguments):
        self.batches -= 1
        if self.batches == 0:
            raise KeyboardInterrupt
        return super()._backprop(*arguments)


@deviation("Ctrl-C")
def test_ctrl_c_keeps_what_has_been_learnt_or_the_earlier_model():
    def interrupted(at, **parameters):
        other = Interrupted(**{**QUICK, "batch_size": 50, **parameters})
        other.batches = at
        return ours(batch_size=50, loss=Interrupts(at), **parameters), other

    for model in interrupted(8):
        with pytest.warns(UserWarning, match="Training interrupted by user"):
            assert model.fit(X, Y).n_iter_ == 2
    mine, other = interrupted(8, solver="lbfgs")
    with pytest.warns(UserWarning, match="Training interrupted by user"):
        mine.fit(X, Y)
    with pytest.raises(KeyboardInterrupt):
        other.fit(X, Y)

    mine, other = interrupted(2)
    with pytest.raises(KeyboardInterrupt):
        mine.partial_fit(X, Y, classes=[0, 1, 2])
    with pytest.warns(UserWarning, match="Training interrupted by user"):
        other.partial_fit(X, Y, classes=[0, 1, 2])

    mine = ours(batch_size=50).fit(X, Y)
    before = mine.predict_proba(X)
    with pytest.raises(KeyboardInterrupt):
        mine.set_params(loss=Interrupts(2)).fit(X, Y)
    np.testing.assert_array_equal(mine.predict_proba(X), before)
    other.batches = -1
    before = other.fit(X, Y).predict_proba(X)
    other.batches = 2
    with pytest.warns(UserWarning, match="Training interrupted by user"):
        other.fit(X, Y)
    assert (other.predict_proba(X) != before).any()


@deviation("`DivergenceError`")
@pytest.mark.filterwarnings("ignore:.* encountered:RuntimeWarning")
def test_divergence_is_an_error_at_once():
    settings = {"solver": "sgd", "learning_rate_init": 1e300}
    assert issubclass(DivergenceError, ValueError)
    with pytest.raises(DivergenceError, match=r"epoch \d, batch 1: the loss is"):
        ours(**settings).fit(X, Y)
    other = theirs(**settings)
    with pytest.raises(ValueError, match="Solver produced non-finite parameter weights"):
        other.fit(X, Y)
    assert other.n_iter_ == other.max_iter


@deviation("prediction beyond the type's range")
@pytest.mark.filterwarnings("ignore:.* encountered:RuntimeWarning")
def test_a_prediction_beyond_the_range_is_an_error():
    mine, other = (make(hidden_layer_sizes=()).fit(X, Y) for make in (ours, theirs))
    mine_x, other_x = (1.7e308 * np.sign(model.coefs_[0].T) for model in (mine, other))
    assert np.isnan(other.predict_proba(other_x)).any()
    with pytest.raises(ValueError, match="the logits of row 0 are beyond the range of float64"):
        mine.predict_proba(mine_x)


@deviation("`DivergenceWarning`, `CollapseWarning`, `FeatureScaleWarning`")
def test_fits_that_ended_badly_say_so():
    digits, labels = load_digits(return_X_y=True)
    cases = [
        (FeatureScaleWarning, {}, X * [1e5, 1, 1, 1], Y),
        (CollapseWarning, {"solver": "sgd", "learning_rate_init": 1.0, "max_iter": 40}, digits, labels),
        (DivergenceWarning, {"solver": "sgd", "learning_rate_init": 1e4, "max_iter": 40}, X, Y),
    ]
    for category, settings, x, y in cases:
        assert issubclass(category, TrainingWarning)
        with pytest.warns(category):
            ours(**settings).fit(x, y)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            warnings.simplefilter("ignore", ConvergenceWarning)
            theirs(**settings).fit(x, y)
            warnings.simplefilter("ignore", TrainingWarning)
            ours(**settings).fit(x, y)


@deviation("rows of weight 0")
def test_rows_of_weight_zero_are_left_out():
    w = np.where(np.arange(150) < 10, 0.0, 1.0)
    settings = {"batch_size": 10, "shuffle": False}
    mine = ours(**settings).fit(X, Y, w)
    assert mine.t_ == 10 * 140
    np.testing.assert_array_equal(mine.coefs_[0], ours(**settings).fit(X[10:], Y[10:]).coefs_[0])
    assert error_of(theirs(**settings).fit, X, Y, w) is ZeroDivisionError
    assert theirs().fit(X, Y, w).t_ == 10 * 150


@deviation("negative weights")
def test_weights_below_zero_are_an_error():
    w = np.r_[-1.0, np.ones(149)]
    assert [error_of(make().fit, X, Y, w) for make in (ours, theirs)] == [ValueError, None]
    fitted = [make().fit(X, Y) for make in (ours, theirs)]
    assert [error_of(model.score, X, Y, w) for model in fitted] == [ValueError, None]


@deviation("masked entries")
def test_masked_entries_and_dates_are_errors():
    masked = np.ma.masked_less(X, 1.0)
    assert masked.mask.any()
    assert [error_of(make().fit, masked, Y) for make in (ours, theirs)] == [ValueError, None]
    dates = np.arange(300).reshape(150, 2).astype("M8[D]")
    assert [error_of(make().fit, dates, Y) for make in (ours, theirs)] == [TypeError, None]


@deviation('"lbfgs"')
def test_lbfgs_computes_in_float64_and_keeps_the_loss_curve():
    x = X.astype("float32")
    mine, other = (make(solver="lbfgs").fit(x, Y) for make in (ours, theirs))
    assert mine.loss_curve_[-1] == mine.loss_ == mine.best_loss_
    assert len(mine.loss_curve_) == mine.n_iter_
    assert not hasattr(other, "loss_curve_")
    assert not hasattr(other, "best_loss_")
    assert (mine.coefs_[0].dtype, other.coefs_[0].dtype) == ("float32", "float64")
    wide = ours(solver="lbfgs", dtype="float64").fit(x, Y)
    np.testing.assert_allclose(mine.loss_curve_, wide.loss_curve_, rtol=1e-4)


@deviation("`coefs_`, `intercepts_`")
def test_coefs_are_views_of_a_shape():
    mine, other = ours().fit(X, Y), theirs().fit(X, Y)
    for model in (mine, other):
        model.coefs_[1] = np.zeros((8, 3))
        model.intercepts_ = [model.intercepts_[0], np.arange(3.0)]
        np.testing.assert_allclose(model.predict_proba(X[:1]), [[0.09003057, 0.24472847, 0.66524096]])
    coefs = mine.coefs_
    coefs[0] = np.zeros((4, 8))
    assert not mine.network_.parameters[0].W.any()
    assert error_of(mine.coefs_.__setitem__, 0, np.zeros((5, 8))) is ValueError
    other.coefs_[0] = np.zeros((5, 8))
    assert error_of(other.predict, X) is ValueError


@deviation("labels")
def test_labels_that_cannot_be_used_are_a_value_error():
    numbers = Y.astype(object)
    assert ours().fit(X, numbers).predict(X).dtype.kind == "i"
    assert error_of(theirs().fit, X, numbers) is ValueError
    mixed, missing = np.array([0, "b", 1], object)[Y], np.array(["a", "b", None])[Y]
    for parameters, y in [({}, mixed), ({}, missing), ({"hidden_layer_sizes": (1.5,)}, Y)]:
        assert error_of(ours(**parameters).fit, X, y) is ValueError
        assert error_of(theirs(**parameters).fit, X, y) is TypeError


@deviation("predictions of sparse y")
def test_predictions_of_sparse_labels_are_sparse():
    sets = (X > 0).astype(int)
    for kind in (scipy.sparse.csr_matrix, scipy.sparse.csr_array):
        assert type(ours().fit(X, kind(sets)).predict(X)) is scipy.sparse.csr_array
        assert type(theirs().fit(X, kind(sets)).predict(X)) is scipy.sparse.csr_matrix


@deviation("private attributes")
def test_the_network_has_what_was_learnt():
    model = ours().fit(X, Y)
    np.testing.assert_array_equal(model.network_.logits(X), model.decision_function(X))
    assert not hasattr(model, "_optimizer")
    assert hasattr(theirs().fit(X, Y), "_optimizer")


# --- what is new ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("early_stopping", [False, True, "auto"])
def test_the_best_weights_are_kept_and_nan_is_never_the_best(early_stopping):
    scores = iter([0.1, np.nan, 0.5, np.nan, 0.3, 0.2, 0.1, 0.1, 0.1, 0.1])
    kept = []

    def scorer(model, X, y):
        kept.append(model.network_.theta.copy())
        return next(scores)

    model = ours(early_stopping=early_stopping, scoring=scorer).fit(X, Y, **VALIDATION)
    assert model.best_validation_score_ == 0.5
    np.testing.assert_array_equal(model.network_.theta, kept[2])


@pytest.mark.parametrize("rule", ["linear", "cosine", lambda progress: 1.0 - progress**2])
def test_the_end_of_a_schedule_is_no_warning(rule):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert ours(learning_rate=rule, max_iter=8).fit(X, Y).n_iter_ == 8


def test_weight_decay_depends_on_no_batch_size_and_alpha_does():
    def shrinkage(batch_size, **parameters):
        still = {
            "solver": "sgd",
            "momentum": 0.0,
            "learning_rate_init": 1e-4,
            "max_iter": 1,
            "shuffle": False,
        }
        models = [ours(batch_size=batch_size, **still, **p).fit(X, Y) for p in (parameters, {"alpha": 0.0})]
        steps = 150 / batch_size
        return (1 - np.abs(models[0].coefs_[0]).sum() / np.abs(models[1].coefs_[0]).sum()) / steps

    decay = {"alpha": 0.0, "weight_decay": 1.0}
    assert shrinkage(10, **decay) == pytest.approx(shrinkage(150, **decay), rel=0.05)
    assert shrinkage(10, alpha=10.0) == pytest.approx(15 * shrinkage(150, alpha=10.0), rel=0.3)


def test_a_checkpoint_is_a_model(tmp_path):
    path = tmp_path / "model.npz"
    model = ours(max_iter=3).set_callbacks(tinyclf.Checkpoint(path)).fit(X, Y)
    loaded = tinyclf.load(path)
    np.testing.assert_array_equal(loaded.predict_proba(X), model.predict_proba(X))


# --- where weights go --------------------------------------------------------------------------------------

PLACES = {}
FACTORS = {0: 3.0, 1: 0.5, 2: 1.0}
BY_CLASS = np.array([3.0, 0.5, 1.0])[Y]
WEIGHTS = [
    (None, None, np.ones(150)),
    (W, None, W),
    (None, FACTORS, BY_CLASS),
    (W, FACTORS, W * BY_CLASS),
]


def place(*heads):
    """Mark a test as that of rows of the table of weights."""

    def note(test):
        PLACES.update(dict.fromkeys(heads, test))
        return test

    return note


def weighed(**parameters):
    """Return a model whose weights hardly change in its one epoch: loss_ is the loss of the last weights."""
    still = {"solver": "sgd", "learning_rate_init": 1e-300, "momentum": 0.0, "max_iter": 1, "shuffle": False}
    return ours(**{**still, "alpha": 5.0, **parameters})


def objective(model, w, batches):
    """Return the training loss as the page defines it: the mean over the batches of loss plus penalty."""
    losses = -model.predict_log_proba(X)[np.arange(150), Y]
    squares = sum(np.sum(coefs**2) for coefs in model.coefs_)
    total = 0.0
    for b in batches:
        total += len(w[b]) * (np.average(losses[b], weights=w[b]) + model.alpha / 2 * squares / w[b].sum())
    return total / 150


@place("loss and gradient of a batch")
@pytest.mark.parametrize(("w", "factors", "weight"), WEIGHTS)
def test_loss_and_gradient_are_weighted_means(w, factors, weight):
    settings = {"hidden_layer_sizes": (), "class_weight": factors}
    start, model = (weighed(learning_rate_init=r, **settings).fit(X, Y, w) for r in (1e-300, 0.1))
    share = weight / weight.sum()
    gradient = X.T @ (share[:, None] * (start.predict_proba(X) - np.eye(3)[Y]))
    gradient += 5.0 / weight.sum() * start.coefs_[0]
    np.testing.assert_allclose(model.coefs_[0], start.coefs_[0] - 0.1 * gradient, rtol=1e-10, atol=1e-14)
    assert model.loss_ == pytest.approx(objective(start, weight, [slice(None)]), rel=1e-12)


@place("L2 penalty of a batch", "`loss_`, `loss_curve_`", "the last, short batch")
@pytest.mark.parametrize(("w", "factors", "weight"), WEIGHTS)
def test_the_loss_is_the_mean_of_the_batches_by_rows_and_each_has_its_penalty(w, factors, weight):
    model = weighed(batch_size=40, class_weight=factors).fit(X, Y, w)
    batches = [slice(0, 40), slice(40, 80), slice(80, 120), slice(120, 150)]
    assert model.loss_ == model.loss_curve_[0] == pytest.approx(objective(model, weight, batches), rel=1e-12)


@place('`"balanced"`')
def test_balanced_counts_the_weights_of_all_rows():
    y = np.minimum(Y, 1)
    settings = {"early_stopping": True, "max_iter": 3}
    factors = compute_class_weight("balanced", classes=np.array([0, 1]), y=y, sample_weight=W)
    balanced = ours(class_weight="balanced", **settings).fit(X, y, W)
    given = ours(class_weight=dict(enumerate(factors)), **settings).fit(X, y, W)
    np.testing.assert_allclose(balanced.loss_curve_, given.loss_curve_, rtol=1e-12)
    assert np.sum(W * factors[y]) == pytest.approx(W.sum())


@place("`batch_size`, `t_`, `validation_fraction`", "which rows are held out", "rows of weight 0")
def test_rows_are_counted_and_those_of_weight_zero_are_not_there():
    w, seen = np.where(np.arange(150) % 5 == 0, 0.0, W), []

    def scorer(model, X, y, sample_weight):
        seen.append((y, sample_weight))
        return 0.0

    settings = {"early_stopping": True, "scoring": scorer, "max_iter": 1, "validation_fraction": 0.25}
    for weight, factors in [(w, None), (w, {0: 9.0})]:
        model = ours(class_weight=factors, **settings).fit(X, Y, weight)
        y, held = seen[-1]
        assert np.bincount(y).tolist() == [10, 10, 10]  # a quarter of 40 rows each, whatever they weigh
        assert (held > 0).all()
        assert model.t_ == 90
    model = ours(class_weight={0: 0.0}, **settings).fit(X, Y, w)
    assert np.bincount(seen[-1][0]).tolist() == [0, 10, 10]
    assert model.classes_.tolist() == [0, 1, 2]
    broken = np.where((w == 0)[:, None], np.nan, X)
    assert error_of(ours().fit, broken, Y, w) is ValueError


@place(
    'loss of the rows held out, `scoring="loss"`, and calibration',
    "accuracy of the rows held out, or a scorer",
    "`X_val`, `y_val`",
)
def test_validation_loss_is_weighted_by_both_and_scores_by_sample_weights():
    x, y, v = X[1::2], Y[1::2], W[1::2]
    weight = v * compute_sample_weight(FACTORS, y)
    for scoring in ("loss", "accuracy", "neg_log_loss"):
        model = weighed(class_weight=FACTORS, scoring=scoring)
        model.fit(X[::2], Y[::2], X_val=x, y_val=y, sample_weight_val=v)
        p = model.predict_proba(x)
        loss = log_loss(y, p, sample_weight=weight)
        assert model.validation_loss_curve_ == [pytest.approx(loss, rel=1e-12)]
        score = {
            "loss": -loss,
            "accuracy": accuracy_score(y, p.argmax(axis=1), sample_weight=v),
            "neg_log_loss": -log_loss(y, p, sample_weight=v),
        }[scoring]
        assert model.validation_scores_ == [pytest.approx(score, rel=1e-12)]


@place('"lbfgs"')
@pytest.mark.parametrize(("w", "factors", "weight"), WEIGHTS)
def test_lbfgs_divides_by_the_sum_of_all_weights(w, factors, weight):
    model = ours(solver="lbfgs", alpha=5.0, class_weight=factors, max_iter=3).fit(X, Y, w)
    assert model.loss_ == pytest.approx(objective(model, weight, [slice(None)]), rel=1e-10)


@place("`partial_fit`")
def test_partial_fit_takes_a_dict_and_cannot_balance():
    model = weighed(class_weight=FACTORS).partial_fit(X, Y, W, classes=[0, 1, 2])
    assert model.loss_ == pytest.approx(objective(model, W * BY_CLASS, [slice(None)]), rel=1e-12)
    assert error_of(ours(class_weight="balanced").partial_fit, X, Y, None, [0, 1, 2]) is ValueError


@place("scaling of the inputs")
def test_inputs_are_scaled_by_weights_inside_and_in_the_pipeline():
    weight = W * np.where(Y == 1, 3.0, 1.0)
    inside = ours(scale_inputs=True, class_weight={1: 3.0}).fit(X, Y, W)
    np.testing.assert_allclose(inside.input_mean_, np.average(X, axis=0, weights=weight))
    pipeline = make_pipeline(StandardScaler(), ours())
    pipeline.fit(X, Y, standardscaler__sample_weight=W, tinyclassifier__sample_weight=W)
    np.testing.assert_allclose(pipeline[0].mean_, np.average(X, axis=0, weights=W))
    by_hand = clone(pipeline[1]).fit(pipeline[0].transform(X), Y, W)
    np.testing.assert_array_equal(by_hand.predict_proba(pipeline[0].transform(X)), pipeline.predict_proba(X))


@place("diagnostics")
def test_the_diagnosis_weighs_classes_but_not_magnitudes():
    sample = Dataset(X, Labels.of(Y), Y, W, BY_CLASS, (X, Y))
    p = np.bincount(Y, W * BY_CLASS) / np.sum(W * BY_CLASS)
    state = ours().fit(X, Y)._state
    assert TrainingRows(state.plan, sample, state).prior == pytest.approx(-np.sum(p * np.log(p)))
    outlier = np.where(np.arange(150)[:, None] == 0, [1e4, 1, 1, 1], X)
    with pytest.warns(FeatureScaleWarning):
        ours().fit(outlier, Y, np.where(np.arange(150) == 0, 1e-9, 1.0))


@place("`score`")
def test_score_has_weights_of_its_own():
    model = ours(class_weight=FACTORS).fit(X, Y, W)
    predicted = model.predict(X)
    assert model.score(X, Y) == accuracy_score(Y, predicted)
    assert model.score(X, Y, W) == pytest.approx(accuracy_score(Y, predicted, sample_weight=W))
