"""LaTeX in the pages as MathML, made when the site is built: a browser needs no script for it.

`pymdownx.arithmatex` finds `$...$` and `$$...$$` outside code. What it marks is converted here. The
style and the font are copied into the site, so that a formula looks the same without a network.
"""

from __future__ import annotations

import re
from html import unescape
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
FILES = ("mathematics.css", "mathematics.woff2", "mathematics_font.txt")
MARKED = re.compile(
    r'<(?P<tag>span|div) class="arithmatex">\s*\\(?P<open>[(\[])'
    r"(?P<latex>.*?)\\[)\]]\s*</(?P=tag)>",
    re.DOTALL,
)
THIN = '<mspace width="0.167em" />'
OPENING, CLOSING = "([{⟨⌊⌈", ")]}⟩⌋⌉"


def on_config(config: Any) -> Any:
    """Link the style from every page."""
    config.extra_css.append("mathematics/mathematics.css")
    return config


def on_files(files: Any, *, config: Any) -> Any:
    """Add the style, and the font with its licence."""
    from mkdocs.structure.files import File

    for name in FILES:
        files.append(File.generated(config, f"mathematics/{name}", abs_src_path=str(HERE / name)))
    return files


def on_page_content(html: str, *, page: Any, config: Any, files: Any) -> str:
    """Convert the formulas of a page."""
    from mkdocs.exceptions import PluginError

    try:
        return with_mathml(html)
    except ValueError as error:
        raise PluginError(f"{page.file.src_uri}: {error}") from None


def with_mathml(html: str) -> str:
    r"""The page with MathML in the place of the LaTeX that is marked in it.

    >>> with_mathml('<p>Let <span class="arithmatex">\\(a\\)</span> be.</p>')
    '<p>Let <math><mi>a</mi></math> be.</p>'
    """
    return MARKED.sub(_formula, html)


def _formula(found: re.Match[str]) -> str:
    display = found["open"] == "["
    math = mathml(unescape(found["latex"]), display)
    # A long equation scrolls in a box of its own.
    return f'<div class="mathematics">{math}</div>' if display else math


def mathml(latex: str, display: bool = False) -> str:
    r"""The MathML of a formula.

    Raises ValueError for a command that is not known: it would stand in the page as text.

    >>> mathml("x^2")
    '<math><msup><mi>x</mi><mn>2</mn></msup></math>'
    >>> mathml(r"\nonsense")
    Traceback (most recent call last):
    ...
    ValueError: LaTeX that cannot be converted: \nonsense
    """
    from latex2mathml.converter import convert

    try:
        text = convert(latex.strip(), display="block" if display else "inline")
    except Exception as error:
        raise ValueError(f"LaTeX that cannot be converted: {latex} ({error!r})") from error
    if re.search(r"\\|<m[io]>&</m[io]>", text):
        raise ValueError(f"LaTeX that cannot be converted: {latex}")
    return _spaced(_readable(text))


def _readable(text: str) -> str:
    """Characters in the place of their codes, and no wrapper around the whole."""
    text = re.sub(r"&#x([0-9A-Fa-f]+);", _character, text)
    text = text.replace(' xmlns="http://www.w3.org/1998/Math/MathML"', "")
    return re.sub(r'^<math( display="block")?[^>]*><mrow>(.*)</mrow></math>$', _math, text)


def _math(found: re.Match[str]) -> str:
    return f"<math{found[1] or ''}>{found[2]}</math>"


def _character(found: re.Match[str]) -> str:
    character = chr(int(found[1], 16))
    return found[0] if character in "<>&" else character


def _spaced(text: str) -> str:
    """The spaces that TeX leaves, where a browser would leave others."""
    # Brackets of a given size are brackets wherever they stand.
    text = re.sub(r'<mo (stretchy="true" fence="true" minsize[^>]*)>([^<])</mo>', _bracket, text)
    text = text.replace("<mo>/</mo>", '<mo lspace="0" rspace="0">/</mo>')
    text = re.sub("<m[io]>~</m[io]>", "<mo>∼</mo>", text)
    # The font's prime and hat are made to stand beside and above a letter as they are.
    text = re.sub(r"<msup>(<m[io]>[^<]*</m[io]>)<mi>(′+)</mi></msup>", _prime, text)
    text = text.replace("<mo>^</mo>", '<mo stretchy="false">ˆ</mo>')
    text = text.replace("<mo>‖</mo>", '<mi mathvariant="normal">‖</mi>')
    # A name of an operator, such as tr, is no sign between two terms.
    text = re.sub(r"<mo>(min|max)</mo>(?=<mo [^>]*>\()", r"<mi>\1</mi>", text)
    text = re.sub(r"<mo>((?!max|min|lim)[a-zA-Z]{2,})</mo>", r"<mi>\1</mi>", text)
    return re.sub(r"(<mi>(?:exp|ln|log|sin)</mi>)(?=<m[in]|<ms)", rf"\1{THIN}", text)


def _prime(found: re.Match[str]) -> str:
    return f'<mrow>{found[1]}<mo lspace="0" rspace="0">{found[2]}</mo></mrow>'


def _bracket(found: re.Match[str]) -> str:
    character = found[2]
    if character not in OPENING + CLOSING:
        return f'<mo {found[1]} lspace="0" rspace="0">{character}</mo>'
    form = "prefix" if character in OPENING else "postfix"
    return f'<mo form="{form}" {found[1]}>{character}</mo>'
