"""When a run leaves its band, and what that is: a spike, a divergence or a plateau."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from etastar.law import Forecast
from etastar.runs import Run

SPIKE, DIVERGENCE, PLATEAU = "spike", "divergence", "plateau"

FAR = 6.0
"""Standard deviations above the expected loss from which on a row is out of its band."""

LEAST = 0.01
"""The least relative distance at which a row is out, however smooth the log is."""

SUSTAINED = 3
"""So many rows in succession are no spike, unless they fall."""

RISEN = 0.03
"""A loss that stays by this part above that before it left the band has diverged."""

NEIGHBOURS = 5
"""Rows in the running median that tells a spike from the curve."""


@dataclass(frozen=True)
class Alarm:
    """A way in which a run has left its band.

    Attributes:
        kind: "spike", "divergence" or "plateau".
        step: updates done at the first row that is out of the band.
        loss: the loss at the row that is farthest out, in the unit of the logs; NaN where the
            losses from `step` on are not finite.
        expected: the loss expected at that row; NaN where there is no band.

    >>> Alarm("spike", 4000.0, 3.9, 3.0).message
    'spike at step 4,000: the loss is 3.9, expected 3'
    """

    kind: str
    step: float
    loss: float
    expected: float

    @property
    def message(self) -> str:
        """One line for a person."""
        known = np.isfinite(self.expected)
        expected = f", expected {self.expected:.4g}" if known else ""
        where = "at" if self.kind == SPIKE else "from"
        loss = f"{self.loss:.4g}" if np.isfinite(self.loss) else "NaN or infinite"
        return f"{self.kind} {where} step {self.step:,.0f}: the loss is {loss}{expected}"


def find_alarms(run: Run, band: Forecast | None, level: float = 0.9) -> tuple[Alarm, ...]:
    """How the last rows of a run have left their band.

    A row i of loss L is out of the band where

        log(L / expected) > max(6 sqrt(sd^2 + scatter^2), 1%)

    with sd the standard deviation of the forecast there and scatter that of single rows around
    their neighbours. Three or more rows that are out at the end of the log are a *divergence* where
    their median loss is by 3% or more above that before they left and does not fall, and a
    *plateau* where it is not: the loss should have fallen and has not. Other rows that are out are
    a *spike*. A loss that has risen beyond recovery (`Run.diverged`) is a divergence in any case.

    Arguments:
        run: the run so far.
        band: the losses expected at its last rows, forecast from the rows before these; None where
            there are too few, and then only `Run.diverged` counts.
        level: of the intervals of the band.

    Returns: the alarms, at most one of each kind, the latest.

    >>> from etastar.schedule import parse_schedule
    >>> steps = np.arange(1.0, 11.0)
    >>> loss = np.r_[3 - 0.1 * steps[:8], 2.6, 2.0]
    >>> run = Run("a", steps, loss, parse_schedule("constant:peak=1,horizon=20"))
    >>> expected = 3 - 0.1 * steps[7:]
    >>> band = Forecast(steps[7:], expected, 0.99 * expected, 1.01 * expected)
    >>> [alarm.message for alarm in find_alarms(run, band)]
    ['spike at step 9: the loss is 2.6, expected 2.1']
    """
    if run.diverged:
        return (_diverged(run, band),)
    if band is None or len(band.step) == 0:
        return ()
    recent = run.step >= band.step[0]
    loss = run.loss[recent]
    above = np.log(loss / band.mean)
    out = above > np.maximum(FAR * np.hypot(_deviation(band, level), scatter(run)), LEAST)
    if not out.any():
        return ()
    trailing = len(out) if out.all() else int(np.argmin(out[::-1]))
    kind = _sustained(run, loss[len(loss) - trailing :]) if trailing >= SUSTAINED else SPIKE
    found = []
    if kind != SPIKE:
        first = len(out) - trailing
        # Rows at the edge of the band come and go before a run has left it for good.
        while (before := out[max(first - SUSTAINED, 0) : first]).any():
            first -= len(before) - int(np.argmax(before))
        found.append(_alarm(kind, band, loss, above, first, len(out)))
        out = out[:first]
    if out.any():
        last = int(np.flatnonzero(out)[-1])
        first = last - int(np.argmin(out[: last + 1][::-1])) + 1 if not out[: last + 1].all() else 0
        found.append(_alarm(SPIKE, band, loss, above, first, last + 1))
    return tuple(found)


def scatter(run: Run) -> float:
    """Relative standard deviation of single rows around their neighbours.

    From the second differences of the log losses, whose variance is six times that of independent
    rows; by their median, so that a spike does not count.
    """
    loss = np.log(run.loss[run.step >= run.final_step / 4])
    if len(loss) < 4:
        return 0.0
    return float(1.4826 * np.median(np.abs(np.diff(loss, 2))) / np.sqrt(6))


def without_spikes(run: Run) -> Run:
    """The run without rows that stand far above the running median of five, and its last rows.

    A spike says nothing of where the run goes. Far is six times the spread of all rows around it,
    and at least 2%; the last two rows stay, because what follows them is not known.
    """
    if len(run.step) < 2 * NEIGHBOURS:
        return run
    loss = np.log(run.loss)
    sides = np.pad(loss, NEIGHBOURS // 2, mode="edge")
    median = np.median(np.lib.stride_tricks.sliding_window_view(sides, NEIGHBOURS), axis=1)
    off = loss - median
    spread = 1.4826 * float(np.median(np.abs(off)))
    kept = off <= max(6 * spread, 2 * LEAST)
    kept[[0, -2, -1]] = True
    return run if kept.all() else replace(run, step=run.step[kept], loss=run.loss[kept])


def _deviation(band: Forecast, level: float) -> np.ndarray:
    from scipy.special import ndtri

    return (band.high - band.mean) / band.mean / float(ndtri(0.5 + level / 2))


def _sustained(run: Run, out: np.ndarray) -> str:
    """What rows at the end of a log are that are all out of the band."""
    before = np.log(run.loss[max(len(run.loss) - len(out) - SUSTAINED, 0) : -len(out)])
    rows, half = np.log(out), len(out) // 2
    noise = scatter(run) * np.sqrt(2 / half)
    if rows[-half:].mean() < rows[:half].mean() - max(2 * noise, LEAST):
        return SPIKE if np.median(rows) > np.median(before) + RISEN else PLATEAU
    return DIVERGENCE if np.median(rows) > np.median(before) + RISEN else PLATEAU


def _alarm(
    kind: str, band: Forecast, loss: np.ndarray, above: np.ndarray, first: int, end: int
) -> Alarm:
    farthest = first + int(np.argmax(above[first:end]))
    expected = float(band.mean[farthest])
    return Alarm(kind, float(band.step[first]), float(loss[farthest]), expected)


def rows_not_finite(run: Run) -> tuple[float, float] | None:
    """First and last step of the rows at the end of a log whose loss is not finite, if any."""
    found = run.metadata.get("not_finite")
    return (float(found[0]), float(found[1])) if isinstance(found, tuple | list) else None


def _diverged(run: Run, band: Forecast | None) -> Alarm:
    """Where a run that has diverged left for good: its first loss that is no number, or the row
    after its lowest loss."""
    lost = rows_not_finite(run)
    if lost is not None:
        return Alarm(DIVERGENCE, lost[0], float("nan"), float("nan"))
    lowest = int(np.argmin(run.loss))
    at = min(lowest + 1, len(run.loss) - 1)
    known = band is not None and len(band.step) > 0 and band.step[-1] == run.final_step
    expected = float(band.mean[-1]) if band is not None and known else float("nan")
    return Alarm(DIVERGENCE, float(run.step[at]), float(run.loss[-1]), expected)
