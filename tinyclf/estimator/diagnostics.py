"""Warnings after a fit that ended badly, based on losses and counts on its training rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..nn.arrays import Array
from ..nn.errors import CollapseWarning, DivergenceWarning, FeatureScaleWarning
from ..nn.losses import SigmoidCrossEntropy, SoftmaxCrossEntropy
from ..nn.members import MemberLoss
from .dataset import Dataset
from .plan import FitPlan
from .scaling import Scaling
from .state import FitState
from .targets import LabelSets
from .trainer import Outcome

# Maximum numbers of rows and of entries that are examined: few compared with an epoch.
_ROWS, _ENTRIES = 1000, 500_000

# Number of rows of a first check: if the outputs of a layer differ among these, it is not dead.
_SPREAD_ROWS = 16

# The loss curve of a fit with fewer epochs is not judged, unless training converged.
_EPOCHS = 10

# Two features cause a warning if their largest magnitudes differ by more than this factor. A magnitude
# below _NOISE times the largest one is the rounding error of a constant.
_SCALES, _NOISE = 1000.0, 1e-7

# A loss is too high if it exceeds the prior's by this factor and by this difference. A single bad step at
# the end increases it by less. While it still decreases, only the last factor counts.
_TIMES, _MORE, _TIMES_UNSETTLED = 1.25, 0.1, 10.0

# A feature is informative if it predicts better than the most frequent class by this number of standard
# errors.
_SIGMAS = 4.0

# Edges of the 16 bins of a feature: enough to find relations that are not monotonic.
_QUANTILES = np.arange(1, 16) / 16

# Values are indistinct if these steps between quantiles, a quarter of the entries that differ from the
# median, are within this number of scales.
_CLOSE, _INDISTINCT = 8, 1e-4

# If the prior's loss is lower, nearly all weight is on one class; predicting it everywhere is not a collapse.
_ONE_SIDED = 0.05


def diagnose(
    plan: FitPlan, data: Dataset, state: FitState, outcome: Outcome, names: Array | None = None
) -> list[Warning]:
    """Examine up to a thousand of the training rows and return warnings, with numbers and the fix.

    Parameters
    ----------
    plan : FitPlan
    data : Dataset
    state : FitState
        After the fit.
    outcome : Outcome
        If training did not converge and the loss was still decreasing, only dead layers, feature scales
        and, after ten epochs, a very high loss that the scales do not explain are examined.
    names : ndarray of str, optional
        Names of the columns of X.
    """
    rows = outcome.rows
    if len(rows) == 0:  # the fit was finished and examined before
        return []
    n = max(2, min(_ROWS, _ENTRIES // state.encoding.n_inputs))
    few = TrainingRows(plan, data.take(rows[:: -(-len(rows) // n)]), state)
    found: list[Warning] = []

    def label(number: int) -> Any:
        j = state.encoding.numbers[number]
        return j if names is None else repr(names[j])

    if state.scaling is not None:
        scales = indistinct_values(state.scaling, label)
    else:
        scales = different_scales(few.data, data, rows, label)
    if few.prior > 0.0 and few.vary():
        found += dead_layer(few)
        curve, n_iter = state.history.loss_curve, state.history.n_iter
        settled = has_settled(curve, n_iter, outcome.converged)
        if not found and (settled or (n_iter >= _EPOCHS and not scales)):
            found += nothing_learned(few, settled)
    return found + scales


def has_settled(curve: list[float], n: int, converged: bool) -> bool:
    """Return whether the last n epochs of a loss curve can be judged.

    They can if training converged, or if there are at least ten epochs and the mean loss of the
    last quarter is not lower than that of the second quarter.
    """
    if converged or n < _EPOCHS:
        return converged
    quarter, last = n // 4, curve[-n:]
    return sum(last[-quarter:]) >= sum(last[quarter : 2 * quarter])


class TrainingRows:
    """The rows that are examined.

    Attributes
    ----------
    data : Dataset
    inputs : Rows
        The rows, scaled and converted for the network.
    weight : ndarray of shape (n,)
    prior : float
        The log-loss of the best prediction that does not depend on X: -sum_c p_c log q_c, where p_c
        is the weighted fraction of class c, and q_c is p_c with label smoothing. Without smoothing,
        it is the entropy of the classes. For several labels per row it is the sum over the labels.
    """

    def __init__(self, plan: FitPlan, data: Dataset, state: FitState) -> None:
        self.plan, self.data, self.state = plan, data, state
        self.inputs = data.inputs(state.scaling, plan.dtype, plan.layers[0].reads_sparse)
        weight = data.loss_weight
        self.weight = np.ones(len(data.targets)) if weight is None else weight
        p = data.labels.frequencies(data.targets, self.weight)
        choices = 2 if isinstance(data.labels, LabelSets) else len(p)
        smoothing = getattr(plan.loss, "label_smoothing", 0.0)
        q = (1.0 - smoothing) * p + smoothing / choices
        self.prior = float(-np.sum(p[p > 0] * np.log(q[p > 0])))

    def spread_rows(self) -> Any:
        """Return the inputs of a few rows from all parts of the data, since rows may be sorted by class."""
        rows = np.linspace(0, len(self.inputs) - 1, _SPREAD_ROWS).astype(np.intp)
        network = self.state.network
        return self.inputs.gather(rows, np.empty((_SPREAD_ROWS, network.widths[0]), network.dtype))

    def vary(self) -> bool:
        """Return whether both the features and the targets vary."""
        X, targets = self.inputs.block(0, len(self.inputs)), self.data.targets
        if getattr(self.plan.loss, "label_smoothing", 0.0) == 1.0:  # makes all targets equal
            return False
        differ = (X[[0] * X.shape[0]] != X).nnz if hasattr(X, "tocsr") else (X[:1] != X).any()
        return bool(differ) and bool((targets != targets[0]).any())

    def informative(self) -> bool:
        """Return whether a single feature predicts the targets better than the most frequent class does.

        The distance of a row from the mean is used as a feature, too. On one half of the rows, the
        classes are counted in quantile bins of each feature, and the best feature is chosen. On the
        other half, the prediction of the most frequent class in each bin is compared with that of
        the most frequent class overall.
        """
        X = self.inputs.block(0, len(self.inputs))
        X = X.toarray() if hasattr(X, "toarray") else X
        order = np.random.default_rng(0).permutation(len(X))  # adjacent rows may be similar
        first, second = np.array_split(order, 2)
        X = X / np.maximum(np.abs(X).max(axis=0), np.finfo(X.dtype).tiny)  # squares do not overflow
        distance = (((X - X.mean(axis=0)) / (X.std(axis=0) + 1e-9)) ** 2).sum(axis=1)
        w, w_test = self.weight[first], self.weight[second] / self.weight[second].sum()
        for codes in self.data.labels.codes_per_label(self.data.targets):
            y, k = codes.astype(np.intp), int(codes.max()) + 1
            best, right = -1.0, np.zeros(len(second), bool)
            for x in (*X.T, distance):
                edges = np.quantile(x[first], _QUANTILES)
                bins = np.searchsorted(edges, x)
                counts = np.bincount(bins[first] * k + y[first], w, (len(edges) + 1) * k).reshape(-1, k)
                if (hits := counts.max(axis=1).sum()) > best:
                    best, right = hits, counts.argmax(axis=1)[bins[second]] == y[second]
            majority = float(np.bincount(y[second], w_test).max())
            noise = np.sqrt(majority * (1.0 - majority) * (w_test @ w_test))
            if w_test @ right > majority + _SIGMAS * noise:
                return True
        return False

    def remedy(self) -> str:
        """Return the usual fixes, with parameters that this fit uses."""
        scale = [] if self.state.scaling else ["scale the features (scale_inputs=True)"]
        rate = [] if self.plan.solver == "lbfgs" else ["lower learning_rate_init"]
        steps = ", ".join([*scale, *rate, "change random_state"])
        return steps[0].upper() + steps[1:]


def dead_layer(few: TrainingRows) -> list[Warning]:
    """Return a warning about the first hidden layer whose outputs are the same for all rows."""
    network, some = few.state.network, few.spread_rows()
    for number, end in enumerate(few.plan.hidden_ends, 1):
        if not _constant(network.outputs(some, end)):
            continue
        y = network.outputs(few.inputs, end)
        if _constant(y):
            how = "saturated" if y.any() else "0 (dead ReLUs)"
            return [
                CollapseWarning(
                    f"hidden layer {number} is dead: each of its {network.widths[end]} units has the same "
                    f"output for all {len(y)} rows examined, {how}, so the prediction does not depend on X. "
                    f"{few.remedy()}, or use another activation."
                )
            ]
    return []


def _constant(y: Array) -> bool:
    return bool((y == y[0]).all())


def nothing_learned(few: TrainingRows, settled: bool) -> list[Warning]:
    """Return a warning if the log-loss is much higher than the prior's, or all predictions are the same.

    If training has not settled, all predictions may still be the same, and only a loss that is ten
    times the prior's is too high. With several members, the log-loss is the mean of the members'
    log-losses, as in training: the averaged probabilities may have a low log-loss even if most members
    have diverged.
    """
    plan, labels, state = few.plan, few.data.labels, few.state
    # If the score is not the loss, the weights with the best score may have a high loss although training
    # went well.
    limit = max((_TIMES if settled else _TIMES_UNSETTLED) * few.prior, few.prior + _MORE)
    if state.history.loss <= limit:  # then only a collapse is possible, which some rows may rule out
        codes = labels.codes(state.calibrated(state.logits(few.spread_rows())))
        if (codes != codes[0]).any():
            return []
    each = state.network.outputs(few.inputs)
    z = state.calibrated(plan.ensemble_logits(each.copy()))
    n, k = z.shape
    if plan.loss.inverse_link == "softmax" and k != len(labels.classes):
        return []  # the logits of a user-defined loss may mean something else
    exact = SigmoidCrossEntropy() if plan.loss.inverse_link == "logistic" else SoftmaxCrossEntropy()
    targets = exact.targets(labels.for_loss(few.data.targets, k), n, k)
    of_members = state.member_logits(each).reshape(n, -1)
    loss = MemberLoss(exact, plan.n_members).mean(of_members, targets, few.weight)
    of_whom = "mean log-loss of the members" if plan.n_members > 1 else "log-loss"
    numbers = f"the {of_whom} is {loss:.4g}, where the class frequencies alone give {few.prior:.4g}"
    if min(loss, state.history.loss) > limit:
        clip = "" if plan.solver == "lbfgs" else ", or set max_grad_norm"
        return [
            DivergenceWarning(
                "training ended with a model that is worse than the class frequencies: on the "
                f"{n} training rows examined {numbers}. {few.remedy()}{clip}."
            )
        ]
    codes = labels.codes(z)
    one_prediction = settled and (codes == codes[0]).all() and loss > 0.99 * few.prior
    if one_prediction and few.prior > _ONE_SIDED and few.informative():
        return [
            CollapseWarning(
                f"all {n} training rows examined are predicted as {_shown(labels.named(codes[:1]))}, and "
                f"{numbers}: nothing was learned from X. {few.remedy()}, or lower alpha."
            )
        ]
    return []


def different_scales(few: Dataset, data: Dataset, rows: Array, label: Callable[[int], Any]) -> list[Warning]:
    """Return a warning if the largest magnitudes of two columns differ by more than a factor of 1000."""
    if _span(*_range(few)) is None:
        return []
    # The examined rows may lack a rare large value, so all rows are checked before a warning.
    step = max(1, _ENTRIES // data.X.shape[1])
    ranges = [_range(data.take(rows[start : start + step])) for start in range(0, len(rows), step)]
    top, bottom = zip(*ranges, strict=True)
    span = _span(np.max(top, axis=0), np.min(bottom, axis=0))
    if span is None:
        return []
    high, low, largest = span
    return [
        FeatureScaleWarning(
            f"the features differ in scale: column {label(high)} reaches {largest[high]:.4g} in magnitude, "
            f"column {label(low)} only {largest[low]:.4g}. Scale them, by scale_inputs=True or in a "
            "pipeline."
        )
    ]


def indistinct_values(scaling: Scaling, label: Callable[[int], Any]) -> list[Warning]:
    """Return a warning about the first column in which different values become nearly the same number.

    This happens if a quarter of the entries or more are different outliers, or if more than half of
    them are one value, such as -1e9 for missing entries, since these entries determine the scale.
    """
    if not scaling.centered:
        return []
    low, high = scaling.points[:-_CLOSE], scaling.points[_CLOSE:]
    with np.errstate(over="ignore"):
        steps = np.lib.stride_tricks.sliding_window_view(np.diff(scaling.points, axis=0), _CLOSE, axis=0)
        close = (steps > 0.0).all(axis=-1) & (high - low < _INDISTINCT * scaling.scale)
    columns = np.flatnonzero(close.any(axis=0))
    if not columns.size:
        return []
    j = int(columns[0])
    i = int(close[:, j].argmax())
    return [
        FeatureScaleWarning(
            f"column {label(j)} has values from {low[i, j]:.4g} to {high[i, j]:.4g} that the network cannot "
            f"distinguish, since the scale of the column is {scaling.scale[j]:.4g}. If it has outliers, such "
            "as a number for missing entries, replace them by NaN; otherwise use the logarithm of the column."
        )
    ]


def _range(data: Dataset) -> tuple[Array, Array]:
    """Return the largest and the smallest entry of each number column."""
    X = data.encoding.select_numbers(data.X[:])
    return _dense(X.max(axis=0)), _dense(X.min(axis=0))


def _span(top: Array, bottom: Array) -> tuple[int, int, Array] | None:
    """Return the columns of the largest and the smallest magnitude and all magnitudes, if they are far apart.

    A constant column cannot be the one of the smallest magnitude, but it can be the one of the largest: it
    disturbs the others.
    """
    if not top.size:
        return None
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
