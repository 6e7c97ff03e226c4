"""Plots of the loss curves and the calibration of a classifier, on scikit-learn's Display convention.

A display stores the values. Its method ``plot`` draws them with matplotlib (``pip install
matplotlib``), which is imported on first use. ``from_estimator`` and ``from_predictions`` compute
the values and plot them.
"""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.pipeline import Pipeline
from sklearn.utils._optional_dependencies import check_matplotlib_support
from sklearn.utils.multiclass import unique_labels
from sklearn.utils.validation import check_is_fitted

from .estimator.targets import check_sums
from .nn.arrays import Array
from .nn.batches import as_weights
from .nn.errors import whole_number

BLUE, VERMILION = "#0072B2", "#D55E00"  # from the color-blind safe palette of Okabe and Ito
INK, BAR = "#555555", "#E3E3E3"
DOT = {"marker": "o", "markersize": 8, "markeredgecolor": "white"}
STYLES = {
    "training": {"color": BLUE, "linestyle": "-"},
    "validation": {"color": VERMILION, "linestyle": "--"},
}

ROUNDING = 1e-6  # tolerance: an average of float32 probabilities can be outside [0, 1] by rounding


class LossCurveDisplay:
    """Plot of the loss of each training epoch, with the best epoch marked.

    Parameters
    ----------
    loss_curve : array_like of shape (n_epochs,)
        Training loss.
    validation_loss_curve : array_like of shape (n_epochs,), optional
        Validation loss.
    best_epoch : int, optional
        The epoch to mark, counted from 1.
    unit : str, default="epoch"
        Label of the x-axis: "epoch", or "iteration" for a full-batch solver.

    Attributes
    ----------
    ax_, figure_ : matplotlib Axes and Figure
        Set by `plot`, as are ``lines_`` and ``best_``.
    lines_ : list of Line2D
        The lines of the training loss and, if given, of the validation loss.
    best_ : Line2D or None
        The marker of the best epoch.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from sklearn.datasets import load_digits
    >>> from tinyclf import TinyClassifier
    >>> X, y = load_digits(return_X_y=True)
    >>> clf = TinyClassifier(learning_rate_init=0.01, random_state=0).fit(X / 16, y)
    >>> display = LossCurveDisplay.from_estimator(clf, ax=Figure().subplots())
    >>> display.best_epoch == 1 + clf.validation_scores_.index(max(clf.validation_scores_))
    True
    """

    def __init__(
        self,
        loss_curve: ArrayLike,
        *,
        validation_loss_curve: ArrayLike | None = None,
        best_epoch: int | None = None,
        unit: str = "epoch",
    ) -> None:
        self.loss_curve = loss_curve
        self.validation_loss_curve = validation_loss_curve
        self.best_epoch = best_epoch
        self.unit = unit

    def plot(self, ax: Any = None, *, log: bool = False, **kwargs: Any) -> Self:
        """Draw the curves and label them at their ends.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Axes to draw on. By default a new figure is created.
        log : bool, default=False
            Whether to use a logarithmic y-axis, which shows details after a steep start.
        **kwargs
            Passed to ``ax.plot`` for each line.

        Returns
        -------
        self

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        self.ax_ = ax = _axes(self, ax)
        self.figure_ = ax.figure
        self.lines_ = []
        for name, curve in (("training", self.loss_curve), ("validation", self.validation_loss_curve)):
            if curve is not None:
                epochs = np.arange(1, 1 + np.size(curve))
                visible = DOT if len(epochs) == 1 else {}  # a line of one point is invisible
                style = {**STYLES[name], **visible, "label": name}
                self.lines_.append(_line(ax, epochs, curve, style, kwargs))
        ax.set(xlabel=self.unit, ylabel="loss", yscale="log" if log else "linear")
        self.best_ = None if self.best_epoch is None else self._mark(self.best_epoch, self.lines_[-1])
        _frame(ax, 1.0, max(1.0, ax.dataLim.x1), integer=True)  # dataLim includes earlier plots on these axes
        if not log and not ax.dataLim.y0 < 0:
            ax.set_ylim(bottom=0, auto=True)
        self._label()
        return self

    def _mark(self, epoch: int, line: Any) -> Any:
        """Mark the epoch on the line, and label it at the top, above the curves."""
        early = epoch <= np.size(self.loss_curve) / 2
        self.ax_.margins(y=0.12)
        self.ax_.axvline(epoch, color=INK, linewidth=1, linestyle=":", zorder=1)
        spot = {"xycoords": self.ax_.get_xaxis_transform(), "va": "top", "ha": "left" if early else "right"}
        _note(self.ax_, f"best {self.unit}: {epoch}", (epoch, 1), INK, **spot)
        return self.ax_.plot(epoch, line.get_ydata()[epoch - 1], color=line.get_color(), **DOT)[0]

    def _label(self) -> None:
        """Label each line at its end: the upper line above its end point, the lower line below it."""
        floor = 0.0 if self.ax_.get_yscale() == "log" else -np.inf
        ends = []
        for line in self.lines_:
            drawn = [(x, y) for x, y in line.get_xydata() if floor < y < np.inf]
            ends += [(y, x, line) for x, y in drawn[-1:]]
        sides = ["top", "bottom"] if len(ends) == 2 else ["center"]  # vertical alignment of the text
        for (y, x, line), side in zip(sorted(ends, key=lambda end: end[0]), sides, strict=False):
            _note(self.ax_, line.get_label(), (x, y), line.get_color(), va=side, fontweight="bold")

    @classmethod
    def from_estimator(cls, estimator: Any, ax: Any = None, *, log: bool = False, **kwargs: Any) -> Self:
        """Plot the loss curves of a fitted classifier.

        Parameters
        ----------
        estimator : TinyClassifier, or Pipeline that ends in one
            A fitted estimator. Any estimator with the attribute ``loss_curve_`` is accepted, for
            example scikit-learn's ``MLPClassifier``. The best epoch is ``best_epoch_`` or, without
            that attribute, the first epoch with the highest of the ``validation_scores_``.
        ax, log, **kwargs
            See `plot`.

        Returns
        -------
        LossCurveDisplay

        Raises
        ------
        NotFittedError
            If the estimator is not fitted.
        ValueError
            If its ``loss_curve_`` is missing or empty, or if only some epochs had a validation set.
        ImportError
            If matplotlib is not installed.
        """
        check_matplotlib_support(f"{cls.__name__}.from_estimator")
        model = estimator[-1] if isinstance(estimator, Pipeline) else estimator
        check_is_fitted(model)
        loss = getattr(model, "loss_curve_", None)
        if loss is None or len(loss) == 0:
            raise ValueError(
                f"{type(model).__name__} has {'no' if loss is None else 'an empty'} loss_curve_; fit an "
                "estimator that records one: TinyClassifier, or MLPClassifier with a solver other than lbfgs"
            )
        validation_loss = getattr(model, "validation_loss_curve_", None)
        scores = getattr(model, "validation_scores_", None)
        for name, curve in (("validation_loss_curve_", validation_loss), ("validation_scores_", scores)):
            if curve is not None and len(curve) != len(loss):
                raise ValueError(
                    f"{name} has {len(curve)} epochs and loss_curve_ {len(loss)}, so they cannot be aligned; "
                    "train with a validation set in all epochs, or plot the training loss alone: "
                    "LossCurveDisplay(model.loss_curve_).plot()"
                )
        display = cls(
            loss,
            validation_loss_curve=validation_loss,
            best_epoch=_best_epoch(model, scores),
            unit="iteration" if getattr(model, "solver", None) == "lbfgs" else "epoch",
        )
        return display.plot(ax, log=log, **kwargs)


class ConfidenceDisplay:
    """Reliability diagram: accuracy against confidence, in bins of confidence.

    The confidence is the probability of the predicted class: the largest probability of the row.
    For multilabel targets, each label is a separate prediction with the confidence max(p, 1 - p).
    Whiskers show the Wilson interval of one standard error for the accuracy of each bin [2]_.

    Parameters
    ----------
    bin_edges : ndarray of shape (n_bins + 1,)
        Edges of the bins; a bin includes its upper edge.
    bin_weight : ndarray of shape (n_bins,)
        Number of predictions in each bin, or the sum of their weights.
    bin_confidence, bin_accuracy : ndarray of shape (n_bins,)
        Mean confidence, and fraction of correct predictions, of each bin; nan in an empty bin.

    Attributes
    ----------
    accuracy, confidence : float
        Accuracy and mean confidence of all predictions.
    calibration_error : float
        The expected calibration error [1]_: the weighted mean of abs(accuracy - confidence) over
        the bins.
    ax_, figure_ : matplotlib Axes and Figure
        Set by `plot`, as are the attributes below.
    line_ : Line2D
        Accuracy against confidence.
    whiskers_ : LineCollection
        Wilson intervals.
    bars_ : BarContainer
        Fraction of the predictions in each bin.
    text_ : Text
        Accuracy, mean confidence and calibration error.

    References
    ----------
    .. [1] C. Guo, G. Pleiss, Y. Sun, K. Weinberger, "On calibration of modern neural networks", ICML 2017.
       Their bins span the interval from 0 to 1; here they begin at 1 / n_classes.
    .. [2] E. B. Wilson, "Probable inference, the law of succession, and statistical inference", Journal of
       the American Statistical Association 22, 1927.

    Examples
    --------
    Three of four predictions are correct:

    >>> import numpy as np
    >>> from matplotlib.figure import Figure
    >>> p = np.array([0.9, 0.7, 0.1, 0.3])
    >>> display = ConfidenceDisplay.from_predictions(
    ...     ["yes", "yes", "no", "yes"], np.column_stack([1 - p, p]), n_bins=2, ax=Figure().subplots()
    ... )
    >>> display.bin_accuracy, display.accuracy
    (array([0.5, 1. ]), 0.75)
    >>> round(display.confidence, 3), round(display.calibration_error, 3)
    (0.8, 0.15)
    """

    def __init__(
        self, bin_edges: Array, bin_weight: Array, bin_confidence: Array, bin_accuracy: Array
    ) -> None:
        self.bin_edges = bin_edges
        self.bin_weight = bin_weight
        self.bin_confidence = bin_confidence
        self.bin_accuracy = bin_accuracy

    @property
    def accuracy(self) -> float:
        """Fraction of correct predictions."""
        return self._mean(self.bin_accuracy)

    @property
    def confidence(self) -> float:
        """Mean confidence."""
        return self._mean(self.bin_confidence)

    @property
    def calibration_error(self) -> float:
        """Expected calibration error."""
        return self._mean(np.abs(self.bin_accuracy - self.bin_confidence))

    def _mean(self, of_bins: Array) -> float:
        filled = self.bin_weight > 0
        return float(np.average(of_bins[filled], weights=self.bin_weight[filled]))

    def plot(self, ax: Any = None, **kwargs: Any) -> Self:
        """Draw the accuracy of each bin against its confidence, and the fraction of predictions in it.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Axes to draw on. By default a new figure is created.
        **kwargs
            Passed to ``ax.plot`` for the line.

        Returns
        -------
        self

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        self.ax_ = ax = _axes(self, ax)
        self.figure_ = ax.figure
        edges, filled = self.bin_edges, self.bin_weight > 0
        n, accuracy = self.bin_weight[filled], self.bin_accuracy[filled]
        confidence = self.bin_confidence[filled]
        heights = self.bin_weight / n.sum()
        self.bars_ = ax.bar(edges[:-1], heights, np.diff(edges), align="edge", color=BAR, edgecolor="white")
        ax.plot(edges[[0, -1]], edges[[0, -1]], color=INK, linewidth=1, linestyle=":")
        style = {"color": BLUE, **DOT, "clip_on": False}
        self.line_ = _line(ax, confidence, accuracy, style, kwargs)
        middle = (n * accuracy + 0.5) / (n + 1)  # Wilson's interval, with z = 1
        half = np.sqrt(n * accuracy * (1 - accuracy) + 0.25) / (n + 1)
        low, high = middle - half, middle + half
        self.whiskers_ = ax.vlines(confidence, low, high, self.line_.get_color(), linewidth=1)
        _note(ax, "perfectly\ncalibrated", (1, 1), INK, va="center")
        _note(ax, "bars: fraction\nof predictions", (1, 0), INK, va="bottom")
        self.text_ = ax.text(
            0.01,
            0.99,
            f"accuracy {self.accuracy:.3f}, mean confidence {self.confidence:.3f}\n"
            f"expected calibration error {self.calibration_error:.3f}",
            transform=ax.transAxes,
            va="top",
        )
        ax.set(
            ylim=(0, 1.2),  # the space above 1 is for the text
            yticks=np.linspace(0, 1, 6),
            xlabel="confidence: probability of the predicted class",
            ylabel="accuracy",
        )
        ax.spines["left"].set_bounds(0, 1)
        _frame(ax, edges[0], 1.0)
        return self

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: Any,
        *,
        sample_weight: ArrayLike | None = None,
        n_bins: int = 10,
        ax: Any = None,
        **kwargs: Any,
    ) -> Self:
        """Plot the reliability diagram of a classifier on test data.

        Parameters
        ----------
        estimator : classifier with ``predict_proba``, or Pipeline that ends in one
            A fitted estimator.
        X : array_like or sparse matrix of shape (n_samples, n_features)
            Rows that the estimator was not trained on.
        y, sample_weight, n_bins, ax, **kwargs
            See `from_predictions`.

        Returns
        -------
        ConfidenceDisplay

        Raises
        ------
        ValueError, ImportError
            See `from_predictions`.
        """
        check_matplotlib_support(f"{cls.__name__}.from_estimator")
        proba, classes = estimator.predict_proba(X), estimator.classes_
        if isinstance(proba, list):  # multilabel forests return one array of P(0), P(1) for each label
            proba = np.column_stack([p @ values for p, values in zip(proba, classes, strict=True)])
        return cls.from_predictions(
            y, proba, classes=classes, sample_weight=sample_weight, n_bins=n_bins, ax=ax, **kwargs
        )

    @classmethod
    def from_predictions(
        cls,
        y_true: Any,
        y_proba: ArrayLike,
        *,
        classes: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        n_bins: int = 10,
        ax: Any = None,
        **kwargs: Any,
    ) -> Self:
        """Plot the reliability diagram of predicted probabilities.

        Parameters
        ----------
        y_true : array_like of shape (n_samples,) or (n_samples, n_labels)
            True labels, or a multilabel indicator matrix of 0 and 1.
        y_proba : array_like of shape (n_samples, n_classes) or (n_samples, n_labels)
            Predicted probability of each class, or of each label.
        classes : array_like of shape (n_classes,), optional
            The class of each column of ``y_proba``; by default the sorted labels in ``y_true``.
            Ignored for multilabel targets.
        sample_weight : array_like of shape (n_samples,), optional
            A weight of 2 is equivalent to repeating the row, also for the whiskers.
        n_bins : int, default=10
            Number of bins of equal width, at least 1, from the lowest possible confidence (1 /
            n_classes; 0.5 for multilabel targets) to 1.
        ax, **kwargs
            See `plot`.

        Returns
        -------
        ConfidenceDisplay

        Raises
        ------
        ValueError
            If shapes do not match, a label is not in ``classes``, a probability is outside [0, 1],
            the probabilities of a row do not sum to 1, a weight is negative, or ``n_bins`` is less
            than 1.
        TypeError
            If ``n_bins`` is not a whole number.
        ImportError
            If matplotlib is not installed.
        """
        check_matplotlib_support(f"{cls.__name__}.from_predictions")
        n_bins = whole_number("n_bins", n_bins, 1)
        y = y_true.toarray() if hasattr(y_true, "toarray") else np.asarray(y_true)
        proba = _probabilities(y_proba, y)
        given = as_weights(sample_weight, len(y))
        weight = np.ones(len(y)) if given is None else given
        if y.ndim == 2:
            confidence, correct = _each_label(y, proba)
            weight = np.repeat(weight, proba.shape[1])
        else:
            confidence, correct = _one_label(y, proba, classes)
        lowest = 0.5 if y.ndim == 2 else 1 / max(2, proba.shape[1])  # one class alone has confidence 1
        edges = np.linspace(lowest, 1, n_bins + 1)
        bins = np.searchsorted(edges[1:-1], confidence)

        def total(values: Array) -> Array:
            return np.bincount(bins, weight * values, minlength=n_bins)

        bin_weight = total(np.ones(len(bins)))
        divisor = np.where(bin_weight > 0, bin_weight, np.nan)
        display = cls(edges, bin_weight, total(confidence) / divisor, total(correct) / divisor)
        return display.plot(ax, **kwargs)


