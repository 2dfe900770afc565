"""Properties of the ground floor's files: whole or not at all, and errors that name the path."""

import io
import os
import stat

import pytest

from etastar._errors import InputError
from etastar._files import copy_file, prepare_folder, write_bytes, write_text


class Failing(io.BytesIO):
    """A source that gives some bytes, then fails as a lost connection does."""

    def read(self, size=-1, /):
        if self.tell() > 0:
            raise self.error
        return super().read(3)

    def __init__(self, content: bytes, error: Exception) -> None:
        super().__init__(content)
        self.error = error


@pytest.fixture
def target(tmp_path):
    path = tmp_path / "target"
    path.write_bytes(b"old")
    return path


def alone(path):
    return [other.name for other in path.parent.iterdir()] == [path.name]


def test_a_file_is_replaced_and_nothing_else_is_left(target):
    write_bytes(target, b"new\r\n")
    assert target.read_bytes() == b"new\r\n"
    write_text(target, "η*\n")
    assert target.read_bytes() == "η*\n".encode()
    assert alone(target)


def test_a_file_has_the_rights_of_any_new_file(target, tmp_path):
    write_bytes(target, b"new")
    plain = tmp_path / "plain"
    plain.touch()
    assert stat.S_IMODE(target.stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), OSError("odd")])
def test_a_refused_rename_keeps_the_old_file_and_names_it(target, monkeypatch, error):
    def refuse(*names):
        raise error

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(InputError, match=f"{target}: cannot be written: (No space|odd)"):
        write_bytes(target, b"new")
    monkeypatch.undo()
    assert target.read_bytes() == b"old"
    assert alone(target)


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(InputError, match=r"nowhere/file: cannot be written: No such file"):
        write_text(tmp_path / "nowhere" / "file", "text")


def test_a_copy_is_equal_whether_from_a_path_or_an_open_file(tmp_path, target):
    source = tmp_path / "source"
    content = bytes(range(256)) * 9999
    source.write_bytes(content)
    copy_file(source, target)
    assert target.read_bytes() == content
    copy_file(io.BytesIO(b"stream"), target)
    assert target.read_bytes() == b"stream"


@pytest.mark.parametrize("error", [OSError(5, "Input/output error"), ValueError("not an OSError")])
def test_a_copy_that_stops_half_way_keeps_the_old_file(target, error):
    with pytest.raises((InputError, ValueError), match=r"Input/output error|not an OSError"):
        copy_file(Failing(b"half of it", error), target)
    assert target.read_bytes() == b"old"
    assert alone(target)


def test_a_source_that_is_not_there_is_named(tmp_path, target):
    with pytest.raises(InputError, match="missing: no such file"):
        copy_file(tmp_path / "missing", target)
    with pytest.raises(InputError, match="is a folder where a file is expected"):
        copy_file(tmp_path, target)
    assert target.read_bytes() == b"old"


def test_a_folder_for_output_is_made_and_left_empty(tmp_path):
    folder = prepare_folder(tmp_path / "a" / "b")
    assert folder.is_dir()
    assert list(folder.iterdir()) == []


def test_a_file_is_no_folder_for_output(target):
    for path in (target, target / "below"):
        with pytest.raises(InputError, match=f"{path}: is not a folder"):
            prepare_folder(path)
