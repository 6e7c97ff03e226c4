"""Validation: hold rows out of the training, and score a network on them."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.metrics import get_scorer
from sklearn.model_selection import train_test_split

from ..nn.arrays import Array
from .calibration import COST, LEAST, MAX_LOGITS, Calibration, best_shrinkage
from .dataset import Dataset, in_validation_set
from .plan import FitPlan
from .scaling import Scaling
from .state import FitState

Scorer = Callable[..., float]


class Validation:
    """The validation set of a fit, and the score by which epochs are compared.

    Parameters
    ----------
    data : Dataset
        Rows that are not trained on.
    plan : FitPlan
    scaling : Scaling or None
        Scaling of the features.
    prior : ndarray of shape (n_outputs,) or None
        The logits toward which calibration shrinks, see `Calibration`; None without calibration.
    """

    def __init__(self, data: Dataset, plan: FitPlan, scaling: Scaling | None, prior: Array | None) -> None:
        self.data, self.plan, self.prior = data, plan, prior
        self._scorer = as_scorer(plan.scoring)
        if self._scorer is not None and data.sample_weight is not None and not _takes_weights(self._scorer):
            raise ValueError(
                f"scoring={plan.scoring!r} does not accept sample_weight, but the validation rows have "
                'weights; use a scorer that accepts it, or "loss"'
            )
        with in_validation_set():
            self.inputs = data.inputs(scaling, plan.dtype, plan.layers[0].reads_sparse)
        self.targets = data.loss_targets(plan.loss, plan.n_outputs)
        self._scored = None if self._scorer is None else data.for_scorer()

    def measure(self, estimator: Any, state: FitState) -> tuple[float, float]:
        """Return the loss and the score of the current network; a higher score is better.

        Parameters
        ----------
        estimator : TinyClassifier
            Passed to a scorer, which calls its prediction methods.
        state : FitState
        """
        data, labels, scoring = self.data, self.data.labels, self.plan.scoring
        z = state.logits(self.inputs)
        loss = self.plan.loss.mean(z, self.targets, data.loss_weight)
        if scoring == "loss":
            return loss, -loss if self.prior is None else -self._calibrated_loss(z)
        if scoring == "accuracy":
            hits = labels.hits(z, data.targets)
            score = float(np.average(hits, weights=data.sample_weight)) if np.isfinite(z).all() else np.nan
            return loss, score
        weights = {} if data.sample_weight is None else {"sample_weight": data.sample_weight}
        found = self._scorer(estimator, self._scored, labels.restore(data.targets), **weights)  # type: ignore[misc]
        try:
            return loss, float(found)
        except (TypeError, ValueError):
            raise TypeError(f"scoring must return a number, got {found!r} from {scoring!r}") from None

    def shrinkage(self, state: FitState) -> float:
        """Return the shrinkage toward the prior that minimizes the loss; 1 without a prior."""
        return 1.0 if self.prior is None else self._best_shrinkage(state.logits(self.inputs))[0]

    def _calibrated_loss(self, z: Array) -> float:
        """Return the loss of all rows with the best shrinkage; this may overwrite z."""
        assert self.prior is not None
        shrinkage, loss = self._best_shrinkage(z)
        if z.size <= MAX_LOGITS:
            return loss
        z = Calibration(shrinkage, self.prior).apply(z)  # the loss above is that of a sample
        return self.plan.loss.mean(z, self.targets, self.data.relative_weight)

    def _best_shrinkage(self, z: Array) -> tuple[float, float]:
        assert self.prior is not None
        return best_shrinkage(
            z,
            self.targets,
            self.data.relative_weight,
            self.plan.loss,
            self.prior,
            least=LEAST,
            most=1.0,
            cost=COST,
        )


def as_scorer(scoring: str | Scorer) -> Scorer | None:
    """Return the scorer of this name, or the callable; None for "loss" and "accuracy"."""
    if isinstance(scoring, str) and scoring in ("loss", "accuracy"):
        return None
    if not isinstance(scoring, str) and not callable(scoring):
        raise TypeError(f'scoring must be "loss", the name of a scorer, or a callable, got {scoring!r}')
    scorer: Scorer = get_scorer(scoring)
    return scorer


def check_is_scorer(scoring: Any) -> None:
    """Raise an error for a function that cannot be called as a scorer, such as a metric."""
    try:
        signature = inspect.signature(scoring)
    except (TypeError, ValueError):  # a name, or a function whose signature is unknown
        return
    if next(iter(signature.parameters), None) in ("y_true", "labels_true") or not _binds(signature):
        name = getattr(scoring, "__name__", repr(scoring))
        raise ValueError(
            f"scoring is called as scoring(estimator, X, y), got {name}{signature}; if it is a metric, pass "
            f"make_scorer({name}) of sklearn.metrics, or the name of a scorer"
        )


def _binds(signature: inspect.Signature) -> bool:
    """Return whether a function can be called as a scorer, with or without sample_weight."""
    for weight in ({}, {"sample_weight": None}):
        try:
            signature.bind("estimator", "X", "y", **weight)
            return True
        except TypeError:
            pass
    return False


def _takes_weights(scorer: Scorer) -> bool:
    if hasattr(scorer, "_accept_sample_weight"):  # scikit-learn's scorers accept any keyword
        return bool(scorer._accept_sample_weight())
    parameters = inspect.signature(scorer).parameters.values()
    return any(p.name == "sample_weight" or p.kind is p.VAR_KEYWORD for p in parameters)


def _can_be_on_both_sides(data: Dataset, fraction: float) -> bool:
    """Return whether each class can have rows on both sides of a split, if the split is stratified."""
    if not data.labels.stratified:
        return True
    counts = np.unique(data.targets[data.rows], return_counts=True)[1]
    held = math.ceil(fraction * counts.sum())
    return bool(counts.min() >= 2 and len(counts) <= min(held, counts.sum() - held))


def hold_out(data: Dataset, plan: FitPlan, rng: np.random.Generator) -> tuple[Array, Array]:
    """Split the rows with a positive weight into training rows and held-out rows, as a plan defines.

    Parameters
    ----------
    data : Dataset
    plan : FitPlan
    rng : numpy.random.Generator

    Returns
    -------
    train, held : ndarray of int
        Indices of rows.

    Raises
    ------
    ValueError
        If the split is stratified and fewer than two rows would be held out, or one of two classes
        is too small to be split.
    """
    if plan.validation == "stratified":
        return _stratified(data, plan.validation_fraction, rng)
    if plan.validation == "even":
        return _even(data, plan.validation_fraction, plan.n_validation, rng)
    return data.rows, data.rows[:0]


def _stratified(data: Dataset, fraction: float, rng: np.random.Generator) -> tuple[Array, Array]:
    """Split as scikit-learn's MLP does: each class has the same fraction on both sides.

    If a class is too rare for this, two classes raise an error, and with more than two the split is
    random; both as in scikit-learn.
    """
    rows, labels = data.rows, data.labels
    held_out = f"validation_fraction={fraction} of {len(rows)} rows"
    stratify = None
    if labels.stratified and len(labels.classes) == 2:
        # The encoding of scikit-learn's MLP for two classes, so that its error messages are the same.
        stratify = (data.targets[rows] == 1)[:, None]
    elif _can_be_on_both_sides(data, fraction):
        stratify = data.targets[rows] if labels.stratified else None
    try:  # scikit-learn's parameter allows 0, see below
        train, held = train_test_split(
            rows, test_size=fraction or None, random_state=int(rng.integers(2**32)), stratify=stratify
        )
    except ValueError as error:
        raise ValueError(
            f"{error} This is about the rows held out for early_stopping, {held_out}; pass X_val and y_val, "
            "or set early_stopping=False"
        ) from None
    if fraction == 0.0 or len(held) < 2:
        raise ValueError(
            "The validation set is too small. Increase 'validation_fraction' or the size of your dataset: "
            f"{held_out} is {0 if fraction == 0.0 else len(held)}, and must be at least 2"
        )
    return train, held


def _even(data: Dataset, fraction: float, n_held: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """Hold out the fraction of the rows of each class, up to one row, however small the classes are.

    Which classes are rounded up is random. The only row of a class is trained on.
    """
    rows = data.rows
    order = rng.permutation(rows)
    codes = data.targets[order] if data.labels.stratified else np.zeros(len(order), np.int8)
    expected = data.held_per_class(fraction)
    quota = np.floor(expected).astype(np.intp)
    rest, n_more = expected - quota, n_held - quota.sum()
    if n_more > 0:
        quota[rng.choice(len(quota), n_more, replace=False, p=rest / rest.sum())] += 1
    held = np.concatenate([order[codes == code][:n] for code, n in enumerate(quota)])
    trained = np.ones(data.X.shape[0], bool)
    trained[held] = False
    return rows[trained[rows]], held