def _axes(display: Any, ax: Any) -> Any:
    """Return the given axes, or those of a new figure."""
    check_matplotlib_support(f"{type(display).__name__}.plot")
    if ax is None:
        import matplotlib.pyplot as plt  # imported here only: it opens windows and keeps figures

        ax = plt.figure(layout="constrained").subplots()
    return ax


def _line(ax: Any, x: ArrayLike, y: Any, style: dict[str, Any], kwargs: dict[str, Any]) -> Any:
    """Plot a line with this style; the caller's keywords, or their aliases, override it."""
    from matplotlib.cbook import normalize_kwargs
    from matplotlib.lines import Line2D

    return ax.plot(x, y, **{**style, **normalize_kwargs(kwargs, Line2D)})[0]


def _note(ax: Any, text: str, xy: tuple[float, float], color: str, **style: Any) -> None:
    """Write a text to the right of a point, or to the left if its alignment is "right"."""
    offset = -6 if style.get("ha") == "right" else 6
    ax.annotate(text, xy, xytext=(offset, 0), textcoords="offset points", color=color, **style)


def _frame(ax: Any, start: float, end: float, *, integer: bool = False) -> None:
    """Limit the x-axis line to the data, with space for text to its right; hide the right and top spines."""
    from matplotlib.ticker import MaxNLocator

    span = (end - start) or 1.0
    left = start - (0.04 * span if end > start else 0.5)
    ticks = np.asarray(MaxNLocator(8, integer=integer, steps=[1, 2, 5, 10]).tick_values(start, start + span))
    ax.set_xticks(ticks[(ticks > start - 1e-9) & (ticks < end + 1e-9)])
    ax.set_xlim(left, end + 0.22 * span)
    ax.spines["bottom"].set_bounds(left, end)
    ax.spines[["top", "right"]].set_visible(False)


