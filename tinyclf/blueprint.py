"""The blueprint: what an estimator's parameters ask for, as layers, loss, optimizer, schedule and type."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from .initialisers import glorot_uniform, glorot_uniform_logistic
from .layers import ACTIVATIONS, Dense, Dropout, Layer, Logistic
from .losses import LOSSES, Loss, SigmoidCrossEntropy, SoftmaxCrossEntropy
from .network import Network
from .optimizers import SGD, Adam, Optimizer
from .schedules import SCHEDULES, Schedule
from .targets import Labels, LabelSets

Activation = str | Layer | type[Layer] | Sequence[Any]


@dataclass(frozen=True)
class Blueprint:
    """What to build and how to train it; checked, and made without a look at the rows.

    Attributes
    ----------
    layers : list of Layer
        From the input to the logits.
    ends : list of int
        How many of them there are up to the end of each hidden layer.
    loss : Loss
    n_outputs : int
        Number of logits.
    optimizer : Optimizer
    schedule : Schedule or None
        What falls over the budget of epochs; None if the learning rate does not know of one.
    rate_rule : {"constant", "invscaling", "adaptive"}
        What else changes the learning rate, of "sgd" only.
    max_iter : int
        The budget of epochs, or of iterations of L-BFGS.
    lbfgs : bool
        Whether the solver is L-BFGS, which has no steps, and no use for optimizer and schedule.
    early_stopping : bool or "auto"
    holds_out : bool or "auto"
        Whether to hold rows out for it, where no validation set is given; "lbfgs" does not.
    scoring : str or callable
        How a validation set is scored. If the parameter is None, it is accuracy where ``early_stopping`` is
        True, as in scikit-learn, else "loss".
    """

    layers: list[Layer]
    ends: list[int]
    loss: Loss
    n_outputs: int
    optimizer: Optimizer
    schedule: Schedule | None
    rate_rule: str
    max_iter: int
    lbfgs: bool
    early_stopping: bool | str
    holds_out: bool | str
    scoring: str | Callable[..., float]

    @classmethod
    def of(cls, parameters: Any, labels: Labels) -> Self:
        """Read the parameters of an estimator, given the labels that it is to tell apart."""
        loss = loss_for(labels, parameters.loss, parameters.label_smoothing)
        n_outputs = labels.n_outputs(loss)
        activation = parameters.activation
        hidden = hidden_layers(parameters.hidden_layer_sizes, activation, parameters.dropout)
        rate, early = parameters.learning_rate, parameters.early_stopping
        early = early if isinstance(early, str) else bool(early)  # NumPy's True is not True
        optimizer, lbfgs = optimizer_for(parameters), parameters.solver == "lbfgs"
        by_sgd = isinstance(optimizer, SGD) and not lbfgs
        drops = any(isinstance(layer, Dropout) for group in hidden for layer in group)
        if lbfgs and (drops or parameters.weight_decay):
            raise ValueError(
                "solver='lbfgs' knows neither weight_decay nor dropout, got "
                f"weight_decay={parameters.weight_decay}, dropout={parameters.dropout!r} and "
                f"activation={activation!r}; use alpha, or solver='adam'"
            )
        return cls(
            layers=[
                *(layer for group in hidden for layer in group),
                output_layer(n_outputs, hidden, activation),
            ],
            ends=list(accumulate(len(group) for group in hidden)),
            loss=loss,
            n_outputs=n_outputs,
            optimizer=optimizer,
            schedule=rate if callable(rate) else None if rate == "constant" else SCHEDULES.get(rate),
            rate_rule=rate if rate in ("invscaling", "adaptive") and by_sgd else "constant",
            max_iter=budget(parameters),
            lbfgs=lbfgs,
            early_stopping=early,
            holds_out=False if lbfgs else early,
            scoring=parameters.scoring or ("accuracy" if early is True else "loss"),
        )

    def check_is_that_of(self, network: Network, dtype: DTypeLike | None) -> None:
        """Raise an error unless a network is what this describes; a dtype of None is any."""
        if dtype is not None and computation_dtype(dtype, dtype) != network.dtype:
            raise ValueError(
                f"the fitted network computes in {network.dtype}, the parameters ask for dtype={dtype!r}; "
                "its type cannot change, so set the parameter back, or fit anew with warm_start=False"
            )
        if list(map(_parts, network.layers)) != list(map(_parts, self.layers)):
            raise ValueError(
                f"the fitted network has the layers {list(network.layers)}, the parameters ask for "
                f"{self.layers}; its layers cannot change, so set the parameters back, or fit anew with "
                "warm_start=False"
            )


def _parts(layer: Layer) -> tuple[type[Layer], str]:
    """Return what two layers have in common that do the same: a repr may hide an attribute."""
    return type(layer), repr(vars(layer))


def hidden_layers(
    hidden_layer_sizes: int | ArrayLike, activation: Activation, dropout: float | ArrayLike
) -> list[list[Layer]]:
    """Return the layers of each hidden layer: a dense one, its activation, and dropout if there is any.

    Parameters
    ----------
    hidden_layer_sizes : int or array_like of int
    activation : name, Layer or Layer class; or a sequence of these, one per hidden layer
        An entry of the sequence may be a sequence itself: layers that follow each other.
    dropout : float, or one per hidden layer
    """
    widths = _widths(hidden_layer_sizes)
    n = len(widths)
    if isinstance(activation, (list, tuple)):
        if len(activation) != n:
            raise ValueError(
                f"activation must be one for all hidden layers or a list with one for each of the {n}, got "
                f"{len(activation)}: {activation!r}"
            )
        per_layer = list(activation)
    else:
        per_layer = [activation] * n
    layers = []
    for width, entry, rate in zip(widths, per_layer, _rates(dropout, n), strict=True):
        following = [_layer(one) for one in (entry if isinstance(entry, (list, tuple)) else [entry])]
        layers.append([Dense(width, _initialiser(following)), *following, *([Dropout(rate)] if rate else [])])
    return layers


def output_layer(n_outputs: int, hidden: list[list[Layer]], activation: Activation) -> Dense:
    """Return the dense layer of the logits, initialised as the one below it."""
    below = hidden[-1] if hidden else [] if isinstance(activation, (list, tuple)) else [_layer(activation)]
    return Dense(n_outputs, _initialiser(below))


def _widths(hidden_layer_sizes: int | ArrayLike) -> list[int]:
    try:
        widths = np.atleast_1d(np.asarray(hidden_layer_sizes))
    except ValueError:  # rows of different lengths
        widths = np.array(["ragged"])
    if widths.ndim != 1 or (widths.size and (widths.dtype.kind not in "iu" or widths.min() < 1)):
        raise ValueError(
            f"hidden_layer_sizes must be whole numbers > 0, got {hidden_layer_sizes!r}; "
            "() is a network without hidden layers"
        )
    return [int(width) for width in widths]


def _rates(dropout: float | ArrayLike, n: int) -> list[float]:
    try:
        rates = np.asarray(dropout, np.float64)
    except (TypeError, ValueError):
        rates = np.array(np.nan)
    rates = np.full(n, rates) if rates.ndim == 0 and (rates == rates).all() else rates
    if rates.shape != (n,) or not ((rates >= 0) & (rates < 1)).all():
        raise ValueError(
            f"dropout must be a rate from 0 to below 1 for all hidden layers, or a list with one for each of "
            f"the {n}, got {dropout!r}"
        )
    return [float(rate) for rate in rates]


def _layer(activation: Any) -> Layer:
    if isinstance(activation, str) and activation in ACTIVATIONS:
        return ACTIVATIONS[activation]
    if isinstance(activation, type) and issubclass(activation, Layer):
        try:
            return activation()
        except TypeError as error:
            raise ValueError(
                f"activation={activation.__name__} cannot be made without arguments ({error}); "
                "give an instance"
            ) from None
    if isinstance(activation, Layer):
        return activation
    raise ValueError(
        f"The 'activation' parameter must be one of {sorted(ACTIVATIONS)}, a Layer, a Layer class, or a list "
        f"of these, one per hidden layer. Got {activation!r} instead."
    )


def _initialiser(layers: list[Layer]) -> Any:
    """Scikit-learn's, which has smaller weights for the logistic function."""
    logistic = any(isinstance(layer, Logistic) for layer in layers)
    return glorot_uniform_logistic if logistic else glorot_uniform


