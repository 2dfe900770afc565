"""Which standard schedule wrote the learning rates of a log, where they tell."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

import numpy as np

from etastar.schedule import Schedule, join, make_schedule

from ._polyline import polyline

MOST_ROWS = 160
"""Rows by which shapes are compared; the one that is found is then held against all."""
MOST_TRIED = 128
"""Warmups or cooldowns tried at once; a longer range is narrowed down."""
SPREAD = 0.01
"""An end of the schedule is known where all shapes that agree with the log have the same LR there,
to this share of the peak."""
TELLING = 1e-5
"""With LRs written more exactly than this, of the peak, the simplest shape that agrees is the one:
the others are too unlikely to agree by chance."""
ROUNDED = 1.25
"""Least squares may leave a row this many half units off where another fit leaves none by one."""
MOST_KNOTS = 20_001
"""Steps looked at for a table of LRs."""
FEWEST = 3
"""Fewer rows name no shape, and so many only one that ends at 0, with digits that tell."""
EXACT, SINGLE = 1e-9, 5e-7
"""Rounding of the trainer's own arithmetic in double and in single precision, of the peak."""


@dataclass(frozen=True)
class Digits:
    """To how many digits a column was written: the last decimal place, or significant digits.

    >>> digits_of(["0.00100", "0.00095"]).half_unit(np.array([0.001]))
    array([5.e-06])
    """

    place: int
    significant: int

    def half_unit(self, value: np.ndarray) -> np.ndarray:
        """How far a written number may lie from the number that was meant."""
        with np.errstate(divide="ignore"):
            leading = np.where(value > 0, np.floor(np.log10(value)), -np.inf)
        leading = np.maximum(leading, self.place)
        return 0.5 * 10.0 ** np.maximum(self.place, leading - self.significant + 1)


def digits_of(cells: Sequence[str]) -> Digits:
    """The digits of numbers as they are written, zeros at the end included."""
    place, significant = 0, 1
    for cell in cells:
        try:
            number = Decimal(cell.strip())
        except InvalidOperation:
            continue
        if number.is_finite() and number > 0:
            last = int(number.as_tuple().exponent)
            place = min(place, last)
            significant = max(significant, number.adjusted() - last + 1)
    return Digits(max(place, -300), significant)


@dataclass(frozen=True)
class Recognised:
    """A standard schedule that agrees with all logged LRs to their digits.

    `start_known` and `end_known` say whether every other one that agrees has the same LR before the
    first row and after the last, and `warmup_known` whether it has between the rows around the end
    of the warmup.
    """

    schedule: Schedule
    start_known: bool
    end_known: bool
    warmup_known: bool


def recognised(
    step: np.ndarray, rate: np.ndarray, digits: Digits, horizon: int
) -> Recognised | None:
    """The standard schedule of logged LRs, or None.

    Tried are constant, linear, cosine, wsd (with a linear, cosine or sqrt cooldown) and
    inverse_sqrt, each after a linear warmup, ending at 0 or above. As in all standard trainers,
    warmups and cooldowns are whole numbers of steps, a log may write the LR of the update before or
    after its step, and a fall may end a step beside the horizon. A shape agrees where
    it has every logged LR to the digits written.
    """
    inside = (step <= horizon) & (step >= 0)
    step, rate = step[inside], rate[inside]
    if len(step) < FEWEST or horizon < 2:
        return None
    peak = float(rate.max())
    exact = digits.significant > 9 and not np.all(rate == rate.astype(np.float32))
    slack = digits.half_unit(rate) + (EXACT if exact else SINGLE) * peak
    all_rows, spaced = _Rows(step, rate, slack), _spaced(rate)
    rows = _Rows(step[spaced], rate[spaced], slack[spaced])
    telling = float(np.max(slack)) < TELLING * peak
    if len(step) == FEWEST and not telling:
        return None
    found = _found(rows, horizon, telling=telling)
    best = next((fit for fit in found if fit.agrees(all_rows)), None)
    if best is None:
        return None
    gap = float(np.median(np.diff(step)))
    ends = [0.0, step[0] / 2, (step[-1] + horizon) / 2, float(horizon)]
    probes = np.array([*ends, _at_warmup(step, best)])
    wide = np.ptp([o.rates(probes) for f in found for o in f.alike()], axis=0) > SPREAD * peak
    # A constant LR may be followed by a cooldown, and few rows of one lie on several curves.
    cut = best.name == "constant" and horizon > step[-1] + gap
    if best.name == "wsd":
        cut = np.sum(step > best.start) < (2 if telling and best.final == 0 else 3)
    # Without an end, a log that writes the next LR is no other than a warmup a step ahead.
    early = not best.ends and best.shift == 1 and 0 < best.warmup * SPREAD < 1
    return Recognised(
        schedule=best.schedule(horizon),
        start_known=bool((not wide[:2].any() and not early) or step[0] <= 1),
        end_known=bool((not wide[2:4].any() and not cut) or step[-1] >= horizon),
        warmup_known=bool(best.warmup == 0 or probes[4] == 0 or not wide[4]),
    )


