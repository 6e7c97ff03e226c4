"""Compare the time of a fit: ``python benchmarks/fit.py [--cores all] [--busy] [--picture FILE]``.

The script compares TinyClassifier, with NumPy alone and with the extra [fast], with scikit-learn's
MLPClassifier, torch (eager, with the default and the fused Adam), skorch, a jit-compiled jax epoch, and the
matrix products alone, which are a lower bound. All train the same network from the same weights, on the same
rows in the same order, by Adam in float32. The losses of the last epoch are printed to show that they agree.
The libraries run in turn, and each time is the minimum of several runs, without compilation. A library that
is not installed is named and skipped.

With ``--cores all`` the process is not pinned, and each library uses its own number of threads. With
``--busy`` another process keeps one core busy. ``--alpha`` is the strength of the L2 penalty, which skorch
ignores. ``--variants`` instead compares other networks on digits with their own matrix products.
"""

import argparse
import json
import platform
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from timing import pin_to_one_core, side_by_side

TINY, FAST = "tinyclf", "tinyclf [fast]"
PRODUCTS = "matrix products"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Compare the time of a fit.")
    parser.add_argument("--cores", choices=["one", "all"], default="one")
    parser.add_argument("--busy", action="store_true", help="run another process that keeps one core busy")
    parser.add_argument("--alpha", type=float, default=0.0, help="strength of the L2 penalty")
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--only", nargs="*", default=[], help="parts of names of workloads and libraries")
    parser.add_argument("--variants", action="store_true", help="compare other networks on digits")
    parser.add_argument("--json", type=Path, help="file for the results")
    parser.add_argument("--picture", type=Path, help="file for a picture of the results")
    return parser.parse_args()


def contenders() -> dict:
    """Return the installed contenders: by name, a function from a task to a run of it."""
    import peers

    has = {name: find_spec(name) is not None for name in ("numba", "torch", "skorch", "jax")}
    made = {
        PRODUCTS: peers.products,
        TINY: peers.tinyclf,
        f"{TINY}, float64 input": lambda task: peers.tinyclf(task, "float64"),
        "MLPClassifier": peers.mlp,
        "MLPClassifier, float64 input": lambda task: peers.mlp(task, "float64"),
    }
    if has["numba"]:
        made[FAST] = lambda task: peers.tinyclf(task, fast=True)
        made[f"{FAST}, float64 input"] = lambda task: peers.tinyclf(task, "float64", fast=True)
    if has["torch"]:
        made["torch, Adam"] = lambda task: peers.torch_eager(task, fused=False)
        made["torch, fused Adam"] = lambda task: peers.torch_eager(task, fused=True)
    if has["torch"] and has["skorch"]:
        made["skorch"] = peers.skorch
    if has["jax"]:
        made["jax, jit"] = peers.jax_jit
    for name in (name for name, found in has.items() if not found):
        print(f"skipped, not installed: {name}")
    return made


def machine() -> dict:
    """Return the properties of the machine and the libraries on which the times depend."""
    import numpy as np
    from threadpoolctl import threadpool_info

    model = platform.processor()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = cpuinfo.read_text().splitlines()
        fields = dict(line.split("\t", 1) for line in lines if "\t" in line)
        model = " ".join(
            fields[k].lstrip("\t: ") for k in ("model name", "cpu family", "model") if k in fields
        )
    blas = next(found for found in threadpool_info() if found["user_api"] == "blas")
    return {
        "cpu": model,
        "blas": f"{blas['internal_api']} {blas['version']}, {blas.get('architecture')} kernels",
        "blas threads": blas["num_threads"],
        "numpy": np.__version__,
        "python": platform.python_version(),
    }


def measured(task, makers: dict, repeats: int) -> dict[str, dict[str, float]]:
    """Return seconds and final loss of each contender; one that fails is named and skipped."""
    runs, losses = {}, {}
    for name, make in makers.items():
        try:
            runs[name] = make(task)
            losses[name] = runs[name]()
        except Exception as error:
            runs.pop(name, None)
            print(f"skipped, failed: {name}: {error!r}")
    seconds = side_by_side(runs, repeats)
    return {name: {"seconds": seconds[name], "loss": losses[name]} for name in runs}


def show(results: dict[str, dict[str, dict[str, float]]]) -> None:
    """Print times, losses and ratios of times."""
    print(f"\n{'milliseconds':32}", *(f"{name:>18}" for name in results))
    names = list(dict.fromkeys(name for row in results.values() for name in row))
    for name in names:
        cells = [1e3 * row[name]["seconds"] if name in row else float("nan") for row in results.values()]
        print(f"{name:32}", *(f"{cell:18.1f}" for cell in cells))
    print(f"\n{'loss of the last epoch':32}")
    for name in names:
        if name != PRODUCTS:
            cells = [row[name]["loss"] if name in row else float("nan") for row in results.values()]
            print(f"{name:32}", *(f"{cell:18.5f}" for cell in cells))
    for ours in (name for name in (TINY, FAST) if name in names):
        print(f"\n{ours}: times faster than")
        for name in names:
            if name.startswith("tinyclf") or name == PRODUCTS:
                continue
            mine = f"{ours}, float64 input" if "float64" in name else ours
            cells = [
                row[name]["seconds"] / row[mine]["seconds"] if {name, mine} <= set(row) else float("nan")
                for row in results.values()
            ]
            print(f"{name:32}", *(f"{cell:18.2f}" for cell in cells))
        cells = [row[ours]["seconds"] / row[PRODUCTS]["seconds"] for row in results.values()]
        print(f"{'times the matrix products':32}", *(f"{cell:18.2f}" for cell in cells))


