"""Check the exercises: ``python examples/exercises/check.py``, or with the name of another module here.

Each check returns None if the answer is right, else the reason why it is not.
"""

import functools
import importlib
import json
import sys
import textwrap
from pathlib import Path

import numpy as np

from tinyclf import cross_entropy, cross_entropy_grad, softmax
from tinyclf.teaching import clipped_cross_entropy_grad
from tinyclf.teaching.arithmetic import thresholds
from tinyclf.teaching.experiments import QUIET

TABLE = Path(__file__).parents[2] / "data" / "hard_logits.json"

# Whether clipping forgets a digit depends on the seed and, through rounding, on the processor. Found with
#   [o.seed for o in QUIET.outcomes(["clipped"], range(61)) if o.recall[8] == 0]
# which gave 11, too; these three forgot the 8 with each of four OpenBLAS kernels (OPENBLAS_CORETYPE).
SEEDS = (38, 16, 57)

ROWS = [  # type, logits, true classes, what the rows are
    ("float32", [[2, 1, 0], [0, 1, 3]], [1, 2], "ordinary row"),
    ("float32", [[100, 0], [0, 1000], [-1000, 1000]], [1, 0, 1], "row with large logits"),
    ("float32", [[20, 0], [0, 30]], [1, 0], "row that is confidently wrong"),
    ("float32", [[10002, 9999], [1e8, 1e8]], [0, 1], "row with an offset"),
    ("float32", [[20, 0], [1, 31]], [0, 1], "row with a tiny loss"),
    ("float64", [[40, 0], [0, 800], [3, 2]], [0, 0, 1], "row in float64"),
]


def check_threshold(threshold):
    for dtype in (np.float16, np.float32, np.float64):
        answer, right = float(threshold(dtype)), thresholds(dtype)["exp"]
        if not abs(answer - right) <= 4 * np.finfo(dtype).eps * right:
            side = "exp of yours is inf" if answer > right else "exp of larger ones is finite, too"
            return (
                f"for {dtype.__name__} you returned {answer:.8g}, right is {right:.8g}: {side}. Which number "
                f"must exp(x) not exceed, and what is its logarithm?"
            )
    return None


def check_repaired_loss(repaired_loss):
    for dtype, logits, labels, kind in ROWS:
        z, t = np.array(logits, dtype), np.array(labels)
        losses, gradients = (np.asarray(part, np.float64) for part in repaired_loss(z.copy(), t.copy()))
        if losses.shape != t.shape or gradients.shape != z.shape:
            return f"for logits {z.shape} the shapes are {losses.shape}, {gradients.shape}, not (n,), (n, k)"
        close = 1e-5 if dtype == "float32" else 1e-12
        rows = zip(z, t, losses, gradients, cross_entropy(z, t), cross_entropy_grad(z, t), strict=True)
        for x, label, loss, gradient, true_loss, true_gradient in rows:
            row = f"{kind}, {dtype} logits {text(x)} of class {label}"
            if np.abs(true_gradient).max() > close and not gradient.any():
                return (
                    f"{row}: there is no gradient, {text(gradient)} instead of {text(true_gradient)}. "
                    f"The loss, {loss:.6g} instead of {true_loss:.6g}, looks calm, but nothing can be learnt "
                    f"from this row. Did you clip?"
                )
            if not np.allclose(gradient, true_gradient, rtol=0, atol=close):
                return f"{row}: the gradient is {text(gradient)}, right is {text(true_gradient)}"
            if not abs(loss - true_loss) <= close * true_loss:
                tiny = "; beside the 1 of the largest, small exponentials are lost: np.log1p"
                hint = tiny if true_loss < 1e-6 else ""
                return f"{row}: the loss is {loss + 0:.8g}, right is {true_loss:.8g}{hint}"
    return None


def check_silent_shares(silent_shares):
    network, X, y, _ = forgetful()
    answer = np.asarray(silent_shares(network, X, y), np.float64)
    if answer.shape != (10,):
        return f"there must be ten shares, one for each digit, but the shape is {answer.shape}"
    for digit, right in enumerate(shares(y, states(network, X, y)[0])):
        if not abs(answer[digit] - right) < 1e-6:
            return (
                f"of digit {digit} you say that a share of {answer[digit]:.3f} gets no gradient, right is "
                f"{right:.3f}: of the rows of this digit, count those whose gradient is 0 for all ten logits"
            )
    return None


