"""Saving and loading of a fitted `TinyClassifier`, without pickle: no code that a file brings is run.

The file is an archive (`archive`), a NumPy ``.npz``; its JSON is, in version 1,

    {"format": "tinyclf.TinyClassifier", "version": 1, "made_by": "0.1.0",
     "parameters": {...},      what get_params(deep=False) returns
     "fitted": {...},          n_features_in_, labels, network, state, and the books of training
     "progress": null}         of a fit that can be resumed, for the callback `Checkpoint`

Values are as JSON has them, and else an object with the key "$", which tells what it is:

    {"$": "tuple", "items": [...]}                      also "dict", whose items are pairs
    {"$": "float", "value": "nan"}                      numbers that JSON does not have
    {"$": "array", "at": 3}                             the archive's array 3
    {"$": "scalar", "at": 4}                            its only entry, as NumPy's scalar
    {"$": "dtype", "at": 5}                             its type
    {"$": "objects", "shape": [2], "items": [...]}      an array of Python's strings
    {"$": "named", "name": "flat_cosine"}               a class or function of the table below
    {"$": "object", "class": "Adam", "fields": {...}}   an instance of one
    {"$": "RandomState", "state": {...}}                also "Generator"

A name that is not in `KNOWN` must be among ``custom``, when saving and when loading.

Why npz: NumPy, which is there anyway, keeps it up; types, byte order and memory order survive; and any other
program can read its arrays. safetensors, which is as safe, knows no strings, and labels may be strings.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from . import __version__, initialisers, schedules
from .archive import KINDS, ArchiveError, read_archive, refusal, write_archive
from .blueprint import Blueprint, computation_dtype
from .books import NAMES
from .layers import Dense, Dropout, Identity, Layer, Logistic, ReLU, Tanh
from .losses import Loss, SigmoidCrossEntropy, SoftmaxCrossEntropy
from .network import Network
from .optimizers import SGD, Adam, AdamW
from .scaling import Scaling
from .state import TrainState
from .stopping import Plateau
from .targets import Labels, LabelSets, Probabilities
from .views import Array

FORMAT, VERSION = "tinyclf.TinyClassifier", 1

_PARTS = {"format", "version", "made_by", "parameters", "fitted", "progress"}
_FITTED = {
    *("n_features_in", "feature_names_in", "labels", "layers", "ends", "loss", "theta", "scaling"),
    *("optimizer", "vectors", "counts", "streams", "plateau", "books"),
}

_KNOWN: tuple[Any, ...] = (
    *(Dense, Dropout, Identity, Logistic, ReLU, Tanh),
    *(SoftmaxCrossEntropy, SigmoidCrossEntropy),
    *(SGD, Adam, AdamW),
    *(Labels, LabelSets, Probabilities),
    *(Scaling, Plateau, float, np.float32, np.float64),
    *schedules.SCHEDULES.values(),
    *(initialisers.glorot_uniform, initialisers.glorot_uniform_logistic, initialisers.he_normal),
)
KNOWN: dict[str, Any] = {thing.__name__: thing for thing in _KNOWN}
"""Classes and functions that need not be among ``custom``."""

# Of whole numbers: no random generator has larger ones, and these fit into a float.
_BITS = 128


# --- values and JSON ---------------------------------------------------------------------------------------


class Writer:
    """Turns values into JSON and arrays.

    Parameters
    ----------
    custom : mapping of str to anything, or None
        Names of what is not in `KNOWN`.
    """

    def __init__(self, custom: Mapping[str, Any] | None) -> None:
        self.names = {id(thing): name for name, thing in _table(custom).items()}
        self.arrays: list[Array] = []

    def __call__(self, value: Any, what: str) -> Any:
        """Return a value as JSON; ``what`` is what an error calls it."""
        if value is None or type(value) in (bool, int, str):
            return value
        if type(value) is float:
            return value if math.isfinite(value) else {"$": "float", "value": repr(value)}
        if type(value) is list:
            return [self(item, what) for item in value]
        if type(value) is tuple:
            return {"$": "tuple", "items": self(list(value), what)}
        if type(value) is dict:
            return {"$": "dict", "items": [[self(k, what), self(v, what)] for k, v in value.items()]}
        if type(value) in (np.ndarray, np.memmap):
            if value.dtype != object:
                return {"$": "array", "at": self._array(value, what)}
            return {"$": "objects", "shape": list(value.shape), "items": self(list(value.flat), what)}
        if isinstance(value, np.generic):
            return {"$": "scalar", "at": self._array(np.asarray(value), what)}
        if isinstance(value, np.dtype):
            return {"$": "dtype", "at": self._array(np.empty(0, value), what)}
        if type(value) is np.random.RandomState:
            return {"$": "RandomState", "state": self(value.get_state(legacy=False), what)}
        if type(value) is np.random.Generator:
            return {"$": "Generator", "state": self(value.bit_generator.state, what)}
        if id(value) in self.names:
            return {"$": "named", "name": self.names[id(value)]}
        return self._object(value, what)

    def _array(self, array: Array, what: str) -> int:
        if array.dtype.kind not in KINDS:
            raise ValueError(
                f"a file cannot hold {what} of dtype {array.dtype}; it can hold numbers, dates and str"
            )
        self.arrays.append(array)
        return len(self.arrays) - 1

    def _object(self, value: Any, what: str) -> dict[str, Any]:
        cls: Any = type(value)
        if id(cls) not in self.names:
            name = getattr(value, "__name__", cls.__name__)
            raise ValueError(
                f"{what} is {value!r}, and a file cannot hold code: {name} is not tinyclf's own. Give it a "
                f"name, custom={{{name!r}: {name}}}, and load with the same custom"
            )
        if is_dataclass(cls) and cls in _KNOWN:
            held = {field.name: getattr(value, field.name) for field in fields(cls)}
        elif cls.__new__ is object.__new__ and not any(vars(c).get("__slots__") for c in cls.__mro__):
            held = vars(value)
        else:
            raise ValueError(
                f"{what} is {value!r}, and a file can hold what an object has as attributes, but not what a "
                f"{cls.__name__} has beside them; give the object itself a name in custom"
            )
        return {
            "$": "object",
            "class": self.names[id(cls)],
            "fields": {name: self(item, f"{what}.{name}") for name, item in held.items()},
        }


class Reader:
    """Turns JSON and arrays back into values; the opposite of `Writer`."""

    def __init__(self, custom: Mapping[str, Any] | None, arrays: list[Array]) -> None:
        self.things = _table(custom)
        self.arrays = dict(enumerate(arrays))

    def __call__(self, node: Any) -> Any:
        """Return the value that JSON stands for."""
        if isinstance(node, list):
            return [self(item) for item in node]
        if not isinstance(node, dict):
            _check(
                type(node) is not int or node.bit_length() <= _BITS,
                "it has a whole number of too many digits",
            )
            return node
        keys, read = _READERS.get(node.get("$"), (set(), None))
        if read is None or node.keys() != {"$", *keys}:
            raise ArchiveError(f"it has a value of the unknown kind {node.get('$')!r} with {list(node)[:5]}")
        return read(self, node)

    def array(self, node: Any) -> Array:
        """Return an array, each of which belongs to one value."""
        return self.arrays.pop(node["at"])

    def items(self, node: Any) -> list[Any]:
        """Return items; an array without entries can have more rows than there is memory."""
        _check(type(node["items"]) is list, "its items are no list")
        return [self(item) for item in node["items"]]

    def thing(self, name: str) -> Any:
        """Return the class or function of a name."""
        if name not in self.things:
            raise ArchiveError(
                f"it needs {name!r}, which is not tinyclf's own; load it with custom={{{name!r}: ...}}"
            )
        return self.things[name]


def _table(custom: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return what has a name in a file."""
    custom = custom or {}
    if not isinstance(custom, Mapping) or not all(isinstance(name, str) for name in custom):
        raise TypeError(f"custom must be a dict from names to classes and functions, got {custom!r}")
    if taken := [name for name in custom if name in KNOWN and custom[name] is not KNOWN[name]]:
        raise ValueError(f"custom has other things under names of tinyclf's own, {taken}; choose other names")
    return {**KNOWN, **custom}


