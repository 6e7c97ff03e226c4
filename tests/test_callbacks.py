"""Callbacks by scikit-learn's protocol: on a classifier, in a pipeline and in a search."""

import copy
import os
import pickle
from functools import partial
from types import SimpleNamespace

import joblib
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.callback import FitCallback, ProgressBar, ScoringMonitor
from sklearn.datasets import load_iris
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tests.support.doubles import Interrupts
from tests.support.estimators import plain
from tinyclf import Checkpoint, DivergenceError, TinyClassifier, load
from tinyclf.estimator import callback_context
from tinyclf.persistence import archive

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

fitting = partial(plain, max_iter=6)
IRIS, SPECIES = load_iris(return_X_y=True)
IRIS = StandardScaler().fit_transform(IRIS)
NAMES = np.array(["setosa", "versicolor", "virginica"])[SPECIES]
X, X_VAL, Y, Y_VAL = train_test_split(IRIS, NAMES, test_size=0.3, random_state=0, stratify=NAMES)


class Recorder:
    """Records its calls, and stops the fit or fails after the given epoch."""

    def __init__(self, stop_after=None, fails_after=None):
        self.calls = []
        self.seen = []
        self.stop_after = stop_after
        self.fails_after = fails_after

    def setup(self, estimator, context):
        self.calls.append("setup")

    def teardown(self, estimator, context):
        self.calls.append("teardown")

    def on_fit_task_begin(self, estimator, context, *, X, y, metadata, fitted_estimator):
        self.calls.append(f"{context.task_name} {context.task_id} begins")

    def on_fit_task_end(self, estimator, context, *, X, y, metadata, fitted_estimator):
        self.calls.append(f"{context.task_name} {context.task_id} ends")
        self.seen.append(SimpleNamespace(X=X, y=y, metadata=metadata, model=fitted_estimator))
        if self.fails_after == context.task_id and context.task_name == "epoch":
            raise RuntimeError("a custom callback")
        return context.task_name == "epoch" and context.task_id == self.stop_after


def epochs(first, last):
    return [f"epoch {i} {what}" for i in range(first, last + 1) for what in ("begins", "ends")]


# --- the protocol ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
def test_a_fit_is_a_task_with_a_task_for_each_epoch(solver):
    recorder = Recorder()
    model = fitting(solver=solver).set_callbacks(recorder).fit(X, Y)
    assert model.n_iter_ == 6
    assert recorder.calls == ["setup", "fit 0 begins", *epochs(0, 5), "fit 0 ends", "teardown"]


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_a_callback_that_returns_true_stops_the_training_silently(solver):
    recorder = Recorder(stop_after=2)
    model = fitting(solver=solver).set_callbacks(recorder).fit(X, Y)
    assert model.n_iter_ == 3
    assert recorder.calls[2:-2] == epochs(0, 2)


def test_lbfgs_ends_an_iteration_that_it_does_not_need_as_an_empty_task():
    recorder = Recorder()
    model = fitting(solver="lbfgs", max_iter=500).set_callbacks(recorder).fit(X, Y)
    assert model.n_iter_ < 500
    assert recorder.calls[2:-2] == epochs(0, model.n_iter_)
    assert recorder.seen[-2].model is None


def test_callbacks_get_the_data_as_passed_to_fit_and_a_model_that_training_does_not_change():
    recorder = Recorder()
    w = np.linspace(1, 2, len(Y))
    model = fitting().set_callbacks(recorder).fit(X, Y, w)
    for seen in recorder.seen:
        assert seen.X is X
        assert seen.y is Y
        assert seen.metadata == {"sample_weight": w}
    for epoch, seen in enumerate(recorder.seen[:-1], 1):
        alone = fitting(max_iter=epoch).fit(X, Y, w)
        np.testing.assert_array_equal(seen.model.predict_proba(IRIS), alone.predict_proba(IRIS))
        assert seen.model.loss_curve_ == alone.loss_curve_
        seen.model.partial_fit(X, Y)  # does not affect the fit
    np.testing.assert_array_equal(recorder.seen[-1].model.network_.theta, model.network_.theta)


def test_callbacks_do_not_change_the_training():
    with_them = fitting().set_callbacks(Recorder(), ScoringMonitor(scoring="accuracy")).fit(X, Y)
    np.testing.assert_array_equal(with_them.network_.theta, fitting().fit(X, Y).network_.theta)


