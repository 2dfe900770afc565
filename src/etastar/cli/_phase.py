"""`etastar phase`: easy or hard, and the exponents of the optimal schedule."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from etastar._files import write_text
from etastar._provenance import provenance

from . import _model_options as task
from . import _options as option
from ._terminal import print_json, show, working

EXAMPLES = (
    "etastar phase --capacity 1.5 --source 0.5",
    "etastar phase --capacity 1.5 --source 0.2 --noise 0 --plot phase.html",
    "etastar phase --spectrum spectrum.csv",
)

Noise = Annotated[
    float, typer.Option(metavar="SIGMA2", help="Variance of the label noise; 0 for none.")
]


def phase_command(
    capacity: task.CapacityOrSpectrum = None,
    source: task.SourceOrSpectrum = None,
    spectrum: task.Spectrum = None,
    noise: Noise = 1.0,
    as_json: option.AsJson = False,
    plot: option.Plot = None,
) -> None:
    """Say whether a task is easy or hard, and the exponents of its optimal schedule."""
    option.check_plot(plot)
    task.check_task(capacity, source, spectrum)
    fitted = None
    with working("reading the spectrum" if spectrum is not None else "deriving the exponents"):
        from etastar import model
        from etastar.report import phase_page, phase_summary

        if spectrum is not None:
            fitted = task.fitted_spectrum(spectrum, model.read_spectrum(spectrum), noise)
            capacity, source = fitted.capacity, fitted.source
        assert capacity is not None
        assert source is not None
        found = model.phase(capacity, source, noise > 0)
        if plot is not None:
            write_text(plot, phase_page(capacity, source, noise > 0, provenance(), fitted))
    if as_json:
        print_json(asdict(found) | ({} if fitted is None else task.measured(fitted)))
    else:
        show(phase_summary(found, fitted))
