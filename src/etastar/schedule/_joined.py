"""The shape of schedules one after another."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Protocol

from etastar._errors import InputError

from ._curves import Flat, Segment
from ._shape import Frame, Shape


class Piece(Protocol):
    """What a joined shape asks of the schedules in it.

    `Schedule` is above this file, because it reads and writes joined ones: here is as much of it as
    is needed.
    """

    @property
    def shape(self) -> Shape: ...
    @property
    def peak(self) -> float: ...
    @property
    def horizon(self) -> int: ...
    @property
    def warmup(self) -> int: ...
    @property
    def final(self) -> float: ...
    @property
    def rise(self) -> int: ...
    @property
    def segments(self) -> tuple[Segment, ...]: ...
    def __call__(self, step: float) -> float: ...
    def scaled(self, *, peak: float) -> Piece: ...
    def stretched(self, *, horizon: int) -> Piece: ...


@dataclass(frozen=True)
class Joined(Shape):
    """Pieces in order, each counted from its own step 0 and in force until a step of the whole.

    Formula: eta(t) = piece_i(t - until_{i-1}) for until_{i-1} <= t < until_i.

    Attributes:
        pieces: pairs (schedule, until), `until` a step of the whole; none of the schedules is
            itself joined, and the last `until` is the horizon.

    >>> from etastar.schedule import parse_schedule
    >>> spec = "join:constant:peak=0.1,horizon=9 then linear:peak=0.1,horizon=9"
    >>> parse_schedule(spec).shape.name
    'join'
    """

    name: ClassVar[str] = "join"
    takes_final: ClassVar[bool] = False
    pieces: tuple[tuple[Piece, int], ...]

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


def _moved(piece: Piece, offset: int, length: int, keep_end: bool) -> list[Segment]:
    """The segments of a piece that are in force during `length` steps from step `offset`."""
    segments = list(piece.segments)
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


def inner_pieces(piece: Piece, start: int, until: int) -> list[tuple[Piece, int]]:
    """A piece, or what it was itself joined of, as pieces of the new whole."""
    if not isinstance(piece.shape, Joined):
        return [(piece, until)]
    inner, before, begin = [], 0, 0
    for part, end in piece.shape.pieces:
        if before < until - start:
            inner.append((part, min(start + end, until)))
        before, begin = end, before
    if until - start > piece.horizon:
        last = inner[-1][0]
        if before - begin < last.horizon:  # cut short, so that it would go on where it is held
            raise InputError(
                f"a joined piece ends after {piece.horizon} steps and cannot be held for "
                f"{until - start}: join a constant after it"
            )
        inner[-1] = last, until
    return inner
