"""ONNX export: the graph gives the predictions of the model in onnxruntime; other models are refused."""

import json
import os
import subprocess
import sys
from itertools import product

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from sklearn.compose import make_column_transformer
from sklearn.datasets import make_multilabel_classification
from sklearn.exceptions import NotFittedError
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

from tests.support.estimators import quick
from tests.support.parts import LAYERS, LOSSES, LayerNorm, PReLU, RMSprop, Swish, n_classes
from tinyclf import (
    GELU,
    SKLEARN_DEFAULTS,
    Dense,
    Dropout,
    Layer,
    Logistic,
    ReLU,
    SigmoidCrossEntropy,
    SoftmaxCrossEntropy,
    Tanh,
    TinyClassifier,
    to_onnx,
)
from tinyclf.estimator.calibration import Calibration
from tinyclf.nn.layers import ACTIVATIONS

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


def run(exported, X, *outputs):
    """The outputs of onnxruntime for rows, or for inputs by name."""
    onnx.checker.check_model(exported, full_check=True)
    session = onnxruntime.InferenceSession(exported.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(list(outputs) or None, X if isinstance(X, dict) else {"X": X})


def check(fitted, X, exported=None):
    """Check that the graph gives the same labels, and probabilities within the documented tolerance."""
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
    np.testing.assert_allclose(probabilities, expected, rtol=0, atol=atol)
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


@pytest.mark.parametrize("dtype", FLOATS)
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
        ({"dropout": 0.5}, CODES),
        ({"solver": "lbfgs"}, CODES),
        ({"solver": RMSprop(), "learning_rate": lambda progress: 1 - progress}, CODES),
        ({**SKLEARN_DEFAULTS, "max_iter": 5, "random_state": 0}, CODES // 2),
    ],
)
def test_the_graph_agrees_for_each_kind_of_labels_loss_and_network(parameters, y, dtype):
    fitted = quick(**{**parameters, "dtype": dtype}).fit(X, y)
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


@pytest.mark.parametrize(("offset", "dtype", "given"), [*product([30, 900, 1e4, 1e6], FLOATS, FLOATS)])
def test_the_graph_agrees_for_columns_with_a_large_offset(offset, dtype, given):
    rows = (offset + RNG.standard_normal((N, N_IN))).astype(given)
    check(quick(dtype=dtype).fit(rows, CODES), rows)


def test_a_graph_for_float64_keeps_digits_that_float32_loses():
    rows = 1e8 + RNG.standard_normal((N, N_IN))
    fitted = quick().fit(rows, (rows[:, 0] > 1e8).astype(int))
    check(fitted, rows)
    assert np.unique(run(to_onnx(fitted), rows.astype(np.float32), "probabilities")[0]).size < 20


