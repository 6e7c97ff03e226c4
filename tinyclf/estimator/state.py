"""The state of a fit: everything that changes during training, in one place."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass, field, fields, replace
from typing import Any, Self

import numpy as np

from ..nn.arrays import Array
from ..nn.layers import Dense
from ..nn.network import Network
from ..nn.state import TrainState
from .calibration import Calibration
from .dataset import Dataset
from .early_stopping import BestWeights, Patience
from .encoding import Encoding
from .history import History
from .plan import FitPlan
from .scaling import Scaling
from .targets import Labels

# In a warm start, all earlier rows together count as at most this number of the new rows in the statistics of
# the features: many new rows replace them, and a few, in which a column may be constant, do not.
_REMEMBERED = 10.0


@dataclass
class FitState:
    """Everything that a fit changes, and that predictions and later fits need.

    A fitted estimator has one state. A checkpoint is a saved state; resuming a fit loads it.

    Attributes
    ----------
    plan : FitPlan
    labels : Labels
    encoding : Encoding
        Which columns of X are categories, and the inputs of the network.
    training : TrainState
        Network, optimizer state, random streams and learning-rate scale.
    scaling : Scaling or None
        Scaling of the number columns, before the network.
    calibration : Calibration or None
        Calibration of the logits, after the network; None before the end of a fit, or without
        calibration.
    history : History
    patience : Patience or None
        None after ``fit``; ``partial_fit`` keeps it for the next call.
    best : BestWeights
        Empty after ``fit``; ``partial_fit`` does not use it.
    seed : ndarray of 4 uint32
        Seed of the fit, stored so that it can be resumed.
    stopped, finished : bool
        Whether the search for the best epoch has stopped before ``max_iter``, and whether the fit
        is complete.
    initial : dict or None
        Snapshot of the training state before the first epoch, if the plan has a refit; not saved.
    """

    plan: FitPlan
    labels: Labels
    encoding: Encoding
    training: TrainState
    scaling: Scaling | None
    seed: Array
    history: History = field(default_factory=History)
    calibration: Calibration | None = None
    patience: Patience | None = None
    best: BestWeights = field(default_factory=BestWeights)
    stopped: bool = False
    finished: bool = False
    initial: dict[str, Any] | None = field(default=None, repr=False)

    @property
    def network(self) -> Network:
        """The network that is trained, without scaling and calibration."""
        return self.training.network

    def logits(self, inputs: Any) -> Array:
        """Return the logits (n, n_outputs) before calibration; with members, of their mean probabilities."""
        return self.network.outputs(inputs, function=self.plan.ensemble_logits)

    def calibrated(self, z: Array) -> Array:
        """Return the calibrated logits (n, n_outputs), given logits; this may overwrite them."""
        return z if self.calibration is None else self.calibration.apply(z)

    def member_logits(self, z: Array) -> Array:
        """Return the calibrated logits of each member, given the outputs z (n, ...) of the network.

        They have the shape (n * n_members, n_outputs): the members of a row follow each other. This may
        overwrite z.
        """
        return self.calibrated(z.reshape(-1, self.plan.n_outputs))

    @classmethod
    def start(
        cls,
        plan: FitPlan,
        data: Dataset,
        seed: Array,
        previous: Self | None = None,
        saved: Self | None = None,
    ) -> Self:
        """Return the state from which a fit starts.

        Parameters
        ----------
        plan : FitPlan
        data : Dataset
        seed : ndarray of 4 uint32
        previous : FitState, optional
            The state of the fit that this one continues (warm start). In a copy of its network, the
            first layer is rewritten for the new scaling, so that the output does not change.
        saved : FitState, optional
            The saved state of the same fit, interrupted or finished.

        Raises
        ------
        ValueError
            If the saved state does not fit the plan.
        """
        if saved is not None and saved.finished:
            return saved
        seed = seed if saved is None else saved.seed
        state = cls._with_statistics(plan, data, seed, previous, _REMEMBERED)
        if previous is not None:
            state.training.use(plan.optimizer, reset=True)
        state.history.begin(validates=plan.monitor, continues=False)
        state.patience = Patience(plan.tol, plan.n_iter_no_change)
        initial = state.training.snapshot() if plan.refit else None
        if saved is not None:
            saved.check_resumable(plan)
            found, needed = saved.network, state.network
            if (found.widths, found.dtype) != (needed.widths, needed.dtype):
                raise ValueError(f"the saved fit has the network {found}, but the parameters define {needed}")
        return replace(state if saved is None else saved, initial=initial)

    @classmethod
    def start_partial(cls, plan: FitPlan, data: Dataset, seed: Array, previous: Self | None = None) -> Self:
        """Return the state before an epoch of ``partial_fit``, with updated statistics of the features."""
        state = cls._with_statistics(plan, data, seed, previous, math.inf)
        if previous is not None:
            state.training.use(plan.optimizer)
        state.history.begin(validates=plan.monitor, continues=True)
        known_patience = None if previous is None else previous.patience
        state.patience = replace(
            known_patience or Patience(plan.tol, math.inf),
            tol=plan.tol,
            n_iter_no_change=plan.n_iter_no_change,
        )
        return state

    @classmethod
    def _with_statistics(
        cls, plan: FitPlan, data: Dataset, seed: Array, previous: Self | None, remembered: float
    ) -> Self:
        encoding = data.encoding
        scaling, known = None, None if previous is None else previous.scaling
        if plan.scale_inputs:
            scaling = data.scaling(known, remembered)
        if previous is None:
            streams = random_streams(seed)
            network = Network(plan.layers, encoding.n_inputs, dtype=plan.dtype, seed=streams["init"])
            training = TrainState(network, plan.optimizer, streams["train"])
            return cls(plan, data.labels, encoding, training, scaling, seed)
        training = previous.training.copy()
        encoding.carry_over(training.network, previous.scaling, scaling)
        if plan.learning_rate_rule == "constant":
            training.scale = 1.0  # an earlier call may have had another rule
        return cls(plan, data.labels, encoding, training, scaling, seed, previous.history.copy())

    def finish(self, *, complete: bool) -> None:
        """Discard what only the search for the best epoch needs, and set ``finished``."""
        self.patience, self.best, self.initial = None, BestWeights(), None
        self.stopped, self.finished = False, complete

    def copy(self) -> Self:
        """Return a copy that shares no array or list that training changes."""
        return replace(
            self,
            training=self.training.copy(),
            history=self.history.copy(),
            patience=copy.copy(self.patience),
            best=copy.copy(self.best),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the state as plain values, arrays, and objects that can be saved."""
        held = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "initial"}
        held["training"] = self.training.to_dict()
        held["theta"] = self.network.theta
        return held

    @classmethod
    def from_dict(cls, held: dict[str, Any]) -> Self:
        """Return the state that `to_dict` described.

        Raises
        ------
        ValueError, TypeError
            If its parts have wrong types or contradict each other.
        """
        expected = {f.name for f in fields(cls)} - {"initial"} | {"theta"}
        if held.keys() != expected:
            raise ValueError(f"the state of the fit has the parts {sorted(held)}, not {sorted(expected)}")
        held = dict(held)
        plan, labels, theta = held["plan"], held["labels"], held.pop("theta")
        for name, kinds in (
            ("plan", FitPlan),
            ("labels", Labels),
            ("encoding", Encoding),
            ("scaling", (Scaling, type(None))),
            ("history", History),
            ("calibration", (Calibration, type(None))),
            ("patience", (Patience, type(None))),
            ("best", BestWeights),
            ("stopped", bool),
            ("finished", bool),
        ):
            if not isinstance(held[name], kinds):
                raise ValueError(f"{name} has the wrong type, {type(held[name]).__name__}")
        encoding = held["encoding"]
        n_in = encoding.n_inputs
        _check_array("the vector of weights", theta, None, plan.dtype)
        _check_array("the seed", held["seed"], 4, np.uint32)
        _check_size(plan, n_in, theta.size)
        network = Network(plan.layers, n_in, dtype=plan.dtype, seed=0)
        network.theta = theta
        n_outputs = plan.n_members * plan.n_outputs
        if not (network.widths[-1] == n_outputs and plan.n_outputs == labels.n_outputs(plan.loss)):
            raise ValueError(
                f"the network has {network.widths[-1]} outputs, but {len(labels.classes)} classes need "
                f"{plan.n_members * labels.n_outputs(plan.loss)}"
            )
        if held["scaling"] is not None:
            _check_array("the medians", held["scaling"].base, encoding.n_numbers, np.float64)
        if held["calibration"] is not None:
            _check_array(
                "the logits of the class frequencies", held["calibration"].prior, plan.n_outputs, float
            )
        best, history = held["best"], held["history"]
        if best.theta is not None:
            _check_array("the best weights", best.theta, theta.size, theta.dtype)
            if best.epoch > len(history.loss_curve):
                raise ValueError(
                    f"the best epoch, {best.epoch}, is after the last, {len(history.loss_curve)}"
                )
        held["training"] = TrainState.from_dict(network, held["training"])
        arrays = held["training"].optimizer_state.arrays
        for name, array in {**arrays, "best weights": best.theta}.items():  # training would have failed
            if array is not None and not np.isfinite(array).all():
                raise ValueError(f"{name} must be finite")
        return cls(**held)

    def check_resumable(self, plan: FitPlan) -> None:
        """Raise an error unless this is a state between two epochs of a fit with this plan."""
        history, monitor = self.history, plan.monitor
        n_scores = None if history.validation_scores is None else len(history.validation_scores)
        if self.patience is None or self.calibration is not None:
            raise ValueError("the state of an unfinished fit must have patience, and no calibration yet")
        if n_scores != (history.n_iter if monitor else None):
            raise ValueError(f"a fit of {history.n_iter} epochs with monitor={monitor} has {n_scores} scores")
        if len(history.loss_curve) != history.n_iter or history.n_iter > plan.max_iter:
            raise ValueError(
                f"a fit of {history.n_iter} epochs, of at most {plan.max_iter}, has "
                f"{len(history.loss_curve)} losses"
            )
        if monitor == (history.best_validation_score is None):
            raise ValueError(f"with monitor={monitor}, the best score is {history.best_validation_score!r}")


def random_streams(seed: Array) -> dict[str, np.random.Generator]:
    """Return independent random generators, one for each use; a new use does not change the others."""
    return dict(zip(("init", "train", "hold_out"), np.random.default_rng(seed).spawn(3), strict=True))


def _check_size(plan: FitPlan, n_in: int, size: int) -> None:
    """Raise an error if the layers need more weights than there are, before memory is allocated."""
    width, needed = n_in, 0
    for layer in plan.layers:
        if isinstance(layer, Dense):
            needed += layer.n_parameters(width)
            width = layer.n_out(width)
        if needed > size:
            raise ValueError(f"the layers need at least {needed} weights, but there are {size}")


def _check_array(what: str, array: Any, n: int | None, dtype: Any) -> None:
    if not (isinstance(array, np.ndarray) and array.ndim == 1 and array.dtype == dtype):
        raise ValueError(f"{what} must be a vector of {np.dtype(dtype)}")
    if n is not None and len(array) != n:
        raise ValueError(f"{what} must have {n} entries, got {len(array)}")
