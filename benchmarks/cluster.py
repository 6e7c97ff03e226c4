"""Measure training on a cluster: ``python benchmarks/cluster.py [FOLDER] [--rows N] [--quick]``.

The clusters are processes on this machine, with one thread each. The script prints

- the test log-loss of `DaskTinyClassifier` (local SGD) on 2 and 4 workers, divided by that of
  `TinyClassifier` on the same rows in memory; if they are sorted by class ("sorted");
  and with data-parallel L-BFGS on 2 workers, 200 iterations. The times on 2 workers are multiples of that in
  memory. The data are N generated rows (100,000 by default), and the data sets in FOLDER (files ``NAME.npz``
  with the arrays X and y);
- what an epoch costs: computation per row, bytes per worker, overhead of the scheduler;
- the time of an epoch of the generated rows on 2 workers, measured and computed from these costs;
- the time of a fit of 10^9 rows of 30 float32 columns on 8 to 512 workers, computed from these costs.
"""

import argparse
import os
import pickle
import time
import warnings
from collections.abc import Callable, Iterator
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
    with (
        LocalCluster(n_workers=n, threads_per_worker=1, dashboard_address=":0") as cluster,
        Client(cluster) as client,
    ):
        yield client


def collections(X: np.ndarray, y: np.ndarray, n_parts: int) -> tuple[da.Array, da.Array]:
    length = -(-len(X) // n_parts)
    return da.from_array(X, chunks=(length, -1)), da.from_array(y, chunks=length)


def seconds_of(function: Callable[[], object], repeats: int = 3) -> float:
    """Return the minimum of several times."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return min(times)


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


def fit_lbfgs(
    client: Client, model: TinyClassifier, X: np.ndarray, y: np.ndarray, n: int, steps: int
) -> None:
    """Train the network of a fitted model anew by L-BFGS; n workers sum the gradients of their rows."""
    state, plan, N = model._state, model.plan_, len(y)
    inputs = state.encoding.rows(X, state.scaling, np.float64).block(0, N)
    targets = state.labels.for_loss(state.labels.encode(y), plan.n_outputs)
    parts = np.array_split(np.random.default_rng(0).permutation(N), n)
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
    X, X_test, y, y_test = train_test_split(X, y, stratify=y, random_state=0)
    model = TinyClassifier(max_iter=epochs, random_state=0)
    in_memory = seconds_of(partial(model.fit, X, y), 1)
    expected = log_loss(y_test, model.predict_proba(X_test))
    order, line, times = np.argsort(y, kind="stable"), f"{name:16}", []
    for n, client in clients.items():
        cluster = DaskTinyClassifier(max_iter=epochs, random_state=0, client=client)
        times.append(seconds_of(partial(cluster.fit, *collections(X, y, 4 * n)), 1))
        line += (
            f"{log_loss(y_test, cluster.predict_proba(X_test)) / expected:12.3f}{cluster.plan_.max_iter:8}"
        )
        cluster.fit(*collections(X[order], y[order], 4 * n))
        line += f"{log_loss(y_test, cluster.predict_proba(X_test)) / expected:8.3f}"
    steps = 200 if epochs == "auto" else epochs
    times.append(seconds_of(partial(fit_lbfgs, clients[2], model, X, y, 2, steps), 1))
    line += f"{log_loss(y_test, model.predict_proba(X_test)) / expected:12.3f}"
    print(f"{line}{times[0] / in_memory:14.1f}{times[-1] / in_memory:8.1f}", flush=True)


# --- the costs of an epoch ---------------------------------------------------------------------------


class Costs(NamedTuple):
    """What a fit costs, in seconds and bytes."""

    per_row: float  # computation of an epoch
    per_row_read: float  # checks, encoding and scaling, once
    validation: float  # of the held-out rows, in each epoch
    state: int  # bytes of parameters and moments
    average: float  # computation of the average, per worker
    fixed: float  # overhead of an epoch
    per_worker: float  # overhead of an epoch for each worker

    def epoch(self, rows: float, n: int, validates: bool) -> tuple[float, float, float, float]:
        """Return the seconds of an epoch: computation, overhead, parameters sent and averaged, validation."""
        sent = 2 * n * self.state / BANDWIDTH + n * self.average
        overhead = self.fixed + n * self.per_worker
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

    per_row_read = seconds_of(read, repeats) / len(X)
    part, plan = read()
    training = TrainState(Network(plan.layers, FEATURES, dtype=plan.dtype, seed=0), plan.optimizer, 0)
    results = [worker.trained(part, training, 0, True) for _ in range(repeats)]
    per_row = min(epoch.seconds / epoch.rows for _, epoch, _ in results)
    average = seconds_of(lambda: worker.averaged([results[0]] * 16), repeats) / 16
    held = TinyClassifier(random_state=0, max_iter=1, early_stopping=False).fit(X[:1000], y[:1000])
    rows = Dataset.read(held, X[:HELD], y[:HELD], None, None, None, None)
    prior = rows.prior_logits(plan.loss, plan.n_outputs)
    validation = Validation(rows, plan, held._state.scaling, prior)
    measured = seconds_of(lambda: validation.measure(held, held._state), repeats) * HELD / len(rows.targets)
    overheads = [overhead(n, part, training, 5 * repeats) for n in sizes]
    per_worker, fixed = np.polyfit(sizes, overheads, 1)
    bytes_sent = len(pickle.dumps(training))
    costs = Costs(per_row, per_row_read, measured, bytes_sent, average, max(fixed, 0.0), per_worker)
    print(
        f"\ncomputation per row and epoch: {1e6 * per_row:.2f} microseconds; to read a row: "
        f"{1e6 * per_row_read:.2f}\nvalidation of {HELD:,} rows on the client, per epoch: {measured:.2f} s\n"
        f"parameters and moments, to and from each worker in each epoch: {bytes_sent / 1e3:,.0f} kB; "
        f"average: {1e3 * average:.2f} ms per worker\noverhead of an epoch on {sizes} workers: "
        f"{', '.join(f'{1e3 * s:.0f}' for s in overheads)} ms, about {1e3 * costs.fixed:.0f} + "
        f"{1e3 * per_worker:.1f} ms per worker"
    )
    return costs


def overhead(n: int, part: worker.Part, training: TrainState, epochs: int) -> float:
    """Return the seconds of an epoch of a single batch on each of n workers, without its computation."""
    some = part.rows[: part.plan.batch_size]
    small = worker.Part(part.plan, part.inputs, part.targets, None, some, some, some[:0], part.seed)
    with workers(n) as client, Tasks(client) as tasks:
        parts = client.scatter([small] * n, hash=False)
        computed = worker.trained(small, training, 0, False)[1].seconds

        def epoch() -> None:
            before = tasks.map(worker.unchanged, [training])
            found = tasks.map(worker.trained, parts, training=before[0], done=0, refit=False)
            tasks.results(tasks.map(worker.averaged, [found]))
            tasks.release([*before, *found])

        return max(seconds_of(epoch, epochs) - computed, 0.0)


def check(costs: Costs, X: np.ndarray, y: np.ndarray, client: Client, epochs: int) -> None:
    """Print the time of a fit on two workers, and the time that the costs predict."""
    model, rows = (
        DaskTinyClassifier(early_stopping=False, random_state=0, client=client),
        collections(X, y, 4),
    )
    few, many = (
        seconds_of(partial(model.set_params(max_iter=m).fit, *rows), 1) for m in (epochs, 3 * epochs)
    )
    measured = (many - few) / (2 * epochs)
    predicted = sum(costs.epoch(len(X), 2, False))
    print(f"\nan epoch of {len(X):,} rows on 2 workers: {measured:.2f} s, predicted {predicted:.2f} s")


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
        cells = (
            f"{ROWS // n:14,}{ROWS / n * row / 1e9:9.1f}{parts[0]:15.1f} s{parts[1]:8.2f} s{parts[2]:6.2f} s"
        )
        print(f"{n:8}{cells}{parts[3]:9.2f} s{fit / 3600:8.2f} h{refit / 3600:10.2f} h")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", nargs="?", type=Path, help="a folder with data sets")
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--quick", action="store_true", help="few rows and epochs")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    epochs = 2 if options.quick else "auto"
    X, y = generated(3000 if options.quick else options.rows)
    with workers(2) as two, workers(4) as four:
        print(f"{'':16}{'2 workers':>12}{'4 workers':>28}{'L-BFGS':>28}{'time':>14}")
        methods = f"{'log-loss':>12}{'epochs':>8}{'sorted':>8}" * 2
        print(f"{'/ in memory':16}{methods}{'log-loss':>12}{'local SGD':>14}{'L-BFGS':>8}")
        clients = {2: two, 4: four}
        for path in sorted(options.folder.glob("*.npz")) if options.folder else ():
            with np.load(path, allow_pickle=True) as data:
                compare(path.stem, data["X"], data["y"], clients, epochs)
        compare("generated", X, y, clients, epochs)
        costs = measure(X, y, (1, 2) if options.quick else (1, 2, 4, 8), 1 if options.quick else 3)
        check(costs, X, y, two, 1 if options.quick else 3)
    predict(costs)


if __name__ == "__main__":
    main()
