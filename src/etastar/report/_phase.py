"""The phase of the solvable model: words for a terminal, and the phase diagram."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from rich.text import Text

from etastar.model import Phase, phase

from ._style import MARK, on_its_own

if TYPE_CHECKING:
    import plotly.graph_objects as go


def phase_summary(found: Phase) -> Text:
    """The phase in words, for a terminal.

    Arguments:
        found: the exponents of a task, from `etastar.model.phase`.

    Returns: a rich `Text` of two or three lines; T stands for the horizon in updates.

    >>> for line in phase_summary(phase(1.5, 0.2)).plain.splitlines()[1:]:
    ...     print(line)
    the annealed part of the run shrinks as T^-0.1
    with momentum optimised too: loss between T^-0.2 and (T log T)^-0.2
    """
    lines = [phase_line(found)]
    if found.annealed_exponent > 0:
        lines.append(f"the annealed part of the run shrinks as T^-{found.annealed_exponent:.3g}")
    lines.append(f"with momentum optimised too: {_with_momentum(found)}")
    return Text("\n".join(lines))


def momentum_line(found: Phase) -> str:
    """The phase, and how the loss goes where LR and momentum are optimised together.

    >>> momentum_line(phase(1.5, 1.0))
    'easy phase (+0.667 from the boundary in s), LR and momentum optimised: loss ~ T^-0.6'
    """
    return (
        f"{found.name} phase ({found.distance:+.3g} from the boundary in s), LR and momentum"
        f" optimised: {_with_momentum(found)}"
    )


def _with_momentum(found: Phase) -> str:
    power = f"{found.momentum_loss_exponent:.3g}"
    if found.momentum_log_exponent == 0:
        return f"loss ~ T^-{power}"
    return f"loss between T^-{power} and (T log T)^-{power}"


def phase_line(found: Phase) -> str:
    """The phase, its distance from the boundary, and how peak LR, annealing and loss go.

    >>> phase_line(phase(1.5, 0.2)).split(":")[0]
    'hard phase (-0.133 from the boundary in s)'
    """
    return (
        f"{found.name} phase ({found.distance:+.3g} from the boundary in s): peak LR ~ "
        f"T^-{found.xi:.3g}, annealed as the remaining time to the power {found.delta:.3g}, loss ~ "
        f"T^-{found.loss_exponent:.3g}"
    )


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

    a = np.linspace(1.05, max(4.0, 1.2 * capacity), 80)
    s = np.linspace(0.02, max(2.0 if noise else 4.0, 1.2 * source), 80)
    value = [[phase(float(x), float(y), noise).loss_exponent for x in a] for y in s]
    boundary = [phase(float(x), 1.0, noise) for x in a]
    figure = go.Figure(
        go.Contour(
            x=a, y=s, z=value, colorscale="Tealgrn", contours={"coloring": "heatmap"},
            colorbar={"title": "loss exponent"},
        )
    )  # fmt: skip
    edge = [1.0 - each.distance for each in boundary]
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
