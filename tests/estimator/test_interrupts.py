"""Ctrl-C at any line of fit and partial_fit, also several times: the model is the earlier one, or usable."""

import copy
import random
import signal

import numpy as np
import pytest
from sklearn.base import clone

from tests.support.bits import shown
from tests.support.data import IRIS, SPECIES
from tests.support.doubles import Ends
from tests.support.estimators import quick
from tests.support.interrupts import moments, pressed, traced
from tests.support.threads import blas
from tinyclf.nn import kernels

pytestmark = [
    pytest.mark.promise("nothing is lost"),
    pytest.mark.filterwarnings("ignore:Training interrupted by user"),
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore::tinyclf.nn.errors.TrainingWarning"),
    pytest.mark.filterwarnings(
        "ignore::pytest.PytestUnraisableExceptionWarning"
    ),  # in the end of a generator
]

AGAIN = [(), (1,), (2,), (3,), (7, 40)]
"""After how many further lines Ctrl-C is pressed again."""


@pytest.fixture(autouse=True)
def without_numba(monkeypatch):
    """The same lines in each fit; the setting, which may come from the environment, is restored."""
    monkeypatch.setattr(kernels, "_wanted", False)
    monkeypatch.setattr(kernels, "_compiled", {})


class Counts(Ends):
    """A callback that counts its setups and teardowns."""

    def __init__(self):
        super().__init__(-1, None)
        self.open = 0

    def setup(self, estimator, context):
        self.open += 1

    def teardown(self, estimator, context):
        self.open -= 1


FITS = {
    "first fit": ({"early_stopping": True, "max_iter": 3}, False),
    "second fit": ({"early_stopping": True, "max_iter": 3}, True),
    "warm start": ({"early_stopping": True, "max_iter": 3, "warm_start": True}, True),
    "without validation": ({"calibrate": False, "scale_inputs": False}, True),
    "lbfgs": ({"solver": "lbfgs", "early_stopping": True}, False),
    "members": ({"n_members": 2, "early_stopping": True, "max_iter": 2}, True),
}
# Which lines: every so many, of all modules or of those with the ends of a fit.
DAILY, ALL = (17, "classifier trainer threads"), (41, "")


def check(model, before, interrupt, path):
    """A model after Ctrl-C is the earlier one, or it is usable and has the best weights so far."""
    assert blas() == [2] * len(blas())
    assert np.geterr() == {"divide": "warn", "over": "warn", "under": "ignore", "invalid": "warn"}
    state = vars(model).get("_state")
    if state is before.get("_state"):
        assert interrupt is not None
        names = {"_callback_fit_ctx", "_skl_callbacks_to_teardown"}
        assert {name: held for name, held in vars(model).items() if name not in names} == before
        return "earlier"
    assert np.isfinite(model.predict_proba(IRIS)).all()
    if model.n_iter_ and model.validation_scores_:
        scores = model.validation_scores_[-model.n_iter_ :]
        earlier = len(model.loss_curve_) - model.n_iter_
        assert model.best_epoch_ == earlier + 1 + np.argmax(scores)
    assert state.best.theta is state.initial is state.patience is None
    model.save(path)
    again = copy.copy(model).set_callbacks().set_params(early_stopping="auto", solver="adam")
    assert np.isfinite(again.partial_fit(IRIS, SPECIES).predict_proba(IRIS)).all()
    return "new"


@pytest.mark.parametrize("which", [DAILY, pytest.param(ALL, marks=pytest.mark.slow)], ids=["ends", "all"])
@pytest.mark.parametrize("again", AGAIN, ids=str)
@pytest.mark.parametrize("name", FITS)
def test_ctrl_c_at_any_line_of_a_fit_keeps_the_earlier_model_or_leaves_a_usable_one(
    name, again, which, two_threads, tmp_path
):
    parameters, fitted = FITS[name]
    made = quick(**parameters)
    if fitted:
        made.fit(IRIS[::2], SPECIES[::2])

    def interrupted(*at):
        model = clone(made)
        vars(model).update(vars(made))
        model.set_callbacks(Counts())
        before = vars(model).copy()
        lines, interrupt = traced(lambda: model.fit(IRIS, SPECIES), at)
        return model, before, lines, interrupt

    model, _, lines, _ = interrupted()
    assert model._state.finished
    outcomes = set()
    for number in moments(lines, *which):
        model, before, _, interrupt = interrupted(number, *(number + more for more in again))
        outcomes.add(check(model, before, interrupt, tmp_path / "model.npz"))
        assert model._skl_callbacks[0].open == 0
    assert outcomes == {"earlier", "new"}


@pytest.mark.parametrize("which", [DAILY, pytest.param(ALL, marks=pytest.mark.slow)], ids=["ends", "all"])
@pytest.mark.parametrize("again", AGAIN, ids=str)
@pytest.mark.parametrize("first", [True, False])
def test_ctrl_c_at_any_line_of_partial_fit_changes_nothing_or_comes_after_it(
    first, again, which, two_threads
):
    made = quick()
    if not first:
        made.fit(IRIS, SPECIES)

    def interrupted(*at):
        model = clone(made)
        vars(model).update(vars(made))
        classes = {"classes": [0, 1, 2]} if first else {}
        lines, interrupt = traced(lambda: model.partial_fit(IRIS, SPECIES, **classes), at)
        return model, lines, interrupt

    complete, lines, _ = interrupted()
    for number in moments(lines, *which):
        model, _, interrupt = interrupted(number, *(number + more for more in again))
        assert interrupt is not None
        assert shown(model) in (shown(made), shown(complete))
        assert blas() == [2] * len(blas())


class Presses(Counts):
    """A callback that lets Ctrl-C be pressed some seconds after an epoch, and then every millisecond."""

    def __init__(self, epoch, after):
        super().__init__()
        self.epoch, self.seconds = epoch, after

    def on_fit_task_end(self, estimator, context):
        if context.task_name == "epoch" and estimator.n_iter_ == self.epoch:
            signal.setitimer(signal.ITIMER_REAL, self.seconds, 0.001)


@pytest.mark.parametrize("times", [1, 2, 3])
@pytest.mark.parametrize("n", [15, pytest.param(150, marks=pytest.mark.slow)])
def test_ctrl_c_at_a_random_moment_after_the_first_epoch_keeps_what_was_learned(
    n, times, two_threads, tmp_path
):
    draw, interrupts = random.Random(times), 0
    for _ in range(n):
        model = quick(early_stopping=True, max_iter=5)
        model.set_callbacks(Presses(draw.randint(1, 5), draw.uniform(1e-6, 0.005)))
        before = vars(model).copy()
        interrupt = pressed(lambda model=model: model.fit(IRIS, SPECIES), times)
        assert check(model, before, interrupt, tmp_path / "model.npz") == "new"
        interrupts += not model._state.finished
    assert interrupts > 0  # how many depends on the machine