def _object(read: Reader, node: dict[str, Any]) -> Any:
    cls = read.thing(node["class"])
    _check(isinstance(cls, type), f"it has {node['class']!r} as a class")
    held = {name: read(item) for name, item in node["fields"].items()}
    if cls in _KNOWN:
        return cls(**held)  # which checks them
    made = cls.__new__(cls)
    vars(made).update(held)
    return made


def _objects(read: Reader, node: dict[str, Any]) -> Array:
    items = read.items(node)
    flat = np.empty(len(items), object)
    flat[:] = items
    return flat.reshape(node["shape"])


def _random_state(read: Reader, node: dict[str, Any]) -> np.random.RandomState:
    made, state = np.random.RandomState(0), read(node["state"])
    made.set_state(state)
    _check(0 <= state["state"]["pos"] <= 624, "its RandomState is beyond its end")  # NumPy would go there
    return made


def _generator(read: Reader, node: dict[str, Any]) -> np.random.Generator:
    bits = np.random.PCG64(0)
    bits.state = read(node["state"])
    return np.random.Generator(bits)


_READERS: dict[Any, tuple[set[str], Callable[[Reader, dict[str, Any]], Any]]] = {
    "float": ({"value"}, lambda read, node: float(node["value"])),
    "tuple": ({"items"}, lambda read, node: tuple(read.items(node))),
    "dict": ({"items"}, lambda read, node: dict(read.items(node))),
    "array": ({"at"}, Reader.array),
    "scalar": ({"at"}, lambda read, node: read.array(node)[()]),
    "dtype": ({"at"}, lambda read, node: read.array(node).dtype),
    "objects": ({"shape", "items"}, _objects),
    "named": ({"name"}, lambda read, node: read.thing(node["name"])),
    "object": ({"class", "fields"}, _object),
    "RandomState": ({"state"}, _random_state),
    "Generator": ({"state"}, _generator),
}


