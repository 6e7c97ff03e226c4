"""The commands demo, lesson and audit of tinyclf.

demo cross-validates TinyClassifier on digits, then trains one network with three losses. lesson runs
the measurements of the lesson on numerical stability and writes an HTML page with the results. audit
finds out whether a cross-entropy is stable.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import redirect_stdout
from functools import reduce
from importlib import import_module
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import StratifiedKFold

from .._version import __version__
from ..estimator.classifier import TinyClassifier
from ..persistence import write_atomically
from .experiments import UNSCALED, Outcome
from .lesson import QUICK_SEEDS, SEEDS, THREE, Summary, measure, tables
from .loss_audit import audit
from .loss_audit.frameworks import FRAMEWORKS, framework_named, one_line, quiet
from .loss_audit.search import LIMITS
from .page import render

T = TypeVar("T")
FORMATS = (".png", ".svg", ".pdf", ".jpg")
LARGEST_SEED = 2**32 - SEEDS


def demo(picture: Path, seed: int, dtype: str) -> None:
    """Run both parts of the demo, print their results, and save a figure if matplotlib is installed."""
    print("1. TinyClassifier() on digits (1,797 images of 8 x 8 pixels, unscaled), 5-fold cross-validation:")
    _pipeline(seed)
    print(f"\n2. One network, three losses ({dtype}, seed {seed}): {UNSCALED}.")
    outcomes = UNSCALED.outcomes(THREE, [seed], dtype)
    results = list(_tracked(outcomes, len(THREE), "training"))
    _table(results)
    if find_spec("matplotlib") is None:
        print("\nTo get a figure of the loss curves, install matplotlib: pip install matplotlib")
        return
    from .plots import save_curves

    summaries = {outcome.name: Summary([outcome]) for outcome in results}
    print(f"\nThe loss curves are in {save_curves(summaries, f'{UNSCALED}; {dtype}, seed {seed}', picture)}")


def lesson(out: Path, seed: int, quick: bool, pictures: Path | None) -> None:
    """Run the measurements, write the page and print the tables; save figures if a folder is given."""
    seeds = QUICK_SEEDS if quick else SEEDS
    print(f"Training the networks of the lesson with seeds {seed} to {seed + seeds - 1}:", flush=True)
    measured = measure(seed, seeds, _tracked)
    options = "".join([f" --seed {seed}" * (seed > 0), " --quick" * quick])
    page = render(measured, f"python -m tinyclf lesson{options}")
    write_atomically(out, lambda file: file.write(page.encode()))
    for line in tables(measured):
        print(line)
    print(f"\nThe lesson is in {out}. Open it in any browser; it works offline.")
    if pictures is not None:
        from .plots import save_pictures

        for path in save_pictures(measured, pictures):
            print(f"Saved the figure {path}")


def audit_function(
    function: str, gradient: str | None, dtypes: Sequence[str], framework: str, as_json: bool
) -> NoReturn:
    """Audit a function; exit with 0 if it is stable, 1 if not, and 2 if it cannot be called."""
    try:
        # What the function prints must not mix with the result, and its warnings not with an error.
        with redirect_stdout(sys.stderr), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            framework_named(framework)
            loss, slope = (None if text is None else _imported(text) for text in (function, gradient))
            found = audit(loss, slope, dtypes=dtypes, framework=framework, name=function)
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        sys.exit(130)  # as in a shell
    except BaseException as error:  # whatever the function raises, 0 and 1 would be verdicts
        reason = " ".join(str(error).split()) or type(error).__name__
        print(f"{function} cannot be audited: {reason}", file=sys.stderr)
        sys.exit(2)
    try:
        print(json.dumps(found.to_dict(), allow_nan=False) if as_json else found, flush=True)
    except BrokenPipeError:
        _discard_output()
    except OSError as error:
        _discard_output()
        print(f"the audit of {function} cannot be written: {error}", file=sys.stderr)
        sys.exit(2)
    sys.exit(0 if found.passed else 1)


def _discard_output() -> None:
    """Write what is left of the output nowhere: the reader closed the pipe, as `head` does."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _imported(text: str) -> Any:
    """Import the object that is given as module:name or file.py:name."""
    module, colon, name = text.rpartition(":")
    if not (module and colon and name):
        raise ValueError(f"it must be given as module:function or file.py:function, got {text!r}")
    path = Path(module)
    if path.suffix == ".py" and not path.is_file():
        raise ValueError(f"there is no file {module}")
    try:
        with quiet():
            found = _run_file(path) if path.suffix == ".py" else import_module(module)
    except (Exception, SystemExit) as error:
        raise ValueError(f"importing {module} raises {one_line(error)}") from error
    try:
        return reduce(getattr, name.split("."), found)
    except AttributeError:
        raise ValueError(f"the module {module} has no {name!r}") from None


def _run_file(path: Path) -> Any:
    """Import a file, whatever its name; it can import the files beside it."""
    sys.path.insert(0, str(path.resolve().parent))
    spec: Any = spec_from_file_location(f"audited_{path.stem}", path)
    sys.modules[spec.name] = found = module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


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
        "\n   naive: exp overflows; the weights become nan and stay nan.\n"
        "   clipped: the loss stays finite, but its gradient is 0 where p is clipped, so little is learned.\n"
        "   stable: log-softmax is computed from the logits; the same network learns."
    )


