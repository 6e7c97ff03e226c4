"""What goes wrong without log-softmax: the losses that fail, and the experiment that shows how."""

from .foils import (
    ClippedSoftmaxCrossEntropy,
    NaiveSoftmaxCrossEntropy,
    clipped_cross_entropy,
    clipped_cross_entropy_grad,
    naive_cross_entropy,
    naive_cross_entropy_grad,
)

__all__ = [
    "ClippedSoftmaxCrossEntropy",
    "NaiveSoftmaxCrossEntropy",
    "clipped_cross_entropy",
    "clipped_cross_entropy_grad",
    "naive_cross_entropy",
    "naive_cross_entropy_grad",
]
