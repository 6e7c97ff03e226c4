"""TinyClassifier: the scikit-learn estimator around a `Network`."""

from __future__ import annotations

import json
import operator
import warnings
from collections.abc import Callable, Mapping, Sequence
from numbers import Integral, Real
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, DTypeLike
from sklearn.base import BaseEstimator, ClassifierMixin, _fit_context
from sklearn.callback import CallbackSupportMixin
from sklearn.metrics import accuracy_score
from sklearn.utils import check_random_state, column_or_1d
from sklearn.utils._param_validation import Interval, Options, StrOptions
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from . import persistence
from ._threads import one_thread
from .blueprint import Blueprint, budget, computation_dtype, is_for_two_classes
from .books import Books
from .calibration import prior_logits
from .diagnosis import has_settled, look
from .hooks import Hooks
from .inputs import read_features, read_targets
from .layers import ACTIVATIONS, Layer
from .losses import LOSSES, Loss, SigmoidCrossEntropy, SoftmaxCrossEntropy
from .network import Network
from .optimizers import OPTIMIZERS, Optimizer
from .rows import as_rows, as_weights, check_rows
from .scaling import Scaling
from .schedules import SCHEDULES, Schedule
from .state import TrainState, unchanged_on_error
from .supervisor import Supervisor
from .targets import ClassWeight, Labels, as_labels, kind_of_targets, labels_in_part
from .validation import Sample, Scorer, Validation, held_out
from .views import Array, ViewList

SKLEARN_DEFAULTS: dict[str, Any] = {
    "hidden_layer_sizes": (100,),
    "activation": "relu",
    "solver": "adam",
    "alpha": 1e-4,
    "batch_size": "auto",
    "learning_rate": "constant",
    "learning_rate_init": 1e-3,
    "power_t": 0.5,
    "max_iter": 200,
    "shuffle": True,
    "random_state": None,
    "tol": 1e-4,
    "verbose": False,
    "warm_start": False,
    "momentum": 0.9,
    "nesterovs_momentum": True,
    "early_stopping": False,
    "validation_fraction": 0.1,
    "beta_1": 0.9,
    "beta_2": 0.999,
    "epsilon": 1e-8,
    "n_iter_no_change": 10,
    "max_fun": 15000,
    "dtype": None,
    "scale_inputs": False,
    "calibrate": False,
    "refit": False,
}
"""``TinyClassifier(**SKLEARN_DEFAULTS)`` behaves as scikit-learn's ``MLPClassifier()``."""


def _is_stochastic(estimator: Any) -> bool:
    if estimator.solver == "lbfgs":
        raise AttributeError(
            "partial_fit is only available for stochastic optimizers. lbfgs is not stochastic."
        )
    return True


