"""Never NaN: a fit to finite data gives finite weights or a DivergenceError; finite rows give probabilities
or an error that names row and column.

`--hypothesis-profile=thorough` tries thousands of new examples of each property.
"""

import math
import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.odd_input import EDGES, MORE, Outcomes, check_predictions, checked_call
from tinyclf import DivergenceError, TinyClassifier, softmax

pytestmark = pytest.mark.promise("never nan")

DIAGNOSIS = re.compile(
    r"in epoch \d+, batch \d+: the loss is .*, the largest input .*, the largest logit .* in magnitude.*\. "
    r"(Scale the inputs|Lower the learning rate|Lower alpha).*\.$"
)
NAMED = re.compile(r"row \d+.* column \d+")

SOLVERS = {
    "adam": {},
    "adamw": {"solver": "adam", "weight_decay": 1e-6},
    "sgd": {"solver": "sgd", "momentum": 0.0},
    "momentum": {"solver": "sgd", "nesterovs_momentum": False},
    "Nesterov": {"solver": "sgd"},
    "undamped": {"solver": "sgd", "momentum": 1.0},
    "lbfgs": {"solver": "lbfgs"},
}
OCCASIONAL = [
    *({"dropout": 0.5}, {"label_smoothing": 0.3}, {"label_smoothing": 1.0}, {"class_weight": "balanced"}),
    *({"learning_rate": name} for name in ("constant", "cosine", "linear", "invscaling", "adaptive")),
    *({"alpha": alpha} for alpha in (0.0, 1e3, 1e30)),
    *({"max_grad_norm": 1.0}, {"max_grad_norm": 1e-300}, {"shuffle": False}, {"early_stopping": True}),
    *({"calibrate": False}, {"refit": False}, {"epsilon": 1e-300}),
]


@st.composite
def estimators(draw):
    """Return an estimator of any solver, activation, type and learning rate, with a few other parameters."""
    hidden = draw(st.sampled_from([(), (4,), (4,), (3, 3), (2, 2, 2)]))
    parameters = {
        "hidden_layer_sizes": hidden,
        "activation": draw(st.sampled_from(["relu", "tanh", "logistic", "identity"])),
        "dtype": draw(st.sampled_from(["float32", "float64"])),
        "scale_inputs": draw(st.booleans()),
        "learning_rate_init": 10.0 ** draw(st.floats(-6.0, 6.0)),
        "max_iter": draw(st.integers(1, 8)),
        "batch_size": draw(st.sampled_from(["auto", 1, 7])),
        "random_state": draw(st.integers(0, 3)),
    }
    parameters["n_members"] = (3, 1, 1, 2)[parameters["random_state"]]
    if len(hidden) > 1 and draw(st.booleans()):
        activations = draw(st.permutations(["relu", "tanh", "logistic", "identity"]))
        parameters["activation"] = activations[: len(hidden)]
    parameters |= SOLVERS[draw(st.sampled_from(list(SOLVERS)))]
    for more in draw(st.lists(st.sampled_from(OCCASIONAL), max_size=2)):
        parameters |= more
    if parameters.get("solver") == "lbfgs":
        parameters |= {"dropout": 0.0}
    return TinyClassifier(**parameters)