# --- models ------------------------------------------------------------------------------------------------


def save(
    model: Any,
    path: str | Path,
    custom: Mapping[str, Any] | None = None,
    progress: dict[str, Any] | None = None,
) -> None:
    """Save a fitted model, what `TinyClassifier.save` does; or one whose fit is under way."""
    plain, arrays, _ = packed(model, custom, progress)
    write_archive(path, plain, arrays)


def load(
    cls: type[Any], path: str | Path, custom: Mapping[str, Any] | None = None
) -> tuple[Any, dict[str, Any] | None]:
    """Load a model of this class, and the progress of its fit, if it is one that can be resumed."""
    _table(custom)  # an error of the caller's is none of the file
    plain, arrays = read_archive(path)
    try:
        return unpacked(cls, plain, arrays, custom)
    except ArchiveError as error:
        raise ArchiveError(f"{str(path)!r} cannot be loaded: {error}") from None


def packed(
    model: Any, custom: Mapping[str, Any] | None = None, progress: dict[str, Any] | None = None
) -> tuple[Any, list[Array], Any]:
    """Return a fitted model as JSON and arrays, and the twin that comes out of them, which is tried."""
    write = Writer(custom)
    network, state = model.network_, model._state
    plain = {
        "format": FORMAT,
        "version": VERSION,
        "made_by": __version__,
        "parameters": described(model, write),
        "fitted": {
            "n_features_in": int(model.n_features_in_),
            "feature_names_in": write(getattr(model, "feature_names_in_", None), "feature_names_in_"),
            "labels": write(model._labels, "classes_"),
            "layers": write(list(network.layers), "activation"),
            "ends": list(model._blueprint.ends),
            "loss": write(model._blueprint.loss, "loss"),
            "theta": write(network.theta, "coefs_"),
            "scaling": write(network.scaling, "input_scale_"),
            "optimizer": write(state.optimizer, "solver"),
            "vectors": write(vars(state.vectors), "solver"),
            "counts": [state.t, state.scale, state.epoch],
            "streams": write([state.shuffle_rng, state.dropout_rng], "random_state"),
            "plateau": write(state.plateau, "tol"),
            "books": {name: write(getattr(model, name), name) for name in NAMES},
        },
        "progress": write(progress, "progress"),
    }
    try:
        twin, _ = unpacked(type(model), plain, write.arrays, custom)
    except ArchiveError as error:
        raise ValueError(f"the model cannot be saved, since it could not be loaded again: {error}") from None
    return plain, write.arrays, twin


def described(model: Any, write: Writer) -> dict[str, Any]:
    """Return the parameters of a model as JSON."""
    if type(model).__module__ != f"{__package__}.classifier":
        raise ValueError(
            f"a file holds a TinyClassifier, and not what {type(model).__name__}, a class of its own, is "
            "beside that; pickle it"
        )
    return {name: write(value, name) for name, value in model.get_params(deep=False).items()}


def unpacked(
    cls: type[Any], plain: Any, arrays: list[Array], custom: Mapping[str, Any] | None = None
) -> tuple[Any, dict[str, Any] | None]:
    """Return the model, of this class, and the progress that `packed` was given.

    Each part must be what it should be and fit the others; else an `ArchiveError` tells why.
    """
    try:
        return _model(cls, plain, Reader(custom, arrays))
    except Exception as error:  # whatever contents do that no model has
        raise refusal("these are not the contents of a model", error) from None


