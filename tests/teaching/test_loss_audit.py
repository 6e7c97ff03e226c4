"""The audit of losses: exact values, verdicts, where faults begin, and how functions are called."""

import functools
import json
import math
import re
import sys

import mpmath
import numpy as np
import pytest

from tests.support.ulps import SHAPES_OF_LOGITS, logits_of, softmax_truth, ulp_error
from tinyclf import cross_entropy
from tinyclf.teaching import assert_stable, audit
from tinyclf.teaching.libraries import VERDICTS_OF_LOSSES as VERDICTS
from tinyclf.teaching.loss_audit.exact import exact_loss
from tinyclf.teaching.naive_losses import LOSSES, evaluate

BOTH = ("float32", "float64")


@functools.cache
def audit_of(name):
    """The audit of a loss of the lesson with its gradient."""
    return audit(lambda z, t: evaluate(LOSSES[name], z, t), name=name)


def fault(found, kind, of, dtype):
    [only] = [f for f in found.faults if (f.kind, f.of, f.dtype) == (kind, of, dtype)]
    return only


def softmax(z, shift=True):
    E = np.exp(z - z.max(axis=-1, keepdims=True) * shift)
    return E / E.sum(axis=-1, keepdims=True)


def at(values, t):
    return values[np.arange(len(t)), t]


def textbook(z, t):
    d = z - z.max(axis=1, keepdims=True)
    return np.log(np.exp(d).sum(axis=1)) - at(d, t)


def gradient(z, t):
    return softmax(z) - np.eye(z.shape[1], dtype=z.dtype)[t]


# Exact values


@pytest.mark.parametrize("kind", [kind for kind in SHAPES_OF_LOGITS if kind != "masked"])
@pytest.mark.parametrize("dtype", BOTH)
def test_exact_losses_and_gradients_agree_with_mpmath(kind, dtype):
    rng = np.random.default_rng(0)
    for x in logits_of(kind, 5, 4, dtype, rng):
        truth, label = softmax_truth(x), int(rng.integers(4))
        loss, slope = exact_loss(x.tolist(), label)
        right = [-truth.log_p[label], *truth.gradient(label)]
        for got, value in zip([loss, *slope], right, strict=True):
            assert abs(mpmath.mpf(str(got)) - value) <= mpmath.mpf("1e-25") * abs(value) or abs(
                value
            ) < mpmath.mpf("1e-400")


@pytest.mark.parametrize("gap", [0.5, 20.0, 46.0, 46.5, 700.0, 9000.0])
def test_exact_losses_have_more_than_55_digits(gap):
    loss, slope = exact_loss([gap, 0.0], 0)
    with mpmath.workdps(5000):
        S = mpmath.exp(-gap)
        for got, value in ((loss, mpmath.log1p(S)), (slope[0], -S / (1 + S)), (slope[1], S / (1 + S))):
            assert abs(mpmath.mpf(str(got)) / value - 1) < mpmath.mpf("1e-55")


def test_exact_losses_and_gradients_agree_with_the_table_of_hard_logits(root):
    for case in json.loads((root / "data" / "hard_logits.json").read_text()):
        if case.get("label") is None or not np.isfinite(case["logits"]).all():
            continue
        loss, slope = exact_loss(case["logits"], case["label"])
        got = np.array([float(v) for v in [loss, *slope]])
        assert ulp_error(got, [case["loss"], *case["gradient"]]) <= 0.51


@pytest.mark.parametrize("dtype", BOTH)
def test_the_largest_error_is_that_by_mpmath(dtype):
    worst = audit_of("textbook").worst[dtype]["loss"]
    [row], [label] = worst.logits, worst.labels
    x = np.array(row, dtype)
    assert ulp_error(np.array([worst.got], dtype), [-softmax_truth(x).log_p[label]]) == pytest.approx(
        worst.ulps
    )
    assert textbook(x[None], [label])[0] == worst.got


# Verdicts


@pytest.mark.parametrize(("name", "verdict"), VERDICTS.items())
def test_the_losses_of_the_lesson_get_their_verdicts(name, verdict):
    assert VERDICTS.keys() == LOSSES.keys()
    found = audit_of(name)
    assert found.verdicts == dict.fromkeys(BOTH, verdict)
    assert found.verdict == verdict
    assert found.passed is (verdict in {"stable", "exact"})


