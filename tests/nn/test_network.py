"""The network: one flat vector, views that are kept by pickling, and no buffers common to two threads."""

import copy
import pickle
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import joblib
import numpy as np
import pytest
import scipy.sparse

from tests.support.estimators import quick
from tests.support.parts import PReLU
from tests.support.rounding import assert_same_outputs
from tinyclf import Dense, Dropout, Identity, Network, ReLU, Tanh


def example(dtype="float32"):
    return Network([Dense(5), PReLU(), Dropout(0.5), Dense(3)], n_in=4, dtype=dtype, seed=0)


def test_theta_holds_all_parameters_weights_first():
    network = example()
    assert network.theta.shape == (4 * 5 + 5 * 3 + 5 + 5 + 3,)
    assert network.regularized.size == 4 * 5 + 5 * 3
    network.theta[...] = np.arange(network.theta.size)
    first, prelu, _, last = network.parameters
    assert first.W[0, 0] == 0
    assert last.W[0, 0] == 20
    assert [first.b[0], prelu.a[0], last.b[0]] == [35, 40, 45]
    first.W = np.zeros((4, 5))
    assert not network.theta[:20].any()
    assert network.theta[20:].all()


def test_the_largest_product_is_that_of_the_largest_weight_matrix():
    assert Network([Dense(5), Tanh(), Dense(7)], 4).largest_product == 35
    assert Network([Tanh()], 4).largest_product == 0


def test_theta_and_parameters_always_share_memory():
    network = example("float64")
    X = np.ones((2, 4))
    network.theta = np.zeros_like(network.theta)
    assert not network.logits(X).any()
    network.theta += 1.0
    assert network.parameters[0].W.all()
    with pytest.raises(ValueError, match="theta has shape"):
        network.theta = np.zeros(3)
    with pytest.raises(TypeError):
        network.parameters[0] = None


def test_initial_parameters_depend_on_the_seed_only():
    np.testing.assert_array_equal(example().theta, example().theta)
    assert np.abs(example().theta - example("float64").theta).max() < 1e-6
    assert (Network([Dense(5)], 4, seed=1).theta != Network([Dense(5)], 4, seed=2).theta).all()


def copies(network, tmp_path):
    path = tmp_path / "network.joblib"
    joblib.dump(network, path)
    yield pickle.loads(pickle.dumps(network))
    yield copy.deepcopy(network)
    yield copy.copy(network)
    yield network.copy()
    yield joblib.load(path)
    yield joblib.load(path, mmap_mode="r")


def test_copies_are_complete_and_independent(tmp_path):
    network = example()
    X = np.random.default_rng(0).normal(size=(3, 4))
    expected, theta = network.logits(X), network.theta.copy()
    for other in copies(network, tmp_path):
        np.testing.assert_array_equal(other.logits(X), expected)
        other.theta[...] = 0.0  # must reach the views, and must not be read-only
        assert not other.parameters[0].W.any()
        assert not other.regularized.any()
        other.parameters[-1].b = np.ones(3)
        assert other.theta[-3:].tolist() == [1.0, 1.0, 1.0]
        np.testing.assert_array_equal(network.theta, theta)


def test_a_copy_of_another_type_is_rounded_and_computes_in_it():
    network = example("float64")
    converted = network.copy("float32")
    assert (converted.dtype, converted.theta.dtype, converted.logits(np.ones((1, 4))).dtype) == (
        "float32",
    ) * 3
    np.testing.assert_array_equal(converted.theta, network.theta.astype("float32"))
    assert network.dtype == network.copy().dtype == "float64"
    assert (
        converted.layers[1] is not network.layers[1]
    )  # changing a layer of the copy does not change the original


def test_a_pickle_holds_each_parameter_once():
    network = Network([Dense(300)], 300, seed=0)
    assert network.theta.nbytes < len(pickle.dumps(network)) < 1.1 * network.theta.nbytes


