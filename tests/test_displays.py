"""Displays: curves of the loss and the confidence, drawn by the conventions of scikit-learn's displays."""

import importlib
import sys

import numpy as np
import pytest
from sklearn.base import BaseEstimator
from sklearn.calibration import calibration_curve
from sklearn.datasets import load_digits, make_multilabel_classification
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import tinyclf
from tests.support.estimators import plain, quick
from tinyclf import TinyClassifier
from tinyclf.displays import ConfidenceDisplay, LossCurveDisplay

matplotlib = pytest.importorskip("matplotlib")
figure = pytest.importorskip("matplotlib.figure")

# Fits that stop early are tested separately.
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

DIGITS, LABELS = load_digits(return_X_y=True)
DIGITS = DIGITS / 16
FIT = {"hidden_layer_sizes": 5, "max_iter": 3, "random_state": 0}  # as quick()

# Four rows of two classes: confidence 0.9, 0.7, 0.9, 0.7, and only the last is wrong.
YES = np.array([0.9, 0.7, 0.1, 0.3])
PROBA = np.column_stack([1 - YES, YES])
Y_TRUE = np.array(["yes", "yes", "no", "yes"])


@pytest.fixture
def ax():
    return figure.Figure().subplots()


@pytest.fixture
def pyplot(monkeypatch):
    """Figures of pyplot without a window, closed afterwards."""
    matplotlib.use("Agg")
    plt = pytest.importorskip("matplotlib.pyplot")
    yield plt
    plt.close("all")


class Trained(BaseEstimator):
    """An estimator that was trained with these curves."""

    def __init__(self, **curves):
        self.__dict__.update({f"{name}_": curve for name, curve in curves.items()})

    def fit(self, X, y):
        return self


def texts(ax):
    return [text.get_text() for text in ax.texts]


# --- the loss ---------------------------------------------------------------------------------------------


def test_lines_are_the_curves_of_the_estimator(ax):
    clf = quick(early_stopping=True).fit(DIGITS, LABELS)
    display = LossCurveDisplay.from_estimator(clf, ax=ax)
    training, validation = display.lines_
    assert training.get_xdata().tolist() == [1, 2, 3]
    assert training.get_ydata().tolist() == clf.loss_curve_
    assert validation.get_ydata().tolist() == clf.validation_loss_curve_
    assert display.ax_ is ax
    assert display.figure_ is ax.figure
    assert (ax.get_xlabel(), ax.get_ylabel(), ax.get_yscale()) == ("epoch", "loss", "linear")


@pytest.mark.parametrize(
    ("scores", "best"),
    [
        ([0.1, 0.5, 0.3], 2),
        ([0.5, 0.1, 0.5], 1),  # the first of equals is kept
        ([np.nan, 0.2, np.nan], 2),
        ([-3.0, -2.0, -1.0], 3),
        ([np.nan] * 3, None),
        ([-np.inf, np.nan, -np.inf], None),  # no weights were kept
    ],
)
def test_the_best_epoch_is_marked_on_the_validation_line(ax, scores, best):
    clf = Trained(loss_curve=[3.0, 2.0, 1.0], validation_loss_curve=[3.5, 3.0, 3.1], validation_scores=scores)
    display = LossCurveDisplay.from_estimator(clf, ax=ax)
    assert display.best_epoch == best
    if best is None:
        assert display.best_ is None
        assert sorted(texts(ax)) == ["training", "validation"]
    else:
        assert display.best_.get_xydata().tolist() == [[best, [3.5, 3.0, 3.1][best - 1]]]
        assert f"best epoch: {best}" in texts(ax)


def test_the_weights_of_the_best_epoch_are_those_that_were_kept(ax):
    rows, held = DIGITS[:300], DIGITS[300:600]
    clf = plain(learning_rate_init=0.05, max_iter=40)
    clf.fit(rows, LABELS[:300], X_val=held, y_val=LABELS[300:600])
    best = LossCurveDisplay.from_estimator(clf, ax=ax).best_epoch
    assert 1 < best < clf.n_iter_
    again = plain(learning_rate_init=0.05, max_iter=best, early_stopping=False)
    again.fit(rows, LABELS[:300])
    assert np.array_equal(again.predict_proba(held), clf.predict_proba(held))


def test_without_a_validation_set_there_is_one_line_and_no_best_epoch(ax):
    clf = quick(early_stopping=False).fit(DIGITS, LABELS)
    display = LossCurveDisplay.from_estimator(clf, ax=ax)
    assert len(display.lines_) == len(ax.lines) == 1
    assert display.best_ is display.best_epoch is None
    assert texts(ax) == ["training"]