class TinyClassifier(CallbackSupportMixin, ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Neural-network classifier whose loss is right for any logits.

    Every parameter, method and attribute of scikit-learn's ``MLPClassifier`` is here, with its name and
    meaning; what is more comes after ``max_fun``. The defaults are a recipe for raw tabular data, measured by
    ``benchmarks/defaults.py``; `SKLEARN_DEFAULTS` has scikit-learn's.

    Parameters
    ----------
    hidden_layer_sizes : int or array_like of int, default=(100,)
        Widths of the hidden layers, each at least 1; a number is one layer, ``()`` is softmax regression.
        Wider and more layers fit more, and take longer.
    activation : {"identity", "logistic", "tanh", "relu"}, Layer, Layer class, or list, default="relu"
        What follows each hidden layer. A list has an entry per hidden layer, which may be a list of layers.
    solver : {"adam", "sgd", "lbfgs"} or Optimizer, default="adam"
        "adam" and "sgd" are built from the parameters below that carry their letters; an Optimizer brings its
        own, and those parameters are ignored. "lbfgs" suits small data: all rows in each iteration, no
        learning rate, computed in float64.
    alpha : float, default=1e-4
        Strength of the L2 penalty of the weights, at least 0; more makes the network smoother. It is divided
        by the sum of a batch's weights, so that its effect falls with the batch size; see ``weight_decay``.
    batch_size : int, "auto" or "proportional", default="proportional"
        Rows per step, at least 1; "auto" is min(200, n_samples), "proportional" a 16th of the rows that are
        trained on, but at least 64 and at most 200: enough steps for few rows, fast ones for many. Smaller
        batches are noisier, and slower per epoch. Not used by "lbfgs".
    learning_rate : str or callable, default="flat_cosine"
        How the learning rate changes. "constant": not at all. "invscaling": learning_rate_init / (rows seen +
        1) ** power_t, after each epoch. "adaptive": a fifth of it whenever training would have stopped, until
        1e-6. These two are for solver "sgd" only, as in scikit-learn. "linear" and "cosine" fall to 0 over
        ``max_iter`` epochs, "flat_cosine" over the second half of them; a callable maps the share of them
        that is done, in [0, 1), to a factor, at least 0. partial_fit knows no budget: there these four are
        constant.
    learning_rate_init : float, default=0.01
        Learning rate at the start, more than 0. Larger learns faster, until it diverges. Not used by "lbfgs".
    power_t : float, default=0.5
        Exponent of "invscaling", at least 0: the larger, the faster the rate falls.
    max_iter : int or "auto", default="auto"
        Largest number of epochs, or of iterations of "lbfgs", at least 1. "auto" is 40, or 200 iterations.
    shuffle : bool, default=True
        Whether to draw a new order of the rows in each epoch.
    random_state : int, RandomState or None, default=None
        Of the initial weights, the order of the rows, the rows held out, and dropout. An int makes fits
        repeat bit for bit on a machine, whatever the number of threads and what else is fitted meanwhile.
    tol : float, default=1e-4
        Training stops when the loss, or the validation score, has not improved by more than this for
        ``n_iter_no_change`` epochs; at least 0. For "lbfgs" the largest entry of the gradient at the end,
        unless the loss falls by less than 2e-9 of itself before.
    verbose : bool or int, default=False
        Whether to print the loss, and the validation score, of each epoch, and why training stops.
    warm_start : bool, default=False
        Whether ``fit`` goes on with the network of the last one, whose classes must be the same. The curves
        go on, too; the optimizer starts anew.
    momentum : float, default=0.9
        Momentum of "sgd", from 0 to 1: the share of the last step that is added to the next.
    nesterovs_momentum : bool, default=True
        Whether the momentum of "sgd" has Nesterov's form, which looks a step ahead and overshoots less.
    early_stopping : bool or "auto", default="auto"
        True holds rows out, measures the score on them after each epoch, stops when that has stopped to
        improve, and takes the best weights. "auto" does so with at least 500 rows, and scores by the loss;
        with fewer it trains for the whole budget, and holds rows out for ``calibrate`` only, where ``refit``
        makes up for them: not of less than ten rows that differ (or that the weights make matter), nor of a
        single class. A class of one row is always trained on. False holds no rows out and watches the
        training loss. Where X_val is given, no rows are held out, and all but False stop by it. "lbfgs" holds
        no rows out.
    validation_fraction : float or "auto", default="auto"
        Share of the rows to hold out, more than 0 and less than 1; each class has it, if a row has one label.
        "auto" is a fifth, but of few rows a hundred, or half of them if that is less.
    beta_1 : float, default=0.9
        Decay of the mean of the gradient that "adam" keeps, at least 0 and less than 1. More is smoother.
    beta_2 : float, default=0.999
        Decay of the mean of its square, at least 0 and less than 1. More makes step sizes steadier.
    epsilon : float, default=1e-8
        Added to the denominator of "adam", more than 0. More makes small gradients take small steps.
    n_iter_no_change : int or inf, default=10
        Number of epochs without improvement after which the next ends the training, at least 1; see ``tol``.
        More waits longer, inf for ever.
    max_fun : int, default=15000
        Largest number of evaluations of the loss by "lbfgs", at least 1. Fewer may end before convergence.
    loss : {"log_loss", "softmax_cross_entropy", "sigmoid_cross_entropy"} or Loss, default="log_loss"
        "log_loss" is the logistic one on a single logit for two classes, or one for each of several labels,
        else that of softmax; for two classes both describe the same probabilities.
    dtype : {"float32", "float64"} or None, default="float32"
        The type that is computed in and that probabilities have; None follows X, as scikit-learn does.
    class_weight : dict, list of dict, "balanced" or None, default=None
        By what the rows of a class are multiplied in the loss, at least 0; a class that a dict does not name
        has 1. "balanced" gives all classes the same sum. For several labels per row a list of dicts, one per
        label. It multiplies sample_weight.
    dropout : float or array_like of float, default=0.0
        Share of the hidden units that are dropped in each step, at least 0 and less than 1, for all hidden
        layers or one for each. More regularises more. Not for "lbfgs".
    label_smoothing : float, default=0.0
        Share of each target that is spread over all classes, from 0 to 1. More makes it less sure.
    weight_decay : float, default=0.0
        Decoupled decay (AdamW): each step multiplies the weights by 1 - learning rate * weight_decay; at
        least 0. Unlike alpha it depends neither on the batch size nor on the gradient. Not for "lbfgs".
    max_grad_norm : float or None, default=None
        Longest gradient, more than 0: a longer one is shortened to it. None leaves it. Not used by "lbfgs".
    scoring : str, callable or None, default=None
        How epochs are compared on the validation set: "loss", the name of a scorer, or a callable
        ``scorer(estimator, X, y)`` where higher is better. None is accuracy with ``early_stopping=True``, as
        in scikit-learn, else "loss".
    soft_targets : bool, default=False
        Whether y holds probabilities (n_samples, n_classes) instead of labels, each row with the sum 1. The
        classes are the columns' names if y is a data frame, else 0, 1, ...
    scale_inputs : bool, default=True
        Whether to bring each column to mean 0 and standard deviation 1 first, by the weighted statistics of
        all rows given to ``fit``; a constant column is read as 0. Sparse rows are not centred, and divided by
        the root mean square of the entries of a column that are not 0. Entries that are more than five times
        that from the centre are read as five. In partial_fit the statistics run on, and the first layer is
        rewritten so that the network computes what it did; only entries beyond the limits of an earlier
        ``fit`` are read anew. The first rows should be typical: a column that was a thousand times smaller in
        them has weights that are a thousand times too large later.
    calibrate : bool, default=True
        Whether a validation set, given or held out, also tells how sure the model may be: the logits z become
        c + a (z - c), with c those of the class frequencies and the share a, from 0.01 to 1, that is best for
        the loss of the validation set. The training rows can lower it further, to 0, as no model is to be
        worse on them than the class frequencies. In ``fit`` only, for the two cross-entropies, and not for
        "lbfgs". See ``calibration_``.
    refit : bool, default=True
        Whether to train anew on all rows where some were held out, for as many epochs as were best.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The labels, sorted; for several labels per row, their columns.
    network_ : Network
        The fitted network; its ``parameters`` are the ones below.
    coefs_ : list of ndarray
        Weights (n_in, n_out) of the dense layers, as views: assigning to the list or to one of its items
        changes the model.
    intercepts_ : list of ndarray
        Biases (n_out,) of the dense layers, likewise.
    loss_curve_ : list of float
        Mean training loss of each epoch, penalty included, or of each iteration of "lbfgs". As all that tells
        of epochs, it is about the training in which rows were held out, not about ``refit``.
    loss_ : float
        The last of them.
    best_loss_ : float or None
        The lowest training loss; None with ``early_stopping=True``, as in scikit-learn.
    validation_scores_ : list of float or None
        Score of the validation set after each epoch, higher is better; None without one. With scoring
        "loss" and ``calibrate`` it is minus the loss after calibration.
    validation_loss_curve_ : list of float or None
        Loss of the validation set after each epoch; None without one.
    best_validation_score_ : float or None
        The highest score of the last ``fit``: that of the weights that were kept, unless a callback kept
        others; after ``partial_fit`` the highest so far. None without a validation set, -inf without a score
        that is a number.
    best_epoch_ : int or None
        The epoch, counted in ``loss_curve_`` from 1, whose weights ``fit`` has kept, or after how many it has
        ended on all rows with ``refit``; None without a validation set that is measured after each epoch, and
        after ``partial_fit``, which keeps the last ones.
    calibration_ : float
        Share of the logits' distance to those of the class frequencies that ``calibrate`` has kept: 1 is all.
        It is part of the last layer's weights.
    input_mean_ : ndarray of shape (n_features_in_,) or None
        What is subtracted from each column, 0 for sparse rows; None with ``scale_inputs=False``.
    input_scale_ : ndarray of shape (n_features_in_,) or None
        By what it is divided then, see ``scale_inputs``. A column where that is 0 is read as 0.
    n_iter_ : int
        Number of epochs of the last ``fit`` or ``partial_fit``, or iterations of "lbfgs".
    t_ : int
        Number of rows seen in training, repetitions included; 0 for "lbfgs".
    n_layers_ : int
        Number of layers of units, input included.
    n_outputs_ : int
        Number of logits: one for two classes with "log_loss".
    out_activation_ : {"softmax", "logistic"}
        The function from logits to probabilities.
    n_features_in_ : int
        Number of columns of X.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the columns, if X has names for all.

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
        "dtype": "no_validation",  # type: ignore[dict-item]  # has a check of its own, with the reason
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
    }

    # There is no website: the page is this docstring, in the file that is installed.
    _doc_link_module = "tinyclf"
    _doc_link_template = Path(__file__).resolve().as_uri()

    def __init__(
        self,
        hidden_layer_sizes: int | ArrayLike = (100,),
        activation: str | Layer | type[Layer] | Sequence[Any] = "relu",
        *,
        solver: str | Optimizer = "adam",
        alpha: float = 1e-4,
        batch_size: int | str = "proportional",
        learning_rate: str | Schedule = "flat_cosine",
        learning_rate_init: float = 0.01,
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
        beta_2: float = 0.999,
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
        """Train a network: a new one, or with ``warm_start`` that of the last fit.

        Ctrl-C ends the training with a warning and keeps what has been learnt.

        Parameters
        ----------
        X : array_like or sparse matrix of shape (n_samples, n_features)
        y : array_like of shape (n_samples,), or (n_samples, n_labels)
            Labels of one kind: strings, integers, booleans. Or columns of 0 and 1, for any number of labels
            per row. Or probabilities, with ``soft_targets=True``.
        sample_weight : array_like of shape (n_samples,), optional
            Non-negative. A weight of 0 leaves the row out. The L2 penalty is divided by the sum of a batch's
            weights, so that very small ones let it grow beyond bounds.
        X_val, y_val : like X and y, optional
            A validation set: measured after each epoch, and the best weights are kept. Training stops by it
            unless ``early_stopping=False``.
        sample_weight_val : array_like of shape (n_val,), optional
            Weights of its rows.

        Returns
        -------
        self

        Raises
        ------
        ValueError, TypeError
            If a parameter or the data do not fit; the message names the value. An earlier fit is kept.
        DivergenceError
            If the loss stops being finite; the message names epoch, batch and the fix.

        Warns
        -----
        ConvergenceWarning
            If ``max_iter`` epochs were not enough, and no schedule was to end then. The model can be used.
        TrainingWarning
            If the fit ended badly: a `DivergenceWarning`, `CollapseWarning` or `FeatureScaleWarning`, with
            the numbers and the fix.
        """
        refit = hasattr(self, "network_")
        warm = self.warm_start and refit
        hooks = Hooks(self, budget(self), X, y, sample_weight)
        with one_thread(), unchanged_on_error(self, self._state if warm else None):
            checked, checked_y = self._validated(X, y, reset=not warm)
            labels = kind_of_targets(y if self.soft_targets else checked_y, soft=self.soft_targets)
            if warm:
                self._labels.check_equal(labels)
            blueprint = self._planned(labels)
            sample = self._training_sample(X, checked, checked_y, sample_weight)
            prior = self._prior(sample)
            validation = self._validation(X_val, y_val, sample_weight_val, prior=prior)
            resumed = hooks.resumed(sample, validation and validation.sample)
            seed = self._seed()  # drawn in any case, so that a RandomState goes on as it would have
            if resumed is not None:
                finished, progress = resumed
                if progress is None:
                    return self._taken_over(finished, hooks)
                seed = progress["seed"]
            streams = _streams(seed)
            rows, watched = sample.rows, True
            if validation is None:
                rows, held, watched = held_out(
                    sample,
                    blueprint.holds_out,
                    self.validation_fraction,
                    streams["hold_out"],
                    few_pay=prior is not None and self.refit,
                )
                if held is not None:
                    validation = Validation(held, blueprint.loss, blueprint.scoring, prior)
            if warm:
                self._go_on(blueprint, afresh=True)
            else:
                self._start(blueprint, checked.dtype, streams)
            scaling = Scaling.of(checked, sample.loss_weight).limited() if self.scale_inputs else None
            self._scale(scaling, anew=not warm)
            supervisor = Supervisor(
                self, blueprint, self._state, validation, watched=watched, prior=prior, seed=seed
            )
            outcome = supervisor.fit(sample, rows, hooks, interruptible=not refit, resumed=resumed)
        settled = has_settled(self.loss_curve_, self.n_iter_, outcome.converged)
        trained = sample.rows if self.refit else rows
        found = look(self.network_, sample, trained, blueprint, last_loss=self.loss_, settled=settled)
        for note in [*outcome.notes, *found]:
            warnings.warn(note, stacklevel=3)
        return self

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
        """Train for one epoch on these rows, going on from the last ``fit`` or ``partial_fit``.

        The network is made in the first call: its layers and its dtype are fixed from then on. All other
        parameters may change from call to call; another kind of solver starts anew. No rows are held out,
        the weights are those of the last epoch, and callbacks are not called.

        Parameters
        ----------
        X, y, sample_weight
            As in `fit`.
        classes : array_like of shape (n_classes,), optional
            All labels that will ever come; needed in the first call, unless ``soft_targets=True``.
        X_val, y_val, sample_weight_val : optional
            A validation set, measured after the epoch: see ``validation_scores_``.

        Returns
        -------
        self

        Raises
        ------
        ValueError, TypeError, DivergenceError
            As in `fit`; the model stays as it was before the call.
        """
        first = not hasattr(self, "network_")
        with one_thread(), unchanged_on_error(self, None if first else self._state):
            self._check_changed_parameters()
            checked, checked_y = self._validated(X, y, reset=first)
            labels = labels_in_part(
                y if self.soft_targets else checked_y,
                classes,
                None if first else self._labels,
                soft=self.soft_targets,
            )
            blueprint = self._planned(labels)
            self._check_partial(X_val)
            sample = self._training_sample(X, checked, checked_y, sample_weight)
            validation = self._validation(X_val, y_val, sample_weight_val)
            if first:
                self._start(blueprint, checked.dtype, _streams(self._seed()))
            else:
                self._go_on(blueprint, afresh=False)
            self._scale(self._running_scaling(sample) if self.scale_inputs else None, anew=first)
            notes = Supervisor(self, blueprint, self._state, validation).partial_fit(sample)
        for note in notes:
            warnings.warn(note, stacklevel=3)
        return self

    def predict(self, X: Any) -> Any:
        """Return the most probable label of each row, or for each of several labels whether it is probable.

        Parameters
        ----------
        X : array_like or sparse matrix of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples,), or (n_samples, n_labels)
            Columns of 0 and 1 for several labels per row; sparse if y was.
        """
        check_is_fitted(self)
        return self._labels.named(self._answers(X, self._labels.codes))

    def predict_proba(self, X: Any) -> Array:
        """Return the probability of each class, in the order of ``classes_``; or of each of several labels.

        Parameters
        ----------
        X : array_like or sparse matrix of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples, n_classes)

        Raises
        ------
        ValueError
            If an entry of X, or what it leads to, is beyond the range of the computation's type.
        """
        check_is_fitted(self)
        return self._answers(X, self._blueprint.loss.probabilities)

    def predict_log_proba(self, X: Any) -> Array:
        """Return the logarithms of the probabilities, from the logits: finite where a probability is 0.

        Only a difference of logits that is itself beyond the range of the type gives -inf.

        Parameters
        ----------
        X : array_like or sparse matrix of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
        """
        check_is_fitted(self)
        return self._answers(X, self._blueprint.loss.log_probabilities)

    def decision_function(self, X: Any) -> Array:
        """Return the logits.

        Parameters
        ----------
        X : array_like or sparse matrix of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples, n_classes), or (n_samples,) for two classes
            For two classes the log-odds of the second.
        """
        check_is_fitted(self)
        return self._answers(X, self._labels.scores)

    def score(self, X: Any, y: Any, sample_weight: ArrayLike | None = None) -> float:
        """Return the share of the rows whose prediction is right; of all labels, if there are several.

        Parameters
        ----------
        X : array_like or sparse matrix of shape (n_samples, n_features)
        y : array_like of shape (n_samples,) or (n_samples, n_labels)
            Labels, also with ``soft_targets=True``.
        sample_weight : array_like of shape (n_samples,), optional

        Returns
        -------
        float
        """
        predicted = self.predict(X)
        y = read_targets(self, y, predicted)
        weight = as_weights(sample_weight, predicted.shape[0])
        if y.dtype == object:
            y = as_labels(y)  # what fit takes for whole numbers
        try:
            return float(accuracy_score(y, predicted, sample_weight=weight))
        except ValueError as error:  # of labels of another kind
            raise ValueError(f"y must hold labels as in classes_, {self.classes_}: {error}") from None

    def activations(self, X: Any, layer: int = -1) -> Array:
        """Return the outputs of a hidden layer, after its activation: features that the network has learnt.

        Parameters
        ----------
        X : array_like or sparse matrix of shape (n_samples, n_features)
        layer : int, default=-1
            Number of the hidden layer: 0 is the first, -1 the last.

        Returns
        -------
        ndarray of shape (n_samples, width of the layer)

        Raises
        ------
        ValueError
            If there is no such layer.
        """
        check_is_fitted(self)
        n = len(self._blueprint.ends)
        if isinstance(layer, bool) or not isinstance(layer, Integral):
            raise TypeError(f"layer must be a whole number, got {layer!r}")
        if n == 0:
            raise ValueError(
                "there are no hidden layers, hidden_layer_sizes=(); decision_function has the logits"
            )
        if not -n <= layer < n:
            raise ValueError(f"there are {n} hidden layers; layer must be from {-n} to {n - 1}, got {layer}")
        return self._answers(X, np.asarray, self._blueprint.ends[layer])

    def save(self, path: str | Path, custom: Mapping[str, Any] | None = None) -> None:
        """Save the fitted model as one file, which `tinyclf.load` reads without running any code.

        The file is complete at any moment: a save that fails leaves the old one. It is a NumPy ``.npz``; its
        format is described in `tinyclf.persistence`. Callbacks and metadata requests are not in it.

        Parameters
        ----------
        path : str or Path
        custom : mapping of str to class or function, optional
            Layers, losses, optimizers and functions that are not tinyclf's own, under the names by which the
            file refers to them; `load` needs the same. Of objects the attributes are saved, which must be
            numbers, strings, arrays, or containers of these.

        Raises
        ------
        NotFittedError
        ValueError
            If the model has a part that a file cannot hold; the message names it.

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
        check_is_fitted(self)
        persistence.save(self, path, custom)

    def __getstate__(self) -> dict[str, Any]:
        """Return what is pickled: of a fitted model what `save` writes, so that no other class is in it.

        If it has parts of one's own, it is pickled as it is; pickle knows where to find these.
        """
        state: dict[str, Any] = super().__getstate__()
        state.pop("_checked", None)
        if not hasattr(self, "network_"):
            return state
        try:
            plain, arrays, twin = persistence.packed(self)
        except ValueError:
            return state
        rest = {name: value for name, value in state.items() if name not in vars(twin)}
        return {**rest, "_packed": (json.dumps(plain), arrays)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        if "_packed" in state:
            plain, arrays = state["_packed"]
            twin, _ = persistence.unpacked(type(self), json.loads(plain), arrays)
            state = {**vars(twin), **{name: value for name, value in state.items() if name != "_packed"}}
        super().__setstate__(state)

    def __copy__(self) -> Self:
        """Return a shallow copy, which shares what was fitted."""
        twin = type(self).__new__(type(self))
        twin.__dict__.update(vars(self))
        return twin

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
    def input_mean_(self) -> Array | None:
        """What is subtracted from each column."""
        scaling = self.network_.scaling
        return None if scaling is None else scaling.centre

    @property
    def input_scale_(self) -> Array | None:
        """By what it is divided."""
        scaling = self.network_.scaling
        return None if scaling is None else scaling.scale

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.classifier_tags.multi_class = not is_for_two_classes(self.loss)
        tags.classifier_tags.multi_label = True
        return tags

    # --- reading the data ---------------------------------------------------------------------------------

    def _validated(self, X: Any, y: Any, reset: bool) -> tuple[Any, Any]:
        X = read_features(self, X, reset=reset)
        y = read_targets(self, y, X)
        if y.ndim == 2 and y.shape[1] == 1 and not self.soft_targets:
            y = column_or_1d(y.toarray() if hasattr(y, "toarray") else y, warn=True)
        return X, y

    def _check_changed_parameters(self) -> None:
        """Check the parameters again, which scikit-learn does in the first call of partial_fit only."""
        parameters = [getattr(self, name) for name in self._parameter_constraints]
        checked = getattr(self, "_checked", [])
        if len(checked) != len(parameters) or any(map(operator.is_not, parameters, checked)):
            self._validate_params()  # takes half as long as an epoch over ten rows
            self._checked = parameters

    def _check_partial(self, X_val: Any) -> None:
        if self._blueprint.early_stopping is True and X_val is None:
            raise ValueError(
                "partial_fit does not support early_stopping=True, since it sees only a part of the rows; "
                "hand it X_val and y_val to be measured"
            )
        if isinstance(self.class_weight, str):
            raise ValueError(
                f"partial_fit does not support class_weight={self.class_weight!r}, since it sees only a part "
                "of the rows; give a dict, made by sklearn.utils.class_weight.compute_class_weight"
            )

    def _planned(self, labels: Labels) -> Blueprint:
        """Take these labels, and read the parameters with them."""
        self._blueprint = Blueprint.of(self, labels)
        self._labels = labels
        self.classes_ = labels.classes
        self.n_outputs_ = self._blueprint.n_outputs
        self.out_activation_ = self._blueprint.loss.link
        return self._blueprint

    def _training_sample(self, given: Any, X: Any, y: Any, sample_weight: Any) -> Sample:
        """Return checked rows to train on; they tell the class weights, also those of validation sets."""
        sample = Sample.of(self._labels, X, y, sample_weight, given)
        self._factors = sample.factors(self.class_weight)
        return sample.weighed(self._factors)

    def _prior(self, sample: Sample) -> Array | None:
        """Return the logits of the class frequencies for calibration; None if it is not wanted.

        Another loss than the two cross-entropies may have logits that are no log-probabilities.
        """
        blueprint = self._blueprint
        exact = isinstance(blueprint.loss, (SoftmaxCrossEntropy, SigmoidCrossEntropy))
        if not (self.calibrate and exact) or blueprint.lbfgs:
            return None
        y = sample.loss_targets(blueprint.loss, blueprint.n_outputs)
        return prior_logits(blueprint.loss, y, sample.loss_weight, blueprint.n_outputs)

    def _validation(
        self, X: Any, y: Any, weight: Any, scoring: Any = None, prior: Array | None = None
    ) -> Validation | None:
        """Return the validation set that these rows are, or None if there are none."""
        if X is None and y is None and weight is None:
            return None
        if X is None or y is None:
            missing = "X_val" if X is None else "y_val"
            raise ValueError(f"X_val and y_val belong together, got no {missing}")
        try:
            checked, checked_y = self._validated(X, y, reset=False)
            if self.scale_inputs:
                check_rows(checked)
            else:
                as_rows(checked, computation_dtype(self.dtype, checked.dtype), self.n_features_in_)
            sample = Sample.of(self._labels, checked, checked_y, weight, X).weighed(self._factors)
        except (TypeError, ValueError) as error:
            message = f"in the validation set, X_val, y_val and sample_weight_val: {error}"
            raise (TypeError if isinstance(error, TypeError) else ValueError)(message) from None
        return Validation(sample, self._blueprint.loss, scoring or self._blueprint.scoring, prior)

    # --- beginning ----------------------------------------------------------------------------------------

    def _seed(self) -> Array:
        """Return what all randomness of a fit comes from."""
        seed: Array = check_random_state(self.random_state).randint(2**32, size=4, dtype=np.uint32)
        return seed

    def _taken_over(self, finished: Any, hooks: Hooks) -> Self:
        """Take over what the same fit has left, which was finished."""
        given = self.get_params(deep=False)
        for name, value in vars(finished).items():
            if name not in given:
                setattr(self, name, value)
        if self.verbose:
            print("This fit was finished before; the model is what it has left.")
        hooks.fit_ends()
        return self

    def _start(
        self, blueprint: Blueprint, X_dtype: DTypeLike, streams: dict[str, np.random.Generator]
    ) -> None:
        """Make a new network and everything that grows with training."""
        dtype = computation_dtype(self.dtype, X_dtype)
        self.network_ = Network(blueprint.layers, self.n_features_in_, dtype=dtype, seed=streams["init"])
        self._state = TrainState(self.network_, blueprint.optimizer, streams["train"])
        self.n_layers_ = len(self.coefs_) + 1
        Books(self).open()

    def _go_on(self, blueprint: Blueprint, afresh: bool) -> None:
        """Go on with the network there is."""
        blueprint.check_is_that_of(self.network_, self.dtype)
        self._state.use(blueprint.optimizer, afresh=afresh)

    def _scale(self, scaling: Scaling | None, *, anew: bool) -> None:
        """Scale the input so from now on; a network that is not new computes what it did."""
        if anew:
            self.network_.scaling = scaling
        else:
            self.network_.rescale(scaling)

    def _running_scaling(self, sample: Sample) -> Scaling:
        """Return the scaling by all rows that partial_fit, and a fit before it, have seen."""
        known = self.network_.scaling
        if known is None:
            return Scaling.of(sample.X, sample.loss_weight)
        return known.with_rows(sample.X, sample.loss_weight).widened()

    def _read(self, X: Any) -> Any:
        """Return X for a prediction, as scikit-learn checks it; plain arrays of the right shape are right."""
        plain = type(X) is np.ndarray and X.dtype in (np.float32, np.float64) and X.ndim == 2
        if plain and X.shape[1] == self.n_features_in_ and len(X) and not hasattr(self, "feature_names_in_"):
            return X  # saves half of the time that the prediction of one row takes
        return read_features(self, X, reset=False)

    def _answers(self, X: Any, link: Callable[[Array], Array], n_layers: int | None = None) -> Array:
        """Return what a function of the logits, or of an earlier layer, says about each row."""
        X = self._read(X)

        def of_finite(z: Array) -> Array:
            if not np.isfinite(z).all():
                raise self._beyond(X, n_layers)
            return link(z)

        return self.network_.outputs(X, n_layers, link=of_finite)

    def _beyond(self, X: Any, n_layers: int | None) -> ValueError:
        """Return the error that tells why the outputs of a row are not finite."""
        network = self.network_
        if not np.isfinite(network.theta).all():
            return ValueError("coefs_ or intercepts_ hold numbers that are not finite; set or fit them anew")
        outputs = network.outputs(X, n_layers)
        row = int(np.flatnonzero(~np.isfinite(outputs).all(axis=1))[0])
        x = abs(X[[row]].toarray() if hasattr(X, "toarray") else X[[row]])[0]
        fixes = [] if network.scaling else ["scale the features (scale_inputs=True)"]
        fixes += ['fit with dtype="float64"'] if network.dtype == np.float32 else []
        fixes += ["make the weights smaller"]
        what = "logits" if n_layers is None else "activations"
        return ValueError(
            f"the {what} of row {row} are beyond the range of {network.dtype}: X reaches {x.max():.4g} in "
            f"that row, at column {x.argmax()}, and the weights {abs(network.theta).max():.4g} in magnitude. "
            f"To avoid it, {', or '.join(fixes)}"
        )


def _streams(seed: Array) -> dict[str, np.random.Generator]:
    """Return a random stream for each use, so that one more use changes no other."""
    return dict(zip(("init", "train", "hold_out"), np.random.default_rng(seed).spawn(3), strict=True))


def load(path: str | Path, custom: Mapping[str, Any] | None = None) -> TinyClassifier:
    """Load a model that `TinyClassifier.save` has saved, without running any code that the file brings.

    What the file holds is checked before it is used, and before memory is taken for it.

    Parameters
    ----------
    path : str or Path
    custom : mapping of str to class or function, optional
        What is not tinyclf's own in the model, by the names under which it was saved. These are called.

    Returns
    -------
    TinyClassifier
        It predicts, bit for bit, as the saved one did, and goes on training as it would have.

    Raises
    ------
    OSError
        If the file cannot be read.
    ArchiveError
        If `save` has not made it, or a newer version of it has; if it is damaged; or if it needs something
        that is not in ``custom``. It is a ValueError.
    """
    model: TinyClassifier = persistence.load(TinyClassifier, path, custom)[0]
    return model