def check_forgotten(forgotten):
    network, X, y, _ = forgetful()
    answer = {int(digit) for digit in forgotten(network, X, y)}
    silent, wrong = states(network, X, y)
    for digit, (known, lost) in enumerate(zip(shares(y, ~wrong), shares(y, silent & wrong), strict=True)):
        if digit in answer and lost <= 0.5:
            return (
                f"{digit} is not forgotten, the network gets {known:.0%} of its rows right. Where these have "
                f"no gradient, their probability is above 1 - eps: the clip has an upper end, too."
            )
        if digit not in answer and lost > 0.5:
            return f"{digit} is forgotten, too: {lost:.0%} of its rows are wrong and get no gradient"
    return f"{max(answer)} is no digit" if answer - set(range(10)) else None


def check_my_log_softmax(my_log_softmax):
    batches = {}
    for case in json.loads(TABLE.read_text(encoding="utf-8")):
        batches.setdefault((case["dtype"], len(case["logits"])), []).append(case)
    wrong = []  # whether inf or nan, and the reason
    for (dtype, _), cases in batches.items():
        x = np.array([case["logits"] for case in cases], dtype)
        truth = np.array([[float(v) for v in case["log_softmax"]] for case in cases]).astype(dtype)
        answer = np.asarray(my_log_softmax(x.copy()))
        if answer.shape != x.shape:
            return f"for x of shape {x.shape} the shape is {answer.shape}"
        # Some units in the last place. Below the smallest normal number a float has few digits left.
        close, floor = (1e-6 if dtype == "float32" else 1e-12), np.finfo(dtype).tiny
        bad = ~np.isclose(answer.astype(dtype), truth, rtol=close, atol=floor)
        for row in np.flatnonzero(bad.any(axis=1)):
            i = np.flatnonzero(bad[row])[0]
            case, got, right = cases[row], answer[row, i] + 0, truth[row, i]
            broken = bool(np.isfinite(right) and not np.isfinite(got))
            hint = "inf or nan, though the truth is finite" if broken else case["why"]
            reason = f"{dtype} {text(x[row])}, entry {i}, is {got:.8g}, right is {right:.8g} ({hint})"
            wrong.append((broken, f"{case['name']!r}: {reason}"))
    if not wrong:
        return None
    worst = max(wrong, key=lambda entry: entry[0])[1]
    return f"{len(wrong)} rows of data/hard_logits.json are wrong, such as {worst}"


@functools.cache
def forgetful():
    """Train with the clipped loss until a network forgets the digit 8: network, X, y, seed."""
    for seed in SEEDS:
        network, outcome = QUIET.train("clipped", seed)
        if outcome.recall[8] == 0:
            break
    X, _, y, _ = QUIET.data(seed)
    return network, X, y, seed


def states(network, X, y):
    """Tell which rows get no gradient from the clipped loss, and which are wrong."""
    z = network.logits(X)
    return ~clipped_cross_entropy_grad(z, y).any(axis=1), z.argmax(axis=1) != y


def shares(y, which):
    return [which[y == digit].mean() for digit in range(10)]


def explain():
    """Show why digits were forgotten."""
    network, X, y, seed = forgetful()
    silent, wrong = states(network, X, y)
    lost = [digit for digit, share in enumerate(shares(y, silent & wrong)) if share > 0.5]
    print("   digit       " + "".join(f"{digit:5}" for digit in range(10)))
    print("   rows right  " + "".join(f"{share:5.2f}" for share in shares(y, ~wrong)))
    print("   no gradient " + "".join(f"{share:5.2f}" for share in shares(y, silent)))
    if lost:
        p = softmax(network.logits(X))[np.arange(len(y)), y][np.isin(y, lost)]
        say(
            f"   Why seed {seed} forgot {', '.join(map(str, lost))}: half of their rows give their own digit "
            f"a probability of at most {np.median(p):.1g}. Below eps the clipped loss is constant. So the "
            f"rows do not push, and nothing brings them back. Rows that are right with more than 1 - eps do "
            f"not push either, which does no harm."
        )


def text(x):
    return "[" + ", ".join(f"{v + 0:.8g}" for v in x) + "]"


def say(line):
    print(textwrap.fill(line, 110, subsequent_indent="   ", break_on_hyphens=False), flush=True)


CHECKS = {
    "threshold": check_threshold,
    "repaired_loss": check_repaired_loss,
    "silent_shares": check_silent_shares,
    "forgotten": check_forgotten,
    "my_log_softmax": check_my_log_softmax,
}


def verdict(check, function):
    """Return "right", "not done", or "wrong" with the reason, whatever the function does."""
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
        return f"there is no {name}.py beside check.py"
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