def test_each_line_is_labeled_at_its_end_and_the_labels_do_not_overlap(ax):
    display = LossCurveDisplay([3.0, 2.0, 1.0], validation_loss_curve=[3.0, 2.0, 1.0]).plot(ax)
    assert sorted(texts(ax)) == ["training", "validation"]
    assert all(text.xy == (3, 1.0) for text in ax.texts)
    lower, upper = sorted((text.get_window_extent() for text in ax.texts), key=lambda box: box.y0)
    assert upper.y0 >= lower.y1
    assert {text.get_color() for text in ax.texts} == {line.get_color() for line in display.lines_}


def test_the_label_of_the_upper_line_is_above_the_other(ax):
    LossCurveDisplay([3.0, 1.1], validation_loss_curve=[3.0, 1.0]).plot(ax)
    tops = {text.get_text(): text.get_window_extent().y1 for text in ax.texts}
    assert tops["training"] > tops["validation"]


def test_lines_differ_by_color_and_by_style(ax):
    one, other = LossCurveDisplay([2.0, 1.0], validation_loss_curve=[2.0, 1.5]).plot(ax).lines_
    assert one.get_color() != other.get_color()
    assert one.get_linestyle() != other.get_linestyle()


def test_a_loss_that_stops_being_finite_is_labeled_at_its_last_finite_value(ax):
    LossCurveDisplay([3.0, 2.0, 1.0], validation_loss_curve=[3.0, np.inf, np.nan]).plot(ax)
    spots = {text.get_text(): tuple(text.xy) for text in ax.texts}
    assert spots == {"training": (3, 1.0), "validation": (1, 3.0)}
    ax.figure.draw_without_rendering()


def test_a_validation_loss_that_was_never_finite_is_not_labeled(ax):
    LossCurveDisplay([3.0, 2.0], validation_loss_curve=[np.nan, np.nan], best_epoch=1).plot(ax)
    assert sorted(texts(ax)) == ["best epoch: 1", "training"]
    ax.figure.draw_without_rendering()


def test_one_epoch_is_drawn_as_a_marker(ax):
    display = LossCurveDisplay([2.0], validation_loss_curve=[1.9], best_epoch=1).plot(ax)
    assert all(line.get_marker() == "o" for line in display.lines_)
    assert ax.get_xticks().tolist() == [1]
    ax.figure.draw_without_rendering()


def test_the_axis_of_the_loss_begins_at_0_unless_it_is_negative(ax):
    LossCurveDisplay([3.0, 2.0]).plot(ax)
    assert ax.get_ylim()[0] == 0
    LossCurveDisplay([3.0, -2.0]).plot(ax)
    assert ax.get_ylim()[0] < -2


def test_the_axis_of_the_loss_may_be_logarithmic(ax):
    clf = Trained(loss_curve=[100.0, 1.0, 0.0])
    LossCurveDisplay.from_estimator(clf, ax=ax, log=True)
    assert ax.get_yscale() == "log"
    assert ax.texts[0].xy == (2, 1.0)  # a loss of 0 cannot be drawn
    ax.figure.draw_without_rendering()


def test_epochs_are_whole_and_end_with_the_longest_curve(ax):
    LossCurveDisplay(np.linspace(9, 8, 40)).plot(ax)
    LossCurveDisplay([3.0, 2.0]).plot(ax)
    assert ax.get_xticks().tolist() == [5, 10, 15, 20, 25, 30, 35, 40]
    assert ax.spines["bottom"].get_bounds()[1] == 40
    assert ax.get_ylim()[1] > 9


def test_options_of_the_lines_can_be_given_by_their_aliases(ax):
    display = LossCurveDisplay.from_estimator(Trained(loss_curve=[2.0, 1.0]), ax=ax, c="black", lw=7)
    assert (display.lines_[0].get_color(), display.lines_[0].get_linewidth()) == ("black", 7)
    assert ax.texts[0].get_color() == "black"


def test_a_pipeline_is_drawn_by_its_last_step(ax):
    pipeline = make_pipeline(StandardScaler(), quick(early_stopping=False))
    display = LossCurveDisplay.from_estimator(pipeline.fit(DIGITS, LABELS), ax=ax)
    assert display.lines_[0].get_ydata().tolist() == pipeline[-1].loss_curve_