def test_the_graph_agrees_after_partial_fits_and_after_a_second_fit():
    fitted = quick()
    for start in (0, 50, 100, 150):
        fitted.partial_fit(start + X[start : start + 50], CODES[start : start + 50], classes=[0, 1, 2])
    check(fitted, hard_rows(True, "float64"))
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
    fitted, plain = (quick(dtype=dtype, max_iter=40, calibrate=c).fit(X, y) for c in (True, False))
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
def test_the_graph_agrees_for_a_model_that_predicts_the_class_frequencies(y, dtype):
    fitted = quick(dtype=dtype).fit(X, y)
    fitted._state.calibration = Calibration(0.0, logits_of_frequencies(y))
    rows = hard_rows(True, dtype)
    check(fitted, rows)
    p = y.mean(axis=0) if y.ndim == 2 else np.bincount(y) / N
    np.testing.assert_allclose(run(to_onnx(fitted), rows)[1], np.tile(p, (len(rows), 1)), rtol=1e-6)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("y", [CODES // 2, CODES, MANY], ids=["two", "three", "several"])
def test_a_small_probability_keeps_its_digits(y, dtype):
    fitted = quick(dtype=dtype, calibrate=False).fit(X, y)
    fitted.coefs_[-1] = fitted.coefs_[-1] * 60 / np.abs(fitted.decision_function(X)).max()
    (found,) = run(to_onnx(fitted), X.astype(dtype), "probabilities")
    expected = fitted.predict_proba(X.astype(dtype))
    assert expected.min() < 1e-18
    np.testing.assert_allclose(found, expected, rtol=1e-4 if dtype == "float32" else 1e-12)


@pytest.mark.parametrize(
    ("y", "loss"),
    [
        (CODES // 2, "log_loss"),
        (CODES // 2, "softmax_cross_entropy"),
        (CODES, "log_loss"),
        (MANY, "log_loss"),
    ],
)
@pytest.mark.parametrize("last", [-1e-9, 0.0, 1e-9])
def test_ties_and_probabilities_that_round_to_ties_get_the_same_label(y, loss, last):
    fitted = quick(loss=loss, calibrate=False).fit(X, y)
    fitted.coefs_[-1] = np.zeros_like(fitted.coefs_[-1])
    fitted.intercepts_[-1] = np.zeros_like(fitted.intercepts_[-1])
    fitted.intercepts_[-1][-1] = last
    check(fitted, X[:3])
    label, probabilities = run(to_onnx(fitted), X[:3].astype(np.float32))
    assert (
        probabilities[:, -1] == probabilities[0, 0]
    ).all()  # the labels may differ although the probabilities are equal
    assert (label.reshape(3, -1)[:, -1].max() > 0) == (last > 0)


@pytest.mark.parametrize("dtype", FLOATS)
def test_the_graph_is_as_accurate_as_the_model_where_float32_is_not_exact(dtype):
    rows = X * 300
    fitted = quick(scale_inputs=False, learning_rate_init=1e-3, dtype=dtype).fit(rows, CODES)
    z = fitted.network_.copy("float64").logits(rows)
    assert fitted.calibration_ < 1
    truth = fitted.plan_.loss.probabilities(fitted._state.calibration.apply(z))
    ours = np.abs(fitted.predict_proba(rows) - truth).max()
    (found,) = run(to_onnx(fitted, rows), rows, "probabilities")
    assert np.abs(found - truth).max() <= max(1e-6, 4 * ours)


@pytest.mark.parametrize("y", [CODES // 2, MANY], ids=["two", "several"])
@pytest.mark.parametrize("n", [0, 1, 3])
def test_the_graph_accepts_any_number_of_rows(n, y):
    fitted = quick().fit(X, y)
    label, probabilities = run(to_onnx(fitted), X[:n].astype(np.float32))
    assert label.shape == (n, *y.shape[1:])
    assert probabilities.shape == (n, len(fitted.classes_))


@pytest.mark.parametrize("y", [CODES // 2, np.array(["a", "b", "c"])[CODES], MANY], ids=["2", "3", "several"])
def test_another_runtime_agrees(y):
    from onnx.reference import ReferenceEvaluator

    fitted = quick(dtype="float64", activation="logistic").fit(X, y)
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


def test_the_graph_has_a_cast_only_where_types_differ():
    def casts(dtype, given):
        exported = to_onnx(quick(dtype=dtype).fit(X, CODES), X.astype(given))
        return sum(node.op_type == "Cast" for node in exported.graph.node)

    assert [casts(*types) for types in product(FLOATS, FLOATS)] == [0, 1, 1, 0]


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


# --- pipelines ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("dtype", "given"), [*product(FLOATS, FLOATS)])
@pytest.mark.parametrize(
    "y", [CODES // 2, np.array(["ää", "äb", "b"])[CODES], MANY], ids=["2", "3", "several"]
)
def test_the_graph_of_a_pipeline_agrees(y, dtype, given):
    pytest.importorskip("skl2onnx")
    fitted = make_pipeline(StandardScaler(), quick(dtype=dtype)).fit(X, y)
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


# --- what is refused ----------------------------------------------------------------------------------


class CustomDense(Dense):
    """A subclass, whose forward may differ."""


class CustomLoss(SoftmaxCrossEntropy):
    """A subclass, whose probabilities may differ."""


class CustomClassifier(TinyClassifier):
    """A subclass, whose predictions may differ."""


class CustomDropout(Dropout):
    """A subclass, which may drop units in prediction."""


class CustomScaler(StandardScaler):
    """A subclass, which skl2onnx does not support."""


@pytest.mark.parametrize("layer", [Swish(), PReLU(), LayerNorm(), CustomDense(4), CustomDropout(0.1)])
def test_the_error_names_an_unsupported_layer(layer):
    assert isinstance(layer, Layer)
    fitted = quick(activation=[["relu", layer]], hidden_layer_sizes=8).fit(X, CODES)
    name = type(layer).__name__
    with pytest.raises(TypeError, match=f"layers Dense, ReLU, .*, Dropout, got {name}"):
        to_onnx(fitted)


@pytest.mark.parametrize("loss", [CustomLoss(), *(loss for loss in LOSSES if type(loss) not in KNOWN_LOSSES)])
def test_the_error_names_an_unsupported_loss(loss):
    fitted = quick(loss=loss).fit(X / 10, CODES)
    known = "losses SoftmaxCrossEntropy, SigmoidCrossEntropy"
    with pytest.raises(TypeError, match=f"{known}, got {type(loss).__name__}"):
        to_onnx(fitted)


def test_the_error_names_an_object_that_cannot_be_exported():
    for fitted in (
        GridSearchCV(quick(), {"alpha": [0.1]}, cv=2).fit(X, CODES),
        CustomClassifier(max_iter=2).fit(X, CODES),
        make_pipeline(StandardScaler(), LogisticRegression()).fit(X, CODES),
        quick().fit(X, CODES).network_,
        TinyClassifier,
    ):
        last = fitted[-1] if hasattr(fitted, "steps") else fitted
        name = "type" if fitted is TinyClassifier else type(last).__name__
        with pytest.raises(TypeError, match=f"Pipeline.* not {name}"):
            to_onnx(fitted)


def test_the_error_names_an_unsupported_step():
    pytest.importorskip("skl2onnx")
    for step, name in (
        (CustomScaler(), "CustomScaler"),
        (FunctionTransformer(np.abs), "FunctionTransformer"),
    ):
        with pytest.raises(RuntimeError, match=name):
            to_onnx(make_pipeline(step, quick()).fit(X, CODES), X)


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
    with pytest.raises(ImportError, match=rf"needs {package}, .*pip install 'tinyclf\[onnx\]'"):
        to_onnx(fitted)


def test_several_labels_with_names_are_a_matrix_of_numbers_and_the_names_are_in_the_metadata():
    names = ["sport", "news", "art", "food"]
    fitted = quick().fit(X, pd.DataFrame(MANY, columns=names))
    pipeline = make_pipeline(StandardScaler(), quick()).fit(X, pd.DataFrame(MANY, columns=names))
    for model in (fitted, pipeline):
        exported = to_onnx(model, X)
        check(model, X, exported)
        assert json.loads({p.key: p.value for p in exported.metadata_props}["classes"]) == names
