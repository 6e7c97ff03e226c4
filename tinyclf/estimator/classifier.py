"""TinyClassifier: the scikit-learn estimator around a `Network`."""

from __future__ import annotations

import operator
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from functools import partial
from numbers import Integral, Real
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, DTypeLike
from sklearn.base import BaseEstimator, ClassifierMixin, _fit_context
from sklearn.callback import CallbackSupportMixin
from sklearn.exceptions import NotFittedError
from sklearn.metrics import accuracy_score
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, Options, StrOptions
from sklearn.utils.metaestimators import available_if

from ..nn.arrays import Array, ViewList, all_finite
from ..nn.batches import as_weights
from ..nn.layers import ACTIVATIONS, Layer
from ..nn.losses import LOSSES, Loss
from ..nn.network import Network
from ..nn.optimizers import OPTIMIZERS, Optimizer
from ..nn.schedules import SCHEDULES, Schedule
from . import model_file
from .callback_context import TEARDOWN_ATTRIBUTES, CallbackContext
from .dataset import Dataset, prediction_inputs, read_features, read_targets
from .diagnostics import diagnose
from .plan import FitPlan, is_for_two_classes
from .state import FitState
from .targets import ClassWeight, as_labels
from .trainer import Trainer
from .validation import Scorer, check_is_scorer

DOCUMENTATION = "https://tinyclf.readthedocs.io/en/stable"

SKLEARN_DEFAULTS: dict[str, Any] = {
    "alpha": 1e-4,
    "batch_size": "auto",
    "learning_rate": "constant",
    "learning_rate_init": 1e-3,
    "max_iter": 200,
    "early_stopping": False,
    "validation_fraction": 0.1,
    "beta_2": 0.999,
    "dtype": None,
    "scale_inputs": False,
    "categorical_features": None,
    "max_categories": None,
    "n_members": 1,
    "calibrate": False,
    "refit": False,
}
"""The parameters whose defaults differ from scikit-learn's, with the values of scikit-learn.

``TinyClassifier(**SKLEARN_DEFAULTS, random_state=0)`` behaves like ``MLPClassifier(random_state=0)``.
"""


def _is_stochastic(estimator: Any) -> bool:
    if estimator.solver == "lbfgs":
        raise AttributeError(
            "partial_fit is only available for stochastic optimizers. lbfgs is not stochastic."
        )
    return True


class _SetByFit:
    """An attribute that ``fit`` sets if it can; reading it before ``fit`` raises a NotFittedError."""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, model: Any, owner: type) -> Any:  # only called if the instance has no such attribute
        if model is None:
            return self
        _ = model._fitted
        raise AttributeError(f"the model has no {self.name}, since not all columns of X had string names")


