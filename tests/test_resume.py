"""Resume: a killed fit continues from its checkpoint and ends bit for bit like one that was not killed."""

import contextlib
import multiprocessing
import os
import pickle
import random
import signal
import time
import warnings
from functools import cache

import joblib
import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV

from tests.support.archives import replaced
from tests.support.bits import shown
from tests.support.doubles import Crash, Ends
from tests.support.resuming import (
    COLUMNS,
    FITS,
    NAMES,
    ROWS,
    SPARSE,
    X,
    checkpoint,
    fit_and_report,
    fit_of,
)
from tinyclf import ArchiveError, Checkpoint, TinyClassifier, load
from tinyclf.estimator import trainer
from tinyclf.persistence.archive import read_archive, write_archive

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore::tinyclf.nn.errors.TrainingWarning"),
    pytest.mark.promise("a fit that was killed"),
]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "checkpoint.npz"


def epochs_in(path):
    return load(path, checkpoint(path).custom).n_iter_


def seed_in(path):
    """The seed of an unfinished fit, or None if the fit is finished."""
    state = load(path, checkpoint(path).custom)._state
    return None if state.finished else state.seed


def never_interrupted(name, monkeypatch, seed):
    """The model of an uninterrupted fit with this seed."""
    if name != "no seed":
        return fitted(name)
    with monkeypatch.context() as patch:
        patch.setattr(TinyClassifier, "_seed", lambda self: seed)
        return fit_of(name)


@cache
def fitted(name):
    """The model of an uninterrupted fit."""
    return fit_of(name).set_callbacks()


def crashes(*_):
    raise Crash


# --- errors ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FITS)
def test_a_fit_that_crashed_several_times_ends_like_one_that_did_not(name, path, monkeypatch):
    with pytest.raises(Crash):
        fit_of(name, checkpoint(path), Ends(1, Crash))
    assert epochs_in(path) == 1
    expected = never_interrupted(name, monkeypatch, seed_in(path))
    for epoch in sorted({min(5, expected.n_iter_), expected.n_iter_}):
        with pytest.raises(Crash):
            fit_of(name, checkpoint(path), Ends(epoch, Crash))
        assert epochs_in(path) == epoch
    model = fit_of(name, checkpoint(path)).set_callbacks()
    assert shown(model) == shown(expected)
    assert shown(load(path, checkpoint(path).custom)) == shown(model)


def test_the_table_of_fits_covers_every_kind():
    """The fits stop early, keep an earlier epoch, lower the learning rate, and calibrate."""
    assert fitted("early_stopping").n_iter_ < 12
    assert fitted("X_val").best_epoch_ < fitted("X_val").n_iter_
    for name in ("adaptive", "adaptive, by the training loss", "invscaling"):
        assert fitted(name)._state.training.scale < 1
    assert 0 < fitted("X_val").calibration_ < 1
    assert fitted("without refit").best_epoch_ is not None


@pytest.mark.parametrize("every", [2, 3, 100])
def test_a_fit_resumes_from_its_last_checkpoint(every, path):
    for crash in (2, 5, 7, 7):
        with pytest.raises(Crash):
            fit_of("dropout", checkpoint(path, every=every), Ends(crash, Crash))
    assert path.exists() == (every < 100)
    if path.exists():
        assert epochs_in(path) == 7 - 7 % every
    model = fit_of("dropout", checkpoint(path, every=every)).set_callbacks()
    assert shown(model) == shown(fitted("dropout"))


def test_a_fit_that_ctrl_c_has_ended_can_be_resumed(path):
    with pytest.warns(UserWarning, match="interrupted by user after 5 epochs"):
        stopped = fit_of("dropout", checkpoint(path), Ends(5, KeyboardInterrupt))
    assert stopped.n_iter_ == epochs_in(path) == 5
    model = fit_of("dropout", checkpoint(path)).set_callbacks()
    assert shown(model) == shown(fitted("dropout"))


