"""Determinism: the same seed and data give the same weights, bit for bit, in every process."""

import copy
import hashlib
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse
from sklearn.base import clone
from sklearn.datasets import load_digits
from threadpoolctl import threadpool_limits

from tests.support.bits import shown
from tests.support.data import IRIS, SPECIES
from tests.support.estimators import PARAMETERS, named, quick
from tests.support.parts import LayerNorm, PReLU
from tests.support.threads import at_once
from tinyclf import (
    SGD,
    Adam,
    Dense,
    Dropout,
    MemberDense,
    MemberLoss,
    Network,
    ReLU,
    SharedDense,
    SigmoidCrossEntropy,
    SoftmaxCrossEntropy,
    Tanh,
    TinyClassifier,
    train,
)
from tinyclf.nn import threads
from tinyclf.nn.schedules import constant, cosine, flat_cosine

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore::tinyclf.nn.errors.TrainingWarning"),
    pytest.mark.promise("the same seed gives the same bits"),
]

DIGITS, LABELS = (data[:1024] for data in load_digits(return_X_y=True))
SPARSE = scipy.sparse.csr_array(np.where(DIGITS > 14, DIGITS, 0.0))
WEIGHTS = np.random.default_rng(0).uniform(0.5, 2.0, len(LABELS))
WORDS = np.array(["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"])[LABELS]


# --- one process -------------------------------------------------------------------------------------------

WAYS = {
    "again": lambda model: TinyClassifier(**model.get_params(deep=False)),
    "clone": clone,
    "clone of the fitted": lambda model: clone(copy.deepcopy(model).fit(IRIS, SPECIES)),
    "pickle": lambda model: pickle.loads(pickle.dumps(model)),
    "pickle of the fitted": lambda model: pickle.loads(pickle.dumps(copy.deepcopy(model).fit(IRIS, SPECIES))),
    "set_params": lambda model: clone(model).set_params(**model.get_params(deep=False)),
    "fitted to other data before": lambda model: clone(model).fit(-IRIS[::-1], SPECIES),
}


def fitted(model):
    """The attributes of a fit as plain data, without the parameters, whose byte order pickle may change."""
    other = copy.copy(model)
    vars(other).update(dict.fromkeys(model.get_params(deep=False)))
    return shown(other)


OBJECTS = [p for p in PARAMETERS if not all(type(value) in (str, int, bool) for value in p.values())]


@pytest.mark.parametrize("name", WAYS)
@pytest.mark.parametrize(
    "parameters", [{}, {"solver": "lbfgs"}, {"solver": SGD(0.1, 0.9), "dropout": 0.2}], ids=named
)
def test_a_fit_does_not_depend_on_how_the_model_was_made(parameters, name):
    made = WAYS[name](quick(**parameters))
    assert fitted(made.fit(IRIS, SPECIES)) == fitted(quick(**parameters).fit(IRIS, SPECIES))


@pytest.mark.parametrize("parameters", [p for p in OBJECTS if "random_state" not in p], ids=named)
def test_a_fit_does_not_change_the_objects_in_its_parameters(parameters):
    expected = fitted(quick(**parameters).fit(IRIS, SPECIES))
    used = clone(pickle.loads(pickle.dumps(quick(**parameters).fit(-IRIS[::-1], SPECIES))))
    assert fitted(used.fit(IRIS, SPECIES)) == expected


def test_the_seed_determines_all_randomness():
    """The seed is a number or a RandomState. Another seed, or none, changes every weight."""

    def theta(seed):
        return quick(dropout=0.2, random_state=seed).fit(IRIS, SPECIES).network_.theta

    np.testing.assert_array_equal(theta(3), theta(3))
    np.testing.assert_array_equal(theta(3), theta(np.int64(3)))
    np.testing.assert_array_equal(theta(np.random.RandomState(3)), theta(np.random.RandomState(3)))
    assert (theta(3) != theta(4)).all()
    assert (theta(None) != theta(None)).all()


@pytest.mark.parametrize("warm_start", [False, True])
@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
def test_continued_training_is_the_same_with_pickling_in_between(solver, warm_start):
    def train_on(model, between):
        model.fit(DIGITS[:300], LABELS[:300])
        for start in (0, 300, 600):
            model = between(model)
            rows = slice(start, start + 300)
            if warm_start or solver == "lbfgs":
                model.fit(DIGITS[rows], LABELS[rows])
            else:
                model.partial_fit(DIGITS[rows], LABELS[rows])
        return shown(model)

    def new():
        dropout = 0.0 if solver == "lbfgs" else 0.3
        return quick(solver=solver, dropout=dropout, warm_start=warm_start, early_stopping=False)

    expected = train_on(new(), lambda model: model)
    assert train_on(new(), lambda model: pickle.loads(pickle.dumps(model))) == expected
    assert train_on(new(), copy.deepcopy) == expected


