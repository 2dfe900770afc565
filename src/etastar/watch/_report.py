"""One look at a run under way: its forecast, its plan, its alarms."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from etastar._errors import InputError
from etastar.law import Forecast, Law, forecast_running
from etastar.runs import Run

from ._alarms import Alarm, find_alarms, rows_not_finite, without_spikes

Interval = tuple[float, float, float]
"""A loss expected, and the ends of its interval."""

KNOWN = 0.8
"""The part of the rows so far from which the band of the others is forecast."""

SMOOTHED = 5
"""So many of the last rows are averaged to say whether a run is on its plan."""

FEWEST = 4
"""Rows from which a run alone, without pilots, can be forecast at the least."""


@dataclass(frozen=True)
class RunReport:
    """What is known of a run under way.

    Attributes:
        run: its name.
        step: updates done at its last row, whether its loss is finite or not.
        horizon: updates of its schedule.
        loss: mean of its last finite rows, at most five, in the unit of the logs.
        final: the loss expected at the horizon by its own log and the pilots, with the ends of the
            interval; None where it has diverged or too little is known.
        alone: the same by the pilots alone; None without pilots.
        planned: the loss that the pilots expect at `step`; None without pilots.
        on_plan: whether `loss` lies in the interval of `planned`; None without pilots.
        alarms: how its last rows have left the band that the rows before them and the pilots
            forecast.
        level: of all intervals.
        ended: whether no further rows are to come.
    """

    run: str
    step: float
    horizon: int
    loss: float
    final: Interval | None
    alone: Interval | None
    planned: Interval | None
    on_plan: bool | None
    alarms: tuple[Alarm, ...]
    level: float
    ended: bool = False

    @property
    def line(self) -> str:
        """All of it in one line.

        >>> RunReport("a", 500.0, 1000, 3.1, (2.8, 2.7, 2.9), None, None, None, (), 0.9).line
        'step 500 of 1,000: loss 3.1000, final loss 2.8000 (90%: 2.7000 to 2.9000)'
        """
        parts = [f"step {self.step:,.0f} of {self.horizon:,}: loss {self.loss:.4f}"]
        if self.final is not None:
            mean, low, high = self.final
            parts.append(f"final loss {mean:.4f} ({self.level:.0%}: {low:.4f} to {high:.4f})")
        if self.plan_words:
            parts.append(self.plan_words)
        parts += [f"WARNING: {alarm.message}" for alarm in self.alarms]
        return ", ".join(parts)

    @property
    def plan_words(self) -> str:
        """Whether the run is on its plan; empty without pilots, or where its loss is lost."""
        lost = any(not np.isfinite(alarm.loss) for alarm in self.alarms)
        if self.planned is None or self.on_plan is None or lost:
            return ""
        if self.on_plan:
            return "on its plan"
        side = "above" if self.loss > self.planned[2] else "below"
        return f"{side} its plan ({self.planned[1]:.4f} to {self.planned[2]:.4f})"

    def to_dict(self) -> dict[str, Any]:
        """What `etastar watch --json` prints of it."""
        warnings = [
            {
                "kind": each.kind,
                "step": each.step,
                "loss": each.loss,  # JSON has no NaN: json_text writes null
                "expected": each.expected,
                "message": each.message,
            }
            for each in self.alarms
        ]
        return {
            "run": self.run,
            "step": self.step,
            "horizon": self.horizon,
            "loss": self.loss,
            "final": _document(self.final),
            "pilots": _document(self.alone),
            "planned": _document(self.planned),
            "on_plan": self.on_plan,
            "warnings": warnings,
            "ended": self.ended,
        }


def report_on(run: Run, law: Law | None = None, level: float = 0.9) -> RunReport:
    """What is known of a run under way from its own log so far and a law of pilots.

    - *Final loss*: `etastar.law.forecast_running`, from the rows that are no spikes.
    - *Plan*: what the pilots alone expect at this step. A run is on its plan where the mean of its
      last rows, at most five, lies in that interval.
    - *Alarms*: `find_alarms` of the last fifth of the rows, in the band that `forecast_running`
      gives them from the rows before and the pilots.

    Takes some tenths of a second.

    Arguments:
        run: the run so far, with the schedule that it is to follow.
        law: fitted to pilots; without one the run is forecast from its own log alone.
        level: of all intervals, a probability.

    Raises: InputError for a level outside (0, 1).

    >>> import numpy as np
    >>> from etastar.law import fit
    >>> from etastar.runs import Run
    >>> from etastar.schedule import parse_schedule
    >>> steps = np.arange(100, 2001, 50)
    >>> runs = [Run(f"lr {lr}", steps, 3 + 2 * (lr * steps) ** -0.5 + 20 * lr,
    ...             parse_schedule(f"constant:peak={lr},horizon=4000")) for lr in (0.01, 0.02)]
    >>> found = report_on(runs[1], fit(runs[:1]))
    >>> found.step, found.on_plan, found.alarms
    (2000.0, True, ())
    """
    smooth = without_spikes(run)
    loss = float(np.exp(np.mean(np.log(smooth.loss[-SMOOTHED:]))))
    alone = planned = None
    if law is not None:
        last = smooth.step[-SMOOTHED:]
        expected = law.predict(run.schedule, last, level, run.batch_size)
        # Of the mean of some rows the mean of what is expected at each of them.
        planned = tuple(
            float(np.mean(part)) for part in (expected.mean, expected.low, expected.high)
        )
        alone = law.predict(run.schedule, [run.schedule.horizon], level, run.batch_size).final
    return RunReport(
        run=run.name,
        step=last_step(run),
        horizon=run.schedule.horizon,
        loss=loss,
        final=None if run.diverged else _final(smooth, law, level),
        alone=alone,
        planned=planned,  # type: ignore[arg-type]
        on_plan=None if planned is None else _is_on(run, loss, planned),
        alarms=find_alarms(run, _band(run, law, level), level),
        level=level,
    )


def _is_on(run: Run, loss: float, planned: Any) -> bool:
    return rows_not_finite(run) is None and bool(planned[1] <= loss <= planned[2])


def last_step(run: Run) -> float:
    """Updates done at the last row of a log, whether its loss is finite or not.

    >>> from etastar.schedule import parse_schedule
    >>> constant = parse_schedule("constant:peak=1,horizon=40")
    >>> last_step(Run("a", [10, 20], [4.0, 2.0], constant, metadata={"not_finite": (30, 40)}))
    40.0
    """
    lost = rows_not_finite(run)
    return run.final_step if lost is None else lost[1]


def _final(run: Run, law: Law | None, level: float) -> Interval | None:
    if run.final_step >= run.schedule.horizon:
        return run.final_loss, run.final_loss, run.final_loss
    found = _forecast(run, law, [run.schedule.horizon], level)
    return None if found is None else found.final


def _band(run: Run, law: Law | None, level: float) -> Forecast | None:
    """The losses of the last rows, as the rows before them and the pilots forecast them."""
    known = max(int(KNOWN * len(run.step)), 1)
    if run.diverged or known == len(run.step):
        return None
    before = replace(run, step=run.step[:known], loss=run.loss[:known])
    return _forecast(without_spikes(before), law, run.step[known:], level)


def _forecast(run: Run, law: Law | None, at: Any, level: float) -> Forecast | None:
    if law is not None:
        return forecast_running(run, law, at, level)
    if len(run.step) < FEWEST:
        return None
    try:
        return forecast_running(run, None, at, level)
    except InputError:  # too few rows yet
        return None


def _document(interval: Interval | None) -> dict[str, float] | None:
    return None if interval is None else dict(zip(("mean", "low", "high"), interval, strict=True))
