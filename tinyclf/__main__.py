"""``python -m tinyclf demo``: digits in a pipeline, then the same network with three losses."""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TypeVar

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import StratifiedKFold

from .classifier import TinyClassifier
from .teaching.experiments import UNSCALED, Outcome

T = TypeVar("T")
THREE = ("naive", "clipped", "stable")
FORMATS = (".png", ".svg", ".pdf", ".jpg")


def demo(picture: Path, seed: int, dtype: str) -> None:
    """Run both parts, print their tables, and save the picture if matplotlib is there."""
    print("1. Digits (1,797 images of 8 x 8 pixels), as they are, in TinyClassifier():")
    _pipeline(seed)
    print(f"\n2. One network, three losses ({dtype}, seed {seed}): {UNSCALED}.")
    outcomes = UNSCALED.outcomes(THREE, [seed], dtype)
    results = list(_tracked(outcomes, len(THREE), "training"))
    _table(results)
    if find_spec("matplotlib") is None:
        print("\nInstall matplotlib (pip install matplotlib) to get a picture of the loss curves.")
        return
    from .plotting import save_outcomes

    print(f"\nThe loss curves are in {save_outcomes(results, f'{UNSCALED}; {dtype}, seed {seed}', picture)}")


def _pipeline(seed: int) -> None:
    X, y = load_digits(return_X_y=True)
    folds = list(StratifiedKFold(5, shuffle=True, random_state=seed).split(X, y))
    accuracy = []
    for number, (train, test) in enumerate(_tracked(folds, len(folds), "cross-validation"), 1):
        model = TinyClassifier(random_state=seed).fit(X[train], y[train])
        accuracy.append(model.score(X[test], y[test]))
        print(
            f"   fold {number} of {len(folds)}: best epoch {model.best_epoch_} of {model.n_iter_}, training "
            f"loss {model.loss_:.4f}, test accuracy {accuracy[-1]:.3f}",
            flush=True,
        )
    print(f"   mean test accuracy {np.mean(accuracy):.3f}")


def _table(results: Sequence[Outcome]) -> None:
    head = f"{'loss':8} {'not finite from':>16} {'reported loss':>14} {'true loss':>12} {'test accuracy':>14}"
    print(f"\n   {head}")
    for r in results:
        first = "-" if r.first_nonfinite_step is None else f"step {r.first_nonfinite_step}"
        accuracy = "none" if np.isnan(r.accuracy) else f"{r.accuracy:.3f}"
        print(f"   {r.name:8} {first:>16} {r.curve[-1]:14.4g} {r.true_loss:12.4g} {accuracy:>14}")
    print(
        "\n   naive: exp overflows, and nan never leaves the weights again.\n"
        "   clipped: looks calm, but where it clips there is no gradient, so that nothing is learnt.\n"
        "   stable: log-softmax from the logits; the same network learns."
    )


def _tracked(items: Iterable[T], total: int, what: str) -> Iterable[T]:
    """Show a progress bar where rich is installed and somebody looks."""
    if find_spec("rich") is None or not sys.stdout.isatty():
        return items
    from rich.progress import track

    return track(items, total=total, description=f"   {what}")


def _seed(text: str) -> int:
    if not text.isdecimal() or int(text) >= 2**32:
        raise argparse.ArgumentTypeError(f"must be a whole number from 0 to {2**32 - 1}, got {text}")
    return int(text)


def _picture(text: str) -> Path:
    """Check before the work that a picture can be saved there."""
    path = Path(text).resolve()
    if path.suffix not in FORMATS:
        raise argparse.ArgumentTypeError(f"must end in one of {', '.join(FORMATS)}, got {text!r}")
    if path.is_dir() or not path.parent.is_dir():
        raise argparse.ArgumentTypeError(f"must be a file in a folder that exists, got {text!r}")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise argparse.ArgumentTypeError(f"cannot be written: {text!r}")
    return path


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(prog="python -m tinyclf", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("demo", help="digits in a pipeline, then three losses side by side")
    command.add_argument(
        "--picture", type=_picture, default="loss-curves.png", help="where to save it (default %(default)s)"
    )
    command.add_argument("--seed", type=_seed, default=0, help="of splits, weights and order (default 0)")
    command.add_argument("--dtype", choices=["float32", "float64"], default="float32")
    options = parser.parse_args(arguments)
    if hasattr(sys.stdout, "reconfigure"):  # a path need not fit into the terminal's encoding
        sys.stdout.reconfigure(errors="backslashreplace")
    warnings.filterwarnings("ignore", message="Stochastic Optimizer: Maximum iterations")
    demo(options.picture, options.seed, options.dtype)


if __name__ == "__main__":
    main()
