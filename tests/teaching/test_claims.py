"""What README, the lesson and its examples say about trainings holds for each kernel of OpenBLAS.

A training depends on rounding, so the numbers differ between machines. The bounds leave room for that.
"""

import os
import subprocess
import sys

import pytest

from tests.support.openblas import other_kernels
from tinyclf.teaching.lesson import RUNS, SHOWN, Summary


def trained(run, *names):
    """The summary of each loss over ten seeds."""
    experiment, dtype, _ = RUNS[run]
    return [Summary(list(experiment.outcomes([name], range(10), dtype))) for name in names]


@pytest.mark.parametrize("page", ["README.md", "docs/index.md"])
def test_the_caption_of_the_figure_states_what_the_next_test_checks(root, page):
    words = " ".join((root / page).read_text().split())
    assert (
        "naive is not finite from step 1, clipped hardly falls and gets less than half of the test" in words
    )
    assert "digits right, stable falls to 0 and gets more than 95 % right](" in words


@pytest.mark.slow
@pytest.mark.parametrize("run", ["unscaled", "unscaled64"])
def test_on_unscaled_pixels_stable_learns_clipped_hardly_learns_and_naive_fails_in_the_first_epoch(run):
    naive, clipped, stable = trained(run, "naive", "clipped", "stable")
    experiment, *_ = RUNS[run]
    steps = -(-len(experiment.data(0)[2]) // experiment.batch_size)
    last = 1 if run == "unscaled" else steps  # in float32, it fails in the first step
    assert all(o.first_nonfinite_step <= last for o in naive.outcomes)
    assert clipped.broken == stable.broken == 0
    assert stable.accuracy > 0.96
    assert stable.lowest > 0.9
    assert stable.reported < 0.1
    assert clipped.accuracy < 0.5
    assert clipped.reported > 0.75 * clipped.curve[0]
    assert clipped.true > 50 * clipped.reported
    assert clipped.no_gradient > 0.5


@pytest.mark.slow
def test_the_exact_loss_does_not_change_the_accuracy():
    textbook, stable = trained("unscaled", "textbook", "stable")
    assert abs(textbook.accuracy - stable.accuracy) < 0.02
    assert textbook.lowest < stable.highest
    assert stable.lowest < textbook.highest


@pytest.mark.slow
def test_networks_with_the_clipped_loss_forget_digits_although_nothing_overflows():
    naive, clipped, stable = trained("quiet", "naive", "clipped", "stable")
    assert naive.broken == clipped.broken == stable.broken == 0
    assert stable.accuracy > 0.96
    assert abs(naive.accuracy - stable.accuracy) < 0.01
    assert clipped.accuracy < stable.accuracy - 0.05
    assert clipped.forgotten >= 5
    assert clipped.stuck > 0.9
    assert naive.forgotten == stable.forgotten == 0


@pytest.mark.slow
def test_scaled_features_fix_large_steps_and_a_stable_loss_does_not():
    (steep,) = trained("steep", "stable")
    assert steep.accuracy < 0.5
    assert steep.ruined >= 5
    assert steep.dead > 0.8
    for scaled in trained("scaled", *SHOWN):
        assert scaled.accuracy > 0.96
        assert scaled.broken == 0


@pytest.mark.processes
def test_the_claims_hold_with_another_kernel_of_openblas():
    others = other_kernels()
    if not others:
        pytest.skip("NumPy has no other kernel of OpenBLAS here")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "slow", __file__]
    environment = {**os.environ, "OPENBLAS_CORETYPE": others[-1]}
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "5 passed" in run.stdout