@pytest.mark.promise("nothing is lost")
@pytest.mark.parametrize(
    ("parameters", "recorder", "error"),
    [
        ({"hidden_layer_sizes": 0}, Recorder(), ValueError),
        ({"dtype": "float16"}, Recorder(), ValueError),
        (
            {"solver": "sgd", "learning_rate_init": 1e30, "activation": "identity"},
            Recorder(),
            DivergenceError,
        ),
        ({}, Recorder(fails_after=1), RuntimeError),
    ],
    ids=["parameter", "dtype", "divergence", "callback"],
)
def test_a_fit_that_fails_tears_its_callbacks_down_and_leaves_the_model_unchanged(
    parameters, recorder, error
):
    model = fitting().fit(X, Y)
    before = vars(model).copy()
    model.set_params(**parameters).set_callbacks(recorder)
    with pytest.raises(error):
        model.fit(X, Y)
    assert recorder.calls.count("setup") == recorder.calls.count("teardown")
    model.set_params(**{name: before[name] for name in parameters}).set_callbacks()
    assert vars(model) == before


def test_an_interrupted_fit_ends_its_tasks():
    recorder = Recorder()
    model = fitting(loss=Interrupts(at=5), batch_size=60).set_callbacks(recorder)
    with pytest.warns(UserWarning, match="interrupted by user after 2 epochs"):
        model.fit(X, Y)
    assert recorder.calls == ["setup", "fit 0 begins", *epochs(0, 2), "fit 0 ends", "teardown"]
    assert recorder.seen[-2].model is None


def test_a_fit_without_callbacks_creates_no_callback_context(monkeypatch):
    def called(*_, **__):
        raise AssertionError("a context was made")

    monkeypatch.setattr(TinyClassifier, "_init_callback_context", called)
    monkeypatch.setattr(callback_context.CallbackContext, "_fitted", called)
    fitting().fit(X, Y)
    with pytest.raises(AssertionError, match="a context"):
        fitting().set_callbacks(Recorder()).fit(X, Y)


# --- scikit-learn's callbacks ------------------------------------------------------------------------------


def test_scoring_monitor_logs_the_score_of_each_epoch():
    monitor = ScoringMonitor(scoring=["accuracy", "neg_log_loss"])
    fitting(dtype="float64").set_callbacks(monitor).fit(X, Y)
    rows = [row for row in monitor.get_logs().data if row["task_name"] == "epoch"]
    for epoch, row in enumerate(rows, 1):
        assert row["accuracy"] == fitting(max_iter=epoch, dtype="float64").fit(X, Y).score(X, Y)
    assert len(rows) == 6


@pytest.fixture
def monitored():
    """A pipeline with a monitor on its classifier, and the monitor."""
    monitor = ScoringMonitor(scoring="accuracy")
    return make_pipeline(StandardScaler(), fitting().set_callbacks(monitor)), monitor


def test_progress_bars_and_monitors_work_alone_and_in_a_pipeline(monitored, capsys):
    pytest.importorskip("rich")
    fitting().set_callbacks(ProgressBar()).fit(X, Y)
    assert "TinyClassifier - fit" in capsys.readouterr().out
    pipeline, monitor = monitored
    pipeline.set_callbacks(ProgressBar()).fit(X, Y)
    output = capsys.readouterr().out
    assert "Pipeline - fit" in output
    assert "TinyClassifier - fit" in output
    assert len(monitor.get_logs().data) == 7


@pytest.mark.processes
def test_progress_bars_and_monitors_work_in_a_search_in_two_processes(monitored, capsys):
    pytest.importorskip("rich")
    pipeline, monitor = monitored
    search = GridSearchCV(pipeline, {"tinyclassifier__alpha": [1e-4, 1e-2]}, cv=2, n_jobs=2)
    search.set_callbacks(ProgressBar(max_propagation_depth=None)).fit(X, Y)
    assert capsys.readouterr().out.count("TinyClassifier - fit") >= 5
    logs = monitor.get_logs().data
    assert len(logs) == 5 * 7
    assert {row["estimator_name"] for row in logs} == {"TinyClassifier"}


class Stops(Recorder):
    """Stops a fit after an epoch."""

    def on_fit_task_end(self, estimator, context):
        return context.task_name == "epoch" and context.task_id == self.stop_after


