"""The codec: values are restored bit for bit; JSON and arrays that it never writes are refused."""

import enum
import json
import math
import re
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tests.support.archives import replaced
from tests.support.bits import shown
from tinyclf import ArchiveError
from tinyclf.persistence import Registry, decode, encode, read_file, with_head, without_head, write_file
from tinyclf.persistence.archive import write_archive

pytestmark = [
    pytest.mark.promise("no code from a file is run"),
    pytest.mark.promise("a file is loaded only as it was saved"),
]


@dataclass(frozen=True)
class Rate:
    """A registered dataclass, which checks its fields."""

    rate: float
    kind: str = "constant"

    def __post_init__(self):
        if not 0.0 <= self.rate <= 1.0:
            raise ValueError(f"rate must be from 0 to 1, got {self.rate}")


class Solver:
    """A user's class; its constructor must not be called."""

    def __init__(self, learning_rate):
        self.learning_rate = learning_rate
        self.calls = 1


class Counts:
    """A registered class with ``to_dict`` and ``from_dict``, which checks its contents."""

    def __init__(self, counts):
        self.counts = counts

    def to_dict(self):
        return {"counts": self.counts}

    @classmethod
    def from_dict(cls, held):
        if held.keys() != {"counts"} or not isinstance(held["counts"], list):
            raise ValueError(f"counts must be a list, got {held}")
        return cls(held["counts"])


def halved(progress):
    return progress / 2


OWN = {"Rate": Rate, "Counts": Counts, "float": float}
REGISTRY = Registry(OWN, {"Solver": Solver, "halved": halved})


def round_trip(value, registry=REGISTRY):
    """A value encoded to JSON text and arrays, and decoded."""
    plain, arrays = encode(value, registry)
    text = json.dumps(plain, allow_nan=False)
    return decode(json.loads(text), [array.copy("K") for array in arrays], registry)


# --- round trips -------------------------------------------------------------------------------------------


def random_state():
    state = np.random.RandomState(3)
    state.standard_normal(7)  # an odd number, so that the state has a cached value
    return state


def objects(*items, shape=None):
    """An array of Python objects."""
    array = np.empty(len(items), object)
    for i, item in enumerate(items):
        array[i] = item
    return array.reshape(len(items) if shape is None else shape)


VALUES = [
    *(None, True, False, 0, -1, 2**127, -(2**127), 0.0, -0.0, 5e-324, 1.7976931348623157e308),
    *(math.inf, -math.inf, math.nan, "", "é \N{SNOWMAN} \x00 \ud800", "$"),
    *([], [[]], [1, [2.0, "a"]], (), (1, (2, [3])), {}, {"a": {"b": (1,)}}, {"$": 1, "at": 2}),
    {1: "int", "1": "str", (1, 2): None, np.int64(3): 0.5, None: []},
    *(np.float32(0.1), np.float64(-0.0), np.int8(-5), np.uint64(2**64 - 1), np.True_, np.str_("é")),
    *(np.datetime64("2024-02-29"), np.timedelta64(3, "s"), np.datetime64("NaT", "s")),
    *(np.dtype("f4"), np.dtype(">i2"), np.dtype("U5"), np.dtype("M8[s]"), np.dtype(bool)),
    *(
        np.arange(3),
        np.eye(2, 3, dtype=">f4"),
        np.asfortranarray(np.eye(2, 3)),
        np.zeros((0, 3)),
        np.array(1.5),
    ),
    *(np.array(["é", ""]), np.array([np.nan, -np.nan, np.inf]), np.array(["2024-02-29", "NaT"], "M8[D]")),
    *(objects("a", "\ud800"), objects(), objects(1, None, 2.5, shape=(3, 1)), objects("x", shape=())),
    *(objects([1], [2]), objects([1, 2], [3, 4]), objects(np.arange(3), (1,))),
    *(
        np.random.RandomState(0),
        random_state(),
        np.random.default_rng(0),
        np.random.default_rng([1, 2]).spawn(2),
    ),
    *(Rate, float, halved, Solver, Rate(0.5), Rate(np.float32(0.5), "x"), Counts([1, 2])),
    *(Solver(np.arange(2)), Solver(Solver(halved)), [Rate(0.0), {"a": Counts([Rate(1.0)])}]),
]


