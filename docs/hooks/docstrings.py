"""Docstrings as Markdown for the reference: doctests, sections and lists of arguments.

Markdown would take `>>>` for a quotation and run `Returns: ...` into the paragraph above it.
"""

from __future__ import annotations

import re
from typing import Any

import griffe

SECTION = re.compile(r"(Formula|Arguments|Attributes|Returns|Raises|Source):\s*(.*)")
ENTRY = re.compile(r"\s{4}([A-Za-z_*][\w, *]*):\s+(.*)")


class Docstrings(griffe.Extension):
    """Rewrites every docstring that griffe finds."""

    def on_instance(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        if obj.docstring is not None:
            obj.docstring.value = markdown(obj.docstring.value)


def markdown(text: str) -> str:
    """The Markdown of a docstring.

    >>> markdown("Twice.\\n\\nReturns: a number.").split("\\n")
    ['Twice.', '', '', '**Returns:** a number.']
    """
    out: list[str] = []
    fenced = False
    listing = False
    for line in text.split("\n"):
        if fenced:
            fenced = bool(line.strip())
            out += [line] if fenced else ["```", ""]
            continue
        section, entry = SECTION.fullmatch(line), ENTRY.fullmatch(line)
        if line.startswith(">>> "):
            fenced, listing = True, False
            out += ["```pycon", line]
        elif section:
            listing = not section[2]
            out += ["", f"**{section[1]}:** {_escaped(section[2])}", ""][: 3 if listing else 2]
        elif listing and entry:
            out.append(f"- `{entry[1]}`: {_escaped(entry[2])}")
        elif listing and line.startswith("    "):
            out.append(f"  {_escaped(line.strip())}")
        else:
            listing = listing and not line
            # Four spaces are a block of code in Markdown as they are in the docstring.
            out.append(line if line.startswith("    ") else _escaped(line))
    return "\n".join([*out, "```"] if fenced else out)


def _escaped(line: str) -> str:
    """Formulas hold * and _, which Markdown would take for emphasis; code spans stay."""
    parts = re.split(r"(`[^`]*`)", line)
    return "".join(
        part if i % 2 else re.sub(r"([*_\[])", r"\\\1", part).replace("<", "&lt;")
        for i, part in enumerate(parts)
    )
