"""Losses that fail on large logits, the lesson that measures how they fail, and the audit of any loss."""

from .loss_audit import Audit, Fault, Sample, assert_stable, audit
from .naive_losses import (
    ClippedSoftmaxCrossEntropy,
    NaiveSoftmaxCrossEntropy,
    PaddedSoftmaxCrossEntropy,
    ShiftedSoftmaxCrossEntropy,
    TextbookSoftmaxCrossEntropy,
    clipped_cross_entropy,
    clipped_cross_entropy_grad,
    naive_cross_entropy,
    naive_cross_entropy_grad,
)

__all__ = [
    "Audit",
    "ClippedSoftmaxCrossEntropy",
    "Fault",
    "NaiveSoftmaxCrossEntropy",
    "PaddedSoftmaxCrossEntropy",
    "Sample",
    "ShiftedSoftmaxCrossEntropy",
    "TextbookSoftmaxCrossEntropy",
    "assert_stable",
    "audit",
    "clipped_cross_entropy",
    "clipped_cross_entropy_grad",
    "naive_cross_entropy",
    "naive_cross_entropy_grad",
]
