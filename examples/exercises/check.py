"""Check exercises.py: ``python examples/exercises/check.py``. The argument ``solutions`` checks solutions.py.

Each check returns None if the answer is right, and otherwise the reason why it is wrong.
"""

import functools
import importlib
import json
import sys
import textwrap
from pathlib import Path

import numpy as np

from tinyclf import softmax
from tinyclf.teaching import audit, clipped_cross_entropy_grad
from tinyclf.teaching.arithmetic import thresholds
from tinyclf.teaching.experiments import QUIET

TABLE = Path(__file__).parents[2] / "data" / "hard_logits.json"

# Whether the clipped loss forgets a digit depends on the seed and, through rounding, on the processor. Found
# with [o.seed for o in QUIET.outcomes(["clipped"], range(40)) if o.recall[8] == 0]. With these three seeds,
# the 8 is forgotten with each of four OpenBLAS kernels (OPENBLAS_CORETYPE), with and without numba.
SEEDS = (5, 7, 16)


def check_threshold(threshold):
    for dtype in (np.float16, np.float32, np.float64):
        answer, right = float(threshold(dtype)), thresholds(dtype)["exp"]
        if not abs(answer - right) <= 4 * np.finfo(dtype).eps * right:
            problem = (
                "exp of your value is inf" if answer > right else "exp of some larger values is finite, too"
            )
            return (
                f"for {dtype.__name__} you returned {answer:.8g}, but {right:.8g} is right: {problem}. Which "
                f"number must exp(x) not exceed, and what is its logarithm?"
            )
    return None


def check_repaired_loss(repaired_loss):
    repaired_loss(np.array([[2, 1, 0]], np.float32), np.array([2]))  # an exception is shown as it is
    found = audit(repaired_loss, dtypes="float32")
    if found.worst["float32"].keys() == {"loss"}:
        return "return a pair of losses and gradients"
    if found.verdict == "exact":
        return None
    fault, sample = found.faults[0], found.faults[0].sample
    row = fault.ramp or f"{text(sample.logits[0])}, label {sample.labels[0]}"
    beyond = "" if fault.beyond is None else f" beyond x = {fault.beyond:.8g}"
    return (
        f"the audit's verdict is {found.verdict}, but must be exact. For the logits {row}, the {fault.of} is "
        f"{sample.got + 0:.8g}{beyond}, but {sample.right:.8g} is right. "
    ) + " ".join(dict.fromkeys(fault.sentence for fault in found.faults))


def check_no_gradient_fractions(no_gradient_fractions):
    network, X, y, _ = trained()
    answer = np.asarray(no_gradient_fractions(network, X, y), np.float64)
    if answer.shape != (10,):
        return f"you must return ten fractions, one for each digit, but the result has shape {answer.shape}"
    for digit, right in enumerate(fractions(y, states(network, X, y)[0])):
        if not abs(answer[digit] - right) < 1e-6:
            return (
                f"for digit {digit} you returned {answer[digit]:.3f}, but {right:.3f} is right: count the "
                f"rows of this digit whose gradient is 0 in all ten logits, and divide by the number of rows"
            )
    return None


def check_forgotten(forgotten):
    network, X, y, _ = trained()
    answer = {int(digit) for digit in forgotten(network, X, y)}
    no_gradient, wrong = states(network, X, y)
    each = zip(fractions(y, ~wrong), fractions(y, no_gradient & wrong), strict=True)
    for digit, (correct, stuck) in enumerate(each):
        if digit in answer and stuck <= 0.5:
            return (
                f"{digit} is not forgotten: {correct:.0%} of its rows are classified correctly. Correct rows "
                f"with a gradient of 0 have a probability above 1 - eps, where the loss is clipped, too."
            )
        if digit not in answer and stuck > 0.5:
            stuck_rows = f"{stuck:.0%} of its rows are misclassified and have a gradient of 0"
            return f"{digit} is forgotten, too: {stuck_rows}"
    return f"{max(answer)} is not a digit" if answer - set(range(10)) else None