@pytest.mark.parametrize("order", [1, -1])
def test_a_fit_that_another_callback_has_stopped_stays_stopped(order, path, monkeypatch):
    expected = fit_of("dropout", Ends(5, True)).set_callbacks()
    assert expected.n_iter_ == 5

    monkeypatch.setattr(trainer.Trainer, "_refit", crashes)
    with pytest.raises(Crash):
        fit_of("dropout", *[checkpoint(path), Ends(5, True)][::order])
    monkeypatch.undo()
    for others in ([Ends(5, True)], []):
        copy = path.with_name("copy.npz")
        copy.write_bytes(path.read_bytes())
        assert shown(fit_of("dropout", checkpoint(copy), *others).set_callbacks()) == shown(expected)


def test_a_resumed_fit_that_was_stopped_begins_no_further_epoch(path, monkeypatch):
    class Sees(Ends):
        def on_fit_task_begin(self, estimator, context):
            seen.append(context.task_name)

    seen = []
    monkeypatch.setattr(trainer.Trainer, "_refit", crashes)
    for callback in (Ends(5, True), Sees(0, None)):
        with pytest.raises(Crash):
            fit_of("dropout", checkpoint(path), callback)
    assert seen == ["fit"]


def test_a_fit_that_crashed_during_its_refit_repeats_the_refit(path, monkeypatch):
    trainings, original = [], trainer.train

    def train(*arguments, **settings):
        trainings.append(settings)
        for epoch in original(*arguments, **settings):
            yield epoch
            if len(trainings) == 2 and epoch.index == 3:
                raise Crash

    monkeypatch.setattr(trainer, "train", train)
    with pytest.raises(Crash):
        fit_of("defaults", checkpoint(path))
    monkeypatch.undo()
    assert epochs_in(path) == 12
    assert shown(fit_of("defaults", checkpoint(path)).set_callbacks()) == shown(fitted("defaults"))


def test_a_finished_fit_is_loaded_from_its_file(path, monkeypatch):
    first = fit_of("dropout", checkpoint(path))
    before = path.read_bytes(), path.stat().st_mtime_ns
    monkeypatch.setattr(trainer, "train", crashes)
    again = fit_of("dropout", checkpoint(path))
    assert shown(again.set_callbacks()) == shown(first.set_callbacks())
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before


def test_a_random_state_is_the_same_after_a_resumed_fit(path):
    """Numbers drawn from it after the fit are the same."""

    def drawn_after(fit):
        state = np.random.RandomState(3)
        fit(state)
        return state.random_sample(5).tolist()

    expected = drawn_after(lambda state: fit_of("dropout", random_state=state))

    def crashed(state):
        with pytest.raises(Crash):
            fit_of("dropout", checkpoint(path), Ends(5, Crash), random_state=state)

    drawn_after(crashed)
    for _ in ("resumed", "finished"):
        assert drawn_after(lambda state: fit_of("dropout", checkpoint(path), random_state=state)) == expected


def test_other_callbacks_see_the_remaining_epochs(path):
    class Sees(Ends):
        def on_fit_task_end(self, estimator, context):
            seen.append((context.task_name, context.task_id, estimator.n_iter_))

    seen = []
    with pytest.raises(Crash):
        fit_of("defaults", checkpoint(path), Ends(10, Crash))
    fit_of("defaults", checkpoint(path), Sees(0, None))
    assert seen == [("epoch", 0, 11), ("epoch", 1, 12), ("fit", 0, 12)]
    seen.clear()
    fit_of("defaults", checkpoint(path), Sees(0, None))  # the fit is finished
    assert seen == [("fit", 0, 12)]


# --- kills -------------------------------------------------------------------------------------------------

# Processes are forked from one that has already imported everything, so that they start quickly.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(
    ["tinyclf.callbacks", "tinyclf.teaching.naive_losses", "pandas", "sklearn.datasets"]
)


def run(name, path, moment=None, **settings):
    """Run or resume a fit in a new process, kill it after ``moment`` epochs, return whether it was killed.

    The moment is in epochs instead of seconds, so that it does not depend on the load of the machine. Its
    fraction is a time within an epoch.
    """
    begun, epochs = PROCESSES.Event(), PROCESSES.Value("i", 0)
    arguments = (name, path, path.with_suffix(".outcome"), begun, epochs, settings)
    process = PROCESSES.Process(target=fit_and_report, args=arguments)
    process.start()
    assert begun.wait(60)
    if moment is not None:
        while epochs.value < int(moment) and process.is_alive():
            time.sleep(1e-4)
        time.sleep(0.004 * (moment % 1))  # an epoch takes a millisecond, and so does its file
        process.kill()
    process.join()
    killed = process.exitcode == -signal.SIGKILL
    assert killed or process.exitcode == 0
    process.close()
    return killed


