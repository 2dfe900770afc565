"""What a shape is: the part of a schedule that has a name."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, NamedTuple

from ._curves import Ramp, Segment


class Frame(NamedTuple):
    """The keys that all shapes share.

    Attributes:
        peak: highest learning rate, in the user's own units.
        horizon: number of updates.
        warmup: number of updates of the warmup.
        final: learning rate at the horizon over the peak.

    >>> from etastar.schedule import Frame, parse_schedule
    >>> cosine = parse_schedule("cosine:peak=0.1,horizon=100").shape
    >>> (segment,) = cosine.after_warmup(Frame(peak=0.2, horizon=50, warmup=10, final=0.1))
    >>> segment.curve
    CosineDecay(rate=0.2, final=0.1, start=10.0, length=40.0)
    """

    peak: float
    horizon: int
    warmup: int
    final: float


class Shape(ABC):
    """What a schedule does after its warmup.

    A shape holds its own keys and knows neither the peak nor the horizon: those come in the `Frame`
    that it is asked with, so that scaling a schedule leaves most shapes as they are.

    Attributes:
        name: name in spec strings and JSON.

    >>> from etastar.schedule import parse_schedule
    >>> parse_schedule("polynomial:peak=0.1,horizon=100,power=2").shape
    Polynomial(power=2.0)
    """

    name: ClassVar[str]
    # Whether the user chooses `final`; otherwise the shape itself says where it ends.
    takes_final: ClassVar[bool] = True

    @property
    def own_peak(self) -> float | None:
        """The highest rate of a shape that holds rates itself; None for a shape that does not."""
        return None

    @property
    def own_horizon(self) -> int | None:
        """The number of steps a shape covers by itself; None for a shape that fits any."""
        return None

    @property
    def own_warmup(self) -> int | None:
        """The warmup of a shape that brings its own; None for a shape that takes any."""
        return None

    @property
    def own_rise(self) -> int:
        """Steps of the rising part that a shape begins with by itself."""
        return 0

    def rescaled(self, peak: float) -> Shape:
        """The same shape with the rates it holds itself brought to another peak."""
        return self

    def stretched(self, frame: Frame, horizon: int) -> Shape:
        """The same shape for another horizon.

        `frame` holds the keys before the stretch, `horizon` is the new number of updates.
        """
        return self

    def check(self, frame: Frame) -> None:  # noqa: B027 (most shapes have nothing to refuse)
        """Raise InputError where the shape's keys do not go with the common ones in `frame`."""

    @abstractmethod
    def after_warmup(self, frame: Frame) -> list[Segment]:
        """The segments from step `frame.warmup` on, the first of them in force there."""

    def segments(self, frame: Frame) -> list[Segment]:
        """All segments of a schedule of this shape with the keys of `frame`, warmup first."""
        after = self.after_warmup(frame)
        if frame.warmup == 0:
            return after
        first = after[0]
        top = float(first.curve.value(frame.warmup - first.origin))
        return [Segment(0.0, 0.0, Ramp(top, float(frame.warmup))), *after]
