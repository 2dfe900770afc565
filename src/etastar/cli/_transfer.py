"""`etastar transfer` and `etastar compute`: base LRs across horizons, width against horizon."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Any

import typer

from etastar._compiling import running_seconds
from etastar._errors import InputError

from . import _model_options as task
from . import _options as option
from ._solve import Noise
from ._terminal import print_json, show, working

EXAMPLES = (
    "etastar transfer --capacity 1.5 --source 0.2 --noise 1 --batch 8 --horizons 1k,10k,100k",
    "etastar transfer --capacity 1.5 --source 1 --noise 1 --batch 8 --shapes cosine,constant",
    "etastar transfer --spectrum spectrum.csv --noise 1 --batch 8 --horizons 1k,10k",
)
COMPUTE_EXAMPLES = (
    "etastar compute --capacity 1.5 --source 0.5 --noise 1 --batch 8 --budget 1e9",
    "etastar compute --capacity 2 --source 0.2 --noise 1 --batch 8 --budget 1e12 --json",
)

WIDTHS = "solving at each width"
"""The stage of which `etastar.control.compute_optimal` tells."""

# Seconds of a shape at one horizon, as `python bench/solve_progress.py` prints them.
WEIGHTS = {"optimal": 0.15, "power": 0.7, "polynomial": 0.6, "wsd": 1.0}
PLAIN_WEIGHT = 0.06

Batch = Annotated[
    float,
    typer.Option(parser=option.number, metavar="B", help="Batch size, inf for full gradients."),
]
Horizons = Annotated[
    str,
    typer.Option(metavar="N,N,...", help="Numbers of updates, two at least, separated by commas."),
]
Shapes = Annotated[
    str,
    typer.Option(
        metavar="NAMES",
        help="Shapes, separated by commas: optimal, constant, linear, cosine, wsd, ...",
    ),
]
Budget = Annotated[
    float,
    typer.Option(
        parser=option.number,
        metavar="C",
        help="Multiply-adds: features times updates times batch size, such as 1e9.",
    ),
]


def transfer_command(
    noise: Noise,
    batch: Batch,
    capacity: task.CapacityOrSpectrum = None,
    source: task.SourceOrSpectrum = None,
    spectrum: task.Spectrum = None,
    horizons: Horizons = "1k,10k,100k,1M",
    shapes: Shapes = "optimal,constant,linear,cosine,wsd",
    as_json: option.AsJson = False,
) -> None:
    """Say how the best base LR of each shape moves with the horizon."""
    task.check_task(capacity, source, spectrum)
    steps = [option.count_of("--horizons", text) for text in horizons.split(",")]
    names = [name.strip() for name in shapes.split(",")]
    if len(steps) < 2 or any(after <= before for before, after in pairwise(steps)):
        raise InputError(f"--horizons must be two or more rising numbers, got {horizons}")
    names = list(dict.fromkeys(names))
    weights = {name: WEIGHTS.get(name, PLAIN_WEIGHT) for name in names}
    with working(weights, running_seconds) as progress:
        from etastar.control import transfer
        from etastar.model import phase_of

        model, fitted = task.model_of(capacity, source, spectrum, noise, batch)
        exponents = phase_of(model, fitted)
        found = [transfer(model, name, steps, progress=progress) for name in names]
    if as_json:
        print_json(_document(found, exponents))
        return
    from etastar.report import transfer_summary

    show(transfer_summary(found, exponents))


def _document(found: Any, exponents: Any) -> dict[str, Any]:
    """What `--json` prints.

    Keys: `shapes {name: {horizons, peaks, losses, xi, loss_exponent}}`, the exponents from the last
    two horizons; `theory {xi, constant_xi}`, what `etastar phase` derives, null for a spectrum that
    has no exponents.
    """
    theory = None
    if exponents is not None:
        theory = {"xi": exponents.xi, "constant_xi": exponents.constant_xi}
    return {
        "shapes": {
            each.family: {
                "horizons": [int(step) for step in each.horizons],
                "peaks": each.peaks.tolist(),
                "losses": each.losses.tolist(),
                "xi": each.xi,
                "loss_exponent": each.loss_exponent,
            }
            for each in found
        },
        "theory": theory,
    }


def compute_command(
    capacity: task.Capacity,
    source: task.Source,
    noise: Noise,
    batch: Batch,
    budget: Budget,
    as_json: option.AsJson = False,
) -> None:
    """Say how many features and updates a budget of compute is best spent on."""
    with working({WIDTHS: 1.0}, running_seconds) as progress:
        from etastar.control import compute_optimal
        from etastar.model import PowerLaw

        found = compute_optimal(PowerLaw(capacity, source, noise, batch), budget, progress=progress)
    if as_json:
        # `width` features, `horizon` updates, `loss` and the optimal LR `schedule` there.
        schedule = found.solution.schedule.to_dict()
        print_json(
            {
                "width": found.width,
                "horizon": found.horizon,
                "loss": found.loss,
                "schedule": schedule,
            }
        )
        return
    from etastar.report import allocation_summary

    show(allocation_summary(found, batch))