@pytest.mark.parametrize("value", VALUES, ids=range(len(VALUES)))
def test_a_round_trip_restores_a_value(value):
    assert shown(round_trip(value)) == shown(value)


KEYS = st.none() | st.booleans() | st.integers(-(2**127), 2**127) | st.text() | st.floats(allow_nan=False)
SOME_ARRAYS = hnp.arrays(
    hnp.floating_dtypes() | hnp.integer_dtypes(), hnp.array_shapes(min_dims=0, min_side=0)
)
ANYTHING = st.recursive(
    KEYS | st.floats() | SOME_ARRAYS | st.builds(Rate, st.floats(0, 1)) | st.sampled_from([Rate, halved]),
    lambda values: (
        st.lists(values)
        | st.lists(values).map(tuple)
        | st.dictionaries(KEYS, values)
        | st.builds(Solver, values)
        | st.lists(values).map(Counts)
    ),
    max_leaves=15,
)


@given(ANYTHING)
def test_a_round_trip_restores_any_value_and_the_encoding_is_reproducible(value):
    restored = round_trip(value)
    assert shown(encode(restored, REGISTRY)) == shown(encode(value, REGISTRY))
    if "nan" not in repr(value):  # the sign of a Python nan is not kept
        assert shown(restored) == shown(value)


def test_restored_random_generators_draw_the_same_numbers():
    for rng, draw in ((random_state(), "standard_normal"), (np.random.default_rng(5), "random")):
        restored = round_trip(rng)
        assert restored is not rng
        assert getattr(restored, draw)(700).tolist() == getattr(rng, draw)(700).tolist()


@pytest.mark.parametrize("draws", [0, 1, 623, 624, 625])
def test_every_state_that_a_random_generator_has_is_restored(draws):
    old, new = np.random.RandomState(1), np.random.default_rng(1)
    for rng, draw in (
        (old, lambda: old.randint(2**32, size=draws, dtype=np.uint32)),
        (old, lambda: old.standard_normal(draws)),
        (new, lambda: new.integers(2**32, size=draws, dtype=np.uint32)),
    ):
        draw()
        assert shown(round_trip(rng)) == shown(rng)


def test_an_object_of_a_user_defined_class_is_restored_without_calling_its_constructor():
    solver = Solver(0.5)
    solver.calls = 7
    restored = round_trip(solver)
    assert vars(restored) == {"learning_rate": 0.5, "calls": 7}


def test_a_memory_map_is_restored_as_an_array(tmp_path):
    np.save(tmp_path / "a.npy", np.arange(3.0))
    mapped = np.load(tmp_path / "a.npy", mmap_mode="r")
    write_file(tmp_path / "b.npz", *encode(mapped, REGISTRY), format="test", version=1)
    restored = read_file(tmp_path / "b.npz", REGISTRY, lambda content: content, format="test", version=1)
    assert type(restored) is np.ndarray
    assert restored.tolist() == [0.0, 1.0, 2.0]


def test_a_registered_object_is_restored_by_name_as_the_same_object():
    thing = object()
    registry = Registry({}, {"it": thing})
    assert round_trip([thing], registry)[0] is thing


def test_a_file_holds_the_encoded_value_and_the_same_value_makes_the_same_file(tmp_path):
    value = {"a": np.arange(3), "b": Rate(0.5)}
    for name in ("one", "other"):
        write_file(tmp_path / name, *encode(value, REGISTRY), format="test", version=3)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "other").read_bytes()
    restored = read_file(
        tmp_path / "one", REGISTRY, lambda content: ("built", content), format="test", version=3
    )
    assert shown(restored) == shown(("built", value))


# --- what cannot be encoded --------------------------------------------------------------------------------


class Color(enum.IntEnum):
    RED = 1


class Mapped(dict):
    """A class whose items are not attributes."""


class Slotted:
    __slots__ = ("rate",)


class Derived(Slotted):
    """A class whose base class has a slot."""