class TinyClassifier(CallbackSupportMixin, ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Neural-network classifier whose loss is exact for any logits.

    It has all parameters, methods and attributes of scikit-learn's ``MLPClassifier``, with the same
    names and meanings. Its additional parameters come after ``max_fun``. Pass raw features: by
    default numbers are standardized, categories of data frames are encoded, and missing entries are
    accepted. The defaults are chosen for tabular data, and ``benchmarks/defaults.py`` measures
    them. `SKLEARN_DEFAULTS` contains scikit-learn's values.

    Parameters
    ----------
    hidden_layer_sizes : int or array_like of int, default=(100,)
        Widths of the hidden layers, each at least 1. An int means one layer; ``()`` means no hidden
        layer, as in logistic regression. More and wider layers fit more complex data but train more
        slowly.
    activation : str, Layer, Layer class, or list, default="relu"
        Activation of the hidden layers: "identity", "logistic", "tanh", "relu", "gelu" or "silu"
        (also called "swish"), or layers. A list has one entry per hidden layer; an entry may be a
        list of layers, which are applied in order.
    solver : {"adam", "sgd", "lbfgs"} or Optimizer, default="adam"
        "adam" and "sgd" are built from the parameters below. An Optimizer has its own learning rate
        and momentum, and the parameters for these are ignored. "lbfgs" suits small data: it uses
        all rows in each iteration, has no learning rate, and computes in float64.
    alpha : float, default=0.005
        Strength of the L2 penalty on the weights, at least 0. A larger value makes the model
        smoother. The penalty is divided by the sum of the sample weights of a batch, so it is
        weaker for larger batches; see ``weight_decay``.
    batch_size : int, "auto" or "proportional", default="proportional"
        Rows per step, at least 1. "auto" is min(200, n_samples). "proportional" is 1/16 of the
        training rows, but at least 64 and at most 200. Smaller batches give noisier gradients and
        slower epochs. Not used by "lbfgs".
    learning_rate : str or callable, default="flat_cosine"
        How the learning rate changes. "constant" keeps it. "invscaling" is learning_rate_init /
        (rows seen + 1) ** power_t, updated after each epoch. "adaptive" divides the rate by 5
        instead of stopping the training, as long as the rate is greater than 1e-6. As in
        scikit-learn, these two have an effect only with the solver "sgd". "linear" and "cosine"
        decrease the rate to 0 over ``max_iter`` epochs, "flat_cosine" over the second half of them.
        A callable maps the fraction of the training that is done, in [0, 1), to a factor of the
        rate, at least 0. ``partial_fit`` has no fixed number of epochs, so it keeps the rate
        constant for "linear", "cosine", "flat_cosine" and a callable.
    learning_rate_init : float, default=0.02
        Initial learning rate, greater than 0. A larger rate trains faster, but training diverges if
        the rate is too large. Not used by "lbfgs".
    power_t : float, default=0.5
        Exponent of "invscaling", at least 0. A larger value decreases the rate faster.
    max_iter : int or "auto", default="auto"
        Maximum number of epochs, or of iterations of "lbfgs", at least 1. "auto" is 40 epochs, or
        200 iterations.
    shuffle : bool, default=True
        Whether to shuffle the rows in each epoch. If rows are streamed, see `fit`, blocks of consecutive
        rows are distributed over windows of up to 256 blocks, and rows are shuffled within each window.
    random_state : int, RandomState or None, default=None
        Seed of the initial weights, the order of the rows, the choice of the held-out rows, and
        dropout. With an int, fits on the same machine with the same number of BLAS threads are
        bitwise identical, whether X is an array, a memory map of it, or another source of the same rows.
    tol : float, default=1e-4
        Smallest improvement of the training loss, or of the validation score, that counts for
        ``n_iter_no_change``; at least 0. "lbfgs" stops when no entry of the gradient exceeds it, or
        when an iteration decreases the loss by less than 2.2e-9 * max(1, loss).
    verbose : bool or int, default=False
        Whether to print the loss and the validation score of each epoch, and why training stops.
    warm_start : bool, default=False
        Whether ``fit`` continues training the network of the last fit. The classes, the layers, the
        number of members and the dtype must be the same. The loss curves continue; the optimizer
        state is reset.
    momentum : float, default=0.9
        Momentum of "sgd", from 0 to 1: the fraction of the last step that is added to the next one.
    nesterovs_momentum : bool, default=True
        Whether "sgd" uses Nesterov's momentum, which overshoots less.
    early_stopping : bool or "auto", default="auto"
        Whether to hold rows out, score them after each epoch, stop when the score stops improving,
        and keep the best weights. "auto" does this with at least 500 rows; its default score is the
        loss. With fewer than 500 rows, "auto" monitors the training loss instead, and holds rows
        out only for calibration (if ``refit=True``). "auto" holds nothing out with fewer than ten
        distinct rows or a single class, and never holds out the only row of a class. False holds
        nothing out, and monitors the training loss. If X_val is passed, no rows are held out, and
        every value except False monitors the score of X_val. "lbfgs" holds nothing out.
    validation_fraction : float or "auto", default="auto"
        Fraction of the rows to hold out, less than 1. If each row has one label, the fraction is the
        same in each class. "auto" is 1/5; with fewer than 500 rows it is 100 rows, or half of the
        rows if that is less. 0 holds nothing out with ``early_stopping="auto"``, as
        ``early_stopping=False`` does, and is an error with ``early_stopping=True``.
    beta_1 : float, default=0.9
        Decay rate of the mean of the gradient in "adam", at least 0 and less than 1. A larger value
        averages over more steps.
    beta_2 : float, default=0.95
        Decay rate of the mean of the squared gradient in "adam", at least 0 and less than 1.
    epsilon : float, default=1e-8
        Term in the denominator of "adam", greater than 0. A larger value makes the steps for small
        gradients smaller.
    n_iter_no_change : int or inf, default=10
        Training stops after more than this number of consecutive epochs without an improvement by
        ``tol``; at least 1. inf never stops early.
    max_fun : int, default=15000
        Maximum number of evaluations of the loss by "lbfgs", at least 1.
    loss : {"log_loss", "softmax_cross_entropy", "sigmoid_cross_entropy"} or Loss, default="log_loss"
        "log_loss" is the logistic loss, with one logit, for two classes; the logistic loss, with
        one logit per label, for several labels per row; and the softmax cross-entropy otherwise.
    dtype : {"float32", "float64"} or None, default="float32"
        Type of the weights and of the computation. Probabilities and logits are returned as float64,
        whatever this type. None uses the type of X for all of them, as scikit-learn does.
    class_weight : dict, list of dict, "balanced" or None, default=None
        Weight of each class, at least 0, by which ``sample_weight`` is multiplied. A class that is
        not in the dict has weight 1. "balanced" gives all classes the same total weight. For
        several labels per row, pass a list with one dict per label.
    dropout : float or array_like of float, default=0.0
        Fraction of the hidden units that are dropped in each step, at least 0 and less than 1: one
        value for all hidden layers, or one per hidden layer. A larger value regularizes more. Not
        supported by "lbfgs".
    label_smoothing : float, default=0.0
        Fraction of each target that is spread evenly over all classes, from 0 to 1. A larger value
        makes the model less confident; with 1 all targets are equal, and nothing can be learned.
    weight_decay : float, default=0.0
        Decoupled weight decay (AdamW), at least 0: each step multiplies the weights by 1 - learning
        rate * weight_decay. Unlike ``alpha``, it is not part of the gradient and does not depend on
        the batch size. Not supported by "lbfgs".
    max_grad_norm : float or None, default=None
        Maximum Euclidean norm of the gradient, greater than 0. Larger gradients are scaled down to
        it. None does not clip. Not used by "lbfgs".
    scoring : str, callable or None, default=None
        How epochs are compared on the validation set: "loss", the name of a scorer, or a callable
        ``scorer(estimator, X, y)``; a higher score is better. X is a data frame if one was passed,
        a `RowSource` if rows are streamed, and an array or CSR otherwise. None means "accuracy" with
        ``early_stopping=True``, as in scikit-learn, and "loss" otherwise.
    soft_targets : bool, default=False
        Whether y holds probabilities (n_samples, n_classes) instead of labels; each row sums to 1.
        The classes are the column names if y is a data frame, and 0, 1, ... otherwise.
    scale_inputs : bool, default=True
        Whether to scale the number columns: subtract a center and divide by a scale. They are about the
        weighted mean and standard deviation of the rows passed to ``fit``, after outliers were
        clipped; they are computed from quantiles of the column. If rows are streamed, see `fit`, these are
        merged from those of windows of rows, and a merge changes the rank of a quantile by at most 1/64 of
        the rows. Scaled values z beyond 3 become
        3 + 3 log(z / 3), and those below -3 likewise, so outliers keep their order but do not dominate.
        A constant column becomes 0. A missing number (NaN) is read as the center, and if some numbers
        of the column are missing in ``fit``, the network gets an indicator of these as another input.
        Without scaling, NaN is an error. Sparse rows are not centered; they are divided by the root mean
        square of the nonzero entries of the column. See `scaled_inputs`. ``partial_fit``, and
        ``fit`` with ``warm_start=True``, update center and scale, and adjust the first layer such
        that predictions do not change for rows that are within three scales of the center before
        and after. Missing numbers are still read as the first center. In a warm start, all earlier
        rows together count as at most ten of the new rows.
    calibrate : bool, default=True
        Whether to calibrate on the validation set, passed or held out: logits z are shrunk toward
        the class-frequency logits c, z <- c + a (z - c), where a, from 0.01 to 1, minimizes the
        validation loss (with a small penalty on a if the model is hardly better than the class
        frequencies). Then a is lowered, down to 0, if this decreases the loss of the training rows;
        without a validation set, this is the only step. If the fit continues an earlier one, c is 0
        and a is at least 0.01, so that the predicted labels do not change. If there are more than
        four million logits (rows times classes), a is chosen on a random sample of these rows.
        The weights do not change. ``partial_fit``, "lbfgs" and user-defined losses do not use
        calibration. See ``calibration_``.
    refit : bool, default=True
        Whether to train again from the start on all rows, for the best number of epochs, if some
        rows were held out.
    categorical_features : "from_dtype", array_like of bool, int or str, or None, default="from_dtype"
        The columns that are read as categories. Each category becomes an input of the network, which
        is 1 in the rows of this category and 0 in all others. "from_dtype" selects the columns of a
        data frame that hold strings, categories or booleans, and no column of an array. A mask,
        indices or names select columns of any type, including numbers. None selects no column. Later
        calls of ``partial_fit``, and of ``fit`` with ``warm_start=True``, keep the categories of the
        first call. A missing entry is not a category; if the first call has any in a column, the
        network gets an indicator of them as another input.
    max_categories : int or None, default=100
        Maximum number of inputs for the categories of a column, at least 2. If there are more
        categories, those with the smallest total weight share one input. A category that did not
        occur in ``fit`` is treated like these, or has no input if there are none. With more inputs,
        the network can distinguish more categories, but training is slower. None means no limit.
    n_members : int or "auto", default="auto"
        Number of members, at least 1. Members are networks that are trained together as an ensemble:
        `predict_proba` returns the mean of their probabilities. Each member has the layers of
        ``hidden_layer_sizes``. The members share the weights of the first layer; each multiplies the
        inputs by its own factors, and has its own biases and later layers. More members usually
        predict better, but take more time and memory. Training minimizes the mean of the members'
        losses. Validation and calibration use the averaged probabilities, and all members stop at
        the same epoch. The L2 penalty is the sum over the weights and factors of all members.

        "auto" is 8 if the optimizer is Adam or AdamW, there is a hidden layer, one member has at most
        100,000 weights, and no layer or loss is user-defined; otherwise it is 1. A fit that continues
        an earlier one keeps its number of members. Without hidden layers, there is always one member.
        With "sgd" and several members, use a larger ``learning_rate_init``: the mean over the members
        makes the gradient of each member's own weights ``n_members`` times smaller.

        A user-defined layer receives the units of all members, concatenated, so it must compute each
        column by itself. If a user-defined loss overrides ``probabilities``, the members' logits are
        averaged, not their probabilities.

    Attributes
    ----------
    plan_ : FitPlan
        The parameters that the last fit used, with every "auto" resolved. ``print(model.plan_)``
        shows them.
    classes_ : ndarray of shape (n_classes,)
        The labels, sorted. For several labels per row, and with ``soft_targets=True``, the names of
        the columns if y is a data frame, and 0, 1, ... otherwise.
    network_ : Network
        The trained network, without scaling and calibration. With several members, its outputs are
        the concatenated logits of all members, and ``network_.parameters[0].r``, of shape (n_members,
        n_inputs), has the factors by which the members multiply the inputs.
    coefs_ : list of ndarray
        Trained weights of the dense layers, each of shape (n_in, n_out). They are views: assigning
        to the list or to one of its items changes the model. With several members, all arrays except
        the first one, which they share, have shape (n_members, n_in, n_out).
    intercepts_ : list of ndarray
        Trained biases of the dense layers, each of shape (n_out,), or (n_members, n_out) with several
        members. They are views, too.
    loss_curve_ : list of float
        Mean training loss of each epoch, or of each iteration of "lbfgs", penalty included. If rows
        were held out, the curves, ``n_iter_`` and ``t_`` describe the training without these rows,
        not the refit.
    loss_ : float
        The last training loss. It is not in ``loss_curve_`` if "lbfgs" converged before its first
        iteration.
    best_loss_ : float or None
        The lowest training loss; None with ``early_stopping=True``, as in scikit-learn.
    validation_scores_ : list of float or None
        Score of the validation set after each epoch; a higher score is better. None if no
        validation set was scored after each epoch. With the scoring "loss" it is the negative loss,
        after calibration if ``calibrate=True``.
    validation_loss_curve_ : list of float or None
        Loss of the validation set after each epoch, before calibration; None if no validation set
        was scored after each epoch.
    best_validation_score_ : float or None
        The highest score of the last ``fit`` and the calls of ``partial_fit`` after it; -inf if all
        scores are NaN, and None if no validation set was scored after each epoch.
    best_epoch_ : int or None
        The epoch with the highest validation score, counted from 1 in ``loss_curve_``. ``fit``
        keeps its weights, or refits for as many epochs. None if no validation set was scored after
        each epoch, and after ``partial_fit``.
    calibration_ : float
        The shrinkage a of the logits, see ``calibrate``; 1 does not change them.
    input_names_ : ndarray of shape (n_inputs,)
        The names of the network's inputs, one for each row of ``coefs_[0]``: first the number columns,
        then ``missingindicator_NAME`` for columns with missing entries, then ``NAME_CATEGORY`` for each
        category, and ``NAME_infrequent_sklearn`` for rare ones. Columns without names are x0, x1, ...
    input_center_ : ndarray of shape (n_inputs,) or None
        The value that is subtracted from each input, 0 for sparse rows and for indicators; None with
        ``scale_inputs=False``.
    input_scale_ : ndarray of shape (n_inputs,) or None
        The value that each input is divided by, see ``scale_inputs``; 0 for a constant column, and 1
        for indicators.
    n_iter_ : int
        Number of epochs of the last ``fit`` or ``partial_fit``, or iterations of "lbfgs".
    t_ : int
        Number of rows seen in training, repetitions included; "lbfgs" does not count rows.
    n_layers_ : int
        Number of layers, including the input layer.
    n_outputs_ : int
        Number of logits of each member: one for two classes with "log_loss".
    out_activation_ : {"softmax", "logistic"}
        The function from logits to probabilities.
    n_features_in_ : int
        Number of columns of X.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of the columns, if all columns of X have string names.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from tinyclf import TinyClassifier
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> model = TinyClassifier(random_state=0).fit(X[:400], y[:400])
    >>> bool(model.score(X[400:], y[400:]) > 0.95)
    True
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "hidden_layer_sizes": ["array-like", Interval(Integral, 1, None, closed="left")],
        "activation": [StrOptions(set(ACTIVATIONS)), Layer, type, list, tuple],
        "solver": [StrOptions({*OPTIMIZERS, "lbfgs"}), Optimizer],
        "alpha": [Interval(Real, 0, None, closed="left")],
        "batch_size": [StrOptions({"auto", "proportional"}), Interval(Integral, 1, None, closed="left")],
        "learning_rate": [StrOptions({*SCHEDULES, "invscaling", "adaptive"}), callable],
        "learning_rate_init": [Interval(Real, 0, None, closed="neither")],
        "power_t": [Interval(Real, 0, None, closed="left")],
        "max_iter": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "shuffle": ["boolean"],
        "random_state": ["random_state"],
        "tol": [Interval(Real, 0, None, closed="left")],
        "verbose": ["verbose"],
        "warm_start": ["boolean"],
        "momentum": [Interval(Real, 0, 1, closed="both")],
        "nesterovs_momentum": ["boolean"],
        "early_stopping": ["boolean", StrOptions({"auto"})],
        "validation_fraction": [StrOptions({"auto"}), Interval(Real, 0, 1, closed="left")],
        "beta_1": [Interval(Real, 0, 1, closed="left")],
        "beta_2": [Interval(Real, 0, 1, closed="left")],
        "epsilon": [Interval(Real, 0, None, closed="neither")],
        "n_iter_no_change": [
            Interval(Integral, 1, None, closed="left"),
            Options(Real, {np.inf}),
        ],
        "max_fun": [Interval(Integral, 1, None, closed="left")],
        "loss": [StrOptions({"log_loss", *LOSSES}), Loss],
        "dtype": "no_validation",  # type: ignore[dict-item]  # computation_dtype checks it
        "class_weight": [dict, list, StrOptions({"balanced"}), None],
        "dropout": [Interval(Real, 0, 1, closed="left"), "array-like"],
        "label_smoothing": [Interval(Real, 0, 1, closed="both")],
        "weight_decay": [Interval(Real, 0, None, closed="left")],
        "max_grad_norm": [Interval(Real, 0, None, closed="neither"), None],
        "scoring": [str, callable, None],
        "soft_targets": ["boolean"],
        "scale_inputs": ["boolean"],
        "calibrate": ["boolean"],
        "refit": ["boolean"],
        "categorical_features": [StrOptions({"from_dtype"}), "array-like", None],
        "max_categories": [Interval(Integral, 2, None, closed="left"), None],
        "n_members": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
    }

    _doc_link_module = "tinyclf"
    _doc_link_template = f"{DOCUMENTATION}/reference/generated/tinyclf.{{estimator_name}}.html"

    def __init__(
        self,
        hidden_layer_sizes: int | ArrayLike = (100,),
        activation: str | Layer | type[Layer] | Sequence[Any] = "relu",
        *,
        solver: str | Optimizer = "adam",
        alpha: float = 0.005,
        batch_size: int | str = "proportional",
        learning_rate: str | Schedule = "flat_cosine",
        learning_rate_init: float = 0.02,
        power_t: float = 0.5,
        max_iter: int | str = "auto",
        shuffle: bool = True,
        random_state: int | np.random.RandomState | None = None,
        tol: float = 1e-4,
        verbose: bool | int = False,
        warm_start: bool = False,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: bool | str = "auto",
        validation_fraction: float | str = "auto",
        beta_1: float = 0.9,
        beta_2: float = 0.95,
        epsilon: float = 1e-8,
        n_iter_no_change: float = 10,
        max_fun: int = 15000,
        loss: str | Loss = "log_loss",
        dtype: DTypeLike | None = "float32",
        class_weight: ClassWeight = None,
        dropout: float | ArrayLike = 0.0,
        label_smoothing: float = 0.0,
        weight_decay: float = 0.0,
        max_grad_norm: float | None = None,
        scoring: str | Scorer | None = None,
        soft_targets: bool = False,
        scale_inputs: bool = True,
        calibrate: bool = True,
        refit: bool = True,
        categorical_features: str | ArrayLike | None = "from_dtype",
        max_categories: int | None = 100,
        n_members: int | str = "auto",
    ) -> None:
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.solver = solver
        self.alpha = alpha
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.learning_rate_init = learning_rate_init
        self.power_t = power_t
        self.max_iter = max_iter
        self.shuffle = shuffle
        self.random_state = random_state
        self.tol = tol
        self.verbose = verbose
        self.warm_start = warm_start
        self.momentum = momentum
        self.nesterovs_momentum = nesterovs_momentum
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.n_iter_no_change = n_iter_no_change
        self.max_fun = max_fun
        self.loss = loss
        self.dtype = dtype
        self.class_weight = class_weight
        self.dropout = dropout
        self.label_smoothing = label_smoothing
        self.weight_decay = weight_decay
        self.max_grad_norm = max_grad_norm
        self.scoring = scoring
        self.soft_targets = soft_targets
        self.scale_inputs = scale_inputs
        self.calibrate = calibrate
        self.refit = refit
        self.categorical_features = categorical_features
        self.max_categories = max_categories
        self.n_members = n_members

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the parameters by name.

        Parameters
        ----------
        deep : bool, default=True
            If the solver is an Optimizer, whether to add its parameters, such as
            ``solver__learning_rate``.

        Returns
        -------
        dict
        """
        found: dict[str, Any] = super().get_params(deep)
        if deep and isinstance(self.solver, Optimizer):
            names = (field.name for field in fields(self.solver))
            found.update({f"solver__{name}": getattr(self.solver, name) for name in names})
        return found

    def _get_params_html(self, deep: bool = True, doc_link: str = "") -> Any:
        return super()._get_params_html(False, doc_link)  # the solver shows its own parameters

    def set_params(self, **params: Any) -> Self:
        """Set parameters by name.

        Parameters
        ----------
        **params
            ``solver__learning_rate`` and the like replace the solver, which must be an Optimizer, by a
            copy with this parameter.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If there is no such parameter, or the parameter of an optimizer is invalid.
        """
        prefix = "solver__"
        nested = {
            name.removeprefix(prefix): params.pop(name) for name in [*params] if name.startswith(prefix)
        }
        if nested:
            solver = params.get("solver", self.solver)
            if not isinstance(solver, Optimizer):
                raise ValueError(
                    f"{prefix}{next(iter(nested))} is a parameter of an Optimizer, such as Adam(), got "
                    f"solver={solver!r}; pass an Optimizer as solver, or set learning_rate_init and the like"
                )
            params["solver"] = solver.replace(**nested)
        super().set_params(**params)
        return self

    @_fit_context(prefer_skip_nested_validation=True)  # type: ignore[untyped-decorator]
    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: ArrayLike | None = None,
        *,
        X_val: Any = None,
        y_val: Any = None,
        sample_weight_val: ArrayLike | None = None,
    ) -> Self:
        """Train a new network, or with ``warm_start=True`` the network of the last fit.

        Ctrl-C stops the training with a warning, and the model keeps what it has learned: the best
        weights so far. If this happens before the end of the first epoch, and the model was already
        fitted, it keeps its earlier fit and raises KeyboardInterrupt. If Ctrl-C is pressed again
        while the fit ends, KeyboardInterrupt is raised, too, and the model keeps what it has learned.

        Parameters
        ----------
        X : array_like, data frame, sparse matrix or RowSource of shape (n_samples, n_features)
            Numbers; in the columns that ``categorical_features`` selects, also strings and booleans.
            None, NaN and pandas.NA are missing entries. Data frames are those of pandas, polars and
            pyarrow. Rows need not be in memory: X can be a memory map, a Zarr or h5py array or anything
            else with a two-dimensional shape, a dtype and slices of rows; a pyarrow.dataset.Dataset or
            `ArrowRows`; a Dask array or data frame; or any other `RowSource`. All other methods accept
            these, too.

            If X has at most 2**25 = 33,554,432 entries, rows times columns, it is read into memory as a
            whole. Otherwise rows are streamed, also those of an array or data frame in memory, but never
            sparse ones: they are read in blocks in each epoch, so memory does not grow with the size of
            X. Then the order of the rows and the quantiles for scaling are others, see ``shuffle`` and
            ``scale_inputs``.
        y : array_like of shape (n_samples,), or (n_samples, n_labels)
            Labels: strings, integers or booleans, not mixed, and none missing. For several labels
            per row, columns of 0 and 1. With ``soft_targets=True``, probabilities. If a later y is a
            data frame, too, its columns must have the same names in the same order.
        sample_weight : array_like of shape (n_samples,), optional
            Non-negative weights. A row of weight 0 is left out. The L2 penalty is divided by the
            sum of the weights of a batch, so very small weights make it very strong.
        X_val, y_val : like X and y, optional
            A validation set. It is scored after each epoch, and the weights with the best score are
            kept. Training stops when the score stops improving, unless ``early_stopping=False``.
        sample_weight_val : array_like of shape (n_val,), optional
            Weights of the rows of the validation set.

        Returns
        -------
        self

        Raises
        ------
        ValueError, TypeError
            If a parameter or the data are invalid; the message names the value. A model that was
            already fitted keeps its earlier fit.
        DivergenceError
            If the loss or a weight is not finite; the message names the epoch, the batch and the
            fix.

        Warns
        -----
        ConvergenceWarning
            If training reached ``max_iter`` before it converged, unless the learning rate follows a
            schedule that ends there. The model can be used.
        TrainingWarning
            If the fit ended badly: a `DivergenceWarning`, `CollapseWarning` or
            `FeatureScaleWarning`, with the numbers and the fix.
        """
        read = partial(Dataset.read, self, X, y, sample_weight, X_val, y_val, sample_weight_val)
        warn_caller(self._fit(read, Trainer, X, y, sample_weight))
        return self

    def _fit(
        self, read: Callable[[], Dataset], kind: type[Trainer], X: Any, y: Any, sample_weight: Any
    ) -> list[Warning]:
        """Run a fit, and return warnings for the user.

        Parameters
        ----------
        read : callable
            Returns the data set, given no arguments.
        kind : subclass of Trainer
        X, y, sample_weight
            As passed to ``fit``, for callbacks.
        """
        first, call = self._earlier is None, _Call(self)
        with np.errstate(), call, call:
            data = read()
            plan = self._plan(data)
            callbacks = CallbackContext(self, plan.max_iter, X, y, sample_weight)
            saved = callbacks.saved_state(data)
            self._state = FitState.start(plan, data, self._seed(), self._continued, saved)
            call.trainer = kind(plan, data, self._state, self)
            outcome = call.trainer.run(callbacks, first_fit=first)
            with call.trainer.limit:
                found = diagnose(plan, data, self._state, outcome, getattr(self, "feature_names_in_", None))
        return [*outcome.warnings, *found]

    def _plan(self, data: Dataset) -> FitPlan:
        """Return the plan of a fit."""
        return FitPlan.resolve(self, data)

    @available_if(_is_stochastic)  # type: ignore[untyped-decorator]
    @_fit_context(prefer_skip_nested_validation=True)  # type: ignore[untyped-decorator]
    def partial_fit(
        self,
        X: Any,
        y: Any,
        sample_weight: ArrayLike | None = None,
        classes: ArrayLike | None = None,
        *,
        X_val: Any = None,
        y_val: Any = None,
        sample_weight_val: ArrayLike | None = None,
    ) -> Self:
        """Train for one epoch on these rows, starting from the last ``fit`` or ``partial_fit``.

        The first call creates the network; its layers, its dtype and the categories of the columns
        cannot change afterwards: a category that occurs in a later call for the first time is treated
        like rare ones. All other parameters may change between calls. If the solver changes, state
        that only the new solver has starts at zero. No rows are held out, and the weights are those
        of the last epoch, not the best. The calibration of an earlier ``fit`` is removed. Callbacks
        are not called.

        Parameters
        ----------
        X, y, sample_weight
            As in `fit`.
        classes : array_like of shape (n_classes,), optional
            All labels that will occur in any call; required in the first call, unless
            ``soft_targets=True``.
        X_val, y_val, sample_weight_val : optional
            A validation set, scored after the epoch: see ``validation_scores_``.

        Returns
        -------
        self

        Raises
        ------
        ValueError, TypeError, DivergenceError
            As in `fit`; the model does not change.
        """
        earlier, call = self._earlier, _Call(self)
        with np.errstate(), call, call:
            self._check_changed_parameters()
            data = Dataset.read_partial(self, X, y, sample_weight, classes, X_val, y_val, sample_weight_val)
            plan = FitPlan.resolve_partial(self, data)
            seed = self._seed() if earlier is None else earlier.seed
            self._state = FitState.start_partial(plan, data, seed, earlier)
            call.trainer = Trainer(plan, data, self._state, self)
            outcome = call.trainer.run_partial()
        warn_caller(outcome.warnings)
        return self

    def predict(self, X: Any) -> Any:
        """Return the most probable label of each row.

        For several labels per row, return all labels with a probability greater than 1/2.

        Parameters
        ----------
        X : array_like, data frame or sparse matrix of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples,), or (n_samples, n_labels)
            Columns of 0 and 1 for several labels per row; sparse if y was.
        """
        labels = self._fitted.labels
        return labels.named(self._predictions(X, labels.codes))

    def predict_proba(self, X: Any) -> Array:
        """Return the probability of each class, in the order of ``classes_``.

        For several labels per row, return the probability of each label.

        Parameters
        ----------
        X : array_like, data frame or sparse matrix of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            float64, see ``dtype``. If each row has one label, the probabilities of a row sum to 1
            within 4 units in the last place.

        Raises
        ------
        ValueError
            If an entry of X, or a logit, is beyond the range of the computation's type.
        """
        return self._answers(X, self._fitted.plan.loss.probabilities)

    def member_probabilities(self, X: Any) -> Array:
        """Return the probabilities that each member predicts, see ``n_members``.

        Their spread shows how much the members disagree. It is usually larger for rows that are unlike
        those of ``fit``. If ``calibration_`` is 1, the mean over the members is the result of
        `predict_proba`, up to rounding. Otherwise the logits of each member are calibrated by the same
        number, and the mean is only close to this result. So it is for a user-defined loss that
        overrides ``probabilities``, see ``n_members``.

        Parameters
        ----------
        X : array_like, data frame or sparse matrix of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples, n_members, n_classes)
            float64, see ``dtype``. If each row has one label, the probabilities of a member sum to 1.
            n_members is that of ``plan_``, with "auto" resolved.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> X, y = load_iris(return_X_y=True)
        >>> model = TinyClassifier(n_members=4, random_state=0).fit(X, y)
        >>> model.member_probabilities(X).shape
        (150, 4, 3)
        >>> uncertainty = model.member_probabilities(X).std(axis=1).max(axis=1)
        >>> bool(uncertainty[y == 0].max() < uncertainty[y == 1].max())  # setosa is far from the others
        True
        """
        state = self._fitted
        plan = state.plan
        probabilities = _in_float64(plan.loss.probabilities)

        def of_members(z: Array) -> Array:
            p = probabilities(state.member_logits(z))
            return p.reshape(len(z), plan.n_members, p.shape[1])

        return self._outputs(X, of_members).astype(plan.output_dtype, copy=False)

    def predict_log_proba(self, X: Any) -> Array:
        """Return the log-probabilities.

        They are computed from the logits, so they are finite even if a probability rounds to 0. A
        value is -inf only if a difference of logits is beyond the range of float64.

        Parameters
        ----------
        X : array_like, data frame or sparse matrix of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
        """
        return self._answers(X, self._fitted.plan.loss.log_probabilities)

    def decision_function(self, X: Any) -> Array:
        """Return the calibrated logits.

        Parameters
        ----------
        X : array_like, data frame or sparse matrix of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples, n_classes), or (n_samples,) for two classes
            For two classes, the log-odds of the second class. With several members, the logits of
            the mean of their probabilities.
        """
        labels = self._fitted.labels
        return self._answers(X, lambda z: labels.scores(z.astype(np.float64)))

    def score(self, X: Any, y: Any, sample_weight: ArrayLike | None = None) -> float:
        """Return the accuracy: the fraction of rows whose labels are all predicted correctly.

        Parameters
        ----------
        X : array_like, data frame or sparse matrix of shape (n_samples, n_features)
        y : array_like of shape (n_samples,) or (n_samples, n_labels)
            Labels, even with ``soft_targets=True``.
        sample_weight : array_like of shape (n_samples,), optional

        Returns
        -------
        float
        """
        predicted = self.predict(X)
        self._fitted.labels.check_names(y)
        y = read_targets(self, y, predicted.shape[0])
        weight = as_weights(sample_weight, predicted.shape[0])
        y = as_labels(y)
        try:
            return float(accuracy_score(y, predicted, sample_weight=weight))
        except (TypeError, ValueError) as error:  # the labels have another type
            raise ValueError(f"y must hold labels as in classes_, {self.classes_}: {error}") from None

    def activations(self, X: Any, layer: int = -1) -> Array:
        """Return the outputs of a hidden layer, after its activation: the features that it has learned.

        Parameters
        ----------
        X : array_like, data frame or sparse matrix of shape (n_samples, n_features)
        layer : int, default=-1
            Index of the hidden layer: 0 is the first, -1 the last.

        Returns
        -------
        ndarray of shape (n_samples, width of the layer), or (n_samples, n_members * width)
            With several members, the units of all members, concatenated.

        Raises
        ------
        TypeError
            If ``layer`` is not an integer.
        ValueError
            If there is no hidden layer with this index.
        """
        ends = self._fitted.plan.hidden_ends
        n = len(ends)
        if isinstance(layer, bool) or not isinstance(layer, Integral):
            raise TypeError(f"layer must be a whole number, got {layer!r}")
        if n == 0:
            raise ValueError(
                "there are no hidden layers, since hidden_layer_sizes=(); use decision_function for logits"
            )
        if not -n <= layer < n:
            raise ValueError(f"with {n} hidden layers, layer must be from {-n} to {n - 1}, got {layer}")
        return self._outputs(X, np.asarray, ends[layer])

    def scaled_inputs(self, X: Any) -> Any:
        """Return the rows as the network reads them: numbers are scaled, categories are encoded.

        The columns of the result have the names ``input_names_``. A number x becomes
        ``z = (x - input_center_) / input_scale_``; z beyond 3 becomes ``3 * (1 + log(z / 3))``, and z
        below -3 becomes ``-3 * (1 + log(-z / 3))``. With ``scale_inputs=False``, numbers are only
        converted to the type of the network.

        Parameters
        ----------
        X : array_like, data frame or sparse matrix of shape (n_samples, n_features)

        Returns
        -------
        ndarray or CSR of shape (n_samples, n_inputs)
            In the type of the network; sparse if X is sparse, unless the columns are centered, as
            they are if the network was trained on dense rows with ``scale_inputs=True``.
        """
        state = self._fitted
        X = read_features(self, X)
        rows: Any = state.encoding.rows(X, state.scaling, state.network.dtype)
        return rows.X.copy()

    def save(self, path: str | Path, custom: Mapping[str, Any] | None = None) -> None:
        """Save the fitted model to one file, which `tinyclf.load` reads without running code from it.

        The file is always complete: a new file replaces the old one in one step, and a save that
        fails does not change the old one. It is a NumPy ``.npz`` file; `tinyclf.persistence`
        describes its format. Callbacks and metadata requests are not saved. A subclass that adds
        nothing is loaded as a TinyClassifier.

        Parameters
        ----------
        path : str or Path
        custom : mapping of str to class or function, optional
            User-defined layers, losses, optimizers and functions, by the names that the file uses
            for them; pass the same mapping to `load`. The attributes of objects are saved; they
            must be numbers, strings, arrays, or containers of these.

        Raises
        ------
        NotFittedError
            If the model is not fitted.
        ValueError
            If the model has a part that cannot be saved, or is of a subclass that adds something;
            the message names it.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from tempfile import TemporaryDirectory
        >>> X, y = load_iris(return_X_y=True)
        >>> model = TinyClassifier(random_state=0).fit(X, y)
        >>> with TemporaryDirectory() as folder:
        ...     model.save(f"{folder}/iris.npz")
        ...     loaded = load(f"{folder}/iris.npz")
        >>> bool((loaded.predict_proba(X) == model.predict_proba(X)).all())
        True
        """
        model_file.save(self, path, custom)

    def __getstate__(self) -> dict[str, Any]:
        """Return the content of a pickle: for a fitted model, JSON and arrays as in the file of `save`.

        Thus the pickle refers to no other class of tinyclf. A model with user-defined parts, such
        as layers, is pickled unchanged instead.
        """
        held: dict[str, Any] = super().__getstate__()
        held.pop("_checked", None)
        if "_state" not in held:
            return held
        try:
            text, arrays = model_file.encoded(self)
        except ValueError:
            return held
        aside = {"_state", *self.get_params(deep=False)}
        return {
            **{name: value for name, value in held.items() if name not in aside},
            "_packed": (text, arrays),
        }

    def __setstate__(self, held: dict[str, Any]) -> None:
        if "_packed" in held:
            held = dict(held)
            parameters, state = model_file.decoded(*held.pop("_packed"))
            held = {**parameters, **held, "_state": state}
        super().__setstate__(held)

    def __copy__(self) -> Self:
        """Return a shallow copy, which shares the fitted state."""
        made = type(self).__new__(type(self))
        made.__dict__.update(vars(self))
        return made

    # --- fitted attributes: views of the state ----------------------------------------------------

    n_features_in_ = _SetByFit()
    feature_names_in_ = _SetByFit()

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "_state")

    @property
    def _fitted(self) -> FitState:
        """The state of the last fit."""
        if (state := self._earlier) is None:
            raise NotFittedError(
                f"This {type(self).__name__} instance is not fitted yet. Call 'fit' with appropriate "
                "arguments before using this estimator."
            )
        return state

    @property
    def plan_(self) -> FitPlan:
        """The parameters that the last fit used, with every "auto" resolved."""
        return self._fitted.plan

    @property
    def classes_(self) -> Array:
        """The labels, sorted."""
        return self._fitted.labels.classes

    @property
    def network_(self) -> Network:
        """The trained network."""
        return self._fitted.network

    @property
    def coefs_(self) -> ViewList:
        """Weights of the dense layers."""
        return ViewList(p.W for p in self.network_.parameters if "W" in vars(p))

    @coefs_.setter
    def coefs_(self, values: list[Array]) -> None:
        self.coefs_[:] = values

    @property
    def intercepts_(self) -> ViewList:
        """Biases of the dense layers."""
        return ViewList(p.b for p in self.network_.parameters if "b" in vars(p))

    @intercepts_.setter
    def intercepts_(self, values: list[Array]) -> None:
        self.intercepts_[:] = values

    @property
    def loss_curve_(self) -> list[float]:
        """Training loss of each epoch."""
        return self._fitted.history.loss_curve

    @property
    def loss_(self) -> float:
        """The last training loss."""
        return self._fitted.history.loss

    @property
    def best_loss_(self) -> float | None:
        """The lowest training loss."""
        state = self._fitted
        return state.history.lowest_loss if state.plan.track_best_loss else None

    @property
    def validation_scores_(self) -> list[float] | None:
        """Score of the validation set after each epoch."""
        return self._fitted.history.validation_scores

    @property
    def validation_loss_curve_(self) -> list[float] | None:
        """Loss of the validation set after each epoch."""
        return self._fitted.history.validation_loss_curve

    @property
    def best_validation_score_(self) -> float | None:
        """The highest validation score."""
        return self._fitted.history.best_validation_score

    @property
    def best_epoch_(self) -> int | None:
        """The epoch with the highest validation score."""
        return self._fitted.history.best_epoch

    @property
    def calibration_(self) -> float:
        """The shrinkage of the logits toward the logits of the class frequencies."""
        calibration = self._fitted.calibration
        return 1.0 if calibration is None else calibration.shrinkage

    @property
    def input_names_(self) -> Array:
        """The names of the inputs of the network."""
        return self._fitted.encoding.names(getattr(self, "feature_names_in_", None))

    @property
    def input_center_(self) -> Array | None:
        """The value that is subtracted from each input."""
        state = self._fitted
        return None if state.scaling is None else state.encoding.with_indicators(state.scaling.center, 0.0)

    @property
    def input_scale_(self) -> Array | None:
        """The value that each input is divided by."""
        state = self._fitted
        return None if state.scaling is None else state.encoding.with_indicators(state.scaling.scale, 1.0)

    @property
    def n_iter_(self) -> int:
        """Number of epochs of the last fit."""
        return self._fitted.history.n_iter

    @property
    def t_(self) -> int:
        """Number of rows seen in training."""
        return self._fitted.history.n_samples_seen

    @property
    def n_layers_(self) -> int:
        """Number of layers, including the input layer."""
        return len(self.coefs_) + 1

    @property
    def n_outputs_(self) -> int:
        """Number of logits."""
        return self._fitted.plan.n_outputs

    @property
    def out_activation_(self) -> str:
        """The function from logits to probabilities."""
        return self._fitted.plan.loss.inverse_link

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.input_tags.allow_nan = bool(self.scale_inputs)
        tags.classifier_tags.multi_class = not is_for_two_classes(self.loss)
        tags.classifier_tags.multi_label = True
        return tags

    # --- parts of a fit ---------------------------------------------------------------------------

    def _validate_params(self) -> None:
        """Check the parameters, as scikit-learn does; the error of a frequent mistake names the fix."""
        try:
            super()._validate_params()
        except ValueError as error:
            rate = self.learning_rate
            is_number = isinstance(rate, Real) and not isinstance(rate, bool)
            if is_number and "'learning_rate' parameter" in str(error):
                raise type(error)(f"{error} For a number, set learning_rate_init={rate!r}.") from None
            raise
        check_is_scorer(self.scoring)

    def _check_changed_parameters(self) -> None:
        """Check parameters that have changed; scikit-learn checks only in the first call of partial_fit."""
        parameters = [getattr(self, name) for name in self._parameter_constraints]
        checked = getattr(self, "_checked", [])
        if len(checked) != len(parameters) or any(map(operator.is_not, parameters, checked)):
            self._validate_params()  # takes half as long as an epoch over ten rows
            self._checked = parameters

    @property
    def _earlier(self) -> FitState | None:
        """The state of an earlier fit, if there is one."""
        return self.__dict__.get("_state")

    @property
    def _continued(self) -> FitState | None:
        """The state that ``fit`` continues."""
        return self._earlier if self.warm_start else None

    def _seed(self) -> Array:
        """Return the seed of all random streams of a fit."""
        seed: Array = check_random_state(self.random_state).randint(2**32, size=4, dtype=np.uint32)
        return seed

    # --- predictions ------------------------------------------------------------------------------

    def _outputs(self, X: Any, function: Callable[[Array], Array], n_layers: int | None = None) -> Array:
        """Apply a function to the outputs of the network, or of its first n_layers layers."""
        X, inputs = prediction_inputs(self, X)

        def of_finite(z: Array) -> Array:
            if not all_finite(z):
                raise self._out_of_range(X, inputs, n_layers)
            return function(z)

        return self._fitted.network.outputs(inputs, n_layers, function=of_finite)

    def _predictions(self, X: Any, function: Callable[[Array], Array]) -> Array:
        """Apply a function to the calibrated logits."""
        state = self._fitted
        return self._outputs(X, lambda z: function(state.calibrated(state.plan.ensemble_logits(z))))

    def _answers(self, X: Any, function: Callable[[Array], Array]) -> Array:
        """Apply a function to the calibrated logits, in float64, and return the type of the plan."""
        found, dtype = self._predictions(X, _in_float64(function)), self._fitted.plan.output_dtype
        return found if found.dtype == dtype else found.astype(dtype)

    def _out_of_range(self, X: Any, inputs: Any, n_layers: int | None) -> ValueError:
        """Return the error that says why the outputs of a row are not finite."""
        state, network = self._fitted, self.network_
        if not np.isfinite(network.theta).all():
            return ValueError(
                "coefs_ and intercepts_ must be finite, but contain NaN or inf; set them, or fit again"
            )
        outputs = network.outputs(inputs, n_layers)
        row = int(np.flatnonzero(~np.isfinite(outputs).all(axis=1))[0])
        x = np.nan_to_num(abs(X[[row]].toarray() if hasattr(X, "toarray") else X[[row]])[0])
        fixes = [] if state.scaling else ["scale the features (scale_inputs=True)"]
        fixes += ['fit with dtype="float64"'] if network.dtype == np.float32 else []
        fixes += ["make the weights smaller"]
        what = "logits" if n_layers is None else "activations"
        return ValueError(
            f"the {what} of row {row} are beyond the range of {network.dtype}: X reaches {x.max():.4g} in "
            f"that row, at column {x.argmax()}, and the weights {abs(network.theta).max():.4g} in magnitude. "
            f"To avoid it, {', or '.join(fixes)}"
        )


class _Call:
    """A call of ``fit`` or ``partial_fit``: if it fails, the earlier attributes of the model are restored.

    After Ctrl-C, the model keeps the new state if `Trainer.end_interrupted` returns True. The end of this
    context can be repeated, so the context is entered twice: Ctrl-C may interrupt the first end. It may
    also interrupt the end of an ``np.errstate`` in the call; another one around the call restores it.
    """

    def __init__(self, model: TinyClassifier) -> None:
        self.model, self.before = model, vars(model).copy()
        self.trainer: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        if kind is None:
            return
        if self.trainer is not None:
            self.trainer.limit.__exit__()
            if issubclass(kind, KeyboardInterrupt) and self.trainer.end_interrupted():
                return
        held = vars(self.model)
        teardown = {name: held[name] for name in TEARDOWN_ATTRIBUTES if name in held}
        self.model.__dict__ = {**self.before, **teardown}  # at once, so that Ctrl-C leaves one or the other


def _in_float64(function: Callable[[Array], Array]) -> Callable[[Array], Array]:
    """Return a function of logits that computes in float64, also if it keeps the type of the logits."""

    def computed(z: Array) -> Array:
        found = np.asarray(function(z))
        return found if found.dtype == np.float64 else function(z.astype(np.float64))

    return computed


def warn_caller(found: list[Warning]) -> None:
    """Issue warnings that point to the caller of ``fit``."""
    for warning in found:
        warnings.warn(warning, stacklevel=4)


def load(path: str | Path, custom: Mapping[str, Any] | None = None) -> TinyClassifier:
    """Load a model that `TinyClassifier.save` saved, without running code from the file.

    The content is checked before it is used, and before memory is allocated for it.

    Parameters
    ----------
    path : str or Path
    custom : mapping of str to class or function, optional
        User-defined parts of the model, by the names under which they were saved. Loading creates
        instances of these classes with attributes from the file.

    Returns
    -------
    TinyClassifier
        Its predictions are bitwise identical to those of the saved model, and further training
        gives identical results, too.

    Raises
    ------
    OSError
        If the file cannot be read.
    ArchiveError
        If `save` did not write the file, or wrote it in another version of the format; if the file
        is damaged; or if it needs something that is not in ``custom``. ArchiveError is a
        ValueError.
    """
    model: TinyClassifier = model_file.load(TinyClassifier, path, custom)
    return model
