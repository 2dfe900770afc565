"""A schedule as a function of a traced step, in JAX: what Optax and Keras on JAX share.

Only what JAX cannot trace is written anew here: the same curves as in `etastar.schedule`, in forms
that keep their digits in float32. No table is made, so a horizon of 1e12 costs what 100 does.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike, DTypeLike

from etastar._errors import InputError
from etastar.schedule import (
    CosineDecay,
    Curve,
    Decay,
    ExponentialDecay,
    Flat,
    Knots,
    LinearDecay,
    PowerDecay,
    PowerLawDecay,
    Ramp,
    Segment,
    SqrtDecay,
)

from ._source import one_of_group


def schedule(
    source: Any, *, group: str | None = None, dtype: DTypeLike | None = None
) -> Callable[[ArrayLike], jax.Array]:
    """The learning rate as a function of the update count, for `optax` and under `jax.jit`.

    Formula: that of the schedule, eta(count) with count = 0 for the first update, as Optax counts.
    Beyond the horizon the end value is held, a count below 0 is taken as 0. Under `jit`, `vmap` and
    `scan` it is traced once; nothing in it depends on the value of the count.

    Arguments:
        source: what `etastar.integrations` takes as a schedule: a `Schedule`, a spec, the path of a
            schedule.json or of a plan, or a `Plan`.
        group: the parameter group whose schedule it is, where the source holds several by name.
        dtype: of the result; by default JAX's own, float32, or float64 under `jax_enable_x64`.

    Returns: a function from an integer count of any shape to rates of that shape. Values are those
    of the schedule to a few roundings of the dtype, also close to the end where the rate is small,
    and also for counts beyond 2^24, which float32 alone cannot tell apart.

    Raises: InputError where the source is no schedule, or holds several and none of them is named,
    the dtype no float that JAX has enabled, or the peak beyond it; and by the function for a count
    that is no integer.

    >>> import jax, numpy as np
    >>> rate = jax.jit(schedule("cosine:peak=0.1,horizon=100,warmup=10"))
    >>> [round(float(value), 4) for value in rate(np.array([0, 5, 10, 55, 100]))]
    [0.0, 0.05, 0.1, 0.05, 0.0]
    """
    wanted = one_of_group(source, group).schedule
    result = _float_type(dtype, wanted.peak)
    segments = wanted.segments

    def rate(count: ArrayLike) -> jax.Array:
        step = _whole_steps(count, wanted.horizon)
        traced = _Traced(step, jnp.float64 if result == jnp.float64 else jnp.float32)
        value = _value(traced, segments[0])
        for segment in segments[1:]:
            first = math.ceil(segment.start)
            if first <= jnp.iinfo(step.dtype).max:
                value = jnp.where(step >= first, _value(traced, segment), value)
        return value.astype(result)

    return rate


def _float_type(dtype: DTypeLike | None, peak: float) -> Any:
    default = jnp.zeros(()).dtype
    wanted = default if dtype is None else jnp.dtype(dtype)
    if not jnp.issubdtype(wanted, jnp.floating):
        raise InputError(f"dtype {wanted} is no float: leave it out, or give float32")
    if wanted == jnp.float64 and default != jnp.float64:
        raise InputError(
            "dtype float64 needs jax.config.update('jax_enable_x64', True): set it, or give float32"
        )
    if peak > float(jnp.finfo(wanted).max):
        raise InputError(f"the peak {peak:g} is beyond the largest {wanted}: scale the schedule")
    return wanted


def _whole_steps(count: ArrayLike, horizon: int) -> jax.Array:
    """The count as an array of JAX's integers, held at the horizon."""
    try:
        given = jnp.asarray(count)
    except OverflowError:
        raise InputError(
            f"count {count} is beyond JAX's 32-bit integers: set jax_enable_x64"
        ) from None
    if not jnp.issubdtype(given.dtype, jnp.integer):
        raise InputError(f"count must be an integer, the number of updates, got {given.dtype}")
    integer = jnp.zeros((), int).dtype
    most = min(horizon, *(int(jnp.iinfo(kind).max) for kind in (given.dtype, integer)))
    return jnp.clip(given, 0, most).astype(integer)


