"""ONNX export: the graph gives the predictions of the model in onnxruntime; other models are refused."""

import json
import os
import subprocess
import sys
import warnings
from itertools import product

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_iris, make_multilabel_classification
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.impute import KNNImputer, SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import (
    Binarizer,
    FunctionTransformer,
    KBinsDiscretizer,
    MaxAbsScaler,
    MinMaxScaler,
    Normalizer,
    OneHotEncoder,
    OrdinalEncoder,
    PolynomialFeatures,
    PowerTransformer,
    StandardScaler,
)

from tests.support.doubles import ArrayOnly
from tests.support.estimators import learned, quick
from tests.support.parts import LAYERS, LOSSES, LayerNorm, PReLU, RMSprop, Swish, n_classes
from tinyclf import (
    GELU,
    SKLEARN_DEFAULTS,
    Dense,
    Dropout,
    Layer,
    Logistic,
    MemberLoss,
    ReLU,
    SigmoidCrossEntropy,
    SoftmaxCrossEntropy,
    Tanh,
    TinyClassifier,
    to_onnx,
)
from tinyclf.estimator.calibration import Calibration
from tinyclf.nn.layers import ACTIVATIONS
from tinyclf.onnx import classifiers
from tinyclf.onnx.graph import LAYERS as OPERATORS
from tinyclf.onnx.graph import Graph
from tinyclf.onnx.rows import ROWS

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

# Fits that stop early are tested separately.
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

RNG = np.random.default_rng(0)
N, N_IN = 200, 6
X = RNG.standard_normal((N, N_IN)) * [1, 2, 3, 0.1, 10, 0] + [0, 5, -3, 1, 0, 7]  # the last is constant
CODES = (X[:, 0] + X[:, 2] / 3 > -1).astype(int) + (X[:, 1] > 5)
MANY = make_multilabel_classification(N, N_IN, n_classes=4, random_state=0)[1]
FLOATS = ["float32", "float64"]
EXPORTED = [name for name in ACTIVATIONS if name != "gelu"]
KNOWN_LOSSES = (SoftmaxCrossEntropy, SigmoidCrossEntropy)

TIED = np.round(X, 1)
"""Rows whose entries equal thresholds and edges of bins."""

GAPS = np.where(RNG.random(X.shape) < 0.1, np.nan, TIED)
GAPS_LEFT = np.where(np.arange(N_IN) < 3, GAPS, TIED)
UNTIED_GAPS = np.where(np.isnan(GAPS), np.nan, X)


def run(exported, X, *outputs):
    """The outputs of onnxruntime for rows, or for inputs by name."""
    onnx.checker.check_model(exported, full_check=True)
    session = onnxruntime.InferenceSession(exported.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(list(outputs) or None, X if isinstance(X, dict) else {"X": X})


@pytest.fixture(params=["onnxruntime", "onnx"])
def runtime(request, monkeypatch):
    """The package that loads the graphs: onnxruntime, or onnx if onnxruntime is not installed."""
    if request.param == "onnx":
        monkeypatch.setitem(sys.modules, "onnxruntime", None)
    return request.param


def check(fitted, X, exported=None):
    """Check that the graph gives the same labels, and probabilities that differ by rounding only.

    A logit z is rounded by a few eps z, which changes its probability p by p (1 - p) times as much.
    """
    label, probabilities = run(exported or to_onnx(fitted, X), X)
    expected, named = fitted.predict_proba(X), fitted.predict(X)
    atol, classifier = 1e-6, fitted
    while not isinstance(classifier, TinyClassifier):
        classifier = classifier[-1]
    named = named.toarray() if scipy.sparse.issparse(named) else named
    assert probabilities.dtype == classifier.network_.dtype
    assert probabilities.shape == expected.shape
    if probabilities.dtype == np.float64 and (X.dtype == np.float64 or fitted.__class__ is TinyClassifier):
        atol = 1e-12  # skl2onnx computes the other steps of a pipeline in the type of the rows
    z = fitted.decision_function(X).reshape(len(expected), -1)
    rounded = 4 * expected * (1 - expected) * np.abs(z).max(axis=1, keepdims=True)
    assert (np.abs(probabilities - expected) <= atol * (1 + rounded)).all()
    assert label.shape == named.shape
    assert label.tolist() == named.tolist()


def hard_rows(scaled, dtype):
    """The rows, rows around them, and rows far away, less far if values are not clipped."""
    around = X + 10 * X.std(axis=0) * RNG.standard_normal(X.shape)
    far = np.concatenate([np.eye(N_IN), -np.eye(N_IN)]) * (1e30 if scaled else 1e6)
    return np.concatenate([X, around, far, np.zeros((1, N_IN))]).astype(dtype)


# --- agreement ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("activation", "dtype", "given", "kind"),
    [*product(EXPORTED, FLOATS, FLOATS, ["scaled", "raw", "sparse"])],
)
def test_the_graph_agrees_for_each_activation_type_and_scaling(activation, dtype, given, kind):
    rows = scipy.sparse.csr_array(X) if kind == "sparse" else X
    sizes = (16, 8)
    fitted = quick(hidden_layer_sizes=sizes, activation=activation, dtype=dtype, scale_inputs=kind != "raw")
    fitted.fit(rows, np.array(["a", "b", "c"])[CODES])
    check(fitted, hard_rows(kind != "raw", given))


