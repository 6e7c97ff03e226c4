"""Answers of the classifier: probabilities, log-probabilities and logits are float64."""

import json
import math

import mpmath
import numpy as np
import pytest
import scipy.sparse
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import make_classification, make_multilabel_classification
from sklearn.ensemble import BaggingClassifier, StackingClassifier, VotingClassifier
from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score

from tests.support.data import DIGITS, IRIS, NUMBERS, SPECIES, TWO
from tests.support.estimators import quick
from tests.support.parts import Hinge
from tinyclf import SoftmaxCrossEntropy, softmax

EPS = float(np.finfo("float64").eps)
X_SETS, SETS = make_multilabel_classification(200, 6, n_classes=3, random_state=0)
MANY_CLASSES = np.arange(600) % 300
SOFT = np.eye(3)[SPECIES] * 0.8 + 0.2 / 3


class Sharper(SoftmaxCrossEntropy):
    """A user-defined inverse link that keeps the type of the logits."""

    def probabilities(self, z):
        return softmax(2 * z)


CASES = {
    "softmax": ({}, DIGITS, NUMBERS),
    "one logit": ({}, IRIS[:100], TWO),
    "two logits": ({"loss": "softmax_cross_entropy"}, IRIS[:100], TWO),
    "many classes": ({}, DIGITS, MANY_CLASSES),
    "one class": ({}, IRIS, np.zeros(150, int)),
    "several labels": ({}, X_SETS, SETS),
    "probabilities as targets": ({"soft_targets": True}, IRIS, SOFT),
    "not calibrated": ({"calibrate": False, "scale_inputs": False}, DIGITS, NUMBERS),
    "lbfgs": ({"solver": "lbfgs", "max_iter": 200, "alpha": 10.0}, IRIS, SPECIES),
    "float64": ({"dtype": "float64"}, DIGITS, NUMBERS),
    "user-defined, softmax": ({"loss": Sharper()}, IRIS, SPECIES),
    "user-defined, one logit": ({"loss": Hinge()}, IRIS[:100], TWO),
    "members": ({"n_members": 3}, DIGITS, NUMBERS),
    "members, one logit": ({"n_members": 3}, IRIS[:100], TWO),
    "members, two logits": ({"n_members": 2, "loss": "softmax_cross_entropy"}, IRIS[:100], TWO),
    "members, many classes": ({"n_members": 2}, DIGITS, MANY_CLASSES),
    "members, several labels": ({"n_members": 3}, X_SETS, SETS),
    "members, float64": ({"n_members": 3, "dtype": "float64", "calibrate": False}, DIGITS, NUMBERS),
    "members, user-defined, softmax": ({"n_members": 3, "loss": Sharper()}, IRIS, SPECIES),
    "members, user-defined, one logit": ({"n_members": 3, "loss": Hinge()}, IRIS[:100], TWO),
}


@pytest.fixture(params=CASES, scope="module")
def case(request):
    parameters, X, y = CASES[request.param]
    return quick(**parameters).fit(X, y), X, y


def log_probabilities(model, z):
    """The exact log-probabilities of one row of ``decision_function``."""
    z = [mpmath.mpf(one) for one in np.atleast_1d(z).tolist()]
    if model.out_activation_ == "logistic" and len(z) == len(model.classes_):
        return [-mpmath.log1p(mpmath.exp(-one)) for one in z]
    z = [mpmath.mpf(0), *z] if len(z) < len(model.classes_) else z
    return [
        -mpmath.log1p(sum(mpmath.exp(o - z[i]) for j, o in enumerate(z) if j != i)) for i in range(len(z))
    ]


ROWS = {
    "float64": np.asarray,
    "float32": np.float32,
    "list": np.ndarray.tolist,
    "one row": lambda X: X[:1],
    "sparse": scipy.sparse.csr_array,
}


@pytest.mark.parametrize("rows", ROWS)
def test_answers_are_float64_and_the_probabilities_of_a_row_sum_to_one(case, rows):
    model, X, y = case
    given = ROWS[rows](X)
    p = model.predict_proba(given)
    assert p.dtype == model.predict_log_proba(given).dtype == np.float64
    assert model.decision_function(given).dtype == np.float64
    assert ((p >= 0) & (p <= 1)).all()
    if y is not SETS:
        assert max(abs(math.fsum(row) - 1.0) for row in p.tolist()) <= 4 * EPS


