"""Trainings with Adam in NumPy over batch sizes: seconds to a minute for all runs of a batch size.

Data are drawn anew at every step, and every run has its own. Two kinds of task:

- `Regression`: a linear model of N features with eigenvalues k^-a and a target with powers
  k^-(a s + 1), as in the solvable model, under Adam. The features are rotated at random, so that
  Adam's coordinates are not the eigenvectors. The loss is exact: half of label noise and excess.
- `Network`: classes drawn from the softmax of a random network; the student has the same shape, its
  layers followed by a normalisation (every unit moves by LR over the norm of its weights), and is
  trained by AdamW. The loss is that of a fixed set of examples.

Used by `bench/batch_tasks.py`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

Array = np.ndarray

_BLOCK = 1 << 20  # numbers of data that are drawn at a time
_CHECKED = 1 << 13  # examples of the set on which a network's loss is measured
_WEIGHED = 0.9, 0.95  # Adam's betas


@dataclass(frozen=True)
class Task(ABC):
    """What is trained.

    Attributes:
        top: the highest peak LR at the smallest batch size; the others in ratio 2.
        rise: how many steps of that ratio the ladder climbs at each batch size.
        least: the updates of the largest batch size at the smallest budget.
        times: the budgets, over the smallest.
        decay: weight decay, times the LR.
    """

    top: float
    rise: tuple[int, ...] = (0, 1, 2, 2, 3)
    least: int = 512
    times: tuple[int, ...] = (1, 4, 16)
    decay: float = 0.0
    batches: tuple[int, ...] = field(default=(1, 3, 8, 24, 64))

    @property
    def budgets(self) -> list[int]:
        return [self.least * self.batches[-1] * more for more in self.times]

    def peaks(self, batch: int) -> list[float]:
        rise = self.rise[self.batches.index(batch)]
        return [self.top * 2.0 ** (rise - j) for j in range(4, -1, -1)]

    @property
    @abstractmethod
    def floor(self) -> float:
        """The loss that no training goes below."""

    @property
    @abstractmethod
    def inputs(self) -> int:
        """Numbers of an example."""

    @abstractmethod
    def start(self, runs: int, rng: np.random.Generator) -> list[Array]:
        """The weights of `runs` runs, each array (runs, ...)."""

    @abstractmethod
    def draw(self, shape: tuple[int, ...], rng: np.random.Generator) -> tuple[Array, Array]:
        """Inputs and what goes with them, of examples in that shape."""

    @abstractmethod
    def slopes(self, weights: list[Array], x: Array, y: Array) -> list[Array]:
        """Slopes of the mean loss of examples x (runs, B, inputs) by the weights."""

    @abstractmethod
    def loss(self, weights: list[Array]) -> Array:
        """The loss of every run, (runs,)."""


@dataclass(frozen=True)
class Regression(Task):
    """A linear model; the weights are the distance to the target's, in rotated coordinates."""

    capacity: float = 1.5
    source: float = 0.5
    noise: float = 0.1
    features: int = 160

    @property
    def floor(self) -> float:
        return 0.5 * self.noise

    @property
    def inputs(self) -> int:
        return self.features

    @cached_property
    def _rotation(self) -> Array:
        """Columns: the eigenvectors times the roots of their eigenvalues, rotated."""
        rng = np.random.default_rng(1)
        turn, _ = np.linalg.qr(rng.standard_normal((self.features, self.features)))
        return turn * self._root

    @property
    def _root(self) -> Array:
        return np.arange(1, self.features + 1.0) ** (-self.capacity / 2)

    @cached_property
    def _factor(self) -> Array:
        return self._rotation.T.astype(np.float32).copy()

    def start(self, runs, rng):
        k = np.arange(1, self.features + 1.0)
        target = k ** (-(self.capacity * self.source + 1) / 2) / self._root
        turn = self._rotation / self._root
        one = -(turn @ (target * np.random.default_rng(2).choice([-1.0, 1.0], self.features)))
        return [np.tile(one.astype(np.float32), (runs, 1))]

    def draw(self, shape, rng):
        z = rng.standard_normal((*shape, self.features), dtype=np.float32)
        x = z.reshape(-1, self.features) @ self._factor
        noise = np.sqrt(self.noise) * rng.standard_normal(shape, dtype=np.float32)
        return x.reshape(z.shape), noise.astype(np.float32)

    def slopes(self, weights, x, y):
        error = np.matmul(x, weights[0][:, :, None])[..., 0] - y
        return [np.matmul(error[:, None, :], x)[:, 0] / x.shape[1]]

    def loss(self, weights):
        along = weights[0].astype(float) @ self._rotation
        return 0.5 * self.noise + 0.5 * np.sum(along**2, axis=1)


