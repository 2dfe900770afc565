"""What the pages of all commands share: title, command, numbers, words, and how they were made."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape

from rich.table import Table
from rich.text import Text

from etastar._errors import legible
from etastar._provenance import Provenance

from ._charts import Line
from ._page import html_table, keys, page, swatch
from ._style import ON_WHITE_AND_BLACK

LONGEST_COMMAND = 300
"""Characters of the command below the title; of a longer one the foot has all."""

NAMES = {"etastar": "etastar", "python": "Python", "numpy": "NumPy", "jax": "JAX"}


def result_page(
    title: str,
    numbers: Sequence[tuple[str, str, str]],
    words: Sequence[str],
    sections: Sequence[str],
    made: Provenance | None,
    units: str = "",
) -> str:
    """The page of a result: one HTML file that loads nothing, for phones and in the dark too.

    Arguments:
        title: what the page shows, plain text.
        numbers: those that matter most: name, value and a remark in small letters, plain text.
        words: lines that sum the result up, plain text.
        sections: HTML, from top to bottom.
        made: how it was made; None where no command made it.
        units: what the numbers are in, for the foot.

    >>> text = result_page("a < b", [("loss", "3.1", "at the end")], ["It falls."], [], None)
    >>> "<h1>a &lt; b</h1>" in text, "<dd>3.1" in text, text.endswith("</html>\\n")
    (True, True, True)
    """
    terms = "\n".join(
        f"<div><dt>{escape(name)}</dt><dd>{escape(value)}"
        + (f"\n<small>{escape(remark)}</small>" if remark else "")
        + "</dd></div>"
        for name, value, remark in numbers
    )
    lines = "\n".join(f"<p>{escape(line)}</p>" for line in words)
    head = f'<div class="head">\n<dl class="numbers">\n{terms}\n</dl>\n{lines}\n</div>'
    body = [f"<h1>{escape(title)}</h1>", command_line(made) + head, *sections, foot(units, made)]
    return page(title, "\n".join(body))


def command_line(made: Provenance | None) -> str:
    """The command that made a page, below its title; nothing where no command made it."""
    if made is None:
        return ""
    command = escape(legible(made.command, LONGEST_COMMAND))
    return f'<p class="soft command"><code>{command}</code></p>\n'


def foot(units: str, made: Provenance | None, read: Sequence[str] = ()) -> str:
    """The foot of a page: units, versions and date, and what to unfold: the command, the inputs.

    `read` says in lines which columns were read from the inputs.
    """
    said = "".join(f"<p>{escape(legible(line))}</p>" for line in read)
    if made is None:
        return f'<footer class="soft"><p>Made by etastar. {escape(units)}</p>{said}</footer>'
    versions = ", ".join(
        f"{NAMES[name]} {escape(made.versions[name])}" for name in NAMES if name in made.versions
    )
    parts = [
        f"<p>Made on {escape(made.date)} by {versions}. {escape(units)}</p>",
        said,
        "<details><summary>The command</summary>",
        f'<pre class="wrapped"><code>{escape(legible(made.command))}</code></pre></details>',
    ]
    if made.inputs:
        rows = [
            [escape(legible(each.name)), f"<code>{each.sha256 or 'an address'}</code>"]
            for each in made.inputs
        ]
        count = f"{len(rows)} input{'' if len(rows) == 1 else 's'}, with SHA-256"
        inputs = html_table(["input", "SHA-256"], rows, tall=len(rows) > 12)
        parts.append(f'<details class="inputs"><summary>{count}</summary>{inputs}</details>')
    return f'<footer class="soft">{"".join(parts)}</footer>'


def table_html(table: Table, *, tall: bool = False) -> str:
    """A table for a terminal as one for a page; every text is escaped.

    >>> rows = Table()
    >>> rows.add_column("run"); rows.add_row("a<b")
    >>> "a&lt;b" in table_html(rows)
    True
    """
    columns = [[_plain(cell) for cell in column.cells] for column in table.columns]
    rows = [
        # Names and specs are long words: they may break on a phone.
        [re.sub("([,:_])", r"\1<wbr>", escape(first)), *map(escape, rest)]
        for first, *rest in zip(*columns, strict=True)
    ]
    return html_table([escape(_plain(column.header)) for column in table.columns], rows, tall=tall)


def line_keys(lines: Sequence[Line]) -> str:
    """The key of a chart, the line that is drawn on top first; those without a name are not in it.

    >>> line_keys([Line("planned", [1.0], [2.0], "accent", width=2)]).count("<li>")
    1
    """
    entries = []
    for line in reversed(lines):
        if line.name:
            color = ON_WHITE_AND_BLACK.get(line.color, line.color)
            entries.append((swatch(color, line.dash, line.width or 4), line.name))
    return keys(entries)


def _plain(cell: object) -> str:
    return cell.plain if isinstance(cell, Text) else str(cell)
