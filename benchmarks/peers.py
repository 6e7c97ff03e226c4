"""The same training by different libraries, for ``fit.py`` and ``step_profile.py``.

Each contender takes a `Task` and returns a function that trains once, from the initial weights and with the
order of rows of the task, and returns the training loss of the last epoch. Preparation such as compiling is
done before.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from sklearn.datasets import load_digits, make_classification
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier, _multilayer_perceptron

from tinyclf import SKLEARN_DEFAULTS, TinyClassifier, use_fast
from tinyclf.nn.objective import Objective

Run = Callable[[], float]
RATE, BETA_1, BETA_2, EPSILON = 1e-3, 0.9, 0.999, 1e-8


@dataclass(frozen=True)
class Task:
    """A training: data, network, budget, and the initial weights and order of rows of all contenders."""

    name: str
    X: np.ndarray  # float32
    y: np.ndarray
    hidden: tuple[int, ...]
    batch_size: int
    epochs: int
    alpha: float = 0.0
    activation: str = "relu"
    solver: str = "adam"
    dropout: float = 0.0
    coefs: tuple[np.ndarray, ...] = ()
    intercepts: tuple[np.ndarray, ...] = ()
    order: np.ndarray | None = None  # (epochs, rows)

    @property
    def widths(self) -> list[int]:
        return [self.X.shape[1], *self.hidden, int(self.y.max()) + 1]

    def batches(self, epoch: int) -> list[np.ndarray]:
        """Return the indices of the rows of each batch; the last batch may be shorter."""
        return np.split(self.order[epoch], range(self.batch_size, len(self.X), self.batch_size))

    @property
    def parameters(self) -> dict:
        """Parameters of the estimators."""
        return {
            "hidden_layer_sizes": self.hidden,
            "activation": self.activation,
            "solver": self.solver,
            "alpha": self.alpha,
            "batch_size": self.batch_size,
            "learning_rate_init": RATE,
            "max_iter": self.epochs,
            "n_iter_no_change": self.epochs + 1,
            "early_stopping": False,
            "random_state": 0,
        }


def made(n: int, n_features: int, n_classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Return random rows in float32 with a standard deviation of 1, and labels that depend on them."""
    X, y = make_classification(
        n,
        n_features,
        n_informative=20,
        n_redundant=0,
        n_classes=n_classes,
        n_clusters_per_class=1,
        random_state=0,
    )
    return (X / X.std()).astype(np.float32), y


def tasks(alpha: float) -> list[Task]:
    """Return the workloads: two of digits, two of many pixels, one of wide layers, one of many rows."""
    digits, digit = load_digits(return_X_y=True)
    digits = (digits / 16).astype(np.float32)
    images = made(12_000, 784, 10)
    return [
        Task("digits, batch 200", digits, digit, (100,), 200, 20, alpha),
        Task("digits, batch 32", digits, digit, (100,), 32, 10, alpha),
        Task("784-100", *images, (100,), 200, 1, alpha),
        Task("784-256-128", *images, (256, 128), 200, 1, alpha),
        Task("2000-512-512", *made(4_000, 2_000, 10), (512, 512), 200, 1, alpha),
        Task("200,000 x 30", *made(200_000, 30, 5), (100,), 256, 1, alpha),
    ]


def equalized(task: Task) -> Task:
    """Return the task with the initial weights and the order of rows of TinyClassifier."""
    initial, batches = [], []
    original = Objective.value_and_grad

    def recorded(self, batch):
        if not initial:
            initial.append(self.network.copy())
        batches.append(batch.copy())
        return original(self, batch)

    Objective.value_and_grad = recorded
    try:
        tinyclf(task)()
    finally:
        Objective.value_and_grad = original
    dense = [p for p in initial[0].parameters if hasattr(p, "W")]
    return replace(
        task,
        coefs=tuple(p.W for p in dense),
        intercepts=tuple(p.b for p in dense),
        order=np.concatenate(batches).reshape(task.epochs, len(task.X)),
    )


def quietly(fit: Callable, X: np.ndarray, y: np.ndarray):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # too few epochs to converge, on purpose
        return fit(X, y)


def tinyclf(task: Task, dtype: str = "float32", fast: bool = False) -> Run:
    X = task.X.astype(dtype)
    equal = {**SKLEARN_DEFAULTS, "dtype": "float32", **task.parameters}
    model = TinyClassifier(**{**equal, "tol": 0.0, "dropout": task.dropout})

    def run() -> float:
        use_fast(fast)
        return quietly(model.fit, X, task.y).loss_

    return run


def mlp(task: Task, dtype: str = "float32") -> Run:
    class Equalized(MLPClassifier):
        def _init_coef(self, fan_in, fan_out, dtype):
            i = len(self.coefs_)
            return task.coefs[i].astype(dtype), task.intercepts[i].astype(dtype)

    X = task.X.astype(dtype)
    model = Equalized(**task.parameters, tol=0.0)

    def run() -> float:
        orders, original = iter(task.order), _multilayer_perceptron.shuffle
        _multilayer_perceptron.shuffle = lambda rows, random_state: next(orders)
        try:
            return quietly(model.fit, X, task.y).loss_
        finally:
            _multilayer_perceptron.shuffle = original

    return run


