"""Pages in the system's Chromium, for tests of what runs in them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@contextmanager
def opened_browser() -> Iterator[Any]:
    """Chromium without a window; skips the test, with the reason, where it cannot be had."""
    library = pytest.importorskip(
        "playwright.sync_api", reason="Playwright, which drives Chromium, is not installed"
    )
    path = next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        pytest.skip(f"no Chromium is installed under one of the names {', '.join(NAMES)}")
    with library.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


def opened_page(browser: Any, html: str, folder: Path, hash: str = "", **options: Any) -> Any:
    """A page from disk; `page.said` holds what its console, its errors and its requests were."""
    path = folder / "page.html"
    path.write_text(html, encoding="utf-8")
    page = browser.new_page(**options)
    page.said = []
    page.on("console", lambda message: page.said.append(message.text))
    page.on("pageerror", lambda error: page.said.append(str(error)))
    page.on("request", lambda request: page.said.append(request.url))
    page.goto(f"{path.as_uri()}{hash}")
    return page


def settle(page: Any) -> None:
    """Wait for what the page computes after its first answer."""
    page.wait_for_function("document.getElementById('explore').dataset.settled", timeout=60_000)
