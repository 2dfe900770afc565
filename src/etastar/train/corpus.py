"""The corpus of the reference training: the source of Python's standard library.

It is text that every machine with Python already has, so nothing is downloaded. The files are a
fixed list (`corpus_files.txt`): those that Python 3.11, 3.12 and 3.13 all have, without the test
packages, what distributions split off (Tk, IDLE, pip's bundle) and the generated tables of the
8-bit encodings. The text of a file still differs a little between Python versions, which is why a
corpus carries its checksum.
"""

from __future__ import annotations

import hashlib
import sysconfig
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from etastar._errors import InputError

VALIDATION_EVERY = 20
VALIDATION_FIRST = 10


@dataclass(frozen=True)
class Corpus:
    """Bytes to learn from and bytes to measure on, taken from different files.

    `train` and `validation` are uint8 arrays of shape (bytes,); each file ends in one zero byte,
    which occurs nowhere else. `sha256` identifies both together. `missing` names the listed files
    that this machine lacks (empty unless that was allowed).
    """

    train: np.ndarray
    validation: np.ndarray
    sha256: str
    missing: tuple[str, ...] = ()


def corpus_files() -> tuple[str, ...]:
    """Names of the corpus' files, relative to the standard library's folder, in a fixed order.

    >>> names = corpus_files()
    >>> "argparse.py" in names, any("test" in name.split("/") for name in names)
    (True, False)
    """
    return tuple(Path(__file__).with_name("corpus_files.txt").read_text("utf-8").split())


def split_files(names: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Split file names into those to train on and those to validate on.

    File number i (from 0) is for validation where i mod 20 = 10. The split is by file, so that no
    passage is seen in training and measured on later.

    >>> train, validation = split_files(tuple(f"{i}.py" for i in range(40)))
    >>> len(train), validation
    (38, ('10.py', '30.py'))
    """
    is_validation = [i % VALIDATION_EVERY == VALIDATION_FIRST for i in range(len(names))]
    train = tuple(n for n, v in zip(names, is_validation, strict=True) if not v)
    validation = tuple(n for n, v in zip(names, is_validation, strict=True) if v)
    return train, validation


def load_corpus(folder: Path | None = None, allow_missing: bool = False) -> Corpus:
    """Read the corpus from this Python's standard library, or from another `folder` like it.

    Raises `InputError` naming the first file that is not there, unless `allow_missing`, and when
    nothing is left to train or validate on.

    >>> corpus = load_corpus()
    >>> corpus.train.dtype, corpus.train.size > 7_000_000
    (dtype('uint8'), True)
    """
    root = Path(sysconfig.get_path("stdlib")) if folder is None else Path(folder)
    missing: list[str] = []
    parts = []
    for names in split_files(corpus_files()):
        texts = []
        for name in names:
            try:
                texts.append((root / name).read_bytes() + b"\0")
            except OSError as error:
                if not allow_missing:
                    raise InputError(
                        f"{root / name}: cannot read this file of the corpus ({error.strerror}); "
                        "use a complete Python 3.11 to 3.13, or --allow-missing to do without"
                    ) from None
                missing.append(name)
        parts.append(b"".join(texts))
    train, validation = parts
    if not train or not validation:
        raise InputError(f"{root}: no file of the corpus is there; is it a Python library folder?")
    checksum = hashlib.sha256(train + b"\0" + validation).hexdigest()
    return Corpus(
        train=np.frombuffer(train, np.uint8),
        validation=np.frombuffer(validation, np.uint8),
        sha256=checksum,
        missing=tuple(missing),
    )
