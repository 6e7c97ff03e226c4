"""Concurrency: threads and processes that run at the same time give the results that each gives alone.

Predictions and processes give the same bits; fits in threads of one process do if BLAS has one thread.
"""

import ast
import os
import subprocess
import sys
import warnings
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV, cross_val_predict
from threadpoolctl import threadpool_limits

import tinyclf
from tests.support.bits import shown
from tests.support.doubles import Ends
from tests.support.estimators import quick
from tests.support.parts import LayerNorm, PReLU
from tests.support.threads import at_once, blas
from tinyclf import SGD, DivergenceError, SoftmaxCrossEntropy
from tinyclf.nn import threads

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore::tinyclf.nn.errors.TrainingWarning"),
    pytest.mark.promise("the same seed gives the same bits"),
]

DIGITS, LABELS = (data[:900] for data in load_digits(return_X_y=True))
SPARSE = scipy.sparse.csr_array(
    np.where(DIGITS > 14, DIGITS, 0.0)
)  # 5 % of the entries: CSR up to the products
TABLE = (
    pd.DataFrame(DIGITS[:, :20])
    .add_prefix("pixel ")
    .assign(
        kind=pd.Series(DIGITS[:, 20].astype(int)).map("level {}".format).mask(DIGITS[:, 30] > 14),
        **{"pixel 19": pd.Series(DIGITS[:, 19]).mask(DIGITS[:, 31] > 1)},
    )
)
SEVERAL = np.eye(10, dtype=int)[LABELS] | np.eye(10, dtype=int)[LABELS - 1]
ROWS = [slice(0, n) for n in (1, 900, 2, 700, 17, 701, 300)] + [slice(None, None, -3)]
"""Rows for eight threads; with different numbers of rows a shared buffer would fail."""


