"""Files are replaced atomically: the old file stays until the new one is complete."""

import os

import pytest

from tinyclf.persistence.files import write_atomically


def test_the_new_file_replaces_the_old_one_when_it_is_complete(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    seen = []

    def write(file):
        file.write(b"ne")
        file.flush()
        seen.append(path.read_bytes())
        file.write(b"w")

    write_atomically(path, write)
    assert seen == [b"old"]
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path, error):
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def write(file):
        file.write(b"half")
        raise error

    with pytest.raises(error):
        write_atomically(path, write)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_missing_folder_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        write_atomically(tmp_path / "no" / "file", lambda file: None)


@pytest.mark.parametrize("mode", [0o600, 0o664, 0o400])
def test_the_new_file_has_the_permissions_of_the_old_one(tmp_path, mode):
    path = tmp_path / "file"
    path.write_bytes(b"old")
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