def _tracked(items: Iterable[T], total: int, what: str) -> Iterable[T]:
    """Show progress if the output is a terminal: a bar, or a count if rich is not installed."""
    if not sys.stdout.isatty():
        return items
    if find_spec("rich") is None:
        return _counted(items, total, what)
    from rich.progress import track

    return track(items, total=total, description=f"   {what}")


def _counted(items: Iterable[T], total: int, what: str) -> Iterator[T]:
    for number, item in enumerate(items, 1):
        print(f"\r   {what} {number} of {total}", end="" if number < total else "\n", flush=True)
        yield item


def _seed(text: str) -> int:
    if not text.isdecimal() or int(text) > LARGEST_SEED:
        raise argparse.ArgumentTypeError(f"must be an integer from 0 to {LARGEST_SEED}, got {text!r}")
    return int(text)


def _file(text: str, endings: Sequence[str]) -> Path:
    """Return the path; raise before the measurements start if a file cannot be written there."""
    path = Path(text).resolve()
    if path.suffix.lower() not in endings:
        raise argparse.ArgumentTypeError(f"must end in one of {', '.join(endings)}, got {text!r}")
    if path.is_dir() or not path.parent.is_dir():
        raise argparse.ArgumentTypeError(f"must be a file in an existing folder, got {text!r}")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise argparse.ArgumentTypeError(f"must be writable, got {text!r}")
    return path


def _picture(text: str) -> Path:
    return _file(text, FORMATS)


def _page(text: str) -> Path:
    path = _file(text, (".html", ".htm"))
    if not os.access(path.parent, os.W_OK):  # atomic writing needs a temporary file in this folder
        raise argparse.ArgumentTypeError(f"must be in a writable folder, got {text!r}")
    return path


def _folder(text: str) -> Path:
    path = Path(text).resolve()
    if not path.is_dir() or not os.access(path, os.W_OK):
        raise argparse.ArgumentTypeError(f"must be an existing, writable folder, got {text!r}")
    if find_spec("matplotlib") is None:
        raise argparse.ArgumentTypeError("requires matplotlib: pip install matplotlib")
    return path


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the command line and run the command.

    Parameters
    ----------
    arguments : sequence of str, optional
        Arguments to parse; by default those of the command line.

    Raises
    ------
    SystemExit
        If an argument is invalid, the run is interrupted, or a file cannot be written.
    """
    parser = argparse.ArgumentParser(prog="python -m tinyclf", description=__doc__)
    parser.add_argument("--version", action="version", version=f"tinyclf {__version__}")
    parser.set_defaults(run=lambda _: parser.print_help())
    commands = parser.add_subparsers(title="commands")
    command = commands.add_parser("demo", help="classify digits, then compare three losses")
    command.add_argument(
        "--picture",
        type=_picture,
        default="loss-curves.png",
        help="file for the figure of the loss curves (default: %(default)s)",
    )
    command.add_argument(
        "--dtype",
        choices=["float32", "float64"],
        default="float32",
        help="dtype of the networks in the second part (default: %(default)s)",
    )
    command.add_argument(
        "--seed",
        type=_seed,
        default=0,
        help="seed of the splits, the initial weights and the order of the rows (default: 0)",
    )
    command.set_defaults(run=lambda o: demo(o.picture, o.seed, o.dtype))
    command = commands.add_parser("lesson", help="run the measurements and write the lesson as an HTML page")
    command.add_argument(
        "--out",
        type=_page,
        default="lesson.html",
        help="file for the page (default: %(default)s)",
    )
    command.add_argument("--quick", action="store_true", help=f"use {QUICK_SEEDS} seeds instead of {SEEDS}")
    command.add_argument(
        "--pictures", type=_folder, help="also save three figures in this folder (requires matplotlib)"
    )
    command.add_argument("--seed", type=_seed, default=0, help="the first seed (default: 0)")
    command.set_defaults(run=lambda o: lesson(o.out, o.seed, o.quick, o.pictures))
    command = commands.add_parser(
        "audit",
        help="find out whether a cross-entropy is stable",
        description="Find out whether a cross-entropy is stable, and at which logits it begins to fail. The "
        "exit code is 0 if the verdict is stable or exact, 1 if it is another, and 2 if the function cannot "
        "be called or raises an exception.",
    )
    command.add_argument("function", help="the loss, as module:function or file.py:function")
    command.add_argument("--gradient", metavar="FUNCTION", help="its gradient with respect to the logits")
    command.add_argument("--dtype", choices=list(LIMITS), help="dtype of the logits (default: both)")
    command.add_argument(
        "--framework",
        choices=list(FRAMEWORKS),
        default="numpy",
        help="framework whose arrays the function takes (default: %(default)s)",
    )
    command.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    command.set_defaults(
        run=lambda o: audit_function(
            o.function, o.gradient, [o.dtype] if o.dtype else list(LIMITS), o.framework, o.json
        )
    )
    options = parser.parse_args(arguments)
    if hasattr(sys.stdout, "reconfigure"):  # the terminal's encoding may lack characters of a path
        sys.stdout.reconfigure(errors="backslashreplace")
    warnings.filterwarnings("ignore", message="Stochastic Optimizer: Maximum iterations")
    try:
        options.run(options)
    except KeyboardInterrupt:
        sys.exit("\nInterrupted. Files that were not reported as written are unchanged.")
    except BrokenPipeError:  # the page is written
        _discard_output()
    except OSError as error:
        sys.exit(f"A file could not be written: {error}")