def test_scikit_learns_mlp_is_drawn_with_its_best_epoch(ax):
    mlp = MLPClassifier(early_stopping=True, **FIT).fit(DIGITS, LABELS)
    display = LossCurveDisplay.from_estimator(mlp, ax=ax)
    (line,) = display.lines_  # it keeps no validation loss
    assert line.get_ydata().tolist() == mlp.loss_curve_
    best = display.best_epoch
    assert mlp.validation_scores_[best - 1] == mlp.best_validation_score_
    assert display.best_.get_xydata().tolist() == [[best, mlp.loss_curve_[best - 1]]]


@pytest.mark.parametrize("clf", [TinyClassifier(), make_pipeline(StandardScaler(), TinyClassifier())])
def test_an_estimator_that_is_not_fitted_is_an_error(clf):
    with pytest.raises(NotFittedError):
        LossCurveDisplay.from_estimator(clf)


def test_an_estimator_without_a_loss_curve_is_refused():
    with pytest.raises(ValueError, match="LogisticRegression has no loss_curve_"):
        LossCurveDisplay.from_estimator(LogisticRegression().fit(DIGITS[:50], LABELS[:50]))
    with pytest.raises(ValueError, match="Trained has an empty loss_curve_"):
        LossCurveDisplay.from_estimator(Trained(loss_curve=[]))


def test_a_validation_set_that_was_not_given_in_all_epochs_is_an_error():
    clf = quick().partial_fit(DIGITS, LABELS, classes=range(10))
    clf.partial_fit(DIGITS, LABELS, X_val=DIGITS, y_val=LABELS)
    with pytest.raises(ValueError, match="validation_loss_curve_ has 1 .*loss_curve_ 2"):
        LossCurveDisplay.from_estimator(clf)


# --- the confidence ---------------------------------------------------------------------------------------


def test_bins_equal_those_computed_by_hand(ax):
    display = ConfidenceDisplay.from_predictions(Y_TRUE, PROBA, n_bins=5, ax=ax)
    assert np.allclose(display.bin_edges, [0.5, 0.6, 0.7, 0.8, 0.9, 1.0])
    display = ConfidenceDisplay.from_predictions(Y_TRUE, PROBA, n_bins=2, ax=ax)
    assert display.bin_edges.tolist() == [0.5, 0.75, 1.0]
    assert display.bin_weight.tolist() == [2, 2]
    assert np.allclose(display.bin_confidence, [0.7, 0.9])
    assert display.bin_accuracy.tolist() == [0.5, 1.0]
    assert display.accuracy == 0.75
    assert display.confidence == pytest.approx(0.8)
    assert display.calibration_error == pytest.approx((0.2 + 0.1) / 2)


def test_the_picture_shows_the_bins(ax):
    display = ConfidenceDisplay.from_predictions(Y_TRUE, PROBA, n_bins=4, ax=ax)
    assert np.allclose(display.line_.get_xydata(), [(0.7, 0.5), (0.9, 1.0)])  # empty bins have no point
    assert not display.line_.get_clip_on()  # a marker at 0 is drawn completely
    bars = [(bar.get_x(), bar.get_width(), bar.get_height()) for bar in display.bars_]
    assert np.allclose(bars, [(0.5, 0.125, 0), (0.625, 0.125, 0.5), (0.75, 0.125, 0), (0.875, 0.125, 0.5)])
    diagonal = ax.lines[0]
    assert diagonal.get_xydata().tolist() == [[0.5, 0.5], [1, 1]]
    assert display.text_.get_text() == (
        "accuracy 0.750, mean confidence 0.800\nexpected calibration error 0.150"
    )
    assert {"perfectly\ncalibrated", "bars: fraction\nof predictions"} < set(texts(ax))
    assert display.ax_ is ax
    assert display.figure_ is ax.figure


def test_a_whisker_ends_where_the_accuracy_is_one_standard_error_from_the_observed_one(ax):
    y = np.zeros(8)
    y[5:] = 1
    proba = np.tile([0.8, 0.2], (8, 1))  # 5 of 8 right
    (whisker,) = ConfidenceDisplay.from_predictions(y, proba, n_bins=1, ax=ax).whiskers_.get_segments()
    for p in whisker[:, 1]:
        assert abs(5 / 8 - p) == pytest.approx(np.sqrt(p * (1 - p) / 8))