@pytest.mark.parametrize(("dtype", "n_members"), [*product(FLOATS, [1, 3])])
@pytest.mark.parametrize(
    ("parameters", "y"),
    [
        ({}, CODES),
        ({}, CODES > 0),
        ({}, CODES.astype(float) - 1),
        ({}, (CODES - 1).astype(np.int8)),
        ({}, CODES.astype(object)),
        ({}, np.array(["ä", "", "two\nlines"])[CODES]),
        ({}, np.array(["no", "yes"], dtype=object)[CODES // 2]),
        ({}, pd.Categorical(np.array(["a", "b", "c"])[CODES])),
        ({}, np.full(N, 7)),
        ({}, MANY),
        ({}, scipy.sparse.csr_array(MANY)),
        ({"loss": "softmax_cross_entropy"}, CODES // 2),
        ({"loss": "sigmoid_cross_entropy"}, CODES // 2),
        ({"label_smoothing": 0.1}, CODES),
        ({"soft_targets": True}, np.eye(3)[CODES]),
        ({"soft_targets": True}, pd.DataFrame(np.eye(2)[CODES // 2], columns=["no", "yes"])),
        ({"hidden_layer_sizes": ()}, CODES),
        ({"hidden_layer_sizes": (8, 8, 8), "activation": ["tanh", [ReLU(), Tanh()], Logistic]}, CODES),
        ({"hidden_layer_sizes": (4, 3), "activation": [["relu", Dense(3)], "tanh"]}, CODES),
        ({"dropout": 0.5}, CODES),
        ({"solver": "lbfgs"}, CODES),
        ({"solver": RMSprop(), "learning_rate": lambda progress: 1 - progress}, CODES),
        ({**SKLEARN_DEFAULTS, "max_iter": 5, "random_state": 0}, CODES // 2),
    ],
)
def test_the_graph_agrees_for_each_kind_of_labels_loss_and_network(parameters, y, dtype, n_members):
    fitted = quick(**{**parameters, "dtype": dtype, "n_members": n_members}).fit(X, y)
    check(fitted, hard_rows(fitted.scale_inputs, dtype))


@pytest.mark.parametrize("loss", [loss for loss in LOSSES if type(loss) in KNOWN_LOSSES])
@pytest.mark.parametrize(
    "layer",
    [one for one in LAYERS if type(one).__module__ == "tinyclf.nn.layers" and type(one) is not GELU],
)
def test_all_layers_and_losses_of_the_package_are_supported(layer, loss):
    fitted = quick(activation=layer, loss=loss, dtype="float64").fit(
        X, np.minimum(CODES, n_classes(loss) - 1)
    )
    check(fitted, X)


@pytest.mark.parametrize("given", FLOATS)
def test_gelu_is_exported_in_float32(given):
    fitted = quick(activation="gelu").fit(X, CODES)
    check(fitted, hard_rows(True, given))


def test_gelu_in_float64_is_exported_or_refused_with_the_fix():
    fitted = quick(activation="gelu", dtype="float64").fit(X, CODES)
    try:
        check(fitted, X)
    except ValueError as error:  # onnxruntime has no Erf for float64
        assert 'fit with dtype="float32"' in str(error)  # noqa: PT017  # whichever version is installed
    pytest.importorskip("skl2onnx")
    fitted = make_pipeline(StandardScaler(), fitted).fit(X, CODES)
    try:
        check(fitted, X)
    except ValueError as error:
        assert 'To fix it, fit with dtype="float32"' in str(error)  # noqa: PT017


@pytest.mark.parametrize(("offset", "dtype", "given"), [*product([30, 900, 1e4, 1e6], FLOATS, FLOATS)])
def test_the_graph_agrees_for_columns_with_a_large_offset(offset, dtype, given):
    rows = (offset + RNG.standard_normal((N, N_IN))).astype(given)
    check(quick(dtype=dtype).fit(rows, CODES), rows)


def test_a_graph_for_float64_keeps_digits_that_float32_loses():
    rows = 1e8 + RNG.standard_normal((N, N_IN))
    fitted = quick().fit(rows, (rows[:, 0] > 1e8).astype(int))
    check(fitted, rows)
    assert np.unique(run(to_onnx(fitted), rows.astype(np.float32), "probabilities")[0]).size < 20


@pytest.mark.parametrize(("n_members", "dtype"), [*product([1, 3], FLOATS)])
def test_the_graph_agrees_after_partial_fits_and_after_a_second_fit(n_members, dtype):
    fitted = quick(n_members=n_members, dtype=dtype)
    for start in (0, 50, 100, 150):
        rows = start / 10 + GAPS_LEFT[start : start + 50]
        fitted.partial_fit(rows, CODES[start : start + 50], classes=[0, 1, 2])
    check(fitted, hard_rows(True, "float64"))
    assert np.abs(fitted._fitted.scaling.missing).max() > 1  # missing entries are not at the center any more
    for given in FLOATS:
        for rows in (GAPS, 15 + GAPS, np.full((2, N_IN), np.nan)):
            check(fitted, rows.astype(given))
    check(fitted.set_params(scale_inputs=False).fit(X, CODES // 2), X)


NOISE = np.random.default_rng(1)
NOISES = {
    "two": NOISE.integers(0, 2, N),
    "three": NOISE.choice(3, N, p=[0.2, 0.3, 0.5]),
    "several": (NOISE.random((N, 4)) < [0.2, 0.4, 0.5, 0.7]).astype(int),
}
"""Labels that do not depend on X, so that calibration changes the predictions strongly."""


def logits_of_frequencies(y):
    """Log-odds for labels of two values, else centered logarithms."""
    p = y.mean(axis=0, keepdims=True).ravel() if y.ndim == 2 or y.max() == 1 else np.bincount(y) / len(y)
    return np.log(p / (1 - p)) if y.ndim == 2 or y.max() == 1 else np.log(p) - np.log(p).mean()


@pytest.mark.promise("calibration never changes the weights")
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("y", NOISES.values(), ids=NOISES)
def test_calibration_is_two_nodes_after_the_trained_network(y, dtype):
    fitted, plain = (
        quick(dtype=dtype, max_iter=40, calibrate=c, n_members=1).fit(X, y) for c in (True, False)
    )
    a, rows = fitted.calibration_, hard_rows(True, dtype)
    assert 0 < a < 0.5
    assert np.abs(fitted.predict_proba(rows) - plain.predict_proba(rows)).max() > 0.1
    check(fitted, rows)
    check(plain, rows)
    exported, without = to_onnx(fitted), to_onnx(plain)
    nodes, fewer = ([node.op_type for node in one.graph.node] for one in (exported, without))
    end = len(fewer) - fewer[::-1].index("Gemm")  # after the last layer
    assert nodes == [*fewer[:end], "Mul", "Add", *fewer[end:]]
    held, others = (
        {array.name: onnx.numpy_helper.to_array(array) for array in one.graph.initializer}
        for one in (exported, without)
    )
    gemms = [node for node in exported.graph.node if node.op_type == "Gemm"]
    for node, W, b, trained in zip(gemms, fitted.coefs_, fitted.intercepts_, plain.coefs_, strict=True):
        np.testing.assert_array_equal(held[node.input[1]], W)
        np.testing.assert_array_equal(held[node.input[2]], b)
        np.testing.assert_array_equal(W, trained)  # calibration does not change the weights
        np.testing.assert_array_equal(others[node.input[1]], W)
    factor, offset = (held[node.input[1]] for node in exported.graph.node[end : end + 2])
    rtol = 1e-6 if dtype == "float32" else 1e-12
    assert (factor.dtype, offset.dtype) == (dtype, dtype)
    np.testing.assert_allclose(factor, a, rtol=rtol)
    np.testing.assert_allclose(offset, (1 - a) * logits_of_frequencies(y), rtol=rtol, atol=rtol)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("y", NOISES.values(), ids=NOISES)
@pytest.mark.parametrize("n_members", [1, 3])
def test_the_graph_agrees_for_a_model_that_predicts_the_class_frequencies(y, dtype, n_members):
    fitted = quick(dtype=dtype, n_members=n_members).fit(X, y)
    fitted._state.calibration = Calibration(0.0, logits_of_frequencies(y))
    rows = hard_rows(True, dtype)
    check(fitted, rows)
    p = y.mean(axis=0) if y.ndim == 2 else np.bincount(y) / N
    np.testing.assert_allclose(run(to_onnx(fitted), rows)[1], np.tile(p, (len(rows), 1)), rtol=1e-6)


@pytest.mark.parametrize(("dtype", "n_members"), [*product(FLOATS, [1, 3])])
@pytest.mark.parametrize("y", [CODES // 2, CODES, MANY], ids=["two", "three", "several"])
def test_a_small_probability_keeps_its_digits(y, dtype, n_members):
    fitted = learned(dtype=dtype, calibrate=False, n_members=n_members).fit(X, y)
    for _ in range(n_members):  # logits of members that disagree do not grow in proportion to the weights
        fitted.coefs_[-1] = fitted.coefs_[-1] * 60 / np.abs(fitted.decision_function(X)).max()
    (found,) = run(to_onnx(fitted), X.astype(dtype), "probabilities")
    expected = fitted.predict_proba(X.astype(dtype))
    assert expected.min() < 1e-18
    np.testing.assert_allclose(found, expected, rtol=1e-4 if dtype == "float32" else 1e-12)


def with_logits_up_to(fitted, size):
    """Multiply the last layer so that the largest logit of a member has this size."""
    last = fitted.network_.parameters[-1]
    factor = size / np.abs(fitted.network_.logits(fitted.scaled_inputs(X))).max()
    last.W *= factor
    last.b *= factor
    return fitted


@pytest.mark.parametrize(("dtype", "n_members"), [*product(FLOATS, [2, 8, 16])])
@pytest.mark.parametrize(
    ("y", "loss"),
    [
        (np.zeros(N, int), "log_loss"),
        (CODES // 2, "log_loss"),
        (CODES // 2, "softmax_cross_entropy"),
        (np.arange(N) % 30, "log_loss"),
        (MANY, "log_loss"),
    ],
    ids=["one", "two", "softmax", "thirty", "several"],
)
def test_members_are_averaged_for_logits_of_any_size(y, loss, dtype, n_members):
    fitted = quick(loss=loss, dtype=dtype, n_members=n_members).fit(X, y)
    for size in (1.0, 1e4, 1e30):
        exported = to_onnx(with_logits_up_to(fitted, size), rows := X.astype(dtype))
        label, found = run(exported, rows)
        expected, named = fitted.predict_proba(rows), fitted.predict(rows)
        assert np.isfinite(found).all()
        allowed = 16 * np.finfo(dtype).eps * (1 + size)
        np.testing.assert_allclose(found, expected, rtol=0, atol=allowed if size < 1e30 else 1e-6)
        p = np.c_[expected, 1 - expected] if y.ndim == 2 else np.c_[expected, np.zeros(N)]
        top = np.sort(p, axis=1)  # members that disagree, each with certainty, may give exact ties
        clear = np.abs(2 * expected - 1) > 1e-6 if y.ndim == 2 else top[:, -1] - top[:, -2] > 1e-6
        assert clear.mean() > 0.2
        assert label[clear].tolist() == named[clear].tolist()


def test_the_file_of_members_is_hardly_larger_than_their_parameters():
    wide = np.repeat(X, 30, axis=1)
    fitted = quick(n_members=8, hidden_layer_sizes=(8, 8), scale_inputs=False).fit(wide, CODES)
    network = fitted.network_
    assert network.parameters[0].W.shape == (180, 8)  # shared by all members
    size = len(to_onnx(fitted).SerializeToString()) - network.theta.nbytes
    assert 0 < size < 5000


@pytest.mark.parametrize(
    ("y", "loss"),
    [
        (CODES // 2, "log_loss"),
        (CODES // 2, "softmax_cross_entropy"),
        (CODES, "log_loss"),
        (MANY, "log_loss"),
    ],
)
@pytest.mark.parametrize(("last", "n_members"), [*product([-1e-9, 0.0, 1e-9], [1, 3])])
def test_ties_and_probabilities_that_round_to_ties_get_the_same_label(y, loss, last, n_members):
    fitted = quick(loss=loss, calibrate=False, n_members=n_members).fit(X, y)
    p = fitted.network_.parameters[-1]
    p.W[...], p.b[...], p.b[..., -1] = 0.0, 0.0, last
    check(fitted, X[:3])
    label, probabilities = run(to_onnx(fitted), X[:3].astype(np.float32))
    assert (
        probabilities[:, -1] == probabilities[0, 0]
    ).all()  # the labels may differ although the probabilities are equal
    assert (label.reshape(3, -1)[:, -1].max() > 0) == (last > 0)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("n_members", [1, 3])
def test_the_graph_is_as_accurate_as_the_model_where_float32_is_not_exact(dtype, n_members):
    rows = X * 300
    settings = {"scale_inputs": False, "learning_rate_init": 1e-3, "n_members": n_members}
    fitted = quick(**settings, dtype=dtype).fit(rows, CODES)
    z = fitted.plan_.ensemble_logits(fitted.network_.copy("float64").logits(rows))
    assert fitted.calibration_ < 1
    truth = fitted.plan_.loss.probabilities(fitted._state.calibration.apply(z))
    ours = np.abs(fitted.predict_proba(rows) - truth).max()
    (found,) = run(to_onnx(fitted, rows), rows, "probabilities")
    assert np.abs(found - truth).max() <= max(1e-6, 4 * ours)


@pytest.mark.parametrize("y", [CODES // 2, CODES, MANY], ids=["two", "three", "several"])
@pytest.mark.parametrize(("n", "n_members"), [*product([0, 1, 3], [1, 3])])
def test_the_graph_accepts_any_number_of_rows(n, n_members, y):
    fitted = quick(n_members=n_members).fit(X, y)
    label, probabilities = run(to_onnx(fitted), X[:n].astype(np.float32))
    assert label.shape == (n, *y.shape[1:])
    assert probabilities.shape == (n, len(fitted.classes_))


@pytest.mark.parametrize("y", [CODES // 2, np.array(["a", "b", "c"])[CODES], MANY], ids=["2", "3", "several"])
@pytest.mark.parametrize("n_members", [1, 3])
def test_another_runtime_agrees(y, n_members):
    from onnx.reference import ReferenceEvaluator

    fitted = quick(dtype="float64", activation="logistic", n_members=n_members).fit(X, y)
    label, probabilities = ReferenceEvaluator(to_onnx(fitted)).run(None, {"X": X})
    np.testing.assert_allclose(probabilities, fitted.predict_proba(X), rtol=0, atol=1e-12)
    assert label.tolist() == fitted.predict(X).tolist()


# --- the file -----------------------------------------------------------------------------------------


def test_the_file_has_versions_names_and_classes():
    fitted = quick().fit(X, np.array(["b", "c", "ä"])[CODES])
    exported = to_onnx(fitted)
    assert exported.SerializeToString() == to_onnx(fitted).SerializeToString()
    assert (exported.producer_name, exported.ir_version) == ("tinyclf", 7)
    assert [(entry.domain, entry.version) for entry in exported.opset_import] == [("", 13)]
    assert [value.name for value in exported.graph.input] == ["X"]
    assert [value.name for value in exported.graph.output] == ["label", "probabilities"]
    assert [json.loads(entry.value) for entry in exported.metadata_props] == [["b", "c", "ä"]]
    assert exported.metadata_props[0].key == "classes"
    assert json.loads(to_onnx(quick().fit(X, CODES > 0)).metadata_props[0].value) == [0, 1]


def input_type(exported):
    kind = exported.graph.input[0].type.tensor_type.elem_type
    return onnx.helper.tensor_dtype_to_np_dtype(kind).name


@pytest.mark.parametrize("dtype", FLOATS)
def test_the_input_has_the_type_of_the_rows_or_that_of_the_network(dtype):
    fitted = quick(dtype=dtype).fit(X, CODES)
    assert input_type(to_onnx(fitted)) == dtype
    for given in (X, X.tolist(), X.astype(int), pd.DataFrame(X).to_numpy(), scipy.sparse.csr_array(X)):
        assert input_type(to_onnx(fitted, given)) == "float64"
    assert input_type(to_onnx(fitted, X.astype(np.float32))) == "float32"


def test_rows_of_another_width_are_refused():
    with pytest.raises(ValueError, match="5 features.*6"):
        to_onnx(quick().fit(X, CODES), X[:, :5])
    pytest.importorskip("skl2onnx")
    with pytest.raises(ValueError, match="^X has 5 features, but StandardScaler is expecting 6"):
        to_onnx(make_pipeline(StandardScaler(), quick()).fit(X, CODES), X[:, :5])


def test_the_graph_has_a_cast_only_where_types_differ():
    def casts(dtype, given, k):
        exported = to_onnx(quick(dtype=dtype, n_members=k).fit(X, CODES), X.astype(given))
        return sum(node.op_type == "Cast" for node in exported.graph.node)

    assert [casts(*types, 1) for types in product(FLOATS, FLOATS)] == [0, 1, 1, 0]
    assert [casts(*types, 3) for types in product(FLOATS, FLOATS)] == [2, 3, 1, 0]


@pytest.mark.processes
def test_the_same_model_gives_the_same_bytes_in_each_process():
    pytest.importorskip("skl2onnx")
    script = """if True:
        import hashlib, warnings
        from sklearn.datasets import load_iris
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler
        from tinyclf import TinyClassifier, to_onnx
        warnings.simplefilter("ignore")
        fitted = make_pipeline(StandardScaler(), TinyClassifier(max_iter=2, random_state=0))
        fitted.fit(*load_iris(return_X_y=True))
        for one in (fitted[-1], fitted):
            print(hashlib.sha256(to_onnx(one).SerializeToString()).hexdigest())
    """
    printed = [
        subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "20")  # with these, skl2onnx iterates over a set in two orders
    ]
    assert len(set(printed)) == 1
    assert len(set(printed[0].split())) == 2


# --- missing numbers and categories --------------------------------------------------------------------


@pytest.mark.parametrize(("dtype", "given"), [*product(FLOATS, FLOATS)])
@pytest.mark.parametrize("kind", ["seen", "not seen", "sparse"])
def test_a_missing_number_is_read_as_in_predict(kind, dtype, given):
    fitted = quick(dtype=dtype)
    fitted.fit({"seen": GAPS_LEFT, "not seen": TIED, "sparse": scipy.sparse.csr_array(GAPS)}[kind], CODES)
    assert len(fitted.input_names_) == N_IN + {"seen": 3, "not seen": 0, "sparse": 6}[kind]
    for rows in (GAPS, np.full((2, N_IN), np.nan), hard_rows(True, given)):
        check(fitted, rows.astype(given))
    check(fitted, GAPS.astype(dtype), to_onnx(fitted))
    (found,) = run(to_onnx(fitted), np.full((1, N_IN), np.nan, dtype), "probabilities")
    assert np.isfinite(found).all()


@pytest.mark.parametrize("given", FLOATS)
@pytest.mark.parametrize("step", ["passthrough", StandardScaler(), MinMaxScaler()])
def test_missing_numbers_pass_through_the_steps_of_a_pipeline(step, given):
    pytest.importorskip("skl2onnx")
    fitted = make_pipeline(step, quick()).fit(GAPS.astype(given), CODES)
    check(fitted, GAPS.astype(given))
    table = pd.DataFrame(GAPS[:, :3], columns=["a", "b", "c"]).astype(given)
    fitted = make_pipeline(step, quick()).fit(table, CODES)
    check_table(fitted, table, to_onnx(fitted, table))


def test_missing_numbers_add_two_operators_and_their_indicators_four():
    plain, without, seen = (
        [node.op_type for node in to_onnx(quick(scale_inputs=scale).fit(rows, CODES)).graph.node]
        for scale, rows in ((False, X), (True, X), (True, GAPS))
    )
    assert not {"IsNaN", "Where", "Concat"} & {*plain}
    scaling = ["Sub", "Mul", "Abs", "Clip", "Log", "Clip", "Sign", "Mul", "Add", "Mul", "IsNaN", "Where"]
    assert without == scaling + plain
    assert len(seen) == len(without) + 4


MIXED = pd.DataFrame(
    {
        "age": GAPS[:, 0],
        "year": RNG.integers(1990, 2020, N),
        "income": RNG.lognormal(10, 1, N),
        "city": RNG.choice(["Oslo", "Lima", "Pune", "Bergen"], N, p=[0.4, 0.3, 0.2, 0.1]),
        "member": RNG.random(N) < 0.5,
        "job": pd.Categorical(RNG.choice(["a", "b", None], N)),
        "code": RNG.integers(0, 9, N) ** 2,
    }
)
"""A table with numbers and categories; some entries of age and job are missing."""

LABELS = {"two": CODES // 2, "three": np.array(["a", "b", "c"])[CODES], "several": MANY}
CATEGORICAL = ["city", "member", "job", "code"]


def other_rows(table):
    """The rows, and rows with unknown categories and missing entries."""
    more = table.head(40).astype({"city": object, "job": object})
    more.loc[::3, "city"], more.loc[1::3, "city"] = "Rome", None
    more.loc[::4, "job"], more.loc[2::4, "job"] = "unknown", None
    more.loc[::2, "code"] = -1
    more.loc[1::2, ["age", "income"]] = np.nan
    return pd.concat([table.astype({"job": object}), more], ignore_index=True)


def fed(exported, table, read=np.asarray):
    """The inputs of a graph by name: the columns of a table, in the types of the inputs, with "" for None."""
    to_numpy, inputs = onnx.helper.tensor_dtype_to_np_dtype, {}
    for one in exported.graph.input:
        values, dtype = read(table[one.name]), to_numpy(one.type.tensor_type.elem_type)
        values = ["" if dtype.kind == "O" and not isinstance(v, str) else v for v in values.tolist()]
        inputs[one.name] = np.array(values, dtype)[:, None]
        assert [d.dim_value for d in one.type.tensor_type.shape.dim][1:] == [1]
    return inputs


def check_table(fitted, table, exported):
    """Check that a graph with one input per column gives the predictions of the model."""
    label, probabilities = run(exported, fed(exported, table))
    np.testing.assert_allclose(probabilities, fitted.predict_proba(table), rtol=0, atol=2e-6)
    assert label.tolist() == fitted.predict(table).tolist()


@pytest.mark.parametrize(("dtype", "given"), [*product(FLOATS, FLOATS)])
@pytest.mark.parametrize("y", LABELS.values(), ids=LABELS)
def test_the_graph_of_a_table_agrees_for_missing_rare_and_unknown_entries(y, dtype, given):
    table = MIXED.astype({"age": given, "year": given, "income": given})
    settings = {"categorical_features": CATEGORICAL, "max_categories": 3, "n_members": 2}
    fitted = quick(**settings, dtype=dtype).fit(table, y)
    assert fitted._fitted.encoding.rare.tolist() == [True, False, False, True]
    assert "missingindicator_job" in fitted.input_names_
    rows = other_rows(table)
    exported = to_onnx(fitted, rows)
    assert [value.name for value in exported.graph.input] == [*table]
    assert [a.dtype for a in fed(exported, rows).values()] == [given] * 3 + [object, bool, object, np.int64]
    check_table(fitted, rows, exported)
    assert exported.graph.output[1].type.tensor_type.elem_type == {"float32": 1, "float64": 11}[dtype]


@pytest.mark.parametrize("y", LABELS.values(), ids=LABELS)
@pytest.mark.parametrize("scaled", [True, False])
def test_without_rows_the_graph_of_a_table_is_compared_on_all_categories_unknown_and_missing(
    y, scaled, monkeypatch
):
    table = MIXED if scaled else MIXED.assign(age=X[:, 0], year=X[:, 1], income=X[:, 2])
    fitted = quick(categorical_features=CATEGORICAL, max_categories=3, scale_inputs=scaled).fit(table, y)
    compared = []
    monkeypatch.setattr(
        classifiers, "difference", lambda found, model, rows, dtype: compared.append(rows) or ""
    )
    exported = to_onnx(fitted)
    types = [np.float64] * 3 + [object, bool, object, np.int64]
    assert [a.dtype for a in fed(exported, table.head(1)).values()] == types
    check_table(fitted, other_rows(table) if scaled else table, exported)
    (rows,) = compared
    assert rows.shape == (50, 7)
    for column, categories in zip(rows[:, 3:].T, fitted._fitted.encoding.categories, strict=True):
        entries = {*column.tolist()}
        assert {*categories.tolist()} < entries or categories.dtype == bool
        assert len(entries) == len(categories) + {"O": 2, "b": 0}.get(categories.dtype.kind, 1)
    assert [None in column for column in rows[:, 3:].T] == [True, False, True, False]
    assert np.isnan(rows[:, :3].astype(float)).any() == scaled


WRONG = {
    "code of others": ("LabelEncoder", lambda inputs, more: more.update(default_float=0.0)),
    "codes": ("LabelEncoder", lambda inputs, more: more["values_floats"].reverse()),
    "columns": ("Gather", lambda inputs, _: isinstance(inputs[1], str) or inputs.append(inputs.pop()[::-1])),
    "missing": ("Where", lambda inputs, more: inputs.insert(1, inputs.pop(1) + 1)),
}
"""Operators, and functions that change their inputs or attributes."""


@pytest.mark.parametrize("kind", WRONG)
def test_the_graph_of_a_table_is_compared_with_the_model(kind, runtime, monkeypatch):
    table, (operator, change), add = MIXED[["age", "city", "job"]], WRONG[kind], Graph.add
    fitted = quick(max_categories=3, max_iter=20).fit(table, CODES > 0)
    rows = other_rows(MIXED)[[*table]]
    to_onnx(fitted, rows)

    def wrong(graph, name, *inputs, **more):
        inputs = [*inputs]
        if name == operator:
            change(inputs, more)
        return add(graph, name, *inputs, **more)

    monkeypatch.setattr(Graph, "add", wrong)
    for given in (None, rows):
        with pytest.raises(ValueError, match="cannot export this TinyClassifier: the prob.* differ by"):
            to_onnx(fitted, given)


@pytest.mark.parametrize("library", ["pandas", "polars", "array"])
@pytest.mark.parametrize(
    ("categories", "dtype"),
    [
        (["ä", "b", "two\nlines"], object),
        (["", "b", " "], object),
        ([True, False, True], bool),
        ([3, -4, 2**53], np.int64),
        ([3, 4, 5], np.uint8),
        ([0.5, -1e300, 0.1], np.float64),
    ],
)
def test_categories_of_each_kind_are_exported(categories, dtype, library):
    column = np.array(categories, dtype)[RNG.integers(0, 3, N)]
    column[:40] = categories[0]
    if library == "array":
        table = np.array([[*row] for row in zip(X[:, 0], column, strict=True)], object)
    else:
        table = {"pandas": pd.DataFrame, "polars": pl.DataFrame}[library](
            {"age": X[:, 0], "kind": column.tolist()}
        )
    fitted = quick(categorical_features=[1], max_categories=2).fit(table, CODES)
    name = "x1" if library == "array" else "kind"
    for exported in (to_onnx(fitted), to_onnx(fitted, table)):
        assert [value.name for value in exported.graph.input] == [
            name.replace("x1", "x0").replace("kind", "age"),
            name,
        ]
        inputs = fed(exported, {"x0": X[:, 0], "age": X[:, 0], "x1": column, "kind": column})
        assert inputs[name].dtype == {np.uint8: np.int64}.get(dtype, dtype)
        label, probabilities = run(exported, inputs)
        np.testing.assert_allclose(probabilities, fitted.predict_proba(table), rtol=0, atol=1e-6)
        assert label.tolist() == fitted.predict(table).tolist()


@pytest.mark.parametrize("library", ["pandas", "polars"])
@pytest.mark.parametrize("values", [[True, False, None], [3, 4, None], [0.5, 2.5, None], ["a", "b", None]])
def test_missing_entries_of_numbers_and_booleans_are_nan_and_those_of_strings_are_empty(values, library):
    column = [values[i] for i in RNG.integers(0, 3, N)]
    table = {"pandas": pd.DataFrame, "polars": pl.DataFrame}[library]({"kind": column, "age": X[:, 0]})
    if library == "pandas" and values[0] == 3:
        table = table.astype({"kind": "Int64"})
    fitted = quick(categorical_features=["kind"]).fit(table, CODES)
    assert [*fitted.input_names_][:2] == ["age", "missingindicator_kind"]
    for exported in (to_onnx(fitted), to_onnx(fitted, table)):
        text = isinstance(values[0], str)
        feed = [("" if text else np.nan) if value is None else value for value in column]
        kind = np.array(feed, object if text else np.float64)[:, None]
        (found,) = run(exported, {"kind": kind, "age": X[:, :1]}, "probabilities")
        np.testing.assert_allclose(found, fitted.predict_proba(table), rtol=0, atol=1e-6)


def test_a_column_of_strings_may_be_missing_in_all_rows_that_are_compared():
    table = MIXED[["age", "city"]]
    fitted = quick().fit(table, CODES)
    rows = table.assign(city=None)
    check_table(fitted, rows, to_onnx(fitted, rows))


def test_strings_that_are_not_unicode_are_refused():
    texts = np.array(["\ud800", "b"] * (N // 2), object)
    city = pd.Series(texts, dtype=object)  # PyArrow, which may hold strings in pandas, refuses them as well
    for table, y in ((pd.DataFrame({"age": X[:, 0], "city": city}), CODES), (X, texts)):
        with pytest.raises(
            ValueError, match=r"UTF-8, which has no .*d800.*replace it in labels and categories"
        ):
            to_onnx(quick().fit(table, y))


@pytest.mark.parametrize("missing", [[None] * N, [None, "a"] * (N // 2)])
def test_columns_that_say_nothing_and_tables_without_numbers_are_exported(missing):
    for table in (
        pd.DataFrame({"empty": missing, "one": ["x"] * N}),
        pd.DataFrame({"empty": missing, "one": ["x"] * N, "age": GAPS[:, 0]}),
    ):
        fitted = quick().fit(table, CODES)
        check_table(fitted, table, to_onnx(fitted, table))
        assert to_onnx(fitted).graph.node


def test_a_graph_of_a_table_has_any_number_of_rows_and_the_reference_evaluator_agrees():
    from onnx.reference import ReferenceEvaluator

    fitted = quick(max_categories=3).fit(MIXED, CODES)
    rows = other_rows(MIXED)
    exported = to_onnx(fitted, rows)
    label, probabilities = run(exported, fed(exported, rows.head(0)))
    assert (label.shape, probabilities.shape) == ((0,), (0, 3))
    label, probabilities = ReferenceEvaluator(exported).run(None, fed(exported, rows))
    np.testing.assert_allclose(probabilities, fitted.predict_proba(rows), rtol=0, atol=1e-6)


@pytest.mark.parametrize("version", [13, 15, 18, 21])
def test_the_graph_of_a_table_has_the_versions_of_the_operators_that_are_set(version):
    fitted = quick().fit(MIXED, CODES)
    exported = to_onnx(fitted, MIXED, target_opset=version)
    found = [(entry.domain, entry.version) for entry in exported.opset_import]
    assert found == [("", version), ("ai.onnx.ml", 2 if version < 16 else 3)]
    check_table(fitted, other_rows(MIXED), exported)
    assert exported.SerializeToString() == to_onnx(fitted, MIXED, target_opset=version).SerializeToString()


def test_names_of_columns_that_are_names_of_values_in_the_graph_are_kept():
    names = ["Sub4", "Concat0", "X", "Gemm12_1", "LabelEncoder0"]
    table = pd.DataFrame({name: X[:, i] for i, name in enumerate(names)}).assign(LabelEncoder0="a", X="b")
    table.loc[::2, "X"] = "c"
    fitted = quick().fit(table, CODES)
    check_table(fitted, table, to_onnx(fitted, table))
    for name in ("label", "probabilities", ""):
        fitted = quick().fit(table.rename(columns={"X": name}), CODES)
        with pytest.raises(ValueError, match="different names, and not '' or those of the outputs.* rename"):
            to_onnx(fitted)


def test_an_empty_string_cannot_be_a_category_and_a_missing_string():
    table = pd.DataFrame({"age": X[:, 0], "city": ["", "a", "b", "a"] * (N // 4)})
    fitted = quick().fit(table, CODES)
    gaps = table.assign(city=["", None, "b", "a"] * (N // 4))
    for model, rows in (
        (fitted, gaps),
        (quick().fit(gaps, CODES), gaps),
        (quick().fit(gaps.replace("", "c"), CODES), table),
    ):
        with pytest.raises(
            ValueError, match="'' is a missing string, but the column 'city'.* another string"
        ):
            to_onnx(model, rows)
    check_table(fitted, table, to_onnx(fitted))


@pytest.mark.parametrize("big", [2**53 + 1, 2**60 + 1])
def test_numbers_as_categories_that_would_be_rounded_are_refused(big):
    column = pd.array([big, 1, None, 2] * (N // 4), dtype="Int64")
    fitted = quick(categorical_features=["id"]).fit(pd.DataFrame({"age": X[:, 0], "id": column}), CODES)
    with pytest.raises(ValueError, match=rf"float64 exactly with the category {big}; fit with strings"):
        to_onnx(fitted)
    table = pd.DataFrame({"age": X[:, 0], "id": np.array([big, 1, big - 1, 2] * (N // 4))})
    fitted = quick(categorical_features=["id"]).fit(table, CODES)
    check_table(fitted, table, to_onnx(fitted, table))


def test_rows_of_other_kinds_than_in_fit_are_refused():
    fitted = quick().fit(MIXED, CODES)
    with pytest.raises(TypeError, match="'city' held strings in fit, but now has numbers"):
        to_onnx(fitted, MIXED.assign(city=1))
    with pytest.raises(TypeError, match="'year' held numbers in fit"):
        to_onnx(fitted, MIXED.assign(year="a"))
    with pytest.raises(TypeError, match="column 'year' held numbers in fit, but now has strings"):
        to_onnx(fitted, MIXED.assign(year=MIXED["year"].astype(str)))


@pytest.mark.filterwarnings("error")
def test_a_model_that_was_fitted_on_named_columns_is_exported_without_a_warning():
    numbers = MIXED[["age", "income"]]
    for table in (numbers, MIXED):
        fitted = quick().fit(table, CODES)
        for rows in (None, table):
            to_onnx(fitted, rows)
    with pytest.warns(UserWarning, match="X does not have valid feature names") as caught:
        to_onnx(quick().fit(numbers, CODES), numbers.to_numpy())
    assert len(caught) == 1


# --- tables in pipelines -------------------------------------------------------------------------------


@pytest.mark.parametrize("y", LABELS.values(), ids=LABELS)
@pytest.mark.parametrize("given", FLOATS)
def test_a_pipeline_of_the_classifier_alone_is_exported_for_a_table(y, given):
    pytest.importorskip("skl2onnx")
    table = MIXED.astype({"age": given, "income": given})
    fitted = make_pipeline("passthrough", quick(categorical_features=CATEGORICAL, max_categories=3)).fit(
        table, y
    )
    rows = other_rows(table)
    exported = to_onnx(fitted, rows)
    types = [given, np.int64, given, object, bool, object, np.int64]
    assert [a.dtype for a in fed(exported, rows).values()] == types
    check_table(fitted, rows, exported)
    with pytest.raises(ValueError, match="needs some rows, X, since the classifier has categories"):
        to_onnx(fitted)


def test_a_pyarrow_table_is_exported():
    pyarrow = pytest.importorskip("pyarrow")
    pytest.importorskip("skl2onnx")
    columns = {
        "age": [1.0, None] * (N // 2),
        "city": pyarrow.array(["x", None] * (N // 2)).dictionary_encode(),
    }
    table = pyarrow.table(columns)
    for fitted in (quick().fit(table, CODES), make_pipeline(quick()).fit(table, CODES)):
        inputs = {"age": np.array([[1.0], [np.nan]]), "city": np.array([["x"], [""]], object)}
        (found,) = run(to_onnx(fitted, table), inputs, "probabilities")
        np.testing.assert_allclose(found, fitted.predict_proba(table)[:2], rtol=0, atol=1e-6)


def test_codes_of_an_earlier_step_are_categories_of_a_pipeline():
    pytest.importorskip("skl2onnx")
    table = MIXED[["city", "member", "code"]]
    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    fitted = make_pipeline(encoder, quick(categorical_features=[0, 1], max_categories=3)).fit(table, CODES)
    check_table(fitted, table, to_onnx(fitted, table))
    numbers = np.c_[X, CODES, 10 * CODES]
    fitted = make_pipeline(StandardScaler(), quick(categorical_features=[6, 7])).fit(numbers, CODES)
    check(fitted, numbers)


def test_strings_of_an_earlier_step_are_categories_of_a_pipeline():
    pytest.importorskip("skl2onnx")
    texts = MIXED[["city", "job"]].astype(object).fillna("").to_numpy()
    fill = SimpleImputer(missing_values="", strategy="most_frequent")
    fitted = make_pipeline(fill, quick(categorical_features=[0, 1])).fit(texts, CODES)
    (found,) = run(to_onnx(fitted, texts), texts, "probabilities")
    np.testing.assert_allclose(found, fitted.predict_proba(texts), rtol=0, atol=1e-6)


def test_a_table_that_a_step_makes_is_exported_or_refused_by_name():
    pytest.importorskip("skl2onnx")
    columns = make_column_transformer(("passthrough", ["job", "city"]))
    columns.set_output(transform="pandas")
    fitted = make_pipeline(columns, quick()).fit(MIXED, CODES)
    rows = other_rows(MIXED)
    check_table(fitted, rows, to_onnx(fitted, rows))
    columns = make_column_transformer((StandardScaler(), ["income"]), ("passthrough", ["city"]))
    columns.set_output(transform="pandas")
    fitted = make_pipeline(columns, quick()).fit(MIXED, CODES)
    with pytest.raises(
        ValueError,
        match=r"TinyClassifier of the .*income' held numbers in fit, but now has strings"
        ".* To fix it, fit the classifier on the table itself",
    ):
        to_onnx(fitted, MIXED)


# --- pipelines ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("dtype", "given", "n_members"), [*product(FLOATS, FLOATS, [1, 3])])
@pytest.mark.parametrize(
    "y", [CODES // 2, np.array(["ää", "äb", "b"])[CODES], MANY], ids=["2", "3", "several"]
)
def test_the_graph_of_a_pipeline_agrees(y, dtype, given, n_members):
    pytest.importorskip("skl2onnx")
    fitted = make_pipeline(StandardScaler(), quick(dtype=dtype, n_members=n_members)).fit(X, y)
    rows = np.concatenate([X, X + 3 * X.std(axis=0) * RNG.standard_normal(X.shape)]).astype(given)
    check(fitted, rows)
    if dtype == given:
        check(fitted, rows, to_onnx(fitted))
    exported = to_onnx(fitted)
    assert fitted[-1].calibration_ < 1
    assert input_type(exported) == dtype
    assert [value.name for value in exported.graph.output] == ["label", "probabilities"]
    assert json.loads(exported.metadata_props[0].value) == fitted.classes_.tolist()
    assert exported.ir_version == 7
    opsets = {entry.domain: entry.version for entry in exported.opset_import}
    assert len(opsets) == len(exported.opset_import)
    assert opsets[""] == 13


def test_a_pipeline_for_float64_agrees_with_a_large_offset():
    pytest.importorskip("skl2onnx")
    rows = 1e6 + RNG.standard_normal((N, N_IN))
    check(make_pipeline(StandardScaler(), quick()).fit(rows, CODES), rows)


def test_pipelines_in_pipelines_and_rows_of_integers_agree():
    pytest.importorskip("skl2onnx")
    nested = make_pipeline(
        "passthrough", make_pipeline(None, StandardScaler()), make_pipeline("passthrough", quick())
    )
    check(nested.fit(X, CODES), X)
    assert input_type(to_onnx(nested)) == "float32"
    check(make_pipeline(quick()).fit(X.astype(int), CODES), X.astype(int))
    check(make_pipeline(quick(scale_inputs=False)).fit(X.astype(int), CODES), X.astype(int))


def test_columns_of_a_frame_are_inputs_by_name():
    pytest.importorskip("skl2onnx")
    names = np.array(["x", "y", "z"])[CODES]
    frame = pd.DataFrame({"a": X[:, 1].astype(int), "b": X[:, 0].astype(np.float32), "c": names})
    feed = {"a": frame[["a"]].to_numpy(), "b": frame[["b"]].to_numpy(), "c": frame[["c"]].to_numpy(object)}
    numbers = frame[["a", "b"]]
    straight = make_pipeline(quick()).fit(numbers, CODES)
    encoded = make_column_transformer((OneHotEncoder(sparse_output=False), ["c"]), remainder="passthrough")
    mixed = make_pipeline(encoded, quick()).fit(frame, CODES)
    for fitted, rows in ((straight, numbers), (mixed, frame)):
        inputs = {name: feed[name] for name in rows}
        label, probabilities = run(to_onnx(fitted, rows), inputs)
        np.testing.assert_allclose(probabilities, fitted.predict_proba(rows), rtol=0, atol=1e-6)
        assert label.tolist() == fitted.predict(rows).tolist()


def test_a_pipeline_with_unknown_input_types_needs_rows():
    pytest.importorskip("skl2onnx")
    texts = ["good film", "bad film", "a good one"] * 5
    fitted = make_pipeline(CountVectorizer(lowercase=False), quick()).fit(texts, [1, 0, 1] * 5)
    with pytest.raises(ValueError, match="CountVectorizer has no n_features_in_; pass X"):
        to_onnx(fitted)
    label, probabilities = run(to_onnx(fitted, texts), np.array(texts))
    np.testing.assert_allclose(probabilities, fitted.predict_proba(texts), rtol=0, atol=1e-6)
    assert label.tolist() == fitted.predict(texts).tolist()


STEPS = {
    "imputer": (SimpleImputer(), GAPS),
    "median": (SimpleImputer(strategy="median"), GAPS),
    "constant": (SimpleImputer(strategy="constant", fill_value=-1), GAPS),
    "frequent": (SimpleImputer(strategy="most_frequent"), GAPS),
    "number": (SimpleImputer(missing_values=-7.5), np.where(np.isnan(GAPS), -7.5, GAPS)),
    "indicator": (SimpleImputer(add_indicator=True), GAPS),
    "offset": (make_pipeline(SimpleImputer(), StandardScaler()), GAPS + 2000),
    "polynomial": (PolynomialFeatures(), TIED),
    "interactions": (PolynomialFeatures(3, interaction_only=True, include_bias=False), TIED),
    "bias": (PolynomialFeatures(0), TIED),
    "ordinal bins": (KBinsDiscretizer(5, encode="ordinal"), TIED[:, :3]),
    "bins": (KBinsDiscretizer([2, 3, 4, 5, 6], strategy="uniform"), TIED[:, :5]),
    "dense bins": (KBinsDiscretizer(5, encode="onehot-dense"), TIED[:, :3]),
    "bins of float32": (KBinsDiscretizer(4, dtype=np.float32), TIED[:, :3]),
    "binarizer": (Binarizer(), TIED),
    "threshold": (Binarizer(threshold=TIED[0, 0]), TIED),
    "neighbors": (KNNImputer(), UNTIED_GAPS),
    "union": (make_union(StandardScaler(), make_pipeline(PolynomialFeatures(), PCA(3))), TIED),
    "imputer and union": (make_pipeline(SimpleImputer(), make_union(StandardScaler(), Binarizer())), GAPS),
    "table": (
        make_column_transformer((SimpleImputer(), [0, 2]), ("passthrough", [5]), remainder="drop"),
        GAPS_LEFT,
    ),
    "maximum": (Normalizer("max"), np.abs(TIED)),
    "power": (PowerTransformer(), TIED[:, :5]),
}
"""Steps and rows; skl2onnx 1.20 alone exports most of them wrongly or not at all, in one of the types."""


@pytest.mark.parametrize(("kind", "given"), [*product(STEPS, FLOATS)])
def test_the_graph_agrees_for_each_step_and_type(kind, given):
    pytest.importorskip("skl2onnx")
    step, rows = STEPS[kind]
    rows = rows.astype(given)
    fitted = make_pipeline(step, quick()).fit(rows, CODES)
    exported = to_onnx(fitted, rows)
    assert input_type(exported) == given
    label, probabilities = run(exported, rows)
    np.testing.assert_allclose(probabilities, fitted.predict_proba(rows), rtol=0, atol=1e-5)
    assert label.tolist() == fitted.predict(rows).tolist()


def test_an_imputer_keeps_the_digits_of_float64():
    pytest.importorskip("skl2onnx")
    rows = np.where(np.isnan(UNTIED_GAPS), np.nan, 1e8 + X)
    check(make_pipeline(SimpleImputer(), quick()).fit(rows, CODES), rows)


def test_an_imputer_drops_or_keeps_an_empty_column():
    pytest.importorskip("skl2onnx")
    rows = GAPS.copy()
    rows[:, 1] = np.nan
    for keep in (True, False):
        imputer = SimpleImputer(keep_empty_features=keep)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Skipping features without any observed values")
            check(make_pipeline(imputer, quick()).fit(rows, CODES), rows)


TABLE = pd.DataFrame(
    {
        "age": GAPS[:, 0],
        "year": RNG.integers(1990, 2020, N),
        "city": RNG.choice(["Oslo", "Lima", "Pune"], N),
        "member": RNG.random(N) < 0.5,
        "income": RNG.lognormal(10, 1, N),
        "time": 1.7e9 + RNG.standard_normal(N),
    }
)
NUMBERS, ONE_HOT = ["age", "year", "income"], OneHotEncoder(handle_unknown="ignore")
TABLES = {
    "imputer": [(SimpleImputer(), NUMBERS), (ONE_HOT, ["city"])],
    "times": [(make_pipeline(SimpleImputer(), StandardScaler()), ["age", "time"]), (ONE_HOT, ["city"])],
    "bins": [(make_pipeline(SimpleImputer(), KBinsDiscretizer(4)), NUMBERS), (ONE_HOT, ["year", "city"])],
    "polynomial": [(make_pipeline(SimpleImputer(), StandardScaler(), PolynomialFeatures()), NUMBERS)],
    "union": [(make_pipeline(SimpleImputer(), make_union(StandardScaler(), PCA(2))), NUMBERS)],
    "ordinal": [(OrdinalEncoder(), ["city", "member"]), ("passthrough", ["income", "year"])],
    "types": [("passthrough", ["member", "income", "year"]), (ONE_HOT, ["city", "member"])],
    "strings": [
        (make_pipeline(SimpleImputer(strategy="most_frequent"), ONE_HOT), ["city"]),
        (SimpleImputer(), NUMBERS),
    ],
    "a string": [
        (make_pipeline(SimpleImputer(missing_values="Lima", strategy="most_frequent"), ONE_HOT), ["city"]),
        ("drop", ["age"]),
    ],
    "positions": [(SimpleImputer(), [0, 1]), (ONE_HOT, [2])],
}


def columns_of(exported, table):
    """The columns that a graph reads, in the types of its inputs."""
    to_numpy = onnx.helper.tensor_dtype_to_np_dtype
    types = {one.name: to_numpy(one.type.tensor_type.elem_type) for one in exported.graph.input}
    return {name: np.asarray(table[name]).astype(dtype)[:, None] for name, dtype in types.items()}


@pytest.mark.parametrize(("kind", "given"), [*product(TABLES, FLOATS)])
def test_the_graph_of_a_mixed_table_agrees_and_its_inputs_have_the_types_of_the_columns(kind, given):
    pytest.importorskip("skl2onnx")
    table = TABLE.astype({"age": given, "income": given, "time": given})
    fitted = make_pipeline(make_column_transformer(*TABLES[kind]), quick()).fit(table, CODES)
    exported = to_onnx(fitted, table)
    inputs = columns_of(exported, table)
    assert [inputs[name].dtype for name in ("age", "year", "member")] == [given, np.int64, bool]
    label, probabilities = run(exported, inputs)
    np.testing.assert_allclose(probabilities, fitted.predict_proba(table), rtol=0, atol=1e-5)
    assert label.tolist() == fitted.predict(table).tolist()


JOINED = {
    "scaler": StandardScaler(),
    "neighbors": KNNImputer(),
    "union": make_union(MinMaxScaler(), PCA(2)),
    "power": PowerTransformer(),
    "bins": KBinsDiscretizer(3),
    "frames": make_pipeline(SimpleImputer().set_output(transform="pandas"), StandardScaler(), Binarizer()),
}
"""Steps that read a whole frame; skl2onnx exports most of them for one array only."""


@pytest.mark.parametrize("kind", JOINED)
def test_the_columns_of_a_frame_keep_their_names_and_types_for_each_step(kind):
    pytest.importorskip("skl2onnx")
    names = ["sepal length (cm)", "variable", "tinyclf", "X"]
    frame = pd.DataFrame({name: X[:, i] for i, name in enumerate(names)})
    frame["variable"] = (10 * X[:, 1]).astype(int)
    fitted = make_pipeline(JOINED[kind], quick()).fit(frame, CODES)
    exported = to_onnx(fitted, frame)
    inputs = columns_of(exported, frame)
    assert [(name, column.dtype) for name, column in inputs.items()] == [*frame.dtypes.items()]
    (found,) = run(exported, inputs, "probabilities")
    np.testing.assert_allclose(found, fitted.predict_proba(frame), rtol=0, atol=1e-5)


@pytest.mark.parametrize("names", [["a", "a"], ["a", "label"], ["probabilities", "b"]])
def test_columns_with_the_same_name_or_that_of_an_output_are_refused(names):
    pytest.importorskip("skl2onnx")
    fitted = make_pipeline(StandardScaler(), quick()).fit(X[:, :2], CODES)
    with pytest.raises(ValueError, match=r"columns of X must have different names, .*; rename them"):
        to_onnx(fitted, pd.DataFrame(X[:, :2], columns=names))


def test_rows_may_be_a_polars_frame_a_list_or_sparse():
    pytest.importorskip("skl2onnx")
    columns = make_column_transformer((SimpleImputer(), ["age", "income"]), (ONE_HOT, ["city"]))
    table = pl.DataFrame({name: TABLE[name].to_list() for name in ("age", "income", "city")})
    fitted = make_pipeline(columns, quick()).fit(table, CODES)
    exported = to_onnx(fitted, table)
    (found,) = run(exported, columns_of(exported, table), "probabilities")
    np.testing.assert_allclose(found, fitted.predict_proba(table), rtol=0, atol=1e-6)
    fitted = make_pipeline(MaxAbsScaler(), quick()).fit(scipy.sparse.csr_array(X), CODES)
    check(fitted, X, to_onnx(fitted, scipy.sparse.csr_array(X)))
    check(fitted, X, to_onnx(fitted, X.tolist()))


def dask_array(X):
    return pytest.importorskip("dask.array").from_array(X, chunks=(500, 2))


def dask_frame(X):
    columns = [f"x{i}" for i in range(N_IN)]
    return pytest.importorskip("dask.dataframe").from_pandas(pd.DataFrame(X, columns=columns), npartitions=2)


def narwhals_frame(X):
    return pytest.importorskip("narwhals").from_native(pl.DataFrame(X))


@pytest.mark.parametrize("kind", [ArrayOnly, dask_array, dask_frame, narwhals_frame])
def test_rows_in_another_container_are_read_as_an_array(kind):
    pytest.importorskip("skl2onnx")
    fitted = make_pipeline(StandardScaler(), quick()).fit(X, CODES)
    rows = np.tile(X, (11, 1))
    assert len(rows) > ROWS
    check(fitted, X, to_onnx(fitted, kind(rows)))


# --- versions of the operators ------------------------------------------------------------------------

NEWEST = onnx.defs.onnx_opset_version()


@pytest.mark.parametrize("version", [13, 15, 18, 21])
@pytest.mark.parametrize("n_members", [1, 3])
def test_the_version_of_the_operators_can_be_set(version, n_members):
    pytest.importorskip("skl2onnx")
    classifier = quick(n_members=n_members).fit(X, MANY)
    pipeline = make_pipeline(StandardScaler(), quick(n_members=n_members)).fit(X, CODES // 2)
    for fitted in (classifier, pipeline):
        exported = to_onnx(fitted, X, target_opset=version)
        check(fitted, X, exported)
        found = {entry.domain: entry.version for entry in exported.opset_import}[""]
        assert found == version if fitted is classifier else 13 <= found <= version


def test_a_dict_sets_the_version_of_the_machine_learning_operators():
    pytest.importorskip("skl2onnx")
    fitted = make_pipeline(SimpleImputer(), OneHotEncoder(handle_unknown="ignore"), quick())
    fitted.fit(X.round(), CODES)
    for target in ({"": 17, "ai.onnx.ml": 3}, {"": 17}, {"ai.onnx.ml": 2}, {"": np.int64(13)}):
        exported = to_onnx(fitted, X.round(), target_opset=target)
        versions = {entry.domain: entry.version for entry in exported.opset_import}
        assert versions[""] <= target.get("", 13)
        assert versions["ai.onnx.ml"] <= target.get("ai.onnx.ml", 3)


@pytest.mark.parametrize(
    "target", [12, NEWEST + 1, True, 13.5, "18", [13], {"": 12}, {"ai.onnx.ml": 1}, {"": 18, "other": 1}]
)
def test_versions_that_are_not_supported_are_refused(target):
    with pytest.raises(ValueError, match=rf"target_opset .* from 13 to {NEWEST}, .* got "):
        to_onnx(quick().fit(X, CODES), target_opset=target)


def test_a_newer_version_is_used_where_a_step_needs_it():
    pytest.importorskip("skl2onnx")
    fitted = make_pipeline(KNNImputer(), quick()).fit(UNTIED_GAPS, CODES)
    assert {e.domain: e.version for e in to_onnx(fitted, UNTIED_GAPS).opset_import}[""] == 18
    with pytest.raises(
        ValueError, match=r"'knnimputer' \(KNNImputer\).* opset 13 .*leave target_opset unset"
    ):
        to_onnx(fitted, UNTIED_GAPS, target_opset=13)


# --- the check of the graph ---------------------------------------------------------------------------


def changed_activation(monkeypatch, factor):
    """Let the graphs multiply the outputs of relu by a factor."""

    def relu(graph, x, p, dtype):
        x = graph.add("Mul", graph.add("Relu", x), np.asarray(2.0, dtype))  # factors near 1 are removed
        return graph.add("Mul", x, np.asarray(factor / 2.0, dtype))

    monkeypatch.setitem(OPERATORS, ReLU, relu)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize(
    ("y", "n_members"),
    [(CODES // 2, 1), (CODES, 1), (MANY, 1), (CODES // 2, 2), (CODES, 2)],
    ids=["two", "three", "several", "two, members", "three, members"],
)
def test_a_graph_that_differs_by_more_than_rounding_is_refused(y, n_members, dtype, runtime, monkeypatch):
    fitted, eps = quick(dtype=dtype, max_iter=20, n_members=n_members).fit(X, y), np.finfo(dtype).eps
    for factor in (1.0, 1.0 + eps):
        changed_activation(monkeypatch, factor)
        assert run(to_onnx(fitted, X), X)[0].shape == y.shape
        assert to_onnx(fitted).graph.node
    for factor in (1.0 + 5000 * eps, np.nan, 0.5):
        changed_activation(monkeypatch, factor)
        for rows in (X, X.astype(np.float32), None):
            with pytest.raises(ValueError, match="cannot export this TinyClassifier: the prob.* differ by"):
                to_onnx(fitted, rows)


@pytest.mark.parametrize("dtype", FLOATS)
def test_the_probabilities_of_members_may_be_rounded_as_far_as_their_logits(dtype, monkeypatch):
    pytest.importorskip("skl2onnx")
    fitted, scaled = (quick(n_members=2, dtype=dtype, calibrate=False) for _ in range(2))
    for model in (fitted.fit(X, CODES), make_pipeline(StandardScaler(), scaled).fit(X, CODES)):
        network = (fitted if model is fitted else scaled).network_
        network.parameters[-1].b += 1e4  # in the logits of all classes of each member
        assert np.abs(model.decision_function(X)).max() < 10  # those of the mean probabilities
        changed_activation(monkeypatch, 1 + 100 * np.finfo(dtype).eps)
        assert to_onnx(model, X).graph.node


def test_a_graph_with_other_labels_is_refused(runtime, monkeypatch):
    add = Graph.add

    def wrong(graph, operator, *inputs, **more):
        return add(graph, "ArgMin" if operator == "ArgMax" else operator, *inputs, **more)

    monkeypatch.setattr(Graph, "add", wrong)
    fitted = quick().fit(X, np.array(["a", "b", "c"])[CODES])
    with pytest.raises(ValueError, match=r"the label of the graph in row \d+ is '.' instead of '.'"):
        to_onnx(fitted, X)


def test_a_graph_that_does_not_load_is_refused(runtime, monkeypatch):
    monkeypatch.setitem(OPERATORS, ReLU, lambda graph, x, p, dtype: graph.add("Unknown", x))
    with pytest.raises(ValueError, match="cannot export this TinyClassifier: the graph does not load: "):
        to_onnx(quick().fit(X, CODES))


def test_pipelines_are_exported_without_onnxruntime(monkeypatch):
    pytest.importorskip("skl2onnx")
    columns = make_column_transformer(*TABLES["bins"])
    fitted = make_pipeline(columns, quick()).fit(TABLE, np.array(["ä", "b", "c"])[CODES])
    expected = to_onnx(fitted, TABLE).SerializeToString()
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert to_onnx(fitted, TABLE).SerializeToString() == expected


def test_the_warning_names_an_operator_that_the_reference_evaluator_lacks(monkeypatch):
    pytest.importorskip("skl2onnx")
    texts = ["good film", "bad film", "a good one"] * 5
    fitted = make_pipeline(CountVectorizer(lowercase=False), quick()).fit(texts, [1, 0, 1] * 5)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.warns(UserWarning, match="not compared .*'Tokenizer'.* install onnxruntime") as caught:
        exported = to_onnx(fitted, texts)
    assert caught[0].filename == __file__
    monkeypatch.undo()
    (found,) = run(exported, np.array(texts), "probabilities")
    np.testing.assert_allclose(found, fitted.predict_proba(texts), rtol=0, atol=1e-6)


def test_rows_that_the_model_rejects_are_refused():
    with pytest.raises(ValueError, match="inf at row"):
        to_onnx(quick().fit(X, CODES), np.where(np.isnan(GAPS), np.inf, X))


def test_a_pipeline_without_rows_is_loaded_but_does_not_predict():
    pytest.importorskip("skl2onnx")
    rows = 1.0 + np.arange(N * 2).reshape(N, 2) % 3  # an encoder that does not know 0
    fitted = make_pipeline(OneHotEncoder(), quick()).fit(rows, CODES)
    check(fitted, rows.astype(np.float32), to_onnx(fitted))


# --- what is refused ----------------------------------------------------------------------------------


class CustomDense(Dense):
    """A subclass, whose forward may differ."""


class CustomLoss(SoftmaxCrossEntropy):
    """A subclass, whose probabilities may differ."""


class MLPClassifier(TinyClassifier):
    """A subclass with the name of scikit-learn's class."""


class CustomFit(TinyClassifier):
    """A subclass that predicts like TinyClassifier."""

    def fit(self, X, y):
        return super().fit(X, y)


class CustomClassifier(TinyClassifier):
    """A subclass that predicts otherwise."""

    def predict_proba(self, X):
        return super().predict_proba(X) ** 2


class Sub(CustomClassifier):
    """A subclass that inherits other predictions."""


class CustomDropout(Dropout):
    """A subclass, which may drop units in prediction."""


class CustomScaler(StandardScaler):
    """A subclass, which skl2onnx does not support."""


@pytest.mark.parametrize("layer", [Swish(), PReLU(), LayerNorm(), CustomDense(4), CustomDropout(0.1)])
def test_the_error_names_an_unsupported_layer(layer):
    assert isinstance(layer, Layer)
    fitted = quick(activation=[["relu", layer]], hidden_layer_sizes=8, n_members=1).fit(X, CODES)
    name = type(layer).__name__
    known = "layers Dense, SharedDense, MemberDense, ReLU, .*, Dropout"
    with pytest.raises(TypeError, match=f"{known}, got {name}"):
        to_onnx(fitted)


UNKNOWN_LOSSES = [loss for loss in LOSSES if type(loss) not in (*KNOWN_LOSSES, MemberLoss)]


@pytest.mark.parametrize("loss", [CustomLoss(), *UNKNOWN_LOSSES])
def test_the_error_names_an_unsupported_loss(loss):
    fitted = quick(loss=loss).fit(X / 10, CODES)
    known = "losses SoftmaxCrossEntropy, SigmoidCrossEntropy"
    with pytest.raises(TypeError, match=f"{known}, got {type(loss).__name__}"):
        to_onnx(fitted)


def test_the_error_names_an_object_that_cannot_be_exported():
    for fitted in (
        GridSearchCV(quick(), {"alpha": [0.1]}, cv=2).fit(X, CODES),
        make_pipeline(StandardScaler(), LogisticRegression()).fit(X, CODES),
        quick().fit(X, CODES).network_,
        TinyClassifier,
    ):
        last = fitted[-1] if hasattr(fitted, "steps") else fitted
        name = "type" if fitted is TinyClassifier else type(last).__name__
        with pytest.raises(TypeError, match=f"Pipeline.* not {name}"):
            to_onnx(fitted)


@pytest.mark.parametrize("cls", [MLPClassifier, CustomFit])
def test_a_subclass_that_predicts_like_tinyclassifier_is_exported(cls):
    check(cls(max_iter=2, random_state=0).fit(X, CODES), X)
    pytest.importorskip("skl2onnx")
    pipeline = make_pipeline(StandardScaler(), cls(max_iter=2, random_state=0)).fit(X, CODES)
    check(pipeline, X)


@pytest.mark.parametrize("name", ["predict", "predict_proba", "decision_function", "_outputs", "classes_"])
def test_a_subclass_that_overrides_a_prediction_is_refused(name):
    cls = type("Other", (TinyClassifier,), {name: vars(TinyClassifier)[name]})
    fitted = cls(max_iter=2).fit(X, CODES)
    for one in (fitted, make_pipeline(fitted)):
        with pytest.raises(TypeError, match=f"Other, which overrides {name}; export a TinyClassifier"):
            to_onnx(one)
    with pytest.raises(TypeError, match="Sub, which overrides predict_proba"):
        to_onnx(Sub(max_iter=2).fit(X, CODES))


ABSOLUTE = FunctionTransformer(np.abs)
BINS = make_pipeline(StandardScaler(), KBinsDiscretizer(5))


@pytest.mark.parametrize(
    ("steps", "named"),
    [
        (
            [CustomScaler()],
            r"step 'customscaler' \(CustomScaler\) of the pipeline: skl2onnx cannot convert it",
        ),
        ([StandardScaler(), ABSOLUTE], r"step 'functiontransformer' \(FunctionTransformer\) of"),
        (
            [make_union(StandardScaler(), make_pipeline(MinMaxScaler(), ABSOLUTE))],
            r"'functiontransformer' \(FunctionTransformer\) in 'pipeline' in 'featureunion' of",
        ),
        (
            [make_column_transformer((SimpleImputer(), [0, 1]), (ABSOLUTE, [2]))],
            r"'functiontransformer' \(FunctionTransformer\) in 'columntransformer' of",
        ),
    ],
)
@pytest.mark.parametrize("passed", [True, False])
def test_the_error_names_an_unsupported_step(steps, named, passed):
    pytest.importorskip("skl2onnx")
    fitted = make_pipeline(*steps, quick()).fit(X, CODES)
    with pytest.raises(ValueError, match=f"{named}.* To fix it, use another step"):
        to_onnx(fitted, X if passed else None)
    inner = make_pipeline(MinMaxScaler(), make_pipeline(*steps, quick())).fit(X, CODES)
    with pytest.raises(ValueError, match=named.replace(" of", " in 'pipeline' of").split(" of ")[0]):
        to_onnx(inner, X if passed else None)


def test_the_error_names_a_step_that_rounds_otherwise_and_the_type_that_helps():
    """The edges of bins are scaled entries, which another rounding moves to the other side of the edge."""
    pytest.importorskip("skl2onnx")
    rows, y = load_iris(return_X_y=True)
    rows = rows.astype(np.float32)
    fitted = make_pipeline(StandardScaler(), KBinsDiscretizer(5), quick()).fit(rows, y)
    with pytest.raises(ValueError, match=r"'kbinsdiscretizer' \(KBinsD.* To fix it, pass float64 rows"):
        to_onnx(fitted, rows)
    check(fitted, rows.astype(np.float64))


@pytest.mark.parametrize(
    ("column", "error", "named"),
    [
        (["a", None, "b", "c"] * 50, ValueError, "column 'city' .* in row 1; replace missing values by"),
        (pd.date_range("2020-01-01", periods=N), TypeError, "column 'city' .* Timestamp.* convert or drop"),
    ],
)
def test_the_error_names_a_column_that_onnx_cannot_hold(column, error, named):
    pytest.importorskip("skl2onnx")
    table = pd.DataFrame({"age": X[:, 0], "city": column})
    encoded = make_column_transformer((StandardScaler(), ["age"]), (OneHotEncoder(), ["city"]))
    fitted = make_pipeline(encoded, quick()).fit(table, CODES)
    with pytest.raises(error, match=named):
        to_onnx(fitted, table)


def test_an_unfitted_model_is_refused():
    for unfitted in (quick(), make_pipeline(StandardScaler(), quick())):
        with pytest.raises(NotFittedError):
            to_onnx(unfitted)


@pytest.mark.parametrize(
    ("classes", "shown"),
    [
        (np.array(["2020", "2021"], dtype="M8[Y]"), "datetime64"),
        (np.array([0.5, 1.5]), "0.5"),
        (np.array([1, 2**63], dtype=np.uint64), "9223372036854775808"),
        (np.array([1.0, 1e300]), "1e.300"),
    ],
)
def test_labels_that_onnx_cannot_hold_are_refused(classes, shown):
    fitted = quick().partial_fit(X, classes[CODES // 2], classes=classes)
    with pytest.raises(ValueError, match=rf"labels.* got .*{shown}"):
        to_onnx(fitted)


@pytest.mark.parametrize("package", ["onnx", "skl2onnx"])
def test_the_error_for_a_missing_package_names_it_and_the_fix(package, monkeypatch):
    fitted = make_pipeline(StandardScaler(), quick()).fit(X, CODES)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=rf"needs {package}, .*: pip install onnx skl2onnx$"):
        to_onnx(fitted)


def test_several_labels_with_names_are_a_matrix_of_numbers_and_the_names_are_in_the_metadata():
    names = ["sport", "news", "art", "food"]
    fitted = quick().fit(X, pd.DataFrame(MANY, columns=names))
    pipeline = make_pipeline(StandardScaler(), quick()).fit(X, pd.DataFrame(MANY, columns=names))
    for model in (fitted, pipeline):
        exported = to_onnx(model, X)
        check(model, X, exported)
        assert json.loads({p.key: p.value for p in exported.metadata_props}["classes"]) == names
