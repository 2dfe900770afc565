"""How the best base LR moves with the horizon, and how compute is best split: tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from etastar.model import Phase

from ._numbers import steps_text

if TYPE_CHECKING:
    from etastar.control import Allocation, Transfer


def transfer_summary(found: Sequence[Transfer], exponents: Phase | None) -> RenderableType:
    """The best peak LR of each shape at each horizon, and how it moves.

    Arguments:
        found: one for each shape, all at the same horizons.
        exponents: of the task, from `etastar.model.phase_of`; None where it has none.

    Returns: a table and lines for a terminal (rich renderables); LRs in units of 1 / eigenvalue.
    Raises: nothing.

    >>> import numpy as np
    >>> from etastar.control import Transfer
    >>> from etastar.model import phase
    >>> one = Transfer("linear", *np.array([[100, 400], [0.2, 0.1], [0.3, 0.1]]))
    >>> transfer_summary([one], phase(1.5, 1.0)).renderables[1].plain
    'theory: the best peak goes as T^-0.4, of a constant LR as T^-0.5'
    """
    rows = Table(box=box.SIMPLE_HEAD)
    for name in ("horizon", *(each.family for each in found)):
        rows.add_column(name, justify="right", no_wrap=True)
    for i, horizon in enumerate(found[0].horizons):
        rows.add_row(steps_text(horizon), *(f"{each.peaks[i]:.4g}" for each in found))
    rows.add_section()
    rows.add_row("peak ~", *(f"T^{_signed(each.xi)}" for each in found))
    rows.add_row("loss ~", *(f"T^{_signed(each.loss_exponent)}" for each in found))
    if exponents is None:
        return rows
    line = (
        f"theory: the best peak goes as T^{_signed(exponents.xi)}, of a constant LR as"
        f" T^{_signed(exponents.constant_xi)}"
    )
    return Group(rows, Text(line))


def _signed(exponent: float) -> str:
    """The exponent of a fall, with its sign: -0 is 0."""
    return f"{-exponent:.3g}" if abs(exponent) >= 5e-4 else "0"


def allocation_summary(found: Allocation, batch_size: float) -> Text:
    """Width and horizon that a budget of compute is best spent on.

    Arguments:
        found: what `etastar.control.compute_optimal` returned.
        batch_size: samples of an update.

    Returns: a rich `Text` of two lines.
    Raises: nothing.

    >>> from etastar.control import compute_optimal
    >>> from etastar.model import PowerLaw
    >>> best = compute_optimal(PowerLaw(1.5, 0.5, 0.25, 8), 1e6)
    >>> allocation_summary(best, 8).plain.splitlines()[0].split(" ")[1]
    'features,'
    """
    spent = found.width * found.horizon * batch_size
    return Text(
        f"{steps_text(found.width)} features, {steps_text(found.horizon)} updates of batch size"
        f" {batch_size:g}: {spent:.3g} multiply-adds\n"
        f"loss {found.loss:.5g} at the optimal LR, whose peak is {found.solution.schedule.peak:.4g}"
    )