def test_a_bin_of_correct_predictions_has_a_whisker_too(ax):
    display = ConfidenceDisplay.from_predictions(Y_TRUE, PROBA, n_bins=2, ax=ax)
    (_, low), (_, high) = display.whiskers_.get_segments()[1]
    assert (low, high) == pytest.approx((2 / 3, 1.0))  # where 1 - p = sqrt(p (1 - p) / 2)


def test_a_confidence_on_an_edge_belongs_to_the_bin_below(ax):
    proba = [[0.25, 0.75], [0.0, 1.0], [0.5, 0.5]]
    assert ConfidenceDisplay.from_predictions([0, 1, 1], proba, n_bins=2, ax=ax).bin_weight.tolist() == [2, 1]


@pytest.mark.parametrize("n_bins", [1, 7, 10])
def test_the_calibration_error_of_many_classes_equals_a_direct_computation(ax, n_bins):
    rng = np.random.default_rng(0)
    proba = rng.dirichlet(np.ones(4) / 3, size=500)
    y = (proba.cumsum(axis=1) < rng.random((500, 1))).sum(axis=1)
    display = ConfidenceDisplay.from_predictions(y, proba, n_bins=n_bins, ax=ax)
    assert display.bin_edges[0] == 0.25
    sure, right = proba.max(axis=1), proba.argmax(axis=1) == y
    error = 0.0
    for low, high in zip(display.bin_edges[:-1], display.bin_edges[1:], strict=True):
        inside = (sure > low) & (sure <= high)
        if inside.any():
            error += inside.mean() * abs(right[inside].mean() - sure[inside].mean())
    assert display.calibration_error == pytest.approx(error)
    assert display.accuracy == pytest.approx(accuracy_score(y, proba.argmax(axis=1)))
    assert display.confidence == pytest.approx(sure.mean())


def test_points_equal_scikit_learns_calibration_curve_of_correct_predictions(ax):
    clf = LogisticRegression(C=0.01).fit(DIGITS[:800], LABELS[:800])
    display = ConfidenceDisplay.from_estimator(clf, DIGITS[800:], LABELS[800:], n_bins=9, ax=ax)
    right = clf.predict(DIGITS[800:]) == LABELS[800:]
    sure = clf.predict_proba(DIGITS[800:]).max(axis=1)
    accuracy, confidence = calibration_curve(right, (sure - 0.1) / 0.9, n_bins=9)  # its bins begin at 0
    assert np.allclose(display.line_.get_xdata(), 0.1 + 0.9 * confidence)
    assert np.allclose(display.line_.get_ydata(), accuracy)


@pytest.mark.parametrize("several", [False, True])
def test_a_weight_of_two_equals_the_row_twice(several):
    rng = np.random.default_rng(1)
    proba = rng.dirichlet(np.ones(3), size=40)
    y = rng.integers(2, size=(40, 3)) if several else rng.integers(3, size=40)
    weight = rng.integers(3, size=40)
    both = [
        ConfidenceDisplay.from_predictions(*rows, **weights, ax=figure.Figure().subplots())
        for rows, weights in (
            ((y, proba), {"classes": range(3), "sample_weight": weight}),
            ((np.repeat(y, weight, axis=0), np.repeat(proba, weight, axis=0)), {"classes": range(3)}),
        )
    ]
    for name in ("bin_edges", "bin_weight", "bin_confidence", "bin_accuracy", "calibration_error"):
        one, other = (getattr(display, name) for display in both)
        assert np.allclose(one, other, rtol=1e-12, equal_nan=True), name
    whiskers = [display.whiskers_.get_segments() for display in both]
    assert np.allclose(*whiskers)


def test_with_several_labels_per_row_each_counts_as_one_prediction(ax):
    y = [[1, 0], [1, 1]]
    proba = [[0.9, 0.3], [0.7, 0.1]]  # confidence 0.9, 0.7, 0.7, 0.9; the last is wrong
    display = ConfidenceDisplay.from_predictions(y, proba, n_bins=2, ax=ax)
    assert display.bin_edges.tolist() == [0.5, 0.75, 1.0]
    assert display.bin_weight.tolist() == [2, 2]
    assert display.bin_accuracy.tolist() == [1.0, 0.5]
    assert np.allclose(display.bin_confidence, [0.7, 0.9])


