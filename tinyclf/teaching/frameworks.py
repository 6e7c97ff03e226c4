"""Call the loss of any framework with NumPy arrays, and find out how it wants to be called."""

from __future__ import annotations

import inspect
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from importlib import import_module
from itertools import product
from typing import Any, Protocol

import numpy as np

from ..nn.arrays import Array
from .exact import exact_loss

# Moderate logits, on which every cross-entropy agrees, and their classes.
PROBES = ([[0.3, -1.1, 1.7, 0.6], [2.3, 0.4, -0.7, 1.9], [-1.2, 0.8, 0.1, -2.4]], [3, 0, 2])


class CallError(ValueError):
    """The function cannot be called, or it raised an exception."""


class NotALossError(Exception):
    """The function returned something that cannot be losses and gradients."""


class Framework(Protocol):
    """The arrays of a framework, and its automatic differentiation."""

    def array(self, values: Any) -> Any:
        """Return a new array of the framework."""

    def differentiate(self, function: Callable[[Any], Any], z: Array) -> tuple[Any, Any]:
        """Return function(z) and the gradient of the sum of its entries, or None if it is unknown."""

    def numpy(self, values: Any) -> Any:
        """Return an array of the framework as an array of NumPy; other objects are returned unchanged."""

    def precision(self, dtype: np.dtype[Any]) -> AbstractContextManager[Any]:
        """Return a context in which arrays can have the dtype."""


class _NumPy:
    def array(self, values: Any) -> Any:
        return values.copy()

    def differentiate(self, function: Callable[[Any], Any], z: Array) -> tuple[Any, Any]:
        return function(self.array(z)), None

    def numpy(self, values: Any) -> Any:
        return values

    def precision(self, dtype: np.dtype[Any]) -> AbstractContextManager[Any]:
        return nullcontext()


class _Torch(_NumPy):
    def __init__(self) -> None:
        self.torch: Any = import_module("torch")

    def array(self, values: Any) -> Any:
        return self.torch.tensor(values)

    def differentiate(self, function: Callable[[Any], Any], z: Array) -> tuple[Any, Any]:
        leaf = self.array(z).requires_grad_()
        result = _first(function(leaf.clone()))  # of a copy, which may be changed in place
        if not self.torch.is_tensor(result) or not result.requires_grad:
            return result, self.array(np.zeros_like(z))
        total = self.torch.real(result).sum()
        (gradient,) = self.torch.autograd.grad(total, leaf, allow_unused=True)
        return result, self.torch.zeros_like(leaf) if gradient is None else gradient

    def numpy(self, values: Any) -> Any:
        if not self.torch.is_tensor(values):
            return values
        values = values.detach().cpu()
        return (values.double() if values.is_floating_point() else values).numpy()


class _Jax(_NumPy):
    def __init__(self) -> None:
        self.jax: Any = import_module("jax")

    def array(self, values: Any) -> Any:
        return self.jax.numpy.asarray(values)

    def differentiate(self, function: Callable[[Any], Any], z: Array) -> tuple[Any, Any]:
        def total(logits: Any) -> tuple[Any, Any]:
            result = _first(function(logits))
            return self.jax.numpy.sum(self.jax.numpy.real(result)), result

        (_, result), gradient = self.jax.value_and_grad(total, has_aux=True)(self.array(z))
        return result, gradient

    def numpy(self, values: Any) -> Any:
        return np.asarray(values) if isinstance(values, self.jax.Array) else values

    def precision(self, dtype: np.dtype[Any]) -> AbstractContextManager[Any]:
        if dtype != np.float64:
            return nullcontext()
        enable: Any = getattr(self.jax, "enable_x64", None) or import_module("jax.experimental").enable_x64
        context: AbstractContextManager[Any] = enable(True)
        return context


