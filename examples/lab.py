"""The lesson as a marimo notebook with losses that students can edit.

Requires `pip install marimo matplotlib`. `marimo edit examples/lab.py` opens the notebook; then run all
cells. `marimo run examples/lab.py` shows it without an editor. `python examples/lab.py` prints its tables.
"""

import marimo

__generated_with = "0.25.2"
app = marimo.App(width="medium", app_title="tinyclf lab")

with app.setup(hide_code=True):
    import base64
    import inspect
    import io

    import marimo as mo
    import numpy as np
    from matplotlib.figure import Figure

    from tinyclf import SGD, Adam, Loss, cross_entropy, cross_entropy_grad
    from tinyclf.nn.schedules import constant, linear
    from tinyclf.teaching import arithmetic, experiments, naive_losses

    # Color, dashes, mark and line width of each loss. The losses differ in more than color.
    LOOK = {
        "naive": ("#B3261E", "-", "X", 8),
        "shifted": ("#7A4E1D", ":", "v", 2),
        "clipped": ("#B86E00", "--", "s", 2),
        "padded": ("#5C6470", "-.", "D", 2),
        "textbook": ("#1F4E9E", "-", "^", 2),
        "stable": ("#00745A", "-", "o", 2),
        "my_loss": ("#6B3FA0", "--", "*", 2),
    }


@app.cell(hide_code=True)
def _():
    row = mo.ui.dropdown(arithmetic.VECTORS, value="overflow", label="Row of logits")
    mo.md(f"""
    # How the loss is computed decides whether a network learns

    Cross-entropy is minus the logarithm of a softmax. Computed as written, it is inf or nan for large logits.
    Clipping, a common workaround, keeps it finite, but the network can stop learning. Computed from the
    logits, the loss has neither problem. In this notebook you measure all three.

    To edit the code, open this notebook with `marimo edit lab.py` and run all cells. Each loss is a cell; the
    cells that depend on it run again automatically. Before each step, **write down what you expect**.

    ## 1. Softmax of six numbers

    Log-sum-exp and softmax of one row in float64: computed as written, and with the largest logit subtracted
    first.

    {row}
    """)
    return (row,)


@app.cell(hide_code=True)
def _(row):
    _v = arithmetic.vector(row.value)
    _columns = ["x", "exp", "naive_softmax", "softmax", "log_of_softmax", "log_softmax"]
    _rows = [{c.replace("_", " "): f"{_v[c][i]:.6g}" for c in _columns} for i in range(len(_v["x"]))]
    _inaccurate, _accurate, _ = arithmetic.offset_losses()
    show(f"""
{table(_rows)}

Log-sum-exp: **{_v["naive_lse"]:.16g}** naive, **{_v["lse"]:.16g}** shifted.

If an exponential is inf, its naive probability is nan and all others are 0. The logarithm of an *accurate*
softmax is still -inf where a probability underflows. Log-softmax, x - lse(x), is finite.

The order of operations matters. Add 10000 to both of the float32 logits [2, -1]; the true class is the
first. Then lse(z) minus the true logit is {_inaccurate:.6f}. With the largest logit subtracted first, the
result is {_accurate:.6f}, which is correct.
""")
    return


@app.cell(hide_code=True)
def _():
    _names = {"exp": "exp(x) finite", "sum": "sum of ten exp(x) finite", "vanish": "exp(-x) not 0"}
    _names["beside_one"] = "log(1 + exp(-x)) not 0"
    _all = {dtype: arithmetic.thresholds(dtype) for dtype in arithmetic.DTYPES}
    _rows = [{"type": d} | {name: f"{x[key]:.2f}" for key, name in _names.items()} for d, x in _all.items()]
    show(f"""
## 2. Where exp overflows and underflows

The largest x for which each condition holds, by type:

{table(_rows)}

A wider type raises the thresholds. It does not remove them.
""")
    return


@app.cell(hide_code=True)
def _():
    mo.md("""
    ## The losses

    Each loss takes logits `z` of shape (n, k) and true classes `t` of shape (n,), and returns the loss of
    each row and its gradient with respect to `z`. `chain` applies the chain rule through the softmax, as
    automatic differentiation does.
    """)
    return