@pytest.mark.parametrize(
    "clf", [quick(), MLPClassifier(**FIT), RandomForestClassifier(5, random_state=0)], ids=repr
)
def test_every_form_of_probabilities_of_several_labels_is_accepted(ax, clf):
    X, y = make_multilabel_classification(n_classes=3, random_state=0)
    y[:, 2] = 1  # a forest gives one column only for a constant label
    display = ConfidenceDisplay.from_estimator(clf.fit(X, y), X, y, ax=ax)
    assert display.accuracy == pytest.approx((clf.predict(X) == y).mean())


@pytest.mark.parametrize("loss", ["log_loss", "softmax_cross_entropy"])
def test_two_classes_begin_at_one_half(ax, loss):
    y = LABELS == 3
    clf = quick(loss=loss).fit(DIGITS, y)
    display = ConfidenceDisplay.from_estimator(clf, DIGITS, y, ax=ax)
    assert display.bin_edges[0] == 0.5
    assert display.accuracy == pytest.approx(clf.score(DIGITS, y))


def test_the_accuracy_equals_the_score_for_a_pipeline_with_named_classes_and_weights(ax):
    names = np.array(["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"])[LABELS]
    pipeline = make_pipeline(StandardScaler(), quick()).fit(DIGITS, names)
    weight = np.arange(len(names)) % 3
    display = ConfidenceDisplay.from_estimator(pipeline, DIGITS, names, sample_weight=weight, ax=ax)
    assert display.accuracy == pytest.approx(pipeline.score(DIGITS, names, sample_weight=weight))
    assert display.bin_edges[[0, -1]].tolist() == [0.1, 1]


def test_rows_may_lack_classes_that_the_classifier_knows(ax):
    clf = LogisticRegression().fit(DIGITS[:300], LABELS[:300])
    seven = LABELS == 7
    display = ConfidenceDisplay.from_estimator(clf, DIGITS[seven], LABELS[seven], ax=ax)
    assert display.accuracy == pytest.approx(clf.score(DIGITS[seven], LABELS[seven]))


def test_a_single_class_has_confidence_and_accuracy_one(ax):
    clf = quick().fit(DIGITS[:20], np.ones(20))
    display = ConfidenceDisplay.from_estimator(clf, DIGITS[:20], np.ones(20), ax=ax)
    assert (display.accuracy, display.confidence, display.calibration_error) == (1, 1, 0)
    assert display.line_.get_xydata().tolist() == [[1, 1]]
    assert display.bin_edges[0] == 0.5  # not 1, where bars would have no width
    ax.figure.draw_without_rendering()


def test_the_order_of_the_classes_is_that_of_the_columns(ax):
    display = ConfidenceDisplay.from_predictions(Y_TRUE, PROBA[:, ::-1], classes=["yes", "no"], ax=ax)
    assert display.accuracy == 0.75


def test_probabilities_may_be_off_by_rounding(ax):
    display = ConfidenceDisplay.from_predictions([0, 1], [[1 + 2e-16, 0], [-1e-9, 1]], ax=ax)
    assert display.confidence == 1
    assert ConfidenceDisplay.from_predictions([0, 1, 2], np.full((3, 3), 0.3333), ax=ax).bin_weight[0] == 3


def test_the_line_takes_options(ax):
    line = ConfidenceDisplay.from_predictions(Y_TRUE, PROBA, ax=ax, ls="--", c="black").line_
    assert (line.get_linestyle(), line.get_color()) == ("--", "black")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"y_true": Y_TRUE[:3]}, r"\(4, 2\) for y_true of shape \(3,\)"),
        ({"y_true": [], "y_proba": np.empty((0, 2))}, "at least one"),
        ({"y_proba": YES}, r"got shape \(4,\) .* For two classes"),
        ({"y_proba": PROBA * 1.25}, r"y_proba.* 1\.125 at row 0, column 1"),
        ({"y_proba": np.full((4, 2), np.nan)}, "y_proba.* nan at row 0, column 0"),
        ({"y_proba": PROBA / 2}, r"sum to 1, got 0\.5 in row 0"),
        ({"y_proba": np.full((4, 3), 1 / 3)}, r"3 columns for 2 classes, \['no', 'yes'\]; pass classes"),
        ({"classes": ["no", "maybe"]}, r"classes, \['no', 'maybe'\], got 'yes' at row 0"),
        ({"sample_weight": [1, 2]}, r"sample_weight .*\(4,\).*got \(2,\)"),
        ({"sample_weight": [1, -2, 1, 1]}, r"sample_weight.* -2\.0 at row 1"),
        ({"sample_weight": [1, 1, np.nan, 1]}, "sample_weight.* nan at row 2"),
        ({"sample_weight": [0] * 4}, "4 entries of sample_weight are zero"),
        ({"n_bins": 0}, "n_bins.* 0"),
        ({"y_true": [[0, 1]] * 3 + [[0, 0.5]]}, r"\(4, 2\) of y_proba; got \[0\.  0\.5 1\. \]"),
        ({"y_true": [[0], [1], [1], [1]]}, r"\(4, 1\)\..* pass shape \(4,\)"),
    ],
)
def test_an_error_names_what_was_received_and_the_fix(change, message):
    with pytest.raises(ValueError, match=message):
        ConfidenceDisplay.from_predictions(**{"y_true": Y_TRUE, "y_proba": PROBA, **change})


