"""Files changed at random: each loads as the saved model or is refused, and needs little time and memory.

The changes are made at three levels: bytes of the file; members, with correct checksums of the zip file; JSON
and arrays, with a correct digest, too. A file that is loaded in spite of the last could have been made on
purpose: its model must predict, or raise a ValueError or a TypeError.

`pytest -m fuzz` tries 20,000 files; FUZZ_FILES=100000 and FUZZ_SEED=1 are read from the environment.
"""

import contextlib
import copy
import json
import os
import pickle
import random
import resource
import signal
import warnings

import numpy as np
import pytest
from matplotlib.figure import Figure
from sklearn.base import clone

from tests.support.archives import json_member, members_of, npy, sealed, zipped
from tests.support.bits import shown
from tests.support.data import data_of
from tests.support.doubles import Crash, Ends
from tests.support.estimators import quick
from tinyclf import ArchiveError, Checkpoint, LossCurveDisplay, TinyClassifier
from tinyclf.estimator import model_file
from tinyclf.estimator.targets import LabelSets
from tinyclf.persistence import Registry, encode
from tinyclf.persistence.archive import read_archive

pytestmark = [
    pytest.mark.filterwarnings("ignore"),  # changed models may cause warnings
    pytest.mark.promise("no code from a file is run"),
    pytest.mark.promise("a file is loaded only as it was saved"),
]

FILES = int(os.environ.get("FUZZ_FILES", "20000"))
SEED = int(os.environ.get("FUZZ_SEED", "0"))

# Errors that a changed model may raise.
ALLOWED = (ValueError, TypeError)


MODELS = [
    ("dense", {"solver": "sgd", "learning_rate": "adaptive", "dropout": 0.1}),
    ("frame", {"hidden_layer_sizes": (4, 3), "activation": ["tanh", "logistic"], "class_weight": {0: 2.0}}),
    ("two classes", {"dtype": np.dtype("f8"), "random_state": np.random.RandomState(0)}),
    ("columns, sparse", {"hidden_layer_sizes": np.array([3]), "scoring": "loss", "early_stopping": True}),
    ("CSR, unscaled", {"solver": "sgd", "momentum": 0.0, "hidden_layer_sizes": ()}),
    ("members", {"hidden_layer_sizes": (4, 3)}),
    ("soft, named", {"weight_decay": 0.1, "learning_rate": "cosine", "early_stopping": False}),
]


class Original:
    """A saved model: the checkpoint of a fit that crashed and can be resumed."""

    def __init__(self, path, name, parameters):
        X, y, needed = data_of(name)
        self.X, self.y = X[:60:2], y[:60:2] if not hasattr(y, "iloc") else y.iloc[:60:2]
        self.path = path
        self.new = quick(**{**needed, **parameters})
        self.crash(Ends(2, Crash))
        self.bytes = path.read_bytes()
        self.members = members_of(path)
        self.plain, self.arrays = read_archive(path)
        self.shown = self.contents()

    def crash(self, *callbacks):
        model = copy.deepcopy(self.new).set_callbacks(Checkpoint(self.path, resume=True), *callbacks)
        with contextlib.suppress(Crash):
            model.fit(self.X, self.y, X_val=self.X, y_val=self.y)

    def contents(self):
        model, fit = model_file.load_checkpoint(TinyClassifier, self.path)
        names = getattr(model, "feature_names_in_", None)
        held = [model.get_params(deep=False), names, model._state, fit]
        return shown(encode(held, Registry(model_file.OWN)))


@pytest.fixture(scope="module")
def originals(tmp_path_factory):
    folder = tmp_path_factory.mktemp("originals")
    return [Original(folder / f"{i}.npz", *model) for i, model in enumerate(MODELS)]


# --- changes -----------------------------------------------------------------------------------------------


