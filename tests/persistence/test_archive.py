"""Archives: contents are read back exactly; foreign, damaged and hostile files are refused at little cost."""

import bz2
import hashlib
import io
import itertools
import json
import lzma
import os
import pickle
import random
import struct
import zipfile
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tests.support.archives import json_member, limited, members_of, npy, sealed, zipped
from tests.support.bits import shown
from tinyclf import ArchiveError
from tinyclf.persistence.archive import read_archive, write_archive

pytestmark = [
    pytest.mark.promise("no code from a file is run"),
    pytest.mark.promise("a file is loaded only as it was saved"),
]

PLAIN = {"a": [1, -2.5e-300, None, True, "é\ud800"], "b": {"$": "array", "at": 1}, "c": 2**127}
ARRAYS = [
    np.arange(5.0),
    np.asfortranarray(np.eye(3, 2, dtype=">f4")),
    np.array("é"),
    np.empty((0, 3), "M8[D]"),
]


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "archive.npz"
    write_archive(path, PLAIN, ARRAYS)
    return path


def assert_refused(path, contents, match=None):
    """A file is refused with a reason that names it, in little time and memory."""
    path.write_bytes(contents)
    with limited(seconds=5, megabytes=16), pytest.raises(ArchiveError, match=match) as caught:
        read_archive(path)
    message = str(caught.value)
    assert repr(str(path)) in message
    assert len(message) < 1000 + len(str(path))
    assert match or "MemoryError" not in message


# --- writing and reading -----------------------------------------------------------------------------------

SCALARS = (
    *(hnp.boolean_dtypes(), hnp.integer_dtypes(), hnp.unsigned_integer_dtypes(), hnp.floating_dtypes()),
    *(hnp.unicode_string_dtypes(), hnp.datetime64_dtypes(), hnp.timedelta64_dtypes()),
)
NUMBERS = st.one_of(SCALARS).flatmap(
    lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=0, min_side=0))
)
PLAIN_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda values: st.lists(values) | st.dictionaries(st.text(), values),
    max_leaves=20,
)


@given(PLAIN_VALUES, st.lists(NUMBERS, max_size=3))
def test_contents_are_read_back_bit_for_bit(tmp_path_factory, plain, arrays):
    path = tmp_path_factory.getbasetemp() / "archive.npz"
    for order in (
        arrays,
        [array.T for array in arrays],
        [array[::2] if array.ndim else array for array in arrays],
    ):
        write_archive(path, plain, order)
        read, again = read_archive(path)
        assert shown(read) == shown(plain)
        for before, after in zip(order, again, strict=True):
            assert after.dtype == before.dtype
            assert after.shape == before.shape
            assert after.tobytes() == before.tobytes()
            assert after.flags.writeable
            assert after.flags.owndata or after.base.flags.owndata


def test_other_programs_can_read_the_arrays(path):
    with np.load(path) as file:
        assert json.loads(file["plain"].tobytes()) == PLAIN
        for i, array in enumerate(ARRAYS):
            np.testing.assert_array_equal(file[str(i)], array)
            assert file[str(i)].dtype == array.dtype


def test_the_same_contents_make_the_same_file(path, tmp_path):
    write_archive(tmp_path / "again.npz", PLAIN, ARRAYS)
    assert (tmp_path / "again.npz").read_bytes() == path.read_bytes() == zipped(sealed(members_of(path)))


@pytest.mark.parametrize("array", [np.array([None]), np.array([1, "a"], object), np.zeros(2, "f4,O")])
def test_object_arrays_are_refused(array, tmp_path):
    with pytest.raises(ValueError, match="Object arrays cannot be saved"):
        write_archive(tmp_path / "archive.npz", {}, [array])
    assert os.listdir(tmp_path) == []


# --- files that are not archives ---------------------------------------------------------------------------