def _model(cls: type[Any], plain: Any, read: Reader) -> tuple[Any, dict[str, Any] | None]:
    _check(isinstance(plain, dict) and plain.get("format") == FORMAT, "it is of another format")
    version = plain["version"]
    _check(type(version) is int and version >= 1, "its version is", version)
    if version > VERSION:
        raise ArchiveError(
            f"it was saved by a newer tinyclf, {plain.get('made_by')}, in version {version} of the format; "
            f"this one, {__version__}, reads {VERSION} at most"
        )
    _check(plain.keys() == _PARTS, "its parts are", list(plain))
    _check(plain["fitted"].keys() == _FITTED, "its fitted parts are", list(plain["fitted"]))
    parameters = {name: read(node) for name, node in plain["parameters"].items()}
    expected = set(cls().get_params(deep=False))
    _check(set(parameters) == expected, "its parameters differ by", sorted(set(parameters) ^ expected))
    fitted = {name: read(node) for name, node in plain["fitted"].items() if name != "books"}
    books = {name: read(node) for name, node in plain["fitted"]["books"].items()}
    progress = read(plain["progress"])
    model = cls(**parameters)
    model._validate_params()
    _restore(model, fitted)
    _check_books(books)
    vars(model).update(books)
    _check_progress(progress, model)
    _check(not read.arrays, "no value is in its arrays", list(read.arrays)[:5])
    return model, progress


def _restore(model: Any, f: dict[str, Any]) -> None:
    """Give a model what was fitted."""
    n_in, names, labels, theta = f["n_features_in"], f["feature_names_in"], f["labels"], f["theta"]
    _check(_is_count(n_in, 1), "n_features_in_ is", n_in)
    if names is not None:
        fits = isinstance(names, np.ndarray) and names.dtype == object and names.shape == (n_in,)
        _check(fits and all(isinstance(name, str) for name in names), "feature_names_in_ is", names)
        model.feature_names_in_ = names
    _check_labels(labels)
    _check(isinstance(theta, np.ndarray) and theta.ndim == 1, "its weights are no vector")
    _check(isinstance(f["loss"], Loss), "its loss is", f["loss"])
    _check_layers(f["layers"], f["ends"], n_in, theta.size)
    network = Network(f["layers"], n_in, dtype=theta.dtype, seed=0)
    network.theta = theta
    network.scaling = f["scaling"]
    _check(network.widths[-1] == labels.n_outputs(f["loss"]), "its layers do not fit its classes")
    _check_scaling(network.scaling, n_in)
    computation_dtype(model.dtype, theta.dtype)
    model._blueprint = replace(
        Blueprint.of(model, labels),
        layers=f["layers"],
        ends=f["ends"],
        loss=f["loss"],
        n_outputs=network.widths[-1],
    )
    model.n_features_in_ = n_in
    model._labels, model.classes_ = labels, labels.classes
    model.n_outputs_, model.out_activation_ = network.widths[-1], f["loss"].link
    model.network_, model._state = network, _state(network, f)
    model.n_layers_ = len(model.coefs_) + 1


def _state(network: Network, f: dict[str, Any]) -> TrainState:
    state, plateau = TrainState(network, f["optimizer"], seed=0), f["plateau"]
    _check(f["vectors"].keys() == vars(state.vectors).keys(), "its vectors are", list(f["vectors"]))
    for name, vector in f["vectors"].items():
        _check(_is_vector(vector, network.theta.size, network.dtype), f"its vector {name} is no such")
        setattr(state.vectors, name, vector)
    t, scale, epoch = f["counts"]
    _check(_is_count(t) and _is_count(epoch), "its counts are", f["counts"])
    _check(type(scale) is float and 0.0 <= scale < math.inf, "the scale of its learning rate is", scale)
    _check(len(f["streams"]) == 2, "it has no two streams")
    _check(all(isinstance(s, np.random.Generator) for s in f["streams"]), "its streams are none")
    if plateau is not None:
        _check(isinstance(plateau, Plateau) and _is_count(plateau.without_gain), "it waits by", plateau)
        _check(type(plateau.best_loss) is float, "its plateau is", plateau)
    state.t, state.scale, state.epoch, state.plateau = t, scale, epoch, plateau
    state.shuffle_rng, state.dropout_rng = f["streams"]
    return state


def _check_labels(labels: Any) -> None:
    _check(isinstance(labels, Labels), "its labels are", labels)
    classes = labels.classes
    _check(isinstance(classes, np.ndarray) and classes.ndim == 1 and classes.size > 0, "it has no classes")
    in_order = True  # columns may have any order
    if isinstance(labels, LabelSets):
        in_order = np.array_equal(classes, np.arange(classes.size)) and type(labels.sparse) is bool
    elif not isinstance(labels, Probabilities):
        in_order = bool((classes[1:] > classes[:-1]).all())
        in_order &= classes.dtype != object or all(isinstance(label, str) for label in classes)
    _check(in_order, "its classes are", classes)