@pytest.mark.parametrize("backend", ["threading", pytest.param("loky", marks=pytest.mark.processes)])
def test_one_callback_works_in_several_fits_at_once(backend):
    model = fitting(max_iter=200).set_callbacks(Stops(stop_after=4))
    alone = clone(model).fit(X, Y)
    assert clone(model).fit(X, Y).n_iter_ == alone.n_iter_ == 5
    search = GridSearchCV(model, {"alpha": [1e-4, 1e-4]}, cv=[(np.arange(len(X)),) * 2] * 2, n_jobs=2)
    search.set_params(error_score="raise")
    with joblib.parallel_backend(backend):
        search.fit(X, Y)
    assert search.best_estimator_.n_iter_ == alone.n_iter_


def test_validation_scores_are_those_of_the_models_that_callbacks_get():
    recorder = Recorder()
    w = np.linspace(0.5, 1, len(Y_VAL))
    model = fitting(early_stopping=False, scoring="accuracy", dtype="float64").set_callbacks(recorder)
    model.fit(X, Y, X_val=X_VAL, y_val=Y_VAL, sample_weight_val=w)
    seen = [one.model for one in recorder.seen[:-1]]
    scores = [model.score(X_VAL, Y_VAL, w) for model in seen]
    losses = [log_loss(Y_VAL, model.predict_proba(X_VAL), sample_weight=w) for model in seen]
    assert len(seen) == 6
    assert model.validation_scores_ == pytest.approx(scores, rel=1e-12)
    assert model.validation_loss_curve_ == pytest.approx(losses, rel=1e-12)


@pytest.mark.parametrize("early_stopping", [True, "auto"])
def test_a_scorer_with_weights_stops_the_training_and_callbacks_see_each_epoch(early_stopping):
    w, seen, recorder = np.linspace(0, 1, len(Y_VAL)), [], Recorder()

    def scorer(model, X, y, sample_weight):
        seen.append(sample_weight)
        return 0.0

    model = fitting(early_stopping=early_stopping, scoring=scorer, n_iter_no_change=1)
    model.set_callbacks(recorder).fit(X, Y, X_val=X_VAL, y_val=Y_VAL, sample_weight_val=w)
    assert model.n_iter_ == len(seen) == 3
    assert seen[0].tolist() == w.tolist()
    assert recorder.calls[2:-2] == epochs(0, 2)


# --- Checkpoint --------------------------------------------------------------------------------------------


def test_a_loaded_checkpoint_predicts_and_trains_as_the_model(tmp_path):
    path = tmp_path / "model.npz"
    monitor = ScoringMonitor(scoring="accuracy")
    model = fitting().set_callbacks(Checkpoint(path), monitor).fit(X, Y)
    loaded = load(path)
    assert not hasattr(loaded, "_skl_callbacks")
    assert not hasattr(loaded, "_callback_fit_ctx")
    assert loaded.loss_curve_ == model.loss_curve_
    model.set_callbacks()
    for _ in range(2):
        np.testing.assert_array_equal(loaded.predict_proba(IRIS), model.predict_proba(IRIS))
        loaded.partial_fit(X, Y)
        model.partial_fit(X, Y)
    assert os.listdir(tmp_path) == ["model.npz"]


def test_the_last_checkpoint_remains_after_a_crash(tmp_path):
    path = tmp_path / "model.npz"
    with pytest.raises(RuntimeError):
        fitting().set_callbacks(Checkpoint(path, every=2), Recorder(fails_after=4)).fit(X, Y)
    loaded = load(path)
    assert loaded.n_iter_ == 4
    np.testing.assert_array_equal(loaded.network_.theta, fitting(max_iter=4).fit(X, Y).network_.theta)


def test_best_only_saves_only_improvements(tmp_path):
    path = tmp_path / "model.npz"
    model = fitting(scoring=Scores([0.1, 0.7, 0.2, 0.7, 0.5, 0.6]), early_stopping=False)
    custom = {"Scores": Scores}
    saved = []
    spy = Recorder()
    spy.on_fit_task_end = lambda estimator, context: saved.append(load(path, custom).n_iter_)
    checkpoint = Checkpoint(path, best_only=True, custom=custom)
    model.set_callbacks(checkpoint, spy).fit(X, Y, X_val=X_VAL, y_val=Y_VAL)
    assert saved == [1, 2, 2, 2, 2, 2, 2]
    fitting(early_stopping=False).set_callbacks(Checkpoint(path, best_only=True)).fit(X, Y)
    assert load(path).n_iter_ == 6  # by the training loss


