"""The lines of a guide, to be run as they stand there."""

from __future__ import annotations

import re
from pathlib import Path

GUIDES = Path(__file__).parents[2] / "docs/guides"


def blocks_of(guide: str, section: str, language: str) -> list[str]:
    """The blocks of code of a language under a heading of a guide, in order."""
    text = (GUIDES / guide).read_text(encoding="utf-8")
    (part,) = (part for part in text.split("\n## ") if part.startswith(f"{section}\n"))
    return re.findall(rf"^```{language}\n(.*?)^```$", part, re.DOTALL | re.MULTILINE)


def lines_of(guide: str, section: str) -> list[str]:
    """The commands under a heading, one a line."""
    text = "".join(blocks_of(guide, section, "sh")).replace("\\\n", " ")
    return [line for line in text.split("\n") if line]