def draw(results: dict, where: str, path: Path) -> None:
    """Draw bars: the time of each contender as a multiple of that of the matrix products."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot as plt

    colors = {
        FAST: "#08519c",
        TINY: "#3182bd",
        "jax, jit": "#fdae6b",
        "torch, fused Adam": "#e6550d",
        "torch, Adam": "#a63603",
        "MLPClassifier": "#969696",
        "MLPClassifier, float64 input": "#525252",
    }
    figure, axes = plt.subplots(
        1, len(results), figsize=(2.6 * len(results), 3.4), sharey=True, layout="constrained"
    )
    names = [name for name in colors if all(name in row for row in results.values())]
    for ax, (title, row) in zip(axes, results.items(), strict=True):
        times = [row[name]["seconds"] / row[PRODUCTS]["seconds"] for name in names]
        bars = ax.barh(names, times, color=[colors[name] for name in names])
        ax.bar_label(bars, fmt="%.1f", padding=2, fontsize=8)
        ax.axvline(1.0, color="black", linewidth=1)
        ax.set_title(title, fontsize=9)
        ax.set_xlim(0, 1.2 * max(times))
        ax.tick_params(labelsize=8)
        ax.spines[["top", "right"]].set_visible(False)
    axes[0].invert_yaxis()
    figure.supxlabel(f"time of a fit, as a multiple of its matrix products alone ({where})", fontsize=9)
    figure.savefig(path, dpi=110)


def variants(repeats: int) -> None:
    """Compare other networks on digits with their own matrix products."""
    from dataclasses import replace

    import numpy as np
    import peers

    print(
        f"{'times the matrix products':22}",
        *(f"{name:>24}" for name in (TINY, FAST)),
        "  (relative to the first)",
    )
    for base in peers.tasks(alpha=0.0)[:2]:
        labels = np.random.default_rng(0).permutation(len(base.X)) % 100
        changes = {
            "relu, adam": {},
            "tanh": {"activation": "tanh"},
            "three hidden layers": {"hidden": (100, 100, 100)},
            "dropout": {"dropout": 0.5},
            "sgd": {"solver": "sgd"},
            "100 classes": {"y": labels},
            "two classes": {"y": (base.y > 4).astype(int)},
        }
        print(base.name)
        first = {}
        for name, change in changes.items():
            task = peers.equalized(replace(base, **change))
            runs = {PRODUCTS: peers.products(task), TINY: peers.tinyclf(task)}
            if find_spec("numba"):
                runs[FAST] = peers.tinyclf(task, fast=True)
            for run in runs.values():
                run()
            seconds = side_by_side(runs, repeats)
            cells = []
            for ours in (TINY, FAST):
                ratio = seconds.get(ours, float("nan")) / seconds[PRODUCTS]
                cells.append(f"{ratio:16.2f} ({ratio / first.setdefault(ours, ratio):.2f})")
            print(f"  {name:20}", *cells, flush=True)


def main() -> None:
    options = arguments()
    if options.cores == "one":
        pin_to_one_core()
    about = machine()
    about["cores"] = options.cores + (", one of them busy" if options.busy else "")
    print(", ".join(f"{name}: {value}" for name, value in about.items()))
    other = subprocess.Popen([sys.executable, "-c", "while True: pass"]) if options.busy else None
    try:
        if options.variants:
            variants(options.repeats)
            return
        import peers

        makers = contenders()
        wanted = [part for part in options.only if any(part in name for name in makers)]
        makers = {
            n: m for n, m in makers.items() if n == PRODUCTS or not wanted or any(p in n for p in wanted)
        }
        results = {}
        for task in peers.tasks(options.alpha):
            parts = [part for part in options.only if part not in wanted]
            if not parts or any(part in task.name for part in parts):
                results[task.name] = measured(peers.equalized(task), makers, options.repeats)
                print(f"done: {task.name}", flush=True)
    finally:
        if other is not None:
            other.kill()
    show(results)
    if options.json:
        options.json.write_text(json.dumps({**about, "results": results}, indent=1) + "\n")
    if options.picture:
        draw(results, f"{options.cores} core{'s' if options.cores == 'all' else ''}", options.picture)


if __name__ == "__main__":
    main()
