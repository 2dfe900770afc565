"""Screenshots of `etastar app` and of the page of `etastar phase`, in light and in dark."""

from __future__ import annotations

import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal
from urllib.request import urlopen

from playwright.sync_api import Page, sync_playwright
from screens import CHROMIUM, SCALE, WIDTH, shot

PILOTS = Path(__file__).parents[2] / "examples" / "gpt"
SCHEMES: tuple[tuple[Literal["light", "dark"], str], ...] = (("light", ""), ("dark", "-dark"))
TALL = 4200
"""Pixels in which the whole page of the app is shown without scrolling."""


def main(folder: Path) -> None:
    with tempfile.TemporaryDirectory() as temporary, sync_playwright() as playwright:
        phase = Path(temporary, "phase.html")
        words = ["phase", "--capacity", "1.5", "--source", "0.5", "--plot", "phase.html"]
        command = [sys.executable, "-m", "etastar.cli", *words]
        subprocess.run(command, cwd=temporary, check=True, capture_output=True)
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        with served("pilots", PILOTS) as address:
            for scheme, ending in SCHEMES:
                page = browser.new_page(
                    viewport={"width": WIDTH, "height": TALL},
                    color_scheme=scheme,
                    device_scale_factor=SCALE,
                )
                app(page, address, folder, ending)
                page.set_viewport_size({"width": WIDTH, "height": 900})
                page.goto(phase.as_uri())
                page.wait_for_timeout(1000)
                bottom = top_of(page, "footer")
                # Of few colours the task would have none of its own.
                path = str(folder / f"page_phase{ending}.png")
                page.screenshot(path=path, full_page=True, clip=clip(0, bottom))
                page.close()
        browser.close()


def app(page: Page, address: str, folder: Path, ending: str) -> None:
    """What was read, and the plan."""
    page.goto(address)
    page.get_by_text("10 runs read").wait_for(timeout=60_000)
    page.get_by_role("button", name="Plan", exact=True).click()
    page.get_by_role("button", name="schedule.json").wait_for(timeout=120_000)
    page.wait_for_timeout(3000)
    begin, form = top_of(page, "h1"), top_of(page, "[data-testid=stForm]")
    shot(page, clip(begin - 8, form - 8), folder / f"app_logs{ending}.png")
    begin, end = top_of(page, "h3:has-text('The plan')"), top_of(page, "[data-testid=stCode]")
    shot(page, clip(begin - 8, end + 80), folder / f"app_plan{ending}.png")


def top_of(page: Page, place: str) -> float:
    box = page.locator(place).first.bounding_box()
    assert box
    return box["y"]


def clip(top: float, bottom: float) -> Any:
    return {"x": 0, "y": top, "width": WIDTH, "height": bottom - top}


@contextmanager
def served(logs: str, folder: Path) -> Iterator[str]:
    """The page of `etastar app`, served while the block lasts."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    words = [sys.executable, "-m", "etastar.cli", "app", logs, "--port", str(port)]
    quiet: Any = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    server = subprocess.Popen(words, cwd=folder, **quiet)
    try:
        for _ in range(150):
            try:
                urlopen(f"http://localhost:{port}/_stcore/health", timeout=2).close()
                break
            except OSError:
                time.sleep(0.2)
        yield f"http://localhost:{port}"
    finally:
        server.terminate()
        server.wait(30)