@pytest.mark.parametrize("dtype", BOTH)
def test_the_naive_loss_fails_above_the_last_x_whose_exp_is_finite(dtype):
    for kind, of in (("nan", "loss"), ("inf", "loss"), ("nan", "gradient")):
        last = np.dtype(dtype).type(fault(audit_of("naive"), kind, of, dtype).beyond)
        with np.errstate(over="ignore"):
            assert np.isfinite(np.exp(last))
            assert np.isinf(np.exp(np.nextafter(last, last.dtype.type(np.inf))))


@pytest.mark.parametrize("dtype", BOTH)
def test_the_shifted_loss_is_inf_where_a_probability_underflows(dtype):
    last = np.dtype(dtype).type(fault(audit_of("shifted"), "inf", "loss", dtype).beyond)
    assert np.exp(-last) > 0
    assert np.exp(-np.nextafter(last, last.dtype.type(np.inf))) == 0


@pytest.mark.parametrize("dtype", BOTH)
def test_the_clipped_loss_has_an_upper_limit_and_no_gradient_below_eps(dtype):
    limit = -math.log(1e-7)
    capped = fault(audit_of("clipped"), "capped", "loss", dtype)
    assert capped.beyond == pytest.approx(limit, rel=2e-5)
    assert "never exceeds 16.1181" in capped.sentence
    dead = fault(audit_of("clipped"), "dead gradient", "gradient", dtype)
    assert dead.beyond == pytest.approx(limit, rel=1e-6)
    assert dead.sample.got == 0
    assert abs(dead.sample.right) > 0.99


@pytest.mark.parametrize("dtype", BOTH)
@pytest.mark.parametrize("of", ["loss", "gradient"])
def test_the_textbook_loss_is_0_where_the_sum_rounds_to_1(dtype, of):
    zero = fault(audit_of("textbook"), "false zero", of, dtype)
    last = np.dtype(dtype).type(zero.beyond)
    one = last.dtype.type(1)
    assert one + np.exp(-last) > one
    assert one + np.exp(-np.nextafter(last, last.dtype.type(np.inf))) == one
    assert zero.sample.got == 0
    assert float(zero.sample.right) != 0


@pytest.mark.parametrize("eps", [1e-3, 1e-4, 1e-7, 1e-10, 1e-15])
def test_losses_with_any_eps_are_clipped_and_not_wrong(eps):
    guards = [
        lambda p: p + p.dtype.type(eps),
        lambda p: np.clip(p, eps, 1),
        lambda p: np.clip(p, eps, 1 - eps),
    ]
    for guard in guards:
        found = audit(lambda z, t, guard=guard: -np.log(at(guard(softmax(z)), t)))
        assert found.verdicts == dict.fromkeys(BOTH, "clipped")
        assert f"never exceeds {-math.log(eps):.6g}" in fault(found, "capped", "loss", "float64").sentence


def test_clipped_logits_and_replaced_infinities_are_clipped():
    assert audit(lambda z, t: textbook(np.clip(z, -50, 50), t)).verdict == "clipped"
    assert audit(lambda z, t: np.nan_to_num(-np.log(at(softmax(z, shift=False), t)))).verdict == "clipped"


@pytest.mark.parametrize("dtype", BOTH)
@pytest.mark.parametrize(
    "shift", [lambda z: z[:, :1], lambda z: z[:, -1:], lambda z: z.min(axis=1, keepdims=True)]
)
def test_a_shift_by_another_logit_than_the_largest_is_half_fixed(shift, dtype):
    def shifted_too_little(z, t):
        d = z - shift(z)
        return np.log(np.exp(d).sum(axis=1)) - at(d, t)

    found = audit(shifted_too_little, dtypes=dtype)
    assert found.verdict == "half-fixed"
    inf = fault(found, "inf", "loss", dtype)
    last = np.dtype(dtype).type(inf.beyond)
    with np.errstate(over="ignore"):
        assert np.isfinite(np.exp(last))
        assert np.isinf(np.exp(np.nextafter(last, last.dtype.type(np.inf))))
    assert "difference of logits is 0 or inf" in inf.sentence


