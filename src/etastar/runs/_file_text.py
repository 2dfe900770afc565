"""The text of a log file, or the reason that there is none."""

from __future__ import annotations

from pathlib import Path

from etastar._errors import InputError
from etastar._files import place_of, read_file


def read_bytes(path: Path) -> bytes:
    """The whole file.

    Raises:
        InputError: as `read_file`, and for a file that is empty.
    """
    raw = read_file(path)
    if not raw or raw.isspace():
        raise InputError(f"{path}: the file is empty; remove it or log to it")
    return raw


def read_text(path: Path) -> str:
    """The file decoded from UTF-8, a byte-order mark dropped, every line ending as one newline.

    Raises:
        InputError: as `read_bytes`, and for a file that is not text.
    """
    raw = read_bytes(path)
    if raw[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise InputError(f"{path}: the text is UTF-16; save it as UTF-8")
    try:
        if b"\0" in raw:
            raise UnicodeDecodeError("utf-8", b"", 0, 0, "NUL")
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(f"{path}: binary data where text is expected; give a log file") from None
    if not text.strip():  # a byte-order mark or blanks of Unicode and nothing else
        raise InputError(f"{path}: the file is empty; remove it or log to it")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def run_folder_name(path: Path) -> str:
    """The folder that holds a file, above any `checkpoint-N`: trainers name runs by it."""
    folder = place_of(path).parent
    if folder.name.startswith("checkpoint-"):
        folder = folder.parent
    return folder.name or path.stem