@app.function
def chain(p, dp, t):
    """Gradient of the logits, p_i (dp_i - sum_j p_j dp_j), from dp, the gradient with respect to p_t."""
    D = np.zeros_like(p)
    D[np.arange(len(p)), t] = dp
    return p * (D - np.sum(p * D, axis=1, keepdims=True))


@app.function
def naive(z, t):
    """-log(exp(z_t) / sum_j exp(z_j)), computed as written."""
    E = np.exp(z)
    p = E / E.sum(axis=1, keepdims=True)
    p_t = p[np.arange(len(p)), t]
    return -np.log(p_t), chain(p, -1 / p_t, t)


@app.function
def clipped(z, t, eps=1e-7):
    """-log(clip(p_t, eps, 1 - eps)): where p_t is clipped, the loss is constant and the gradient is 0."""
    E = np.exp(z - z.max(axis=1, keepdims=True))
    p = E / E.sum(axis=1, keepdims=True)
    p_t = p[np.arange(len(p)), t]
    q_t = np.clip(p_t, eps, 1 - eps)
    return -np.log(q_t), chain(p, np.where(q_t == p_t, -1 / q_t, 0), t)


@app.function
def textbook(z, t):
    """log(sum_j exp(d_j)) - d_t with d = z - max z, from the logits; the gradient is p - y."""
    d = z - z.max(axis=1, keepdims=True)
    E = np.exp(d)
    S = E.sum(axis=1, keepdims=True)
    y = np.eye(z.shape[1], dtype=z.dtype)[t]
    return np.log(S[:, 0]) - d[np.arange(len(d)), t], E / S - y


@app.function
def stable(z, t):
    """The loss of tinyclf, log1p(S) - d_t, where S is the sum without the term of the largest logit."""
    return cross_entropy(z, t), cross_entropy_grad(z, t)


@app.cell(hide_code=True)
def _():
    def _from_tinyclf(name):
        def function(z, t):
            dz = np.empty_like(z)
            return naive_losses.LOSSES[name].rows(z, t, dz, None), dz

        return function

    losses = {"naive": naive, "shifted": _from_tinyclf("shifted"), "clipped": clipped}
    losses |= {"padded": _from_tinyclf("padded"), "textbook": textbook, "stable": stable}
    source(chain, naive, clipped, textbook, stable)
    return (losses,)


@app.cell(hide_code=True)
def _():
    first = mo.ui.slider(0, 1000, value=100, include_input=True, label="Logit of class 0")
    second = mo.ui.slider(-20, 20, value=0, show_value=True, label="Logit of class 1")
    label = mo.ui.dropdown([0, 1], 1, label="True class")
    dtype = mo.ui.dropdown(["float16", "float32", "float64"], "float32", label="Type of the logits")
    mo.md(f"""
    ## 3. Subtracting the maximum is half of the fix

    Two more attempts: *shifted* takes the logarithm of a softmax that cannot overflow, because the maximum is
    subtracted first; *padded* is -log(p + eps).

    {mo.hstack([first, second], justify="start", gap=2, wrap=True)}

    {mo.hstack([label, dtype], justify="start", gap=2, wrap=True)}
    """)
    return dtype, first, label, second


@app.cell(hide_code=True)
def _(dtype, first, label, losses, second):
    _z = [first.value, second.value]
    _rows = [{"": name} | compare(loss, _z, label.value, dtype.value) for name, loss in losses.items()]
    _soft = arithmetic.soft_target_losses()
    show(f"""
{dtype.value} logits {_z}, true class {label.value}:

{table(_rows)}

inf is the result of an overflow or of -log 0; nan is the result of inf / inf or 0 * inf. *No gradient* is a
failure without a warning: the gradient is 0, but the exact gradient is not, so the network does not learn
from the row.

A target of 0 does not remove a logarithm of 0, because 0 times infinity is nan. For the float32 logits
[0, -1000] and the soft target [1, 0], the correct loss is 0. The losses return:
{", ".join(f"{name} {_soft[name] + 0:.3g}" for name in losses)}.
""")
    return


