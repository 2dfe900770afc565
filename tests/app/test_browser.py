"""`etastar app` in Chromium: logs are dropped, a plan is made, its files come down."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest
import streamlit  # noqa: F401  (conftest.py skips the file where it is not installed)

from tests.helpers.browser import opened_browser

pytestmark = pytest.mark.slow


@pytest.fixture
def address(tmp_path) -> Iterator[str]:
    """The page, served by a process of its own."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    words = [sys.executable, "-m", "etastar.cli", "app", "--port", str(port)]
    environment = {k: v for k, v in os.environ.items() if k not in ("DISPLAY", "BROWSER")}
    with (tmp_path / "said").open("wb") as said:
        server = subprocess.Popen(words, env=environment, stdout=said, stderr=said)
        try:
            wait_for(f"http://localhost:{port}/_stcore/health")
            yield f"http://localhost:{port}"
        finally:
            server.terminate()
            server.wait(30)


def wait_for(address: str) -> None:
    for _ in range(150):
        try:
            with urlopen(address, timeout=2):
                return
        except OSError:
            time.sleep(0.2)
    raise TimeoutError(address)


def test_logs_are_dropped_planned_and_downloaded(address: str, logs: Path) -> None:
    with opened_browser() as browser:
        page = browser.new_page(viewport={"width": 390, "height": 900})
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto(address)
        page.set_input_files("input[type=file]", sorted(map(str, logs.iterdir())))
        page.get_by_text("3 runs read").wait_for(timeout=60_000)
        assert page.evaluate("document.documentElement.scrollWidth") == 390
        page.get_by_role("textbox", name="Horizon").fill("4k")
        page.get_by_role("button", name="Plan", exact=True).click()
        button = page.get_by_role("button", name="schedule.json")
        button.wait_for(timeout=120_000)
        with page.expect_download() as waiting:
            button.click()
        document = json.loads(Path(waiting.value.path()).read_text())
        assert document["horizon"] == 4000
        assert {re.split("[/:]+", url)[1] for url in asked if "blob:" not in url} == {"localhost"}
