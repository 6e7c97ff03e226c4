"""The frameworks whose losses can be audited: their arrays and their automatic differentiation."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from importlib import import_module
from typing import Any

import numpy as np

from ...nn.arrays import Array


def first(result: Any) -> Any:
    """Return the first entry of a tuple, and any other object unchanged."""
    return result[0] if isinstance(result, tuple) and result else result


def one_line(error: BaseException) -> str:
    """Return the name and the message of an exception as one line."""
    return " ".join(f"{type(error).__name__}: {error}".removesuffix(": ").split())[:300]


class Framework:
    """The arrays of a framework, and its automatic differentiation; this one is NumPy, which has none."""

    def array(self, values: Any) -> Any:
        """Return a new array of the framework."""
        return values.copy()

    def differentiate(self, function: Callable[[Any], Any], z: Array) -> tuple[Any, Any]:
        """Return function(z) and the gradient of the sum of its entries, or None if it is unknown."""
        return function(self.array(z)), None

    def numpy(self, values: Any) -> Any:
        """Return an array of the framework as an array of NumPy; other objects are returned unchanged."""
        return values

    def precision(self, dtype: np.dtype[Any]) -> AbstractContextManager[Any]:
        """Return a context in which arrays can have the dtype."""
        return nullcontext()


class _Torch(Framework):
    def __init__(self) -> None:
        self.torch: Any = import_module("torch")

    def array(self, values: Any) -> Any:
        return self.torch.tensor(values)

    def differentiate(self, function: Callable[[Any], Any], z: Array) -> tuple[Any, Any]:
        leaf = self.array(z).requires_grad_()
        result = first(function(leaf.clone()))  # of a copy, which may be changed in place
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


class _Jax(Framework):
    def __init__(self) -> None:
        self.jax: Any = import_module("jax")
        import_module("jax.experimental")

    def array(self, values: Any) -> Any:
        return self.jax.numpy.asarray(values)

    def differentiate(self, function: Callable[[Any], Any], z: Array) -> tuple[Any, Any]:
        def total(logits: Any) -> tuple[Any, Any]:
            result = first(function(logits))
            return self.jax.numpy.sum(self.jax.numpy.real(result)), result

        (_, result), gradient = self.jax.value_and_grad(total, has_aux=True)(self.array(z))
        return result, gradient

    def numpy(self, values: Any) -> Any:
        return np.asarray(values) if isinstance(values, self.jax.Array) else values

    def precision(self, dtype: np.dtype[Any]) -> AbstractContextManager[Any]:
        if dtype != np.float64:
            return nullcontext()
        new = hasattr(self.jax, "enable_x64")  # jax.experimental.enable_x64 in older versions
        context: AbstractContextManager[Any] = (self.jax if new else self.jax.experimental).enable_x64(True)
        return context


class _TensorFlow(Framework):
    def __init__(self) -> None:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        self.tf: Any = import_module("tensorflow")

    def array(self, values: Any) -> Any:
        return self.tf.constant(values)

    def differentiate(self, function: Callable[[Any], Any], z: Array) -> tuple[Any, Any]:
        logits = self.array(z)
        with self.tf.GradientTape() as tape:
            tape.watch(logits)
            result = first(function(logits))
        gradient = tape.gradient(result, logits) if self.tf.is_tensor(result) else None
        return result, self.tf.zeros_like(logits) if gradient is None else self.tf.convert_to_tensor(gradient)

    def numpy(self, values: Any) -> Any:
        if not self.tf.is_tensor(values):
            return values
        return (self.tf.cast(values, self.tf.float64) if values.dtype.is_floating else values).numpy()


FRAMEWORKS: dict[str, Callable[[], Framework]] = {
    "numpy": Framework,
    "torch": _Torch,
    "jax": _Jax,
    "tensorflow": _TensorFlow,
}


def framework_named(name: str) -> Framework:
    """Import a framework."""
    if name not in FRAMEWORKS:
        raise ValueError(f"framework must be one of {', '.join(FRAMEWORKS)}, got {name!r}")
    try:
        return FRAMEWORKS[name]()
    except ImportError as error:
        raise ImportError(
            f"framework {name!r} cannot be imported; try pip install {name}: {error}"
        ) from error


def quiet() -> AbstractContextManager[Any]:
    """Return a context without floating-point warnings of NumPy: inf and nan are what the audit looks for."""
    return np.errstate(all="ignore")