def changed_bytes(draw, data, other):
    """Some bytes changed, lost, added, repeated, moved, or taken from another file."""
    data = bytearray(data)
    for _ in range(draw.choice([1, 1, 1, 2, 5])):
        at, n = draw.randrange(len(data) + 1), draw.choice([1, 1, 2, 4, 8, 64, 1000])
        kind = draw.randrange(8)
        if kind == 0:
            data[at : at + n] = draw.randbytes(n)
        elif kind == 1:
            data[at : at + n] = b""
        elif kind == 2:
            data[at:at] = draw.randbytes(n)
        elif kind == 3:
            data[at:at] = data[at : at + n]
        elif kind == 4:
            data[at : at + n] = bytes([draw.choice([0, 255, 32, 1, 128])]) * n
        elif kind == 5:
            data = data[:at]
        elif kind == 6:
            start = draw.randrange(len(other) + 1)
            data[at : at + n] = other[start : start + n]
        elif at < len(data):
            data[at] ^= 1 << draw.randrange(8)
    return bytes(data)


HEADER = [
    "'<f4'",
    "'<f8'",
    "'|O'",
    "'>f4'",
    "'<U1'",
    "'|V4'",
    "'|S4'",
    "'<i8'",
    "True",
    "(-1,)",
    "()",
    "(0,)",
]
HEADER += ["(1000000000,)", "(2305843009213693952,)", "(1,1)", "[1]", "(1L,)", "None", "(" * 100]


def changed_member(draw, member):
    """A member with another header, or other bytes."""
    if draw.random() < 0.5 and member[:6] == b"\x93NUMPY":
        end = 10 + int.from_bytes(member[8:10], "little")
        words = member[10:end].decode("latin-1").split(" ")
        words[draw.randrange(len(words))] = draw.choice(HEADER)
        header = " ".join(words).ljust(end - 11)[: end - 11] + "\n"
        return member[:10] + header.encode("latin-1") + member[end:]
    return changed_bytes(draw, member, member)


def changed_members(draw, members):
    """Members that are lost, added, repeated, renamed, swapped or changed."""
    pairs = list(members.items())
    for _ in range(draw.choice([1, 1, 2])):
        if not pairs:
            break
        i, j = draw.randrange(len(pairs)), draw.randrange(len(pairs))
        kind = draw.randrange(7)
        if kind == 0:
            del pairs[i]
        elif kind == 1:
            names = [
                f"{len(pairs) - 2}.npy",
                "0.npy",
                "-1.npy",
                "00.npy",
                "",
                "../x",
                "a/",
                "\x00",
                "plain",
                "é.npy",
            ]
            pairs.append((draw.choice(names), pairs[i][1]))
        elif kind == 2:
            pairs.append(pairs[i])
        elif kind == 3:
            pairs[i] = (pairs[j][0], pairs[i][1])
        elif kind == 4:
            pairs[i], pairs[j] = (pairs[i][0], pairs[j][1]), (pairs[j][0], pairs[i][1])
        else:
            pairs[i] = (pairs[i][0], changed_member(draw, pairs[i][1]))
    return pairs


def values(draw, n):
    """A value of any kind, for a file of n arrays."""
    at = draw.randrange(-1, n + 1)
    known = draw.choice([*model_file.OWN, "system", ""])
    return draw.choice(
        [
            *(None, True, False, 0, 1, -1, 2, 3, 7, 0.0, 0.5, -0.5, 1.0, -0.0, 1e-300, 1e300, -1e300),
            *(10**6, 10**9, 2**31, 2**32, 2**63 - 1, 2**63, 2**64, 2**128, 10**400),
            *(
                "",
                "x",
                "adam",
                "sgd",
                "lbfgs",
                "loss",
                "balanced",
                "auto",
                "accuracy",
                "constant",
                "adaptive",
            ),
            *([], {}, [[]], [1], [1, 2], [0.5, 0.5], {"$": "x"}, {"$": "tuple", "items": []}),
            *({"$": "float", "value": text} for text in ("nan", "inf", "-inf", "x", "1e400")),
            *({"$": "dict", "items": items} for items in ([], [[0, 1]], [["a", 2.0]], [1])),
            *({"$": kind, "at": at} for kind in ("array", "scalar", "dtype")),
            *({"$": "name", "name": known}, {"$": "object", "class": known, "fields": {}}),
            *(
                {"$": "objects", "shape": shape, "items": ["a", "b"]}
                for shape in ([2], [1, 2], [3], [-1], [])
            ),
            {
                "$": "object",
                "class": "Dense",
                "fields": {"units": 3, "init": {"$": "name", "name": "he_normal"}},
            },
            {
                "$": "object",
                "class": "SGD",
                "fields": {"learning_rate": 0.1, "momentum": 0.5, "nesterov": False, "weight_decay": 0.0},
            },
        ]
    )


