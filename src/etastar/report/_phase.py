"""The phase of the solvable model: words for a terminal, and the phase diagram."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from rich.text import Text

from etastar._provenance import Provenance
from etastar.model import Phase, SpectrumFit, phase

from ._charts import Axis, Chart, Line, LossMap
from ._frame import result_page
from ._page import keys, section, swatch
from ._style import MARK, on_its_own

if TYPE_CHECKING:
    import plotly.graph_objects as go


def phase_summary(found: Phase, fitted: SpectrumFit | None = None) -> Text:
    """The phase in words, for a terminal.

    Arguments:
        found: the exponents of a task, from `etastar.model.phase`.
        fitted: where they come from, if they were fitted to a measured spectrum.

    Returns: a rich `Text` of three to six lines; T stands for the horizon in updates.

    >>> for line in phase_summary(phase(1.5, 0.2)).plain.splitlines()[1:]:
    ...     print(line)
    the annealed part of the run shrinks as T^-0.1
    with momentum optimised too: loss between T^-0.2 and (T log T)^-0.2
    with momentum and a second LR for its velocity: loss ~ T^-0.231
    """
    lines = [phase_line(found)] if fitted is None else [*spectrum_lines(fitted), phase_line(found)]
    if found.annealed_exponent > 0:
        lines.append(f"the annealed part of the run shrinks as T^-{found.annealed_exponent:.3g}")
    lines.append(f"with momentum optimised too: {_with_momentum(found)}")
    lines.append(f"with momentum and a second LR for its velocity: {_with_velocity(found)}")
    return Text("\n".join(lines))


def spectrum_lines(fitted: SpectrumFit) -> list[str]:
    """The exponents of a measured spectrum with their intervals, and how sure the phase is.

    >>> fit = SpectrumFit(2.0, 0.6, (1.9, 2.1), (0.4, 0.8), (-0.1, 0.3), (5, 900))
    >>> for line in spectrum_lines(fit):
    ...     print(line)
    modes 5 to 900: capacity 2 (90%: 1.9 to 2.1), source 0.6 (90%: 0.4 to 0.8)
    the interval crosses the boundary (-0.1 to +0.3 in s): both phases are possible
    """
    (low_a, high_a), (low_s, high_s) = fitted.capacity_ci, fitted.source_ci
    low, high = fitted.distance_ci
    first, last = fitted.modes
    where = f"({low:+.3g} to {high:+.3g} in s)"
    sure = (
        f"the interval crosses the boundary {where}: both phases are possible"
        if fitted.undecided
        else f"the whole interval lies in the {fitted.phase.name} phase {where}"
    )
    return [
        f"modes {first} to {last}: capacity {fitted.capacity:.3g} (90%: {low_a:.3g} to"
        f" {high_a:.3g}), source {fitted.source:.3g} (90%: {low_s:.3g} to {high_s:.3g})",
        sure,
    ]


def momentum_line(found: Phase, velocity: bool = False) -> str:
    """The phase, and how the loss goes where LR and momentum are optimised together.

    Arguments:
        found: the exponents of a task.
        velocity: whether the velocity has an LR of its own.

    >>> momentum_line(phase(1.5, 1.0))
    'easy phase (+0.667 from the boundary in s), LR and momentum optimised: loss ~ T^-0.6'
    """
    controls = "LRs of gradient and velocity, and momentum" if velocity else "LR and momentum"
    power = _with_velocity(found) if velocity else _with_momentum(found)
    where = f"{found.name} phase ({found.distance:+.3g} from the boundary in s)"
    return f"{where}, {controls} optimised: {power}"


def _with_momentum(found: Phase) -> str:
    power = f"{found.momentum_loss_exponent:.3g}"
    if found.momentum_log_exponent == 0:
        return f"loss ~ T^-{power}"
    return f"loss between T^-{power} and (T log T)^-{power}"


def _with_velocity(found: Phase) -> str:
    return f"loss ~ T^-{found.velocity_loss_exponent:.3g}"


def phase_line(found: Phase) -> str:
    """The phase, its distance from the boundary, and how peak LR, annealing and loss go.

    >>> phase_line(phase(1.5, 0.2)).split(":")[0]
    'hard phase (-0.133 from the boundary in s)'
    """
    return (
        f"{found.name} phase ({found.distance:+.3g} from the boundary in s): peak LR ~ "
        f"T^{0.0 - found.xi:.3g}, annealed as the remaining time to the power {found.delta:.3g},"
        f" loss ~ T^-{found.loss_exponent:.3g}"
    )


_COLORS = ("#e8f1f0", "#c9e2df", "#a9d2cd", "#88c1ba", "#66aea6", "#459a91", "#2a847b", "#136b62")
"""Loss exponents from the lowest to the highest; the boundary and the task can be seen on each."""

_EDGE = "#c2410c"


def phase_page(
    capacity: float,
    source: float,
    noise: bool,
    made: Provenance | None = None,
    fitted: SpectrumFit | None = None,
) -> str:
    """The phase of a task as one self-contained HTML page, with the phase diagram.

    Arguments:
        capacity, source, noise: the task, as in `phase_figure`.
        made: how it was made, for the foot of the page; None where no command made it.
        fitted: where the exponents come from, if they were fitted to a measured spectrum.

    Returns: the HTML text, 0.1 to 0.2 MB; nothing in it is fetched.
    Raises: InputError for exponents out of range.

    >>> "<dd>hard</dd>" in phase_page(1.5, 0.2, noise=True)
    True
    """
    found = phase(capacity, source, noise)
    chart, levels = _map(capacity, source, noise)
    ends = ["", *(f"{level:.2g}" for level in levels), ""]
    named = [
        f"{low} to {high}" if low and high else f"up to {high}" if high else f"above {low}"
        for low, high in pairwise(ends)
    ]
    entries = [(swatch(MARK, width=6), "the task"), (swatch(_EDGE, width=3), "boundary")]
    entries += [
        (swatch(color, width=6), f"{text}") for color, text in zip(_COLORS, named, strict=True)
    ]
    numbers = [
        ("phase", found.name, ""),
        ("peak LR", f"T^{0.0 - found.xi:.3g}", "T is the number of updates"),
        ("excess loss", f"T^-{found.loss_exponent:.3g}", ""),
    ]
    diagram = section(
        "Phase diagram",
        chart.html("phase"),
        keys(entries),
        '<p class="soft">The colour is the loss exponent x of tasks with these exponents: with the'
        " best schedule the excess loss falls as T^-x. Above the boundary a task is easy, below it"
        " hard.</p>",
    )
    words = phase_summary(found, fitted).plain.splitlines()
    title = f"Phase of a task with capacity {capacity:.6g} and source {source:.6g}"
    return result_page(title, numbers, words, [diagram], made)


def _map(capacity: float, source: float, noise: bool) -> tuple[Chart, list[float]]:
    """The diagram, and the loss exponents between which its colours change."""
    a, s, value, edge = _diagram(capacity, source, noise)
    levels = np.quantile(value, np.linspace(0, 1, len(_COLORS) + 1)[1:-1]).tolist()
    across = Axis("capacity exponent a", range=(float(a[0]), float(a[-1])), tip="rate", short="a")
    up = Axis("source exponent s", range=(float(s[0]), float(s[-1])), tip="rate")
    lines = [
        Line("boundary", a, edge, _EDGE, 3.0),
        Line("the task", [capacity], [source], "mark", points=13),
    ]
    return Chart(across, up, lines, LossMap(a, s, value, levels, _COLORS), height=380), levels


def _diagram(
    capacity: float, source: float, noise: bool
) -> tuple[np.ndarray, np.ndarray, list[list[float]], list[float]]:
    """Capacities, sources, the loss exponent at each pair, and the source at the boundary."""
    a = np.linspace(1.05, max(4.0, 1.2 * capacity), 80)
    s = np.linspace(0.02, max(2.0 if noise else 4.0, 1.2 * source), 80)
    value = [[phase(float(x), float(y), noise).loss_exponent for x in a] for y in s]
    edge = [1.0 - phase(float(x), 1.0, noise).distance for x in a]
    return a, s, value, edge


def phase_figure(capacity: float, source: float, noise: bool) -> go.Figure:
    """The phase diagram: the loss exponent over capacity and source, with the task on it.

    Arguments:
        capacity: the exponent a of the task, above 1 (eigenvalues k^-a).
        source: the exponent s of the task, above 0 (the noiseless loss falls as tau^-s).
        noise: whether there is label noise.

    Returns: a plotly figure of 760 by 480 pixels.
    Raises: InputError for exponents out of range.

    >>> figure = phase_figure(1.5, 0.2, noise=True)
    >>> [trace.name for trace in figure.data[1:]]
    ['boundary', 'hard']
    """
    import plotly.graph_objects as go

    a, s, value, edge = _diagram(capacity, source, noise)
    figure = go.Figure(
        go.Contour(
            x=a, y=s, z=value, colorscale="Tealgrn", contours={"coloring": "heatmap"},
            colorbar={"title": "loss exponent"},
        )
    )  # fmt: skip
    line = {"color": "#17212b", "width": 3}
    figure.add_trace(go.Scatter(x=a, y=edge, mode="lines", line=line, name="boundary"))
    here = phase(capacity, source, noise)
    point = {"color": MARK, "size": 13, "symbol": "x"}
    figure.add_trace(
        go.Scatter(x=[capacity], y=[source], mode="markers", marker=point, name=here.name)
    )
    figure.update_xaxes(title_text="capacity exponent a")
    figure.update_yaxes(title_text="source exponent s", range=[float(s[0]), float(s[-1])])
    return on_its_own(figure, height=480).update_layout(legend={"x": 0.02, "y": 0.98})