MANY_KILLS = [*((name, 5, 3) for name in FITS), ("long", 20, 1), ("long, several labels", 20, 1)]


@pytest.mark.parametrize(
    ("name", "kills", "every"),
    [("dropout", 2, 1), *(pytest.param(*case, marks=pytest.mark.processes) for case in MANY_KILLS)],
)
def test_a_fit_killed_at_random_moments_resumes(name, kills, every, path, monkeypatch):
    """The fit is killed ``kills`` times, each time after a random number of epochs, and then ends."""
    draw = random.Random(f"{name} {kills}")
    n_epochs = fitted(name).n_iter_
    epochs, killed, seed, tries = set(), 0, None, 0
    while killed < kills or seed is None:
        tries += 1
        assert tries < 30 * kills
        longest = 1.5 * n_epochs / kills if killed < kills else n_epochs  # until there is a file
        killed += run(name, path, draw.uniform(0, longest), every=every)
        if path.exists():
            epochs.add(epochs_in(path))
            seed = seed_in(path)
            if seed is None:
                path.unlink()  # the fit ended before it was killed: start over
    run(name, path, every=every)
    found = pickle.loads(path.with_suffix(".outcome").read_bytes())
    assert found == shown(never_interrupted(name, monkeypatch, seed))
    assert kills < 20 or len(epochs) > 5  # it was killed in many epochs


# --- what is refused ---------------------------------------------------------------------------------------


def crashed(name, path, **parameters):
    with pytest.raises(Crash):
        fit_of(name, checkpoint(path), Ends(3, Crash), **parameters)


@pytest.mark.parametrize(
    "others",
    [
        *("max_iter", "alpha, random_state", "hidden_layer_sizes", "X", "y, y_val", "sample_weight", "X_val"),
        *("y_val", "sample_weight_val", "X, X_val"),
    ],
)
def test_a_file_of_another_fit_is_kept_and_the_error_names_the_differences(others, path):
    model = TinyClassifier(hidden_layer_sizes=10, max_iter=5, random_state=0)
    frame = pd.DataFrame(X, columns=[f"column {i}" for i in range(12)])
    data = {"X": frame, "y": NAMES, "sample_weight": np.ones(600), "X_val": frame[:50], "y_val": NAMES[:50]}
    with pytest.raises(Crash):
        model.set_callbacks(Checkpoint(path, resume=True), Ends(3, Crash)).fit(**data)
    sure = np.where(NAMES == "yes", "sure", NAMES)
    renamed = frame.rename(columns={"column 3": "age"})
    changes = {
        "max_iter": {"max_iter": 10},
        "alpha, random_state": {"alpha": 2e-4, "random_state": 1},
        "hidden_layer_sizes": {"hidden_layer_sizes": np.array([10])},
        "X": {"X": frame.map(lambda x: np.nextafter(x, 9))},
        "y, y_val": {"y": sure, "y_val": sure[:50]},
        "sample_weight": {"sample_weight": np.linspace(1, 2, 600)},
        "X_val": {"X_val": frame[50:100]},
        "y_val": {"y_val": NAMES[50:100]},
        "sample_weight_val": {"sample_weight_val": np.ones(50)},
        "X, X_val": {"X": renamed, "X_val": renamed[:50]},
    }[others]
    parameters = {name: value for name, value in changes.items() if name in model.get_params()}
    model.set_params(**parameters)
    data |= {name: value for name, value in changes.items() if name not in parameters}
    before = path.read_bytes()
    message = rf"checkpoint.npz' was saved by another fit, which differs in {others}\. .* delete the file"
    with pytest.raises(ValueError, match=message):
        model.set_callbacks(Checkpoint(path, resume=True)).fit(**data)
    assert path.read_bytes() == before
    path.unlink()
    model.fit(**data)


