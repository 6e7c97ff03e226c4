"""What goes wrong without log-softmax: the losses that fail, and the lesson that shows how."""

from .foils import (
    ClippedSoftmaxCrossEntropy,
    NaiveSoftmaxCrossEntropy,
    PaddedSoftmaxCrossEntropy,
    ShiftedSoftmaxCrossEntropy,
    TextbookSoftmaxCrossEntropy,
    clipped_cross_entropy,
    clipped_cross_entropy_grad,
    naive_cross_entropy,
    naive_cross_entropy_grad,
    padded_cross_entropy,
    padded_cross_entropy_grad,
    shifted_cross_entropy,
    shifted_cross_entropy_grad,
)

__all__ = [
    "ClippedSoftmaxCrossEntropy",
    "NaiveSoftmaxCrossEntropy",
    "PaddedSoftmaxCrossEntropy",
    "ShiftedSoftmaxCrossEntropy",
    "TextbookSoftmaxCrossEntropy",
    "clipped_cross_entropy",
    "clipped_cross_entropy_grad",
    "naive_cross_entropy",
    "naive_cross_entropy_grad",
    "padded_cross_entropy",
    "padded_cross_entropy_grad",
    "shifted_cross_entropy",
    "shifted_cross_entropy_grad",
]