def test_errors_of_the_file_system_are_passed_on(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_archive(tmp_path / "missing.npz")
    with pytest.raises(IsADirectoryError):
        read_archive(tmp_path)


@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_pipes_and_devices_are_refused_without_reading(kind, tmp_path):
    path = "/dev/zero" if kind == "device" else tmp_path / "pipe"
    if kind == "pipe":
        os.mkfifo(path)
    message = f"^'{path}' is a pipe or a device, not a file saved by tinyclf$"
    with limited(seconds=10, megabytes=256), pytest.raises(ArchiveError, match=message):
        read_archive(path)


@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_a_file_that_is_replaced_by_a_pipe_or_a_device_after_a_look_at_it_is_refused(kind, path, monkeypatch):
    regular = os.stat(path)
    with monkeypatch.context() as patch:
        patch.setattr(os, "stat", lambda *arguments, **options: regular)  # as if it were replaced now
        test_pipes_and_devices_are_refused_without_reading(kind, path.parent)


def test_a_symbolic_link_that_leads_back_to_itself_is_an_error_of_the_file_system(tmp_path):
    path = tmp_path / "loop.npz"
    path.symlink_to(path)
    with pytest.raises(OSError, match="symbolic links"):
        read_archive(path)


class SkipsZeros(io.FileIO):
    """A file that has holes instead of blocks of zeros."""

    def write(self, data):
        if any(data[:1000]) or any(data):
            return super().write(data)
        self.seek(len(data), os.SEEK_CUR)
        return len(data)


def write_zeros(path, size):
    """Write an archive with a member of this many zeros, in a hole, and a correct digest."""
    header = npy(np.zeros(0, np.uint8)).replace(b"(0,)", b"(%d,)" % size)
    header = header.replace(b" " * (len(str(size)) - 1) + b"\n", b"\n")
    zeros, digest = bytes(2**20), hashlib.sha256(json_member("0") + header)
    with SkipsZeros(path, "w") as file, zipfile.ZipFile(file, "w") as archive:
        archive.writestr(zipfile.ZipInfo("plain.npy"), json_member("0"))
        with archive.open(zipfile.ZipInfo("0.npy"), "w") as member:
            member.write(header)
            for _ in range(size // len(zeros)):
                member.write(zeros)
                digest.update(zeros)
        archive.writestr(zipfile.ZipInfo("digest.npy"), npy(np.frombuffer(digest.digest(), np.uint8)))


def test_a_sparse_file_is_refused_without_reading_its_holes(tmp_path):
    path = tmp_path / "sparse.npz"
    write_zeros(path, 2**25)
    assert path.stat().st_size > 2**25 > 1000 * 512 * path.stat().st_blocks
    with (
        limited(seconds=5, megabytes=16),
        pytest.raises(ArchiveError, match="it is a sparse file: it has"),
    ):
        read_archive(path)
    with np.load(path) as file:  # apart from its size, nothing is wrong
        assert file["0"].shape == (2**25,)


@pytest.mark.parametrize("length", [0, 100, None], ids=["only a hole", "the start", "whole"])
def test_a_file_that_ends_in_a_hole_of_a_terabyte_is_refused_at_once(length, path):
    path.write_bytes(path.read_bytes()[:length])
    os.truncate(path, 2**40)
    with (
        limited(seconds=1, megabytes=16),
        pytest.raises(ArchiveError, match=f"it has {2**40} bytes, but only"),
    ):
        read_archive(path)


def test_a_file_with_some_holes_is_read(tmp_path):
    # A file system, or a program that copies files, may turn zeros into holes.
    path, zeros, noise = tmp_path / "zeros.npz", np.zeros(2**17), np.random.default_rng(0).normal(size=2**12)
    write_archive(path, PLAIN, [zeros, noise])
    whole = path.read_bytes()
    with SkipsZeros(path, "w") as file:
        for start in range(0, len(whole), 4096):
            file.write(whole[start : start + 4096])
    assert path.read_bytes() == whole
    assert path.stat().st_blocks * 512 < len(whole) / 4
    assert shown(read_archive(path)[1]) == shown([zeros, noise])


def foreign():
    yield "empty", b""
    yield "text", b"a, b\n1, 2\n"
    yield "pickle", pickle.dumps({"a": 1})
    yield "npy", npy(np.arange(3))
    yield "zip of nothing", zipped({})
    yield "zip of text", zipped({"a.txt": b"text"})
    yield "npz", zipped({"a.npy": npy(np.arange(3)), "b.npy": npy(np.arange(3))})
    yield "end of a zip", b"PK\x05\x06" + bytes(18)
    yield "zeros", bytes(10_000)
    yield "noise", random.Random(0).randbytes(10_000)


@pytest.mark.parametrize(("name", "contents"), list(foreign()))
def test_foreign_files_are_refused(name, contents, tmp_path):
    assert_refused(tmp_path / name, contents)


def test_a_truncated_file_is_refused(path):
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(ArchiveError):
            read_archive(path)


def test_a_file_with_a_changed_byte_is_refused_or_has_the_same_contents(path):
    whole = path.read_bytes()
    before, equal = shown(read_archive(path)), 0
    for i, change in itertools.product(range(len(whole)), (1, 0x80, 0xFF)):
        path.write_bytes(whole[:i] + bytes([whole[i] ^ change]) + whole[i + 1 :])
        try:
            assert shown(read_archive(path)) == before
            equal += 1
        except ArchiveError:
            pass
    assert 0 < equal < len(whole)  # bytes that are not part of the contents, such as dates


# --- members -----------------------------------------------------------------------------------------------


def test_an_archive_with_other_members_is_refused(path):
    members = sealed(members_of(path))
    names = list(members)
    for name in names:
        less = {n: m for n, m in members.items() if n != name}
        assert_refused(path, zipped(less))
        assert_refused(path, zipped({**less, f"_{name}": members[name]}), "it contains ")
        assert_refused(path, zipped([*members.items(), (name, members[name])]), "it contains ")
    assert_refused(
        path, zipped({**members, "4.npy": members["3.npy"]}), "its checksum does not match its contents"
    )
    assert_refused(path, zipped({**members, "README": b""}), "it contains ")
    assert_refused(
        path, zipped({**members, "0.npy": members["1.npy"], "1.npy": members["0.npy"]}), "checksum"
    )
    assert_refused(path, zipped(members, zipfile.ZIP_DEFLATED), "its contents are compressed")
    path.write_bytes(zipped(dict(reversed(members.items()))))
    assert shown(read_archive(path)) == shown((PLAIN, read_archive(path)[1]))


def method_of(contents, name, method):
    """A zip file in which both headers of a member name this method of compression."""
    changed = bytearray(contents)
    for signature, at in ((b"PK\3\4", 8), (b"PK\1\2", 10)):
        length = {8: 30, 10: 46}[at]
        start = next(
            i
            for i in range(len(contents))
            if contents.startswith(signature, i) and contents.startswith(name.encode(), i + length)
        )
        struct.pack_into("<H", changed, start + at, method)
    return bytes(changed)


def deflated(data):
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(data) + packer.flush()


def lzma_packed(data):
    """Data in the form of a zip file's member: a header with the filter's properties, then the raw data."""
    filters = [{"id": lzma.FILTER_LZMA1, "preset": 6}]
    return b"\x09\x04\x05\0\x5d\0\0\x80\0" + lzma.compress(data, lzma.FORMAT_RAW, filters=filters)


@pytest.mark.parametrize(
    ("method", "pack"), [(8, deflated), (12, bz2.compress), (14, lzma_packed), (93, bytes)]
)
@pytest.mark.parametrize("name", ["plain.npy", "0.npy", "digest.npy"])
def test_a_member_of_any_method_of_compression_is_refused_before_it_is_unpacked(name, method, pack, path):
    """Its directory claims that it is as large as the compressed data; unpacked, it has 32 MiB."""
    bomb = pack(bytes(2**25)) if method != 93 else b"unknown"
    assert len(bomb) < 2**17
    contents = zipped(sealed({**members_of(path), name: bomb}) | {name: bomb})
    assert_refused(path, method_of(contents, name, method), "its contents are compressed")


FLAGS = (
    1,
    2,
    8,
    0x20,
    0x40,
    0x800,
    0x2000,
)  # encrypted, an option, sizes follow, patched, strong, UTF-8, masked
LOCAL, CENTRAL = (b"PK\3\4", 30), (b"PK\1\2", 46)
HEADER_FIELDS = [
    # (header, offset of the field, its new value)
    *((LOCAL, 4, struct.pack("<H", version)) for version in (0, 45, 63)),
    *((header, at, struct.pack("<H", flags)) for header, at in ((LOCAL, 6), (CENTRAL, 8)) for flags in FLAGS),
    (LOCAL, 8, b"\x08\0"),  # the method
    (LOCAL, 10, b"\1\1"),  # the time
    (LOCAL, 14, b"\1\1\1\1"),  # the CRC
    (LOCAL, 18, b"\1\0\0\0"),  # the compressed size
    (LOCAL, 22, b"\1\0\0\0"),  # the size
    (LOCAL, 28, b"\4\0"),  # the length of a further field
    (LOCAL, 30, b"q"),  # the name
    (CENTRAL, 16, b"\1\1\1\1"),
    (CENTRAL, 32, b"\4\0"),  # the length of a comment
    (CENTRAL, 42, b"\1\0\0\0"),  # where the member begins
]


@pytest.mark.parametrize(("header", "at", "value"), HEADER_FIELDS)
def test_a_member_has_the_header_that_it_is_written_with_and_the_directory_agrees(header, at, value, path):
    whole = path.read_bytes()
    start = whole.index(header[0])
    changed = whole[: start + at] + value + whole[start + at + len(value) :]
    assert changed != whole
    assert_refused(path, changed)


def test_members_fill_the_file_without_gaps_and_without_sharing_bytes(path):
    whole, members = path.read_bytes(), sealed(members_of(path))
    directory = whole.index(CENTRAL[0])
    end = len(whole) - 22
    moved = bytearray(whole[:directory] + b"gap" + whole[directory:])
    struct.pack_into("<I", moved, len(moved) - 6, directory + 3)
    assert_refused(path, bytes(moved), "it contains bytes that belong to none of its members")
    assert_refused(path, b"#!/bin/sh\n" + whole, "its member plain.npy is not in the form")
    assert_refused(path, whole[:-2] + b"\7\0comment", "it contains bytes that belong to none of its members")
    assert_refused(path, whole[:end] + bytes(76) + whole[end:])
    nested = zipped({**members, "0.npy": zipped({"1.npy": members["1.npy"]})})
    shared = bytearray(nested)  # 1.npy is inside 0.npy, too, and the directory refers to that one
    inner, outer = (
        i
        for i in range(len(nested))
        if nested.startswith(b"1.npy", i) and nested.startswith(LOCAL[0], i - 30)
    )
    entry = nested.rindex(b"1.npy") - 46
    assert struct.unpack_from("<I", nested, entry + 42)[0] == outer - 30
    struct.pack_into("<I", shared, entry + 42, inner - 30)
    assert_refused(path, bytes(shared), "its member 1.npy is not in the form")


def test_members_of_more_than_two_gigabytes_are_read(path, monkeypatch):
    # Their headers have another form, which zipfile uses here from one kilobyte on.
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 1000)
    arrays = [np.arange(1000.0), np.zeros(2)]
    write_archive(path, PLAIN, arrays)
    assert b"PK\6\6" in path.read_bytes()
    assert shown(read_archive(path)) == shown((PLAIN, arrays))


def test_an_invalid_digest_is_refused(path):
    members = members_of(path)
    whole = sealed(members)
    for digest in (b"", npy(np.zeros(32, np.uint8)), whole["digest.npy"][:-1], whole["digest.npy"] + b"\0"):
        assert_refused(
            path, zipped({**members, "digest.npy": digest}), "its checksum does not match its contents"
        )


def test_sizes_are_checked_before_memory_is_allocated(path):
    bomb = zipped({"plain.npy": bytes(2**26), "digest.npy": b""}, zipfile.ZIP_DEFLATED)
    assert len(bomb) < 2**17
    forged = bytearray(path.read_bytes())
    assert_refused(path, bomb, "claim to be larger than the file")
    at = forged.index(b"PK\x01\x02")  # the first entry of the directory
    for sizes in ((2**31, 2**31), (100, 2**31), (2**31, 100), (2**32 - 1, 2**32 - 1)):
        forged[at + 20 : at + 28] = b"".join(size.to_bytes(4, "little") for size in sizes)
        assert_refused(path, bytes(forged))
    forged[at + 20 : at + 28] = 2 * len(forged).to_bytes(4, "little")
    assert_refused(path, bytes(forged), "claim to be larger than the file")


HEADERS = [
    "{'descr': '<f8', 'fortran_order': False, 'shape': (5,), }",
    "{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000,), }",
    "{'descr': '<f8', 'fortran_order': False, 'shape': (2305843009213693957,), }",  # times 8 is 40 of 2**64
    "{'descr': '<f8', 'fortran_order': False, 'shape': (4294967296, 4294967296), }",
    "{'descr': '<f8', 'fortran_order': False, 'shape': (-1,), }",
    "{'descr': '<f8', 'fortran_order': False, 'shape': (-5, -1), }",
    "{'descr': '<f8', 'fortran_order': False, 'shape': (5, 1, 0), }",
    "{'descr': '<f8', 'fortran_order': False, 'shape': (5L,), }",
    "{'descr': '<f8', 'fortran_order': False, 'shape': (True,), }",
    "{'descr': '<f8', 'fortran_order': False, 'shape': [5], }",
    "{'descr': '<f8', 'fortran_order': False, 'shape': (5.0,), }",
    "{'descr': '<f8', 'fortran_order': 0, 'shape': (5,), }",
    "{'descr': '<f8', 'fortran_order': True, 'shape': (5,), }",
    "{'descr': 'f8', 'fortran_order': False, 'shape': (5,), }",
    "{'descr': 'd', 'fortran_order': False, 'shape': (5,), }",
    "{'descr': '<f4', 'fortran_order': False, 'shape': (5,), }",
    "{'descr': '<i8', 'fortran_order': False, 'shape': (5,), 'more': 1}",
    "{'shape': (5,), 'descr': '<f8', 'fortran_order': False, }",
    "{'descr': '|O', 'fortran_order': False, 'shape': (5,), }",
    "{'descr': '|V8', 'fortran_order': False, 'shape': (5,), }",
    "{'descr': '|S8', 'fortran_order': False, 'shape': (5,), }",
    "{'descr': '<U0', 'fortran_order': False, 'shape': (1000000000000,), }",
    "{'descr': '<U999999999', 'fortran_order': False, 'shape': (0,), }",
    "{'descr': [('a', '<f4'), ('b', '|O')], 'fortran_order': False, 'shape': (5,), }",
    "{'descr': [('a', '<f4', (1000000000,))], 'fortran_order': False, 'shape': (5,), }",
    "{'descr': ('<f8', (1000000000,)), 'fortran_order': False, 'shape': (5,), }",
    "{'descr': '(1000000000,)f8', 'fortran_order': False, 'shape': (5,), }",
    "{'descr': 'no type', 'fortran_order': False, 'shape': (5,), }",
    "__import__('os').system('touch ran')",
    "(" * 5000,
    "[" * 90 + "]" * 90,
    "-" * 9000 + "1",
    "{" * 3000 + "}" * 3000,
    "1" + "0" * 9000,
    "9" * 4000 + "**9",
    "'",
    "",
    "\0",
    "{'descr': '<f8', 'fortran_order': False, 'shape': (5,), }" + " " * 60_000,
]


@pytest.mark.parametrize("header", HEADERS, ids=lambda header: header[:60])
@pytest.mark.filterwarnings("ignore:Reading `.npy` or `.npz` file required")  # NumPy's warning about 5L
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore:invalid decimal literal:SyntaxWarning")
def test_array_headers_in_any_other_form_than_the_written_one_are_refused(
    header, path, monkeypatch, tmp_path
):
    monkeypatch.chdir(tmp_path)
    members = members_of(path)
    padded = header.encode() + b" " * (-(len(header) + 11) % 64) + b"\n"
    member = b"\x93NUMPY\x01\x00" + min(len(padded), 2**16 - 1).to_bytes(2, "little") + padded
    contents = zipped(sealed({**members, "0.npy": member + np.arange(5.0).tobytes()}))
    if header == HEADERS[0]:
        path.write_bytes(contents)
        assert shown(read_archive(path)[1][0]) == shown(ARRAYS[0])
    else:
        assert_refused(path, contents, "Error" if header.startswith("-") else None)  # too deep for Python
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("version", [(0, 0), (1, 1), (2, 0), (3, 0), (255, 255)])
def test_other_versions_of_the_array_format_are_refused(version, path):
    members = members_of(path)
    member = members["0.npy"]
    length = member[8:10] if version[0] == 1 else member[8:10] + bytes(2)
    members["0.npy"] = member[:6] + bytes(version) + length + member[10:]
    message = rf"an array is in version {version[0]}.{version[1]} of NumPy's format, not in 1.0"
    assert_refused(path, zipped(sealed(members)), message)


def test_arrays_must_end_where_their_members_end(path):
    members = members_of(path)
    for member in (members["0.npy"] + b"\0", members["0.npy"][:-1], members["0.npy"][:9], b"", b"\x93NUMPY"):
        assert_refused(path, zipped(sealed({**members, "0.npy": member})))


class Runs:
    """An object whose pickle creates a file when it is loaded."""

    def __reduce__(self):
        return open, ("ran", "w")


def test_no_pickle_is_loaded(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    members = members_of(path)
    objects = npy(np.array([Runs()], object))
    for hostile in (objects, pickle.dumps(Runs()), objects[:128].replace(b"|O", b"<i8") + objects[128:]):
        for name in ("plain.npy", "0.npy"):
            assert_refused(path, zipped(sealed({**members, name: hostile})))
        assert_refused(path, zipped({**members, "digest.npy": hostile}))
    assert os.listdir(tmp_path) == [path.name]


# --- JSON --------------------------------------------------------------------------------------------------

JSON = [
    *("", " ", "{", "nul", "'a'", "{'a': 1}", "[1, 2", "[1,]", '{"a": 1} x', "\ufeff[]"),
    *("[1,2]", "[1, 2] ", "[1.50]", "[1e2]", "[01]", '["\\u0061"]', '["é"]', '["\\/"]'),
    *("NaN", "[Infinity]", "[-Infinity]", "[nan]", "1e999", "[-1e999]"),
    *('{"a": 1, "a": 1}', '{"a": 1, "a": 2}', '{"a": {"b": 1, "b": 1}}'),
    *("[" * 100_000, "[" * 100_000 + "]" * 100_000, '{"a": ' * 100_000 + "1" + "}" * 100_000),
    *("1" * 5000, "-" + "1" * 100_000, "1." + "1" * 100_000, "[1" + "0" * 4000 + ".0]"),
    *(b'"\xff"', b'"\xed\xa0\x80"', b"\xff\xfe[\0]\0", '["é"]'.encode("utf-16"), "[]".encode("utf-32")),
    *(b"\0", b'"\0"', b'"\n"', b'"a\x80"'),
]


@pytest.mark.parametrize("text", JSON, ids=lambda text: repr(text[:30]))
def test_json_in_any_other_form_than_the_written_one_is_refused(text, path):
    contents = {**members_of(path), "plain.npy": json_member(text)}
    assert_refused(path, zipped(sealed(contents)))


def test_json_must_be_a_one_dimensional_array_of_bytes(path):
    members = members_of(path)
    text = json.dumps(PLAIN).encode()
    for array in (np.array(text.decode()), np.frombuffer(text, np.int8), np.frombuffer(text, np.uint8)[None]):
        assert_refused(path, zipped(sealed({**members, "plain.npy": npy(array)})))


def test_an_array_of_a_forged_size_is_refused_in_little_memory(path):
    """The process can have little more address space than it uses already."""
    members = members_of(path)
    header = HEADERS[1].encode() + b" " * 10 + b"\n"
    member = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header
    path.write_bytes(zipped(sealed({**members, "0.npy": member})))
    with limited(seconds=10, megabytes=32), pytest.raises(ArchiveError, match="cannot reshape"):
        read_archive(path)