@pytest.fixture(autouse=True)
def switch_often():
    """Switch between threads every 50 microseconds instead of every 5 milliseconds."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(5e-5)
    yield
    sys.setswitchinterval(before)


# --- predictions -------------------------------------------------------------------------------------------

KINDS = {
    "float32": ({}, DIGITS, LABELS),
    "float64, deep": ({"dtype": "float64", "hidden_layer_sizes": (30, 20, 10)}, DIGITS, LABELS),
    "float32 rows": ({"dtype": None}, DIGITS.astype("f4"), LABELS),
    "CSR": ({}, SPARSE, LABELS),
    "CSR, float64": ({"dtype": "float64", "scale_inputs": False}, SPARSE, LABELS),
    "two classes": ({"activation": "tanh", "dtype": "float64"}, DIGITS, LABELS > 4),
    "columns": ({"activation": "logistic"}, DIGITS, SEVERAL),
    "custom layers": ({"activation": [[LayerNorm(), PReLU()]], "dropout": 0.2}, DIGITS, LABELS),
    "table": ({}, TABLE, LABELS),
    "wide": ({"hidden_layer_sizes": (100, 600), "max_iter": 1, "early_stopping": False}, DIGITS, LABELS),
}


@pytest.mark.parametrize("kind", KINDS)
def test_one_model_gives_the_same_predictions_in_many_threads(kind):
    parameters, X, y = KINDS[kind]
    model = quick(**parameters).fit(X, y)
    assert kind != "wide" or len(DIGITS) * model.coefs_[1].size >= threads.LARGE

    def predictions(rows):
        methods = (model.predict_proba, model.predict, model.predict_log_proba, model.decision_function)
        found = [method(X[rows]) for method in (*methods, model.activations)]
        return shown([*found, model.score(X[rows], y[rows])])

    alone = [predictions(rows) for rows in ROWS]
    for _ in range(2):
        assert at_once([lambda rows=rows: predictions(rows) for rows in ROWS]) == alone


def test_a_prediction_does_not_use_catch_warnings(monkeypatch):
    # `warnings.catch_warnings` sets the filters of all threads: two threads in it at once can restore the
    # filters in the wrong order.
    def used(*args, **kwargs):
        raise AssertionError("catch_warnings is used")

    model = quick().fit(DIGITS, LABELS)
    with monkeypatch.context() as patch:
        patch.setattr(warnings, "catch_warnings", used)
        for X in (DIGITS, DIGITS.astype("f4"), DIGITS[:1], np.asfortranarray(DIGITS)):
            model.predict_proba(X)
            model.predict(X)


def test_no_module_changes_warning_filters_or_the_error_state_of_numpy():
    package = Path(tinyclf.__file__).parent
    for path in package.rglob("*.py"):
        called = {
            ast.unparse(node.func)
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Call) and path.name != "cli.py"
        }
        assert not {name for name in called if name.split(".")[-1] in ("seterr", "catch_warnings")}, path
        assert not {name for name in called if name.startswith("warnings.") and name != "warnings.warn"}, path


# --- fits --------------------------------------------------------------------------------------------------


def stopped_by_a_callback():
    model = quick(early_stopping=False)
    return model.set_callbacks(Ends(2, True)).fit(DIGITS, LABELS)


def continued():
    model = quick(warm_start=True, dropout=0.3).fit(DIGITS, LABELS)
    return model.fit(DIGITS, LABELS).partial_fit(DIGITS[:100], LABELS[:100])


def in_parts():
    model = quick(solver="sgd", dtype="float64", early_stopping=False)
    for start in range(0, 900, 300):
        rows = slice(start, start + 300)
        model.partial_fit(SPARSE[rows], LABELS[rows], classes=range(10))
    return model


def diverging():
    hopeless = quick(solver=SGD(1e6), activation="identity", scale_inputs=False, early_stopping=False)
    with pytest.raises(DivergenceError) as caught, np.errstate(all="ignore"):
        hopeless.set_params(max_iter=200, learning_rate="constant").fit(1e6 * DIGITS, LABELS)
    return str(caught.value)


def wide():
    model = quick(hidden_layer_sizes=600, batch_size=880, max_iter=1, early_stopping=False)
    assert threads.LARGE <= 880 * 600 * 64
    return model.fit(DIGITS, LABELS)


def with_the_global_error_state():
    np.seterr(all="raise")  # in this thread only
    return quick(activation="logistic", loss=SoftmaxCrossEntropy(0.1)).fit(DIGITS, LABELS), np.geterr()


FITS = {
    "adam": lambda: quick(hidden_layer_sizes=(30, 10)).fit(DIGITS, LABELS),
    "sgd": lambda: quick(solver="sgd", early_stopping=True, max_iter=9).fit(DIGITS, LABELS > 4),
    "lbfgs": lambda: quick(solver="lbfgs").fit(DIGITS, LABELS),
    "float64": lambda: quick(dtype="float64", dropout=0.5, weight_decay=0.1).fit(DIGITS, LABELS),
    "CSR": lambda: quick(class_weight="balanced").fit(SPARSE, SEVERAL[:, 0]),
    "columns": lambda: quick(activation="tanh").fit(DIGITS, SEVERAL),
    "table": lambda: quick(max_categories=5).fit(TABLE, LABELS),
    "members": lambda: quick(n_members=3).fit(TABLE, LABELS),
    "callback": stopped_by_a_callback,
    "continued": continued,
    "in parts": in_parts,
    "diverging": diverging,
    "wide": wide,
    "error state": with_the_global_error_state,
}


@pytest.fixture
def one_thread():
    """Limit BLAS to one thread, as a user may."""
    with threadpool_limits(1, user_api="blas"):
        yield


def test_fits_and_predictions_at_the_same_time_do_not_affect_each_other(one_thread):
    before, model = blas(), quick().fit(DIGITS, LABELS)
    calls = [lambda fit=fit: shown(fit()) for fit in FITS.values()]
    calls += [lambda rows=rows: shown(model.predict_proba(DIGITS[rows])) for rows in ROWS[:3]]
    with np.errstate():
        alone = [call() for call in calls]
    for _ in range(2):
        for name, one, expected in zip([*FITS, *"012"], at_once(calls), alone, strict=True):
            assert one == expected, name
        assert blas() == before


@pytest.mark.parametrize("name", FITS)
def test_the_same_fit_in_four_threads_gives_the_result_of_one(name, one_thread):
    with np.errstate():
        alone = shown(FITS[name]())
    assert at_once([lambda: shown(FITS[name]())] * 4) == [alone] * 4


@pytest.mark.parametrize("name", [name for name in FITS if name not in ("diverging", "error state")])
def test_the_same_fit_in_four_threads_is_correct_with_several_blas_threads(name, two_threads):
    # The last bits may differ: the number of BLAS threads belongs to the process.
    X = TABLE if name in ("table", "members") else DIGITS
    before, alone = blas(), FITS[name]().predict_log_proba(X)
    for model in at_once([FITS[name]] * 4):
        assert np.isfinite(model.network_.theta).all()
        np.testing.assert_allclose(model.predict_log_proba(X), alone, rtol=0.02, atol=0.02)
    assert blas() == before


@pytest.mark.processes
@pytest.mark.parametrize("n", [1, 2])
def test_the_first_fits_of_a_process_may_run_at_the_same_time(n):
    # Names, thread limits and compiled kernels are set up on first use.
    code = f"""