class Made:
    def __new__(cls):
        return super().__new__(cls)


class Stranger:
    def __repr__(self):
        return "<a stranger>"


@pytest.mark.parametrize(
    ("value", "path", "name"),
    [
        (Stranger(), "the value", "Stranger"),
        ({"activation": Stranger()}, "activation", "Stranger"),
        ({"activation": [1, (Stranger(),)]}, "activation", "Stranger"),
        ({"activation": {"deep": Stranger()}}, "activation.deep", "Stranger"),
        ({"activation": Stranger}, "activation", "Stranger"),
        ({"solver": Solver(Stranger())}, "solver.learning_rate", "Stranger"),
        ({"solver": Solver({"at": Solver(Stranger())})}, "solver.learning_rate.at.learning_rate", "Stranger"),
        ({"rates": [Rate(0.5, Stranger())]}, "rates.kind", "Stranger"),
        ({"state": Counts([Stranger()])}, "counts", "Stranger"),
        ({"names": objects("a", Stranger())}, "names", "Stranger"),
        ({"rate": len}, "rate", "len"),
        ({"rate": lambda progress: 1.0}, "rate", "<lambda>"),
        ({"rate": Color.RED}, "rate", "Color"),
        ({"rate": b"bytes"}, "rate", "bytes"),
        ({"rate": {1, 2}}, "rate", "set"),
        ({"rate": 1j}, "rate", "complex"),
        ({"rate": np.ma.masked_array([1.0])}, "rate", "MaskedArray"),
    ],
)
def test_the_error_names_a_value_that_cannot_be_saved_by_its_path(value, path, name):
    message = rf"^{path} is (?s:.*), which cannot be saved, since .* {name} is not part of tinyclf. Pass cu"
    with pytest.raises(ValueError, match=message):
        encode(value, REGISTRY)


@pytest.mark.parametrize("dtype", ["S3", "V4", [("a", "f4"), ("b", "i8")], [("a", "O")]])
def test_the_error_names_the_dtype_of_an_array_that_cannot_be_saved(dtype):
    array = np.zeros(2, dtype)
    for value in (array, array[0], array.dtype):
        if isinstance(value, (np.ndarray, np.generic, np.dtype)):
            with pytest.raises(
                ValueError, match="^solver.learning_rate has dtype .*, which cannot be saved; num"
            ):
                encode({"solver": Solver(value)}, REGISTRY)


@pytest.mark.parametrize("cls", [Mapped, Slotted, Derived, Made])
def test_objects_with_contents_beside_their_attributes_are_refused(cls):
    registry = Registry({}, {cls.__name__: cls})
    with pytest.raises(
        ValueError, match=rf"^a is .*, of which only the attributes .* a {cls.__name__} contains other data"
    ):
        encode({"a": cls()}, registry)


# --- what cannot be decoded --------------------------------------------------------------------------------

ARRAY, RNG, OLD = {"$": "array", "at": 0}, np.random.default_rng(0), np.random.RandomState(0)
ENDLESS = np.empty((10**9, 0))  # it holds no bytes, but iterating over it creates an array for each row


def generator(**changes):
    """The JSON of a random generator with some entries changed."""
    plain, _ = encode(RNG, REGISTRY)
    items = [[name, changes.get(name, item)] for name, item in plain["state"]["items"]]
    return {"$": "Generator", "state": {"$": "dict", "items": items}}


def old_generator(**changes):
    """The same for a RandomState, whose key is array 0."""
    plain, _ = encode(OLD, REGISTRY)
    items = [[name, changes.get(name, item)] for name, item in plain["state"]["items"]]
    return {"$": "RandomState", "state": {"$": "dict", "items": items}}


def inner(**items):
    """The JSON of the inner state of a random generator."""
    return {"$": "dict", "items": list(map(list, items.items()))}


KEY = OLD.get_state(legacy=False)["state"]["key"]
WRONG_KEYS = [KEY[:623], np.append(KEY, KEY), KEY[:, None], KEY.astype(np.uint64), KEY.astype(float)]
WRONG_KEYS += [KEY.astype(">u4"), KEY > 5]

