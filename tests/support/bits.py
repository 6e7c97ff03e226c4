"""An exact comparison of values."""

import inspect
import struct
from dataclasses import fields, is_dataclass

import numpy as np

from tinyclf.estimator.scaling import cached_property


def shown(value):
    """A value as plain data. Two results are equal only if the values have the same types and bits."""
    kind = f"{type(value).__module__}.{type(value).__qualname__}"
    if isinstance(value, np.ndarray) and value.dtype != object:
        return kind, value.dtype.str, value.shape, value.flags.c_contiguous, value.tobytes()
    if isinstance(value, np.ndarray):
        return kind, value.shape, [shown(item) for item in value.flat]
    if isinstance(value, np.generic):
        return kind, value.dtype.str, value.tobytes()
    if isinstance(value, float):
        return kind, struct.pack("<d", value)
    if isinstance(value, (list, tuple)):
        return kind, [shown(item) for item in value]
    if isinstance(value, dict):
        return kind, [(shown(name), shown(item)) for name, item in value.items()]
    if isinstance(value, np.random.RandomState):
        return kind, shown(value.get_state(legacy=False))
    if isinstance(value, np.random.Generator):
        return kind, shown(value.bit_generator.state)
    if isinstance(value, np.dtype):
        return kind, value.str
    if isinstance(value, type) or inspect.isroutine(value):
        return kind, value.__module__, value.__qualname__
    if hasattr(value, "__dict__"):
        held = (
            {field.name: getattr(value, field.name) for field in fields(value)} if is_dataclass(value) else {}
        )
        state = {
            name: item for name, item in {**held, **vars(value)}.items() if not is_transient(value, name)
        }
        return kind, [(name, shown(item)) for name, item in sorted(state.items())]
    return kind, value


def is_transient(value, name):
    """Whether an attribute is a cache, or belongs to the last call only."""
    others = ("_checked", "_skl_callbacks", "_callback_fit_ctx", "_spare")
    return name in others or isinstance(getattr(type(value), name, None), cached_property)