@app.cell(hide_code=True)
def _(dtype, first, losses):
    _x = np.linspace(0, 1.3 * arithmetic.thresholds(dtype.value)["exp"], 400)
    _z = np.stack([_x, 0 * _x], axis=1).astype(dtype.value)
    _figure = Figure(figsize=(10, 3.8), layout="constrained")
    _axes = _figure.subplots(1, 2)
    _titles = ("loss", "minus the gradient at the true logit")
    _text = []
    for _name, _at, _side, _up in (
        ("naive", 250, "right", 7),
        ("clipped", 250, "center", 7),
        ("stable", 380, "right", 7),
    ):
        with np.errstate(all="ignore"):
            _values, _gradients = losses[_name](_z, np.ones(len(_z), int))
        for _ax, _what, _y in zip(_axes, _titles, (_values, -_gradients[:, 1]), strict=True):
            _n = line(_ax, _x, _y, _name)
            _end = f"{_name}, not finite beyond {_x[_n - 1]:.0f}" if _n < len(_x) else _name
            _text.append(f"{_what} at {_x[_n - 1]:.0f}: {_y[_n - 1] + 0:.3g} ({_end})")
            _spot = (_x[_at], _y[_at])
            _style = {"color": LOOK[_name][0], "fontweight": "bold", "ha": _side}
            _ax.annotate(_end, _spot, xytext=(0, _up), textcoords="offset points", **_style)
    for _ax, _what in zip(_axes, _titles, strict=True):
        if first.value <= _x[-1]:
            _ax.axvline(first.value, color="#555555", linewidth=0.8)
        _ax.set(xlabel=f"x, {dtype.value}", ylabel=_what, xlim=(0, _x[-1]))
        _ax.spines[["top", "right"]].set_visible(False)
    mo.md(f"""
    ## 4. Loss and gradient

    The logits are [x, 0] and the true class is 1, so a larger x means a more confident mistake. Minus the
    gradient at the true logit should be 1 where the network is confident and wrong. The vertical line is at
    the logit of class 0 that you set in step 3.

    {picture(_figure, "; ".join(_text))}
    """)
    return


@app.class_definition
class Rowwise(Loss):
    """A tinyclf loss from a function of logits and true classes."""

    def __init__(self, function):
        self.function = function

    def rows(self, z, y, dz, t):
        values, dz[...] = self.function(z, y)
        return values


@app.function
def fit(name, function, experiment, seed, dtype):
    """Train the network of an experiment with a loss function; return the outcome."""
    return experiment.train(name, seed, dtype, Rowwise(function))[1]


@app.cell(hide_code=True)
def _(losses):
    presets = {
        "5. Unscaled pixels": experiments.UNSCALED,
        "6. A failure without a warning": experiments.QUIET,
        "8. What a stable loss does not fix": experiments.STEEP,
        "9. The fix": experiments.SCALED,
    }
    preset = mo.ui.dropdown(presets, next(iter(presets)), label="Setting")
    chosen = mo.ui.dictionary(
        {name: mo.ui.checkbox(name in ("naive", "clipped", "stable"), label=name) for name in losses}
    )
    seed = mo.ui.slider(0, 19, value=0, show_value=True, label="Seed")
    precision = mo.ui.dropdown(["float32", "float64"], "float32", label="Type of the weights")
    mo.md(f"""
    ## 5, 6, 8 and 9. Train a network

    A network with one hidden layer learns digits of 8 x 8 pixels. All losses use the same split, initial
    weights and order of the rows. Training takes a fraction of a second, and is repeated after every change.

    - **5.** The pixels of an 8-bit image, not scaled. Which loss becomes nan? Which one stays finite although
      the network hardly learns? Compare its reported loss with its true loss, and look at the rows without a
      gradient.
    - **6.** Smaller pixels and logits: nothing overflows. Try several seeds. Does a network forget whole
      digits, and does anything show it?
    - **8.** Stochastic gradient descent with a large learning rate. The stable loss is accurate, but training
      can fail. Clipped rows do not contribute to the step, so clipping shortens the steps by accident, and
      the result is sometimes better.
    - **9.** Pixels from 0 to 1. Which differences remain? Scale the inputs, **and** use the stable loss.

    {preset}

    {mo.hstack(["Losses", *chosen.values()], justify="start", gap=1.5, wrap=True)}

    {mo.hstack([seed, precision], justify="start", gap=2, wrap=True)}
    """)
    return chosen, precision, preset, seed