def test_a_wide_type_does_not_hide_a_naive_loss():
    def naive(z, t):
        return -np.log(at(softmax(z.astype(np.longdouble), shift=False), t))

    found = audit(naive, dtypes="float32")
    assert found.verdict == "naive"
    assert fault(found, "nan", "loss", "float32").beyond > 700


@pytest.mark.parametrize("dtype", BOTH)
def test_an_offset_error_is_found_where_the_maximum_is_added_before_a_logit_is_subtracted(dtype):
    def lse_minus_logit(z, t):
        m = z.max(axis=1)
        return m + np.log(np.exp(z - m[:, None]).sum(axis=1)) - at(z, t)

    found = audit(lse_minus_logit, dtypes=dtype)
    assert found.verdict == "stable"
    assert "subtract first" in fault(found, "offset error", "loss", dtype).repair
    assert "offset error" not in {f.kind for f in audit_of("textbook").faults}


def test_subtracting_the_largest_logit_of_the_batch_is_found():
    def global_max(z, t):
        d = z - z.max()
        return np.log(np.exp(d).sum(axis=1)) - at(d, t)

    found = audit(global_max)
    assert found.verdict == "half-fixed"
    assert "of each row, not of the batch" in fault(found, "inf", "loss", "float32").repair


def careful(z, t):
    """Exact in float32: computed in float64 without cancellation."""
    d = z - z.max(axis=1, keepdims=True).astype(np.float64)
    others = np.exp(d)
    np.put_along_axis(others, d.argmax(axis=1, keepdims=True), 0, axis=1)
    return np.log1p(others.sum(axis=1)) - at(d, t)


def test_a_careful_loss_is_exact_in_float32_and_has_rounding_errors_in_float64():
    found = audit(careful)
    assert found.verdicts == {"float32": "exact", "float64": "stable"}
    assert [f.kind for f in found.faults] == ["rounding"]
    assert 8 < found.errors["float64"]["loss"] < 1000


def test_a_float32_loss_of_float64_logits_is_stable_but_imprecise():
    for loss in (
        lambda z, t: textbook(z.astype("float32"), t),
        lambda z, t: textbook(z.astype("float32"), t).astype(float),
        lambda z, t: careful(z, t).astype("float32"),
    ):
        found = audit(loss, dtypes="float64")
        assert found.verdict == "stable"
        assert found.faults[-1].kind == "precision"


# Gradients


@pytest.mark.parametrize(
    ("slope", "verdict", "kind"),
    [
        (gradient, "stable", "false zero"),
        (lambda z, t: 0 * z, "wrong", "wrong"),
        (lambda z, t: -gradient(z, t), "wrong", "wrong"),
        (lambda z, t: np.full_like(z, np.nan), "wrong", "wrong"),
        (lambda z, t: gradient(z, t) * (np.ptp(z, axis=1) < 30)[:, None], "clipped", "dead gradient"),
        (lambda z, t: gradient(z, t) / (np.ptp(z, axis=1) < 30)[:, None], "half-fixed", "nan"),
    ],
)
def test_a_bad_gradient_of_an_exact_loss_is_seen(slope, verdict, kind):
    found = audit(cross_entropy, slope, dtypes="float64")
    assert (found.verdict, found.faults[0].kind, found.faults[0].of) == (verdict, kind, "gradient")
    assert audit(lambda z, t: (cross_entropy(z, t), slope(z, t)), dtypes="float64").verdict == verdict


def test_a_gradient_that_is_wrong_for_several_rows_only_is_seen():
    def slope(z, t):
        p = softmax(z)
        p[:, t] -= 1
        return p

    found = audit(textbook, slope)
    assert found.verdict == "wrong"
    assert "each row alone is right" in found.faults[0].sentence


def test_without_a_gradient_only_the_loss_is_judged():
    found = audit(cross_entropy)
    assert found.verdict == "exact"
    assert "The gradient is not known" in str(found)


# Conventions


def kwonly(*, labels, logits):
    return textbook(logits, labels)


def one_row(z, t):
    d = [v - max(z) for v in z]
    return math.log(sum(math.exp(v) for v in d)) - d[t]