def test_logits_do_not_depend_on_blocks_or_kind_of_input():
    network = example("float64")
    X = np.random.default_rng(0).normal(size=(1500, 4)).round(1)
    expected = np.concatenate([network.logits(row[None, :]) for row in X])
    for kind in (X, np.asfortranarray(X), X.tolist(), scipy.sparse.csr_array(X), scipy.sparse.csc_matrix(X)):
        assert_same_outputs(network.logits(kind), expected, network, X)
    assert network.logits(X[:0]).shape == (0, 3)


def test_outputs_applies_a_function_block_by_block_and_returns_its_shape():
    network = example("float64")
    X = np.random.default_rng(0).normal(size=(1500, 4))
    sizes = []

    def best(z):
        sizes.append(len(z))
        return z.argmax(axis=1)

    np.testing.assert_array_equal(network.outputs(X, function=best), network.logits(X).argmax(axis=1))
    assert len(sizes) > 1
    assert sum(sizes) == 1500
    assert network.outputs(X[:0], function=best).shape == (0,)
    assert network.outputs(X, function=lambda z: z.tolist()).shape == (1500, 3)
    with pytest.raises(ValueError, match=r"one entry per row, 1024, got shape \(1, 3\)"):
        network.outputs(X, function=lambda z: z[:1])


def test_prediction_memory_does_not_grow_with_rows():
    network = Network([Dense(200), ReLU(), Dense(200), Tanh(), Dense(2)], n_in=10, seed=0)

    def peak(n):
        X = np.zeros((n, 10))
        tracemalloc.start()
        network.logits(X)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return peak - n * 2 * 4  # less the result

    assert peak(50_000) < peak(5_000) + 50_000


def test_concurrent_predictions_equal_sequential_ones():
    network = Network([Dense(64), ReLU(), Dense(64), Tanh(), Dense(5)], n_in=20, seed=0)
    inputs = np.random.default_rng(0).normal(size=(64, 300, 20))
    expected = [network.logits(X) for X in inputs]
    with ThreadPoolExecutor(8) as pool:
        for got, want in zip(pool.map(network.logits, inputs), expected, strict=True):
            np.testing.assert_array_equal(got, want)


def test_predictions_of_few_rows_keep_a_workspace_for_each_thread_that_is_not_part_of_the_network():
    network = Network([Dense(8), ReLU(), Dense(3)], n_in=4, seed=0)
    size, inputs = len(pickle.dumps(network)), np.random.default_rng(0).normal(size=(500, 1, 4))
    expected = [Network.copy(network).logits(X) for X in inputs]

    def nested(z):  # a prediction during another one needs another workspace
        network.logits(inputs[0])
        return z

    with ThreadPoolExecutor(8) as pool:
        for got, want in zip(pool.map(network.logits, inputs), expected, strict=True):
            np.testing.assert_array_equal(got, want)
    np.testing.assert_array_equal(network.outputs(inputs[1], function=nested), expected[1])
    assert 1 <= len(network._spare) <= 9
    assert len(pickle.dumps(network)) == size
    assert network.copy()._spare == []


def test_predictions_of_any_number_of_rows_follow_each_other():
    network, X = Network([Dense(8), ReLU(), Dense(3)], n_in=40, seed=0), np.ones((1200, 40), "float32")
    for n in (1, 4, 5, 3, 1200, 2, 1024, 4):
        np.testing.assert_array_equal(network.logits(X[:n]), network.copy().logits(X[:n]))
        assert network.logits(X[:n]).shape == (n, 3)
    assert len(network._spare) == 1
    large = Network([Dense(2000)], n_in=40, seed=0)
    large.logits(X[:1])
    assert large._spare == []


def test_results_for_few_rows_are_not_overwritten_by_the_next_prediction():
    network = Network([Dense(8), ReLU(), Dense(3)], n_in=4, seed=0)
    first = network.logits(np.ones((1, 4)))
    before = first.copy()
    network.logits(np.zeros((1, 4)))
    np.testing.assert_array_equal(first, before)


