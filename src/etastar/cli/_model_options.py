"""The options that say what task of the solvable model is meant."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from etastar._errors import InputError

from ._terminal import note

if TYPE_CHECKING:
    from etastar import model

_CAPACITY = typer.Option(
    "--capacity", metavar="A", help="Capacity exponent a, eigenvalues k^-a.", show_default=False
)
_SOURCE = typer.Option(
    "--source",
    metavar="S",
    help="Source exponent s, the noiseless loss ~ tau^-s.",
    show_default=False,
)
Capacity = Annotated[float, _CAPACITY]
Source = Annotated[float, _SOURCE]
CapacityOrSpectrum = Annotated[float | None, _CAPACITY]
SourceOrSpectrum = Annotated[float | None, _SOURCE]
Spectrum = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Measured spectrum in place of --capacity and --source: a table with the columns"
        " eigenvalue and target, the target's power lambda w^2 on each mode.",
        show_default=False,
    ),
]


def check_task(capacity: float | None, source: float | None, spectrum: Path | None) -> None:
    """Refuse a task that is given by its exponents and by a spectrum, by neither, or by half.

    Raises: InputError that names the options.
    """
    given = [
        name
        for name, value in (("--capacity", capacity), ("--source", source))
        if value is not None
    ]
    if spectrum is not None and given:
        raise InputError(
            f"--spectrum and {' and '.join(given)} both say what the task is: give --spectrum FILE,"
            " or --capacity A and --source S"
        )
    if spectrum is None and len(given) < 2:
        missing = {"--capacity", "--source"} - set(given)
        what = f"{' and '.join(sorted(missing))} {'are' if len(missing) > 1 else 'is'} missing"
        raise InputError(f"{what}: give --capacity A and --source S, or --spectrum FILE")


def model_of(
    capacity: float | None,
    source: float | None,
    spectrum: Path | None,
    noise: float,
    batch: float,
    features: int | None = None,
) -> tuple[model.Model, model.SpectrumFit | None]:
    """The model of two exponents, or of a measured spectrum with those fitted to it.

    An optimum does not need the exponents: a spectrum that is no power law is solved all the same,
    and a note says that it has none.
    """
    from etastar.model import LinearModel, PowerLaw, read_spectrum

    if spectrum is None:
        assert capacity is not None
        assert source is not None
        return PowerLaw(capacity, source, noise, batch, features), None
    if features is not None:
        raise InputError(
            "--width cuts a power law: with --spectrum, leave it out and give a file with as many"
            " modes as there are features"
        )
    measured = read_spectrum(spectrum)
    linear = LinearModel(measured, noise, batch)
    try:
        return linear, fitted_spectrum(spectrum, measured, noise)
    except InputError as error:
        note([f"no exponents and no phase: {error}"])
        return linear, None


def fitted_spectrum(path: Path, spectrum: model.Spectrum, noise: float) -> model.SpectrumFit:
    """The exponents of the spectrum in a file.

    Raises: InputError that names the file.
    """
    from etastar.model import fit_spectrum

    try:
        return fit_spectrum(spectrum.eigenvalue, spectrum.target, noise)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def measured(fitted: model.SpectrumFit) -> dict[str, Any]:
    """What `--json` says of a measured spectrum: exponents, their 90% intervals, and the range."""
    return asdict(fitted) | {"xi_ci": fitted.xi_ci, "undecided": fitted.undecided}
