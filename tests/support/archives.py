"""Parts of saved files, and limits on the reading of a file."""

import contextlib
import copy
import hashlib
import io
import resource
import signal
import warnings
import zipfile
from pathlib import Path

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


@contextlib.contextmanager
def limited(seconds, megabytes):
    """Run a block with little more memory than the process uses already; an error ends it after some time."""

    def too_long(*_):
        raise AssertionError("it takes too long")

    pages = int(Path("/proc/self/statm").read_text().split()[0])
    before = resource.getrlimit(resource.RLIMIT_AS)
    handler = signal.signal(signal.SIGALRM, too_long)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        most = pages * resource.getpagesize() + megabytes * 2**20
        resource.setrlimit(resource.RLIMIT_AS, (most, before[1]))
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)
