"""The pages for users show pictures that are there, in a form for light and one for dark."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

DOCS = Path(__file__).parents[1] / "docs"
PICTURE = re.compile(r"!\[([^\]]*)\]\(([^)]+)\)")


def hook() -> ModuleType:
    spec = importlib.util.spec_from_file_location("appearance", DOCS / "hooks" / "appearance.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def pages_for_users() -> list[str]:
    """What the navigation lists under Start and Use."""
    text = (DOCS.parent / "mkdocs.yml").read_text(encoding="utf-8")
    part = text.split("\n  - Start:\n")[1].split("\n  - Understand:\n")[0]
    return re.findall(r": ([\w/]+\.md)$", part, re.MULTILINE)


@pytest.mark.parametrize("page", pages_for_users())
def test_a_page_for_users_has_a_picture_that_is_there_and_described(page):
    path = DOCS / page
    found = PICTURE.findall(path.read_text(encoding="utf-8"))
    assert found
    for words, picture in found:
        assert len(words) > 20
        assert (path.parent / picture).exists()


def test_each_drawing_has_colours_for_both_themes_and_fits_a_phone():
    drawings = sorted((DOCS / "figures").glob("use_*.svg"))
    assert len(drawings) > 20
    for drawing in drawings:
        text = drawing.read_text(encoding="utf-8")
        assert text.count(hook().QUERY) == 1
        assert 'viewBox="0 0 440 ' in text
        assert "<title>" in text


def test_a_drawing_and_a_screenshot_follow_the_theme_and_other_images_stay():
    page = hook().on_page_content
    drawn = page('<img alt="A" src="../figures/use_plan.svg">')
    assert drawn.count("<img ") == 2
    assert 'src="../figures/use_plan.light.svg#only-light"' in drawn
    assert 'src="../figures/use_plan.dark.svg#only-dark"' in drawn
    shot = page('<img alt="A" src="figures/report_head.png">')
    assert "report_head.png#only-light" in shot
    assert "report_head-dark.png#only-dark" in shot
    other = '<img alt="A" src="figures/rooms.svg">'
    assert page(other) == other


def test_short_code_is_kept_on_one_line():
    page = hook().on_page_content
    assert page("<code>--horizon</code>") == '<code class="unbroken">--horizon</code>'
    assert page(f"<code>{'a' * 40}</code>") == f"<code>{'a' * 40}</code>"