import sys; sys.path.insert(0, {str(Path(__file__).parents[1])!r})
sys.setswitchinterval(5e-5)
import threading, numpy as np, tinyclf
barrier, thetas = threading.Barrier(8), []
rng = np.random.default_rng(0)
X, y = rng.normal(size=(200, 20)), rng.integers(3, size=200)
def work():
    barrier.wait()
    thetas.append(tinyclf.TinyClassifier(max_iter=3, random_state=0).fit(X, y).network_.theta.tobytes())
threads = [threading.Thread(target=work) for _ in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
work_alone = tinyclf.TinyClassifier(max_iter=3, random_state=0).fit(X, y).network_.theta
print(len(thetas), {{theta == work_alone.tobytes() for theta in thetas}})
for theta in thetas: np.testing.assert_allclose(np.frombuffer(theta, "f4"), work_alone, rtol=0, atol=1e-3)
"""
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        env={**os.environ, "OPENBLAS_NUM_THREADS": str(n)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (run.stdout.startswith("8 "), run.returncode, run.stderr) == (True, 0, "")
    if n == 1:
        assert run.stdout == "8 {True}\n"


# --- forks -------------------------------------------------------------------------------------------------

FORKS = """
import os, random, signal, sys, threading, time
import numpy as np
from sklearn.datasets import load_iris
from tinyclf import TinyClassifier
X, y = load_iris(return_X_y=True)
def fit():
    return TinyClassifier(10, max_iter=20, random_state=0).fit(X, y)
model = fit()
expected = model.predict_proba(X)
def works():
    signal.alarm(30)  # ends a child that hangs
    return (model.predict_proba(X) == expected).all() and (fit().predict_proba(X) == expected).all()
def ended(child):
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
class Forks:
    def setup(self, estimator, context): pass
    def teardown(self, estimator, context): pass
    def on_fit_task_begin(self, estimator, context): pass
    def on_fit_task_end(self, estimator, context):
        if context.task_name == "epoch" and estimator.n_iter_ == 7:
            self.child = os.fork()
if sys.argv[1] == "another thread":
    def work():
        while True:
            fit() if sys.argv[2] == "fit" else model.predict_proba(X)
    threading.Thread(target=work, daemon=True).start()
    for _ in range(30):
        time.sleep(random.uniform(0, 0.01))
        if not (child := os.fork()):
            os._exit(0 if works() else 1)
        assert ended(child) == 0
else:  # the fit itself, in a callback: both processes finish it
    forks = Forks()
    forked = TinyClassifier(10, max_iter=20, random_state=0).set_callbacks(forks).fit(X, y)
    same = (forked.predict_proba(X) == expected).all() and works()
    if not forks.child:
        os._exit(0 if same else 1)
    assert same and ended(forks.child) == 0
os._exit(0)
"""


@pytest.mark.processes
@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
@pytest.mark.parametrize(
    "who", [("another thread", "fit"), ("another thread", "predict"), ("the fit itself",)]
)
def test_a_child_forked_during_a_fit_or_a_prediction_fits_and_predicts_the_same(who):
    # With several BLAS threads, OpenBLAS itself may hang in such a child.
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORKS, *who],
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (run.returncode, run.stderr) == (0, "")


# --- joblib ------------------------------------------------------------------------------------------------

BACKENDS = [pytest.param("loky", marks=pytest.mark.processes), "threading"]
GRID = {"hidden_layer_sizes": [(), (1200,)], "solver": ["adam", SGD(0.1, momentum=0.9)], "dropout": [0, 0.2]}


def searched(n_jobs):
    model = quick(max_iter=1, batch_size=440, early_stopping=False)
    search = GridSearchCV(model, GRID, cv=2, scoring="neg_log_loss", n_jobs=n_jobs, error_score="raise")
    search.fit(DIGITS, LABELS)
    results = {k: v for k, v in search.cv_results_.items() if "time" not in k}
    return shown([search.best_params_, search.best_score_, results, search.best_estimator_.network_.theta])


def backend_of_one_thread(backend):
    """Limit BLAS to one thread in the processes of joblib."""
    options = {"inner_max_num_threads": 1} if backend == "loky" else {}
    return joblib.parallel_config(backend=backend, n_jobs=2, **options)


@pytest.fixture(scope="module")
def alone():
    with threadpool_limits(1, user_api="blas"):
        return searched(n_jobs=None), cross_val_predict(quick(), DIGITS, LABELS, cv=2, method="predict_proba")


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_search_gives_the_same_results_on_every_backend(backend, alone, one_thread):
    with backend_of_one_thread(backend):
        assert searched(n_jobs=2) == alone[0]
        predicted = cross_val_predict(quick(), DIGITS, LABELS, cv=2, method="predict_proba", n_jobs=2)
    np.testing.assert_array_equal(predicted, alone[1])


@pytest.mark.parametrize("backend", BACKENDS)
def test_models_fitted_to_memory_mapped_rows_are_the_same_and_writable(backend, one_thread):
    def fitted(X, y, seed):
        assert backend != "loky" or (isinstance(X, np.memmap) and not X.flags.writeable)
        model = quick(random_state=seed).fit(X, y)
        return model, model.predict_proba(X)

    with backend_of_one_thread(backend), joblib.Parallel(max_nbytes=1000) as parallel:
        results = parallel(joblib.delayed(fitted)(DIGITS, LABELS, seed) for seed in range(3))
    for seed, (model, probabilities) in enumerate(results):
        expected = quick(random_state=seed).fit(DIGITS, LABELS)
        assert shown(model) == shown(expected)
        np.testing.assert_array_equal(probabilities, expected.predict_proba(DIGITS))
        model.coefs_[0][...] = 0.0
        model.intercepts_[0] += 1.0
        assert not np.array_equal(model.predict_proba(DIGITS), probabilities)
        model.partial_fit(DIGITS, LABELS)


@pytest.mark.processes
def test_a_memory_mapped_model_predicts_in_many_processes(tmp_path, one_thread):
    model = quick(hidden_layer_sizes=300).fit(DIGITS, LABELS)
    joblib.dump(model, tmp_path / "model.joblib")
    mapped = joblib.load(tmp_path / "model.joblib", mmap_mode="r")
    with backend_of_one_thread("loky"):
        parts = joblib.Parallel(max_nbytes=1000)(
            joblib.delayed(mapped.predict_proba)(DIGITS[rows]) for rows in ROWS
        )
    for rows, part in zip(ROWS, parts, strict=True):
        np.testing.assert_array_equal(part, model.predict_proba(DIGITS[rows]))
    for one in (mapped, model):
        one.partial_fit(DIGITS, LABELS)
    np.testing.assert_array_equal(mapped.network_.theta, model.network_.theta)