@st.composite
def problems(draw):
    """Return finite X (n, k) of any scales and offsets, and y: classes, or columns of 0 and 1."""
    n, k = draw(st.integers(4, 60)), draw(st.integers(1, 6))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    X = rng.normal(size=(n, k))
    y = X[:, 0] + X.sum(axis=1) + rng.normal(size=n)
    kinds = ["plain", "scales", "scales", "offsets", "all large", "all large", "edges", "heavy tails"]
    kind = draw(st.sampled_from(kinds))
    exponents = st.lists(st.floats(-300.0, 300.0), min_size=k, max_size=k)
    if kind == "scales":
        X *= 10.0 ** (np.array(draw(exponents)) / draw(st.sampled_from([1, 8, 60])))
    elif kind == "offsets":
        X += np.sign(rng.normal(size=k)) * 10.0 ** np.abs(draw(exponents))
    elif kind == "all large":
        X *= 10.0 ** draw(st.sampled_from([3, 15, 30, 37, 150, 290, 307]))
    elif kind == "heavy tails":
        X = np.sign(X) * np.exp(np.abs(X) * draw(st.floats(1.0, 200.0)))
    elif kind == "edges":
        X.flat[rng.integers(0, X.size, 3)] = draw(st.lists(st.sampled_from(EDGES), min_size=3, max_size=3))
    X = np.clip(X, -1.7e308, 1.7e308)
    n_classes = draw(st.sampled_from([2, 2, 3, 4, "columns"]))
    if n_classes == "columns":
        return X, np.stack([y > 0, y > 1, X[:, -1] > 0], axis=1).astype(int)
    return X, np.searchsorted(np.quantile(y, np.linspace(0, 1, n_classes + 1)[1:-1]), y)


@st.composite
def finite_rows(draw, X):
    """Return finite rows to predict: the training rows, or rows far from them."""
    kind = draw(st.sampled_from(["same", "times", "edges", "extremes"]))
    if kind == "same":
        return X
    if kind == "times":
        with np.errstate(over="ignore"):
            return np.clip(X * 10.0 ** draw(st.floats(-300, 300)), -1.7e308, 1.7e308)
    edges = EDGES if kind == "edges" else [1.7976931348623157e308, -1.7976931348623157e308, 3.4e38, -3.4e38]
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    return rng.choice(edges, size=(5, X.shape[1]))


def check_rows(model, X):
    """Return whether the rows can be predicted; otherwise check that the error names row and column."""
    found = check_predictions(model, X)
    if isinstance(found, np.ndarray):
        return True
    assert NAMED.search(str(found)), found
    return False


def test_a_fit_gives_finite_weights_or_a_divergence_error_and_finite_rows_never_give_nan():
    outcomes = Outcomes()

    @MORE
    @given(st.data(), estimators(), problems())
    def never_nan(data, model, problem):
        X, y = problem
        if y.ndim == 1 and data.draw(st.booleans()):
            model.set_params(loss="softmax_cross_entropy")
        _, error = checked_call(model.fit, X, y)
        if isinstance(error, DivergenceError):
            assert DIAGNOSIS.search(str(error)), error
            assert error.epoch >= 1
            outcomes["diverged"] += 1
        elif error is not None:
            assert NAMED.search(str(error)), error
            outcomes["beyond the type"] += 1
        else:
            assert np.isfinite(model.network_.theta).all()
            assert np.isfinite(model.loss_curve_).all()
            assert math.isfinite(model.loss_)
            for _ in range(2):
                predicted = check_rows(model, data.draw(finite_rows(X)))
                outcomes["fitted, predicted" if predicted else "fitted, refused"] += 1

    never_nan()
    print(outcomes)
    assert outcomes.fraction("fitted, predicted") > 0.3
    for rare in ("diverged", "beyond the type", "fitted, refused"):
        assert outcomes.fraction(rare) > 0.01


@st.composite
def as_tables(draw, X):
    """Return a function that makes rows a frame, in which some columns are categories and entries missing."""
    kinds = draw(
        st.lists(st.sampled_from(["number", "number", "text", "boolean"]), min_size=X.shape[1], max_size=6)
    )
    edges = np.median(X, axis=0)
    fraction = draw(st.sampled_from([0.0, 0.1, 0.5, 1.0]))

    def frame(rows):
        table = pd.DataFrame(rows, columns=[f"c{j}" for j in range(rows.shape[1])]).astype(object)
        for j, kind in enumerate(kinds[: rows.shape[1]]):
            if kind == "text":
                table[f"c{j}"] = [f"{int(x > edges[j])} and {np.sign(x)}" for x in rows[:, j]]
            elif kind == "boolean":
                table[f"c{j}"] = rows[:, j] > edges[j]
        missing = np.random.default_rng(len(rows)).random(table.shape) < fraction
        missing[:, -1] = False  # so that not all is missing
        return table.astype(object).mask(missing, None)

    return frame


