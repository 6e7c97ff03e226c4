"""The plan of a fit: the estimator's parameters with every "auto" resolved for the data at hand."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from itertools import accumulate
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from ..nn.arrays import Array
from ..nn.errors import check_interval, whole_number
from ..nn.initializers import glorot_uniform, glorot_uniform_logistic
from ..nn.layers import ACTIVATIONS, Dense, Dropout, Layer, Logistic
from ..nn.losses import LOSSES, Loss, SigmoidCrossEntropy, SoftmaxCrossEntropy
from ..nn.members import MemberDense, MemberLoss, SharedDense
from ..nn.network import Network
from ..nn.optimizers import SGD, Adam, Optimizer
from ..nn.schedules import SCHEDULES, Schedule, constant
from .dataset import ENOUGH_ROWS, Dataset
from .targets import Labels, LabelSets

Activation = str | Layer | type[Layer] | Sequence[Any]

# For validation_fraction="auto": the smallest fraction, the largest fraction, and the wanted number of rows.
_FRACTION, _LARGEST_FRACTION, _AIM = 0.2, 0.5, 100


# For n_members="auto": the number of members, and the largest number of weights of a member.
_MEMBERS, _SMALL_NETWORK = 8, 100_000

_BUILT_IN = {Dense, Dropout, *map(type, ACTIVATIONS.values()), *LOSSES.values()}


@dataclass(frozen=True, repr=False)
class FitPlan:
    """How a fit trains: the parameters of a `TinyClassifier`, with every "auto" resolved for its data.

    ``model.plan_`` is the plan of the last ``fit`` or ``partial_fit``; ``print(model.plan_)`` shows
    it, one line per item.

    Attributes
    ----------
    solver : {"minibatch", "lbfgs"}
        Steps of an optimizer on mini-batches, or L-BFGS on all rows.
    layers : list of Layer
        From the input to the logits.
    hidden_ends : list of int
        For each hidden layer, the number of ``layers`` up to its end.
    loss : Loss
    n_outputs : int
        Number of logits of each member.
    n_members : int
        Number of members of the network; their probabilities are averaged.
    dtype : dtype
        The type of the network.
    output_dtype : dtype
        The type in which probabilities and logits are returned.
    alpha : float
        Strength of the L2 penalty.
    optimizer : Optimizer
        Not used by L-BFGS.
    schedule : callable or str
        Maps the fraction of the training that is done to a factor of the learning rate. In a loaded
        model, a function that could not be saved is replaced by its name.
    ends_by_schedule : bool
        Whether the learning rate follows a schedule over ``max_iter`` epochs. If so, reaching
        ``max_iter`` causes no ConvergenceWarning.
    learning_rate_rule : {"constant", "invscaling", "adaptive"}
        Rule that changes the learning rate instead of a schedule; "constant" without "sgd".
    power_t : float
        Exponent of "invscaling".
    max_iter : int
        Maximum number of epochs, or of iterations of L-BFGS.
    max_fun : int
        Maximum number of evaluations of the loss by L-BFGS.
    batch_size, refit_batch_size : int
        Rows per step, and rows per step of the refit on all rows.
    batch_size_warning : str or None
        Text of the warning if the parameter ``batch_size`` is larger than the number of rows.
    shuffle : bool
    max_grad_norm : float or None
    tol, n_iter_no_change : float
        When training stops early, see `Patience`; ``n_iter_no_change`` is inf if it never does.
    early_stopping : bool
        Whether training stops if the validation score stops improving; otherwise, if the training
        loss does.
    monitor : bool
        Whether the validation set is scored after each epoch, and ``fit`` keeps the best weights.
    track_best_loss : bool
        Whether ``best_loss_`` is kept; not with ``early_stopping=True``, as in scikit-learn.
    validation : {"none", "given", "stratified", "even"}
        Where the validation set comes from. "given" is X_val. "stratified" holds rows out as
        scikit-learn's MLP does. "even" holds out the fraction of each class, rounded up or down at
        random so that the sum is right.
    validation_fraction : float
        Fraction of the rows to hold out; 0 if no rows are held out.
    n_train, n_validation : int
        Number of rows that are trained on before a refit, and number of rows in the validation set;
        rows of weight 0 are not counted.
    scoring : str or callable
        How a validation set is scored. In a loaded model it may be a name, as for ``schedule``.
    scale_inputs, calibrate, refit : bool
        Whether to scale the columns, to calibrate the logits, and to train again on all rows.
    continues : bool
        Whether the fit continues an earlier one (warm start, or ``partial_fit``). If so, calibration
        does not change the predicted labels.
    verbose : bool
    """

    solver: str
    layers: list[Layer]
    hidden_ends: list[int]
    loss: Loss
    n_outputs: int
    n_members: int
    dtype: np.dtype[Any]
    output_dtype: np.dtype[Any]
    alpha: float
    optimizer: Optimizer
    schedule: Schedule | str
    ends_by_schedule: bool
    learning_rate_rule: str
    power_t: float
    max_iter: int
    max_fun: int
    batch_size: int
    refit_batch_size: int
    batch_size_warning: str | None
    shuffle: bool
    max_grad_norm: float | None
    tol: float
    n_iter_no_change: float
    early_stopping: bool
    monitor: bool
    track_best_loss: bool
    validation: str
    validation_fraction: float
    n_train: int
    n_validation: int
    scoring: str | Callable[..., float]
    scale_inputs: bool
    calibrate: bool
    refit: bool
    continues: bool
    verbose: bool

    @classmethod
    def resolve(cls, estimator: Any, data: Dataset) -> Self:
        """Resolve the parameters of an estimator for a fit on these data.

        Raises
        ------
        ValueError
            If parameters contradict each other or the network of the fit that is continued; the
            message names them with their values.
        """
        continued = estimator._continued
        parts = _parts_of(estimator, data, None if continued is None else continued.network)
        lbfgs, loss = parts["solver"] == "lbfgs", parts["loss"]
        early = estimator.early_stopping
        early = early if isinstance(early, str) else bool(early)  # np.True_ is not True
        calibrate = estimator.calibrate and not lbfgs and _is_calibrated(loss)
        n = data.n_rows
        fraction = estimator.validation_fraction
        if isinstance(fraction, str):
            fraction = min(_LARGEST_FRACTION, max(_FRACTION, _AIM / n))
        validation, monitor, held = "none", False, 0
        if data.validation is not None:
            validation, monitor, held = "given", True, len(data.validation.rows)
        elif early is True and not lbfgs:
            validation, monitor, held = "stratified", True, math.ceil(fraction * n)
        elif early == "auto" and not lbfgs and (n >= ENOUGH_ROWS or (calibrate and estimator.refit)):
            held = 0 if data.is_toy() else data.n_held_evenly(fraction)
            if held:
                validation, monitor = "even", n >= ENOUGH_ROWS
        held_out = validation in ("stratified", "even")
        n_train = n - held if held_out else n
        stops_by_score = monitor and early is not False
        return cls(
            **parts,
            max_iter=_budget(estimator),
            **_batch_sizes(estimator.batch_size, n_train, n, data.n_given - (n - n_train)),
            n_iter_no_change=math.inf if lbfgs and not stops_by_score else estimator.n_iter_no_change,
            early_stopping=stops_by_score,
            monitor=monitor,
            track_best_loss=early is not True,
            validation=validation,
            validation_fraction=float(fraction) if held_out else 0.0,
            n_train=n_train,
            n_validation=held,
            scoring=estimator.scoring or ("accuracy" if early is True else "loss"),
            calibrate=bool(calibrate),
            refit=bool(estimator.refit and held_out),
            continues=continued is not None,
        )

    @classmethod
    def resolve_partial(cls, estimator: Any, data: Dataset) -> Self:
        """Resolve the parameters of an estimator for one epoch of ``partial_fit`` on these data.

        No rows are held out, and there is no calibration and no refit. Schedules are constant, as
        the number of epochs is unknown. An adaptive learning rate depends on the training loss,
        since only some calls may have a validation set.
        """
        earlier = estimator._earlier
        parts = _parts_of(estimator, data, None if earlier is None else earlier.network)
        early = estimator.early_stopping
        if not isinstance(early, str) and early and data.validation is None:
            raise ValueError(
                "partial_fit does not support early_stopping=True, since each call has only some of the "
                "rows; pass a validation set, X_val and y_val"
            )
        n, adaptive = data.n_rows, parts["learning_rate_rule"] == "adaptive"
        return cls(
            **{**parts, "schedule": constant, "ends_by_schedule": True},
            max_iter=1,
            **_batch_sizes(estimator.batch_size, n, n, data.n_given),
            n_iter_no_change=estimator.n_iter_no_change if adaptive else math.inf,
            early_stopping=False,
            monitor=data.validation is not None,
            track_best_loss=isinstance(early, str) or not early,
            validation="none" if data.validation is None else "given",
            validation_fraction=0.0,
            n_train=n,
            n_validation=0 if data.validation is None else len(data.validation.rows),
            scoring=estimator.scoring or ("accuracy" if early is True else "loss"),
            calibrate=False,
            refit=False,
            continues=earlier is not None,
        )

    def __post_init__(self) -> None:
        for name, kinds in (
            ("solver", ("minibatch", "lbfgs")),
            ("learning_rate_rule", ("constant", "invscaling", "adaptive")),
            ("validation", ("none", "given", "stratified", "even")),
        ):
            if getattr(self, name) not in kinds:
                raise ValueError(f"{name} must be one of {kinds}, got {getattr(self, name)!r}")
        for name, kind in (("loss", Loss), ("optimizer", Optimizer)):
            if not isinstance(getattr(self, name), kind):
                raise ValueError(f"{name} must be a {kind.__name__}, got {getattr(self, name)!r}")
        for names, low in (
            (("n_outputs", "n_members", "max_iter", "max_fun", "batch_size", "refit_batch_size"), 1),
            (("n_train", "n_validation"), 0),
        ):
            for name in names:
                value = getattr(self, name)
                if type(value) is not int or value < low:
                    raise ValueError(f"{name} must be a whole number >= {low}, got {value!r}")
        for name, lowest, highest in (
            ("alpha", 0.0, math.inf),
            ("power_t", -math.inf, math.inf),
            ("tol", 0.0, math.inf),
            ("n_iter_no_change", 1, math.inf),
            ("validation_fraction", 0.0, 1.0),
            ("max_grad_norm", 0.0, math.inf),
        ):
            if getattr(self, name) is not None or name != "max_grad_norm":
                check_interval(name, getattr(self, name), lowest, highest)
        for f in fields(self):
            if f.type == "bool" and type(getattr(self, f.name)) is not bool:
                raise ValueError(f"{f.name} must be True or False, got {getattr(self, f.name)!r}")
        for name in ("schedule", "scoring"):
            value = getattr(self, name)
            if not callable(value) and not isinstance(value, str):
                raise ValueError(f"{name} must be a function or a name, got {value!r}")
        if not isinstance(self.batch_size_warning, (str, type(None))):
            raise ValueError(f"batch_size_warning must be a string or None, got {self.batch_size_warning!r}")
        for name in ("dtype", "output_dtype"):
            dtype = getattr(self, name)
            if not isinstance(dtype, np.dtype) or dtype not in (np.float32, np.float64):
                raise ValueError(f"{name} must be float32 or float64, got {dtype!r}")
        self._check_layers()

    def _check_layers(self) -> None:
        """Raise an error unless each hidden layer, and the output layer, begins with a dense layer."""
        layers, ends, k = self.layers, self.hidden_ends, self.n_members
        if not isinstance(layers, list) or not all(isinstance(layer, Layer) for layer in layers):
            raise ValueError(f"layers must be a list of layers, got {layers!r}")
        if not isinstance(ends, list) or not all(type(end) is int for end in ends):
            raise ValueError(f"hidden_ends must be a list of whole numbers, got {ends!r}")
        starts = [0, *ends]
        in_order = starts == sorted(set(starts)) and starts[-1] == len(layers) - 1
        if not in_order or not all(isinstance(layers[i], Dense) for i in starts):
            raise ValueError(f"hidden layers must begin with Dense layers, got {layers!r} with ends {ends!r}")
        if k == 1:
            fits = all(type(layers[i]) is Dense for i in starts)
        else:
            fits = bool(ends) and with_members(layers, k) == layers
        if not fits:
            raise ValueError(f"the layers do not match n_members={k}: {layers!r}")

    @property
    def training_loss(self) -> Loss:
        """The loss of the outputs of the whole network: the mean of the members' losses."""
        return self.loss if self.n_members == 1 else MemberLoss(self.loss, self.n_members)

    def ensemble_logits(self, z: Array) -> Array:
        """Return the logits (n, n_outputs) of the members' mean probabilities, given the outputs of all."""
        return z if self.n_members == 1 else MemberLoss(self.loss, self.n_members).ensemble_logits(z)

    @property
    def rows_dtype(self) -> np.dtype[Any]:
        """The type of the training rows: float64 for L-BFGS, otherwise the type of the network."""
        return np.dtype(np.float64) if self.solver == "lbfgs" else self.dtype

    def __repr__(self) -> str:
        width = max(len(f.name) for f in fields(self))
        lines = (f"    {f.name:{width}} = {shown(getattr(self, f.name))}" for f in fields(self))
        return "FitPlan(\n" + ",\n".join(lines) + ",\n)"