@app.cell(hide_code=True)
def _(preset):
    _e = preset.value
    _pixels = {"0 to 1": 1.0, "0 to 16": 16.0, "0 to 255": 255.0}
    _rates = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0]
    knobs = mo.md("""
    {white} {centered}

    {optimizer} {rate} {decay}

    {hidden} {batch} {epochs}
    """).batch(
        white=mo.ui.dropdown(_pixels, f"0 to {_e.white:g}", label="Pixels"),
        centered=mo.ui.checkbox(_e.centered, label="subtract the mean image"),
        optimizer=mo.ui.dropdown({"SGD": SGD, "Adam": Adam}, type(_e.optimizer).__name__, label="Optimizer"),
        rate=mo.ui.dropdown(_rates, _e.optimizer.learning_rate, label="Learning rate"),
        decay=mo.ui.checkbox(_e.schedule is linear, label="falling to 0"),
        hidden=mo.ui.dropdown([16, 32, 64, 128, 256], _e.hidden, label="Hidden units"),
        batch=mo.ui.dropdown([16, 32, 64, 128], _e.batch_size, label="Batch size"),
        epochs=mo.ui.slider(1, 60, value=_e.epochs, show_value=True, debounce=True, label="Epochs"),
    )
    knobs  # noqa: B018
    return (knobs,)


@app.cell(hide_code=True)
def _(chosen, knobs, losses, precision, seed):
    _k = knobs.value
    experiment = experiments.Experiment(
        white=_k["white"],
        centered=_k["centered"],
        hidden=_k["hidden"],
        optimizer=_k["optimizer"](_k["rate"]),
        batch_size=_k["batch"],
        schedule=linear if _k["decay"] else constant,
        epochs=_k["epochs"],
    )
    how = (experiment, seed.value, precision.value)
    names = [name for name in losses if chosen.value[name]] or ["stable"]
    outcomes = [fit(name, losses[name], *how) for name in names]
    _table = table([report(outcome) for outcome in outcomes])
    mo.vstack([show(f"{experiment}; {how[2]}, seed {how[1]}:\n\n{_table}"), draw(outcomes)])
    return experiment, how, names, outcomes


@app.cell(hide_code=True)
def _():
    ten = mo.ui.run_button(label="Train with ten seeds")
    mo.md(f"""
    The *reported loss* is the mean over the batches of the last epoch, by the loss that is trained with. The
    *true loss* is the exact cross-entropy of the trained network on the training rows. A row counts as
    *wrong, no gradient* if it is misclassified and its gradient is 0. A digit is *forgotten* if less than
    10% of its test images are classified correctly.

    *Clipped* applies the chain rule through the clip, as automatic differentiation does. Code that uses the
    gradient p - y and clips only the reported loss trains well, but its reported loss has an upper limit.

    A single seed is not conclusive. Each of ten seeds has its own split, initial weights and order of rows:

    {ten}
    """)
    return (ten,)


@app.cell(hide_code=True)
def _(experiment, losses, names, precision, ten):
    mo.stop(not ten.value)
    _rows = []
    for _name in mo.status.progress_bar(names):
        _all = [fit(_name, losses[_name], experiment, seed, precision.value) for seed in range(10)]
        _broken = sum(outcome.first_nonfinite_step is not None for outcome in _all)
        _right = sorted(outcome.accuracy for outcome in _all if np.isfinite(outcome.accuracy))
        _rows.append(
            {
                "loss": _name,
                "not finite": f"{_broken} of {len(_all)}",
                "mean accuracy": f"{np.mean(_right):.3f}" if _right else "none",
                "each": " ".join(f"{accuracy:.3f}" for accuracy in _right),
            }
        )
    show(table(_rows))
    return


@app.cell(hide_code=True)
def _():
    gap = mo.ui.slider(0, 100, value=20, label="Logit of the true class", show_value=True)
    mo.md(f"""
    ## 7. Tiny losses

    Now the network is confident and right. For logits [x, 0] and true class 0, the loss is log(1 + r) with
    r = exp(-x). For a tiny r, the sum 1 + r is rounded to 1, and *textbook* returns 0. *Stable* computes
    log1p(r), and the gradient at the true logit as minus the sum of the other probabilities.

    {gap}
    """)
    return (gap,)


@app.cell(hide_code=True)
def _(dtype, gap, how, losses):
    _rows = [{"": name} | compare(loss, [gap.value, 0], 0, dtype.value) for name, loss in losses.items()]
    _all = [fit(name, losses[name], *how) for name in ("textbook", "stable")]
    _accuracies = [f"{outcome.accuracy:.4f} with {outcome.name}" for outcome in _all]
    show(f"""
{dtype.value} logits {[gap.value, 0]}, true class 0:

{table(_rows)}

Does this improve the network trained above? Its test accuracy: {", ".join(_accuracies)}. Try other seeds.
The value of a tiny loss matters where it is used: in an average, a stopping rule or a comparison.
""")
    return


