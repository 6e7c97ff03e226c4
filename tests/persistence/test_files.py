"""Files are replaced atomically: the old file stays until the new one is complete."""

import os
import resource

import pytest

from tinyclf.persistence.files import write_atomically

pytestmark = pytest.mark.promise("nothing is lost")


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    return path


def assert_unchanged(path):
    assert path.read_bytes() == b"old"
    assert os.listdir(path.parent) == [path.name]


def test_the_new_file_replaces_the_old_one_when_it_is_complete(path):
    seen = []

    def write(file):
        file.write(b"ne")
        file.flush()
        seen.append(path.read_bytes())
        file.write(b"w")

    write_atomically(path, write)
    assert seen == [b"old"]
    assert path.read_bytes() == b"new"
    assert os.listdir(path.parent) == [path.name]


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError, OSError(28, "No space left on device")])
@pytest.mark.parametrize("where", ["write", "fsync", "replace"])
def test_a_write_that_fails_leaves_the_old_file_and_no_other(path, monkeypatch, error, where):
    def fails(*_):
        raise error

    def write(file):
        file.write(b"half of it")
        if where == "write":
            fails()

    if where != "write":
        monkeypatch.setattr(os, where, fails)
    with pytest.raises(error if isinstance(error, type) else type(error)):
        write_atomically(path, write)
    assert_unchanged(path)


def test_a_full_disk_leaves_the_old_file_and_no_other(path):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, before[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            write_atomically(path, lambda file: file.write(bytes(80_000)))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert_unchanged(path)


def test_errors_name_a_path_that_cannot_be_written(path):
    with pytest.raises(FileNotFoundError, match=r"there is no folder '.*missing' to save 'a.npz' in"):
        write_atomically(path.parent / "missing" / "a.npz", lambda file: None)
    for taken in (path.parent, "/dev/full"):
        with pytest.raises(FileExistsError, match="is not a regular file, so it cannot be replaced"):
            write_atomically(taken, lambda file: None)
    assert_unchanged(path)


def test_a_symbolic_link_stays_a_link(path):
    link = path.with_name("link")
    link.symlink_to(path)
    write_atomically(link, lambda file: file.write(b"new"))
    assert link.is_symlink()
    assert path.read_bytes() == b"new"


def test_a_symbolic_link_that_leads_back_to_itself_stays_and_is_an_error_of_the_file_system(path):
    loops = [path.with_name(name) for name in "ab"]
    for link, target in zip(loops, reversed(loops), strict=True):
        link.symlink_to(target)
    with pytest.raises(OSError, match="symbolic link that leads back to itself: '.*/a'"):
        write_atomically(loops[0], lambda file: file.write(b"new"))
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        write_atomically(loops[0] / "file", lambda file: file.write(b"new"))
    assert all(link.is_symlink() for link in loops)
    assert sorted(os.listdir(path.parent)) == ["a", "b", "file"]


def test_a_symbolic_link_to_a_missing_file_leads_to_the_new_file(path):
    link = path.with_name("link")
    link.symlink_to("missing")
    write_atomically(link, lambda file: file.write(b"new"))
    assert link.is_symlink()
    assert path.with_name("missing").read_bytes() == b"new"


@pytest.mark.parametrize("mode", [0o600, 0o664, 0o400])
def test_the_new_file_has_the_permissions_of_the_old_one(path, mode):
    path.chmod(mode)
    seen = []

    def write(file):
        seen.append(os.fstat(file.fileno()).st_mode & 0o777)
        file.write(b"new")

    write_atomically(path, write)
    assert seen == [mode]  # before anything is in it
    assert path.stat().st_mode & 0o777 == mode
    assert path.read_bytes() == b"new"


@pytest.mark.parametrize("name", ["a" * 255, "\N{SNOWMAN}" * 85])
def test_a_name_may_be_as_long_as_the_file_system_allows(tmp_path, name):
    path = tmp_path / name
    path.touch()
    write_atomically(path, lambda file: file.write(b"new"))
    assert path.read_bytes() == b"new"
    assert os.listdir(tmp_path) == [name]
