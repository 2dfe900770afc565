"""`Schedule`: the learning rate of every step of a training, as an immutable value."""

from __future__ import annotations

import json
import math
import os
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from etastar._checks import peak_rate, real_between, shown, step_horizon, whole
from etastar._display import Displayed
from etastar._errors import InputError
from etastar._files import utf8_text, write_text

from ._curves import Segment
from ._document import document_text, read_document, required
from ._joined import Joined, Piece, inner_pieces
from ._keys import document_of, shape_of
from ._shape import Frame, Shape
from ._spec_text import spec_text

_BATCH_SIZE = "batch_size"


@dataclass(frozen=True, repr=False)
class Schedule(Displayed):
    """The learning rate eta(t) of update t = 0, 1, ..., horizon - 1.

    Formula: a linear warmup from 0, eta = peak t / warmup for t < warmup, then the shape. A shape
    that falls does so in x = (t - warmup) / (horizon - warmup), from peak to final * peak. At step
    `horizon` the schedule has its end value and holds it from there on.

    Make one with `parse_schedule`, `table`, `join` or `Schedule.load`.

    Attributes:
        shape: what it does after the warmup, with the keys that are its own.
        peak: highest learning rate, in the user's own units.
        horizon: number of updates.
        warmup: number of updates of the warmup.
        final: learning rate at the horizon over the peak; of the power laws the floor over the
            peak, which they may not have reached.
        segments: the curves that it is made of, in order of the step from which each is in force,
            the first from step 0 on (see `Segment`).

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
    segments: tuple[Segment, ...] = field(init=False, compare=False)
    _starts: list[float] = field(init=False, compare=False)

    def __post_init__(self) -> None:
        shape = self.shape
        peak, horizon = peak_rate(self.peak), step_horizon(self.horizon)
        warmup = whole("warmup", self.warmup, unit="step")
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
            "segments": tuple(segments),
            "_starts": [segment.start for segment in segments],
        }
        for name, value in values.items():
            object.__setattr__(self, name, value)

    # A number is an array-like too: the first overload that fits counts.
    @overload
    def __call__(self, step: float) -> float: ...  # pyright: ignore[reportOverlappingOverload]
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
            segment = self.segments[bisect_right(self._starts, step) - 1]
            return float(segment.curve.value(step - segment.origin))
        steps = _step_array(step)
        if steps.ndim == 0:
            return self(float(steps))
        return self._values(np.minimum(steps, float(self.horizon)))

    def _values(self, steps: NDArray[np.float64]) -> NDArray[np.float64]:
        index = np.searchsorted(self._starts, steps.ravel(), side="right") - 1
        order = np.argsort(index, kind="stable")
        sorted_steps, values = steps.ravel()[order], np.empty(steps.size)
        ends = np.flatnonzero(np.diff(index[order], append=len(self.segments))) + 1
        begin = 0
        for end in ends.tolist():
            segment = self.segments[index[order[begin]]]
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
        for segment, stop in zip(self.segments, [*self._starts[1:], end], strict=True):
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
    def intrinsic_time(  # pyright: ignore[reportOverlappingOverload]
        self, steps: float
    ) -> float: ...
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
            segment, first = self.segments[i], firsts[i]
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
            for segment, first, stop in zip(self.segments[:-1], firsts, firsts[1:], strict=False)
        ]
        return firsts, np.concatenate(([0.0], np.cumsum(totals)))

    @property
    def spec(self) -> str:
        """The spec string, which `parse_schedule` reads back to an equal schedule, bit for bit.

        >>> from etastar.schedule import parse_schedule
        >>> parse_schedule(" linear : horizon=1e3, peak=3e-4, final=0 ").spec
        'linear:peak=0.0003,horizon=1000'
        """
        return spec_text(document_of(self))

    def __repr__(self) -> str:
        spec = self.spec
        return f"<Schedule {spec if len(spec) <= 200 else spec[:197] + '...'}>"

    def to_json(self, batch_size: Schedule | None = None) -> str:
        """The schedule as one JSON object with a format version; exact, like the spec.

        A `batch_size` of every update stands beside it, under the key `batch_size`.

        >>> from etastar.schedule import parse_schedule
        >>> print(parse_schedule("linear:peak=0.1,horizon=9").to_json())
        {"format": "etastar.schedule", "version": 1, "kind": "linear", "peak": 0.1, "horizon": 9}
        """
        document = document_of(self)
        if batch_size is not None:
            document[_BATCH_SIZE] = json.loads(batch_size.to_json())
        return document_text(document)

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
        """Read what `to_json` wrote; a batch size beside the schedule is left to `load_batch_size`.

        Raises: InputError for text that is not JSON, another format or version, an unknown kind or
        key, a missing key, or a value out of range.

        >>> from etastar.schedule import Schedule, parse_schedule
        >>> schedule = parse_schedule("polynomial:peak=0.1,horizon=100,power=1.7")
        >>> Schedule.from_json(schedule.to_json()) == schedule
        True
        """
        document = read_document(text)
        document.pop(_BATCH_SIZE, None)
        if isinstance(document.get("groups"), dict):
            raise InputError(
                f"the JSON holds the schedules of the groups {', '.join(document['groups'])}, not "
                "one: read it by GroupSchedules.load"
            )
        try:
            return _decoded(document)
        except RecursionError:
            raise InputError(
                "pieces of joined schedules in one another, too deep to read: put them in one list"
            ) from None

    def save(self, path: str | os.PathLike[str], *, batch_size: Schedule | None = None) -> None:
        """Write the JSON to `path`: to a temporary name beside it first, then renamed over it.

        With `batch_size` the file holds that of every update too: see `load_batch_size`.

        Raises: InputError where the file cannot be written; an old file then stays as it was.

        >>> import tempfile, pathlib
        >>> from etastar.schedule import Schedule, parse_schedule
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder) / "schedule.json"
        ...     parse_schedule("cosine:peak=0.1,horizon=100").save(path)
        ...     print(Schedule.load(path).spec)
        cosine:peak=0.1,horizon=100
        """
        write_text(path, self.to_json(batch_size) + "\n")

    @staticmethod
    def load(path: str | os.PathLike[str]) -> Schedule:
        """Read the schedule that `save` wrote to `path`.

        Raises: InputError, naming the file, where it cannot be read or `from_json` refuses it.

        >>> from etastar.schedule import InputError, Schedule
        >>> try:
        ...     Schedule.load("no/such.json")
        ... except InputError as error:
        ...     print(error)
        no/such.json: no such file; check the path
        """
        text = utf8_text(path)
        try:
            return Schedule.from_json(text)
        except InputError as error:
            raise InputError(f"{path}: {error}") from None


def load_batch_size(path: str | os.PathLike[str]) -> Schedule | None:
    """The batch size of every update in a file that `Schedule.save` wrote, or None without one.

    Arguments:
        path: of the file.

    Returns: a schedule of the LR schedule's horizon, whose values are batch sizes.
    Raises: InputError, naming the file, where it cannot be read or is no schedule.

    >>> import tempfile, pathlib
    >>> from etastar.schedule import load_batch_size, parse_schedule
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder) / "schedule.json"
    ...     size = parse_schedule("constant:peak=64,horizon=100")
    ...     parse_schedule("cosine:peak=0.1,horizon=100").save(path, batch_size=size)
    ...     print(load_batch_size(path).spec, Schedule.load(path).spec)
    constant:peak=64,horizon=100 cosine:peak=0.1,horizon=100
    """
    text = utf8_text(path)
    try:
        document = read_document(text).get(_BATCH_SIZE)
        return None if document is None else Schedule.from_json(json.dumps(document))
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def from_keys(
    name: object, keys: Mapping[str, Any], *, horizon: Any = None, peak: Any = None
) -> Schedule:
    """A schedule by name and keys, with a horizon and a peak for where the keys leave them out."""
    shape, common = shape_of(name, keys, horizon=horizon, peak=peak)
    return Schedule(shape, **common)


def join(pieces: Iterable[tuple[Schedule, int]]) -> Schedule:
    """Schedules one after another: [(first, until), (second, until), ...].

    Piece i is in force from the `until` of the one before it (0 for the first) to its own `until`,
    a step of the whole, and starts there from its own step 0: eta(t) = piece_i(t - until_{i-1}),
    to the last bit. A piece cut short simply stops; beyond its horizon it holds its end value.
    The last `until` is the horizon; the peak is the highest of the pieces' peaks.

    Arguments:
        pieces: pairs of a schedule and the update of the whole at which it ends, in order.

    Returns: the whole as one `Schedule`.
    Raises: InputError for no piece, one that is no such pair, or `until` that does not increase.

    >>> from etastar.schedule import join, parse_schedule
    >>> stable = parse_schedule("constant:peak=0.1,horizon=100,warmup=10")
    >>> cooldown = parse_schedule("linear:peak=0.1,horizon=50")
    >>> whole = join([(stable, 100), (cooldown, 150)])
    >>> whole.horizon, whole(99), whole(125)
    (150, 0.1, 0.05)
    """
    flat: list[tuple[Piece, int]] = []
    start = 0
    for entry in pieces:
        try:
            piece, until = entry
        except (TypeError, ValueError):
            piece, until = None, None
        if not isinstance(piece, Schedule):
            raise InputError(f"join takes pairs (schedule, until), got {shown(entry)}")
        until = step_horizon(until, "until")
        if until <= start:
            raise InputError(f"until must increase from piece to piece, got {until} after {start}")
        flat += inner_pieces(piece, start, until)
        start = until
    if not flat:
        raise InputError("join got no pieces: give at least one (schedule, until)")
    shape = Joined(tuple(flat))
    return Schedule(shape, shape.own_peak, start, shape.own_warmup)


def _decoded(document: Any) -> Schedule:
    kind = required(document, "kind")
    if kind != Joined.name:
        return from_keys(kind, {key: value for key, value in document.items() if key != "kind"})
    pieces = required(document, "pieces")
    if not isinstance(pieces, list):
        raise InputError(f"pieces must be a list, got {shown(pieces)}")
    return join((_decoded(required(p, "schedule")), required(p, "until")) for p in pieces)


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