@pytest.mark.parametrize("n_bins", [2.5, 2.0, "10", None, True])
def test_the_number_of_bins_must_be_a_whole_number(n_bins):
    with pytest.raises(TypeError, match=f"n_bins must be a whole number, got {n_bins!r}"):
        ConfidenceDisplay.from_predictions(Y_TRUE, PROBA, n_bins=n_bins)


# --- both -------------------------------------------------------------------------------------------------


def test_a_picture_is_drawn_on_a_new_figure_of_pyplot_if_no_axes_are_given(pyplot):
    display = LossCurveDisplay.from_estimator(Trained(loss_curve=[2.0, 1.0]))
    assert display.figure_ is pyplot.gcf()
    other = ConfidenceDisplay.from_predictions(Y_TRUE, PROBA)
    assert other.figure_ is pyplot.gcf() is not display.figure_
    assert display.plot() is display
    assert other.plot() is other


def test_matplotlib_is_loaded_by_plot_only(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setattr(tinyclf, "displays", tinyclf.displays)  # both are restored after the test
    monkeypatch.delitem(sys.modules, "tinyclf.displays")
    displays = importlib.import_module("tinyclf.displays")
    assert displays.LossCurveDisplay is not LossCurveDisplay  # the module was run again
    assert displays.LossCurveDisplay([2.0, 1.0], validation_loss_curve=[2.0, 1.5]).best_epoch is None


def test_pyplot_is_loaded_only_where_no_axes_are_given(monkeypatch, ax):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    LossCurveDisplay([2.0, 1.0], validation_loss_curve=[2.0, 1.5], best_epoch=2).plot(ax)
    ConfidenceDisplay.from_predictions([0, 1], np.eye(2), ax=ax)
    with pytest.raises(ImportError):
        LossCurveDisplay([2.0, 1.0]).plot()


@pytest.mark.parametrize(
    ("name", "draw"),
    [
        ("LossCurveDisplay.from_estimator", lambda: LossCurveDisplay.from_estimator(TinyClassifier())),
        ("LossCurveDisplay.plot", lambda: LossCurveDisplay([1.0]).plot()),
        ("ConfidenceDisplay.from_estimator", lambda: ConfidenceDisplay.from_estimator(None, DIGITS, LABELS)),
        ("ConfidenceDisplay.from_predictions", lambda: ConfidenceDisplay.from_predictions(Y_TRUE, PROBA)),
        ("ConfidenceDisplay.plot", lambda: ConfidenceDisplay(*np.ones((4, 2))).plot()),
    ],
)
def test_without_matplotlib_the_error_says_how_to_install_it(monkeypatch, name, draw):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=f"{name} requires matplotlib.*install"):
        draw()


def test_the_best_epoch_is_that_of_the_last_fit(ax):
    scores = iter([0.9, 0.8, 0.1, 0.5])
    clf = quick(warm_start=True, max_iter=2, scoring=lambda *_: next(scores))
    clf.fit(DIGITS, LABELS).fit(DIGITS, LABELS)
    assert LossCurveDisplay.from_estimator(clf, ax=ax).best_epoch == 4


@pytest.mark.parametrize(("solver", "unit"), [("adam", "epoch"), ("lbfgs", "iteration")])
def test_the_axis_is_labeled_with_epochs_or_iterations(ax, solver, unit):
    clf = quick(solver=solver, max_iter=4)
    clf.fit(DIGITS[:300], LABELS[:300], X_val=DIGITS[300:400], y_val=LABELS[300:400])
    LossCurveDisplay.from_estimator(clf, ax=ax)
    assert ax.get_xlabel() == unit
    assert f"best {unit}: {clf.best_epoch_}" in [text.get_text() for text in ax.texts]