def products(task: Task) -> Run:
    """Compute only the matrix products of the training: forward, dW and dx, into preallocated buffers."""
    matmul, sizes = np.matmul, [len(batch) for batch in task.batches(0)]
    widths, n_layers = task.widths, len(task.hidden) + 1
    widths[-1] = task.coefs[-1].shape[1]  # one logit for two classes
    W, dW = task.coefs, [np.empty_like(w) for w in task.coefs]
    x = [np.ones((task.batch_size, width), np.float32) for width in widths]
    dx = [np.ones_like(a) for a in x]
    dx[-1][0, 0] = 1e-30  # an arbitrary small value; no product overflows
    slices = {n: ([a[:n] for a in x], [a[:n] for a in dx]) for n in sizes}

    def run() -> float:
        for _ in range(task.epochs):
            for n in sizes:
                x, dx = slices[n]
                for i in range(n_layers):
                    matmul(x[i], W[i], out=x[i + 1])
                for i in range(n_layers - 1, -1, -1):
                    matmul(x[i].T, dx[i + 1], out=dW[i])
                    if i:
                        matmul(dx[i + 1], W[i].T, out=dx[i])
        return float("nan")

    return run


def torch_layers(task: Task) -> list:
    """Return torch layers with the initial weights of the task."""
    import torch

    layers = []
    for W, b in zip(task.coefs, task.intercepts, strict=True):
        linear = torch.nn.Linear(*W.shape)
        linear.weight.data = torch.tensor(W.T.copy())
        linear.bias.data = torch.tensor(b)
        layers += [linear, torch.nn.ReLU()]
    return layers[:-1]


def torch_eager(task: Task, fused: bool) -> Run:
    import torch

    X, y = torch.tensor(task.X), torch.tensor(task.y)
    criterion = torch.nn.CrossEntropyLoss()

    def run() -> float:
        network = torch.nn.Sequential(*torch_layers(task))
        optimizer = torch.optim.Adam(network.parameters(), RATE, (BETA_1, BETA_2), EPSILON, fused=fused)
        weights = [layer.weight for layer in network[::2]]
        for epoch in range(task.epochs):
            total = torch.zeros(())
            for batch in torch.tensor(task.order[epoch]).split(task.batch_size):
                loss = criterion(network(X[batch]), y[batch])
                if task.alpha:
                    loss = loss + 0.5 * task.alpha / len(batch) * sum((w * w).sum() for w in weights)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                total += loss.detach() * len(batch)
        return float(total) / len(X)

    return run


def skorch(task: Task) -> Run:
    import torch
    from skorch import NeuralNetClassifier

    class Ordered(torch.utils.data.Sampler):
        def __init__(self, data_source):
            self.epoch = 0

        def __len__(self):
            return len(task.X)

        def __iter__(self):
            self.epoch += 1
            return iter(task.order[self.epoch - 1].tolist())

    class Module(torch.nn.Sequential):
        def __init__(self):
            super().__init__(*torch_layers(task))

    def run() -> float:
        model = NeuralNetClassifier(
            Module,
            criterion=torch.nn.CrossEntropyLoss,
            optimizer=torch.optim.Adam,
            optimizer__fused=True,
            lr=RATE,
            batch_size=task.batch_size,
            max_epochs=task.epochs,
            train_split=None,
            iterator_train__sampler=Ordered(None),
            verbose=0,
        )
        return model.fit(task.X, task.y).history[-1, "train_loss"]

    return run


def jax_jit(task: Task) -> Run:
    import jax
    import jax.numpy as jnp

    X, y = jnp.asarray(task.X), jnp.asarray(task.y)

    def objective(parameters, rows):
        x = X[rows]
        *hidden, last = parameters
        for W, b in hidden:
            x = jax.nn.relu(x @ W + b)
        z = x @ last[0] + last[1]
        losses = -jnp.take_along_axis(jax.nn.log_softmax(z), y[rows][:, None], axis=1)
        penalty = sum((W * W).sum() for W, _ in parameters) if task.alpha else 0.0
        return losses.mean() + 0.5 * task.alpha / len(rows) * penalty

    def step(carry, rows):
        parameters, m, v, t = carry
        loss, g = jax.value_and_grad(objective)(parameters, rows)
        t = t + 1
        m = jax.tree.map(lambda m, g: BETA_1 * m + (1 - BETA_1) * g, m, g)
        v = jax.tree.map(lambda v, g: BETA_2 * v + (1 - BETA_2) * g * g, v, g)
        rate = RATE * jnp.sqrt(1 - BETA_2**t) / (1 - BETA_1**t)
        parameters = jax.tree.map(lambda p, m, v: p - rate * m / (jnp.sqrt(v) + EPSILON), parameters, m, v)
        return (parameters, m, v, t), loss * len(rows)

    n_full = len(task.X) // task.batch_size * task.batch_size

    @jax.jit
    def epoch(carry, order):
        carry, losses = jax.lax.scan(step, carry, order[:n_full].reshape(-1, task.batch_size))
        total = losses.sum()
        if n_full < len(task.X):
            carry, last = step(carry, order[n_full:])
            total += last
        return carry, total / len(task.X)

    def run() -> float:
        parameters = [
            (jnp.asarray(W), jnp.asarray(b)) for W, b in zip(task.coefs, task.intercepts, strict=True)
        ]
        zeros = jax.tree.map(jnp.zeros_like, parameters)
        carry = (parameters, zeros, zeros, jnp.zeros((), jnp.float32))
        for order in task.order:
            carry, loss = epoch(carry, jnp.asarray(order))
        return float(loss)

    run()  # compiles
    return run
