"""bfloat16 arithmetic on float32 arrays equals that of ml_dtypes, for every number of the type."""

import numpy as np
import pytest

from tinyclf.teaching.bfloat16 import Bfloat16
from tinyclf.teaching.naive_losses import LOSSES, evaluate

ml_dtypes = pytest.importorskip("ml_dtypes")

NUMBERS = np.arange(2**16, dtype=np.uint16).view(ml_dtypes.bfloat16)
with np.errstate(invalid="ignore"):
    NUMBERS = NUMBERS[np.isfinite(NUMBERS)]


def same(found, expected):
    assert isinstance(found, Bfloat16)
    np.testing.assert_array_equal(np.asarray(found), expected.astype(np.float32))


def test_numbers_are_rounded_to_the_nearest_and_ties_to_even():
    exact = np.sort(NUMBERS.astype(float))
    middles = (exact[1:] + exact[:-1]) / 2
    x = np.concatenate([exact, middles, middles * (1 + 1e-6), middles * (1 - 1e-6), [3.4e38, -1e39, np.inf]])
    with np.errstate(all="ignore"):
        same(Bfloat16(x), x.astype(ml_dtypes.bfloat16))
    assert np.isnan(Bfloat16(np.nan))


def test_each_operation_is_rounded():
    rng = np.random.default_rng(0)
    a, b = rng.choice(NUMBERS, (2, 20_000))
    with np.errstate(all="ignore"):
        for ufunc in (np.add, np.subtract, np.multiply, np.divide):
            same(ufunc(Bfloat16(a), Bfloat16(b)), ufunc(a, b))
        for ufunc in (np.negative, np.log, np.log1p, np.sqrt):
            same(ufunc(Bfloat16(NUMBERS)), ufunc(NUMBERS))
        # Two implementations of exp in float32 may differ in the last bit, which decides a tie.
        found, expected = np.asarray(np.exp(Bfloat16(NUMBERS))), np.exp(NUMBERS).astype(np.float32)
    np.testing.assert_allclose(found, expected, rtol=2.0**-7)
    assert np.sum((found != expected) & ~np.isnan(expected)) <= 5


def test_results_of_operations_in_place_are_rounded():
    x = Bfloat16([1.0, 2.0])
    same_memory = x.view(np.ndarray)
    x /= 3
    same(x, np.array([1 / 3, 2 / 3]).astype(ml_dtypes.bfloat16))
    assert same_memory[0] == x[0]


def test_a_sum_is_accumulated_in_float32_and_rounded_once():
    x = Bfloat16(np.full(1000, 1 / 256) + np.eye(1, 1000)[0])
    assert x.sum() == Bfloat16(np.asarray(x, np.float64).sum())
    assert x.sum() > 4  # adding 1 / 256 to 1 would give 1 in bfloat16


def test_comparisons_and_integers_are_left_alone():
    x = Bfloat16([1.0, 2.0])
    assert (x > 1).tolist() == [False, True]
    assert x.argmax() == 1
    mantissa, exponent = np.frexp(x)
    assert (mantissa.tolist(), exponent.tolist()) == ([0.5, 0.5], [1, 2])


@pytest.mark.parametrize("name", LOSSES)
def test_the_losses_keep_the_type_except_for_the_stable_one(name):
    z = Bfloat16([[3.0, 0.1, -1.0]])
    losses, gradients = evaluate(LOSSES[name], z, [0])
    for values in (losses, gradients):
        if name == "stable":
            assert type(values) is np.ndarray
        else:
            np.testing.assert_array_equal(np.asarray(values), np.asarray(Bfloat16(values)))
    exact = evaluate(LOSSES["stable"], np.asarray(z, np.float64), [0])
    np.testing.assert_allclose(losses, exact[0], atol=0.01)
    np.testing.assert_allclose(gradients, exact[1], atol=0.01)