@mpmath.workdps(30)
def test_probabilities_are_as_accurate_as_the_logits(case):
    model, X, _ = case
    if not type(model.plan_.loss).__module__.startswith("tinyclf."):
        pytest.skip("the loss is user-defined")
    rows = np.concatenate([X[:3], 1e3 * X[:3]])
    z = model.decision_function(rows)
    for i, truth in enumerate(log_probabilities(model, one) for one in z):
        error = 4 * EPS * (1.0 + np.ptp(np.append(z[i], 0.0)))  # differences of logits are rounded
        p = [float(mpmath.exp(log_p)) for log_p in truth]
        np.testing.assert_allclose(model.predict_proba(rows)[i], p, rtol=error, atol=1e-300)
        np.testing.assert_allclose(
            model.predict_log_proba(rows)[i], np.array(truth, float), rtol=error, atol=1e-300
        )


def test_labels_can_be_drawn_from_the_probabilities(case):
    model, X, y = case
    if y is SETS:
        pytest.skip("each label is drawn separately")
    rng = np.random.default_rng(0)
    for p in model.predict_proba(X):
        assert rng.multinomial(1, p).sum() == 1
        assert rng.choice(model.classes_, p=p.tolist()) in model.classes_


def test_a_probability_can_be_written_as_json(case):
    model, X, _ = case
    for answer in (model.predict_proba, model.predict_log_proba, model.decision_function):
        value = answer(X[:1])[0].max()
        assert json.loads(json.dumps({"p": value})) == {"p": value}


def test_probabilities_can_be_scored_without_a_warning(case):
    model, X, y = case
    p = model.predict_proba(X)
    if y is SETS or y is SOFT or len(model.classes_) == 1:
        return
    two = len(model.classes_) == 2
    assert 0 < log_loss(y, p, labels=model.classes_) < 10
    assert 0 < brier_score_loss(y, p, labels=model.classes_) <= 2
    assert 0.4 < roc_auc_score(y, p[:, 1] if two else p, multi_class="ovr", labels=model.classes_) <= 1


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize(
    "around",
    [
        lambda model: BaggingClassifier(model, n_estimators=3, random_state=0),
        lambda model: VotingClassifier([("one", model), ("two", model)], voting="soft", weights=[3, 7]),
        lambda model: StackingClassifier([("one", model)], cv=3),
        lambda model: CalibratedClassifierCV(model, method="temperature", cv=3),
        lambda model: CalibratedClassifierCV(model, method="sigmoid", cv=3),
        lambda model: CalibratedClassifierCV(model, method="isotonic", cv=3),
    ],
    ids=["bagging", "voting", "stacking", "temperature", "sigmoid", "isotonic"],
)
def test_mixtures_of_probabilities_can_be_scored_without_a_warning(around, n_classes):
    X, y = make_classification(300, 6, n_informative=4, n_classes=n_classes, random_state=0)
    meta = around(quick(max_iter=15)).fit(X, y)
    rows = np.random.default_rng(0).normal(size=(2000, 6))
    p = meta.predict_proba(rows)
    assert ((p >= 0) & (p <= 1)).all()
    assert log_loss(meta.predict(rows), p) < 1.0


@pytest.mark.parametrize("seed", range(8))
def test_isotonic_calibration_gives_no_negative_probabilities(seed):
    X, y = make_classification(300, 6, n_informative=4, n_classes=3, random_state=seed)
    model = CalibratedClassifierCV(quick(random_state=seed, max_iter=15), method="isotonic", cv=3).fit(X, y)
    p = model.predict_proba(np.random.default_rng(seed).normal(scale=3.0, size=(2000, 6)))
    assert p.min() >= 0.0
    assert np.isfinite(log_loss(y, model.predict_proba(X)))


def test_the_type_of_the_answers_is_that_of_the_fit():
    X = IRIS.astype("float32")
    for before, after, expected in ((None, "float32", "float32"), ("float32", None, "float64")):
        model = quick(dtype=before).fit(X, SPECIES).set_params(dtype=after)
        assert model.plan_.output_dtype == expected
        for answer in (model.predict_proba, model.predict_log_proba, model.decision_function):
            assert answer(X).dtype == expected
