"""The function that is audited: how it takes its arguments, and what it returns."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from itertools import product
from typing import Any

import numpy as np

from ...nn.arrays import Array
from .exact import exact_loss
from .frameworks import FRAMEWORKS, Framework, first, one_line, quiet

# Moderate logits, on which all cross-entropies agree, and their classes.
PROBES = ([[0.3, -1.1, 1.7, 0.6], [2.3, 0.4, -0.7, 1.9], [-1.2, 0.8, 0.1, -2.4]], [3, 0, 2])

Comparison = tuple[str, float, Decimal]
""""loss" or "gradient", a number that the function returned, and the exact number."""


class CallError(ValueError):
    """The function cannot be called, or it raised an exception."""


class NotALossError(Exception):
    """The function returned something that cannot be losses and gradients."""


@dataclass(frozen=True)
class Convention:
    """The arguments that a function takes, and what it returns for several rows.

    Parameters
    ----------
    one_hot, batched, swapped : bool
        Whether the targets are probabilities, whether the arguments have an axis for rows, and whether
        the targets come first.
    reduction : str
        What happens to the losses of several rows: "none", "mean" or "sum".
    mean_gradient : bool
        Whether their gradients are those of the mean.
    problem : str or None
        Why the results cannot be losses.
    """

    one_hot: bool
    batched: bool
    swapped: bool
    reduction: str = "none"
    mean_gradient: bool = False
    problem: str | None = None

    def __str__(self) -> str:
        rows = "n, k" if self.batched else "k,"
        label = "labels (n,)" if self.batched else "an integer label"
        both = [f"logits ({rows})", f"probabilities ({rows})" if self.one_hot else label]
        return " and ".join(both[::-1] if self.swapped else both)


CONVENTIONS = [
    Convention(one_hot, batched, swapped)
    for swapped, batched, one_hot in product((False, True), (True, False), (False, True))
]


class AuditedFunction:
    """A loss that is called with NumPy arrays, in the convention that its author has chosen.

    Parameters
    ----------
    loss, gradient : callable
        The functions of logits and targets; ``gradient`` may be None.
    framework : Framework
        What their arrays are.
    """

    def __init__(self, loss: Any, gradient: Any, framework: Framework) -> None:
        self.loss = _positional(loss)
        self.gradient = None if gradient is None else _positional(gradient)
        self.framework = framework
        self.convention = CONVENTIONS[0]

    def compare(self, z: Array, labels: Sequence[int]) -> Iterator[Comparison]:
        """Call the function; yield each loss and each component of the gradient, if it is known.

        Raises
        ------
        CallError
            If the function raises an exception.
        NotALossError
            If its results have other shapes, or are not real numbers.
        """
        losses, gradients = self(z, labels)
        exact = [exact_loss(row, label) for row, label in zip(z.tolist(), labels, strict=True)]
        right = [loss for loss, _ in exact]
        if len(losses) < len(z):
            right = [sum(right, Decimal(0)) / (len(z) if self.convention.reduction == "mean" else 1)]
        yield from (("loss", got, loss) for got, loss in zip(losses.tolist(), right, strict=True))
        if gradients is not None:
            scale = len(z) if self.convention.mean_gradient else 1
            for row, (_, gradient) in zip(gradients.tolist(), exact, strict=True):
                yield from (("gradient", got, g / scale) for got, g in zip(row, gradient, strict=True))

    def __call__(self, z: Array, labels: Sequence[int]) -> tuple[Array, Array | None]:
        """Return the losses (n,), or (1,) if the function reduces them, and the gradients (n, k) if known."""
        result, gradient = self._call(z, np.asarray(labels))
        losses = _numbers(result, "the result")
        if losses.size not in (1, len(z)):
            raise NotALossError(f"for logits {z.shape}, the result has the shape {losses.shape}")
        if gradient is None:
            return losses.ravel(), None
        gradients = _numbers(gradient, "the gradient")
        if gradients.size != z.size:
            raise NotALossError(f"for logits {z.shape}, the gradient has the shape {gradients.shape}")
        return losses.ravel(), gradients.reshape(z.shape)

    def _call(self, z: Array, labels: Array) -> tuple[Any, Any]:
        targets = np.eye(z.shape[1], dtype=z.dtype)[labels] if self.convention.one_hot else labels
        logits, targets = (z, targets) if self.convention.batched else (z[0], targets[0])
        array, name = self.framework.array, "the loss"
        try:
            with quiet(), self.framework.precision(z.dtype):
                result, gradient = self.framework.differentiate(
                    lambda tensor: self._apply(self.loss, tensor, array(targets)), logits
                )
                if isinstance(result, tuple) and len(result) == 2:
                    result, gradient = result
                if self.gradient is not None:
                    name = "the gradient"
                    gradient = self._apply(self.gradient, array(logits), array(targets))
                return self.framework.numpy(first(result)), self.framework.numpy(gradient)
        except (Exception, SystemExit) as error:
            row = " ".join(np.array2string(logits, separator=", ", precision=7).split())
            example = f"the {z.dtype} logits {row} and the targets {targets.tolist()}"
            raise CallError(f"{name} raises {one_line(error)} for {example}") from error

    def _apply(self, function: Any, logits: Any, targets: Any) -> Any:
        return function(targets, logits) if self.convention.swapped else function(logits, targets)

    def find_convention(self, dtype: str) -> None:
        """Choose the convention whose losses at moderate logits are the nearest to the exact ones.

        Raises
        ------
        CallError
            If the function raises an exception with each convention.
        """
        found, errors = [], []
        for convention in CONVENTIONS:
            try:
                found.append(self._try(convention, dtype))
            except CallError as error:
                errors.append(error)
                continue
            if found[-1][0] < 1e-4:
                break
        if not found:
            others = [name for name in FRAMEWORKS if name in sys.modules and name != "numpy"]
            hint = f"; for a function of {' or '.join(others)}, choose this framework" if others else ""
            raise CallError(f"{errors[0]}{hint * (type(self.framework) is Framework)}") from errors[0]
        nearest = min(found, key=lambda entry: entry[0])
        self.convention = (nearest if nearest[0] < 0.2 else found[0])[1]

    def _try(self, convention: Convention, dtype: str) -> tuple[float, Convention]:
        """Return the largest error, and the convention with what happens to several rows."""
        self.convention = convention
        z, labels = np.array(PROBES[0], dtype), PROBES[1]
        exact = [exact_loss(row, label) for row, label in zip(z.tolist(), labels, strict=True)]
        right = np.array([float(loss) for loss, _ in exact])
        try:
            alone = np.array([self(z[[i]], [labels[i]])[0][0] for i in range(len(z))])
            error = _largest(alone - right)
            if not convention.batched:
                return error, convention
            together, gradients = self(z, labels)
        except NotALossError as problem:
            return np.inf, replace(convention, problem=str(problem))
        errors = {"mean": _largest(together - right.mean()), "sum": _largest(together - right.sum())}
        if len(together) > 1:
            errors = {"none": _largest(together - right)}
        reduction = min(errors, key=errors.__getitem__)
        slopes = np.array([[float(g) for g in gradient] for _, gradient in exact])
        mean = gradients is not None and _largest(gradients - slopes / 3) < _largest(gradients - slopes)
        known = replace(convention, reduction=reduction, mean_gradient=mean)
        return max(error, errors[reduction]), known

    def is_as_coarse_as(self, bits: int, dtype: str) -> bool:
        """Whether the function computes with numbers of so many binary digits, or rounds its result to them.

        float32 has 24 binary digits, float16 has 11, bfloat16 has 8.
        """
        z = np.array(PROBES[0], dtype)
        fine, coarse = (
            np.array([self(rows[[i]], [label])[0][0] for i, label in enumerate(PROBES[1])])
            for rows in (z, _rounded(z, bits).astype(dtype))
        )
        return bool((fine == coarse).all() or (fine == _rounded(fine, bits)).all())


def _rounded(x: Array, bits: int) -> Array:
    mantissa, exponent = np.frexp(x.astype(np.float64))
    rounded: Array = np.ldexp(np.round(np.ldexp(mantissa, bits)), exponent - bits)
    return rounded


def _numbers(values: Any, what: str) -> Array:
    if values is None:
        raise NotALossError(f"{what} is None")
    try:
        array = np.asarray(values)
        if array.dtype.kind in "fiuO":
            return array.astype(np.float64)
    except Exception:  # objects of any type can raise any exception
        raise NotALossError(
            f"{what} must consist of real numbers, but is {' '.join(repr(values).split())[:80]}"
        ) from None
    raise NotALossError(f"{what} must consist of real numbers, but has the type {array.dtype}")


def _largest(errors: Array) -> float:
    return float(np.abs(errors).max()) if np.isfinite(errors).all() else np.inf


def _positional(function: Any) -> Any:
    """Return a function of two positional arguments that passes them by keyword where it must."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # as for functions of C extensions
        return function
    kinds = [p.kind for p in parameters]
    n = sum(
        kind in (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD) for kind in kinds
    )
    names = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY][: max(0, 2 - n)]
    if inspect.Parameter.VAR_POSITIONAL in kinds or not names:
        return function
    return lambda *arguments: function(*arguments[:n], **dict(zip(names, arguments[n:], strict=True)))
