"""Saved models: the content of a file, a pickle and a checkpoint, and the classes that they may use."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..nn import initializers, schedules
from ..nn.arrays import Array
from ..nn.errors import ArchiveError
from ..nn.layers import GELU, Dense, Dropout, Identity, Logistic, ReLU, SiLU, Tanh
from ..nn.losses import SigmoidCrossEntropy, SoftmaxCrossEntropy
from ..nn.members import MemberDense, SharedDense
from ..nn.optimizers import SGD, Adam, AdamW
from ..persistence import Registry, decode, encode, read_file, with_head, without_head, write_file
from .calibration import Calibration
from .early_stopping import BestWeights, Patience
from .encoding import Encoding
from .history import History
from .plan import FitPlan, shown
from .plan import check_parameters as check_fits_labels
from .scaling import Scaling
from .state import FitState
from .targets import Labels, LabelSets, Probabilities

FORMAT, VERSION = "tinyclf.TinyClassifier", 5

_OWN: tuple[Any, ...] = (
    *(Dense, Dropout, GELU, Identity, Logistic, ReLU, SiLU, Tanh, SharedDense, MemberDense),
    *(SoftmaxCrossEntropy, SigmoidCrossEntropy),
    *(SGD, Adam, AdamW),
    *(Labels, LabelSets, Probabilities),
    *(FitPlan, FitState, History, Patience, BestWeights, Encoding, Scaling, Calibration),
    *(float, np.float32, np.float64),
    *schedules.SCHEDULES.values(),
    *(initializers.glorot_uniform, initializers.glorot_uniform_logistic, initializers.he_normal),
)
OWN: dict[str, Any] = {thing.__name__: thing for thing in _OWN}
"""Classes and functions that need not be in ``custom``."""


def save(
    model: Any,
    path: str | Path,
    custom: Mapping[str, Any] | None = None,
    fit: dict[str, str] | None = None,
) -> None:
    """Save a fitted model, or a model during its fit.

    Parameters
    ----------
    model : TinyClassifier
    path : str or Path
    custom : mapping of str to class or function, optional
    fit : dict of str to str, optional
        Hashes of the parameters and the data, which identify a fit that can be resumed from the
        file.
    """
    registry = Registry(OWN, custom)
    check_parameters(model, registry)
    content = {
        "parameters": parameters_of(model),
        "feature_names": getattr(model, "feature_names_in_", None),
        "state": _state_of(model, registry) if fit is None else model._fitted,
        "fit": fit,
    }
    plain, arrays = encode(content, registry)
    try:
        _model_and_fit(_base(type(model)), decode(plain, arrays, registry))
    except (ArchiveError, ValueError, TypeError) as error:
        raise ValueError(f"the model cannot be saved, since it could not be loaded again: {error}") from None
    write_file(path, plain, arrays, format=FORMAT, version=VERSION)


def load(cls: type[Any], path: str | Path, custom: Mapping[str, Any] | None = None) -> Any:
    """Load a model of this class."""
    return load_checkpoint(cls, path, custom)[0]


def load_checkpoint(
    cls: type[Any], path: str | Path, custom: Mapping[str, Any] | None = None
) -> tuple[Any, dict[str, str] | None]:
    """Load a model of this class, and the hashes that identify its fit, or None if it cannot be resumed."""
    registry = Registry(OWN, custom)

    def build(content: Any) -> tuple[Any, dict[str, str] | None]:
        return _model_and_fit(cls, content)

    return read_file(path, registry, build, format=FORMAT, version=VERSION)


def encoded(model: Any) -> tuple[str, list[Array]]:
    """Return the parameters and the state of a fitted model as JSON and arrays, for a pickle.

    Raises
    ------
    ValueError
        If they have user-defined parts, or others that cannot be saved.
    """
    registry = Registry(OWN, None)
    content = {"parameters": model.get_params(deep=False), "state": _state_of(model, registry)}
    plain, arrays = encode(content, registry)
    decode(plain, arrays, registry)
    return json.dumps(with_head(plain, FORMAT, VERSION)), arrays


def decoded(text: str, arrays: list[Array]) -> tuple[dict[str, Any], FitState]:
    """Return the parameters and the state that `encoded` returned as JSON and arrays.

    Raises
    ------
    ArchiveError
        If they have another version of the format, or are invalid.
    """
    try:
        plain = without_head(json.loads(text), FORMAT, VERSION)
        content = decode(plain, arrays, Registry(OWN, None))
        return content["parameters"], content["state"]
    except ArchiveError as error:
        raise ArchiveError(f"the pickled model cannot be loaded: {error}") from None


def check_parameters(model: Any, registry: Registry) -> None:
    """Raise an error that names a parameter or a class that cannot be saved."""
    if added := additions(type(model)):
        raise ValueError(
            f"save supports TinyClassifier and subclasses that add nothing to it, but {type(model).__name__} "
            f"adds {', '.join(sorted(added))}, which a file cannot contain; pickle the model"
        )
    encode(parameters_of(model), registry)


def parameters_of(model: Any) -> dict[str, Any]:
    """Return the parameters of a model, with arrays in place of indexes and columns of data frames."""
    given = model.get_params(deep=False).items()
    return {name: value.to_numpy() if hasattr(value, "to_numpy") else value for name, value in given}


def additions(cls: type[Any]) -> set[str]:
    """Return the names of what a subclass of TinyClassifier adds to it or overrides."""
    base = _base(cls)

    class Empty(base):  # type: ignore[misc, valid-type]
        """A subclass that adds nothing, with the names that Python and scikit-learn add to each class."""

    between = (vars(one) for one in cls.__mro__ if one not in base.__mro__)
    return {name for names in between for name in names} - {*vars(Empty), "__dict__", "__weakref__"}


def _base(cls: type[Any]) -> type[Any]:
    """Return TinyClassifier, given it or a subclass."""
    return next(one for one in cls.__mro__ if one.__module__ == f"{__package__}.classifier")


def _state_of(model: Any, registry: Registry) -> FitState:
    """Return the state to save; after a fit, a name replaces a schedule or scorer that cannot be saved."""
    state: FitState = model._fitted

    def saved(function: Any) -> Any:
        try:
            encode(function, registry)
        except ValueError:
            return shown(function)
        return function

    plan = replace(state.plan, schedule=saved(state.plan.schedule), scoring=saved(state.plan.scoring))
    return replace(state, plan=plan)


def _model_and_fit(cls: type[Any], content: Any) -> tuple[Any, dict[str, str] | None]:
    """Return the model and the hashes of its fit from the content of a file, or raise an error."""
    keys = {"parameters", "feature_names", "state", "fit"}
    if not isinstance(content, dict) or content.keys() != keys:
        raise ValueError(f"its content must have the parts {sorted(keys)}")
    parameters, names, state = content["parameters"], content["feature_names"], content["state"]
    expected = set(cls().get_params(deep=False))
    if not isinstance(parameters, dict):
        raise ValueError(f"its parameters must be a dict, got {parameters!r}")
    if set(parameters) != expected:
        raise ValueError(
            f"missing or unknown parameters of {cls.__name__}: {sorted(map(str, set(parameters) ^ expected))}"
        )
    if not isinstance(state, FitState):
        raise ValueError(f"its state has the wrong type, {type(state).__name__}")
    model = cls(**parameters)
    model._validate_params()
    check_fits_labels(model, state.labels, state.network.dtype)
    n_features = state.encoding.n_features
    if names is not None:
        fits = isinstance(names, np.ndarray) and names.dtype == object and names.shape == (n_features,)
        if not (fits and all(isinstance(name, str) for name in names)):
            raise ValueError(f"feature_names_in_ must be {n_features} strings, got {names!r}")
        model.feature_names_in_ = names
    model.n_features_in_ = n_features
    model._state = state
    if (fit := content["fit"]) is not None:
        _check_fit(fit, state)
    return model, fit


def _check_fit(fit: Any, state: FitState) -> None:
    """Raise an error unless a fit can be resumed from a state."""
    if not isinstance(fit, dict) or not all(isinstance(text, str) for item in fit.items() for text in item):
        raise ValueError(f"the hashes of parameters and data must be a dict of strings, got {fit!r}")
    if not state.finished:
        state.check_resumable(state.plan)
