"""Hypothesis strategies: schedules of every shape, with every key drawn over its range."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from etastar.schedule import Schedule, join, make_schedule, table

FALLING = ("linear", "cosine", "polynomial", "power", "inverse_sqrt", "exponential", "wsd")
peaks = st.floats(1e-12, 1e6)


@st.composite
def named(draw: st.DrawFn, names: tuple[str, ...], longest: int = 3000) -> Schedule:
    """A schedule of one of `names`."""
    name = draw(st.sampled_from(names))
    horizon = draw(st.integers(1, longest))
    warmup = draw(st.integers(0, horizon - 1)) if draw(st.booleans()) else 0
    keys: dict[str, Any] = {"peak": draw(peaks), "horizon": horizon, "warmup": warmup}
    if name in FALLING:
        keys["final"] = draw(st.floats(1e-6, 1.0) | st.just(0.1))
        if name not in ("exponential", "wsd") and draw(st.booleans()):
            keys["final"] = 0.0
    if name == "polynomial":
        keys["power"] = draw(st.sampled_from([0.5, 1.0, 2.0, 3.0]) | st.floats(0.05, 60.0))
    if name == "power":
        keys["chi"] = draw(st.sampled_from([0.0, 0.5, 1.0]) | st.floats(0.0, 5.0))
    if name == "wsd":
        fraction = 1.0 - warmup / horizon
        steps = st.integers(1, horizon - warmup).map(float)
        keys["cooldown"] = draw(steps | st.floats(0.01, 0.99).map(lambda u: u * fraction))
        keys["decay"] = draw(st.sampled_from(["linear", "sqrt", "cosine", "exponential"]))
    if name == "step":
        keys["at"] = draw(st.integers(warmup, horizon) | st.floats(warmup, horizon))
        keys["factor"] = draw(st.floats(0.0, 1.0))
    return make_schedule(name, **keys)


@st.composite
def tables(draw: st.DrawFn, longest: int = 3000) -> Schedule:
    """A table of up to 12 knots, on whole and on fractional steps."""
    steps = draw(st.lists(st.integers(0, 2 * longest), min_size=1, max_size=12, unique=True))
    rates = draw(st.lists(st.floats(0.0, 10.0), min_size=len(steps), max_size=len(steps)))
    rates[draw(st.integers(0, len(rates) - 1))] = draw(st.floats(1e-6, 10.0))
    return table([step / 2 for step in sorted(steps)], rates)


@st.composite
def joined(draw: st.DrawFn, longest: int = 3000) -> Schedule:
    """Two to four pieces, some cut short and some held beyond their horizon."""
    pieces, start = [], 0
    for _ in range(draw(st.integers(2, 4))):
        piece = draw(named((*FALLING, "constant", "step"), longest) | tables(longest))
        lengths = st.just(piece.horizon) | st.integers(1, 2 * piece.horizon)
        start += draw(lengths)
        pieces.append((piece, start))
    return join(pieces)


def falling(longest: int = 3000) -> st.SearchStrategy[Schedule]:
    return named(FALLING, longest)


def schedules(longest: int = 3000) -> st.SearchStrategy[Schedule]:
    """Every kind of schedule."""
    simple = named((*FALLING, "constant", "step"), longest)
    return st.one_of(simple, simple, tables(longest), joined(longest))
