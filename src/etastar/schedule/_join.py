"""Schedules one after another."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from etastar._checks import shown, step_horizon
from etastar._errors import InputError

from ._curves import Flat
from ._schedule import Schedule
from ._shapes import Frame, Segment, Shape


@dataclass(frozen=True)
class Joined(Shape):
    """Pieces in order, each counted from its own step 0 and in force until a step of the whole."""

    name: ClassVar[str] = "join"
    takes_final: ClassVar[bool] = False
    pieces: tuple[tuple[Schedule, int], ...]

    @property
    def own_peak(self) -> float:
        return max(piece.peak for piece, _ in self.pieces)

    @property
    def own_horizon(self) -> int:
        return self.pieces[-1][1]

    @property
    def own_warmup(self) -> int:
        first, until = self.pieces[0]
        return min(first.warmup, until)

    @property
    def own_rise(self) -> int:
        first, until = self.pieces[0]
        return min(first.rise, until)

    def rescaled(self, peak: float) -> Shape:
        highest = self.own_peak
        return Joined(
            tuple((p.scaled(peak=peak * (p.peak / highest)), until) for p, until in self.pieces)
        )

    def stretched(self, frame: Frame, horizon: int) -> Shape:
        ratio = horizon / frame.horizon
        pieces, start, new_start = [], 0, 0
        for piece, until in self.pieces:
            new_until = horizon if until == frame.horizon else round(until * ratio)
            if new_until <= new_start:
                raise InputError(f"horizon {horizon} leaves no step for a joined piece: raise it")
            whole_piece = piece.horizon == until - start
            length = new_until - new_start if whole_piece else max(round(piece.horizon * ratio), 1)
            pieces.append((piece.stretched(horizon=length), new_until))
            start, new_start = until, new_until
        return Joined(tuple(pieces))

    def check(self, frame: Frame) -> None:
        if (frame.horizon, frame.warmup) != (self.own_horizon, self.own_warmup):
            raise InputError("horizon and warmup of a join are those of its pieces: leave them out")

    def after_warmup(self, frame: Frame) -> list[Segment]:
        return [segment for segment in self.segments(frame) if segment.start >= frame.warmup]

    def segments(self, frame: Frame) -> list[Segment]:
        segments, start = [], 0
        for piece, until in self.pieces:
            last = until == frame.horizon
            segments += _moved(piece, start, until - start, keep_end=last)
            start = until
        return segments


def _moved(piece: Schedule, offset: int, length: int, keep_end: bool) -> list[Segment]:
    """The segments of a piece that are in force during `length` steps from step `offset`."""
    segments = list(piece._segments)
    if length > piece.horizon:
        segments.append(Segment(float(piece.horizon), 0.0, Flat(piece(piece.horizon))))
    moved = []
    for start, origin, curve in segments:
        if start < length or (keep_end and start == length):
            first = start + offset
            # Rounding must not put a step into a curve that starts just after it.
            first = first if first - offset >= start else math.nextafter(first, math.inf)
            moved.append(Segment(first, origin + offset, curve))
    return moved


def join(pieces: Iterable[tuple[Schedule, int]]) -> Schedule:
    """Schedules one after another: [(first, until), (second, until), ...].

    Piece i is in force from the `until` of the one before it (0 for the first) to its own `until`,
    a step of the whole, and starts there from its own step 0: eta(t) = piece_i(t - until_{i-1}),
    to the last bit. A piece cut short simply stops; beyond its horizon it holds its end value.
    The last `until` is the horizon; the peak is the highest of the pieces' peaks.

    Raises: InputError for no piece, or `until` that does not increase.

    >>> from etastar.schedule import join, parse_schedule
    >>> stable = parse_schedule("constant:peak=0.1,horizon=100,warmup=10")
    >>> cooldown = parse_schedule("linear:peak=0.1,horizon=50")
    >>> whole = join([(stable, 100), (cooldown, 150)])
    >>> whole.horizon, whole(99), whole(125)
    (150, 0.1, 0.05)
    """
    flat: list[tuple[Schedule, int]] = []
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
        flat += _inner_pieces(piece, start, until)
        start = until
    if not flat:
        raise InputError("join got no pieces: give at least one (schedule, until)")
    whole = Joined(tuple(flat))
    return Schedule(whole, whole.own_peak, start, whole.own_warmup)


def _inner_pieces(piece: Schedule, start: int, until: int) -> list[tuple[Schedule, int]]:
    """A piece, or what it was itself joined of, as pieces of the new whole."""
    if not isinstance(piece.shape, Joined):
        return [(piece, until)]
    if until - start > piece.horizon:
        raise InputError(
            f"a joined piece ends after {piece.horizon} steps and cannot be held for "
            f"{until - start}: join a constant after it"
        )
    inner, before = [], 0
    for part, end in piece.shape.pieces:
        if before < until - start:
            inner.append((part, min(start + end, until)))
        before = end
    return inner