def one_row_of_probabilities(z, y):
    if np.ndim(z) != 1:
        raise ValueError("one row")
    return textbook(z[None], [y.argmax()])[0]


def in_place(z, t):
    z -= z.max(axis=1, keepdims=True)
    return textbook(z, t)


def targets_first(y, z):
    return -np.sum(y * (z - z.max(axis=1, keepdims=True)), axis=1) + textbook(z, 0 * y.argmax(axis=1)) * 0


@pytest.mark.parametrize(
    ("loss", "called_with"),
    [
        (textbook, "logits (n, k) and labels (n,)"),
        (lambda t, z: textbook(z, t), "labels (n,) and logits (n, k)"),
        (lambda z, y: textbook(z, y.argmax(axis=1)), "logits (n, k) and probabilities (n, k)"),
        (lambda y, z: textbook(z, y.argmax(axis=1)).mean(), "probabilities (n, k) and logits (n, k)"),
        (one_row, "logits (k,) and an integer label"),
        (lambda t, z: one_row(z, t), "an integer label and logits (k,)"),
        (one_row_of_probabilities, "logits (k,) and probabilities (k,)"),
        (kwonly, "labels (n,) and logits (n, k)"),
        (in_place, "logits (n, k) and labels (n,)"),
    ],
)
def test_the_order_and_the_kind_of_the_arguments_are_found(loss, called_with):
    found = audit(loss, dtypes="float64")
    assert found.verdict == "stable"
    assert found.called_with == called_with


@pytest.mark.parametrize(
    "reduce",
    [
        np.mean,
        np.sum,
        lambda losses: float(losses.mean()),
        lambda losses: losses.tolist(),
        lambda losses: (losses,),
        lambda losses: losses[:, None],
        lambda losses: np.array(losses.sum()),
        lambda losses: losses.astype("float64"),
    ],
)
def test_losses_can_be_reduced_and_returned_in_many_forms(reduce):
    found = audit(lambda z, t: reduce(textbook(z, t)), dtypes="float32")
    assert found.verdict == "stable"
    assert fault(found, "false zero", "loss", "float32").beyond == pytest.approx(16.6355, abs=1e-4)


def test_the_gradient_of_a_mean_is_recognized():
    found = audit(lambda z, t: (textbook(z, t).mean(), gradient(z, t) / len(t)))
    assert found.verdict == "stable"


class Criterion:
    def __call__(self, z, t):
        return textbook(z, t)


def test_a_class_stands_for_its_instance():
    assert audit(Criterion).verdict == audit(Criterion()).verdict == "stable"
    assert audit(Criterion()).name == "Criterion"


# What is no cross-entropy


def without_all_of_the_largest(z, t):
    d = z - z.max(axis=1, keepdims=True)
    return np.log1p(np.where(d == 0, 0, np.exp(d)).sum(axis=1)) - at(d, t)


@pytest.mark.parametrize("dtype", BOTH)
def test_a_loss_that_is_wrong_only_for_equal_logits_is_wrong(dtype):
    found = audit(without_all_of_the_largest, dtypes=dtype)
    assert found.verdict == "wrong"
    [wrong] = found.faults
    assert wrong.sample.got == 0
    assert wrong.sample.right == math.log(2)
    assert "where two of the largest logits are equal" in wrong.sentence
    assert "leaves out one of the largest" in wrong.repair


def test_a_loss_that_is_too_small_but_has_no_limit_is_not_said_to_have_one():
    def dip(z, t):
        return careful(z, t) * np.where(np.abs(np.ptp(z, axis=1) - 10) < 3, 0.5, 1)

    found = audit(dip, dtypes="float64")
    assert found.verdict == "clipped"
    assert fault(found, "capped", "loss", "float64").sentence == "The loss is far too small."


def smoothed(z, t):
    return cross_entropy(z, t, label_smoothing=0.1)


