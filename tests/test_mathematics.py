"""Formulas of the documentation: MathML in the built pages, and nothing from a network."""

from __future__ import annotations

import re
import shutil
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.browser import opened_browser

DOCS = Path(__file__).parents[1] / "docs"
PAGES = ("law", "law_details", "solvable", "solvable_details", "controls", "controls_details")
PAGES += ("robust", "playground")
# What stands as it was written: code, and LaTeX in it.
CODE = re.compile(r"<(pre|code|script|style)\b.*?</\1>", re.DOTALL)

OWN = r"""# A page

Let $\eta_t < 1$, and $a^*$.

$$
\sum_{k=1}^N \lambda_k \le \min_k \sqrt{x}
$$

A pilot costs \$5, `$HOME` is a folder, and `$$` a process. Prices of $6 and $7 are no formula.

```sh
echo "$HOME" $$ # $a$
```
"""


def hook() -> Any:
    spec = spec_from_file_location("mathematics_hook", DOCS / "hooks/mathematics.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def built(folder: Path) -> Path:
    """The site of the pages in `folder`/docs, by our mkdocs.yml without its plugins."""
    pytest.importorskip("latex2mathml", reason="latex2mathml is not installed")
    pytest.importorskip("mkdocs", reason="MkDocs is not installed")
    pytest.importorskip("material", reason="the theme Material is not installed")
    from mkdocs.commands.build import build
    from mkdocs.config import load_config

    site, pages = folder / "site", folder / "docs"
    settings = {"docs_dir": str(pages), "site_dir": str(site), "plugins": []}
    build(load_config(str(DOCS.parent / "mkdocs.yml"), **settings))
    return site


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("documentation")
    # The reference is made from docstrings, which have no LaTeX.
    shutil.copytree(DOCS, folder / "docs", ignore=shutil.ignore_patterns("reference.md"))
    return built(folder)


def test_formulas_become_mathml_and_code_stays_as_it_is(tmp_path):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/index.md").write_text(OWN, encoding="utf-8")
    html = (built(tmp_path) / "index.html").read_text(encoding="utf-8")
    assert html.count("<math") == 3
    assert '<div class="mathematics"><math display="block"><munderover><mo>∑</mo>' in html
    assert "<mo>&lt;</mo>" in html
    assert re.search(r"<code[^>]*>\$HOME</code>.*<code[^>]*>\$\$</code>", html)
    assert "costs $5," in html
    assert "Prices of $6 and $7 are no formula." in html
    block = re.sub("<[^>]*>", "", html.split('<div class="highlight">')[1].split("</div>")[0])
    assert block.strip() == 'echo "$HOME" $$ # $a$'


def test_a_command_that_is_not_known_stops_the_build(tmp_path, caplog):
    pytest.importorskip("latex2mathml", reason="latex2mathml is not installed")
    module = hook()
    for latex in (r"\nonsense x", r"\begin{aligned} a &= b \end{aligned}"):
        with pytest.raises(ValueError, match="LaTeX that cannot be converted"):
            module.mathml(latex)
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/index.md").write_text("# A page\n\n$\\nonsense$\n", encoding="utf-8")
    exceptions = pytest.importorskip("mkdocs.exceptions", reason="MkDocs is not installed")
    with pytest.raises(exceptions.Abort):
        built(tmp_path)
    assert "index.md: LaTeX that cannot be converted: \\nonsense" in caplog.text


@pytest.mark.parametrize(
    ("latex", "wanted"),
    [
        (r"\bigl(a\bigr)", '<mo stretchy="true" fence="true" minsize="1.2em" maxsize="1.2em" form'),
        (r"\langle a\rangle", '<mo form="prefix" stretchy="false">⟨</mo>'),
        ("t'", '<mrow><mi>t</mi><mo lspace="0" rspace="0">′</mo></mrow>'),
        ("w^*", '<msup><mi>w</mi><mo lspace="0" rspace="0">∗</mo></msup>'),
        (r"\operatorname{tr}/B", '<mi>tr</mi><mo lspace="0" rspace="0">/</mo>'),
        (r"a \sim b", "<mo>∼</mo>"),
        (r"1 \pm 0.1", "<mo>±</mo>"),
        (r"\log T", '<mi>log</mi><mspace width="0.167em" /><mi>T</mi>'),
    ],
)
def test_signs_are_spaced_as_tex_spaces_them(latex, wanted):
    pytest.importorskip("latex2mathml", reason="latex2mathml is not installed")
    assert wanted in hook().mathml(latex)


@pytest.mark.slow
def test_every_theory_page_holds_mathml_and_no_latex(site):
    for page in sorted(site.rglob("*.html")):
        text = CODE.sub("", page.read_text(encoding="utf-8"))
        text = re.sub(r"<[^>]*>", "", text)
        assert not re.search(r"\$\$|\\[a-z]{2,}|\\\(|\\\[", text), page.name
    for name in PAGES:
        text = (site / f"{name}.html").read_text(encoding="utf-8")
        assert text.count("<math") >= 4, name
        assert "arithmatex" not in text, name
        assert "mathematics/mathematics.css" in text, name


@pytest.mark.slow
@pytest.mark.parametrize("width", [390, 1280])
def test_formulas_fit_the_window_and_ask_no_network(site, width):
    # A wide table scrolls, as a long equation does.
    wide = """(width) => [...document.querySelectorAll("math")].filter((math) => {
      const box = math.closest(".mathematics") || math;
      return !math.closest("table") && box.getBoundingClientRect().right > width;
    }).map((math) => math.textContent)"""
    with opened_browser() as browser:
        page = browser.new_page(viewport={"width": width, "height": 900})
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        for name in PAGES:
            page.goto((site / f"{name}.html").as_uri())
            page.evaluate("document.fonts.ready")
            assert page.evaluate("document.fonts.check('16px \"etastar Math\"')"), name
            # The theme puts wide tables into boxes that scroll, once its script has run.
            fits = "(width) => document.querySelector('.md-content').scrollWidth <= width"
            page.wait_for_function(fits, arg=width, timeout=20_000)
            assert page.evaluate(wide, width) == [], name
        assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
        assert any(url.endswith("mathematics.woff2") for url in asked)
