"""Diagnosis: what a fit that ended has to say for itself, where it ended badly without an error."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.tree import DecisionTreeClassifier

from .blueprint import Blueprint
from .errors import CollapseWarning, DivergenceWarning, FeatureScaleWarning
from .losses import SigmoidCrossEntropy, SoftmaxCrossEntropy
from .network import Network
from .targets import LabelSets
from .validation import Sample
from .views import Array

# How much is looked at: enough to tell, and little beside an epoch.
_ROWS, _ENTRIES = 1000, 500_000

# In a layer that is not dead, two of so many rows differ.
_GLANCE = 16

# Before that many epochs a loss says little.
_EPOCHS = 10

# Largest magnitudes of two features that differ by more than this are a warning.
_SCALES, _NOISE = 1000.0, 1e-7

# A loss above this many times the prior's, and this much above it, is no accident of the last step.
_TIMES, _MORE = 1.25, 0.1

# An improvement of this many standard errors is no accident.
_SIGMAS = 4.0

# Below this prior nearly all weight is on one class, and to answer with it is no collapse.
_ONE_SIDED = 0.05


def has_settled(curve: list[float], n: int, converged: bool) -> bool:
    """Tell whether the last n epochs of a curve can be judged: they ended by themselves, or get no further.

    They get no further if the mean loss of their last quarter is not below that of the second.
    """
    if converged or n < _EPOCHS:
        return converged
    quarter, last = n // 4, curve[-n:]
    return sum(last[-quarter:]) >= sum(last[quarter : 2 * quarter])


def look(
    network: Network, sample: Sample, rows: Array, blueprint: Blueprint, *, last_loss: float, settled: bool
) -> list[Warning]:
    """Look at up to a thousand of the training rows and return what is wrong, with numbers and fix.

    Parameters
    ----------
    network : Network
        What was trained.
    sample, rows : Sample, ndarray of int
        On these rows of the sample.
    blueprint : Blueprint
    last_loss : float
        The training loss at the end. Where weights were kept that are not the last ones, and by a score that
        is not the loss, theirs may be high although training went well.
    settled : bool
        See `has_settled`. If not, only dead layers and scales are looked at.
    """
    n = max(2, min(_ROWS, _ENTRIES // network.widths[0]))
    few = Few(sample, rows[:: -(-len(rows) // n)], getattr(blueprint.loss, "label_smoothing", 0.0))
    found: list[Warning] = []
    if few.prior > 0.0 and (few.X[:1] != few.X).any() and (few.targets != few.targets[0]).any():
        found += dead_layer(network, few, blueprint)
        if settled and not found:
            found += nothing_learnt(network, few, blueprint, last_loss)
    return found if network.scaling else found + different_scales(few, sample, rows)


class Few:
    """The rows that are looked at: ``X`` as a dense array, ``targets``, ``weight`` and ``prior``.

    The prior is the log-loss of the best guess that does not look at X: -sum_c p_c log q_c, with p_c the
    weighted share of class c, and q_c the same, smoothed as the loss smoothes it: without that, the entropy
    of the shares. For several labels per row it is the sum over them.
    """

    def __init__(self, sample: Sample, rows: Array, label_smoothing: float = 0.0) -> None:
        X = sample.X[rows]
        self.X: Array = X.toarray() if hasattr(X, "toarray") else X
        self.labels = sample.labels
        self.targets = sample.targets[rows]
        self.weight = None if sample.loss_weight is None else sample.loss_weight[rows]
        p = self.labels.frequencies(self.targets, np.ones(len(rows)) if self.weight is None else self.weight)
        choices = 2 if isinstance(self.labels, LabelSets) else len(p)
        q = (1.0 - label_smoothing) * p + label_smoothing / choices
        self.prior = float(-np.sum(p[p > 0] * np.log(q[p > 0])))

    def say_something(self) -> bool:
        """Tell whether X says something about the targets: whether a small tree beats the majority.

        It grows on half of the rows and is asked about the others; better is by more than chance.
        """
        X = self.X / np.maximum(np.abs(self.X).max(axis=0), np.finfo(self.X.dtype).tiny)
        order = np.random.default_rng(0).permutation(len(X))  # neighbours may be alike, or take turns
        grow, ask = np.array_split(order, 2)
        tree = DecisionTreeClassifier(max_leaf_nodes=8, min_samples_leaf=5, random_state=0)
        weight = np.ones(len(X)) if self.weight is None else self.weight
        w = weight[ask] / weight[ask].sum()
        for codes in self.labels.answers(self.targets):
            right = w @ (tree.fit(X[grow], codes[grow], weight[grow]).predict(X[ask]) == codes[ask])
            majority = max(w @ (codes[ask] == code) for code in np.unique(codes[ask]))
            if right > majority + _SIGMAS * np.sqrt(majority * (1.0 - majority) * (w @ w)):
                return True
        return False


def dead_layer(network: Network, few: Few, blueprint: Blueprint) -> list[Warning]:
    """Warn of the first hidden layer whose units are the same for all rows."""
    for number, end in enumerate(blueprint.ends, 1):
        if not _alike(network.outputs(few.X[:_GLANCE], end)):
            continue
        y = network.outputs(few.X, end)
        if _alike(y):
            how = "saturated" if y.any() else "0 (dead ReLUs)"
            return [
                CollapseWarning(
                    f"hidden layer {number} is dead: its {network.widths[end]} units are the same for all "
                    f"{len(y)} rows looked at, {how}, so that the prediction does not depend on X. "
                    f"{_remedy(network, blueprint)}, or use another activation."
                )
            ]
    return []


def _alike(y: Array) -> bool:
    return bool((y == y[0]).all())


def nothing_learnt(network: Network, few: Few, blueprint: Blueprint, last_loss: float) -> list[Warning]:
    """Warn of a log-loss far above the prior's, or as bad as it with one answer for all rows."""
    z = network.logits(few.X)
    n, k = z.shape
    if blueprint.loss.link == "softmax" and k != len(few.labels.classes):
        return []  # a loss of one's own, whose logits are something else
    exact = SigmoidCrossEntropy() if blueprint.loss.link == "logistic" else SoftmaxCrossEntropy()
    loss = exact.mean(z, exact.targets(few.labels.for_loss(few.targets, k), n, k), few.weight)
    told = f"the log-loss is {loss:.4g}, where the class frequencies alone give {few.prior:.4g}"
    if min(loss, last_loss) > max(_TIMES * few.prior, few.prior + _MORE):
        clip = "" if blueprint.lbfgs else ", or set max_grad_norm"
        return [
            DivergenceWarning(
                f"training ended worse than knowing nothing: on the {n} training rows looked at {told}. "
                f"{_remedy(network, blueprint)}{clip}."
            )
        ]
    codes = few.labels.codes(z)
    one_answer = (codes == codes[0]).all() and loss > 0.99 * few.prior
    if one_answer and few.prior > _ONE_SIDED and few.say_something():
        return [
            CollapseWarning(
                f"all {n} training rows looked at are predicted as {_shown(few.labels.decode(z[:1]))}, and "
                f"{told}: nothing was learnt from X. {_remedy(network, blueprint)}, or lower alpha."
            )
        ]
    return []