@pytest.mark.parametrize(
    ("loss", "reason"),
    [
        (lambda z, t: 1.0, "is 1 for all logits"),
        (lambda z, t: np.nan * textbook(z, t), "not finite at moderate logits"),
        (
            lambda z, t: textbook(z, t) / np.log(2),
            "1.44269 times the exact one, that of a logarithm to base 2",
        ),
        (lambda z, t: -textbook(z, t), "-1 times the exact one"),
        (smoothed, "label smoothing of 0.1"),
        (lambda p, t: -np.log(at(p, t)), "takes probabilities; it must take logits"),
        (lambda z, t: textbook(z.astype("float16"), t), "computes in float16"),
        (lambda z, t: textbook(z / 2, t), "differs from the exact one at moderate logits"),
        (lambda z, t: ((softmax(z) - np.eye(z.shape[1])[t]) ** 2).sum(axis=1), "differs from the exact one"),
        (lambda z, t: textbook(z, t).astype(int), "differs from the exact one"),
        (lambda z, t: textbook(z, t) + 0j, "real numbers, but has the type complex"),
        (lambda z, t: textbook(z, t) > 1, "real numbers, but has the type bool"),
        (lambda z, t: softmax(z), r"for logits \(1, 4\), the result has the shape \(1, 4\)"),
        (lambda z, t: -np.log(softmax(z)[:, t]), r"for logits \(3, 4\), the result has the shape \(3, 3\)"),
        (lambda z, t: None, "the result is None"),
        (lambda z, t: {"loss": 1}, "real numbers, but is {'loss': 1}"),
        (lambda z, t: [10**400] * len(t), "real numbers, but is .10000"),
        (lambda z, t: textbook(z, t).sum() / z.size, "differs from the exact one"),
        (lambda z, t: (gradient(z, t), textbook(z, t)), r"the result has the shape \(1, 4\)"),
        (lambda z, t: (textbook(z, t), 0.5), r"the gradient has the shape \(\)"),
    ],
)
def test_a_function_that_is_no_cross_entropy_is_wrong_for_a_reason(loss, reason):
    found = audit(loss, name="it")
    assert found.verdicts == dict.fromkeys(BOTH, "wrong")
    assert re.search(reason, found.faults[0].sentence)
    json.dumps(found.to_dict(), allow_nan=False)


def raises_for_large_logits(z, t):
    with np.errstate(all="raise"):
        return -np.log(at(softmax(z, shift=False), t))


def without_keepdims(z, t):
    """Right for a single row, but the shapes of several do not fit."""
    d = z - z.max(axis=1)
    return np.log(np.exp(d).sum(axis=1)) - at(d, t)


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (raises_for_large_logits, r"the loss raises FloatingPointError: .*flow .* float32 logits \[\[\d+"),
        (lambda z, t: sys.exit(3), "the loss raises SystemExit: 3 for the float32 logits"),
        (lambda z, t: [].pop(), "IndexError: pop from empty list"),
        (lambda: 0, "TypeError: .* takes 0 positional arguments"),
        (without_keepdims, r"operands could not be broadcast .* for the float32 logits \[\[.*\], \[.*\]\]"),
        (lambda z, t: int("two\nlines"), "ValueError: .*two"),
    ],
)
def test_an_exception_of_the_function_is_an_error_of_one_line(loss, message):
    with pytest.raises(ValueError, match=message) as raised:
        audit(loss)
    assert "\n" not in str(raised.value)


def test_an_exception_of_the_gradient_says_so():
    with pytest.raises(ValueError, match="the gradient raises ZeroDivisionError"):
        audit(textbook, lambda z, t: 1 / 0)


class NeedsArguments:
    def __init__(self, eps):
        self.eps = eps


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: audit(3), TypeError, "loss must be a function of logits and targets, got 3"),
        (lambda: audit(textbook, "p - y"), TypeError, "gradient must be a function"),
        (lambda: audit(NeedsArguments), TypeError, "the class NeedsArguments, which cannot be created"),
        (lambda: audit(textbook, dtypes="float16"), ValueError, "some of float32, float64, got .'float16'."),
        (lambda: audit(textbook, dtypes=[]), ValueError, "dtypes must be some of"),
        (lambda: audit(textbook, framework="theano"), ValueError, "framework must be one of numpy, torch"),
        (lambda: assert_stable(textbook, at_least="good"), ValueError, "at_least must be one of naive"),
    ],
)
def test_invalid_arguments_are_rejected(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_a_framework_that_is_not_installed_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ImportError, match="'torch' cannot be imported; try pip install torch"):
        audit(textbook, framework="torch")


