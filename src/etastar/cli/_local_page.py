"""`etastar app`: plan on a local page in the browser."""

from __future__ import annotations

import importlib.util
from typing import Annotated

import typer

from etastar._errors import InputError

EXAMPLES = ("etastar app", "etastar app pilots --port 8600")

Logs = Annotated[
    str | None,
    typer.Argument(
        metavar="RUNS", help="Logs to read first: a path, a glob or the address of a tracker."
    ),
]
Port = Annotated[
    int | None,
    typer.Option(
        metavar="N", min=1, max=65535, help="Port of the page; by default a free one from 8501 on."
    ),
]

# The page is for the user of this machine: it listens on no other, and tells nobody.
SETTINGS = {
    "server.address": "localhost",
    "browser.gatherUsageStats": "false",
    "client.showErrorDetails": "none",
    "client.toolbarMode": "minimal",
    "server.fileWatcherType": "none",
    "server.maxUploadSize": "2000",
}


def app_command(runs: Logs = None, port: Port = None) -> None:
    """Plan on a local page: drop logs, see what was read, plan, download the files.

    It ends with Ctrl-C. It needs Streamlit: pip install 'etastar[app]'.
    """
    if importlib.util.find_spec("streamlit") is None:
        raise InputError("etastar app needs Streamlit; pip install 'etastar[app]'")
    if runs is not None:
        from etastar.runs import check_source

        check_source(runs)
    # By its command, in this process: whoever ends this one ends the page.
    from streamlit.web.cli import main

    main(streamlit_words(runs, port), prog_name="streamlit", standalone_mode=False)


def streamlit_words(runs: str | None, port: int | None) -> list[str]:
    """The words after `streamlit` that serve the page.

    >>> streamlit_words("pilots", 8600)[-4:]
    ['--server.port', '8600', '--', 'pilots']
    """
    from etastar.app import PAGE

    words = ["run", str(PAGE)]
    for name, value in SETTINGS.items():
        words += [f"--{name}", value]
    if port is not None:
        words += ["--server.port", str(port)]
    return words if runs is None else [*words, "--", runs]
