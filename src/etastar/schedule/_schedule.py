"""`Schedule`: the learning rate of every step of a training, as an immutable value."""

from __future__ import annotations

import math
import os
from bisect import bisect_right
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from etastar._checks import peak_rate, real_between, shown, step_horizon, whole
from etastar._errors import InputError

from ._shapes import Frame, Segment, Shape


@dataclass(frozen=True, repr=False)
class Schedule:
    """The learning rate eta(t) of update t = 0, 1, ..., horizon - 1.

    Formula: a linear warmup from 0, eta = peak t / warmup for t < warmup, then the shape. A shape
    that falls does so in x = (t - warmup) / (horizon - warmup), from peak to final * peak. At step
    `horizon` the schedule has its end value and holds it from there on.

    Make one with `parse_schedule`, `table`, `join` or `Schedule.load`.

    Attributes: `peak` (highest rate, in the user's own units), `horizon` (number of updates),
    `warmup` (number of warmup updates), `final` (rate at the horizon over peak; for the power laws
    the floor, which they may not have reached).

    Raises: InputError where a key is missing, not finite, out of range or at odds with another.

    >>> from etastar.schedule import parse_schedule
    >>> schedule = parse_schedule("linear:peak=1e-3,horizon=100,warmup=10")
    >>> schedule(5), schedule(10), schedule(100)
    (0.0005, 0.001, 0.0)
    >>> schedule([10, 55, 100])
    array([0.001 , 0.0005, 0.    ])
    """

    shape: Shape
    peak: float
    horizon: int
    warmup: int = 0
    final: float = None  # type: ignore[assignment]  # None: 0, or what the shape itself says
    _segments: tuple[Segment, ...] = field(init=False, compare=False)
    _starts: list[float] = field(init=False, compare=False)

    def __post_init__(self) -> None:
        shape = self.shape
        peak, horizon = peak_rate(self.peak), step_horizon(self.horizon)
        warmup = whole("warmup", self.warmup)
        if warmup > horizon:
            raise InputError(f"warmup {warmup} is longer than horizon {horizon}: shorten it")
        if shape.own_peak not in (None, peak):
            shape = shape.rescaled(peak)
        wanted = None if self.final is None else real_between("final", self.final, 0.0, 1.0)
        frame = Frame(peak, horizon, warmup, wanted or 0.0)
        shape.check(frame)
        segments = shape.segments(frame)
        final = frame.final if shape.takes_final else _value_at(segments, float(horizon)) / peak
        if wanted is not None and not shape.takes_final and wanted != final:
            raise InputError(
                f"final={wanted!r} contradicts {shape.name!r}, which ends at {final!r} of its "
                "peak by itself: leave final out"
            )
        values = {
            "shape": shape,
            "peak": peak,
            "horizon": horizon,
            "warmup": warmup,
            "final": final,
            "_segments": tuple(segments),
            "_starts": [segment.start for segment in segments],
        }
        for name, value in values.items():
            object.__setattr__(self, name, value)

    @overload
    def __call__(self, step: float) -> float: ...
    @overload
    def __call__(self, step: ArrayLike) -> NDArray[np.float64]: ...
    def __call__(self, step: Any) -> Any:
        """The learning rate at a step (float) or at an array of steps (float64 of that shape).

        Steps are counts from 0, whole or not; beyond the horizon the end value is held.

        Raises: InputError for a step that is negative, NaN, infinite or not a number.

        >>> from etastar.schedule import parse_schedule
        >>> parse_schedule("constant:peak=0.1,horizon=10")(3)
        0.1
        """
        if type(step) is int or type(step) is float:
            if not 0 <= step < math.inf:
                raise InputError(f"step must be a finite number of at least 0, got {step!r}")
            step = float(step if step < self.horizon else self.horizon)
            segment = self._segments[bisect_right(self._starts, step) - 1]
            return float(segment.curve.value(step - segment.origin))
        steps = _step_array(step)
        if steps.ndim == 0:
            return self(float(steps))
        return self._values(np.minimum(steps, float(self.horizon)))

    def _values(self, steps: NDArray[np.float64]) -> NDArray[np.float64]:
        index = np.searchsorted(self._starts, steps.ravel(), side="right") - 1
        order = np.argsort(index, kind="stable")
        sorted_steps, values = steps.ravel()[order], np.empty(steps.size)
        ends = np.flatnonzero(np.diff(index[order], append=len(self._segments))) + 1
        begin = 0
        for end in ends.tolist():
            segment = self._segments[index[order[begin]]]
            values[order[begin:end]] = segment.curve.value(sorted_steps[begin:end] - segment.origin)
            begin = end
        return values.reshape(steps.shape)

    def scaled(self, *, peak: float) -> Schedule:
        """The same schedule at another peak: every rate times peak / self.peak.

        Raises: InputError unless `peak` is finite and above 0.

        >>> from etastar.schedule import parse_schedule
        >>> parse_schedule("cosine:peak=1e-3,horizon=100,final=0.1").scaled(peak=0.02).spec
        'cosine:peak=0.02,horizon=100,final=0.1'
        """
        return Schedule(self.shape, peak, self.horizon, self.warmup, self._chosen_final)

    def stretched(self, *, horizon: int) -> Schedule:
        """The same schedule over another number of steps.

        Counts that belong to the optimiser stay: `warmup`, and a cooldown given in steps. What is
        a part of the horizon moves with it: a cooldown given as a fraction, step `at`, the knots
        of a table, and the lengths of joined pieces (rounded to whole steps).

        Raises: InputError for a horizon that is too short for the warmup or the cooldown.

        >>> from etastar.schedule import parse_schedule
        >>> wsd = parse_schedule("wsd:peak=1,horizon=100,warmup=5,cooldown=0.2")
        >>> wsd.stretched(horizon=900).spec
        'wsd:peak=1.0,horizon=900,warmup=5,cooldown=0.2,decay=linear'
        >>> step = parse_schedule("step:peak=1,horizon=100,at=50,factor=0.1")
        >>> step.stretched(horizon=900).spec
        'step:peak=1.0,horizon=900,at=450,factor=0.1'
        """
        horizon = step_horizon(horizon)
        frame = Frame(self.peak, self.horizon, self.warmup, self.final)
        shape = self.shape if horizon == self.horizon else self.shape.stretched(frame, horizon)
        warmup = self.warmup if shape.own_warmup is None else shape.own_warmup
        return Schedule(shape, self.peak, horizon, warmup, self._chosen_final)

    @property
    def _chosen_final(self) -> float:
        return self.final if self.shape.takes_final else None  # type: ignore[return-value]

    @property
    def breakpoints(self) -> tuple[float, ...]:
        """Steps in [0, horizon], in order, between which the rate is smooth.

        These are 0, the end of the warmup, the start of a cooldown, step `at`, the step where a
        power law meets its floor, the knots of a table, the joints between pieces, the horizon.

        >>> from etastar.schedule import parse_schedule
        >>> parse_schedule("wsd:peak=1,horizon=100,warmup=5,cooldown=0.2").breakpoints
        (0.0, 5.0, 80.0, 100.0)
        """
        end = float(self.horizon)
        points = {0.0, end}
        for segment, stop in zip(self._segments, [*self._starts[1:], end], strict=True):
            inside = (kink + segment.origin for kink in segment.curve.kinks())
            points.add(segment.start)
            points.update(kink for kink in inside if segment.start < kink < stop)
        return tuple(sorted(point for point in points if point <= end))

    @property
    def rise(self) -> int:
        """Updates of the warmup, also of one that is not declared but drawn by knots.

        That is `warmup` where there is one. Else, of a table, its first rising part: the steps
        before its rate first stops rising, 0 where it does not rise from its first knot on; of
        joined pieces that of the first. A table that rises throughout has no warmup.

        >>> from etastar.schedule import parse_schedule, table
        >>> parse_schedule("cosine:peak=1,horizon=100,warmup=9").rise
        9
        >>> table([0, 10, 20, 100], [0.0, 0.1, 0.2, 0.1]).rise
        20
        >>> table([0, 50, 100], [0.2, 0.2, 0.1]).rise
        0
        """
        return self.warmup or min(self.shape.own_rise, self.horizon)

    @overload
    def intrinsic_time(self, steps: float) -> float: ...
    @overload
    def intrinsic_time(self, steps: ArrayLike) -> NDArray[np.float64]: ...
    def intrinsic_time(self, steps: Any) -> Any:
        """Intrinsic time tau(s) = sum of eta(t) over t < s, in units of the rate times steps.

        `steps` is a number or an array of numbers of updates done, at least 0. Between whole
        numbers tau is linear (a step's rate is spent evenly over the step); beyond the horizon the
        end value goes on being added. Closed forms or Euler-Maclaurin sums per piece of the
        schedule: the relative error is below 1e-12 and the cost does not grow with the horizon.

        Raises: InputError for a count that is negative, NaN, infinite or not a number.
        Source: intrinsic time as in arXiv 2509.19189.

        >>> from etastar.schedule import parse_schedule
        >>> parse_schedule("constant:peak=0.5,horizon=1000").intrinsic_time([0, 8])
        array([0., 4.])
        """
        counts = _step_array(steps)
        whole_steps = np.floor(np.minimum(counts, float(self.horizon)))
        firsts, sums = self._sums_before
        index = np.searchsorted(firsts, whole_steps, side="right") - 1
        times = np.empty(counts.shape)
        for i in np.unique(index):
            here = index == i
            segment, first = self._segments[i], firsts[i]
            times[here] = sums[i] + segment.curve.total(
                first - segment.origin, whole_steps[here] - first
            )
        times += (counts - whole_steps) * self._values(whole_steps)
        return float(times) if times.ndim == 0 else times

    @cached_property
    def _sums_before(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The first whole step of every segment, and the sum of the rates before it."""
        firsts = np.ceil(np.array(self._starts))
        totals = [
            float(segment.curve.total(float(first - segment.origin), np.asarray(stop - first)))
            for segment, first, stop in zip(self._segments[:-1], firsts, firsts[1:], strict=False)
        ]
        return firsts, np.concatenate(([0.0], np.cumsum(totals)))

    @property
    def spec(self) -> str:
        """The spec string, which `parse_schedule` reads back to an equal schedule, bit for bit.

        >>> from etastar.schedule import parse_schedule
        >>> parse_schedule(" linear : horizon=1e3, peak=3e-4, final=0 ").spec
        'linear:peak=0.0003,horizon=1000'
        """
        from ._spec import format_schedule

        return format_schedule(self)

    def __repr__(self) -> str:
        spec = self.spec
        return f"<Schedule {spec if len(spec) <= 200 else spec[:197] + '...'}>"

    def to_json(self) -> str:
        """The schedule as one JSON object with a format version; exact, like the spec.

        >>> from etastar.schedule import parse_schedule
        >>> print(parse_schedule("linear:peak=0.1,horizon=9").to_json())
        {"format": "etastar.schedule", "version": 1, "kind": "linear", "peak": 0.1, "horizon": 9}
        """
        from ._json import to_json

        return to_json(self)

    def to_dict(self) -> dict[str, Any]:
        """What commands print of a schedule: its knots where lines between them are all of it.

        Returns: {"knots": [[step, lr], ...]} for a table, {"spec": ...} for every other shape.
        `to_json` is the whole schedule, with its format and version.

        >>> from etastar.schedule import parse_schedule, table
        >>> table([0, 10, 100], [0.0, 0.2, 0.1]).to_dict()
        {'knots': [[0.0, 0.0], [10.0, 0.2], [100.0, 0.1]]}
        >>> parse_schedule("linear:peak=0.1,horizon=9").to_dict()
        {'spec': 'linear:peak=0.1,horizon=9'}
        """
        if self.shape.name != "table":
            return {"spec": self.spec}
        return {"knots": [[step, float(self(step))] for step in self.breakpoints]}

    @staticmethod
    def from_json(text: str) -> Schedule:
        """Read what `to_json` wrote.

        Raises: InputError for text that is not JSON, another format or version, an unknown kind or
        key, a missing key, or a value out of range.

        >>> from etastar.schedule import Schedule, parse_schedule
        >>> schedule = parse_schedule("polynomial:peak=0.1,horizon=100,power=1.7")
        >>> Schedule.from_json(schedule.to_json()) == schedule
        True
        """
        from ._json import from_json

        return from_json(text)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the JSON to `path`: to a temporary name beside it first, then renamed over it.

        Raises: InputError where the file cannot be written; an old file then stays as it was.

        >>> import tempfile, pathlib
        >>> from etastar.schedule import Schedule, parse_schedule
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder) / "schedule.json"
        ...     parse_schedule("cosine:peak=0.1,horizon=100").save(path)
        ...     print(Schedule.load(path).spec)
        cosine:peak=0.1,horizon=100
        """
        from ._json import save

        save(self, path)

    @staticmethod
    def load(path: str | os.PathLike[str]) -> Schedule:
        """Read a schedule that `save` wrote.

        Raises: InputError, naming the file, where it cannot be read or `from_json` refuses it.

        >>> from etastar.schedule import InputError, Schedule
        >>> try:
        ...     Schedule.load("no/such.json")
        ... except InputError as error:
        ...     print(error)
        no/such.json: cannot be read: No such file or directory
        """
        from ._json import load

        return load(path)


def _value_at(segments: list[Segment], step: float) -> float:
    index = bisect_right([segment.start for segment in segments], step) - 1
    return float(segments[index].curve.value(step - segments[index].origin))


def _step_array(steps: Any) -> NDArray[np.float64]:
    try:
        array = np.asarray(steps)
    except (TypeError, ValueError):
        array = np.asarray(None)
    if array.dtype.kind not in "iuf" and array.size:
        raise InputError(f"steps must be numbers, got {shown(steps)}")
    array = array.astype(np.float64)
    good = (array >= 0) & (array < math.inf)
    if not np.all(good):
        bad = float(array[~good].flat[0])
        raise InputError(f"step must be a finite number of at least 0, got {bad!r}")
    return array
