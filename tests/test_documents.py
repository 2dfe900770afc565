"""The documents that say where things are: every file that they name is there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.imports import FILES, SOURCE, short

ROOT = Path(__file__).parents[1]
DOCUMENTS = ("CONTRIBUTING.md", "docs/architecture.md", "README.md")
# `runs/_NAME.py` stands for a file that is yet to be written.
PLACEHOLDER = "NAME"
# What a path to a file of ours ends in, and what `make` writes.
MADE = {"site/"}
ENDS = (".md", ".py", ".sh", ".svg", ".toml", ".txt", ".yml", "/")


def paths_in(text: str) -> Iterator[str]:
    """The paths in backticks, also within a command, such as `python bench/laws.py`."""
    # A fenced block first, so that its backticks do not shift the pairs of the others.
    text = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    for span in re.findall(r"`([^`\n]+)`", text):
        for word in span.split():
            if word.endswith(ENDS) and PLACEHOLDER not in word and len(word.strip("/.")) > 3:
                yield word


def is_there(path: str, room: Path) -> bool:
    """Whether a path names a file: from the root, from src/etastar, or inside a room.

    A bare `_file.py` may stand in any room where the text says which.
    """
    places = [ROOT, SOURCE, room]
    if "/" not in path:
        return any(any(place.glob(path)) for place in places) or any(SOURCE.rglob(path))
    return any(any(place.glob(path.rstrip("/"))) for place in places)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_file_that_a_document_names_is_there(document: str):
    named = set(paths_in((ROOT / document).read_text(encoding="utf-8"))) - MADE
    links = re.findall(r"\]\((?!https?:)([^)#]+)", (ROOT / document).read_text(encoding="utf-8"))
    folder = (ROOT / document).parent
    assert named | set(links)
    assert sorted(path for path in named if not is_there(path, ROOT)) == []
    assert sorted(path for path in links if not (folder / path).exists()) == []


def test_every_file_that_the_head_of_a_room_names_is_there():
    heads = [path for path in FILES if path.name == "__init__.py"]
    gone = []
    for head in heads:
        text = head.read_text(encoding="utf-8").split('"""')
        for path in paths_in(text[1]) if len(text) > 1 else ():
            own = "/" in path or path.endswith(".md") or (head.parent / path).exists()
            if not own or not is_there(path, head.parent):
                gone.append(f"{short(head)}: {path}")
    assert gone == []


def test_a_file_that_is_gone_is_seen():
    text = "`runs/_clean.py`, `python bench/laws.py`\n```sh\ncat `no/file.py`\n```\n`cli/_NAME.py`"
    assert list(paths_in(text)) == ["runs/_clean.py", "bench/laws.py"]
    assert not is_there("runs/_clean.py", ROOT)
    assert is_there("bench/laws.py", ROOT)
    assert is_there("control/_law_*.py", ROOT)
    assert not is_there("_clean.py", ROOT)
