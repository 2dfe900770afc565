"""`etastar phase`: easy or hard, and the exponents of the optimal schedule."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from etastar._files import write_text
from etastar._provenance import provenance

from . import _options as option
from ._terminal import print_json, show

EXAMPLES = (
    "etastar phase --capacity 1.5 --source 0.5",
    "etastar phase --capacity 1.5 --source 0.2 --noise 0 --plot phase.html",
)

Noise = Annotated[
    float, typer.Option(metavar="SIGMA2", help="Variance of the label noise; 0 for none.")
]


def phase_command(
    capacity: option.Capacity,
    source: option.Source,
    noise: Noise = 1.0,
    as_json: option.AsJson = False,
    plot: option.Plot = None,
) -> None:
    """Say whether a task is easy or hard, and the exponents of its optimal schedule."""
    option.check_plot(plot)
    from etastar import model
    from etastar.report import phase_page, phase_summary

    found = model.phase(capacity, source, noise > 0)
    if plot is not None:
        write_text(plot, phase_page(capacity, source, noise > 0, provenance()))
    if as_json:
        print_json(asdict(found))
    else:
        show(phase_summary(found))