class Scores:
    """A scorer that gives these scores in turn."""

    def __init__(self, scores):
        self.scores = list(scores)

    def __call__(self, model, X, y):
        return self.scores.pop(0)


def test_a_checkpoint_on_a_pipeline_is_refused(tmp_path):
    with pytest.raises(TypeError, match="TinyClassifier.*Pipeline"):
        make_pipeline(StandardScaler(), fitting()).set_callbacks(Checkpoint(tmp_path / "model.npz")).fit(X, Y)


def test_an_unfinished_epoch_is_not_scored():
    seen, monitor = [], ScoringMonitor(scoring="accuracy")

    def scorer(model, X, y):
        seen.append(model.n_iter_)  # the epochs recorded before
        return 0.0

    def logged():
        return [row["task_id"] for row in monitor.get_logs().data if row["task_name"] == "epoch"]

    model = fitting(batch_size=60, loss=Interrupts(at=7), scoring=scorer).set_callbacks(monitor)
    with pytest.warns(UserWarning, match="interrupted by user after 2 epochs"):
        model.fit(X, Y, X_val=X_VAL, y_val=Y_VAL)
    assert seen == logged() == [0, 1]
    seen.clear()
    model = fitting(solver="lbfgs", max_iter=500, scoring=scorer, early_stopping=False).set_callbacks(monitor)
    model.fit(X, Y, X_val=X_VAL, y_val=Y_VAL)
    assert model.n_iter_ < 500
    assert seen == logged() == list(range(model.n_iter_))


@pytest.mark.promise("nothing is lost")
def test_a_save_that_fails_leaves_the_old_file_and_no_other(tmp_path, monkeypatch):
    path = tmp_path / "model.npz"
    fitting(max_iter=1).set_callbacks(Checkpoint(path)).fit(X, Y)
    before = path.read_bytes()

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(archive.npy, "write_array", full)
    with pytest.raises(OSError, match="No space left"):
        fitting().set_callbacks(Checkpoint(path)).fit(X, Y)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["model.npz"]


@pytest.mark.parametrize(
    ("path", "parameters", "error", "match"),
    [
        ("missing/model.npz", {}, FileNotFoundError, "no folder .*missing"),
        ("", {}, FileExistsError, "not a regular file"),
        ("/dev/null", {}, FileExistsError, "not a regular file"),
        ("/proc/model.npz", {}, OSError, "/proc/"),  # in which root cannot create files either
        (
            "model.npz",
            {"learning_rate": lambda progress: 1.0},
            ValueError,
            "learning_rate is <function .*custom=",
        ),
    ],
)
def test_what_cannot_be_saved_is_refused_before_training(path, parameters, error, match, tmp_path):
    recorder = Recorder()
    model = fitting(**parameters).set_callbacks(recorder, Checkpoint(tmp_path / path, every=100))
    with pytest.raises(error, match=match):
        model.fit(X, Y)
    assert recorder.calls == ["setup", "teardown"]


def test_every_must_be_at_least_one():
    with pytest.raises(ValueError, match="every.*0"):
        Checkpoint("model.npz", every=0)


def test_a_checkpoint_follows_the_protocol_and_can_be_copied():
    callback = Checkpoint("m")
    assert isinstance(callback, FitCallback)
    assert isinstance(pickle.loads(pickle.dumps(callback)), type(callback))
    assert isinstance(copy.deepcopy(callback), type(callback))


@pytest.mark.parametrize("order", [slice(None), slice(None, None, -1)], ids=["one order", "the other"])
def test_callbacks_get_the_best_weights_at_the_end_in_any_order(tmp_path, order):
    custom = {"Scores": Scores}
    recorder, monitor = Recorder(), ScoringMonitor(scoring="neg_log_loss")
    callbacks = [Checkpoint(tmp_path / "model.npz", every=100, custom=custom), recorder, monitor]
    model = fitting(scoring=Scores([0.1, 0.9, 0.5, 0.2, 0.3, 0.4])).set_callbacks(*callbacks[order])
    model.fit(X, Y, X_val=X_VAL, y_val=Y_VAL)
    best = fitting(max_iter=2).fit(X, Y).network_.theta
    np.testing.assert_array_equal(model.network_.theta, best)
    loaded = load(tmp_path / "model.npz", custom)
    np.testing.assert_array_equal(loaded.network_.theta, best)
    np.testing.assert_array_equal(recorder.seen[-1].model.network_.theta, best)
    logs = monitor.get_logs().data
    *in_epochs, at_end = [row["neg_log_loss"] for row in sorted(logs, key=lambda row: row["task_name"])]
    assert len(in_epochs) == len(set(in_epochs)) == 6
    assert at_end == in_epochs[1]