def shown(value: Any) -> str:
    """Return the text that a plan shows for a value; for a function, its name."""
    return getattr(value, "__name__", None) or (value.name if isinstance(value, np.dtype) else repr(value))


def _parts_of(estimator: Any, data: Dataset, network: Network | None) -> dict[str, Any]:
    """Return the attributes that are resolved in the same way for ``fit`` and ``partial_fit``."""
    labels, lbfgs = data.labels, estimator.solver == "lbfgs"
    loss = loss_for(labels, estimator.loss, estimator.label_smoothing)
    n_outputs = labels.n_outputs(loss)
    activation, rate = estimator.activation, estimator.learning_rate
    hidden = hidden_layers(estimator.hidden_layer_sizes, activation, estimator.dropout)
    optimizer = optimizer_for(estimator)
    drops = any(isinstance(layer, Dropout) for group in hidden for layer in group)
    if lbfgs and (drops or estimator.weight_decay):
        raise ValueError(
            "solver='lbfgs' supports neither weight_decay nor dropout, got "
            f"weight_decay={estimator.weight_decay}, dropout={estimator.dropout!r} and "
            f"activation={activation!r}; use alpha, or solver='adam'"
        )
    layers = [
        *(layer for group in hidden for layer in group),
        output_layer(n_outputs, hidden, activation),
    ]
    n_members = _n_members(estimator.n_members, layers, data.encoding.n_inputs, loss, optimizer, network)
    if n_members > 1:
        layers = with_members(layers, n_members)
    if network is not None:
        _check_continues(network, layers, estimator.dtype)
    dtype = computation_dtype(estimator.dtype, data.dtype if network is None else network.dtype)
    schedule = rate if callable(rate) else None if rate == "constant" else SCHEDULES.get(rate)
    by_rule = rate in ("invscaling", "adaptive") if isinstance(rate, str) else False
    return {
        "solver": "lbfgs" if lbfgs else "minibatch",
        "layers": layers,
        "hidden_ends": list(accumulate(len(group) for group in hidden)),
        "loss": loss,
        "n_outputs": n_outputs,
        "n_members": n_members,
        "dtype": dtype,
        "output_dtype": dtype if estimator.dtype is None else np.dtype(np.float64),
        "alpha": float(estimator.alpha),
        "optimizer": optimizer,
        "schedule": schedule or constant,
        "ends_by_schedule": schedule is not None,
        "learning_rate_rule": rate if by_rule and isinstance(optimizer, SGD) and not lbfgs else "constant",
        "power_t": float(estimator.power_t),
        "max_fun": int(estimator.max_fun),
        "shuffle": bool(estimator.shuffle),
        "max_grad_norm": estimator.max_grad_norm,
        "tol": float(estimator.tol),
        "scale_inputs": bool(estimator.scale_inputs),
        "verbose": bool(estimator.verbose),
    }