@pytest.mark.promise("each call works or raises an error that names the cause")
def test_the_first_layer_never_overwrites_the_callers_rows():
    network = Network([ReLU(), Dense(2)], n_in=3, seed=0)
    X = np.array([[-1.0, 2.0, -3.0]], "float32")
    network.logits(X)
    assert X.tolist() == [[-1.0, 2.0, -3.0]]


def test_input_errors_name_the_row_of_the_whole_input():
    X = np.zeros((1300, 4))
    X[1200, 3] = 1e300
    with pytest.raises(ValueError, match="row 1200, column 3"):
        example().logits(X)
    with pytest.raises(ValueError, match=r"shape \(n, 4\), got \(4,\)"):
        example().logits(X[0])
    with pytest.raises(ValueError, match=r"shape \(n, 4\), got \(0, 3\)"):
        example().logits(X[:0, :3])


class Strange(PReLU):
    """A layer with mistakes."""

    def __init__(self, regularized=(), out=3):
        self.regularized, self.out = regularized, out

    def n_out(self, n_in):
        return self.out


@pytest.mark.parametrize(
    ("make", "error", "match"),
    [
        (lambda: Network([], 3), ValueError, "at least one layer"),
        (lambda: Network([Dense(2)], 0), ValueError, "n_in must be at least 1, got 0"),
        (lambda: Network([Dense(2)], 3.5), TypeError, "n_in must be a whole number, got 3.5"),
        (lambda: Network(Dense(2), 3), TypeError, "list of layers, got Dense"),
        (lambda: Network([Strange(regularized=("w",))], 3), ValueError, r"got \('w',\) in Strange.*\['a'\]"),
        (lambda: Network([Strange(regularized="a")], 3), ValueError, "regularized must be a tuple"),
        (lambda: Network([Strange(out=2.5)], 3), TypeError, "n_out of Strange must be a whole number"),
        (lambda: Network([Dense], 3), TypeError, "instances of Layer, got <class"),
        (lambda: Network([Dense(2)], 3, dtype="float16"), ValueError, "got float16"),
        (lambda: Network([Dense(2)], 3, dtype=int), ValueError, "got int64"),
    ],
)
def test_invalid_networks_are_refused(make, error, match):
    with pytest.raises(error, match=match):
        make()


def test_a_layer_cannot_overwrite_the_callers_rows():
    class Doubles(PReLU):
        def forward(self, p, t):
            t.x *= 2

    X = np.ones((2, 3), "float32")
    with pytest.raises(ValueError, match="read-only"):
        Network([Doubles()], 3).logits(X)
    assert (X == 1).all()


def test_the_repr_shows_the_layers():
    network = Network([Dense(5), Tanh()], 4)
    assert repr(network) == "Network([Dense(units=5), Tanh()], n_in=4, dtype='float32')"


@pytest.mark.parametrize("widths", [(10**15,), (10**18,), (10**19,), (4, 10**16), (2**40, 2**40)], ids=str)
def test_a_network_that_does_not_fit_into_memory_is_refused_with_the_layer(widths):
    with pytest.raises(
        ValueError, match=r"not enough memory .*Dense\(units=\d+\) with \d+ inputs .* fewer units or members"
    ):
        Network([Dense(width) for width in widths], 3)
    with pytest.raises(ValueError, match="not enough memory"):
        quick(hidden_layer_sizes=widths).fit(np.eye(3), [0, 1, 1])


def test_a_batch_that_does_not_fit_into_memory_is_refused_with_the_widths():
    class Wide(Identity):
        def n_out(self, n_in):
            return 10**12

    network = Network([Dense(2), Wide()], 3)
    with pytest.raises(
        ValueError, match=r"not enough memory for 100 rows .*\[3, 2, 1000000000000\].*smaller batches"
    ):
        network.workspace(100)