ORDERS = {
    "Fortran": np.asfortranarray,
    "strided": lambda X: np.repeat(np.repeat(X, 2, axis=0), 3, axis=1)[::2, ::3],
    "negative strides": lambda X: X[::-1, ::-1].copy()[::-1, ::-1],
    "read-only": lambda X: np.frombuffer(X.tobytes(), X.dtype).reshape(X.shape),
    "unaligned": lambda X: np.frombuffer(b"12345678" + X.tobytes(), X.dtype, offset=8).reshape(X.shape),
}


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
@pytest.mark.parametrize("dtype", ["float32", "float64", None])
@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_the_memory_layout_of_the_rows_does_not_matter(kind, dtype, solver):
    X, y = DIGITS[::4].astype(kind), LABELS[::4]
    expected = quick(dtype=dtype, solver=solver).fit(X, y)
    for name, order in ORDERS.items():
        model = quick(dtype=dtype, solver=solver).fit(order(X), y)
        assert shown(model) == shown(expected), name
        assert shown(model.predict_proba(order(X))) == shown(expected.predict_proba(X)), name


def test_whole_numbers_give_the_result_of_equal_floats():
    X, y = DIGITS[::4], LABELS[::4]
    expected = shown(quick().fit(X, y))
    for kind in (np.int8, np.uint16, np.int64, object):
        assert shown(quick().fit(X.astype(kind), y)) == expected


# --- fit equals train --------------------------------------------------------------------------------------


def by_hand(model, layers, X, y, epochs=None, **options):
    """The training of `TinyClassifier.fit` with public functions and the same seed."""
    seed = np.random.RandomState(model.random_state).randint(2**32, size=4, dtype=np.uint32)
    init, training, _ = np.random.default_rng(seed).spawn(3)
    network = Network(layers, X.shape[1], dtype=model.dtype, seed=init)
    scaling = model._state.scaling
    X = X if scaling is None else model._state.encoding.rows(X, scaling, model.dtype)
    reports = train(network, X, y, seed=training, epochs=model.max_iter, alpha=model.alpha, **options)
    losses = [report.loss for report, _ in zip(reports, range(epochs or model.max_iter), strict=False)]
    return losses, network.theta


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("parameters", "layers", "options", "data"),
    [
        ({"scale_inputs": False}, [Dense(20), ReLU(), Dense(10)], {}, {}),
        (
            {"n_members": 3},
            [SharedDense(20, n_members=3), ReLU(), MemberDense(10, n_members=3)],
            {"loss": MemberLoss(SoftmaxCrossEntropy(), 3)},
            {"sample_weight": WEIGHTS},
        ),
        ({"max_grad_norm": 0.3}, [Dense(20), ReLU(), Dense(10)], {"max_grad_norm": 0.3}, {}),
        (
            {"activation": "tanh", "dropout": 0.4, "solver": "sgd", "learning_rate": "cosine"},
            [Dense(20), Tanh(), Dropout(0.4), Dense(10)],
            {"optimizer": SGD(0.02, 0.9, nesterov=True), "schedule": cosine},
            {},
        ),
        (
            {"hidden_layer_sizes": (9, 5), "activation": [PReLU(), [LayerNorm(), "relu"]], "alpha": 0.0},
            [Dense(9), PReLU(), Dense(5), LayerNorm(), ReLU(), Dense(10)],
            {},
            {"sample_weight": WEIGHTS},
        ),
        ({"hidden_layer_sizes": (), "shuffle": False}, [Dense(10)], {"shuffle": False}, {"X": SPARSE}),
        (
            {"label_smoothing": 0.1},
            [Dense(20), ReLU(), Dense(1)],
            {"loss": SigmoidCrossEntropy(0.1)},
            {"y": LABELS % 2},
        ),
        (
            {"hidden_layer_sizes": 600, "batch_size": 900, "max_iter": 2},
            [Dense(600), ReLU(), Dense(10)],
            {"batch_size": 900},
            {},
        ),
    ],
    ids=named,
)
def test_a_fit_equals_train(parameters, layers, options, data, dtype):
    data = {"X": DIGITS, "y": LABELS, **data}
    shared = {"hidden_layer_sizes": 20, "batch_size": 200, "max_iter": 4, "n_members": 1, "random_state": 5}
    off = {"early_stopping": False, "calibrate": False, "learning_rate": "constant"}
    model = TinyClassifier(**{**shared, **off, "dtype": dtype, **parameters}).fit(**data)
    defaults = {
        "optimizer": Adam(0.02, beta_2=0.95),
        "loss": SoftmaxCrossEntropy(),
        "batch_size": 200,
        "schedule": constant,
    }
    losses, theta = by_hand(model, layers, **data, **{**defaults, **options})
    assert losses == model.loss_curve_
    np.testing.assert_array_equal(theta, model.network_.theta)


