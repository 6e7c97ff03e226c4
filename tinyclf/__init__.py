"""tinyclf: a minimal neural-network classifier whose loss is right for any logits.

The reading order is that of the floors: `functional`; `layers`, `losses`, `optimizers`, `schedules`, `rows`;
`network`; `objective`, `state`; `training`. They need NumPy only.
Each name is imported on first use, so that `import tinyclf` costs next to nothing, and scikit-learn is loaded
with `TinyClassifier` only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._fast import use_fast
    from .archive import ArchiveError
    from .callbacks import Checkpoint, EarlyStopping, ValidationMonitor
    from .classifier import SKLEARN_DEFAULTS, TinyClassifier, load
    from .displays import ConfidenceDisplay, LossCurveDisplay
    from .errors import (
        CollapseWarning,
        DivergenceError,
        DivergenceWarning,
        FeatureScaleWarning,
        TrainingWarning,
    )
    from .functional import cross_entropy, cross_entropy_grad, log_softmax, logsumexp, softmax
    from .layers import Dense, Dropout, Identity, Layer, Logistic, ReLU, Tanh
    from .losses import Loss, SigmoidCrossEntropy, SoftmaxCrossEntropy
    from .network import Network
    from .onnx import to_onnx
    from .optimizers import SGD, Adam, AdamW, Optimizer
    from .state import TrainState
    from .training import Epoch, train
    from .views import Buffer, Views
    from .workspace import Workspace

__version__ = "0.1.0"

__all__ = [
    "SGD",
    "SKLEARN_DEFAULTS",
    "Adam",
    "AdamW",
    "ArchiveError",
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
    "load",
    "log_softmax",
    "logsumexp",
    "softmax",
    "to_onnx",
    "train",
    "use_fast",
]

_HOME = {
    "Adam": "optimizers",
    "AdamW": "optimizers",
    "ArchiveError": "archive",
    "Buffer": "views",
    "Checkpoint": "callbacks",
    "CollapseWarning": "errors",
    "ConfidenceDisplay": "displays",
    "Dense": "layers",
    "DivergenceError": "errors",
    "DivergenceWarning": "errors",
    "Dropout": "layers",
    "EarlyStopping": "callbacks",
    "Epoch": "training",
    "FeatureScaleWarning": "errors",
    "Identity": "layers",
    "Layer": "layers",
    "Logistic": "layers",
    "Loss": "losses",
    "LossCurveDisplay": "displays",
    "Network": "network",
    "Optimizer": "optimizers",
    "ReLU": "layers",
    "SGD": "optimizers",
    "SKLEARN_DEFAULTS": "classifier",
    "SigmoidCrossEntropy": "losses",
    "SoftmaxCrossEntropy": "losses",
    "Tanh": "layers",
    "TinyClassifier": "classifier",
    "TrainState": "state",
    "TrainingWarning": "errors",
    "ValidationMonitor": "callbacks",
    "Views": "views",
    "Workspace": "workspace",
    "cross_entropy": "functional",
    "cross_entropy_grad": "functional",
    "load": "classifier",
    "log_softmax": "functional",
    "logsumexp": "functional",
    "softmax": "functional",
    "to_onnx": "onnx",
    "train": "training",
    "use_fast": "_fast",
}


def __getattr__(name: str) -> Any:
    from importlib import import_module
    from importlib.util import find_spec

    if name in _HOME:
        return getattr(import_module(f".{_HOME[name]}", __name__), name)
    if not name.startswith("__") and find_spec(f"{__name__}.{name}"):
        return import_module(f".{name}", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME, *_HOME.values()})
