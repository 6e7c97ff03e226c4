"""The codec: values and instances of registered classes as JSON and a list of arrays, and back.

JSON has null, booleans, whole numbers, finite floats, strings and lists. Every other value is a
JSON object with the key "$", which names its kind:

    {"$": "dict", "items": [[key, value], ...]}
    {"$": "tuple", "items": [...]}
    {"$": "float", "value": "nan"}                      NaN and infinities
    {"$": "array", "at": 3}                             array 3 of the list
    {"$": "scalar", "at": 4}                            a NumPy scalar: the only entry of array 4
    {"$": "dtype", "at": 5}                             the dtype of array 5
    {"$": "objects", "shape": [2], "items": [...]}      an array of Python objects, such as strings
    {"$": "name", "name": "flat_cosine"}                a registered class or function
    {"$": "object", "class": "Adam", "fields": {...}}   an instance of a registered class
    {"$": "RandomState", "state": {...}}
    {"$": "Generator", "state": {...}}
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..nn.errors import ArchiveError
from .archive import KINDS, reason

Array = NDArray[Any]

# The largest size of a whole number, in bits: the states of random generators have no larger ones.
_BITS = 128


class Registry:
    """The classes and functions that a file may name.

    Parameters
    ----------
    own : mapping of str to class or function
        Those of tinyclf. Instances of these classes are rebuilt by ``from_dict`` if the class has
        ``to_dict`` and ``from_dict``, and otherwise by the constructor. Both check their arguments.
    custom : mapping of str to class or function, or None
        Those of the user. Instances of these classes are rebuilt by ``from_dict`` if the class has
        ``to_dict`` and ``from_dict``. Otherwise their attributes are set without a call of the
        constructor.

    Raises
    ------
    TypeError
        If ``custom`` is not a mapping with string keys.
    ValueError
        If ``custom`` uses a name of ``own`` for something else.
    """

    def __init__(self, own: Mapping[str, Any], custom: Mapping[str, Any] | None = None) -> None:
        custom = {} if custom is None else custom
        if not isinstance(custom, Mapping) or not all(isinstance(name, str) for name in custom):
            raise TypeError(f"custom must be a dict from names to classes and functions, got {custom!r}")
        taken = [name for name in custom if name in own and custom[name] is not own[name]]
        if taken:
            raise ValueError(f"custom uses names of tinyclf's own classes, {taken}; choose other names")
        self.things: dict[str, Any] = {**own, **custom}
        self._names = {id(thing): name for name, thing in {**custom, **own}.items()}
        self._own = {id(thing) for thing in own.values()}

    def name_of(self, thing: Any) -> str | None:
        """Return the name of a class or function; None if it is not registered."""
        return self._names.get(id(thing))

    def is_own(self, cls: type) -> bool:
        """Return whether a class is one of ``own``, which check the data that instances are rebuilt from."""
        return id(cls) in self._own


def encode(value: Any, registry: Registry) -> tuple[Any, list[Array]]:
    """Return a value as JSON and arrays.

    Parameters
    ----------
    value : object
        Plain values, arrays, containers of these, and instances of registered classes. An instance
        is encoded as what its ``to_dict`` returns if its class has ``to_dict`` and ``from_dict``,
        and otherwise as its attributes.
    registry : Registry

    Returns
    -------
    plain : JSON value
    arrays : list of ndarray

    Raises
    ------
    ValueError
        If the value has a part that cannot be encoded; the message names the part and its value.
    """
    encoder = _Encoder(registry)
    return encoder(value, ""), encoder.arrays


def decode(plain: Any, arrays: list[Array], registry: Registry) -> Any:
    """Return the value that `encode` has encoded as ``plain`` and ``arrays``.

    Raises
    ------
    ArchiveError
        If JSON and arrays are not what `encode` returns, or describe invalid objects.
    """
    decoder = _Decoder(registry, arrays)
    try:
        value = decoder(plain)
    except ArchiveError:
        raise
    except Exception as error:  # invalid content can cause any error
        raise ArchiveError(reason(error)) from None
    if decoder.arrays:
        raise ArchiveError(f"the arrays {list(decoder.arrays)[:5]} are not used by any value")
    return value


class _Encoder:
    """Turns values into JSON, and collects their arrays."""

    def __init__(self, registry: Registry) -> None:
        self.registry = registry
        self.arrays: list[Array] = []

    def __call__(self, value: Any, path: str) -> Any:
        """Return a value as JSON; ``path`` is its place in the outermost value, for error messages."""
        if value is None or type(value) in (bool, int, str):
            return value
        if type(value) is float:
            return value if math.isfinite(value) else {"$": "float", "value": repr(value)}
        if type(value) is list:
            return [self(item, path) for item in value]
        if type(value) is tuple:
            return {"$": "tuple", "items": self(list(value), path)}
        if type(value) is dict:
            items = [[self(key, path), self(item, _joined(path, key))] for key, item in value.items()]
            return {"$": "dict", "items": items}
        if type(value) in (np.ndarray, np.memmap):
            if value.dtype != object:
                return {"$": "array", "at": self._array(value, path)}
            return {"$": "objects", "shape": list(value.shape), "items": self(list(value.flat), path)}
        if isinstance(value, np.generic):
            return {"$": "scalar", "at": self._array(np.asarray(value), path)}
        if isinstance(value, np.dtype):
            return {"$": "dtype", "at": self._array(np.empty(0, value), path)}
        if type(value) is np.random.RandomState:
            return {"$": "RandomState", "state": self(value.get_state(legacy=False), path)}
        if type(value) is np.random.Generator:
            return {"$": "Generator", "state": self(value.bit_generator.state, path)}
        if (name := self.registry.name_of(value)) is not None:
            return {"$": "name", "name": name}
        return self._object(value, path)

    def _array(self, array: Array, path: str) -> int:
        if array.dtype.kind not in KINDS:
            raise ValueError(
                f"{path or 'the value'} has dtype {array.dtype}, which cannot be saved; numbers, dates and "
                "strings can"
            )
        self.arrays.append(array)
        return len(self.arrays) - 1

    def _object(self, value: Any, path: str) -> dict[str, Any]:
        cls: Any = type(value)
        name = self.registry.name_of(cls)
        if name is None:
            missing = getattr(value, "__name__", cls.__name__)
            raise ValueError(
                f"{path or 'the value'} is {value!r}, which cannot be saved, since a file contains no code "
                f"and {missing} is not part of tinyclf. "
                f"Pass custom={{{missing!r}: {missing}}}, and load with the same custom"
            )
        if hasattr(cls, "to_dict") and hasattr(cls, "from_dict"):
            held, path = value.to_dict(), ""  # a user knows its keys, but not the path to it
        elif self.registry.is_own(cls) and is_dataclass(cls):
            held = {field.name: getattr(value, field.name) for field in fields(cls)}
        elif cls.__new__ is object.__new__ and not any(vars(c).get("__slots__") for c in cls.__mro__):
            held = vars(value)
        else:
            raise ValueError(
                f"{path or 'the value'} is {value!r}, of which only the attributes can be saved, "
                f"but a {cls.__name__} contains other data, too; pass the object itself in custom"
            )
        encoded = {key: self(item, _joined(path, key)) for key, item in held.items()}
        return {"$": "object", "class": name, "fields": encoded}


def _joined(path: str, key: Any) -> str:
    return f"{path}.{key}" if path else str(key)


class _Decoder:
    """Turns JSON and arrays back into values."""

    def __init__(self, registry: Registry, arrays: list[Array]) -> None:
        self.registry = registry
        self.arrays = dict(enumerate(arrays))  # arrays that no value has used yet

    def __call__(self, node: Any) -> Any:
        if isinstance(node, list):
            return [self(item) for item in node]
        if not isinstance(node, dict):
            if type(node) is int and node.bit_length() > _BITS:
                raise ArchiveError("a whole number has too many digits")
            return node
        keys, read = _KINDS.get(node.get("$"), (set(), None))
        if read is None or node.keys() != {"$", *keys}:
            raise ArchiveError(f"a value has the unknown kind {node.get('$')!r} with {list(node)[:5]}")
        return read(self, node)

    def array(self, node: dict[str, Any]) -> Array:
        """Return an array and remove it from the list, since each array belongs to one value."""
        if node["at"] not in self.arrays:
            raise ArchiveError(f"array {node['at']!r} is missing, or belongs to two values")
        return self.arrays.pop(node["at"])

    def items(self, node: dict[str, Any]) -> list[Any]:
        """Return a list of items; it must not be an array, whose rows as a list could exceed the memory."""
        if type(node["items"]) is not list:
            raise ArchiveError("items are not a list")
        return [self(item) for item in node["items"]]

    def thing(self, name: str) -> Any:
        """Return a class or function by its name."""
        if name not in self.registry.things:
            raise ArchiveError(
                f"it needs {name!r}, which is not part of tinyclf; load it with custom={{{name!r}: ...}}"
            )
        return self.registry.things[name]


def _object(read: _Decoder, node: dict[str, Any]) -> Any:
    cls = read.thing(node["class"])
    if not isinstance(cls, type):
        raise ArchiveError(f"{node['class']!r} is not a class")
    held = {name: read(item) for name, item in node["fields"].items()}
    if hasattr(cls, "to_dict") and hasattr(cls, "from_dict"):
        return cls.from_dict(held)
    if read.registry.is_own(cls):
        if is_dataclass(cls) and held.keys() != (names := {field.name for field in fields(cls)}):
            raise ArchiveError(f"{node['class']} must have the fields {sorted(names)}, got {sorted(held)}")
        return cls(**held)
    made: Any = object.__new__(cls)
    vars(made).update(held)
    return made


def _objects(read: _Decoder, node: dict[str, Any]) -> Array:
    items = read.items(node)
    flat = np.empty(len(items), object)
    for i, item in enumerate(items):  # flat[:] = items would treat nested lists as further axes
        flat[i] = item
    return flat.reshape(node["shape"])


def _float(read: _Decoder, node: dict[str, Any]) -> float:
    if node["value"] not in ("nan", "inf", "-inf"):
        raise ArchiveError(f"a number is written as {str(node['value'])[:50]!r}")
    return float(node["value"])


def _dict(read: _Decoder, node: dict[str, Any]) -> dict[Any, Any]:
    pairs = node["items"]
    if type(pairs) is not list or not all(type(pair) is list and len(pair) == 2 for pair in pairs):
        raise ArchiveError("the items of a dict are not pairs")
    held = {read(key): read(item) for key, item in pairs}
    if len(held) != len(pairs):
        raise ArchiveError("a dict has the same key twice")
    return held


def _scalar(read: _Decoder, node: dict[str, Any]) -> Any:
    array = read.array(node)
    if array.shape != ():
        raise ArchiveError(f"a single number has shape {array.shape}")
    return array[()]


def _dtype(read: _Decoder, node: dict[str, Any]) -> np.dtype[Any]:
    array = read.array(node)
    if array.shape != (0,):
        raise ArchiveError(f"a dtype has shape {array.shape}")
    return array.dtype


# NumPy accepts states of random generators that cannot occur. From some of them, such as an even increment,
# all random numbers are equal, and shuffling never ends; from others, NumPy reads memory beyond the state.


def _random_state(read: _Decoder, node: dict[str, Any]) -> np.random.RandomState:
    made, state = np.random.RandomState(0), read(node["state"])
    possible = 0 <= state["state"].get("pos", 0) <= 624
    if possible:
        made.set_state(state)
        key = state["state"]["key"]
        possible = _same(state, made.get_state(legacy=False)) and (key[0] >= 2**31 or key[1:].any())
    if not possible or state["has_gauss"] not in (0, 1) or not math.isfinite(state["gauss"]):
        raise ArchiveError("the state of a RandomState is invalid")
    return made


def _generator(read: _Decoder, node: dict[str, Any]) -> np.random.Generator:
    bits, state = np.random.PCG64(0), read(node["state"])
    bits.state = state
    if not _same(state, bits.state) or state["state"]["inc"] % 2 == 0 or state["has_uint32"] not in (0, 1):
        raise ArchiveError("the state of a Generator is invalid")
    return np.random.Generator(bits)


def _same(a: Any, b: Any) -> bool:
    """Return whether two states of random generators have the same types and values."""
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(_same(a[name], b[name]) for name in a)
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and np.array_equal(a, b)
    return bool(a == b)


_KINDS: dict[Any, tuple[set[str], Callable[[_Decoder, dict[str, Any]], Any]]] = {
    "float": ({"value"}, _float),
    "tuple": ({"items"}, lambda read, node: tuple(read.items(node))),
    "dict": ({"items"}, _dict),
    "array": ({"at"}, _Decoder.array),
    "scalar": ({"at"}, _scalar),
    "dtype": ({"at"}, _dtype),
    "objects": ({"shape", "items"}, _objects),
    "name": ({"name"}, lambda read, node: read.thing(node["name"])),
    "object": ({"class", "fields"}, _object),
    "RandomState": ({"state"}, _random_state),
    "Generator": ({"state"}, _generator),
}