def check_my_log_softmax(my_log_softmax):
    batches = {}
    for case in json.loads(TABLE.read_text(encoding="utf-8")):
        batches.setdefault((case["dtype"], len(case["logits"])), []).append(case)
    wrong = []  # pairs: whether the result is inf or nan, and the reason
    for (dtype, _), cases in batches.items():
        x = np.array([case["logits"] for case in cases], dtype)
        truth = np.array([[float(v) for v in case["log_softmax"]] for case in cases]).astype(dtype)
        answer = np.asarray(my_log_softmax(x.copy()))
        if answer.shape != x.shape:
            return f"for x of shape {x.shape}, the result must have the same shape, but has {answer.shape}"
        # Accept a few units in the last place. Subnormal numbers have few digits.
        close, floor = (1e-6 if dtype == "float32" else 1e-12), np.finfo(dtype).tiny
        bad = ~np.isclose(answer.astype(dtype), truth, rtol=close, atol=floor)
        for row in np.flatnonzero(bad.any(axis=1)):
            i = np.flatnonzero(bad[row])[0]
            case, got, right = cases[row], answer[row, i] + 0, truth[row, i]
            broken = bool(np.isfinite(right) and not np.isfinite(got))
            hint = "inf or nan, although the exact result is finite" if broken else case["why"]
            reason = f"{dtype} {text(x[row])}, entry {i}, is {got:.8g}, but {right:.8g} is right ({hint})"
            wrong.append((broken, f"{case['name']!r}: {reason}"))
    if not wrong:
        return None
    worst = max(wrong, key=lambda entry: entry[0])[1]
    return f"{len(wrong)} rows of data/hard_logits.json are wrong, for example {worst}"


@functools.cache
def trained():
    """Train with the clipped loss until a network forgets the digit 8; return network, X, y and seed."""
    for seed in SEEDS:
        network, outcome = QUIET.train("clipped", seed)
        if outcome.recall[8] == 0:
            break
    X, _, y, _ = QUIET.data(seed)
    return network, X, y, seed


def states(network, X, y):
    """Return masks of the rows with a gradient of 0 by the clipped loss, and of the misclassified rows."""
    z = network.logits(X)
    return ~clipped_cross_entropy_grad(z, y).any(axis=1), z.argmax(axis=1) != y


def fractions(y, mask):
    return [mask[y == digit].mean() for digit in range(10)]


def explain():
    """Print why digits were forgotten."""
    network, X, y, seed = trained()
    no_gradient, wrong = states(network, X, y)
    forgotten = [digit for digit, f in enumerate(fractions(y, no_gradient & wrong)) if f > 0.5]
    print("   digit       " + "".join(f"{digit:5}" for digit in range(10)))
    print("   correct     " + "".join(f"{f:5.2f}" for f in fractions(y, ~wrong)))
    print("   no gradient " + "".join(f"{f:5.2f}" for f in fractions(y, no_gradient)))
    if forgotten:
        p = softmax(network.logits(X))[np.arange(len(y)), y][np.isin(y, forgotten)]
        say(
            f"   Why seed {seed} forgot {', '.join(map(str, forgotten))}: for half of the rows of these "
            f"digits, the probability of the true class is at most {np.median(p):.1g}. Below eps the clipped "
            f"loss is constant, so the gradient is 0 and the network learns nothing from these rows. Rows "
            f"that are classified correctly with a probability above 1 - eps have a gradient of 0, too, "
            f"which does no harm."
        )


def text(x):
    return "[" + ", ".join(f"{v + 0:.8g}" for v in x) + "]"


def say(line):
    print(textwrap.fill(line, 110, subsequent_indent="   ", break_on_hyphens=False), flush=True)


CHECKS = {
    "threshold": check_threshold,
    "repaired_loss": check_repaired_loss,
    "no_gradient_fractions": check_no_gradient_fractions,
    "forgotten": check_forgotten,
    "my_log_softmax": check_my_log_softmax,
}


def verdict(check, function):
    """Return "right", "not done", or "wrong" with the reason, such as an exception that was raised."""
    try:
        with np.errstate(all="ignore"):
            reason = check(function)
    except NotImplementedError:
        return "not done"
    except Exception as error:
        return f"wrong: {type(error).__name__}: {error}"
    return "right" if reason is None else f"wrong: {reason}"


def main(name="exercises"):
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        return f"{name}.py does not exist in the folder of check.py"
    done = True
    for function, check in CHECKS.items():
        answer = verdict(check, getattr(module, function))
        say(f"{function}: {answer}")
        if function == "forgotten" and answer == "right":
            explain()
        done &= answer == "right"
    return 0 if done else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:2]))