class _TensorFlow(_NumPy):
    def __init__(self) -> None:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        self.tf: Any = import_module("tensorflow")

    def array(self, values: Any) -> Any:
        return self.tf.constant(values)

    def differentiate(self, function: Callable[[Any], Any], z: Array) -> tuple[Any, Any]:
        logits = self.array(z)
        with self.tf.GradientTape() as tape:
            tape.watch(logits)
            result = _first(function(logits))
        gradient = tape.gradient(result, logits) if self.tf.is_tensor(result) else None
        return result, self.tf.zeros_like(logits) if gradient is None else self.tf.convert_to_tensor(gradient)

    def numpy(self, values: Any) -> Any:
        if not self.tf.is_tensor(values):
            return values
        return (self.tf.cast(values, self.tf.float64) if values.dtype.is_floating else values).numpy()


FRAMEWORKS: dict[str, Callable[[], Framework]] = {
    "numpy": _NumPy,
    "torch": _Torch,
    "jax": _Jax,
    "tensorflow": _TensorFlow,
}


def framework_named(name: str) -> Framework:
    """Import a framework."""
    if name not in FRAMEWORKS:
        raise ValueError(f"framework must be one of {', '.join(FRAMEWORKS)}, got {name!r}")
    try:
        with quiet():
            return FRAMEWORKS[name]()
    except ImportError as error:
        raise ImportError(
            f"framework {name!r} cannot be imported; try pip install {name}: {error}"
        ) from error