def check_parameters(estimator: Any, labels: Labels, dtype: DTypeLike) -> None:
    """Raise an error unless the estimator's parameters are valid for these labels and this type of X."""
    labels.n_outputs(loss_for(labels, estimator.loss, estimator.label_smoothing))
    hidden = hidden_layers(estimator.hidden_layer_sizes, estimator.activation, estimator.dropout)
    output_layer(1, hidden, estimator.activation)
    optimizer_for(estimator)
    computation_dtype(estimator.dtype, dtype)


def _check_continues(network: Network, layers: list[Layer], dtype: DTypeLike | None) -> None:
    """Raise an error unless a network has these layers and this dtype; None allows any dtype."""
    if dtype is not None and computation_dtype(dtype, dtype) != network.dtype:
        raise ValueError(
            f"the fitted network computes in {network.dtype}, but the parameters have dtype={dtype!r}; its "
            "type cannot change, so set dtype back, or fit with warm_start=False"
        )
    if list(map(_kind_of, network.layers)) != list(map(_kind_of, layers)):
        raise ValueError(
            f"the fitted network has the layers {list(network.layers)}, but the parameters define {layers}; "
            "its layers cannot change, so set the parameters back, or fit with warm_start=False"
        )


def _n_members(
    wanted: int | str,
    layers: list[Layer],
    n_in: int,
    loss: Loss,
    optimizer: Optimizer,
    continued: Network | None,
) -> int:
    """Return the number of members, given the layers of one member.

    If a fit is continued, "auto" is the number of members of its network. In a new network, it is 1 if
    several members would take too long (a large network), would learn too slowly (with SGD, whose steps
    are proportional to a member's part of the loss), or might be mixed (by a user-defined layer or loss).
    """
    members = _MEMBERS if wanted == "auto" else whole_number("n_members", wanted, 1)
    if len(layers) == 1:  # without hidden layers, all members would learn the same function
        return 1
    if wanted != "auto":
        return members
    if continued is not None:
        first = continued.layers[0]
        return first.n_members if isinstance(first, SharedDense) else 1
    n_weights = 0
    for layer in layers:
        if isinstance(layer, Dense):
            n_weights, n_in = n_weights + n_in * layer.units, layer.units
    built_in = all(type(part) in _BUILT_IN for part in (loss, *layers))
    return members if built_in and isinstance(optimizer, Adam) and n_weights <= _SMALL_NETWORK else 1


