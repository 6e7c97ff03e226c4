"""Exact cross-entropy of a row of logits, in decimal arithmetic with 80 digits."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Context, Decimal, localcontext

DIGITS = Context(prec=80)  # of which 1 + S may lose 20
TINY = Decimal("1e-20")
NEGLIGIBLE = Decimal(-100_000)  # exp of it is below any float64


def exact_loss(logits: Sequence[float], label: int) -> tuple[Decimal, list[Decimal]]:
    """Compute the cross-entropy of a row and its gradient with respect to the logits.

    Parameters
    ----------
    logits : sequence of float
        Finite numbers; each is taken as exact.
    label : int
        The true class.

    Returns
    -------
    loss : Decimal
    gradient : list of Decimal
        Both have more than 55 correct digits, also where they are tiny.

    Examples
    --------
    >>> loss, gradient = exact_loss([20.0, 0.0], 0)
    >>> print(f"{loss:.8e} {gradient[0]:.8e}")
    2.06115362e-9 -2.06115362e-9
    """
    with localcontext(DIGITS):
        z = [Decimal(float(logit)) for logit in logits]
        top = max(range(len(z)), key=z.__getitem__)
        d = [value - z[top] for value in z]
        E = [value.exp() if value > NEGLIGIBLE else Decimal(0) for value in d]
        S = sum(E[:top] + E[top + 1 :], Decimal(0))
        T = 1 + S
        gradient = [e / T for e in E]
        # p - 1 would cancel: the others sum to S / T or, unless the label is the largest, contain a 1
        gradient[label] = -sum((e for i, e in enumerate(E) if i != label), Decimal(0)) / T
        return _log1p(S) - d[label], gradient


def _log1p(S: Decimal) -> Decimal:
    """Logarithm of 1 + S; a tiny S would be lost in the sum, and its series needs only three terms."""
    return S * (1 - S / 2 + S * S / 3) if S < TINY else (1 + S).ln()
