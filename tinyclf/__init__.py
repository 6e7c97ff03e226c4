"""tinyclf: a minimal neural-network classifier whose loss is right for any logits.

The reading order is that of the floors: `functional`; `layers`, `losses`, `optimizers`, `schedules`, `rows`;
`network`; `objective`, `state`; `training`. They need NumPy only.
`TinyClassifier` is imported, and scikit-learn with it, on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._fast import use_fast
from .errors import CollapseWarning, DivergenceError, DivergenceWarning, FeatureScaleWarning, TrainingWarning
from .functional import cross_entropy, cross_entropy_grad, log_softmax, logsumexp, softmax
from .layers import Dense, Dropout, Identity, Layer, Logistic, ReLU, Tanh
from .losses import Loss, SigmoidCrossEntropy, SoftmaxCrossEntropy
from .network import Network
from .optimizers import SGD, Adam, AdamW, Optimizer
from .state import TrainState
from .training import Epoch, train
from .views import Buffer, Views
from .workspace import Workspace

if TYPE_CHECKING:
    from .callbacks import Checkpoint, EarlyStopping, ValidationMonitor
    from .classifier import SKLEARN_DEFAULTS, TinyClassifier
    from .displays import ConfidenceDisplay, LossCurveDisplay

__version__ = "0.1.0"

__all__ = [
    "SGD",
    "SKLEARN_DEFAULTS",
    "Adam",
    "AdamW",
    "Buffer",
    "Checkpoint",
    "CollapseWarning",
    "ConfidenceDisplay",
    "Dense",
    "DivergenceError",
    "DivergenceWarning",
    "Dropout",
    "EarlyStopping",
    "Epoch",
    "FeatureScaleWarning",
    "Identity",
    "Layer",
    "Logistic",
    "Loss",
    "LossCurveDisplay",
    "Network",
    "Optimizer",
    "ReLU",
    "SigmoidCrossEntropy",
    "SoftmaxCrossEntropy",
    "Tanh",
    "TinyClassifier",
    "TrainState",
    "TrainingWarning",
    "ValidationMonitor",
    "Views",
    "Workspace",
    "cross_entropy",
    "cross_entropy_grad",
    "log_softmax",
    "logsumexp",
    "softmax",
    "train",
    "use_fast",
]

_LAZY = {
    "Checkpoint": "callbacks",
    "ConfidenceDisplay": "displays",
    "EarlyStopping": "callbacks",
    "LossCurveDisplay": "displays",
    "SKLEARN_DEFAULTS": "classifier",
    "TinyClassifier": "classifier",
    "ValidationMonitor": "callbacks",
}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        from importlib import import_module

        return getattr(import_module(f".{_LAZY[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY})