def _check_layers(layers: Any, ends: Any, n_in: int, size: int) -> None:
    """Check that each hidden layer begins with a dense one, and that there are not too few weights.

    That is before memory is taken for them.
    """
    _check(isinstance(layers, list) and all(isinstance(layer, Layer) for layer in layers), "it has no layers")
    _check(isinstance(ends, list) and all(map(_is_count, ends)), "its hidden layers end at", ends)
    starts = [0, *ends]
    in_order = starts == sorted(set(starts)) and starts[-1] == len(layers) - 1
    _check(in_order and all(isinstance(layers[i], Dense) for i in starts), "no dense layers at", starts)
    width, needed = n_in, 0
    for layer in layers:
        if isinstance(layer, Dense):
            needed += (width + 1) * int(layer.units)
            width = int(layer.units)
        _check(needed <= size, f"its layers need at least {needed} weights, it has {size}")


def _check_scaling(scaling: Any, n_in: int) -> None:
    if scaling is None:
        return
    _check(isinstance(scaling, Scaling) and type(scaling.centred) is bool, "its scaling is", scaling)
    _check(type(scaling.total) is float and 0.0 <= scaling.total < math.inf, "its scaling is of no rows")
    columns = (scaling.mean, scaling.deviation, scaling.mass, scaling.size, scaling.low, scaling.high)
    _check(all(_is_vector(column, n_in, np.float64) for column in columns), "its scaling is of other columns")


def _check_books(books: dict[str, Any]) -> None:
    _check(books.keys() == set(NAMES), "its books are", list(books))
    curve, scores, losses = (
        books[name] for name in ("loss_curve_", "validation_scores_", "validation_loss_curve_")
    )
    for numbers in (curve, [] if scores is None else scores, [] if losses is None else losses):
        _check(isinstance(numbers, list) and all(type(n) is float for n in numbers), "a curve has no numbers")
    _check((scores is None) == (losses is None), "it has one curve of the validation set")
    _check(losses is None or len(losses) == len(scores), "its curves of the validation set differ in length")
    for name in ("loss_", "calibration_"):
        _check(type(books[name]) is float, f"{name} is {books[name]!r}")
    for name in ("best_loss_", "best_validation_score_"):
        _check(books[name] is None or type(books[name]) is float, f"{name} is {books[name]!r}")
    _check(_is_count(books["t_"]), "t_ is", books["t_"])
    _check(_is_count(books["n_iter_"]) and books["n_iter_"] <= len(curve), "n_iter_ is", books["n_iter_"])
    best = books["best_epoch_"]
    _check(best is None or (_is_count(best, 1) and best <= len(curve)), "best_epoch_ is", best)


def _check_progress(progress: Any, model: Any) -> None:
    if progress is None:
        return
    _check(progress.keys() == {"fit", "training"}, "its progress is none")
    named = all(isinstance(text, str) for pair in progress["fit"].items() for text in pair)
    _check(named, "its progress is that of no fit")
    if (training := progress["training"]) is None:
        return
    _check(training.keys() == {"seed", "best", "scales", "stopped"}, "its progress is none")
    _check(_is_vector(training["seed"], 4, np.uint32), "its seed is none")
    score, epoch, theta = training["best"]
    _check(type(score) is float and (epoch is None) == (theta is None), "its best epoch is none")
    if epoch is not None:
        _check(_is_count(epoch, 1) and epoch <= model.n_iter_, "its best epoch is", epoch)
        _check(
            _is_vector(theta, model.network_.theta.size, model.network_.dtype), "its best weights are none"
        )
    scales = training["scales"]
    _check(isinstance(scales, list) and all(type(scale) is float for scale in scales), "its rates are none")
    _check(len(scales) == model.n_iter_, f"it has {len(scales)} rates for {model.n_iter_} epochs")
    _check(type(training["stopped"]) is bool, "whether it has stopped is not said")


def _is_count(value: Any, least: int = 0) -> bool:
    return type(value) is int and value >= least


def _is_vector(array: Any, n: int, dtype: Any) -> bool:
    return isinstance(array, np.ndarray) and array.shape == (n,) and array.dtype == dtype


def _check(fits: bool, reason: str, *got: Any) -> None:
    if not fits:
        raise ArchiveError(" ".join([reason, *map(repr, got)]))
