"""The exercises: check.py accepts the solutions, names exercises that are not done, and explains errors."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tinyclf import cross_entropy_grad, log_softmax
from tinyclf.teaching.naive_losses import LOSSES, evaluate

FOLDER = Path(__file__).parents[2] / "examples" / "exercises"
NAMES = ["threshold", "repaired_loss", "no_gradient_fractions", "forgotten", "my_log_softmax"]


def load(name):
    spec = importlib.util.spec_from_file_location(f"exercises_{name}", FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


check, solutions, exercises = load("check"), load("solutions"), load("exercises")


def verdict(name, function):
    return check.verdict(check.CHECKS[name], function)


@pytest.fixture
def planted(monkeypatch):
    """Let `check.main` find the modules by their names."""
    for module in (solutions, exercises):
        monkeypatch.setitem(sys.modules, module.__name__, module)


def test_the_solutions_are_right_and_the_forgotten_digits_are_explained(planted, capsys):
    assert check.main(solutions.__name__) == 0
    text = capsys.readouterr().out
    assert re.findall(r"^(\w+): (.*)", text, re.MULTILINE) == [(name, "right") for name in NAMES]
    assert re.search(r"Why seed \d+ forgot \d", text)
    assert max(map(len, text.splitlines())) <= 110


def test_exercises_that_are_not_solved_are_not_done(planted, capsys):
    assert check.main(exercises.__name__) == 1
    assert capsys.readouterr().out.splitlines() == [f"{name}: not done" for name in NAMES]


def test_the_error_for_a_missing_module_names_it():
    assert check.main("nowhere") == "nowhere.py does not exist in the folder of check.py"


@pytest.mark.processes
@pytest.mark.parametrize(("arguments", "code"), [([], 1), (["solutions"], 0)])
def test_the_command_checks_the_exercises_or_the_named_module(arguments, code):
    command = [sys.executable, "-W", "error", FOLDER / "check.py", *arguments]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == code, run.stdout + run.stderr


@pytest.mark.parametrize("name", NAMES)
def test_an_exercise_and_its_solution_have_the_same_parameters(name):
    task, solution = getattr(exercises, name), getattr(solutions, name)
    assert "Return" in task.__doc__ or "write" in task.__doc__
    assert task.__code__.co_varnames == solution.__code__.co_varnames[: task.__code__.co_argcount]


def test_one_wrong_answer_makes_the_check_fail(planted, monkeypatch, capsys):
    monkeypatch.setattr(solutions, "threshold", lambda dtype: 88.0)
    assert check.main(solutions.__name__) == 1
    assert re.findall(r"^(\w+): right$", capsys.readouterr().out, re.MULTILINE) == NAMES[1:]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (
            lambda dtype: np.log(np.finfo(np.float64).max),
            r"for float16 .* 709\.\d+, .* exp of your value is inf",
        ),
        (
            lambda dtype: np.log(np.finfo(dtype).max) - 1,
            r"for float16 .* exp of some larger values is finite",
        ),
        (lambda dtype: 0.999 * np.log(float(np.finfo(dtype).max)), r"for float32 .* 88\.72\d+ is right"),
        (lambda dtype: np.nan, r"for float16 you returned nan"),
        (lambda dtype: None, "TypeError"),
    ],
)
def test_a_wrong_threshold_is_rejected(answer, reason):
    assert re.match(f"wrong: {reason}", verdict("threshold", answer))


def lse_minus_logit(z, t):
    m = z.max(axis=1)
    lse = m + np.log(np.exp(z - m[:, None]).sum(axis=1))
    return lse - z[np.arange(len(t)), t], cross_entropy_grad(z, t)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (exercises.naive_loss, r".* is naive, .* the loss is nan beyond x = 88\.7.* exp of a logit is inf"),
        (lambda z, t: evaluate(LOSSES["shifted"], z, t), r".* is half-fixed, .* the gradient divides by it"),
        (lambda z, t: evaluate(LOSSES["padded"], z, t), r".* is clipped, .* never exceeds 16\.1181"),
        (
            lambda z, t: evaluate(LOSSES["textbook"], z, t),
            r".* is stable, .* \[x, 0\], label 0, the loss is 0 beyond x = 16\.6.* 1 \+ S is rounded to 1",
        ),
        (lse_minus_logit, r".* is stable, .* A number that is added to all logits changes the loss"),
        (
            lambda z, t: (evaluate(LOSSES["stable"], z, t)[0], cross_entropy_grad(z, t) + 1e-3),
            ".* is wrong, .* gradient differs",
        ),
        (lambda z, t: solutions.repaired_loss(z, t)[::-1], r".* \(1, 4\), the result has the shape \(1, 4\)"),
        (lambda z, t: solutions.repaired_loss(z, t)[0], "return a pair of losses and gradients"),
        (lambda z, t: 1 / 0, "ZeroDivisionError: division by zero"),
    ],
)
def test_a_loss_that_is_not_repaired_is_rejected(answer, reason):
    assert re.match(f"wrong: {reason}", verdict("repaired_loss", answer))


def test_a_clipped_repair_is_rejected_for_a_row_without_a_gradient():
    message = verdict("repaired_loss", lambda z, t: evaluate(LOSSES["clipped"], z, t))
    assert "The loss never exceeds 16.1181, however wrong the row is." in message
    assert "The gradient is 0 or far too small where the row is misclassified: it learns nothing." in message


def test_the_network_of_the_exercise_has_forgotten_some_digits_but_not_all():
    digits = solutions.forgotten(*check.trained()[:3])
    fractions = solutions.no_gradient_fractions(*check.trained()[:3])
    assert 0 < len(digits) < 10
    assert all(fractions[digit] > 0.5 for digit in digits)


def total_fraction(network, X, y):
    return 10 * [np.mean(solutions.no_gradient_fractions(network, X, y))]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (total_fraction, r"for digit \d you returned 0\.\d+, but 0\.\d+ is right"),
        (
            lambda network, X, y: 10 * [np.mean(~cross_entropy_grad(network.logits(X), y).any(axis=1))],
            r"for digit 0 you returned 0\.000, but",
        ),
        (lambda network, X, y: 0.5, r"you must return ten fractions"),
    ],
)
def test_a_wrong_fraction_is_rejected(answer, reason):
    assert re.match(f"wrong: {reason}", verdict("no_gradient_fractions", answer))


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (lambda *given: range(10), r"\d is not forgotten: .* have a probability above 1 - eps"),
        (
            lambda *given: [],
            r"\d is forgotten, too: \d+% of its rows are misclassified and have a gradient of 0",
        ),
        (lambda *given: [*solutions.forgotten(*given), 10], "10 is not a digit"),
    ],
)
def test_a_wrong_list_of_forgotten_digits_is_rejected(answer, reason):
    assert re.match(f"wrong: {reason}", verdict("forgotten", answer))


def naive(x):
    return np.log(np.exp(x) / np.exp(x).sum(axis=-1, keepdims=True))


def shifted(x):
    return naive(x - x.max(axis=-1, keepdims=True))


def textbook(x):
    d = x - x.max(axis=-1, keepdims=True)
    return d - np.log(np.exp(d).sum(axis=-1, keepdims=True))


def textbook_in_float64(x):
    return textbook(x.astype("float64"))


def log1p_of_a_difference(x):
    d = x - x.max(axis=-1, keepdims=True)
    return d - np.log1p(np.exp(d).sum(axis=-1, keepdims=True) - 1)


def ties_left_out(x):
    d = x - x.max(axis=-1, keepdims=True)
    return d - np.log1p(np.where(d == 0, 0, np.exp(d)).sum(axis=-1, keepdims=True))


def minus_log_sum_exp(x):
    m = x.max(axis=-1, keepdims=True)
    return x - (m + np.log1p(np.exp(x - m).sum(axis=-1, keepdims=True) - 1))


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (naive, "'confidently wrong': .* is nan, .*inf or nan, although the exact result is finite"),
        (shifted, "'hopelessly wrong': .* is -inf, but -1000 is right "),
        (
            textbook,
            r"'confident': float32 \[20, 0\], entry 0, is 0, but -2\.06\d+e-09 is right \(log\(1 \+ S\)",
        ),
        (textbook_in_float64, r"'very confident': float32 \[40, 0\], entry 0, is 0, .* in float64, too"),
        (log1p_of_a_difference, r"'confident': float32 \[20, 0\], entry 0, is 0"),
        (ties_left_out, "'huge common offset': .* is 0, .*the loss is log 2"),
        (minus_log_sum_exp, r"'confident': .* is 0"),
    ],
)
def test_an_inaccurate_log_softmax_is_rejected(answer, reason):
    message = verdict("my_log_softmax", answer)
    assert re.match(rf"wrong: \d+ rows of data/hard_logits.json are wrong, for example {reason}", message)


def test_a_log_softmax_of_another_shape_is_rejected():
    assert re.match(
        r"wrong: for x of shape .* the result must have the same shape",
        verdict("my_log_softmax", lambda x: x[0]),
    )


def test_other_right_answers_are_accepted():
    assert verdict("my_log_softmax", log_softmax) == "right"
    assert verdict("my_log_softmax", lambda x: log_softmax(x.astype("float64"))) == "right"
    assert verdict("repaired_loss", lambda z, t: evaluate(LOSSES["stable"], z, t)) == "right"
    assert verdict("threshold", lambda dtype: float(np.log(float(np.finfo(dtype).max)))) == "right"