REFUSED = [
    # (JSON, arrays, words of the error)
    ({}, [], "unknown kind None"),
    ({"a": 1}, [], "unknown kind None"),
    ({"$": "pickle", "at": 0}, [], "unknown kind 'pickle'"),
    ({"$": "array"}, [np.zeros(1)], "unknown kind 'array' with"),
    ({"$": "array", "at": 0, "more": 1}, [np.zeros(1)], "unknown kind 'array' with"),
    ({"$": []}, [], "unhashable"),
    ({"$": None}, [], "unknown kind None"),
    (2**128, [], "a whole number has too many digits"),
    (-(10**400), [], "a whole number has too many digits"),
    ([[{"$": "tuple", "items": [2**128]}]], [], "a whole number has too many digits"),
    *(({"$": "array", "at": at}, [np.zeros(1)], "array .* is missing") for at in (1, -1, "0", None, 0.5)),
    ({"$": "array", "at": []}, [np.zeros(1)], "unhashable"),
    ([ARRAY, ARRAY], [np.zeros(1)], "array 0 is missing, or belongs to two values"),
    (None, [np.zeros(1)], r"the arrays \[0\] are not used by any value"),
    (ARRAY, [np.zeros(1)] * 3, r"the arrays \[1, 2\] are not used by any value"),
    ({"$": "scalar", "at": 0}, [np.zeros(1)], r"a single number has shape \(1,\)"),
    ({"$": "dtype", "at": 0}, [np.zeros(2)], r"a dtype has shape \(2,\)"),
    ({"$": "dtype", "at": 0}, [np.zeros(())], r"a dtype has shape \(\)"),
    *(
        ({"$": "float", "value": value}, [], "a number is written as")
        for value in ("1.5", "NaN", 1.5, None, "1" * 10**6)
    ),
    *(({"$": "tuple", "items": items}, [], "items are not a list") for items in ("ab", None, {}, 5)),
    ({"$": "tuple", "items": ARRAY}, [ENDLESS], "items are not a list"),
    *(
        ({"$": "dict", "items": items}, [], "items of a dict are not pairs")
        for items in ("ab", None, {}, ["ab"], [[1]], [[1, 2, 3]], [{"a": 1, "b": 2}])
    ),
    ({"$": "dict", "items": ARRAY}, [ENDLESS], "items of a dict are not pairs"),
    ({"$": "dict", "items": [ARRAY]}, [ENDLESS], "items of a dict are not pairs"),
    ({"$": "dict", "items": [[[], 1]]}, [], "unhashable"),
    ({"$": "dict", "items": [[ARRAY, 1]]}, [ENDLESS], "unhashable"),
    ({"$": "dict", "items": [["a", 1], ["a", 1]]}, [], "a dict has the same key twice"),
    ({"$": "dict", "items": [[1, "a"], [True, "a"]]}, [], "a dict has the same key twice"),
    ({"$": "objects", "shape": [2], "items": "ab"}, [], "items are not a list"),
    ({"$": "objects", "shape": [3], "items": ["a", "b"]}, [], "reshape"),
    ({"$": "objects", "shape": [10**12], "items": []}, [], "reshape"),
    ({"$": "objects", "shape": [2**70], "items": ["a"]}, [], "Maximum allowed dimension exceeded"),
    ({"$": "objects", "shape": "a", "items": ["a"]}, [], "Error"),
    (
        {"$": "name", "name": "system"},
        [],
        r"it needs 'system', which is not part of tinyclf; load it with custom=\{",
    ),
    ({"$": "name", "name": []}, [], "unhashable"),
    ({"$": "name", "name": None}, [], "it needs None"),
    ({"$": "object", "class": "os.system", "fields": {}}, [], "it needs 'os.system'"),
    ({"$": "object", "class": "halved", "fields": {}}, [], "'halved' is not a class"),
    (
        {"$": "object", "class": "Rate", "fields": {"rate": 2.0, "kind": "x"}},
        [],
        "^rate must be from 0 to 1, got 2.0",
    ),
    (
        {"$": "object", "class": "Rate", "fields": {}},
        [],
        r"^Rate must have the fields \['kind', 'rate'\], got \[\]",
    ),
    ({"$": "object", "class": "Rate", "fields": {"rate": 0.5}}, [], "must have the fields .*, got"),
    (
        {"$": "object", "class": "Rate", "fields": {"rate": 0.5, "kind": "", "x": 1}},
        [],
        "must have the fields",
    ),
    ({"$": "object", "class": "Rate", "fields": []}, [], "AttributeError"),
    ({"$": "object", "class": "Counts", "fields": {"counts": 1}}, [], "^counts must be a list"),
    ({"$": "object", "class": "Counts", "fields": {}}, [], "^counts must be a list"),
    ({"$": "object", "class": "float", "fields": {"x": 1}}, [], "TypeError"),
    (generator(bit_generator="MT19937"), [], "PCG64"),
    (generator(state=5), [], "Error"),
    (generator(uinteger=2**64), [], "OverflowError"),
    *(
        (generator(**{name: value}), [], "the state of a Generator is invalid|Error")
        for name, values in {
            "state": [inner(state=5, inc=inc) for inc in (0, 2, 2**128 - 2, -1, True, 3.0)]
            + [inner(state=state, inc=3) for state in (-1, True, 5.0)]
            + [inner(state=5, inc=3, more=1)],
            "has_uint32": [2, -1, 256, True, 0.0, None],
            "uinteger": [2**32, -1, 2**64 + 1, True, 0.0, None],
        }.items()
        for value in values
    ),
    *(
        (old_generator(**{name: value}), [array], "the state of a RandomState is invalid|Error")
        for array, changes in (
            (KEY, {"state": [inner(key=ARRAY, pos=pos) for pos in (-1, 625, 2**31, 2**32, True, 1.0, None)]}),
            (KEY, {"state": [inner(key=ARRAY, pos=1, more=1)], "has_gauss": [2, -1, True, 1.0, None]}),
            (KEY, {"gauss": [{"$": "float", "value": text} for text in ("nan", "inf")] + [1, None]}),
            (KEY & np.uint32(0), {"state": [inner(key=ARRAY, pos=1)]}),
            (KEY * np.uint32(0) + (np.arange(624) == 0) * np.uint32(5), {"state": [inner(key=ARRAY, pos=1)]}),
            *((key, {"state": [inner(key=ARRAY, pos=1)]}) for key in WRONG_KEYS),
        )
        for name, values in changes.items()
        for value in values
    ),
    ({"$": "Generator", "state": {"$": "dict", "items": []}}, [], "Error|state|PCG64"),
    ({"$": "Generator", "state": None}, [], "Error|state"),
    ({"$": "RandomState", "state": None}, [], "Error|dict"),
    ({"$": "RandomState", "state": {"$": "dict", "items": []}}, [], "Error|state|MT19937"),
]