def _best_epoch(model: Any, scores: list[float] | None) -> int | None:
    """Return ``best_epoch_``, or else the first epoch with the best score; counted from 1."""
    if hasattr(model, "best_epoch_"):
        epoch: int | None = model.best_epoch_
        return epoch
    if scores is None or not np.any(np.greater(scores, -np.inf)):
        return None
    return 1 + int(np.nanargmax(scores))


def _probabilities(y_proba: ArrayLike, y: Array) -> Array:
    """Check the probabilities against the shape of y, and return them as float64 (n, k)."""
    proba = np.asarray(y_proba, np.float64)
    if y.ndim not in (1, 2) or proba.ndim != 2 or len(proba) != len(y) or 0 in proba.shape:
        raise ValueError(
            "y_proba must have one row per row of y_true, at least one, and one column per class; got "
            f"shape {proba.shape} for y_true of shape {y.shape}. For two classes, where p is the probability "
            "of the second, pass np.column_stack([1 - p, p])"
        )
    wrong = np.argwhere(~(np.abs(proba - np.clip(proba, 0, 1)) <= ROUNDING))  # also finds nan
    if len(wrong):
        row, column = wrong[0]
        raise ValueError(
            f"y_proba must be from 0 to 1, got {proba[row, column]} at row {row}, column {column}; pass the "
            "output of predict_proba, not of decision_function"
        )
    return np.clip(proba, 0, 1)


