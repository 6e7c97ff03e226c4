"""Helpers for tests of saved files: all accepted parameters and data, and an exact comparison of values."""

import copy
import hashlib
import io
import warnings
import zipfile

import numpy as np


def npy(array):
    """An array as a member of an archive."""
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def members_of(path):
    """The members of an archive except the digest: JSON and arrays."""
    with zipfile.ZipFile(path) as file:
        names = [name for name in file.namelist() if name != "digest.npy"]
        return {name: file.read(name) for name in names}


def sealed(members):
    """Members with their digest, which anyone who knows the format can compute."""
    digest = hashlib.sha256(b"".join(members.values())).digest()
    return {**members, "digest.npy": npy(np.frombuffer(digest, np.uint8))}


def zipped(members, compression=zipfile.ZIP_STORED):
    """A zip file of these members with correct checksums; given as pairs, they may repeat a name."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about repeated names
        for name, member in members.items() if isinstance(members, dict) else members:
            archive.writestr(zipfile.ZipInfo(name), member, compression)
    return file.getvalue()


def json_member(text):
    """JSON text, valid or not, as a member."""
    return npy(np.frombuffer(text if isinstance(text, bytes) else text.encode(), np.uint8))


def replaced(node, place, value):
    """JSON with another value at a path, or without that entry if the value is ``...``.

    The path holds keys and indices of the JSON, keys of an encoded dict, and fields of an encoded object.
    """
    node, (key, *rest) = copy.copy(node), place
    kind = node.get("$") if isinstance(node, dict) and key not in node else None
    if kind == "object":
        return {**node, "fields": replaced(node["fields"], place, value)}
    if kind == "dict":
        return {**node, "items": list(map(list, replaced(dict(node["items"]), place, value).items()))}
    if value is ... and not rest:
        del node[key]
    else:
        node[key] = replaced(node[key], rest, value) if rest else value
    return node