@pytest.mark.parametrize(
    ("others", "parameters", "change"),
    [
        ("X", {}, lambda table: table.assign(city=table["city"].replace("Lima", "Lame"))),
        ("X", {}, lambda table: table.assign(city=table["city"].where(table.index != 7, "Oruro"))),
        ("X", {}, lambda table: table.assign(city=table["city"].where(table.index != 7, None))),
        ("X", {}, lambda table: table.assign(member=table["member"].astype(float))),
        ("max_categories, X", {"max_categories": 4}, lambda table: table),
        ("categorical_features", {"categorical_features": ["city", "member"]}, lambda table: table),
    ],
    ids=["renamed category", "one other category", "one missing", "numbers", "limit", "columns"],
)
def test_a_fit_to_other_categories_is_not_resumed(others, parameters, change, path):
    crashed("table", path)
    chosen, (table, labels), _ = FITS["table"]
    model = TinyClassifier(**{"hidden_layer_sizes": 10, "max_iter": 12, "random_state": 7, **chosen})
    model.set_params(**parameters).set_callbacks(checkpoint(path))
    with pytest.raises(ValueError, match=rf"which differs in {others}\. "):
        model.fit(change(table), labels)


def test_the_same_table_may_come_from_another_library(path):
    import polars

    crashed("table", path)
    chosen, (table, labels), _ = FITS["table"]
    model = TinyClassifier(**{"hidden_layer_sizes": 10, "max_iter": 12, "random_state": 7, **chosen})
    columns = {name: table[name].to_numpy() for name in table}
    other = polars.DataFrame(
        {name: values.tolist() if values.dtype == object else values for name, values in columns.items()}
    )
    assert other.schema["city"] == polars.String
    assert other["member"].null_count() > 0
    model.set_callbacks(checkpoint(path)).fit(other, labels)
    assert shown(model.set_callbacks()) == shown(fitted("table"))


def test_a_file_saved_without_resume_is_refused(path):
    fit_of("defaults", Checkpoint(path))
    with pytest.raises(
        ValueError, match=r"checkpoint.npz' was not saved with resume=True, .* delete it to start over"
    ):
        fit_of("defaults", checkpoint(path))


def test_a_finished_fit_with_other_feature_names_or_form_of_targets_is_refused(path):
    """The weights would be the same, but not the accepted input and the form of the predictions."""
    rows = pd.DataFrame(ROWS)
    model = TinyClassifier(max_iter=2).set_callbacks(Checkpoint(path, resume=True)).fit(rows, COLUMNS)
    with pytest.raises(ValueError, match="which differs in X. "):
        model.fit(rows.rename(columns=str), COLUMNS)
    with pytest.raises(ValueError, match="which differs in y. "):
        model.fit(rows, scipy.sparse.csr_array(COLUMNS))


def test_the_same_rows_may_come_from_a_memory_map(path, tmp_path):
    np.save(tmp_path / "rows.npy", X)
    mapped = np.load(tmp_path / "rows.npy", mmap_mode="r")
    for rows in (X, mapped, X.copy()):
        model = TinyClassifier(hidden_layer_sizes=4, max_iter=4, random_state=0)
        ends = [Ends(2, Crash)] if rows is X else []
        with contextlib.suppress(Crash):
            model.set_callbacks(Checkpoint(path, resume=True), *ends).fit(rows, NAMES)
    assert shown(model.set_callbacks()) == shown(clone(model).fit(X, NAMES))


def in_steps(rows):
    """The same rows, with other numbers between them in memory."""
    return np.repeat(rows, 2, axis=1)[:, ::2]


def long_indices(rows):
    return scipy.sparse.csr_array((rows.data, rows.indices.astype(np.int64), rows.indptr), rows.shape)


@pytest.mark.parametrize(
    ("rows", "targets", "form"),
    [
        *((X, NAMES, form) for form in (np.asfortranarray, in_steps, np.ascontiguousarray, list)),
        (ROWS, COLUMNS, np.asfortranarray),
        *((SPARSE, NAMES, form) for form in (scipy.sparse.csr_matrix, scipy.sparse.csc_array, long_indices)),
    ],
)
def test_the_same_rows_may_have_another_order_in_memory(rows, targets, form, path):
    model, validation = TinyClassifier(4, max_iter=4, random_state=0), targets[:100]
    with pytest.raises(Crash):
        model.set_callbacks(Checkpoint(path, resume=True), Ends(2, Crash)).fit(
            rows, targets, X_val=rows[:100], y_val=validation
        )
    model.set_callbacks(Checkpoint(path, resume=True))
    model.fit(form(rows), targets[::-1].copy()[::-1], X_val=form(rows[:100]), y_val=validation)
    expected = clone(model.set_callbacks()).fit(rows, targets, X_val=rows[:100], y_val=validation)
    assert shown(model) == shown(expected)