@contextmanager
def quiet() -> Iterator[None]:
    """Silence the warnings of NumPy and of the frameworks."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        yield


@dataclass(frozen=True)
class Convention:
    """The arguments that a function takes."""

    one_hot: bool
    batched: bool
    swapped: bool

    def __str__(self) -> str:
        if self.one_hot:
            targets = "probabilities of shape (n, k)" if self.batched else "probabilities of shape (k,)"
        else:
            targets = "labels of shape (n,)" if self.batched else "an integer label"
        logits = "logits of shape (n, k)" if self.batched else "logits of shape (k,)"
        return f"{targets} and {logits}" if self.swapped else f"{logits} and {targets}"


CONVENTIONS = [
    Convention(one_hot, batched, swapped)
    for swapped, batched, one_hot in product((False, True), (True, False), (False, True))
]


class Subject:
    """A loss that is called with NumPy arrays, in the convention that its author has chosen.

    Parameters
    ----------
    loss, gradient : callable
        ``gradient`` may be None.
    framework : Framework
    """

    convention = CONVENTIONS[0]

    def __init__(self, loss: Any, gradient: Any, framework: Framework) -> None:
        self.loss, self.gradient, self.framework = loss, gradient, framework
        self.batches = False  # whether several rows can be passed at once
        self.reduction = "none"  # of the losses of several rows; or "mean" or "sum"
        self.mean_gradient = False  # whether the gradients of several rows are those of the mean loss
        self.invalid: str | None = None  # why the results cannot be losses

    def __call__(self, z: Array, labels: Sequence[int]) -> tuple[Array, Array | None]:
        """Return the losses (n,), or (1,) if the function reduces them, and the gradients (n, k) if known."""
        return self._read(*self._call(z, labels), z)

    def _call(self, z: Array, labels: Sequence[int]) -> tuple[Any, Any]:
        t = np.asarray(labels)
        y = np.eye(z.shape[1], dtype=z.dtype)[t] if self.convention.one_hot else t
        logits = z if self.convention.batched else z[0]
        targets = y if self.convention.batched else y[0]
        name = "loss"
        try:
            with quiet(), self.framework.precision(z.dtype):
                result, gradient = self.framework.differentiate(
                    lambda tensor: self._apply(self.loss, tensor, self.framework.array(targets)), logits
                )
                if self.gradient is not None:
                    name = "gradient"
                    tensors = self.framework.array(logits), self.framework.array(targets)
                    result, gradient = _first(result), self._apply(self.gradient, *tensors)
                elif isinstance(result, tuple) and len(result) == 2:
                    result, gradient = result
                return self.framework.numpy(_first(result)), self.framework.numpy(gradient)
        except (Exception, SystemExit) as error:
            what = f"{z.dtype} {self.convention}"
            text = " ".join(f"{type(error).__name__}: {error}".split())
            raise CallError(f"{name} raises {text[:300]} (for {what}: {_text(z, labels)})") from error

    def _apply(self, function: Any, logits: Any, targets: Any) -> Any:
        first, second = (targets, logits) if self.convention.swapped else (logits, targets)
        names = _keyword_only(function)
        return function(**{names[0]: first, names[1]: second}) if names else function(first, second)

    def _read(self, result: Any, gradient: Any, z: Array) -> tuple[Array, Array | None]:
        losses = _numbers(result, "the result")
        if losses.size not in (1, len(z)):
            raise NotALossError(f"for logits of shape {z.shape}, the result has shape {losses.shape}")
        if gradient is None:
            return losses.ravel(), None
        gradients = _numbers(gradient, "the gradient")
        if gradients.size != z.size:
            raise NotALossError(f"for logits of shape {z.shape}, the gradient has shape {gradients.shape}")
        return losses.ravel(), gradients.reshape(z.shape)

    def find_convention(self, dtype: str) -> None:
        """Choose the convention whose losses at moderate logits are the nearest to the truth.

        Raises
        ------
        CallError
            If the function raises an exception with each convention.
        """
        found, errors = [], []
        for convention in CONVENTIONS:
            self.convention = convention
            try:
                distance = self._try(dtype)
            except CallError as error:
                errors.append(error)
                continue
            found.append((distance, dict(vars(self))))
            if distance < 1e-4:
                return
        if not found:
            raise errors[0]
        vars(self).update(min(found, key=lambda entry: entry[0])[1])

    def _try(self, dtype: str) -> float:
        """Call the function with the current convention; return its largest error."""
        self.batches, self.reduction, self.mean_gradient, self.invalid = False, "none", False, None
        z, labels = np.array(PROBES[0], dtype), PROBES[1]
        exact = [exact_loss(row, label) for row, label in zip(z, labels, strict=True)]
        truth = np.array([float(loss) for loss, _ in exact])
        try:
            alone = np.array([self(z[[i]], [labels[i]])[0][0] for i in range(len(z))])
            worst = _largest(alone - truth)
            try:
                if not self.convention.batched:
                    return worst
                together, gradients = self(z, labels)
            except CallError:  # a function of a single row
                return worst
        except NotALossError as error:
            self.invalid = str(error)
            return np.inf
        self.batches = True
        totals = {"none": truth, "mean": truth.mean(), "sum": truth.sum()}
        errors = {how: _largest(together - total) for how, total in totals.items()}
        if together.size > 1:
            errors = {"none": errors["none"]}
        else:
            del errors["none"]
        self.reduction = min(errors, key=errors.__getitem__)
        if gradients is not None:
            right = np.array([[float(g) for g in gradient] for _, gradient in exact])
            self.mean_gradient = _largest(gradients - right / len(z)) < _largest(gradients - right)
        return max(worst, errors[self.reduction])


def _numbers(values: Any, what: str) -> Array:
    try:
        array = np.asarray(values)
    except ValueError:
        raise NotALossError(f"{what} is a {type(values).__name__} that is no array") from None
    if array.dtype.kind not in "fiuO":
        raise NotALossError(f"{what} must consist of real numbers, but its type is {array.dtype}")
    try:
        return array.astype(np.float64)
    except (TypeError, ValueError):
        raise NotALossError(
            f"{what} must consist of real numbers, but is a {type(values).__name__}"
        ) from None


def _largest(errors: Array) -> float:
    return float(np.abs(errors).max()) if np.isfinite(errors).all() else np.inf


def _first(result: Any) -> Any:
    return result[0] if isinstance(result, tuple) and result else result


def _keyword_only(function: Any) -> list[str]:
    """Names of the first two parameters of a function whose parameters are keyword-only."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # as of built-in functions
        return []
    names = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY and p.default is p.empty]
    return names[:2] if len(names) >= 2 else []


def _text(z: Array, labels: Sequence[int]) -> str:
    rows = [f"[{', '.join(f'{v:g}' for v in row)}], label {t}" for row, t in zip(z, labels, strict=True)]
    return "; ".join(rows)
