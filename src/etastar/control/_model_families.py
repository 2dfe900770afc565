"""The standard schedules of the solvable model, each at its own optimum."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from etastar._errors import InputError
from etastar.model import Model, Modes, loss, modes_of, segment_losses, segments_of
from etastar.schedule import Schedule, make_schedule

from ._limits import Limits
from ._solution import Member

FAMILIES = ("constant", "power", "linear", "cosine", "polynomial", "wsd", "inverse_sqrt")
"""The standard families of `best_member`, by the names that their specs have."""

_PEAKS = 8
_SEGMENTS = 128
_FINEST = 1.01
"""The ratio of neighbouring peaks at which the search ends; a parabola does the rest."""


class _Family(NamedTuple):
    """A family's spec name, and the one number that shapes it: its name, values, and keys."""

    spec: str
    key: str | None = None
    values: tuple[float, ...] = ()
    keys: tuple[tuple[str, str], ...] = ()


_SEARCHED = {
    "constant": [_Family("constant")],
    "power": [_Family("power", "chi", (0.05, 0.1, 0.2, 0.3, 0.45, 0.6, 0.75, 0.9))],
    "linear": [_Family("linear")],
    "cosine": [_Family("cosine")],
    "polynomial": [_Family("polynomial", "power", (0.5, 1.0, 2.0, 3.0, 4.0, 6.0, 9.0))],
    "wsd": [
        _Family("wsd", "cooldown", (0.003, 0.01, 0.03, 0.1, 0.2, 0.4, 0.8), (("decay", decay),))
        for decay in ("linear", "sqrt")
    ],
    "inverse_sqrt": [_Family("inverse_sqrt")],
}


def best_member(
    model: Model,
    family: str,
    horizon: int,
    limits: Limits | None = None,
    **keys: float | str,
) -> Member:
    """The member of a standard family with the lowest final loss: its peak LR, and its shape.

    Searches the peak from the cap down, and with it the shape: the exponent chi of `power`, that of
    `polynomial`, the cooldown and decay of `wsd`. Peaks end within a percent of the best of their
    family, and a parabola in the logarithm goes on from there.

    Arguments:
        model: a PowerLaw or a LinearModel.
        family: constant, power, linear, cosine, polynomial, wsd or inverse_sqrt.
        horizon: number of updates.
        limits: what the LR may be; by default, and where the cap is infinite, at most the model's
            largest stable LR. A shape that would end below the floor ends at it.
        keys: keys of the spec to hold fixed, such as power=2 or cooldown=0.2.

    Returns: a `Member`, its loss by `etastar.model.loss`.
    Raises: InputError for an unknown family or key.
    Source: section 2 of arXiv 2602.04774 for the families and their exponents.

    >>> from etastar.model import PowerLaw
    >>> model = PowerLaw(1.5, 1.0, 0.25, 8)
    >>> constant, cosine = (best_member(model, name, 10**6) for name in ("constant", "cosine"))
    >>> cosine.loss < 0.3 * constant.loss, cosine.schedule.peak > 5 * constant.schedule.peak
    (True, True)
    """
    if family not in _SEARCHED:
        raise InputError(f"family {family!r} is unknown: choose from {', '.join(FAMILIES)}")
    limits = Limits(np.inf) if limits is None else limits
    if limits.cap == np.inf:
        limits = replace(limits, cap=model.max_rate)
    search = _Search(model, horizon, limits)
    best = min((search.shape(each, keys) for each in _SEARCHED[family]), key=lambda found: found[0])
    schedule = best[1]
    return Member(family, schedule, loss(model, schedule))


def baselines(
    model: Model,
    horizon: int,
    limits: Limits | None = None,
    *,
    families: Iterable[str] = FAMILIES,
) -> tuple[Member, ...]:
    """The best member of every standard family, each at its own optimum.

    Arguments:
        model: a PowerLaw or a LinearModel.
        horizon: number of updates.
        limits: what the LR may be, as of `best_member`.
        families: names of those wanted, of `FAMILIES`.

    Returns: one `Member` a family, in the order asked.
    Raises: InputError for an unknown family.
    Source: section 2 of arXiv 2602.04774.

    >>> from etastar.model import PowerLaw
    >>> found = baselines(PowerLaw(1.5, 0.2, 0.25, 8), 10**4, families=["cosine", "wsd"])
    >>> [member.family for member in found], found[1].loss < found[0].loss
    (['cosine', 'wsd'], True)
    """
    return tuple(best_member(model, name, horizon, limits) for name in families)