@pytest.mark.parametrize(
    ("name", "value", "others"),
    [
        (
            "hidden_layer_sizes",
            (4,),
            ([4], np.array([4]), np.array([4], ">i2"), (np.int64(4),), [np.uint8(4)]),
        ),
        ("hidden_layer_sizes", 4, (np.int64(4), np.array(4))),
        ("activation", ["tanh"], (("tanh",),)),
        ("alpha", 0.5, (np.float64(0.5), np.float32(0.5))),
        ("batch_size", 50, (np.int16(50),)),
        ("shuffle", False, (np.False_,)),
        ("random_state", 5, (np.int64(5), np.uint32(5))),
        ("dropout", [0.5], ((0.5,), np.array([0.5]))),
    ],
)
def test_the_same_parameters_may_have_another_form(name, value, others, path):
    def model(value, *callbacks):
        parameters = {"hidden_layer_sizes": (4,), "max_iter": 4, "random_state": 0, name: value}
        return TinyClassifier(**parameters).set_callbacks(Checkpoint(path, resume=True), *callbacks)

    for other in others:
        path.unlink(missing_ok=True)
        with pytest.raises(Crash):
            model(value, Ends(2, Crash)).fit(X, NAMES)
        resumed = model(other).fit(X, NAMES)
        np.testing.assert_array_equal(resumed.network_.theta, model(value).fit(X, NAMES).network_.theta)
        path.unlink()
        np.testing.assert_array_equal(resumed.network_.theta, model(value).fit(X, NAMES).network_.theta)


def test_the_first_fit_with_warm_start_can_be_resumed(path):
    crashed("defaults", path, warm_start=True)
    model = fit_of("defaults", checkpoint(path), warm_start=True)
    assert shown(model.set_callbacks()) == shown(fit_of("defaults", warm_start=True).set_callbacks())


def test_a_fit_can_be_resumed_with_another_verbose(path, capsys):
    crashed("defaults", path)
    model = fit_of("defaults", checkpoint(path), verbose=True)
    assert capsys.readouterr().out.startswith("Continuing after 3 epochs.\nIteration 4, ")
    fit_of("defaults", checkpoint(path), verbose=True)
    assert capsys.readouterr().out == "This fit was finished before; the saved model is used.\n"
    assert shown(model.set_params(verbose=False).set_callbacks()) == shown(fitted("defaults"))


def test_fits_that_cannot_be_resumed_are_refused(path):
    with pytest.raises(ValueError, match="resume=True and best_only=True cannot be combined"):
        Checkpoint(path, resume=True, best_only=True)
    with pytest.raises(ValueError, match='cannot continue solver="lbfgs"; fit with resume=False'):
        fit_of("defaults", checkpoint(path), solver="lbfgs")
    model = fit_of("defaults").set_params(warm_start=True).set_callbacks(checkpoint(path))
    before = shown(model)
    with pytest.raises(
        ValueError, match="cannot continue a fit that itself continues an earlier one by warm_start=True"
    ):
        model.fit(X, NAMES)
    assert shown(model) == before
    assert not path.exists()
    with pytest.raises(ValueError, match="learning_rate is <function .* Pass custom="):
        fit_of("defaults", Checkpoint(path), learning_rate=lambda progress: 1.0)


@pytest.mark.parametrize(
    "damage", [lambda data: data[:-1], lambda data: data.replace(b"PCG64", b"PCG46"), len]
)
def test_a_damaged_checkpoint_is_refused(damage, path):
    crashed("defaults", path)
    damaged = damage(path.read_bytes())
    path.write_bytes(damaged if isinstance(damaged, bytes) else b"")
    with pytest.raises(ArchiveError, match=r"checkpoint.npz' was not saved by tinyclf, or is damaged: "):
        fit_of("defaults", checkpoint(path))


def test_a_failed_resume_leaves_the_model_unchanged(path):
    crashed("defaults", path)
    model = fit_of("defaults", alpha=0.5).set_callbacks(checkpoint(path))
    before = shown(model)
    with pytest.raises(ValueError, match="was saved by another fit"):
        model.fit(X, NAMES)
    assert shown(model) == before


