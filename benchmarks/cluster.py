"""Measure training on a cluster: ``python benchmarks/cluster.py [FOLDER] [--rows N] [--quick]``.

The clusters are processes on this machine, with one thread each. The script prints

- the test log-loss of `DaskTinyClassifier` (local SGD) and of data-parallel L-BFGS (200 iterations) on 2 and
  4 workers, divided by that of `TinyClassifier` on the same rows in memory; also with rows that are sorted by
  class ("sorted"), and with one partition for each class ("by class"). "CPU" is the largest CPU time of a
  worker, and "time" that of the whole fit, divided by those in memory. The time depends on the number of
  cores of this machine, the CPU time does so less. The data are N generated rows (100,000 by default), and
  the data sets in FOLDER (files ``NAME.npz`` with the arrays X and y);
- what an epoch costs: computation per row, bytes per worker, and the overhead of scheduler and messages. The
  workers share the cores of this machine, so the overhead of many workers is more than on a cluster;
- the time of an epoch of the generated rows on 1 and 2 workers, measured and computed from these costs;
- the time of a fit of 10^9 rows of 30 float32 columns on 8 to 512 workers, computed from these costs.
"""

import argparse
import math
import os
import pickle
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from timing import limit_threads

limit_threads()
os.environ["TINYCLF_FAST"] = "0"  # NumPy alone, on the workers, too

import dask.array as da  # noqa: E402
import numpy as np  # noqa: E402
from distributed import Client, LocalCluster  # noqa: E402
from scipy.optimize import minimize  # noqa: E402
from sklearn.metrics import log_loss  # noqa: E402
from sklearn.model_selection import train_test_split  # noqa: E402

from tinyclf import Network, TinyClassifier  # noqa: E402
from tinyclf.dask import DaskTinyClassifier, worker  # noqa: E402
from tinyclf.dask.cluster import Tasks  # noqa: E402
from tinyclf.estimator.dataset import Dataset  # noqa: E402
from tinyclf.estimator.plan import FitPlan  # noqa: E402
from tinyclf.estimator.validation import Validation  # noqa: E402
from tinyclf.nn.arrays import ROW_BLOCK  # noqa: E402
from tinyclf.nn.objective import Objective  # noqa: E402
from tinyclf.nn.state import TrainState  # noqa: E402

FEATURES, CLASSES = 30, 3
ROWS, EPOCHS, HELD = 10**9, 40, 100_000
BANDWIDTH, DISK = 1e9, 2e8  # bytes per second of a worker: network, and reading of files