@app.cell(hide_code=True)
def _():
    mo.md("""
    ## Your own loss

    `my_loss` starts as the naive loss with the gradient p - y. Edit it until it is right on every row. The
    last row is the hardest.
    """)
    return


@app.function
def my_loss(z, t):
    """Loss and gradient of each row: z are logits (n, k), t true classes (n,)."""
    E = np.exp(z)
    p = E / E.sum(axis=1, keepdims=True)
    y = np.eye(z.shape[1], dtype=z.dtype)[t]
    return -np.log(p[np.arange(len(p)), t]), p - y


@app.cell(hide_code=True)
def _(dtype):
    _hard = [([2, 1], 0), ([20, 0], 1), ([100, 0], 1), ([1000, 0], 1), ([-1000, -1001], 0), ([20, 0], 0)]
    _rows = []
    for _z, _t in _hard:
        _should = compare(stable, _z, _t, dtype.value)
        _rows.append({"logits": _z, "true": _t} | compare(my_loss, _z, _t, dtype.value))
        _rows[-1] |= {"exact loss": _should["loss"], "exact gradient": _should["gradient"]}
    _right = sum("right" in row["verdict"] for row in _rows)
    _text = f"`my_loss` is right on {_right} of {len(_rows)} {dtype.value} rows:"
    mo.vstack([source(my_loss), show(f"{_text}\n\n{table(_rows)}")])
    return


@app.cell(hide_code=True)
def _(how):
    _all = [fit("my_loss", my_loss, *how), fit("stable", stable, *how)]
    _table = table([report(outcome) for outcome in _all])
    mo.vstack([show(f"The network trained with the settings above and `my_loss`:\n\n{_table}"), draw(_all)])
    return


@app.cell(hide_code=True)
def _():
    mo.md("""
    ## Helper functions

    They compare losses, draw figures and print tables.
    """) if mo.app_meta().mode == "edit" else None
    return


@app.function(hide_code=True)
def at(function, logits, label, dtype):
    """Return loss and gradient of one row."""
    with np.errstate(all="ignore"):
        values, gradients = function(np.array([logits], dtype), np.array([label]))
    return float(values[0]) + 0, gradients[0] + 0  # adding 0 turns -0.0 into 0.0


@app.function(hide_code=True)
def compare(function, logits, label, dtype):
    """Return loss, gradient and a verdict (from comparison with `stable`) as cells of a table."""
    (value, gradient), (true_value, true_gradient) = (at(f, logits, label, dtype) for f in (function, stable))
    near = max(1e-3, 8 * np.finfo(dtype).eps)
    if not (np.isfinite(value) and np.isfinite(gradient).all()):
        verdict = "✗ not finite"
    elif true_gradient.any() and not gradient.any():
        verdict = "○ no gradient"
    elif np.isclose(value, true_value, near, 0) and np.allclose(gradient, true_gradient, near, 0):
        verdict = "✓ right"
    else:
        verdict = "≠ off"
    cells = ", ".join(f"{entry:.4g}" for entry in gradient)
    return {"loss": f"{value:.6g}", "gradient": f"[{cells}]", "verdict": verdict}


@app.function(hide_code=True)
def result(outcome):
    """Describe an outcome in a few words."""
    if outcome.first_nonfinite_step:
        return f"not finite from step {outcome.first_nonfinite_step}"
    return f"{outcome.accuracy:.0%} test accuracy"


@app.function(hide_code=True)
def report(outcome):
    """Return an outcome as a row of a table."""
    forgotten = " ".join(str(digit) for digit in range(10) if not outcome.recall[digit] >= 0.1)
    return {
        "loss": outcome.name,
        "not finite from": f"step {outcome.first_nonfinite_step}" if outcome.first_nonfinite_step else "-",
        "reported loss": f"{outcome.curve[-1]:.3g}",
        "true loss": f"{outcome.true_loss:.3g}",
        "test accuracy": f"{outcome.accuracy:.3f}",
        "wrong, no gradient (epoch 1)": f"{outcome.no_gradient[0]:.0%}",
        "forgotten digits": forgotten or "none",
    }