STATE = ("content", "state")


def unmonitored(plain, arrays):
    for place in (("plan", "monitor"), ("history", "best_validation_score")):
        plain = replaced(plain, (*STATE, *place), False if place[0] == "plan" else None)
    for curve in ("validation_loss_curve", "validation_scores"):
        plain = replaced(plain, (*STATE, "history", curve), None)
    return plain, arrays


def longer(plain, arrays):
    plain = replaced(plain, (*STATE, "plan", "max_iter"), 99)
    for curve in ("loss_curve", "learning_rate_scales", "validation_loss_curve", "validation_scores"):
        plain = replaced(plain, (*STATE, "history", curve), [1.0] * 13)
    return plain, arrays


def in_float64(plain, arrays):
    return plain, [a.astype(np.float64) if a.dtype == np.float32 else a for a in arrays]


@pytest.mark.parametrize(
    ("edit", "match"),
    [
        (unmonitored, "a fit of 3 epochs with monitor=True has None scores"),
        (longer, "a fit of 13 epochs, of at most 12, has 13 losses"),
        (in_float64, "the saved fit has the network .*'float64'.*, but the parameters define .*'float32'"),
    ],
)
def test_a_state_that_does_not_fit_the_parameters_is_refused(edit, match, path):
    """Each of these files is forged: it is consistent in itself and has the hashes of this fit."""
    crashed("defaults", path)
    plain, arrays = edit(*read_archive(path))
    write_archive(path, plain, arrays)
    assert load(path).n_iter_ > 0
    with pytest.raises(ValueError, match=match):
        fit_of("defaults", checkpoint(path))


# --- searches ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", ["threading", pytest.param("loky", marks=pytest.mark.processes)])
def test_fits_that_share_a_path_leave_a_complete_file_of_one_of_them(backend, path, tmp_path):
    model = TinyClassifier(hidden_layer_sizes=4, max_iter=4, random_state=0).set_callbacks(Checkpoint(path))
    search = GridSearchCV(
        model, {"alpha": [1e-4, 1e-2, 1.0]}, cv=2, n_jobs=2, error_score="raise", refit=False
    )
    with joblib.parallel_backend(backend):
        search.fit(X, NAMES)
    assert load(path).alpha in (1e-4, 1e-2, 1.0)
    assert load(path).n_iter_ == 4
    assert os.listdir(tmp_path) == [path.name]


def test_fits_that_share_a_path_are_refused_with_resume(path):
    model = TinyClassifier(hidden_layer_sizes=4, max_iter=4, random_state=0)
    model.set_callbacks(Checkpoint(path, resume=True))
    search = GridSearchCV(model, {"alpha": [1e-4, 1e-2]}, cv=2, error_score="raise")
    with pytest.raises(ValueError, match="was saved by another fit"):
        search.fit(X, NAMES)


def test_fits_with_different_paths_can_resume_at_the_same_time(tmp_path):
    """In threads: the checkpoints of two fits do not affect each other."""
    models = {
        alpha: TinyClassifier(hidden_layer_sizes=4, max_iter=6, alpha=alpha, random_state=0)
        for alpha in (1.0, 2.0)
    }
    expected = {alpha: shown(clone(model).fit(X, NAMES)) for alpha, model in models.items()}
    for ends in ([Ends(3, Crash)], []):
        with joblib.parallel_backend("threading"), warnings.catch_warnings():
            fitted = joblib.Parallel(n_jobs=2)(
                joblib.delayed(outcome)(model, tmp_path / f"{alpha}.npz", ends)
                for alpha, model in models.items()
            )
    assert fitted == list(expected.values())


def outcome(model, path, ends):
    try:
        return shown(
            clone(model).set_callbacks(Checkpoint(path, resume=True), *ends).fit(X, NAMES).set_callbacks()
        )
    except Crash:
        return None


def test_a_checkpoint_can_be_cloned_and_used_again(path):
    model = TinyClassifier(hidden_layer_sizes=4, max_iter=4, random_state=0)
    model.set_callbacks(Checkpoint(path, resume=True))
    first = model.fit(X, NAMES)
    second = clone(model).fit(X, NAMES)
    assert shown(second.set_callbacks()) == shown(first.set_callbacks())