def _remedy(network: Network, blueprint: Blueprint) -> str:
    scale = [] if network.scaling else ["scale the features (scale_inputs=True)"]
    rate = [] if blueprint.lbfgs else ["lower learning_rate_init"]
    steps = ", ".join([*scale, *rate, "change random_state"])
    return steps[0].upper() + steps[1:]


def different_scales(few: Few, sample: Sample, rows: Array) -> list[Warning]:
    """Warn of two columns whose largest magnitudes differ by more than a factor of 1000."""
    if _span(few.X) is None:
        return []
    # It may be that a rare value was not among the few rows. All of them are asked only in doubt.
    span = _span(sample.X[rows])
    if span is None:
        return []
    high, low, largest = span
    return [
        FeatureScaleWarning(
            f"the features differ in scale: column {high} reaches {largest[high]:.4g} in magnitude, column "
            f"{low} only {largest[low]:.4g}. Scale them, by scale_inputs=True or in a pipeline."
        )
    ]


def _span(X: Any) -> tuple[int, int, Array] | None:
    """Return the columns of the largest and the smallest magnitude and all magnitudes, if they are far apart.

    A constant column has no scale of its own, but one that is large disturbs the others. What is below 1e-7
    of the largest is taken for rounding errors of a constant, which scaling leaves behind.
    """
    top, bottom = _dense(X.max(axis=0)), _dense(X.min(axis=0))
    largest = np.maximum(top, -bottom)
    high = int(largest.argmax())
    columns = np.flatnonzero((top > bottom) & (largest > _NOISE * largest[high]))
    if not columns.size:
        return None
    low = int(columns[largest[columns].argmin()])
    return (high, low, largest) if largest[high] / _SCALES > largest[low] else None


def _dense(row: Any) -> Array:
    array: Array = np.ravel(row.toarray() if hasattr(row, "toarray") else row)
    return array


def _shown(label: Any) -> str:
    label = label.toarray() if hasattr(label, "toarray") else label
    return repr(label.tolist()[0])