def loss_for(labels: Labels, loss: str | Loss, label_smoothing: float) -> Loss:
    """Return the loss for these labels: "log_loss" is logistic for two classes, and for several labels."""
    if isinstance(loss, Loss):
        if label_smoothing:
            raise ValueError(
                f"label_smoothing={label_smoothing} goes with a loss that is given by name; {loss!r} brings "
                "its own"
            )
        found = loss
    elif loss == "log_loss":
        logistic = isinstance(labels, LabelSets) or len(labels.classes) == 2
        found = (SigmoidCrossEntropy if logistic else SoftmaxCrossEntropy)(label_smoothing)
    else:
        found = LOSSES[loss](label_smoothing)  # type: ignore[call-arg]
    if len(labels.classes) == 1 and isinstance(found, SigmoidCrossEntropy):
        return SoftmaxCrossEntropy()  # a single class is certain, whatever the loss
    return found


def budget(parameters: Any) -> int:
    """Return the largest number of epochs, or of iterations of L-BFGS, which needs more of them."""
    if isinstance(parameters.max_iter, str):
        return 200 if parameters.solver == "lbfgs" else 40
    return int(parameters.max_iter)


def batch_size(wanted: int | str, n: int) -> int:
    """Return the number of rows per step: "auto" is scikit-learn's, "proportional" a 16th of n rows.

    That is between 64 and 200: few rows need small batches for enough steps, many make larger ones pay.
    """
    if wanted == "proportional":
        return min(n, 200, max(64, n // 16))
    return min(200, n) if isinstance(wanted, str) else wanted


def is_for_two_classes(loss: str | Loss) -> bool:
    """Tell whether a loss has one logit for two classes, and none for more."""
    return isinstance(loss, SigmoidCrossEntropy) or loss == "sigmoid_cross_entropy"


def optimizer_for(parameters: Any) -> Optimizer:
    """Return the optimizer; "lbfgs" has none, and gets one that keeps nothing from step to step."""
    solver, decay = parameters.solver, parameters.weight_decay
    if isinstance(solver, Optimizer):
        if decay:
            raise ValueError(
                f"weight_decay={decay} goes with a solver that is given by name; give it to the optimizer, "
                f"as in AdamW(weight_decay={decay}), got {solver!r}"
            )
        return solver
    if solver == "lbfgs":
        return SGD(parameters.learning_rate_init)
    if solver == "sgd":
        momentum, nesterov = parameters.momentum, parameters.nesterovs_momentum
        return SGD(parameters.learning_rate_init, momentum, bool(nesterov), decay)
    moments = parameters.beta_1, parameters.beta_2, parameters.epsilon
    return Adam(parameters.learning_rate_init, *moments, decay)


def computation_dtype(dtype: DTypeLike | None, of_X: DTypeLike) -> np.dtype[Any]:
    """Return the type to compute in; None is that of X."""
    try:
        found = np.dtype(of_X if dtype is None else dtype)
    except TypeError:
        found = None
    if found == np.float16:
        raise ValueError(
            'dtype="float16" is no type to compute in: its largest number is 65504 and sums lose their '
            'digits; use "float32"'
        )
    if found not in (np.float32, np.float64):
        raise ValueError(f'dtype must be "float32", "float64" or None, got {dtype!r}')
    return found
