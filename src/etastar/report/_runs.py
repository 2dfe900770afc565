"""The runs that were read: a table, and their losses as a figure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from rich import box
from rich.table import Table

from etastar.runs import Run

from ._charts import Axis, Chart, Line
from ._numbers import loss_text, rate_text, size_text, steps_text
from ._schedule import schedule_name
from ._style import STEP, standard_style

if TYPE_CHECKING:
    import plotly.graph_objects as go

MOST_POINTS = 8000
"""Points that a figure draws of all runs together."""


def runs_summary(runs: Sequence[Run]) -> Table:
    """What was read, a row a run.

    Arguments:
        runs: from `etastar.runs.read_runs`.

    Returns: a rich table: the name, the schedule, its peak LR, the batch size, the last step, the
        loss there, in the units of the logs, and whether the run diverged.

    >>> from etastar.schedule import parse_schedule
    >>> run = Run("a", [10, 2000], [4.0, 3.5], parse_schedule("cosine:peak=0.1,horizon=2000"))
    >>> [list(column.cells)[0] for column in runs_summary([run]).columns]
    ['a', 'cosine:peak=0.1,horizon=2000', '0.1', 'unknown', '2k', '3.5000', '']
    """
    rows = Table(box=box.SIMPLE_HEAD)
    for name in ("run", "schedule"):
        rows.add_column(name, overflow="fold")
    for name in ("peak LR", "batch size", "steps", "loss", ""):
        rows.add_column(name, justify="right", no_wrap=True)
    for run in runs:
        rows.add_row(
            run.name,
            schedule_name(run.schedule),
            rate_text(run.schedule.peak),
            "unknown" if run.batch_size is None else size_text(run.batch_size),
            steps_text(run.final_step),
            loss_text(run.final_loss),
            "diverged" if run.diverged else "",
        )
    return rows


def runs_figure(runs: Sequence[Run]) -> go.Figure:
    """Loss against step of runs, as measured.

    Arguments:
        runs: from `etastar.runs.read_runs`; of long ones evenly chosen points are drawn.

    Returns: a plotly figure; steps in updates, losses in the unit of the logs.

    >>> from etastar.schedule import parse_schedule
    >>> run = Run("a", [10, 2000], [4.0, 3.5], parse_schedule("cosine:peak=0.1,horizon=2000"))
    >>> [trace.name for trace in runs_figure([run]).data]
    ['a']
    """
    from ._plotly import plotly_figure

    lines, late = [], []
    most = max(MOST_POINTS // max(len(runs), 1), 20)
    for i, run in enumerate(runs):
        color, dash = standard_style(i)
        kept = np.arange(len(run.step))
        if len(kept) > most:
            kept = np.linspace(0, len(kept) - 1, most).round().astype(int)
        lines.append(Line(run.name, run.step[kept], run.loss[kept], color, 1.6, dash))
        late.append(run.loss[run.step >= 0.1 * run.final_step])
    ends = np.concatenate(late) if late else np.ones(1)
    low, high = float(ends.min()), float(np.quantile(ends, 0.99))
    margin = 0.06 * (high - low) or 0.06 * abs(high)
    losses = Axis("loss", range=(low - margin, high + margin), format="loss4")
    return plotly_figure([Chart(Axis(STEP), losses, lines)])
