"""`etastar robust`: what a wrong base LR costs, and how coarse a grid may be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from etastar._files import write_text
from etastar._provenance import provenance

from . import _options as option
from ._terminal import print_json, show, working

if TYPE_CHECKING:
    from etastar.robust import LastIterate

EXAMPLES = (
    "etastar robust cosine:peak=1e-3,horizon=20000",
    "etastar robust plan --rho 0.5,2,10 --plot robust.html",
)

RHO = (0.1, 0.2, 0.5, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0)
"""Factors of the best base LR for which the inflation is printed, unless asked otherwise."""

ACCEPTED = (1.01, 1.05, 1.1, 1.25, 1.5, 2.0)
"""Inflations for which the coarsest grid is printed, unless asked otherwise."""

EVERY_UPDATE = 10**6
"""Horizons up to this are summed update by update; what is printed is the same with the mesh."""

Spec = Annotated[
    str, typer.Argument(metavar="SPEC", help="Schedule: a spec string, or a schedule.json.")
]
Rho = Annotated[
    str | None,
    typer.Option(metavar="FACTORS", help="Base LR over the best one, separated by commas."),
]
Accepted = Annotated[
    str | None,
    typer.Option(metavar="RATIOS", help="Accepted inflations above 1, separated by commas."),
]


def robust_command(
    schedule: Spec,
    rho: Rho = None,
    accepted: Accepted = None,
    as_json: option.AsJson = False,
    plot: option.Plot = None,
) -> None:
    """Say what a wrong base LR costs, and how coarse a grid may be."""
    option.check_plot(plot)
    wanted = option.parsed_schedule(schedule)
    factors = RHO if rho is None else option.numbers_of("--rho", rho, 0.0)
    ratios = ACCEPTED if accepted is None else option.numbers_of("--accepted", accepted, 1.0)
    with working("summing the bound"):
        from etastar.robust import last_iterate

        curve = last_iterate(wanted, mesh=wanted.horizon > EVERY_UPDATE)
        document = _document(curve, factors, ratios)
        if plot is not None:
            from etastar.report import robust_page

            write_text(plot, robust_page(curve, factors, ratios, provenance()))
    if as_json:
        print_json(document)
        return
    from etastar.report import robust_summary

    show(robust_summary(curve, factors, ratios))


def _document(curve: LastIterate, rho: Any, accepted: Any) -> dict[str, Any]:
    """What `--json` prints.

    Keys: `inflation {rho: ratio}`, the bound at rho times the best base LR over the best bound;
    `exponent`, of the inflation at large rho; `grid {accepted: ratio}`, the coarsest ratio of
    neighbours in a grid of base LRs of which the better one stays within that inflation.
    """
    from etastar.robust import grid_ratio

    inflation = zip(rho, curve.inflation(list(rho)), strict=True)
    return {
        "inflation": {f"{one:g}": float(ratio) for one, ratio in inflation},
        "exponent": curve.exponent,
        "grid": {f"{one:g}": grid_ratio(curve, one) for one in accepted},
    }