@jax.jit
def _final_losses(modes, noise, cells, factors):
    """Final losses of the same segments at rates scaled by each factor."""

    def final(factor):
        drift = cells.drift._replace(
            rate_square=cells.drift.rate_square * factor**2,
            rate_start=cells.drift.rate_start * factor,
            rate_end=cells.drift.rate_end * factor,
        )
        return segment_losses(modes, noise, cells._replace(rate=cells.rate * factor, drift=drift))[
            -1
        ]

    return jax.vmap(final)(factors)


class _Search:
    """Finds the best peak and shape of families on segments shared by all peaks."""

    def __init__(self, model: Model, horizon: int, limits: Limits) -> None:
        self.model, self.horizon, self.limits = model, horizon, limits
        spectrum = model.spectrum_to(horizon)
        self.modes = Modes(*(jnp.asarray(x) for x in modes_of(spectrum)))
        # The best LRs are above cap / horizon, or, where noise is loud, a part of the quiet rate.
        quiet = spectrum.quiet_rate(model.noise, model.batch_size)
        self.lowest = min(limits.cap / min(max(horizon, 10.0), 1e15), 0.05 * quiet)

    def shape(self, family: _Family, keys: dict) -> tuple[float, Schedule]:
        """The lowest loss of a family and where it is."""
        fixed = {**dict(family.keys), **keys}
        if family.key is None or family.key in fixed:
            return self.peak(lambda peak: self._made(family.spec, peak, fixed), None)
        values = np.array(family.values)
        if family.key == "cooldown" and self.horizon * values[-1] < 1:
            values = np.ones(1)  # a run of one update cools down throughout
        known: dict[float, tuple[float, Schedule]] = {}
        ratio = 0.0
        for _ in range(5):
            for value in values:
                key = float(f"{value:.6g}")
                if key not in known and (family.key != "cooldown" or key * self.horizon >= 1):
                    near = min(known.values(), key=lambda v: v[0])[1].peak if ratio else None
                    known[key] = self.peak(
                        lambda peak, key=key: self._made(
                            family.spec, peak, {**fixed, family.key: key}
                        ),
                        near,
                    )
            tried = sorted(known)
            i = tried.index(min(known, key=lambda key: known[key][0]))
            low, high = tried[max(i - 1, 0)], tried[min(i + 1, len(tried) - 1)]
            ratio = high / low
            values = np.sqrt([low * tried[i], tried[i] * high])
        return min(known.values(), key=lambda found: found[0])

    def peak(self, make: Callable[[float], Schedule], near: float | None) -> tuple[float, Schedule]:
        """The best peak of one shape: grids of ever smaller ratio around the best so far."""
        top, bottom = self.limits.cap, max(self.limits.floor, 1e-300)
        span = float(np.log(top / self.lowest)) if near is None else np.log(16.0)
        center = np.log(top) - span / 2 if near is None else np.log(near)
        logs = center + span * np.linspace(-0.5, 0.5, _PEAKS)
        while True:
            logs = np.clip(logs, np.log(bottom), np.log(top))
            values = self._values(make, logs)
            i = int(np.argmin(values))
            width = max(float(np.max(np.diff(logs))), 1e-12)
            if width < np.log(_FINEST):
                break
            logs = logs[i] + width * np.linspace(-1.0, 1.0, _PEAKS)
        best, value = logs[i], values[i]
        if 0 < i < _PEAKS - 1 and logs[i + 1] > logs[i]:
            fit = np.polyfit(logs[i - 1 : i + 2] - best, np.log(values[i - 1 : i + 2]), 2)
            if fit[0] > 0:
                best = min(
                    best + float(np.clip(-fit[1] / (2 * fit[0]), -width, width)), np.log(top)
                )
        return float(value), make(float(np.exp(best)))

    def _values(self, make: Callable[[float], Schedule], logs: NDArray[np.float64]):
        if self.limits.floor > 0:
            # The floor moves the shape with its peak: each has segments of its own.
            groups = [(float(np.exp(log)), np.zeros(1)) for log in logs]
        else:
            middle = float(np.median(logs))
            groups = [(float(np.exp(middle)), logs - middle)]
        losses = np.concatenate([self._scaled(make(peak), shift) for peak, shift in groups])
        return np.where(np.isfinite(losses), losses, np.inf)

    def _scaled(self, schedule: Schedule, shift: NDArray[np.float64]) -> NDArray[np.float64]:
        """Final losses of a schedule times exp(shift), on its own segments."""
        cells = segments_of(self.model, schedule, _SEGMENTS)
        return np.asarray(_final_losses(self.modes, self.model.noise, cells, np.exp(shift)))

    def _made(self, spec: str, peak: float, keys: dict) -> Schedule:
        limits = self.limits
        schedule = make_schedule(
            spec, peak=peak, horizon=self.horizon, warmup=limits.warmup, **keys
        )
        return limits.raised(schedule)