@app.function(hide_code=True)
def draw(outcomes):
    """Draw the reported loss of each epoch and the recall of each digit."""
    figure = Figure(figsize=(10, 1.4 + 1.1 * max(2, len(outcomes))), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=(1.3, 1))
    ax = left.subplots()
    curves = np.array([o.curve for o in outcomes])
    top = 1.1 * curves.max(initial=1e-9, where=np.isfinite(curves))
    low, high, step = 0.0, 1.0, 0.32 / figure.get_figheight()
    for i in np.argsort([curve[np.isfinite(curve)][-1:].sum() for curve in curves]):
        o, curve = outcomes[i], curves[i]
        n = line(ax, np.arange(1, curve.size + 1), curve, o.name)
        style = {"color": LOOK[o.name][0], "fontweight": "bold", "va": "center", "transform": ax.transAxes}
        if n:  # label the end of the curve, above earlier labels
            low = max(low, curve[n - 1] / top)
            ax.text(1.02, low, o.name, **style)
            low += step
        else:  # never finite: draw the mark at the top left
            ax.plot(
                0.03,
                high,
                LOOK[o.name][2],
                color=LOOK[o.name][0],
                markersize=11,
                clip_on=False,
                transform=ax.transAxes,
            )
            ax.text(0.06, high, f"{o.name}: {result(o)}", **style)
            high += step
    ax.set(xlabel="epoch", ylabel="reported training loss", xlim=(0, curves.shape[1] + 0.5), ylim=(0, top))
    ax.spines[["top", "right"]].set_visible(False)
    rows = right.subplots(len(outcomes), squeeze=False, sharex=True)[:, 0]
    for ax, o in zip(rows, outcomes, strict=True):
        bars = ax.bar(range(10), np.nan_to_num(o.recall), color=LOOK[o.name][0], width=0.7)
        ax.bar_label(bars, [f"{100 * recall:.0f}" for recall in o.recall], fontsize=8)
        ax.set_title(f"{o.name}: {result(o)}", loc="left", fontsize=10, color=LOOK[o.name][0])
        ax.set(ylim=(0, 1.3), yticks=[], xticks=range(10))
        ax.spines[["top", "right", "left"]].set_visible(False)
    rows[-1].set_xlabel("digit; above each bar: its recall on the test images, in %")
    return picture(figure, "; ".join(f"{o.name}: {result(o)}" for o in outcomes))


@app.function(hide_code=True)
def line(ax, x, y, name):
    """Draw a curve up to its last finite value, with the mark of the loss at its end."""
    color, dashes, mark, width = LOOK[name]
    n = np.count_nonzero(np.isfinite(y))
    ax.plot(x[:n], y[:n], dashes, color=color, linewidth=width, alpha=0.3 if width > 5 else 1)
    ax.plot(x[n - 1 : n], y[n - 1 : n], mark, color=color, markersize=9, clip_on=False)
    return n


@app.function(hide_code=True)
def picture(figure, text):
    """Return a figure as an image with an alternative text."""
    figure.savefig(file := io.BytesIO(), format="svg")
    data = base64.b64encode(file.getvalue()).decode()
    return mo.Html(f'<img src="data:image/svg+xml;base64,{data}" alt="{text}" style="width: 100%">')


@app.function(hide_code=True)
def table(rows):
    """Format a list of dicts as a Markdown table that is also aligned as plain text."""
    cells = [list(rows[0]), *([str(cell) for cell in row.values()] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    cells.insert(1, [":" + "-" * (widths[0] - 1), *("-" * width for width in widths[1:])])
    return "\n".join(f"| {' | '.join(map(str.ljust, row, widths))} |" for row in cells)


@app.function(hide_code=True)
def show(text):
    """Return measurements as Markdown, and print them if the notebook runs as a script."""
    if mo.app_meta().mode == "script":
        print(text.strip(), end="\n\n")
    return mo.md(text)


@app.function(hide_code=True)
def source(*functions):
    """Return the code of functions as Markdown if the notebook runs as an app, which hides the cells."""
    if mo.app_meta().mode != "run":
        return mo.md("")
    return mo.md("\n".join(["```python", *map(inspect.getsource, functions), "```"]))


if __name__ == "__main__":
    app.run()