@dataclass(frozen=True)
class Network(Task):
    """A classifier of one hidden layer, every unit's weights divided by their norm."""

    width: int = 20
    hidden: int = 24
    classes: int = 5
    spread: float = 1.0  # the inputs' variances fall like k^-spread
    gain: float = 3.0
    teacher: int = 10

    @property
    def inputs(self) -> int:
        return self.width

    @cached_property
    def _scale(self) -> Array:
        scale = np.arange(1, self.width + 1.0) ** (-self.spread / 2)
        return (scale * np.sqrt(self.width / np.sum(scale**2))).astype(np.float32)

    @cached_property
    def _truth(self) -> tuple[Array, Array]:
        rng = np.random.default_rng(1)
        first = rng.standard_normal((self.width, self.teacher)) / np.sqrt(self.width) * 1.5
        second = rng.standard_normal((self.teacher, self.classes)) * self.gain
        return first.astype(np.float32), (second / np.sqrt(self.teacher)).astype(np.float32)

    @cached_property
    def _checked(self) -> tuple[Array, Array]:
        """Inputs, and the probabilities of their classes: a loss without the luck of labels."""
        x = np.random.default_rng(3).standard_normal((_CHECKED, self.width), dtype=np.float32)
        x = x * self._scale
        return x, _softmax(self._teach(x))

    @property
    def floor(self) -> float:
        _, p = self._checked
        return float(-np.mean(np.sum(p * np.log(p), axis=1)))

    def _teach(self, x: Array) -> Array:
        first, second = self._truth
        return np.tanh(x @ first) @ second

    def start(self, runs, rng):
        shapes = (self.width, self.hidden), (self.hidden, self.classes)
        return [
            (rng.standard_normal((runs, *shape)) / np.sqrt(shape[0])).astype(np.float32)
            for shape in shapes
        ]

    def draw(self, shape, rng):
        x = rng.standard_normal((*shape, self.width), dtype=np.float32) * self._scale
        # The largest of logits with Gumbel noise is a draw from their softmax.
        chance = self._teach(x.reshape(-1, self.width))
        gumbel = -np.log(rng.standard_exponential(chance.shape, dtype=np.float32))
        return x, np.argmax(chance + gumbel, axis=1).astype(np.int32).reshape(shape)

    def _forward(self, weights, x):
        unit = [w / np.sqrt(np.einsum("rio,rio->ro", w, w))[:, None, :] for w in weights]
        hidden = np.tanh(1.5 * np.matmul(x, unit[0]))
        return unit, hidden, np.matmul(hidden, self.gain * unit[1])

    def slopes(self, weights, x, y):
        unit, hidden, out = self._forward(weights, x)
        error = _softmax(out)
        np.put_along_axis(error, y[..., None], np.take_along_axis(error, y[..., None], 2) - 1, 2)
        error *= self.gain / x.shape[1]
        back = np.matmul(error, unit[1].swapaxes(1, 2)) * (1 - hidden**2) * 1.5
        return [
            _through_norm(weights[0], unit[0], np.matmul(x.swapaxes(1, 2), back)),
            _through_norm(weights[1], unit[1], np.matmul(hidden.swapaxes(1, 2), error)),
        ]

    def loss(self, weights):
        x, p = self._checked
        losses = []
        for i in range(len(weights[0])):
            out = self._forward([w[i : i + 1] for w in weights], x[None])[2][0].astype(float)
            out -= out.max(axis=1, keepdims=True)
            losses.append(np.mean(np.log(np.exp(out).sum(axis=1)) - np.sum(p * out, axis=1)))
        return np.array(losses)


