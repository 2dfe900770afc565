"""The command `etastar` and the list of what it can do."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.metadata import version
from typing import Annotated

import typer

from etastar._provenance import making

from . import (
    _backtest,
    _export,
    _forecast,
    _local_page,
    _open,
    _phase,
    _pilot,
    _plan,
    _robust,
    _solve,
    _transfer,
    _watch,
)
from ._terminal import guarded

app = typer.Typer(
    name="etastar",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
# In the order in which --help lists them.
COMMANDS = {
    "plan": (_plan.plan_command, _plan.EXAMPLES),
    "open": (_open.open_command, _open.EXAMPLES),
    "forecast": (_forecast.forecast_command, _forecast.EXAMPLES),
    "watch": (_watch.watch_command, _watch.EXAMPLES),
    "backtest": (_backtest.backtest_command, _backtest.EXAMPLES),
    "solve": (_solve.solve_command, _solve.EXAMPLES),
    "phase": (_phase.phase_command, _phase.EXAMPLES),
    "transfer": (_transfer.transfer_command, _transfer.EXAMPLES),
    "compute": (_transfer.compute_command, _transfer.COMPUTE_EXAMPLES),
    "robust": (_robust.robust_command, _robust.EXAMPLES),
    "export": (_export.export_command, _export.EXAMPLES),
    "pilot": (_pilot.pilot_command, _pilot.EXAMPLES),
    "app": (_local_page.app_command, _local_page.EXAMPLES),
}
"""Name, function, and commands to try that the end of its --help shows."""

for _name, (_command, _examples) in COMMANDS.items():
    # Paragraphs, as the help would join lines of one.
    app.command(_name, epilog="\n\n".join(["Examples:", *_examples]))(_command)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit: 0 done, 2 the input is wrong, 1 our fault.

    Arguments:
        arguments: the words after `etastar`; those of the process where None.

    Raises:
        SystemExit: always, with the exit code.

    >>> import contextlib, io
    >>> with contextlib.redirect_stdout(io.StringIO()) as out:
    ...     try:
    ...         main(["--version"])
    ...     except SystemExit as end:
    ...         print(end.code, file=__import__("sys").stderr)
    >>> out.getvalue().startswith("etastar ")
    True
    """
    for stream in (sys.stdout, sys.stderr):
        # A terminal without the character × should print "?", not fail.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # type: ignore[union-attr]
    words = sys.argv[1:] if arguments is None else list(arguments)
    with making(["etastar", *words]):
        code = guarded(lambda: app(args=words, standalone_mode=False))
    sys.exit(code)


def _print_version(wanted: bool) -> None:
    if wanted:
        # Asked of the installation: the package itself stands above all rooms.
        print(f"etastar {version('etastar')}")
        raise typer.Exit()


@app.callback(invoke_without_command=True)
def _etastar(
    context: typer.Context,
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    """Plan the learning rate of a training run from a few short pilot runs."""
    if context.invoked_subcommand is None:
        print(context.get_help())