@pytest.mark.parametrize(("plain", "arrays", "match"), REFUSED)
def test_json_and_arrays_that_are_never_written_are_refused(plain, arrays, match):
    with pytest.raises(ArchiveError, match=match) as caught:
        decode(plain, arrays, REGISTRY)
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize(
    ("name", "value", "match"),
    [
        *(("pos", pos, "the state of a RandomState is invalid") for pos in (-1, 625, 2**40)),
        ("key", [0, 0, 0], "Error"),
        ("key", "x", "Error"),
    ],
)
def test_an_invalid_random_state_is_refused(name, value, match):
    plain, arrays = encode(OLD, REGISTRY)
    state = replaced(plain["state"], ("state", name), value)
    with pytest.raises(ArchiveError, match=match):
        decode({**plain, "state": state}, arrays if name == "pos" else [], REGISTRY)


def test_deeply_nested_json_is_refused():
    plain = []
    for _ in range(10_000):
        plain = [plain]
    with pytest.raises(ArchiveError, match="RecursionError"):
        decode(plain, [], REGISTRY)


def test_no_constructor_of_a_user_defined_class_is_called():
    class Runs:
        def __init__(self):
            raise AssertionError("it runs")

        __setstate__ = __setattr__ = __init__

    restored = decode({"$": "object", "class": "Runs", "fields": {"a": 1}}, [], Registry({}, {"Runs": Runs}))
    assert vars(restored) == {"a": 1}