# Reports


def test_the_assertion_shows_the_table_and_hides_its_own_frame():
    assert_stable(textbook)
    with pytest.raises(AssertionError, match=r"must be exact or better\ntextbook: stable\n") as raised:
        assert_stable(textbook, at_least="exact")
    assert "false zero, loss" in str(raised.value)
    assert raised.traceback.filter(raised)[-1].name.startswith("test_")


@pytest.mark.parametrize("name", VERDICTS)
def test_the_table_names_each_fault_and_is_narrow(name):
    found = audit_of(name)
    lines = str(found).splitlines()
    assert lines[0] == f"{name}: {VERDICTS[name]}"
    assert max(map(len, lines)) <= 110
    for f in found.faults:
        assert any(line.startswith(f"  {f.kind}, {f.of}") for line in lines)
        assert " ".join(f.repair.split()) in " ".join(str(found).split())


def test_the_dictionary_is_json_without_inf_and_nan():
    data = json.loads(json.dumps(audit_of("naive").to_dict(), allow_nan=False))
    assert data["verdict"] == "naive"
    assert data["passed"] is False
    assert list(data["dtypes"]) == list(BOTH)
    assert {f["sample"]["got"] for f in data["dtypes"]["float32"]["faults"]} >= {"inf", "nan", 0.0}
    assert data["dtypes"]["float64"]["worst"]["loss"]["ulps"] == "inf"


# Frameworks


@pytest.mark.slow
def test_torch_is_differentiated():
    torch = pytest.importorskip("torch")
    from torch.nn import CrossEntropyLoss
    from torch.nn.functional import cross_entropy as ce
    from torch.nn.functional import nll_loss

    for loss in (ce, CrossEntropyLoss, CrossEntropyLoss(reduction="sum")):
        found = audit(loss, framework="torch")
        assert found.verdict == "stable"
        assert {f.of for f in found.faults if f.kind == "false zero"} == {"loss", "gradient"}
    log = audit(lambda z, t: nll_loss(torch.log(torch.softmax(z, 1)), t), framework="torch")
    assert log.verdict == "half-fixed"
    clamped = audit(lambda z, t: nll_loss(torch.log(torch.softmax(z, 1).clamp(1e-7)), t), framework="torch")
    assert clamped.verdict == "clipped"
    assert fault(clamped, "dead gradient", "gradient", "float32").beyond == pytest.approx(16.1181, abs=1e-3)
    detached = audit(lambda z, t: ce(z.detach(), t), framework="torch")
    assert "gradient is 0 for all logits" in detached.faults[0].sentence
    given = audit(ce, lambda z, t: torch.softmax(z, 1) * 0, framework="torch")
    assert given.verdict == "wrong"


@pytest.mark.slow
def test_jax_is_differentiated_also_in_float64():
    jax = pytest.importorskip("jax")

    def log_softmax(z, t):
        return -jax.nn.log_softmax(z)[t]

    def log(z, t):
        return -jax.numpy.log(jax.nn.softmax(z))[t]

    found = audit(jax.jit(jax.vmap(log_softmax)), framework="jax")
    assert found.verdicts == dict.fromkeys(BOTH, "stable")
    assert fault(found, "false zero", "gradient", "float64").beyond > 36
    assert audit(jax.jit(jax.vmap(log)), framework="jax", dtypes="float32").verdict == "half-fixed"
    assert audit(lambda z, t: log_softmax(jax.lax.stop_gradient(z), t), framework="jax").verdict == "wrong"


@pytest.mark.slow
def test_tensorflow_is_differentiated():
    tf = pytest.importorskip("tensorflow")
    from keras.losses import SparseCategoricalCrossentropy

    for loss in (
        tf.nn.sparse_softmax_cross_entropy_with_logits,
        SparseCategoricalCrossentropy(from_logits=True),
    ):
        found = audit(loss, framework="tensorflow", dtypes="float32")
        assert found.verdict == "stable"
        assert {f.of for f in found.faults if f.kind == "false zero"} == {"loss", "gradient"}
    probabilities = audit(SparseCategoricalCrossentropy(), framework="tensorflow", dtypes="float32")
    assert "takes probabilities" in probabilities.faults[0].sentence
