"""A running average of the weights of a training, as an immutable value."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from etastar._checks import number_in, one_of, real, shown
from etastar._errors import InputError

KINDS = ("window", "ema")


@dataclass(frozen=True)
class WeightAverage:
    """An average of the weights that a training passes through.

    Formula: after update t = 0, 1, ... the average is a <- k a + (1 - k) w, where w are the weights
    after that update. `ema` has k = min(n / (n + 1), 1 - 1 / length) with n = t: the plain mean
    while there are few weights, and from then on an average that forgets over `length` updates.
    `window` has k = n / (n + 1) with n = t - (horizon - length), but at least 0: the plain mean of
    the weights after the last `length` updates of the run; before these the weights themselves.

    Attributes:
        kind: window or ema.
        length: a part of the horizon, above 0 and below 1, or a number of updates of at least 1.

    Raises: InputError for another kind, or a length out of range.
    Source: of the window Polyak and Ruppert (tail averaging, arXiv 1610.03774), of the EMA
    torch.optim.swa_utils.

    >>> average = WeightAverage("window", 0.25)
    >>> average.kept([0, 5, 6, 7], horizon=8)
    array([0. , 0. , 0. , 0.5])
    >>> WeightAverage.parse("ema:2").kept([0, 1, 2, 3], horizon=8)
    array([0. , 0.5, 0.5, 0.5])
    """

    kind: str
    length: float

    def __post_init__(self) -> None:
        one_of("kind", self.kind, KINDS)
        length = real("length", self.length)
        if not (0 < length < 1 or length >= 1):
            raise InputError(
                f"length must be a part of the horizon below 1, or updates of at least 1, got "
                f"{length:g}"
            )
        object.__setattr__(self, "length", length)

    @classmethod
    def parse(cls, text: str | WeightAverage) -> WeightAverage:
        """Read `window:0.2`, `ema:500` and the like; an average is returned as it is.

        Raises: InputError for other text.

        >>> WeightAverage.parse("window:0.2")
        WeightAverage(kind='window', length=0.2)
        """
        if isinstance(text, cls):
            return text
        kind, _, length = str(text).partition(":")
        form = "window:0.2 (a part of the horizon) or ema:500 (updates)"
        if kind not in KINDS:
            raise InputError(f"average is {shown(text)}: give a kind and a length, such as {form}")
        try:
            number = number_in(length)
        except ValueError:
            problem = f"{shown(length)} is no number" if length else "it needs a length"
            raise InputError(f"average is {shown(text)}: {problem}; give {form}") from None
        return cls(kind, number)

    @property
    def spec(self) -> str:
        """The text that `parse` reads back.

        >>> WeightAverage("ema", 500).spec
        'ema:500'
        """
        length = repr(self.length).removesuffix(".0")
        return f"{self.kind}:{length}"

    def updates(self, horizon: int) -> float:
        """The length in updates, at least 1 and at most the horizon.

        >>> WeightAverage("window", 0.2).updates(1000)
        200.0
        """
        length = self.length if self.length >= 1 else round(self.length * horizon)
        return float(min(max(length, 1), max(horizon, 1)))

    def first(self, horizon: int) -> int:
        """The first update whose weights are averaged.

        >>> WeightAverage("window", 0.2).first(1000), WeightAverage("ema", 0.2).first(1000)
        (800, 0)
        """
        return int(horizon - self.updates(horizon)) if self.kind == "window" else 0

    def kept(self, step: ArrayLike, horizon: int) -> NDArray[np.float64]:
        """The part k of the average that update `step` (counted from 0) keeps.

        Arguments:
            step: numbers of updates, at least 0.
            horizon: updates of the run.

        Returns: float64 of the shape of `step`, from 0 to below 1.
        """
        before = np.maximum(np.asarray(step, dtype=np.float64) - self.first(horizon), 0.0)
        mean = before / (before + 1.0)
        if self.kind == "window":
            return mean
        return np.minimum(mean, 1.0 - 1.0 / self.updates(horizon))
