"""TinyClassifier: the scikit-learn estimator around a `Network`."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from numbers import Integral, Real
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, DTypeLike
from sklearn.base import BaseEstimator, ClassifierMixin, _fit_context
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, Options, StrOptions
from sklearn.utils.multiclass import _check_partial_fit_first_call
from sklearn.utils.validation import check_is_fitted, validate_data

from .layers import ACTIVATIONS, Dense, Layer, Logistic, glorot_uniform, glorot_uniform_logistic
from .losses import LOSSES, Loss, SigmoidCrossEntropy, SoftmaxCrossEntropy
from .network import Network
from .optimizers import OPTIMIZERS, SGD, Adam, Optimizer
from .state import TrainState
from .stopping import Plateau
from .targets import as_labels, encode, encode_known
from .training import Epoch, train
from .views import Array, ViewList

# Non-finite numbers are left to `rows`, which names their row and column.
_INPUT: dict[str, Any] = {
    "accept_sparse": "csr",
    "dtype": [np.float64, np.float32],
    "ensure_all_finite": False,
}


class TinyClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Neural-network classifier whose loss is right for any logits.

    Parameters have the names and meanings of scikit-learn's ``MLPClassifier``; what is more is at the end.
    Scale the features, as in ``make_pipeline(StandardScaler(), TinyClassifier())``.

    Parameters
    ----------
    hidden_layer_sizes : int or array_like of int, default=(100,)
        Widths of the hidden layers, each at least 1; ``()`` is softmax regression.
    activation : {"identity", "logistic", "tanh", "relu"} or Layer, default="relu"
        What follows each hidden layer.
    solver : {"adam", "sgd"} or Optimizer, default="adam"
        A name builds the optimizer from the parameters below that carry its letters; an instance brings
        its own, and those parameters are ignored.
    alpha : float, default=1e-4
        Strength of the L2 penalty of the weights, at least 0; divided by the size of the batch.
    batch_size : int or "auto", default="auto"
        Rows per step; "auto" is min(200, n_samples).
    learning_rate_init : float, default=1e-3
        Learning rate, more than 0.
    max_iter : int, default=200
        Largest number of epochs.
    shuffle : bool, default=True
        Whether to draw a new order of the rows in each epoch.
    random_state : int, RandomState or None, default=None
        Of the initial weights and the order of the rows. An int makes fits repeat bit for bit.
    tol : float, default=1e-4
        Training stops when the loss has not fallen by more than this for ``n_iter_no_change`` epochs.
    verbose : bool, default=False
        Whether to print the loss of each epoch.
    momentum : float, default=0.9
        Momentum of "sgd", from 0 to 1.
    nesterovs_momentum : bool, default=True
        Whether the momentum of "sgd" has Nesterov's form.
    beta_1, beta_2 : float, default=0.9 and 0.999
        Decay of the moments of "adam", at least 0 and less than 1.
    epsilon : float, default=1e-8
        Added to the denominator of "adam", more than 0.
    n_iter_no_change : int or inf, default=10
        See ``tol``.
    loss : {"log_loss", "softmax_cross_entropy", "sigmoid_cross_entropy"} or Loss, default="log_loss"
        "log_loss" is the logistic one on a single logit for two classes, else that of softmax; for two
        classes both describe the same probabilities.
    dtype : {"float32", "float64"} or None, default="float32"
        The type that is computed in and that probabilities have; None follows X.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The labels, sorted.
    network_ : Network
        The fitted network; its ``parameters`` are the ones below.
    coefs_, intercepts_ : list of ndarray
        Weights (n_in, n_out) and biases (n_out,) of the dense layers, as views: assigning to the list or to
        one of its items changes the model.
    loss_curve_ : list of float
        Mean training loss of each epoch, penalty included.
    loss_, best_loss_ : float
        The last and the lowest of them; nan and inf before the first epoch.
    n_iter_ : int
        Number of epochs of the last ``fit`` or ``partial_fit``.
    t_ : int
        Number of rows seen in training, repetitions included.
    n_layers_, n_outputs_ : int
        Number of layers of units, input included, and of logits: one for two classes with "log_loss".
    out_activation_ : {"softmax", "logistic"}
        The function from logits to probabilities.
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (n_features_in_,)
        If X has names for all columns.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from tinyclf import TinyClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> model = make_pipeline(StandardScaler(), TinyClassifier(learning_rate_init=0.01, random_state=0))
    >>> bool(model.fit(X, y).score(X, y) > 0.95)
    True
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "hidden_layer_sizes": ["array-like", Interval(Integral, 1, None, closed="left")],
        "activation": [StrOptions(set(ACTIVATIONS)), Layer],
        "solver": [StrOptions(set(OPTIMIZERS)), Optimizer],
        "alpha": [Interval(Real, 0, None, closed="left")],
        "batch_size": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "learning_rate_init": [Interval(Real, 0, None, closed="neither")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "shuffle": ["boolean"],
        "random_state": ["random_state"],
        "tol": [Interval(Real, 0, None, closed="left")],
        "verbose": ["verbose"],
        "momentum": [Interval(Real, 0, 1, closed="both")],
        "nesterovs_momentum": ["boolean"],
        "beta_1": [Interval(Real, 0, 1, closed="left")],
        "beta_2": [Interval(Real, 0, 1, closed="left")],
        "epsilon": [Interval(Real, 0, None, closed="neither")],
        "n_iter_no_change": [
            Interval(Integral, 1, None, closed="left"),
            Options(Real, {np.inf}),
        ],
        "loss": [StrOptions({"log_loss", *LOSSES}), Loss],
        "dtype": "no_validation",  # type: ignore[dict-item]  # has a check of its own, with the reason
    }

    def __init__(
        self,
        hidden_layer_sizes: int | ArrayLike = (100,),
        activation: str | Layer = "relu",
        *,
        solver: str | Optimizer = "adam",
        alpha: float = 1e-4,
        batch_size: int | str = "auto",
        learning_rate_init: float = 1e-3,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: int | np.random.RandomState | None = None,
        tol: float = 1e-4,
        verbose: bool | int = False,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        n_iter_no_change: float = 10,
        loss: str | Loss = "log_loss",
        dtype: DTypeLike | None = "float32",
    ) -> None:
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.solver = solver
        self.alpha = alpha
        self.batch_size = batch_size
        self.learning_rate_init = learning_rate_init
        self.max_iter = max_iter
        self.shuffle = shuffle
        self.random_state = random_state
        self.tol = tol
        self.verbose = verbose
        self.momentum = momentum
        self.nesterovs_momentum = nesterovs_momentum
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.n_iter_no_change = n_iter_no_change
        self.loss = loss
        self.dtype = dtype

    @_fit_context(prefer_skip_nested_validation=True)  # type: ignore[untyped-decorator]
    def fit(self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Train a new network.

        Parameters
        ----------
        X : array_like or sparse matrix of shape (n_samples, n_features)
        y : array_like of shape (n_samples,)
            Labels of one kind: strings, integers, booleans.
        sample_weight : array_like of shape (n_samples,), optional
            Non-negative. A weight of 0 leaves the row out. The L2 penalty is divided by the sum of a batch's
            weights, so that very small ones let it grow beyond bounds.

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
            If ``max_iter`` epochs were not enough. The model can be used.
        """
        refit = hasattr(self, "network_")
        stopped = interrupted = False
        with _unchanged_on_error(self):
            X, labels = self._validated(X, y, reset=True)
            self.classes_, codes = encode(labels)
            self._start(X.dtype)
            self._clip_warning(X.shape[0])
            plateau = Plateau(self.tol, self.n_iter_no_change)
            try:
                for epoch in self._train(X, codes, sample_weight, self.max_iter):
                    stopped = plateau.reached(epoch.loss)
                    if stopped:
                        self._say(
                            f"Training loss did not improve more than tol={self.tol:f} for "
                            f"{self.n_iter_no_change} consecutive epochs. Stopping."
                        )
                        break
            except KeyboardInterrupt:
                if refit and self.n_iter_ == 0:
                    raise  # the model from before is worth more
                interrupted = True
        if interrupted:
            warnings.warn(
                f"Training interrupted by user after {self.n_iter_} epochs; the model is what it has learnt "
                "so far.",
                stacklevel=3,
            )
        elif not stopped:
            warnings.warn(
                f"Stochastic Optimizer: Maximum iterations ({self.max_iter}) reached and the optimization "
                "hasn't converged yet. Increase max_iter or learning_rate_init, or scale the features.",
                ConvergenceWarning,
                stacklevel=3,
            )
        return self

    @_fit_context(prefer_skip_nested_validation=True)  # type: ignore[untyped-decorator]
    def partial_fit(
        self,
        X: Any,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        classes: ArrayLike | None = None,
    ) -> Self:
        """Train for one epoch on these rows, going on from the last ``fit`` or ``partial_fit``.

        The network is made in the first call: sizes, activation, loss and dtype are fixed from then on. All
        other parameters may change from call to call; another kind of solver starts anew.

        Parameters
        ----------
        X : array_like or sparse matrix of shape (n_samples, n_features)
        y : array_like of shape (n_samples,)
        sample_weight : array_like of shape (n_samples,), optional
            Non-negative. A weight of 0 leaves the row out.
        classes : array_like of shape (n_classes,), optional
            All labels that will ever come; needed in the first call.

        Returns
        -------
        self

        Raises
        ------
        ValueError, TypeError, DivergenceError
            As in `fit`; the model stays as it was before the call.
        """
        first = not hasattr(self, "network_")
        with _unchanged_on_error(self):
            _check_partial_fit_first_call(self, None if classes is None else as_labels(classes))
            X, labels = self._validated(X, y, reset=first)
            codes = encode_known(labels, self.classes_)
            if first:
                self._start(X.dtype)
            before, n_epochs = self._state.snapshot(), len(self.loss_curve_)
            try:
                self._state.use(self._optimizer())
                for _ in self._train(X, codes, sample_weight, 1):
                    pass
            except BaseException:
                self._state.restore(before)
                del self.loss_curve_[n_epochs:]
                raise
        return self

    def predict(self, X: Any) -> Array:
        """Return the most probable label of each row.

        Parameters
        ----------
        X : array_like or sparse matrix of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples,)
        """
        scores = self.decision_function(X)
        codes = scores.argmax(axis=1) if scores.ndim == 2 else (scores > 0).astype(np.intp)
        labels: Array = self.classes_[codes]
        return labels

    def predict_proba(self, X: Any) -> Array:
        """Return the probability of each class, in the order of ``classes_``.

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
        logits = self._logits(X)
        return self._loss.probabilities(logits)

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
        logits = self._logits(X)
        return self._loss.log_probabilities(logits)

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
        z = self._logits(X)
        if len(self.classes_) != 2:
            return z
        with np.errstate(over="ignore"):
            log_odds: Array = z[:, 0] if z.shape[1] == 1 else z[:, 1] - z[:, 0]
        return log_odds

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

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.classifier_tags.multi_class = not self._needs_two_classes()
        return tags

    def _validated(self, X: Any, y: Any, reset: bool) -> tuple[Any, Array]:
        X, y = validate_data(self, X, y, reset=reset, **_INPUT)
        return X, np.asarray(y)

    def _computation_dtype(self, of_X: DTypeLike) -> np.dtype[Any]:
        try:
            dtype = np.dtype(of_X if self.dtype is None else self.dtype)
        except TypeError:
            dtype = None
        if dtype == np.float16:
            raise ValueError(
                'dtype="float16" is no type to compute in: its largest number is 65504 and sums lose their '
                'digits; use "float32"'
            )
        if dtype not in (np.float32, np.float64):
            raise ValueError(f'dtype must be "float32", "float64" or None, got {self.dtype!r}')
        return dtype

    def _start(self, X_dtype: DTypeLike) -> None:
        """Make a new network and everything that grows with training."""
        n_classes = len(self.classes_)
        self._loss = self._loss_for(n_classes)
        self.n_outputs_ = self._loss.n_outputs(n_classes)
        self.out_activation_ = self._loss.link
        seed = check_random_state(self.random_state).randint(2**32, size=4, dtype=np.uint32)
        init_rng, train_rng = np.random.default_rng(seed).spawn(2)
        layers = self._layers()
        dtype = self._computation_dtype(X_dtype)
        self.network_ = Network(layers, self.n_features_in_, dtype=dtype, seed=init_rng)
        self._state = TrainState(self.network_, self._optimizer(), train_rng)
        self.n_layers_ = len(self.coefs_) + 1
        self.n_iter_ = 0
        self.t_ = 0
        self.loss_ = np.nan
        self.best_loss_: float = np.inf
        self.loss_curve_: list[float] = []

    def _layers(self) -> list[Layer]:
        try:
            widths = np.atleast_1d(np.asarray(self.hidden_layer_sizes))
        except ValueError:  # rows of different lengths
            widths = np.array(["ragged"])
        if widths.ndim != 1 or (widths.size and (widths.dtype.kind not in "iu" or widths.min() < 1)):
            raise ValueError(
                f"hidden_layer_sizes must be whole numbers > 0, got {self.hidden_layer_sizes!r}; "
                "() is a network without hidden layers"
            )
        activation = self.activation if isinstance(self.activation, Layer) else ACTIVATIONS[self.activation]
        init = glorot_uniform_logistic if isinstance(activation, Logistic) else glorot_uniform
        hidden = [layer for n in widths.tolist() for layer in (Dense(n, init), activation)]
        return [*hidden, Dense(self.n_outputs_, init)]

    def _loss_for(self, n_classes: int) -> Loss:
        if n_classes == 1 and self._needs_two_classes():
            return SoftmaxCrossEntropy()  # a single class is certain, whatever the loss
        if isinstance(self.loss, Loss):
            return self.loss
        if self.loss == "log_loss":
            return SigmoidCrossEntropy() if n_classes == 2 else SoftmaxCrossEntropy()
        return LOSSES[self.loss]()

    def _needs_two_classes(self) -> bool:
        return isinstance(self.loss, SigmoidCrossEntropy) or self.loss == "sigmoid_cross_entropy"

    def _optimizer(self) -> Optimizer:
        if isinstance(self.solver, Optimizer):
            return self.solver
        if self.solver == "sgd":
            return SGD(self.learning_rate_init, self.momentum, self.nesterovs_momentum)
        return Adam(self.learning_rate_init, self.beta_1, self.beta_2, self.epsilon)

    def _train(self, X: Any, codes: Array, sample_weight: Any, epochs: int) -> Iterator[Epoch]:
        """Train, keeping the books."""
        n = X.shape[0]
        reports = train(
            self.network_,
            X,
            codes,
            loss=self._loss,
            epochs=epochs,
            batch_size=min(200, n) if isinstance(self.batch_size, str) else self.batch_size,
            sample_weight=sample_weight,
            alpha=self.alpha,
            shuffle=self.shuffle,
            state=self._state,
        )
        self.n_iter_ = 0
        for epoch in reports:
            self.n_iter_ += 1
            self.t_ += n
            self.loss_ = epoch.loss
            self.best_loss_ = min(self.best_loss_, epoch.loss)
            self.loss_curve_.append(epoch.loss)
            self._say(f"Iteration {self.n_iter_}, loss = {epoch.loss:.8f}")
            yield epoch

    def _clip_warning(self, n: int) -> None:
        if not isinstance(self.batch_size, str) and self.batch_size > n:
            warnings.warn(
                f"batch_size={self.batch_size} is larger than the {n} rows; it is clipped to them.",
                stacklevel=4,
            )

    def _say(self, text: str) -> None:
        if self.verbose:
            print(text)

    def _logits(self, X: Any) -> Array:
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, **_INPUT)
        logits = self.network_.logits(X)
        if not np.isfinite(logits).all():
            if not np.isfinite(self.network_.theta).all():
                raise ValueError(
                    "coefs_ or intercepts_ hold numbers that are not finite; set or fit them anew"
                )
            row = int(np.flatnonzero(~np.isfinite(logits).all(axis=1))[0])
            raise ValueError(
                f"the logits of row {row} are beyond the range of {logits.dtype}; the largest magnitude in "
                f"that row of X is {abs(X[row]).max():.4g}. Scale the features, or fit with "
                'dtype="float64"'
            )
        return logits


@contextmanager
def _unchanged_on_error(estimator: Any) -> Iterator[None]:
    """Nothing is lost: a call that fails leaves the attributes of the estimator as they were."""
    before = vars(estimator).copy()
    try:
        yield
    except BaseException:
        vars(estimator).clear()
        vars(estimator).update(before)
        raise