def nodes(node):
    """Yield the containers in JSON, each with the key of each of its items."""
    for key, item in (
        node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    ):
        yield node, key
        yield from nodes(item)


def nudged(draw, value):
    """A value near the given one."""
    if type(value) is bool:
        return not value
    if isinstance(value, int):
        return draw.choice([value + 1, value - 1, -value, value * 2, value // 2, value * 10**9, str(value)])
    if isinstance(value, float):
        return draw.choice(
            [
                value + 1,
                value - 1,
                -value,
                value * 2,
                value / 2,
                value * 1e9,
                int(value) if abs(value) < 1e9 else 0,
            ]
        )
    if isinstance(value, str):
        return draw.choice([value + "x", value[:-1], value.upper(), value * 2])
    return None


def changed_json(draw, plain, n):
    """JSON with some values replaced, lost, added, repeated, renamed, swapped or nudged."""
    plain = copy.deepcopy(plain)
    for _ in range(draw.choice([1, 1, 2, 3])):
        places = list(nodes(plain))
        (node, key), (other, name) = draw.choice(places), draw.choice(places)
        kind = draw.randrange(10)
        if kind == 0:
            del node[key]
        elif kind == 1 and isinstance(node, dict):
            node[draw.choice(["$", "x", "at", name if isinstance(name, str) else "name"])] = node.pop(key)
        elif kind == 2:
            node[key] = copy.deepcopy(other[name])
        elif kind == 3 and isinstance(node, list):
            node.insert(key, copy.deepcopy(node[key]))
        elif kind == 4:
            node[key], other[name] = copy.deepcopy(other[name]), copy.deepcopy(node[key])
        elif kind in (5, 6, 7):
            node[key] = nudged(draw, node[key])
        else:
            node[key] = values(draw, n)
    return plain


def changed_array(draw, array, arrays):
    """An array with other entries, or of another shape or type."""
    array = array.copy()
    kind = draw.randrange(8)
    if kind < 3 and array.size and array.dtype.kind in "iuf":
        entry = draw.choice([0, 1, -1, 2**31, 1e30, -1e30, 1e300, np.nan, np.inf, -np.inf, 1e-40])
        chosen = draw.choice([slice(None), draw.randrange(array.size)])
        array.reshape(-1)[chosen] = np.array([entry]).astype(array.dtype)[0]
    elif kind == 3:
        array = array.reshape(-1)[: draw.choice([0, 1, -1])]
    elif kind == 4:
        array = np.concatenate([array.reshape(-1)] * 2)
    elif kind == 5:
        array = draw.choice([array[..., None], array[None], array.reshape(-1)[::-1], array.astype("U9")])
    elif kind == 6:
        array = np.ones(array.shape, int).astype(
            draw.choice(["f2", "f4", "f8", ">f4", "i1", "i8", "?", "M8[s]", "U3"])
        )
    else:
        array = draw.choice(arrays)
    return array


def changed_contents(draw, plain, arrays):
    """Members with changed contents and a correct digest."""
    arrays, what = list(arrays), draw.choice(["JSON", "JSON", "arrays", "both"])
    if what != "JSON":
        i = draw.randrange(len(arrays))
        arrays[i] = changed_array(draw, arrays[i], arrays)
    if what != "arrays":
        plain = changed_json(draw, plain, len(arrays))
    members = {"plain.npy": json_member(json.dumps(plain))}
    return sealed({**members, **{f"{i}.npy": npy(array) for i, array in enumerate(arrays)}})


# --- use of a changed model --------------------------------------------------------------------------------


def use(model, original, path):
    """Call every method of a model; only the allowed errors may be raised."""
    X, y = original.X, original.y
    before = len(model.loss_curve_), model.network_.theta.size

    def attempt(call, *arguments):
        try:
            return call(*arguments)
        except ALLOWED:
            return None

    p = attempt(model.predict_proba, X)
    if p is not None:
        assert np.isfinite(p).all()
        assert ((p >= 0.0) & (p <= 1.0)).all()
        if not isinstance(model._state.labels, LabelSets):
            np.testing.assert_allclose(p.sum(axis=1), 1.0, rtol=1e-5)
    calls = [
        *(
            (getattr(model, name), X)
            for name in ("predict", "predict_log_proba", "decision_function", "activations")
        ),
        *((call,) for call in (model.get_params, model.__repr__, model._repr_html_, model.__sklearn_tags__)),
        (clone, model),
        (model.save, path),
        (lambda: pickle.loads(pickle.dumps(model)),),
        (copy.deepcopy, model),
        (model.score, X, y),
        (lambda: LossCurveDisplay.from_estimator(model, ax=Figure().subplots(), log=True),),
    ]
    for call in calls:
        attempt(*call)
    for name in ("coefs_", "intercepts_", "input_center_", "input_scale_", "n_layers_", "out_activation_"):
        getattr(model, name)
    assert before == (len(model.loss_curve_), model.network_.theta.size)
    if hasattr(model, "partial_fit"):
        attempt(model.partial_fit, X, y)
        attempt(model.predict_proba, X)


def tried(originals, seed, number):
    """Make one changed file, and return the level of the change and the outcome of loading the file."""
    draw = random.Random(f"{seed} {number}")
    original, level = draw.choice(originals), draw.choice(["bytes", "members", *["contents"] * 3])
    if level == "bytes":
        contents = changed_bytes(draw, original.bytes, draw.choice(originals).bytes)
    elif level == "members":
        contents = zipped(changed_members(draw, sealed(original.members)))
    else:
        contents = zipped(changed_contents(draw, original.plain, original.arrays))
    path = original.path
    path.write_bytes(contents)
    try:
        found = original.contents()
    except ArchiveError:
        return level, "refused"
    if found == original.shown:
        return level, "equal"
    assert level == "contents"
    failed = False
    try:
        original.crash()  # resumes the fit
    except ALLOWED:
        failed = True
    path.write_bytes(contents)
    use(model_file.load(TinyClassifier, path), original, path)
    return level, "not resumed" if failed else "resumed"


def search(originals, n):
    """Try n changed files, each within two seconds of CPU time, and without growing memory."""
    outcomes, memory = {}, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    def too_long(*_):
        raise RuntimeError("it takes too long")

    signal.signal(signal.SIGPROF, too_long)  # counts the CPU time of this process
    for number in range(n):
        signal.setitimer(signal.ITIMER_PROF, 2.0)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                outcome = tried(originals, SEED, number)
        except BaseException as error:
            error.add_note(f"FUZZ_SEED={SEED}, file {number}")
            raise
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0.0)
        outcomes[outcome] = outcomes.get(outcome, 0) + 1
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory
    assert grown < 200 * 1024, f"{grown} kilobytes"
    return outcomes


@pytest.mark.parametrize("n", [200, pytest.param(FILES, marks=pytest.mark.fuzz)])
def test_a_changed_file_is_refused_or_loads_as_a_model_that_raises_allowed_errors_only(n, originals):
    outcomes = search(originals, n)
    print(outcomes)
    assert sum(outcomes.values()) == n
    assert {what for _, what in outcomes} == {"refused", "equal", "not resumed", "resumed"}