def test_a_checkpoint_follows_a_symbolic_link(tmp_path):
    link = tmp_path / "link.npz"
    link.symlink_to(tmp_path / "target.npz")
    fitting(max_iter=1).set_callbacks(Checkpoint(link)).fit(X, Y)
    assert link.is_symlink()
    assert sorted(os.listdir(tmp_path)) == ["link.npz", "target.npz"]


def test_best_only_saves_a_model_also_without_an_epoch(tmp_path):
    path = tmp_path / "model.npz"
    loss = Interrupts(at=1)
    checkpoint = Checkpoint(path, best_only=True, custom={"interrupts": loss})
    with pytest.warns(UserWarning, match="interrupted by user after 0 epochs"):
        fitting(loss=loss).set_callbacks(checkpoint).fit(X, Y, X_val=X_VAL, y_val=Y_VAL)
    assert load(path, checkpoint.custom).n_iter_ == 0
    path.unlink()
    model = fitting(solver="lbfgs", tol=1e9).set_callbacks(checkpoint).fit(X, Y, X_val=X_VAL, y_val=Y_VAL)
    np.testing.assert_array_equal(load(path).network_.theta, model.network_.theta)


def test_a_checkpoint_counts_the_epochs_of_its_fit(tmp_path):
    saved = []

    class Counted(Checkpoint):
        def on_fit_task_end(self, estimator, context, *, X=None):
            super().on_fit_task_end(estimator, context, X=X)
            if self.path.exists():
                saved.append(estimator.n_iter_)
                self.path.unlink()

    model = fitting(warm_start=True, max_iter=3).fit(X, Y)
    model.set_params(max_iter=4).set_callbacks(Counted(tmp_path / "m.npz", every=2)).fit(X, Y)
    assert saved == [2, 4, 4]


class Saved(Checkpoint):
    """A checkpoint that records after how many epochs it has saved."""

    def __init__(self, path, **parameters):
        super().__init__(path, **parameters)
        self.saved = []

    def _save(self, estimator, saving):
        self.saved.append(estimator.n_iter_)
        super()._save(estimator, saving)


def test_nested_fits_can_use_the_same_checkpoint_and_do_not_mix_their_state(tmp_path):
    custom = {"Scores": Scores}
    checkpoint = Saved(tmp_path / "m.npz", best_only=True, custom=custom)
    settings = {"early_stopping": False, "max_iter": 3}

    class FitsAnother(Recorder):
        def on_fit_task_end(self, estimator, context):
            if context.task_name == "epoch" and context.task_id == 0:
                inner = fitting(scoring=Scores([0.8, 0.9, 0.7]), **settings).set_callbacks(checkpoint)
                inner.fit(X, Y, X_val=X_VAL, y_val=Y_VAL)

    outer = fitting(scoring=Scores([0.1, 0.3, 0.2]), **settings).set_callbacks(checkpoint, FitsAnother())
    outer.fit(X, Y, X_val=X_VAL, y_val=Y_VAL)
    assert checkpoint.saved == [1, 1, 2, 2]  # by the outer fit, twice by the inner, and by the outer
    assert load(tmp_path / "m.npz", custom).validation_scores_ == [0.1, 0.3]
    assert checkpoint._fits == {}


def test_best_only_keeps_the_fits_of_a_search_apart(tmp_path):
    checkpoint = Saved(tmp_path / "m.npz", best_only=True)
    model = fitting(early_stopping=False).set_callbacks(checkpoint).fit(X, Y)
    alone, checkpoint.saved = checkpoint.saved, []
    assert alone == [1, 2, 3, 4, 5, 6]  # by the training loss
    search = GridSearchCV(model, {"alpha": [1e-4, 1e-4]}, cv=[(np.arange(len(X)),) * 2] * 2, n_jobs=2)
    with joblib.parallel_backend("threading"):
        search.set_params(error_score="raise").fit(X, Y)
    assert sorted(checkpoint.saved) == sorted(5 * alone)
    assert checkpoint._fits == {}
