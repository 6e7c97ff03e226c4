"""Measure fits whose rows are streamed: ``python benchmarks/streaming.py [FOLDER] [--rows N] [--quick]``.

The script writes N rows of 30 float32 columns to a temporary file (2.4 GB for the default of 20 million), and
prints

- the peak memory of a process that fits its memory map for one epoch, refit included. It counts what the
  process allocates, the labels and the interpreter included; pages of the file, which the system can drop at
  any time, are not counted;
- the time of a fit of a million of these rows that are streamed in ten windows, divided by that of the same
  rows in memory;
- the test log-loss of fits whose rows are streamed in eight windows, divided by that of the same rows in
  memory: for 200,000 of these rows, as given and sorted by class, and for the data sets in FOLDER (files
  ``NAME.npz`` with the arrays X and y).
"""

import argparse
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from timing import pin_to_one_core, side_by_side

pin_to_one_core()

import numpy as np  # noqa: E402
from sklearn.metrics import log_loss  # noqa: E402
from sklearn.model_selection import train_test_split  # noqa: E402

from tinyclf import TinyClassifier, use_fast  # noqa: E402
from tinyclf.estimator import sources, streaming  # noqa: E402

FEATURES, CLASSES, PART = 30, 3, 100_000


def write(folder: Path, n: int) -> None:
    """Write n rows and their labels, which depend on sums and products of the features."""
    rng = np.random.default_rng(0)
    W = rng.normal(size=(FEATURES, CLASSES)).astype("float32")
    X = np.lib.format.open_memmap(folder / "X.npy", "w+", np.float32, (n, FEATURES))
    y = np.empty(n, np.int8)
    for start in range(0, n, PART):
        x = rng.standard_normal((min(PART, n - start), FEATURES), np.float32)
        z = 2 * np.tanh(x @ W) + x[:, :CLASSES] * x[:, CLASSES : 2 * CLASSES]
        X[start : start + PART] = x
        y[start : start + PART] = (z + rng.gumbel(size=z.shape)).argmax(axis=1)
    np.save(folder / "y.npy", y)


def read(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return a memory map of the rows, and the labels."""
    return np.load(folder / "X.npy", mmap_mode="r"), np.load(folder / "y.npy")


def allocated() -> float:
    """Return how much memory this process has allocated, in MB, without the pages of files."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.split("RssAnon:")[1].split()[0]) / 1024


def fit_and_print_peak(folder: Path) -> None:
    """Fit the rows for one epoch, and print the peak memory and the time per row."""
    use_fast(False)
    X, y = read(folder)
    peak, fitted = [allocated()], threading.Event()

    def watch() -> None:
        while not fitted.wait(0.005):
            peak[0] = max(peak[0], allocated())

    watcher = threading.Thread(target=watch)
    watcher.start()
    start = time.perf_counter()
    TinyClassifier(max_iter=1, random_state=0).fit(X, y)
    seconds = time.perf_counter() - start
    fitted.set()
    watcher.join()
    print(
        f"peak memory of a fit of {len(X):,} x {FEATURES} float32, a file of {X.nbytes / 1e6:,.0f} MB: "
        f"{peak[0]:,.0f} MB ({1e6 * seconds / len(X):.1f} microseconds per row)"
    )


@contextmanager
def window(entries: int) -> Iterator[None]:
    """Stream rows whose number of entries exceeds this one, in windows of so many entries."""
    before = sources.WINDOW, streaming.BLOCKS
    sources.WINDOW, streaming.BLOCKS = entries, 32  # fewer blocks, as these data sets are small
    try:
        yield
    finally:
        sources.WINDOW, streaming.BLOCKS = before


def compare_times(X: np.ndarray, y: np.ndarray, epochs: int, repeats: int) -> None:
    def fit() -> None:
        TinyClassifier(max_iter=epochs, random_state=0).fit(X, y)

    def streamed() -> None:
        with window(X.size // 10):
            fit()

    seconds = side_by_side({"streamed": streamed, "in memory": fit}, repeats)
    ratio = seconds["streamed"] / seconds["in memory"]
    print(f"time of a fit of {len(X):,} rows, streamed / in memory: {ratio:.2f}")


def compare_losses(name: str, X: np.ndarray, y: np.ndarray, seeds: int, epochs: int | str) -> None:
    """Print the ratios of the log-losses of rows that are streamed to that of rows in memory."""
    total = np.zeros(3)
    for seed in range(seeds):
        X_train, X_test, y_train, y_test = train_test_split(X, y, stratify=y, random_state=seed)
        model = TinyClassifier(max_iter=epochs, random_state=seed)
        by_class = np.argsort(y_train, kind="stable")
        fits = [(X_train.size, slice(None)), (X_train.size // 8, slice(None)), (X_train.size // 8, by_class)]
        for i, (entries, rows) in enumerate(fits):
            with window(entries):
                p = model.fit(X_train[rows], y_train[rows]).predict_proba(X_test)
            total[i] += log_loss(y_test, p, labels=model.classes_)
    print(f"{name:24}{total[1] / total[0]:8.3f}{total[2] / total[0]:18.3f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", nargs="?", type=Path, help="a folder with data sets")
    parser.add_argument("--rows", type=int, default=20_000_000)
    parser.add_argument("--quick", action="store_true", help="few rows and epochs")
    parser.add_argument("--fit", type=Path, help=argparse.SUPPRESS)  # the process whose memory is measured
    options = parser.parse_args()
    if options.fit is not None:
        fit_and_print_peak(options.fit)
        return
    use_fast(False)
    n = 3000 if options.quick else options.rows
    with TemporaryDirectory() as name:
        folder = Path(name)
        write(folder, n)
        if os.path.exists("/proc/self/status"):
            subprocess.run([sys.executable, __file__, "--fit", name], check=True)
        X, y = read(folder)
        X, y = np.array(X[:1_000_000]), y[:1_000_000]
        compare_times(X, y, epochs=1, repeats=1 if options.quick else 3)
        print(f"\n{'log-loss / in memory':24}{'streamed':>8}{'sorted by class':>18}")
        seeds, iterations = (1, 2) if options.quick else (3, "auto")
        compare_losses("generated", X[:200_000], y[:200_000], 1, iterations)
        for path in sorted(options.folder.glob("*.npz")) if options.folder else ():
            with np.load(path, allow_pickle=True) as data:
                compare_losses(path.stem, data["X"], data["y"], seeds, iterations)


if __name__ == "__main__":
    main()