def test_missing_entries_and_categories_never_give_nan():
    outcomes = Outcomes()

    @MORE
    @given(st.data(), estimators(), problems())
    def never_nan(data, model, problem):
        X, y = problem
        frame = data.draw(as_tables(X))
        model.set_params(max_categories=data.draw(st.sampled_from([2, 3, None])))
        _, error = checked_call(model.fit, frame(X), y)
        if isinstance(error, DivergenceError):
            assert DIAGNOSIS.search(str(error)), error
            outcomes["diverged"] += 1
        elif error is not None:
            assert NAMED.search(str(error)), error
            outcomes["beyond the type" if model.scale_inputs else "refused"] += 1
        else:
            assert np.isfinite(model.network_.theta).all()
            assert np.isfinite(model.loss_curve_).all()
            for _ in range(2):
                predicted = check_rows(model, frame(data.draw(finite_rows(X))))
                outcomes["fitted, predicted" if predicted else "fitted, refused"] += 1

    never_nan()
    print(outcomes)
    assert outcomes.fraction("fitted, predicted") > 0.3
    for rare in ("diverged", "refused", "fitted, refused"):
        assert outcomes.fraction(rare) > 0.005


def test_huge_weights_set_by_hand_never_give_nan():
    outcomes = Outcomes()

    @MORE
    @given(st.data(), estimators(), st.integers(0, 99), st.integers(2, 4))
    def never_nan(data, model, seed, n_classes):
        rng = np.random.default_rng(seed)
        X, y = rng.normal(size=(12, 2)), np.arange(12) % n_classes
        model.set_params(learning_rate_init=0.01, max_iter=1, alpha=0.0, early_stopping=False)
        _, error = checked_call(model.fit, X, y)
        assert error is None
        limit = float(np.finfo(model.network_.dtype).max)
        magnitudes = [0.0, 1e-300, 1e-30, 1.0, 1e10, limit**0.5, limit / 4, limit]
        chosen = data.draw(st.lists(st.sampled_from(magnitudes), min_size=1, max_size=3))
        for arrays in (model.coefs_, model.intercepts_):
            arrays[:] = [rng.choice(chosen, a.shape) * rng.choice([-1.0, 1.0], a.shape) for a in arrays]
        outcomes["predicted" if check_rows(model, data.draw(finite_rows(X))) else "refused"] += 1

    never_nan()
    print(outcomes)
    assert outcomes.fraction("predicted") > 0.2
    assert outcomes.fraction("refused") > 0.1


@given(
    st.sampled_from([np.float32, np.float64]),
    st.one_of(st.integers(1, 300), st.sampled_from([127, 128, 129, 1000, 10_000])),
    st.sampled_from(["normal", "equal", "two values", "spread", "beyond"]),
    st.floats(-50.0, 50.0),
    st.integers(0, 2**32),
)
def test_probabilities_sum_to_one_within_four_units(dtype, k, kind, c, seed):
    rng = np.random.default_rng(seed)
    z = {
        "normal": lambda: c * rng.normal(size=k),
        "equal": lambda: np.r_[0.0, np.full(k - 1, c)],
        "two values": lambda: rng.choice([0.0, c], k),
        "spread": lambda: np.linspace(0.0, c, k),
        "beyond": lambda: rng.choice([c, -1e38, 1e38, 3e38, -3e38], k),
    }[kind]()
    p = softmax(z.astype(dtype))
    assert p.dtype == dtype
    assert (p >= 0).all()
    assert math.fsum(p.tolist()) == pytest.approx(1.0, rel=0, abs=4 * float(np.finfo(dtype).eps))
