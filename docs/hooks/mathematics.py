"""LaTeX in the pages as MathML, made when the site is built: a browser needs no script for it.

`pymdownx.arithmatex` finds `$...$` and `$$...$$` outside code. What it marks is converted here. The
style and the font are copied into the site, so that a formula looks the same without a network.
"""

from __future__ import annotations

import re
from html import unescape
from pathlib import Path
from typing import Any
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

HERE = Path(__file__).parent
FILES = ("mathematics.css", "mathematics.woff2", "mathematics_font.txt")
MARKED = re.compile(
    r'(?P<before>\(?)<(?P<tag>span|div) class="arithmatex">\s*\\(?P<open>[(\[])'
    r"(?P<latex>.*?)\\[)\]]\s*</(?P=tag)>(?P<after>[^\s<]{0,3})",
    re.DOTALL,
)
NAMESPACE = ' xmlns="http://www.w3.org/1998/Math/MathML"'
OPENING, CLOSING = "([{⟨⌊⌈", ")]}⟩⌋⌉"
FUNCTIONS = ("exp", "ln", "log", "sin")
LIMITS = ("∑", "∏", "min", "max", "lim")
BESIDE = {"msub": "munder", "msubsup": "munderover"}


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
    before, after = found["before"], found["after"]
    if display:  # a long equation scrolls in a box of its own
        return f'{before}<div class="mathematics">{math}</div>{after}'
    if not before + after:
        return math
    # No line begins with the comma after a formula.
    return f'<span class="mathematics-word">{before}{math}{after}</span>'


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
        root = ElementTree.fromstring(text.replace(NAMESPACE, ""))
    except Exception as error:
        raise ValueError(f"LaTeX that cannot be converted: {latex} ({error!r})") from error
    if any("\\" in (part.text or "") for part in root.iter()):
        raise ValueError(f"LaTeX that cannot be converted: {latex}")
    root.attrib = {"display": "block"} if display else {}
    if len(root) == 1 and root[0].tag == "mrow":
        root[:] = root[0]
    for part in list(root.iter()):
        _arrange(part, display)
    return ElementTree.tostring(root, encoding="unicode")


def _arrange(part: Element, display: bool) -> None:
    """Spaces and limits as TeX sets them, where a browser would set others."""
    name = part.text or ""
    if part.tag in ("mo", "mi") and name:
        _sign(part, name)
    first = part[0] if len(part) else None
    if part.tag in BESIDE and first is not None and first.text in LIMITS and display:
        part.tag = BESIDE[part.tag]
    elif part.tag == "msup" and (part[1].text or "").strip("′") == "" and part[1].text:
        # The font's prime is made to stand beside a letter as it is.
        part.tag = "mrow"
        part[1].tag, part[1].attrib = "mo", {"lspace": "0", "rspace": "0"}
    for i, child in reversed(list(enumerate(part))):
        after = part[i + 1] if i + 1 < len(part) else None
        is_bracket = after is not None and (after.text or "") in tuple(OPENING)
        if child.text in FUNCTIONS and part.tag in ("mrow", "math") and not is_bracket:
            part.insert(i + 1, Element("mspace", width="0.167em"))


def _sign(part: Element, name: str) -> None:
    """A sign's form and spaces."""
    sized = "minsize" in part.attrib
    if name in ("⟨", "⟩") or (sized and name in OPENING + CLOSING):
        part.tag = "mo"
        part.attrib["form"] = "prefix" if name in OPENING else "postfix"
        part.attrib.setdefault("stretchy", "false")
    elif name in ("|", "/", "*") or sized:
        part.text = "∗" if name == "*" else name
        part.attrib.update(lspace="0", rspace="0")
    elif name in ("~", "±"):
        part.tag, part.text = "mo", name.replace("~", "∼")
    elif name == "^":
        part.text, part.attrib["stretchy"] = "ˆ", "false"
    elif name == "‖" or (part.tag == "mo" and re.fullmatch("[A-Za-z]{2,}", name)):
        # A norm's bars do not stretch; a name, such as tr, is no sign between two terms.
        part.tag, part.attrib = "mi", {}