def generated(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Return rows, and labels that depend on sums and products of the features."""
    rng = np.random.default_rng(0)
    W = rng.normal(size=(FEATURES, CLASSES)).astype("float32")
    X = rng.standard_normal((n, FEATURES), np.float32)
    z = 2 * np.tanh(X @ W) + X[:, :CLASSES] * X[:, CLASSES : 2 * CLASSES]
    return X, (z + rng.gumbel(size=z.shape)).argmax(axis=1)


@contextmanager
def workers(n: int) -> Iterator[Client]:
    """The client of a cluster of n processes."""
    options = {"threads_per_worker": 1, "dashboard_address": ":0"}
    with LocalCluster(n_workers=n, **options) as cluster, Client(cluster) as client:
        yield client


def collections(X: np.ndarray, y: np.ndarray, n_parts: int) -> tuple[da.Array, da.Array]:
    return partitioned(X, y, [len(part) for part in np.array_split(y, n_parts)])


def partitioned(X: np.ndarray, y: np.ndarray, lengths: Sequence[int]) -> tuple[da.Array, da.Array]:
    return da.from_array(X, chunks=(tuple(lengths), -1)), da.from_array(y, chunks=(tuple(lengths),))


def seconds_of(function: Callable[[], object], repeats: int = 3) -> float:
    """Return the minimum of several times."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return min(times)


def cpu_time(task: str, dask_worker: Any) -> float:
    """Return the CPU seconds of all tasks of this name on a worker."""
    measured = dask_worker.digests_total.items()
    return sum(seconds for key, seconds in measured if key[-3:] == (task, "thread-cpu", "seconds"))


def timed(client: Client, task: str, function: Callable[[], object]) -> tuple[float, float]:
    """Return the seconds of a function, and the largest CPU seconds of its tasks of this name on a worker."""
    before = client.run(cpu_time, task)
    seconds = seconds_of(function, 1)
    after = client.run(cpu_time, task)
    return seconds, max(after[address] - before[address] for address in after)


# --- the methods -------------------------------------------------------------------------------------


def gradient(inputs: np.ndarray, targets: np.ndarray, plan: FitPlan, theta: np.ndarray) -> tuple[float, Any]:
    """Return the sum of the losses of rows, and its gradient."""
    network = Network(plan.layers, inputs.shape[1], dtype="float64", seed=0)
    network.theta = theta
    objective = Objective(network, inputs, targets, loss=plan.training_loss, batch_size=ROW_BLOCK)
    value, total = 0.0, np.zeros(theta.size)
    for start in range(0, len(targets), ROW_BLOCK):
        batch = objective.order[start : start + ROW_BLOCK]
        value += objective.loss_and_grad(batch)[0] * len(batch)
        total += objective.gradient * len(batch)
    return value, total


def fit_lbfgs(client: Client, model: TinyClassifier, X: np.ndarray, y: np.ndarray, steps: int) -> None:
    """Train the network of a fitted model from the start by L-BFGS; the workers sum the gradients."""
    state, plan, N = model._state, model.plan_, len(y)
    inputs = state.encoding.rows(X, state.scaling, np.float64).block(0, N)
    targets = state.labels.for_loss(state.labels.encode(y), plan.n_outputs)
    parts = np.array_split(np.random.default_rng(0).permutation(N), len(client.nthreads()))
    shards = [client.scatter([inputs[rows], targets[rows]]) for rows in parts]
    start = Network(plan.layers, inputs.shape[1], dtype="float64", seed=0)
    regularized = np.arange(start.theta.size) < start.regularized.size

    def objective(theta: np.ndarray) -> tuple[float, np.ndarray]:
        sent = client.scatter(theta, broadcast=True, hash=False)
        sums = client.gather([client.submit(gradient, *shard, plan, sent, pure=False) for shard in shards])
        value, slope = sum(v for v, _ in sums), sum(g for _, g in sums)
        W = regularized * theta
        return (value + plan.alpha / 2 * (W @ W)) / N, (slope + plan.alpha * W) / N

    found = minimize(objective, start.theta, jac=True, method="L-BFGS-B", options={"maxiter": steps})
    state.network.theta, state.calibration = found.x, None


def compare(name: str, X: np.ndarray, y: np.ndarray, clients: dict[int, Client], epochs: Any) -> None:
    """Print the results of both methods, divided by those of rows in memory."""
    X, X_test, y, y_test = train_test_split(X, y, stratify=y, random_state=0)
    model = TinyClassifier(max_iter=epochs, random_state=0)
    cpu_before = time.thread_time()
    seconds = seconds_of(partial(model.fit, X, y), 1)
    cpu = time.thread_time() - cpu_before
    expected = log_loss(y_test, model.predict_proba(X_test))
    order, lengths = np.argsort(y, kind="stable"), np.unique(y, return_counts=True)[1]

    def row(method: str, losses: list[float], n_epochs: int, times: tuple[float, float]) -> None:
        ratios = "".join(f"{loss / expected:10.3f}" for loss in losses) + " " * (30 - 10 * len(losses))
        print(f"{method}{ratios}{n_epochs:8}{times[1] / cpu:8.2f}{times[0] / seconds:8.1f}", flush=True)

    def loss_of(fitted: TinyClassifier) -> float:
        return log_loss(y_test, fitted.predict_proba(X_test))

    print(f"\n{name:24}{'log-loss':>10}{'sorted':>10}{'by class':>10}{'epochs':>8}{'CPU':>8}{'time':>8}")
    for n, client in clients.items():
        cluster = DaskTinyClassifier(max_iter=epochs, random_state=0, client=client)
        times = timed(client, "trained", partial(cluster.fit, *collections(X, y, 4 * n)))
        n_epochs = cluster.plan_.max_iter
        losses = [loss_of(cluster), loss_of(cluster.fit(*collections(X[order], y[order], 4 * n)))]
        losses.append(loss_of(cluster.fit(*partitioned(X[order], y[order], lengths))))
        row(f"local SGD, {n} workers    ", losses, n_epochs, times)
    steps = 200 if epochs == "auto" else epochs
    for n, client in clients.items():
        times = timed(client, "gradient", partial(fit_lbfgs, client, model, X, y, steps))
        row(f"L-BFGS, {n} workers       ", [loss_of(model)], steps, times)


# --- the costs of an epoch ---------------------------------------------------------------------------


class Costs(NamedTuple):
    """What a fit costs, in seconds and bytes."""

    per_row: float  # computation of an epoch
    per_row_read: float  # checks, encoding and scaling, once
    validation: float  # of the held-out rows, in each epoch
    state: int  # bytes of parameters and moments
    fixed: float  # overhead of an epoch, the average included
    per_worker: float  # overhead of an epoch for each worker

    def epoch(self, rows: float, n: int, validates: bool) -> tuple[float, float, float, float]:
        """Return the seconds of an epoch: computation, overhead, parameters sent, validation."""
        overhead, sent = self.fixed + n * self.per_worker, 2 * n * self.state / BANDWIDTH
        return self.per_row * rows / n, overhead, sent, self.validation * validates


def measure(X: np.ndarray, y: np.ndarray, sizes: tuple[int, ...], repeats: int) -> Costs:
    model = TinyClassifier(random_state=0, early_stopping=False)

    def read() -> tuple[worker.Part, FitPlan]:
        parts = worker.read(model, [0], [(X, y, None)])
        summary = worker.summarize(parts, model)
        encoding = summary.columns.encoding(model.max_categories)
        data = worker.encoded(parts, model, encoding, summary.labels)
        scaling = worker.facts(data, True, None).scaling
        plan = FitPlan.resolve(model, data)
        return worker.prepare(data, 0, plan, scaling, np.zeros(4, np.uint32)), plan

    part, plan = read()
    training = TrainState(Network(plan.layers, FEATURES, dtype=plan.dtype, seed=0), plan.optimizer, 0)
    per_row_read = seconds_of(read, repeats) / len(X)
    per_row = min(worker.trained(part, training, 0, True)[1].seconds for _ in range(repeats)) / len(X)
    held = TinyClassifier(random_state=0, max_iter=1, early_stopping=False).fit(X[:1000], y[:1000])
    rows = Dataset.read(held, X[:HELD], y[:HELD], None, None, None, None)
    prior = rows.prior_logits(plan.loss, plan.n_outputs)
    validation = Validation(rows, plan, held._state.scaling, prior)
    measured = seconds_of(lambda: validation.measure(held, held._state), repeats) * HELD / len(rows.targets)
    overheads = [overhead(n, part, training, 5 * repeats) for n in sizes]
    per_worker, fixed = np.polyfit(sizes, overheads, 1)
    bytes_sent = len(pickle.dumps(training))
    costs = Costs(per_row, per_row_read, measured, bytes_sent, max(fixed, 0.0), max(per_worker, 1e-6))
    print(
        f"\ncomputation per row and epoch: {1e6 * per_row:.2f} microseconds; to read a row: "
        f"{1e6 * per_row_read:.2f}\nvalidation of {HELD:,} rows on the client, per epoch: {measured:.2f} s\n"
        f"parameters and moments, to and from each worker in each epoch: {bytes_sent / 1e3:,.0f} kB\n"
        f"overhead of an epoch on {sizes} workers: {', '.join(f'{1e3 * s:.0f}' for s in overheads)} ms, "
        f"about {1e3 * costs.fixed:.0f} + {1e3 * per_worker:.1f} ms per worker"
    )
    return costs


def overhead(n: int, part: worker.Part, training: TrainState, epochs: int) -> float:
    """Return the seconds of an epoch of a single batch on each of n workers, without its computation."""
    some = part.rows[: part.plan.batch_size]
    small = worker.Part(part.plan, part.inputs, part.targets, None, some, some, some[:0], part.seed)
    with workers(n) as client, Tasks(client) as tasks:
        parts = client.scatter([small] * n, hash=False)
        computed = min(worker.trained(small, training, 0, False)[1].seconds for _ in range(epochs))

        def epoch() -> None:
            before = tasks.map(worker.unchanged, [training])
            found = tasks.map(worker.trained, parts, training=before[0], done=0, refit=False)
            tasks.results(tasks.map(worker.averaged, [found]))
            tasks.release([*before, *found])

        return max(seconds_of(epoch, epochs) - computed, 0.0)


def epoch_of(client: Client, n: int, X: np.ndarray, y: np.ndarray, epochs: int) -> tuple[float, float]:
    """Return the seconds of an epoch on n workers, and the CPU seconds per row on one of them."""
    model, times = DaskTinyClassifier(early_stopping=False, random_state=0, client=client), []
    for m in (epochs, 5 * epochs):
        fit = partial(model.set_params(max_iter=m).fit, *collections(X, y, 4))
        times.append(min(timed(client, "trained", fit) for _ in range(2)))
    (few, _), (many, cpu) = times
    return (many - few) / (4 * epochs), n * cpu / (5 * epochs * len(X))


def predict(costs: Costs) -> None:
    """Print the time of a fit of ROWS rows on many workers."""
    print(
        f"\n{ROWS:,} rows of {FEATURES} float32 columns, {EPOCHS} epochs.\nAssumptions: workers like this "
        f"one, with one thread each; rows spread evenly; files read with\n{DISK / 1e6:,.0f} MB/s per worker; "
        f"parameters sent with {BANDWIDTH / 1e9:.0f} GB/s, one worker after the other, both ways\n\n"
        f"{'workers':>8}{'rows each':>14}{'GB each':>9}{'epoch: computed':>17}{'overhead':>10}{'sent':>8}"
        f"{'validated':>11}{'fit':>10}{'with refit':>12}"
    )
    for n in (8, 16, 32, 64, 128, 256, 512):
        row = 4 * FEATURES
        parts = costs.epoch(ROWS, n, True)
        read = ROWS / n * (row / DISK + costs.per_row_read)
        fit = read + EPOCHS * sum(parts)
        refit = fit + EPOCHS * sum(costs.epoch(ROWS, n, False))
        cells = f"{ROWS // n:14,}{ROWS / n * row / 1e9:9.1f}{parts[0]:15.1f} s{parts[1]:8.2f} s"
        print(f"{n:8}{cells}{parts[2]:6.2f} s{parts[3]:9.2f} s{fit / 3600:8.2f} h{refit / 3600:10.2f} h")
    _, overhead, sent, _ = costs.epoch(ROWS, 1, False)
    most = math.sqrt(costs.per_row * ROWS / (overhead - costs.fixed + sent))
    print(f"\nWith more than about {most:,.0f} workers, the overhead is more than the computation.")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", nargs="?", type=Path, help="a folder with data sets")
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--quick", action="store_true", help="few rows and epochs")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    epochs = 2 if options.quick else "auto"
    X, y = generated(3000 if options.quick else options.rows)
    with workers(1) as one, workers(2) as two, workers(4) as four:
        clients = {2: two, 4: four}
        for path in sorted(options.folder.glob("*.npz")) if options.folder else ():
            with np.load(path, allow_pickle=True) as data:
                compare(path.stem, data["X"], data["y"], clients, epochs)
        compare("generated", X, y, clients, epochs)
        measured = {n: epoch_of(c, n, X, y, 1 if options.quick else 2) for n, c in ((1, one), (2, two))}
    costs = measure(X, y, (1, 2) if options.quick else (1, 2, 4, 8), 1 if options.quick else 3)
    print(f"\n{'workers':>8}{'epoch, predicted':>18}{'measured':>11}{'CPU time per row':>19}")
    for n, (seconds, cpu) in measured.items():
        print(f"{n:8}{sum(costs.epoch(len(X), n, False)):16.2f} s{seconds:9.2f} s{1e6 * cpu:16.2f} us")
    predict(costs)


if __name__ == "__main__":
    main()
