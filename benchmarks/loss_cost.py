"""Compare the training time of two losses: ``python benchmarks/loss_cost.py [--repeats N]``.

The losses are the exact and the textbook one. The textbook's stable loss subtracts the maximum, divides
exp by its sum and uses p - y as the gradient. Here it is as fast as NumPy allows: in the type of the
logits, in place, with preallocated buffers. It has the errors that ``benchmarks/accuracy.py`` shows. Both
losses train the same network from the same weights with the same order of rows. The script prints the
ratio of the times of an epoch, the times of the loss alone, and the training losses.
"""

import argparse

from timing import pin_to_one_core, side_by_side

pin_to_one_core()

import numpy as np  # noqa: E402

from tinyclf import Adam, Buffer, Dense, Loss, Network, ReLU, SoftmaxCrossEntropy, train, use_fast  # noqa: E402

WORKLOADS = {
    "12,000 x 784-100-10, batch 200": (12_000, 784, 100, 10, 200),
    "12,000 x 784-100-10, batch 32": (12_000, 784, 100, 10, 32),
    "1,797 x 64-100-10, batch 200": (1_797, 64, 100, 10, 200),
    "1,797 x 64-100-10, batch 32": (1_797, 64, 100, 10, 32),
    "12,000 x 784-100-100, batch 200": (12_000, 784, 100, 100, 200),
}


class Textbook(Loss):
    """softmax(z - max z), -log p, p - y."""

    def buffers(self, n_outputs, dtype):
        return {"m": Buffer((1,)), "s": Buffer((1,))}

    def rows(self, z, y, dz, t):
        first = np.arange(0, z.size, z.shape[1])
        t.m[:, 0] = z.ravel()[z.argmax(axis=1) + first]  # four times faster than z.max(axis=1)
        np.subtract(z, t.m, out=dz)
        label = y + first
        shifted = dz.ravel()[label]
        np.exp(dz, out=dz)
        np.sum(dz, axis=1, keepdims=True, out=t.s)
        dz /= t.s
        dz.ravel()[label] -= 1
        return np.log(t.s[:, 0]) - shifted


LOSSES = {"textbook": Textbook(), "exact": SoftmaxCrossEntropy()}


def epoch(X, y, n_hidden, n_classes, batch_size, loss):
    """Return a function that trains for one epoch and returns its report."""

    def run():
        network = Network([Dense(n_hidden), ReLU(), Dense(n_classes)], X.shape[1], seed=0)
        return next(train(network, X, y, loss=loss, optimizer=Adam(), batch_size=batch_size, seed=0))

    return run


def alone(n_classes, batch_size, loss, times=200):
    """Return a function that computes the loss of one batch ``times`` times."""
    rng = np.random.default_rng(0)
    z = rng.normal(size=(batch_size, n_classes)).astype("float32")
    y, dz = rng.integers(n_classes, size=batch_size), np.empty_like(z)
    buffers = Network([Dense(n_classes)], 1).workspace(batch_size, loss=loss).tapes(batch_size).loss

    def run():
        with np.errstate(all="ignore"):
            for _ in range(times):
                loss.value_and_grad(z, y, None, dz, buffers)

    return run


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeats", type=int, default=15, help="runs of each; the fastest is printed")
    repeats = parser.parse_args().repeats
    use_fast(False)  # the textbook loss has no compiled kernel
    print(f"{'':34} {'epoch, exact : textbook':>24} {'loss alone, us':>20} {'training losses':>24}")
    for name, (n, n_in, n_hidden, n_classes, batch_size) in WORKLOADS.items():
        rng = np.random.default_rng(0)
        X = rng.normal(size=(n, n_in)).astype("float32")
        y = rng.integers(n_classes, size=n)
        runs = {key: epoch(X, y, n_hidden, n_classes, batch_size, loss) for key, loss in LOSSES.items()}
        reports = {key: run() for key, run in runs.items()}
        best = side_by_side(runs, repeats)
        own = side_by_side({key: alone(n_classes, batch_size, loss) for key, loss in LOSSES.items()}, repeats)
        print(
            f"{name:34} {best['exact'] / best['textbook']:24.3f}"
            f" {own['exact'] / 200 * 1e6:8.1f} : {own['textbook'] / 200 * 1e6:<8.1f}"
            f" {reports['exact'].loss:12.6f} : {reports['textbook'].loss:.6f}"
        )


if __name__ == "__main__":
    main()
