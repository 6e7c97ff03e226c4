"""What a worker computes, without a cluster: partitions as a data set, an epoch, and the average."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_array

from tests.support.data import DIGITS, NUMBERS
from tinyclf import Adam, Dense, Network, ReLU, SoftmaxCrossEntropy, TinyClassifier, train
from tinyclf.dask import worker
from tinyclf.dask.worker import Summary
from tinyclf.estimator.dataset import Dataset
from tinyclf.estimator.plan import FitPlan
from tinyclf.estimator.scaling import Scaling
from tinyclf.nn.state import TrainState
from tinyclf.nn.training import Epoch

RNG = np.random.default_rng(0)
CUTS = [0, 150, 151, 400, 600]
WEIGHT = np.random.default_rng(1).integers(0, 3, 600).astype(float)
SEED = np.arange(4, dtype=np.uint32)


def mixed_table():
    """A data frame with numbers, missing entries, strings, and categories that differ between its parts."""
    rng = np.random.default_rng(0)
    colors = np.array(["red", "green", "blue", None], object)[rng.integers(0, 4, 600)]
    sizes = pd.Series(np.where(np.arange(600) < 300, "small", "large"))
    number = np.where(rng.random(600) < 0.2, np.nan, rng.normal(size=600))
    return pd.DataFrame({"number": number, "color": colors, "size": sizes, "flag": rng.random(600) < 0.5})


def partitions_of(model, X, y=NUMBERS, weight=None, cuts=CUTS):
    """The partitions of rows, as a worker reads them."""
    parts = []
    for start, stop in pairwise(cuts):
        rows = slice(start, stop)
        parts.append((X[rows], y[rows], None if weight is None else weight[rows]))
    return worker.read(model, range(len(parts)), parts)


def in_memory(model, X, y=NUMBERS, weight=None):
    """The same rows as TinyClassifier reads them."""
    return Dataset.read(model, X, y, weight, None, None, None)


TABLES = {
    "array": DIGITS,
    "sparse": csr_array(DIGITS),
    "float32": DIGITS.astype("f4"),
    "frame": mixed_table(),
}


@pytest.mark.parametrize("weight", [None, WEIGHT], ids=["unweighted", "weighted"])
@pytest.mark.parametrize("kind", TABLES)
def test_partitions_are_encoded_as_all_rows_at_once(kind, weight):
    X, model = TABLES[kind], TinyClassifier(max_categories=3)
    expected = in_memory(TinyClassifier(max_categories=3), X, weight=weight)
    parts = partitions_of(model, X, weight=weight)
    summary = worker.summarize(parts, model)
    data = worker.encoded(parts, model, summary.columns.encoding(model.max_categories), summary.labels)
    dense = [d.X.toarray() if kind == "sparse" else d.X for d in (data, expected)]
    np.testing.assert_array_equal(*dense)
    assert data.X.dtype == expected.X.dtype
    np.testing.assert_array_equal(data.targets, expected.targets)
    np.testing.assert_array_equal(data.labels.classes, expected.labels.classes)
    assert data.encoding.names(summary.names).tolist() == expected.encoding.names(summary.names).tolist()
    if weight is not None:
        np.testing.assert_array_equal(data.sample_weight, weight)


def test_partitions_without_rows_are_left_out():
    model = TinyClassifier()
    parts = partitions_of(model, DIGITS, cuts=[0, 0, 300, 300, 600])
    assert [part.number for part in parts] == [1, 3]
    assert worker.summarize([], model) is None


def test_an_estimator_that_was_fitted_refuses_other_columns():
    model = TinyClassifier(max_iter=1, random_state=0).fit(mixed_table(), NUMBERS)
    with pytest.raises(ValueError, match=r"in partition 0: .*\n.*\n- flag"):
        partitions_of(model, mixed_table().iloc[:, :3])
    renamed = mixed_table().rename(columns={"flag": "f"})
    with pytest.raises(ValueError, match=r"in partition 0: .*feature names should match"):
        partitions_of(model, renamed)


def test_facts_and_totals_of_parts_add_up_to_those_of_all_rows():
    model, loss = TinyClassifier(), SoftmaxCrossEntropy()
    groups = [partitions_of(model, DIGITS, weight=WEIGHT, cuts=cuts) for cuts in ([0, 100, 250], [250, 600])]
    summary = Summary.merged([worker.summarize(group, model) for group in groups])
    encoding = summary.columns.encoding(model.max_categories)
    parts = [worker.encoded(group, model, encoding, summary.labels) for group in groups]
    facts = [worker.facts(part, True, None) for part in parts]
    assert sum(fact.n_given for fact in facts) == 600
    assert sum(fact.n_rows for fact in facts) == np.count_nonzero(WEIGHT)
    assert sum(fact.total_weight for fact in facts) == WEIGHT.sum()
    assert {fact.dtype for fact in facts} == {np.dtype(float)}
    total = sum(part.total_weight() for part in parts)
    np.testing.assert_array_equal(total, np.bincount(NUMBERS, WEIGHT))
    np.testing.assert_array_equal(sum(fact.of_class for fact in facts), total)
    of_class, weight = zip(*(part.total_of_targets(loss, 10) for part in parts), strict=True)
    np.testing.assert_array_equal(sum(of_class), total)
    assert sum(weight) == WEIGHT.sum()
    for fact, rows in zip(facts, (slice(250), slice(250, 600)), strict=True):
        np.testing.assert_array_equal(fact.scaling.center, Scaling.of(DIGITS[rows], WEIGHT[rows]).center)
    assert worker.facts(parts[0], False, None).scaling is None


def test_class_weights_multiply_sample_weights():
    model = TinyClassifier()
    data = in_memory(model, DIGITS, weight=WEIGHT)
    factors = np.arange(10.0)
    np.testing.assert_array_equal(data.with_class_weights(factors).loss_weight, WEIGHT * factors[NUMBERS])


@pytest.mark.parametrize("kind", TABLES)
def test_taken_rows_are_those_with_the_given_indices(kind):
    X, model = TABLES[kind], TinyClassifier()
    rows = np.array([0, 149, 150, 151, 399, 400, 599])
    found = worker.taken(partitions_of(model, X, weight=WEIGHT), rows)
    got = worker.joined([part.X for part in found])
    if kind == "frame":
        pd.testing.assert_frame_equal(got, X.iloc[rows])
    else:
        dense = [values.toarray() if kind == "sparse" else values for values in (got, X[rows])]
        np.testing.assert_array_equal(*dense)
    np.testing.assert_array_equal(np.concatenate([part.y for part in found]), NUMBERS[rows])
    np.testing.assert_array_equal(np.concatenate([part.weight for part in found]), WEIGHT[rows])
    assert worker.taken(found, np.array([], int)) == []


def test_sampled_rows_are_distinct_and_have_positive_weights():
    data = in_memory(TinyClassifier(), DIGITS, weight=WEIGHT)
    rows = worker.some_rows(data, 100)
    assert len(set(rows.tolist())) == 100
    assert (WEIGHT[rows] > 0).all()
    np.testing.assert_array_equal(rows, np.sort(rows))


# --- training ----------------------------------------------------------------------------------------


def part_of(**parameters):
    """A part of all rows, and the plan of a fit."""
    model = TinyClassifier(random_state=0, **parameters)
    data = in_memory(model, DIGITS)
    plan = FitPlan.resolve(model, data)
    return worker.prepare(data, 0, plan, data.scaling(None, np.inf), SEED), data, plan


def state_of(plan, n_in=64):
    return TrainState(Network(plan.layers, n_in, dtype=plan.dtype, seed=0), plan.optimizer, 0)


def test_a_part_holds_out_the_same_fraction_of_each_class():
    part, _, plan = part_of()
    assert plan.validation == "even"
    both = np.concatenate([part.search_rows, part.held])
    np.testing.assert_array_equal(np.sort(both), np.arange(600))
    held = np.bincount(NUMBERS[part.held], minlength=10)
    assert (abs(held - plan.validation_fraction * np.bincount(NUMBERS)) <= 1).all()
    assert (np.diff(part.held) > 0).all()


@pytest.mark.parametrize("refit", [False, True])
def test_an_epoch_is_that_of_train_with_the_streams_of_the_part(refit):
    part, data, plan = part_of()
    before = state_of(plan)
    found, epoch, weight = worker.trained(part, before, 3, refit)
    rows = np.arange(600) if refit else part.search_rows
    same = state_of(plan)
    same.shuffle_rng, same.dropout_rng = np.random.default_rng([*part.seed, int(refit), 3]).spawn(2)
    inputs = data.inputs(data.scaling(None, np.inf), plan.dtype, True)
    settings = {"epochs": plan.max_iter, "done": 3, "batch_size": plan.batch_size, "rows": rows}
    settings |= {"loss": plan.training_loss, "alpha": plan.alpha, "schedule": plan.schedule}
    if refit:
        settings["batch_size"] = plan.refit_batch_size
    expected = next(train(same.network, inputs, data.targets, state=same, **settings))
    np.testing.assert_array_equal(found.network.theta, same.network.theta)
    assert (epoch.loss, epoch.rows, weight) == (expected.loss, len(rows), len(rows))


def test_an_epoch_does_not_change_its_argument_and_can_be_repeated():
    part, _, plan = part_of(dropout=0.2)
    before = state_of(plan)
    theta, stream = before.network.theta.copy(), before.shuffle_rng.bit_generator.state
    first = worker.trained(part, before, 0, False)[0]
    again = worker.trained(part, before, 0, False)[0]
    np.testing.assert_array_equal(first.network.theta, again.network.theta)
    np.testing.assert_array_equal(before.network.theta, theta)
    assert before.shuffle_rng.bit_generator.state == stream
    assert not any(array.any() for array in before.optimizer_state.arrays.values())
    other = worker.trained(part, before, 1, False)[0]
    assert (other.network.theta != first.network.theta).any()


def test_the_average_is_the_mean_weighted_by_the_rows():
    states, weights = [], [1.0, 3.0, 0.5]
    for seed in range(3):
        state = TrainState(Network([Dense(3), ReLU(), Dense(2)], 4, seed=seed), Adam(), 0)
        for array in state.optimizer_state.arrays.values():
            array[...] = RNG.uniform(size=array.shape)
        state.optimizer_state.t = 10 + seed
        states.append(state)
    epochs = [Epoch(1, loss, logit, 2.0, None, 0.5, rows) for loss, logit, rows in ((1, 5, 10), (2, 9, 30))]
    results = [*zip(states, [*epochs, epochs[0]], weights, strict=True)]
    mean, epoch = worker.averaged(results)

    def expected(arrays):
        return np.average(arrays, axis=0, weights=weights)

    np.testing.assert_allclose(mean.network.theta, expected([s.network.theta for s in states]), rtol=1e-6)
    for name, array in mean.optimizer_state.arrays.items():
        each = [s.optimizer_state.arrays[name] for s in states]
        np.testing.assert_allclose(array, expected(each), rtol=1e-6)
    assert mean.optimizer_state.t == 12
    assert (epoch.rows, epoch.loss, epoch.largest_logit) == (50, (10 + 60 + 10) / 50, 9)
    assert (states[0].network.theta != mean.network.theta).any()  # not changed


def test_the_average_of_equal_copies_is_that_copy():
    part, _, plan = part_of()
    one = worker.trained(part, state_of(plan), 0, False)
    mean, _ = worker.averaged([one, one])
    np.testing.assert_array_equal(mean.network.theta, one[0].network.theta)