@pytest.mark.parametrize("error", [KeyError("a"), ZeroDivisionError("b"), MemoryError("c"), OSError("d")])
def test_an_error_raised_by_a_class_becomes_an_archive_error(error, tmp_path):
    class Breaks:
        def to_dict(self):
            return {}

        @classmethod
        def from_dict(cls, held):
            raise error

    registry = Registry({"Breaks": Breaks})
    write_file(tmp_path / "a.npz", *encode(Breaks(), registry), format="test", version=1)
    with pytest.raises(ArchiveError, match=rf"^'.*a.npz' cannot be loaded: {type(error).__name__}: "):
        read_file(tmp_path / "a.npz", registry, lambda content: content, format="test", version=1)


# --- formats and versions ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("version", "age"), [(1, "an older"), (4, "a newer")])
def test_another_version_is_refused_with_both_versions_and_the_fix(version, age, tmp_path):
    write_file(tmp_path / "a.npz", None, [], format="test", version=version)
    message = rf"version {version} of the format, by {age} tinyclf, .* reads version 3\. Load it with"
    with pytest.raises(ArchiveError, match=message):
        read_file(tmp_path / "a.npz", REGISTRY, lambda content: content, format="test", version=3)


@pytest.mark.parametrize("version", [0, -1, "x", True, 1.0, None, [1], ...])
def test_an_invalid_version_is_refused(version):
    found = None if version is ... else version
    plain = replaced(with_head(None, "test", 3), ("version",), version)
    with pytest.raises(
        ArchiveError, match=f"its version must be a whole number .* got {re.escape(repr(found))}"
    ):
        without_head(plain, "test", 3)


@pytest.mark.parametrize(("name", "value"), [("content", ...), ("made_by", ...), ("more", 1)])
def test_missing_and_unknown_parts_are_refused(name, value):
    plain = replaced(with_head(None, "test", 3), (name,), value)
    with pytest.raises(ArchiveError, match=r"it contains .* instead of"):
        without_head(plain, "test", 3)


@pytest.mark.parametrize("plain", [None, 1, "test", [], {}, {"a": 1}, with_head(None, "other", 1)])
def test_another_format_is_refused(plain, tmp_path):
    write_archive(tmp_path / "a.npz", plain, [])
    with pytest.raises(ArchiveError, match=r"^'.*a.npz' cannot be loaded: it is not a saved model, but"):
        read_file(tmp_path / "a.npz", REGISTRY, lambda content: content, format="test", version=1)


# --- the registry ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("custom", [[Rate], {3: Rate}, "Rate", Rate, {None: Rate}])
def test_custom_must_be_a_dict_with_names(custom):
    with pytest.raises(TypeError, match="custom must be a dict from names to classes and functions, got "):
        Registry(OWN, custom)


def test_custom_cannot_use_names_of_tinyclfs_classes():
    with pytest.raises(
        ValueError, match=r"uses names of tinyclf's own classes, \['Rate'\]; choose other names"
    ):
        Registry(OWN, {"Rate": Solver, "Solver": Solver})
    assert Registry(OWN, {"Rate": Rate}).things == OWN


def test_a_class_of_tinyclf_keeps_its_name_if_custom_gives_it_another():
    """Otherwise a file could be loaded only with that custom."""
    registry = Registry(OWN, {"Alias": Rate})
    plain, arrays = encode([Rate, Rate(0.5)], registry)
    assert shown(decode(plain, arrays, Registry(OWN))) == shown([Rate, Rate(0.5)])


@pytest.mark.parametrize("custom", [None, {}])
def test_without_custom_only_tinyclfs_classes_have_names(custom):
    registry = Registry(OWN, custom)
    assert registry.name_of(Rate) == "Rate"
    assert registry.name_of(Solver) is None
    assert registry.is_own(Rate)
    assert not REGISTRY.is_own(Solver)