def _is_calibrated(loss: Loss) -> bool:
    """Return whether logits can be calibrated; those of a user-defined loss may mean something else."""
    return isinstance(loss, (SoftmaxCrossEntropy, SigmoidCrossEntropy))


def _budget(estimator: Any) -> int:
    """Return the maximum number of epochs, or of iterations of L-BFGS, which needs more."""
    if isinstance(estimator.max_iter, str):
        return 200 if estimator.solver == "lbfgs" else 40
    return int(estimator.max_iter)


def _batch_sizes(wanted: int | str, n_train: int, n_refit: int, n_given: int) -> dict[str, Any]:
    """Return the numbers of rows per step: "auto" as in scikit-learn, "proportional" 1/16 of the rows.

    "proportional" is at least 64 and at most 200: few rows need small batches for enough steps, and
    with many rows large batches are faster. All sizes are clipped to the number of rows.
    """

    def size(n: int) -> int:
        if isinstance(wanted, str):
            return max(1, min(n, 200, max(64, n // 16) if wanted == "proportional" else 200))
        return max(1, min(int(wanted), n))

    clipped = not isinstance(wanted, str) and wanted > n_given
    warning = f"batch_size={wanted} is larger than the {n_given} training rows; it is clipped to this number."
    return {
        "batch_size": size(n_train),
        "refit_batch_size": size(n_refit),
        "batch_size_warning": warning if clipped else None,
    }


def _kind_of(layer: Layer) -> tuple[type[Layer], str]:
    """Return a key that is equal for equivalent layers; the repr of a layer may hide an attribute."""
    return type(layer), repr(vars(layer))


def hidden_layers(
    hidden_layer_sizes: int | ArrayLike, activation: Activation, dropout: float | ArrayLike
) -> list[list[Layer]]:
    """Return the layers of each hidden layer: dense, activation, and dropout if its rate is positive.

    Parameters
    ----------
    hidden_layer_sizes : int or array_like of int
    activation : name, Layer or Layer class; or a sequence of these, one per hidden layer
        An entry of the sequence may be a sequence of layers, which are applied in order.
    dropout : float, or one per hidden layer
    """
    widths = _widths(hidden_layer_sizes)
    n = len(widths)
    if isinstance(activation, (list, tuple)):
        if len(activation) != n:
            raise ValueError(
                "activation must be one activation, or a list with one per hidden layer, here "
                f"{n}, got {len(activation)}: {activation!r}"
            )
        per_layer = list(activation)
    else:
        per_layer = [activation] * n
    layers = []
    for width, entry, rate in zip(widths, per_layer, _rates(dropout, n), strict=True):
        following = [_layer(one) for one in (entry if isinstance(entry, (list, tuple)) else [entry])]
        layers.append([Dense(width, _initializer(following)), *following, *([Dropout(rate)] if rate else [])])
    return layers


def output_layer(n_outputs: int, hidden: list[list[Layer]], activation: Activation) -> Dense:
    """Return the dense layer of the logits, initialized like the last hidden layer."""
    below = hidden[-1] if hidden else [] if isinstance(activation, (list, tuple)) else [_layer(activation)]
    return Dense(n_outputs, _initializer(below))


def with_members(layers: list[Layer], n_members: int) -> list[Layer]:
    """Return the layers of a network with several members, given those of one."""
    made = []
    for i, layer in enumerate(layers):
        kind = MemberDense if i else SharedDense
        if type(layer) is Dense:
            layer = kind(layer.units, layer.init, n_members=n_members)
        elif isinstance(layer, Dense) and not (isinstance(layer, kind) and layer.n_members == n_members):
            raise ValueError(
                f"with n_members={n_members}, {layer!r} in activation would mix the members; use Dense, or "
                f"MemberDense with this n_members, or set n_members=1"
            )
        made.append(layer)
    return made


def _widths(hidden_layer_sizes: int | ArrayLike) -> list[int]:
    try:
        widths = np.atleast_1d(np.asarray(hidden_layer_sizes))
    except ValueError:  # rows of different lengths
        widths = np.array(["ragged"])
    if widths.ndim != 1 or (widths.size and (widths.dtype.kind not in "iu" or widths.min() < 1)):
        raise ValueError(
            f"hidden_layer_sizes must be whole numbers > 0, got {hidden_layer_sizes!r}; "
            "() means no hidden layers"
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
            f"dropout must be >= 0 and < 1: one rate for all hidden layers, or a list with one per hidden "
            f"layer, here {n}, got {dropout!r}"
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
                f"activation={activation.__name__} cannot be created without arguments ({error}); "
                "pass an instance"
            ) from None
    if isinstance(activation, Layer):
        return activation
    raise ValueError(
        f"The 'activation' parameter must be one of {sorted(ACTIVATIONS)}, a Layer, a Layer class, or a list "
        f"of these, one per hidden layer. Got {activation!r} instead."
    )


def _initializer(layers: list[Layer]) -> Any:
    """Return scikit-learn's initializer, which has smaller weights for the logistic activation."""
    logistic = any(isinstance(layer, Logistic) for layer in layers)
    return glorot_uniform_logistic if logistic else glorot_uniform


def loss_for(labels: Labels, loss: str | Loss, label_smoothing: float) -> Loss:
    """Return the loss for these labels: "log_loss" is logistic for two classes and for several labels."""
    if isinstance(loss, MemberLoss):
        raise ValueError(
            f"loss must be the loss of one member, got {loss!r}; use its loss, and set "
            f"n_members={loss.n_members}"
        )
    if isinstance(loss, Loss):
        if label_smoothing:
            raise ValueError(
                f"label_smoothing={label_smoothing} is only for a loss given by name, got loss={loss!r}; "
                "set the smoothing of this loss, and label_smoothing=0"
            )
        found = loss
    elif loss == "log_loss":
        logistic = isinstance(labels, LabelSets) or len(labels.classes) == 2
        found = (SigmoidCrossEntropy if logistic else SoftmaxCrossEntropy)(label_smoothing)
    else:
        found = LOSSES[loss](label_smoothing)  # type: ignore[call-arg]
    if len(labels.classes) == 1 and isinstance(found, SigmoidCrossEntropy):
        return SoftmaxCrossEntropy()  # a single class has probability 1 with any loss
    return found


def is_for_two_classes(loss: str | Loss) -> bool:
    """Return whether a loss supports two classes only, if each row has one label."""
    return isinstance(loss, SigmoidCrossEntropy) or loss == "sigmoid_cross_entropy"


def optimizer_for(parameters: Any) -> Optimizer:
    """Return the optimizer; "lbfgs" does not use it, and gets SGD, which has no state."""
    solver, decay = parameters.solver, parameters.weight_decay
    if isinstance(solver, Optimizer):
        if decay:
            raise ValueError(
                f"weight_decay={decay} is only for a solver given by name, got solver={solver!r}; set it in "
                f"the optimizer, as in AdamW(weight_decay={decay})"
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
    """Return the type to compute in; None means the type of X."""
    try:
        found = np.dtype(of_X if dtype is None else dtype)
    except TypeError:
        found = None
    if found == np.float16:
        raise ValueError(
            'dtype="float16" is too narrow to compute in: its largest number is 65504, and sums lose '
            'precision; use "float32"'
        )
    if found not in (np.float32, np.float64):
        raise ValueError(f'dtype must be "float32", "float64" or None, got {dtype!r}')
    return found
