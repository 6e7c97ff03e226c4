"""Validation: rows that are not trained on, and how well a network does on them."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from sklearn.metrics import get_scorer
from sklearn.model_selection import train_test_split
from sklearn.utils import _safe_indexing

from .calibration import COST, LEAST, best_share, in_blocks
from .losses import Loss
from .rows import as_weights
from .targets import ClassWeight, Labels
from .views import Array

# With fewer rows, "auto" does not choose the epoch by those held out: too few to judge by.
ENOUGH_ROWS = 500

# With fewer different rows it holds none out: a toy is to be learnt by heart.
_A_TOY = 10

# The share that "auto" holds out, of many rows and of few, and how many it would like to have.
_SHARE, _LARGEST_SHARE, _WISHED = 0.2, 0.5, 100

Scorer = Callable[..., float]


@dataclass(frozen=True)
class Sample:
    """Rows with their targets and weights, as the network reads them.

    Attributes
    ----------
    labels : Labels
    X, targets : arrays of n rows
        Checked and encoded.
    weight : ndarray of shape (n,) or None
        The sample weights.
    factor : ndarray of shape (n,) or None
        By what the class weights multiply them.
    given : array_like
        X as it was handed over, for scorers.
    """

    labels: Labels
    X: Any
    targets: Array
    weight: Array | None
    factor: Array | None
    given: Any

    def __post_init__(self) -> None:
        if self.factor is None or self.loss_weight is None:
            return
        with np.errstate(over="ignore", invalid="ignore"):
            total = self.loss_weight.sum()
        if not 0.0 < total < np.inf:
            raise ValueError(
                f"the weights of the rows, class_weight times sample_weight, sum to {total}; at least one of "
                f"the {len(self.factor)} rows must count, and the sum be finite"
            )

    @classmethod
    def of(cls, labels: Labels, X: Any, y: Any, sample_weight: Any, given: Any) -> Sample:
        """Encode and check targets and weights of rows X that are checked."""
        return cls(labels, X, labels.encode(y), as_weights(sample_weight, X.shape[0]), None, given)

    def factors(self, class_weight: ClassWeight) -> Array | None:
        """Return the weights of the classes, as these rows tell them; see `Labels.factors`."""
        return self.labels.factors(class_weight, self.targets, self.weight)

    def weighed(self, factors: Array | None) -> Sample:
        """Return these rows with the weights of their classes."""
        return self if factors is None else replace(self, factor=self.labels.spread(factors, self.targets))

    @property
    def loss_weight(self) -> Array | None:
        """The weights of the rows in the loss, (n,) or None."""
        if self.factor is None or self.weight is None:
            return self.weight if self.factor is None else self.factor
        with np.errstate(over="ignore", invalid="ignore"):
            return self.weight * self.factor

    @property
    def relative_weight(self) -> Array | None:
        """The same beside the largest of them, whose squares are numbers."""
        weight = self.loss_weight
        return None if weight is None else weight / weight.max()

    @property
    def rows(self) -> Array:
        """Indices of the rows that count: a row of weight 0 is as if it were not there."""
        weight = self.loss_weight
        return np.arange(self.X.shape[0]) if weight is None else np.flatnonzero(weight)

    def loss_targets(self, loss: Loss, n_outputs: int) -> Array:
        """Return the targets as a loss of so many logits reads them."""
        return loss.targets(self.labels.for_loss(self.targets, n_outputs), len(self.targets), n_outputs)

    def take(self, rows: Array) -> Sample:
        """Return these rows only, as copies."""
        return Sample(
            self.labels,
            self.X[rows],
            self.targets[rows],
            None if self.weight is None else self.weight[rows],
            None if self.factor is None else self.factor[rows],
            # Only a frame's names matter to a scorer; other kinds of X cannot all be indexed.
            _safe_indexing(self.given, rows) if hasattr(self.given, "columns") else self.X[rows],
        )


class Validation:
    """A sample that is not trained on, and the measure by which epochs are compared.

    Parameters
    ----------
    sample : Sample
    loss : Loss
    scoring : "loss", "accuracy", name of a scorer, or callable
        A callable is ``scorer(estimator, X, y)``, with ``sample_weight`` where the rows have weights. Higher
        is better; "loss" is minus the loss, calibrated if there is a prior.
    prior : ndarray of shape (n_outputs,), optional
        Logits that those of the estimator may be drawn to, see `calibration`.
    """

    def __init__(self, sample: Sample, loss: Loss, scoring: str | Scorer, prior: Array | None = None) -> None:
        if len(sample.rows) == 0:
            raise ValueError(
                f"the validation set has {sample.X.shape[0]} rows, none of them with a weight above 0; it "
                "needs at least one"
            )
        self.sample = sample
        self.loss = loss
        self.scoring = scoring
        self.prior = prior
        self._scorer = as_scorer(scoring)
        if self._scorer is not None and sample.weight is not None and not _takes_weights(self._scorer):
            raise ValueError(
                f"scoring={scoring!r} takes no sample_weight, but the validation rows have weights; use a "
                'scorer that does, or "loss"'
            )

    def measure(self, estimator: Any) -> tuple[float, float]:
        """Return the loss and the score of an estimator, whose network is asked as it is now."""
        sample, labels = self.sample, self.sample.labels
        z, y = self._answers(estimator)
        loss = self.loss.mean(z, y, sample.loss_weight)
        if self.scoring == "loss":
            if self.prior is None:
                return loss, -loss
            return loss, -self._best_share(z, y)[1]
        if self.scoring == "accuracy":
            hits = labels.hits(z, sample.targets)
            return loss, float(np.average(hits, weights=sample.weight)) if np.isfinite(z).all() else np.nan
        weights = {} if sample.weight is None else {"sample_weight": sample.weight}
        score = self._scorer(estimator, sample.given, labels.restore(sample.targets), **weights)  # type: ignore[misc]
        try:
            return loss, float(score)
        except (TypeError, ValueError):
            raise TypeError(f"scoring must return a number, got {score!r} from {self.scoring!r}") from None

    def share(self, estimator: Any) -> float:
        """Return how far the logits should be drawn to the prior; 1, not at all, if there is none."""
        return 1.0 if self.prior is None else self._best_share(*self._answers(estimator))[0]

    def _answers(self, estimator: Any) -> tuple[Array, Array]:
        """Return the logits, and the targets in the form that the loss reads."""
        z = estimator.network_.logits(self.sample.X)
        return z, self.sample.loss_targets(self.loss, z.shape[1])

    def _best_share(self, z: Array, y: Array) -> tuple[float, float]:
        assert self.prior is not None
        blocks = in_blocks(z, y, self.sample.relative_weight)
        return best_share(blocks, self.loss, self.prior, least=LEAST, most=1.0, cost=COST)


def as_scorer(scoring: str | Scorer) -> Scorer | None:
    """Return the scorer of this name, or the callable; None for "loss" and "accuracy"."""
    if isinstance(scoring, str) and scoring in ("loss", "accuracy"):
        return None
    if not isinstance(scoring, str) and not callable(scoring):
        raise TypeError(f'scoring must be "loss", the name of a scorer, or a callable, got {scoring!r}')
    scorer: Scorer = get_scorer(scoring)
    return scorer


def _takes_weights(scorer: Scorer) -> bool:
    if hasattr(scorer, "_accept_sample_weight"):  # scikit-learn's scorers take any keyword, and pass it on
        return bool(scorer._accept_sample_weight())
    parameters = inspect.signature(scorer).parameters.values()
    return any(p.name == "sample_weight" or p.kind is p.VAR_KEYWORD for p in parameters)


def share_to_hold_out(fraction: float | str, n: int) -> float:
    """Return what share of n rows to hold out; "auto" is a fifth, or of few rows up to half of them."""
    if isinstance(fraction, str):
        return min(_LARGEST_SHARE, max(_SHARE, _WISHED / n))
    return fraction


def is_a_toy(sample: Sample) -> bool:
    """Tell whether there is nothing to hold out: one class only, or less than ten rows that differ.

    Neither do ten rows tell more than one of them that has nearly all the weight.
    """
    rows, weight = sample.rows, sample.relative_weight
    if (sample.targets[rows] == sample.targets[rows[0]]).all():
        return True
    if weight is not None and weight.sum() ** 2 < _A_TOY * (weight @ weight):
        return True
    seen = set()
    for row in rows[:ENOUGH_ROWS]:  # no further than ten of them
        x = sample.X[[row]]
        seen.add((x.indices.tobytes(), x.data.tobytes()) if hasattr(x, "tocsr") else x.tobytes())
        if len(seen) >= _A_TOY:
            return False
    return len(rows) < ENOUGH_ROWS


def held_out(
    sample: Sample, wanted: bool | str, fraction: float | str, rng: np.random.Generator, *, few_pay: bool
) -> tuple[Array, Sample | None, bool]:
    """Hold rows out, if they are wanted: the policy behind ``early_stopping``.

    Parameters
    ----------
    sample : Sample
    wanted : bool or "auto"
        True holds out as scikit-learn's MLP does, "auto" where it pays.
    fraction : float or "auto"
    rng : numpy.random.Generator
    few_pay : bool
        Whether that pays with few rows, too: where they calibrate, and are trained on in the end.

    Returns
    -------
    tuple of ndarray, Sample or None, and bool
        Indices of the rows to train on, copies of those held out, and whether these can tell the best epoch.
    """
    n, many = len(sample.rows), len(sample.rows) >= ENOUGH_ROWS
    share = share_to_hold_out(fraction, n)
    if wanted is True:
        return *hold_out(sample, share, rng), True
    if wanted is False or not (many or few_pay) or share * n < 2 or is_a_toy(sample):
        return sample.rows, None, True
    rows, held = hold_out_fairly(sample, share, rng)
    return rows, held if len(rows) < n else None, many


def _can_be_on_both_sides(sample: Sample, fraction: float) -> bool:
    """Tell whether each class that occurs can have its share on both sides, if it is to."""
    if not sample.labels.stratified:
        return True
    counts = np.unique(sample.targets[sample.rows], return_counts=True)[1]
    held = math.ceil(fraction * counts.sum())
    return bool(counts.min() >= 2 and len(counts) <= min(held, counts.sum() - held))


def hold_out(sample: Sample, fraction: float, rng: np.random.Generator) -> tuple[Array, Sample]:
    """Split the rows that count into those to train on and those held out, as scikit-learn's MLP does.

    Each class has its share on both sides. Of more than two classes one may be too rare for that: then
    chance decides, as in scikit-learn. For two it is an error, likewise.

    Parameters
    ----------
    sample : Sample
    fraction : float
        Share of the rows to hold out.
    rng : numpy.random.Generator

    Returns
    -------
    tuple of ndarray and Sample
        Indices of the rows to train on, and copies of those held out.

    Raises
    ------
    ValueError
        If fewer than two rows would be held out, or one of two classes is too small to be split.
    """
    rows, labels = sample.rows, sample.labels
    held_out = f"validation_fraction={fraction} of {len(rows)} rows"
    stratify = None
    if labels.stratified and len(labels.classes) == 2:
        # As scikit-learn's MLP encodes two classes, so that its messages are the same.
        stratify = (sample.targets[rows] == 1)[:, None]
    elif _can_be_on_both_sides(sample, fraction):
        stratify = sample.targets[rows] if labels.stratified else None
    try:  # a share of 0, which scikit-learn's parameter allows, is no share that can be split off: see below
        train, held = train_test_split(
            rows, test_size=fraction or None, random_state=int(rng.integers(2**32)), stratify=stratify
        )
    except ValueError as error:
        raise ValueError(
            f"{error} This is about the rows held out for early_stopping, {held_out}; give X_val and y_val, "
            "or early_stopping=False"
        ) from None
    if fraction == 0.0 or len(held) < 2:
        raise ValueError(
            "The validation set is too small. Increase 'validation_fraction' or the size of your dataset: "
            f"{held_out} is {0 if fraction == 0.0 else len(held)}"
        )
    return train, sample.take(held)


def hold_out_fairly(sample: Sample, fraction: float, rng: np.random.Generator) -> tuple[Array, Sample]:
    """Split likewise, whatever the classes: of each its share, rounded up or down, and never the only row.

    The rows are sorted by class, and taken at equal distances. Less than two are none.
    """
    order = rng.permutation(sample.rows)
    if sample.labels.stratified:
        codes = sample.targets[order]
        order = order[np.bincount(codes)[codes] > 1]
        order = order[np.argsort(sample.targets[order], kind="stable")]
    n = len(order)
    at = ((np.arange(int(fraction * n) + 1) + rng.random()) / fraction).astype(np.intp)
    held = order[at[at < n][: max(0, n - 1)]]
    if len(held) < 2:
        held = held[:0]
    return np.setdiff1d(sample.rows, held), sample.take(held)