def _at_warmup(step: np.ndarray, fit: _Fit) -> float:
    """Halfway between the rows around the end of the warmup; 0 where no row is before it."""
    after = int(np.searchsorted(step, fit.warmup))
    return float(step[after - 1] + step[after]) / 2 if 0 < after < len(step) else 0.0


def _spaced(rate: np.ndarray) -> np.ndarray:
    """Rows that show the shape: evenly spaced, the ends, and those around the first highest one."""
    last = len(rate) - 1
    if last < MOST_ROWS:
        return np.arange(last + 1)
    highest = np.flatnonzero(rate >= rate.max() * (1 - 1e-6))
    near = [np.arange(at - 8, at + 9) for at in (0, highest[0], highest[-1], last)]
    even = np.round(np.linspace(0, last, MOST_ROWS // 2)).astype(int)
    return np.unique(np.clip(np.concatenate([even, *near]), 0, last))


@dataclass(frozen=True)
class _Rows:
    """Logged LRs, and how far each may lie from what was meant."""

    step: np.ndarray
    rate: np.ndarray
    slack: np.ndarray

    def shifted(self, shift: int, end: int) -> _Rows:
        return _Rows(np.clip(self.step + shift, 0, end), self.rate, self.slack)


def _linear(part: np.ndarray) -> np.ndarray:
    return 1.0 - part


def _cosine(part: np.ndarray) -> np.ndarray:
    return 0.5 * (1.0 + np.cos(np.pi * part))


def _sqrt(part: np.ndarray) -> np.ndarray:
    return 1.0 - np.sqrt(part)


WHOLE_FALLS = {"linear": _linear, "cosine": _cosine}
COOLDOWNS = {"linear": _linear, "cosine": _cosine, "sqrt": _sqrt}


@dataclass(frozen=True)
class _Fit:
    """A shape with its numbers; `warmups` are the shortest and the longest that agree."""

    name: str
    decay: str
    peak: float
    final: float
    warmup: int
    start: float
    end: int
    shift: int
    warmups: tuple[int, int]
    doubt: float
    """How far the LR at the end may lie from `final`, by the digits of the rows."""

    def rates(self, step: np.ndarray) -> np.ndarray:
        step = np.clip(step, 0.0, self.end)
        up = np.minimum(step / self.warmup, 1.0) if self.warmup else np.ones_like(step)
        if self.name == "constant":
            return self.peak * up
        if self.name == "inverse_sqrt":
            past = np.maximum(step, 1.0) if self.warmup else step + 1.0
            return self.peak * np.where(up < 1, up, np.sqrt(max(self.warmup, 1) / past))
        part = np.clip((step - self.start) / max(self.end - self.start, 1), 0.0, 1.0)
        fall = COOLDOWNS[self.decay](part)
        return np.where(up < 1, self.peak * up, self.final + (self.peak - self.final) * fall)

    @property
    def ends(self) -> bool:
        """Whether the shape falls to its end: others look alike whenever they end."""
        return self.name not in ("constant", "inverse_sqrt")

    def alike(self) -> Iterator[_Fit]:
        """This shape with each warmup, and each LR at the end, that agrees as well."""
        for warmup, doubt in itertools.product((self.warmup, *self.warmups), (0, -1, 1)):
            start = warmup if self.name in WHOLE_FALLS else self.start
            keys = {**vars(self), "warmup": warmup, "start": start}
            yield _Fit(**{**keys, "final": self.final + doubt * self.doubt})

    def agrees(self, rows: _Rows) -> bool:
        """Whether all rows, whose steps the log counts, have the LRs of this shape."""
        off = np.abs(self.rates(rows.step + self.shift) - rows.rate)
        return bool(np.all(off <= ROUNDED * rows.slack))

    def schedule(self, horizon: int) -> Schedule:
        """The schedule up to the horizon of the run, which may lie a step beside its own end."""
        if self.shift == 1 and self.ends and self.end != horizon:
            # Nothing says that the log is a step early, so the LRs stand at the steps it gives.
            even = np.round(np.linspace(0, horizon, min(horizon + 1, MOST_KNOTS)))
            kinks = np.clip([self.warmup - 1, np.floor(self.start) - 1], 0, horizon)
            steps = np.unique([*even, *kinks])
            return polyline(steps, self.rates(steps + 1))
        end = self.end if self.ends else horizon
        keys: dict[str, object] = {"peak": self.peak, "horizon": end, "warmup": self.warmup}
        if self.final > 0:
            keys["final"] = self.final / self.peak
        if self.name == "wsd":
            steps = end - self.start
            whole = steps == round(steps)
            keys |= {"cooldown": steps if whole else steps / end, "decay": self.decay}
        schedule = make_schedule(self.name, **keys)
        return schedule if end == horizon else join([(schedule, horizon)])


def _found(rows: _Rows, horizon: int, *, telling: bool) -> list[_Fit]:
    """The shapes that agree with the rows, the simplest first.

    Those that end beside the horizon count where none ends at it. With digits that tell, a shape
    that ends at 0 goes before all that do not; and where the LR at the end, the start of the
    cooldown and the way of counting steps make up for one another, the LR at the end that is a
    round part of the peak.
    """
    for end in (horizon, horizon + 1, horizon - 1):
        found: list[_Fit] = []
        ending_above = (False, True) if len(rows.step) > FEWEST else (False,)
        for free, shift in itertools.product(ending_above, (0, -1, 1)):
            moved = rows.shifted(shift, end)
            for fit in _shapes(moved, end, shift, free):
                if fit.agrees(rows):
                    found.append(_rounded(fit, moved))
                    if telling and not free:
                        return found
        if telling:
            round_ends = [fit for fit in found if _is_round(fit.final / fit.peak)]
            found = round_ends[:1] or found
        if found:
            return found
    return []


def _is_round(value: float) -> bool:
    return abs(float(f"{value:.2e}") - value) <= 1e-7 * value


def _shapes(rows: _Rows, end: int, shift: int, free: bool) -> Iterator[_Fit]:
    step, rate, slack = rows.step, rows.rate, rows.slack
    high = np.flatnonzero(rate + slack >= (rate - slack).max())
    first, last = int(high[0]), int(high[-1])
    if np.any(np.diff(rate[: first + 1]) < 0):
        return
    least = step[first - 1] if first else 0.0
    following = step[min(last + 1, len(step) - 1)]
    bounds = int(np.ceil(least)), int(min(following, end - 1))
    if rate[-1] < rate[last] or last == first:
        for name, fall in WHOLE_FALLS.items():
            yield from _tried((name, name), _whole_fall(fall, end), rows, bounds, end, shift, free)
        if not free:
            kind = ("inverse_sqrt", "")
            yield from _tried(kind, _inverse_sqrt, rows, bounds, end, shift, free)
    if last == first:
        return
    at_peak = _Rows(step[first:], rate[first:], slack[first:])
    bounds = _warmups(rows, first, float(np.mean(rate[first : last + 1])))
    if bounds is None:
        return
    if last == len(step) - 1:
        if not free:
            fits = _tried(("constant", ""), _constant, at_peak, (0, 0), end, shift, free)
            yield from (_with_warmup(fit, bounds) for fit in fits)
        return
    starts = int(np.ceil(step[last])), int(min(step[last + 1], end - 1))
    for decay, fall in COOLDOWNS.items():
        kind = ("wsd", decay)
        fits = _tried(kind, _cooldown(fall, end), at_peak, starts, end, shift, free)
        yield from (_with_warmup(fit, bounds) for fit in fits)


def _warmups(rows: _Rows, first: int, peak: float) -> tuple[int, int] | None:
    """The shortest and the longest warmup to a peak that the rows before it allow."""
    step, rate, slack = (values[:first] for values in (rows.step, rows.rate, rows.slack))
    low, high = (step[-1] if first else 0.0), rows.step[first]
    with np.errstate(divide="ignore", invalid="ignore"):
        longest = np.where(rate > slack, peak * step / (rate - slack), np.inf)
        shortest = peak * step / (rate + slack)
    low = np.ceil(max([low, *shortest]) - 1e-6)
    high = np.floor(min([high, *longest]) + 1e-6)
    return (int(low), int(high)) if low <= high else None


def _with_warmup(fit: _Fit, bounds: tuple[int, int]) -> _Fit:
    """The fit with the middle of the warmups that agree, or none where that agrees."""
    warmup = 0 if bounds[0] == 0 else (bounds[0] + bounds[1]) // 2
    return _Fit(**{**vars(fit), "warmup": warmup, "warmups": bounds})


Basis = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]
"""Of numbers tried (m, 1) and steps (n,): the LR (m, n) that a peak of 1 gives, and a final LR."""


def _whole_fall(fall: Callable[[np.ndarray], np.ndarray], end: int) -> Basis:
    """A rise to the warmup that is tried, then a fall to the end."""

    def basis(warmup: np.ndarray, step: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        rising = step < warmup
        left = fall(np.clip((step - warmup) / np.maximum(end - warmup, 1.0), 0.0, 1.0))
        return np.where(rising, _up(warmup, step), left), np.where(rising, 0.0, 1.0 - left)

    return basis


def _cooldown(fall: Callable[[np.ndarray], np.ndarray], end: int) -> Basis:
    """The peak to the start of the cooldown that is tried, then a fall to the end."""

    def basis(start: np.ndarray, step: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        left = fall(np.clip((step - start) / np.maximum(end - start, 1.0), 0.0, 1.0))
        return left, 1.0 - left

    return basis


def _inverse_sqrt(warmup: np.ndarray, step: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    past = np.where(warmup > 0, np.maximum(step, 1.0), step + 1.0)
    falling = np.sqrt(np.maximum(warmup, 1.0) / past)
    return np.where(step < warmup, _up(warmup, step), falling), np.zeros_like(falling)


def _constant(warmup: np.ndarray, step: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    ones = np.ones((len(warmup), len(step)))
    return ones, 0.0 * ones


def _up(warmup: np.ndarray, step: np.ndarray) -> np.ndarray:
    return np.minimum(step / np.maximum(warmup, 1e-9), 1.0)


@dataclass(frozen=True)
class _Solved:
    """For each number tried: the best peak and final LR, and how far from agreeing they are."""

    tried: np.ndarray
    peak: np.ndarray
    final: np.ndarray
    squares: np.ndarray
    worst: np.ndarray
    """The largest distance from a logged LR, in units of its slack."""
    doubt: np.ndarray


def _solved(tried: np.ndarray, basis: Basis, rows: _Rows, free: bool) -> _Solved:
    """Weighted least squares for the peak and, with `free`, the final LR (normal equations)."""
    high, low = (part / rows.slack for part in basis(tried[:, None], rows.step))
    rate = rows.rate / rows.slack
    hh, hl, ll = ((x * y).sum(axis=1) for x, y in ((high, high), (high, low), (low, low)))
    hr, lr = high @ rate, low @ rate
    area = hh * ll - hl**2
    possible = free & (area > 1e-9 * hh * ll)
    safe = np.where(possible, area, 1.0)
    final = np.where(possible, (hh * lr - hl * hr) / safe, 0.0).clip(min=0.0)
    peak = (hr - final * hl) / hh
    off = np.abs(peak[:, None] * high + final[:, None] * low - rate)
    # How the final LR moves where each logged one moves by its slack.
    moves = np.abs(hh[:, None] * low - hl[:, None] * high).sum(axis=1) / safe
    return _Solved(
        tried, peak, final, (off**2).sum(axis=1), off.max(axis=1), np.where(possible, moves, 0.0)
    )


def _parts(bounds: tuple[float, float], end: int) -> np.ndarray:
    """Starts of cooldowns of whole percents of the steps, which need not be whole steps."""
    starts = end * (1 - np.arange(1, 100) / 100)
    return starts[(starts >= bounds[0]) & (starts <= bounds[1]) & (starts != np.round(starts))]


def _tried(
    kind: tuple[str, str],
    basis: Basis,
    rows: _Rows,
    bounds: tuple[int, int],
    end: int,
    shift: int,
    free: bool,
) -> Iterator[_Fit]:
    """The shape with the number of steps, within bounds, that agrees best; none if none agrees."""
    low, high = bounds
    while low <= high:
        count = min(MOST_TRIED, high - low + 1)
        tried = np.unique(np.round(np.linspace(low, high, count)))
        solved = _solved(tried, basis, rows, free)
        best = int(np.argmin(solved.squares))
        if count == high - low + 1:
            break
        low, high = (int(tried[np.clip(best + side, 0, count - 1)]) for side in (-1, 1))
    else:
        return
    if kind[0] == "wsd" and solved.worst[best] > ROUNDED and len(parts := _parts(bounds, end)):
        solved = _solved(parts, basis, rows, free)
        best = int(np.argmin(solved.squares))
    if solved.worst[best] > ROUNDED:
        return
    # Other numbers that agree as well, near and far.
    far = tried[best] + np.outer((-1, 1), 2.0 ** np.arange(0, 40)).ravel()
    far = np.unique(np.clip([*far, *bounds], *bounds))
    alike = np.concatenate(
        [each.tried[each.worst <= ROUNDED] for each in (solved, _solved(far, basis, rows, free))]
    )
    if alike.min() == 0 and kind[0] != "wsd":
        solved, best = _solved(np.zeros(1), basis, rows, free), 0
    number, final = float(solved.tried[best]), float(solved.final[best])
    if free and not 0 < final < solved.peak[best]:
        return
    yield _Fit(
        *kind,
        peak=float(solved.peak[best]),
        final=final,
        warmup=int(number),
        start=number,
        end=end,
        shift=shift,
        warmups=(int(alike.min()), int(alike.max())),
        doubt=float(solved.doubt[best]),
    )


def _rounded(fit: _Fit, rows: _Rows) -> _Fit:
    """The same shape with the peak, and the final LR over it, in as few digits as agree."""
    for key, unit in (("peak", 1.0), ("final", fit.peak)):
        for digits in range(1, 9):
            if getattr(fit, key) == 0:
                break
            if key == "final":
                unit = fit.peak
            near = float(f"{getattr(fit, key) / unit:.{digits - 1}e}") * unit
            other = _Fit(**{**vars(fit), key: near})
            if np.all(np.abs(other.rates(rows.step) - rows.rate) <= rows.slack):
                fit = other
                break
    return fit