class _Traced(NamedTuple):
    """Steps, and distances from them as floats that keep the digits of the whole numbers.

    In float32 neighbouring steps beyond 2^24 are one number; differences of integers are exact.

    Attributes:
        step: whole steps, of any shape.
        kind: float type of the distances.
    """

    step: jax.Array
    kind: Any

    def since(self, point: float) -> jax.Array:
        """step - point, 0 before it."""
        whole = min(math.floor(point), int(jnp.iinfo(self.step.dtype).max))
        elapsed = (self.step - whole).astype(self.kind) - (point - whole)
        return jnp.maximum(elapsed, 0.0)

    def until(self, point: float) -> jax.Array:
        """point - step, 0 after it."""
        whole = min(math.floor(point), int(jnp.iinfo(self.step.dtype).max))
        remaining = (whole - self.step).astype(self.kind) + (point - whole)
        return jnp.maximum(remaining, 0.0)


def _value(traced: _Traced, segment: Segment) -> jax.Array:
    """The rates of a segment; steps outside it give some finite number that is not used."""
    curve, origin = segment.curve, segment.origin
    if isinstance(curve, Flat):
        return jnp.full(traced.step.shape, curve.rate, traced.kind)
    if isinstance(curve, Ramp):
        return curve.rate * (traced.since(origin) / curve.length)
    if isinstance(curve, Knots):
        return _between_knots(traced, curve, origin)
    if isinstance(curve, PowerLawDecay):
        first = max(segment.start - origin, 1.0 - curve.shift)
        base = (jnp.maximum(traced.since(origin), first) + curve.shift) / curve.unit
        return jnp.maximum(curve.rate * jnp.power(base, -curve.chi), curve.floor)
    if isinstance(curve, ExponentialDecay):
        part = jnp.minimum(traced.since(origin + curve.start) / curve.length, 1.0)
        return curve.rate * jnp.exp(math.log(curve.final) * part)
    if isinstance(curve, Decay):
        fraction = _fraction(traced, curve, origin)
        return curve.rate * (curve.final + (1.0 - curve.final) * fraction)
    raise _unknown(curve)


def _fraction(traced: _Traced, curve: Decay, origin: float) -> jax.Array:
    """g, the part of the fall still to come, from the part r of the steps still to come.

    Written in r = 1 - x, g keeps its relative precision as it goes to 0: with x in float32, 1 - x
    has an error of 6e-8, which near the end is more than g.
    """
    start = origin + curve.start
    left = jnp.minimum(traced.until(start + curve.length) / curve.length, 1.0)
    if isinstance(curve, LinearDecay):
        return left
    if isinstance(curve, CosineDecay):  # (1 + cos(pi x))/2 = sin(pi r/2)^2
        return jnp.square(jnp.sin(0.5 * math.pi * left))
    if isinstance(curve, PowerDecay):
        return jnp.power(left, curve.exponent)
    if isinstance(curve, SqrtDecay):  # 1 - sqrt(x) = r / (1 + sqrt(x))
        return left / (1.0 + jnp.sqrt(traced.since(start) / curve.length))
    raise _unknown(curve)


def _unknown(curve: Curve) -> InputError:
    return InputError(
        f"{type(curve).__name__} cannot be traced yet: sample the schedule with etastar.schedule"
        ".table, or report this"
    )


def _between_knots(traced: _Traced, curve: Knots, origin: float) -> jax.Array:
    """Linear interpolation; both weights come from whole steps, so that neither cancels."""
    step, kind = traced
    rates = np.array(curve.rates)
    if len(rates) == 1:
        return jnp.full(step.shape, rates[0], kind)
    points = np.array(curve.steps) + origin
    most = int(jnp.iinfo(step.dtype).max)
    # A whole step has reached a knot where it has reached the next whole number.
    ceilings = [math.ceil(point) for point in points]
    reached = np.array([point for point in ceilings if point <= most], step.dtype)
    index = jnp.searchsorted(reached, step, side="right", method="scan_unrolled") - 1
    left = jnp.clip(index, 0, len(points) - 2)

    # A row an interval, so that one look-up gets all of it: both knots' steps, whole numbers and
    # the rest, and their rates over the length of the interval.
    whole = np.array([min(math.floor(point), most) for point in points], step.dtype)
    part, slope = points - whole, np.stack([rates[:-1], rates[1:]], 1) / np.diff(points)[:, None]
    ends = jnp.asarray(np.stack([whole[:-1], whole[1:]], 1))[left]
    since = (step - ends[..., 0]).astype(kind)
    until = (ends[..., 1] - step).astype(kind)
    if np.any(part):
        parts = jnp.asarray(np.stack([part[:-1], part[1:]], 1), kind)[left]
        since, until = since - parts[..., 0], until + parts[..., 1]
    slopes = jnp.asarray(slope, kind)[left]
    inside = slopes[..., 0] * until + slopes[..., 1] * since
    held = jnp.where(index > len(points) - 2, rates[-1].astype(kind), inside)
    return jnp.where(index < 0, rates[0].astype(kind), held)