def test_a_fit_with_held_out_rows_ends_like_train_on_all_rows():
    model = TinyClassifier(20, n_members=4, max_iter=6, calibrate=False, random_state=3).fit(DIGITS, LABELS)
    assert model.validation_scores_ is not None
    layers = [SharedDense(20, n_members=4), ReLU(), MemberDense(10, n_members=4)]
    loss = MemberLoss(SoftmaxCrossEntropy(), 4)
    options = {"optimizer": Adam(0.02, beta_2=0.95), "loss": loss, "schedule": flat_cosine}
    losses, theta = by_hand(
        model, layers, DIGITS, LABELS, model.best_epoch_, batch_size=len(DIGITS) // 16, **options
    )
    assert len(losses) == model.best_epoch_
    np.testing.assert_array_equal(theta, model.network_.theta)


# --- threads and processes ---------------------------------------------------------------------------------

# Networks with large products, for which BLAS keeps its threads, and small ones. With more than 10,000
# weights the steps of L-BFGS have sums outside of epochs whose bits can depend on the number of BLAS threads.
ONCE = {"early_stopping": False, "calibrate": False, "max_iter": 1}
CASES = {
    "wide": ({"hidden_layer_sizes": 600, "batch_size": 1024, **ONCE}, DIGITS, LABELS),
    "wide, float64": (
        {"hidden_layer_sizes": 600, "batch_size": 1024, **ONCE, "dtype": "float64"},
        DIGITS,
        LABELS,
    ),
    "deep": (
        {"hidden_layer_sizes": (100, 700), "dtype": "float64", "dropout": 0.2, **ONCE},
        DIGITS[:600],
        WORDS[:600],
    ),
    "lbfgs": ({"hidden_layer_sizes": 200, "solver": "lbfgs"}, DIGITS[:300], WORDS[:300]),
    "CSR": ({"hidden_layer_sizes": 30, "class_weight": {"one": 2.0, "two": 0.5}}, SPARSE, WORDS),
    "many columns": ({"dtype": "float64"}, np.resize(DIGITS, (100, 9300)), LABELS[:100]),
}


def digest(name):
    """A hash of the weights and of some predictions of a case."""
    parameters, X, y = CASES[name]
    model = quick(**parameters).fit(X, y)
    parts = [model.network_.theta, model.predict_proba(X[:600]), model.predict_proba(X[:1])]
    return hashlib.sha256(b"".join(part.tobytes() for part in parts)).hexdigest()


@pytest.fixture(scope="module")
def digests():
    """The digests of all cases, by the number of BLAS threads."""
    found = {}
    for n in (1, 2):
        with threadpool_limits(n, user_api="blas"):
            found[n] = {name: digest(name) for name in CASES}
    return found


def test_one_case_has_large_products():
    assert threads.LARGE <= 1024 * 600 * 64


@pytest.mark.parametrize("n", [1, 2])
@pytest.mark.parametrize("name", CASES)
def test_the_same_number_of_threads_gives_the_same_bits(name, n, digests):
    with threadpool_limits(n, user_api="blas"):
        assert digest(name) == digests[n][name]


# The means of 9,300 columns are computed before BLAS is limited to one thread.
SMALL = [name for name in CASES if not name.startswith("wide") and name != "many columns"]


@pytest.mark.parametrize("name", SMALL)
def test_a_small_network_does_not_depend_on_the_number_of_threads(name):
    parameters, X, y = CASES[name]
    thetas = []
    for n in (1, 2, 3):
        with threadpool_limits(n, user_api="blas"):
            thetas.append(quick(**parameters).fit(X, y).network_.theta)
    np.testing.assert_array_equal(thetas[1], thetas[0])
    np.testing.assert_array_equal(thetas[2], thetas[0])


@pytest.mark.parametrize("name", CASES)
def test_other_fits_and_predictions_at_the_same_time_do_not_matter_with_one_blas_thread(name, digests):
    stop = []
    small = quick().fit(IRIS, SPECIES)

    def other_work():
        while not stop:
            small.predict_proba(DIGITS[:300, :4])
            quick(max_iter=1).fit(IRIS, SPECIES)

    def work():
        try:
            return digest(name)
        finally:
            stop.append(True)

    with threadpool_limits(1, user_api="blas"):
        assert at_once([work, other_work, other_work])[0] == digests[1][name]


@pytest.mark.parametrize("n", [1, pytest.param(2, marks=pytest.mark.processes)])
def test_another_process_with_another_hash_seed_gives_the_same_bits(n, digests):
    root = str(Path(__file__).parents[1])
    code = f"import sys; sys.path.insert(0, {root!r}); from tests import test_determinism as t\n"
    code += "from threadpoolctl import threadpool_limits\n"
    code += f"with threadpool_limits({n}, user_api='blas'):\n"
    code += "    for name in t.CASES: print(name, t.digest(name), sep=':')"
    command, environment = [sys.executable, "-W", "ignore", "-c", code], {"PYTHONHASHSEED": str(n)}
    done = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert dict(line.split(":") for line in done.stdout.splitlines()) == digests[n]