def _one_label(y: Array, proba: Array, classes: ArrayLike | None) -> tuple[Array, Array]:
    """Return the confidence of each row and whether its prediction is correct, both (n,)."""
    names = np.asarray(unique_labels(y) if classes is None else classes).tolist()
    if len(names) != proba.shape[1]:
        raise ValueError(
            f"y_proba must have one column per class, got {proba.shape[1]} columns for {len(names)} classes, "
            f"{names[:10]}; pass classes, the label of each column"
        )
    column = {label: i for i, label in enumerate(names)}
    codes = np.array([column.get(label, -1) for label in y.tolist()])
    unknown = np.flatnonzero(codes < 0)
    if unknown.size:
        raise ValueError(
            f"y_true must contain only labels in classes, {names[:10]}, got {y.tolist()[unknown[0]]!r} at "
            f"row {unknown[0]}; remove the row, or pass the classes of y_proba"
        )
    check_sums(proba)
    return proba.max(axis=1), proba.argmax(axis=1) == codes


def _each_label(y: Array, proba: Array) -> tuple[Array, Array]:
    """Return the confidence of each label of each row and whether it is correct, both (n * k,)."""
    if y.shape != proba.shape or not np.isin(y, (0, 1)).all():
        raise ValueError(
            f"y_true with two dimensions must contain 0 and 1, in the shape {proba.shape} of y_proba; got "
            f"{np.unique(y)[:5]} in shape {y.shape}. For one label per row, pass shape ({len(y)},)"
        )
    return np.maximum(proba, 1 - proba).ravel(), ((proba > 0.5) == y).ravel()
