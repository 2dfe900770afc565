"""Screenshots of a report and of what a notebook shows, in light and in dark.

A screenshot holds what stands under one heading of the report. They are taken as wide as a phone,
so that their text can be read on one.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import charts
from PIL import Image
from playwright.sync_api import Page, sync_playwright

from etastar.report import write_plan

CHROMIUM = "/usr/bin/chromium"
WIDTH = 460
SCALE = 1.25
COLORS = 96
LARGEST = 1100
"""Height in pixels at which a screenshot ends, however long its section is."""

# Of each section: the name of the file, its heading, and the heading at which it ends.
SECTIONS = (
    ("head", "h1", "Other settings"),
    ("settings", "Other settings", "Loss against peak LR"),
    ("peaks", "Loss against peak LR", "Schedule and forecast"),
    ("follows", "Schedule and forecast", "Loss against batch size"),
    ("horizons", "Best peak LR at other horizons", "Take it with you"),
    ("take", "Take it with you", "Planned and standard"),
    ("comparison", "Planned and standard", "Forecast"),
    ("forecast", "Forecast", "Caveats"),
    ("caveats", "Caveats", "Use it"),
    ("fit", "The fit over the logs", "Evidence"),
    ("evidence", "Evidence", ""),
)


def main(folder: Path) -> None:
    plan = charts.bundled_plan()
    with tempfile.TemporaryDirectory() as temporary, sync_playwright() as playwright:
        write_plan(plan, temporary)
        shown = Path(temporary, "notebook.html")
        shown.write_text(
            "<meta charset='utf-8'><style>body{font:15px system-ui;margin:12px}"
            "@media (prefers-color-scheme: dark){body{background:#15181e;color:#e5e9f0}}</style>"
            f"<h1 hidden></h1>{plan._repr_html_()}",
            encoding="utf-8",
        )
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        for scheme, ending in (("light", ""), ("dark", "-dark")):
            page = browser.new_page(
                viewport={"width": WIDTH, "height": 900},
                color_scheme="light" if scheme == "light" else "dark",
                device_scale_factor=SCALE,
            )
            page.goto(Path(temporary, "report.html").as_uri())
            page.wait_for_timeout(2500)
            tops = headings(page)
            for name, first, end in SECTIONS:
                save(page, tops, first, end, folder / f"report_{name}{ending}.png")
            page.set_viewport_size({"width": 660, "height": 400})
            page.goto(shown.as_uri())
            below = page.evaluate("document.querySelector('table').getBoundingClientRect().bottom")
            tall = page.evaluate("document.documentElement.scrollHeight")
            clip = {"x": 0, "y": below, "width": 660, "height": tall - below}
            shot(page, clip, folder / f"notebook{ending}.png")
            page.close()
        browser.close()


def headings(page: Page) -> list[tuple[str, float]]:
    """The headings that are shown, with their distances from the top."""
    found = page.evaluate(
        "[...document.querySelectorAll('h1, h2, h3')].filter(each => each.offsetParent)"
        ".map(each => [each.tagName, each.textContent, each.getBoundingClientRect().top"
        " + window.scrollY])"
    )
    return [("h1" if tag == "H1" else text.strip(), top) for tag, text, top in found]


def save(page: Page, tops: list[tuple[str, float]], first: str, end: str, path: Path) -> None:
    """One section as a file; a section that this report does not have is left out."""
    starts = [number for number, (name, _) in enumerate(tops) if name.startswith(first)]
    if not starts:
        print(f"{path.name}: no heading {first!r}")
        return
    begin = tops[starts[0]][1] - 8
    after = [top for name, top in tops[starts[0] + 1 :] if end and name.startswith(end)]
    after = after or [top for _, top in tops[starts[0] + 1 :]]
    bottom = after[0] - 8 if after else page.evaluate("document.documentElement.scrollHeight")
    clip = {"x": 0, "y": max(begin, 0), "width": WIDTH, "height": min(bottom - begin, LARGEST)}
    shot(page, clip, path)


def shot(page: Page, clip: Any, path: Path) -> None:
    """A part of the page as a file of few colours, which takes a third of the place."""
    page.screenshot(path=str(path), full_page=True, clip=clip)
    Image.open(path).convert("RGB").quantize(COLORS).save(path, optimize=True)
    print(f"{path.name}  {path.stat().st_size / 1000:.0f} kB")
