"""The corpus is fixed, split by file, and says what it lacks."""

import hashlib
from pathlib import Path

import pytest

from etastar.schedule import InputError
from etastar.train.corpus import corpus_files, load_corpus, split_files


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """A folder like a standard library, where each file holds its own name."""
    for name in corpus_files():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    return tmp_path


def test_list_of_files_is_fixed_and_without_repetition():
    names = corpus_files()
    assert len(names) == len(set(names)) == 408
    assert list(names) == sorted(names)


def test_list_leaves_out_what_distributions_split_off():
    folders = {part for name in corpus_files() for part in name.split("/")[:-1]}
    assert not folders & {
        "test",
        "tests",
        "idlelib",
        "tkinter",
        "lib2to3",
        "ensurepip",
        "distutils",
    }


def test_split_is_disjoint_and_complete():
    train, validation = split_files(corpus_files())
    assert not set(train) & set(validation)
    assert sorted(train + validation) == sorted(corpus_files())
    assert len(validation) == 20


def test_text_holds_each_file_once_on_its_own_side(library: Path):
    corpus = load_corpus(library)
    train, validation = split_files(corpus_files())
    assert corpus.train.tobytes() == b"".join(n.encode() + b"\0" for n in train)
    assert corpus.validation.tobytes() == b"".join(n.encode() + b"\0" for n in validation)
    both = corpus.train.tobytes() + b"\0" + corpus.validation.tobytes()
    assert corpus.sha256 == hashlib.sha256(both).hexdigest()


def test_checksum_changes_with_any_file(library: Path):
    before = load_corpus(library).sha256
    (library / "argparse.py").write_text("changed")
    assert load_corpus(library).sha256 != before


def test_missing_file_is_named(library: Path):
    (library / "argparse.py").unlink()
    with pytest.raises(InputError, match=r"argparse\.py.*--allow-missing") as caught:
        load_corpus(library)
    assert "\n" not in str(caught.value)


def test_missing_file_may_be_allowed(library: Path):
    (library / "argparse.py").unlink()
    corpus = load_corpus(library, allow_missing=True)
    assert corpus.missing == ("argparse.py",)
    assert b"argparse.py" not in corpus.train.tobytes()


def test_empty_folder_is_refused_even_where_files_may_be_missing(tmp_path: Path):
    with pytest.raises(InputError, match="no file of the corpus"):
        load_corpus(tmp_path, allow_missing=True)