def _softmax(logits: Array) -> Array:
    p = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return p / p.sum(axis=-1, keepdims=True)


def _through_norm(weights: Array, unit: Array, slope: Array) -> Array:
    """The slope by weights from that by their units' directions."""
    norm = np.sqrt(np.einsum("rio,rio->ro", weights, weights))[:, None, :]
    return (slope - unit * np.einsum("rio,rio->ro", unit, slope)[:, None, :]) / norm


_LESS, _MORE = (1, 2, 8), (1, 4, 16)
TASKS: dict[str, Task] = {
    "adam0": Network(top=0.0064, rise=(0, 2, 3, 3, 4), spread=1.0, decay=0.1, times=_LESS),
    "adam1": Regression(top=0.1, capacity=2.2, source=0.15, noise=2.0, times=_MORE),
    "adam2": Network(top=0.0128, spread=0.3, decay=0.03, teacher=6, times=_LESS),
    "adam3": Regression(top=0.05, capacity=1.8, source=0.25, noise=1.0, times=_LESS),
}


def train(
    task: Task, batch: int, rates: Sequence[Array], steps: Sequence[Array], seed: int
) -> list[Array]:
    """The losses of runs of one batch size at their steps, NaN after they overflow.

    Arguments:
        task: what is trained.
        batch: examples an update.
        rates: of each run its LR at every update.
        steps: of each run the numbers of updates done at which the loss is measured.
        seed: of the data and the starts.
    """
    rng = np.random.default_rng(seed)
    # Longest first: the runs that still go on are the first of every array.
    order = np.argsort([-len(rate) for rate in rates], kind="stable")
    lengths = np.array([len(rates[i]) for i in order])
    table = np.zeros((lengths[0], len(order)), dtype=np.float32)
    wanted: dict[int, list[int]] = {}
    for column, i in enumerate(order):
        table[: lengths[column], column] = rates[i]
        for step in steps[i]:
            wanted.setdefault(int(step), []).append(column)
    weights = task.start(len(order), rng)
    memory = [(np.zeros_like(w), np.zeros_like(w)) for w in weights]
    losses: list[list[float]] = [[] for _ in order]
    done = 0
    with np.errstate(all="ignore"):
        while done < lengths[0]:
            going = int(np.sum(lengths > done))
            block = max(1, _BLOCK // (going * batch * task.inputs))
            block = min(block, int(lengths[going - 1]) - done)
            x, y = task.draw((block, going, batch), rng)
            now = [w[:going] for w in weights]
            kept = [(m[:going], v[:going]) for m, v in memory]
            for t in range(block):
                done += 1
                slopes = task.slopes(now, x[t], y[t])
                _update(now, kept, slopes, table[done - 1, :going], done, task.decay)
                if done in wanted:
                    columns = wanted[done]
                    for column, value in zip(
                        columns, task.loss([w[columns] for w in weights]), strict=True
                    ):
                        losses[column].append(float(value))
    result: list[Array] = [np.empty(0)] * len(order)
    for column, i in enumerate(order):
        result[i] = np.array(losses[column])
    return result


def _update(
    weights: list[Array],
    memory: list[tuple[Array, Array]],
    slopes: list[Array],
    rates: Array,
    done: int,
    decay: float,
) -> None:
    """One step of AdamW of every run, in place."""
    first_beta, second_beta = _WEIGHED
    unbiased = np.float32(1 / (1 - first_beta**done)) * rates
    for weight, (first, second), slope in zip(weights, memory, slopes, strict=True):
        more = (len(rates),) + (1,) * (weight.ndim - 1)
        first *= np.float32(first_beta)
        first += np.float32(1 - first_beta) * slope
        second *= np.float32(second_beta)
        slope *= slope
        slope *= np.float32(1 - second_beta)
        second += slope
        root = np.sqrt(second)
        root *= np.float32(1 / np.sqrt(1 - second_beta**done))
        root += np.float32(1e-8)
        np.divide(first, root, out=root)
        root *= unbiased.reshape(more)
        if decay:
            weight *= 1 - np.float32(decay) * rates.reshape(more)
        weight -= root
