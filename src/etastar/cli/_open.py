"""`etastar open`: the report of a plan, in the browser."""

from __future__ import annotations

import os
import shlex
import socket
import sys
import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from etastar._errors import InputError, legible
from etastar._files import is_file, is_folder

from ._terminal import note

EXAMPLES = ("etastar open plan", "etastar open plan/plan.json")

Place = Annotated[
    str,
    typer.Argument(
        metavar="PLAN",
        help="The folder that `plan --out` wrote, or a file in it; or another page, such as one of"
        " --plot.",
        show_default=False,
    ),
]
SCREENS = ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")
"""Variables one of which is set where a program can open a window, or a browser is named."""


def open_command(plan: Place) -> None:
    """Open the report of a plan in the browser, or say where it is."""
    page = report_of(plan)
    print(f"report: {legible(str(page))}")
    open_page(page)


def report_of(plan: str) -> Path:
    """The page that a plan is named by: its folder, a file in it, or the page itself.

    Raises: InputError where there is none.
    """
    path = Path(plan).expanduser()
    if is_folder(path):
        page = path / "report.html"
    elif path.suffix.lower() in (".html", ".htm"):
        page = path
    else:
        page = path.parent / "report.html"
    if not (is_folder(path) or is_file(path)):
        raise InputError(f"{plan}: no such file or folder; name the folder of plan --out")
    if not is_file(page):
        raise InputError(f"{page}: no such file; make it with etastar plan RUNS... --out FOLDER")
    return page


def open_page(page: Path) -> None:
    """Open a page in the browser; where none opens, say where it is and what to do."""
    place = page.resolve()
    if _opened(place):
        return
    advice = f"no browser can be opened here; open {place} in one"
    if os.environ.get("SSH_CONNECTION"):
        source = shlex.quote(f"{socket.gethostname()}:{place}")
        advice += f", on your machine after scp {source} ."
    note([advice])


def _opened(place: Path) -> bool:
    """Whether a browser with a window took the page."""
    far = "SSH_CONNECTION" in os.environ or sys.platform.startswith("linux")
    if far and not any(os.environ.get(name) for name in SCREENS):
        # A browser within the terminal would take it over and show no figure.
        return False
    try:
        return webbrowser.open(place.as_uri())
    except webbrowser.Error:
        return False
