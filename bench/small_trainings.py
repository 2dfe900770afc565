"""Small networks trained with NumPy: losses that follow no power law exactly, in seconds.

Data are drawn anew at every step: inputs x ~ N(0, diag(k^-decay)), outputs of a random network of
one hidden layer, as classes drawn from its softmax or as values with noise. A student of one layer
(softmax regression) or two is trained by SGD, SGD with momentum or Adam. All runs of a task are
trained side by side, each with its own start and its own data; they share the validation set.

Used by `bench/interval_tasks.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

VALIDATION = 2048


@dataclass(frozen=True)
class Setting:
    """A task.

    Attributes:
        inputs, hidden, outputs: widths; hidden 0 is a network of one layer.
        decay: exponent of the inputs' variances.
        classes: whether the outputs are classes (cross-entropy) or values (squared error).
        optimiser: "sgd", "momentum" (0.9) or "adam" (0.9, 0.99).
        batch_size: examples of a step.
        noise: standard deviation added to values; for classes the softmax makes it.
        top_rate: the highest LR of the pilots, below half the LR at which a run diverges.
    """

    inputs: int
    hidden: int
    outputs: int
    decay: float
    classes: bool
    optimiser: str
    batch_size: int
    noise: float
    top_rate: float


KINDS = (
    # hidden, classes, optimiser, highest LR
    (0, True, "sgd", 1.0),
    (48, True, "momentum", 0.1),
    (48, True, "adam", 0.02),
    (32, False, "sgd", 0.1),
)


def setting(index: int, rng: np.random.Generator) -> Setting:
    """The setting of a task: the kind by its index, two in turn, the rest at random."""
    hidden, classes, optimiser, top = KINDS[index // 2 % len(KINDS)]
    return Setting(
        inputs=int(rng.integers(24, 49)),
        hidden=hidden,
        outputs=int(rng.integers(5, 11)) if classes else 4,
        decay=round(rng.uniform(0.3, 1.2), 2),
        classes=classes,
        optimiser=optimiser,
        batch_size=int(rng.choice([8, 16, 32])),
        noise=round(rng.uniform(0.3, 0.6), 2),
        top_rate=round(top * rng.uniform(0.5, 1.0), 4),
    )


def train(
    task: Setting, rates: Sequence[np.ndarray], steps: Sequence[np.ndarray], seed: int
) -> list[np.ndarray]:
    """The validation losses of runs.

    Arguments:
        task: what is trained.
        rates: of each run its LR at every update.
        steps: of each run the numbers of updates done at which the loss is measured.
        seed: of all random numbers.

    Returns: the losses of each run at its steps.
    """
    rng = np.random.default_rng(seed)
    teacher = Teacher(task, rng)
    inputs, targets = teacher.draw(rng, 1, VALIDATION)
    # Longest first: the runs that still go on are the first of every array.
    order = np.argsort([-len(rate) for rate in rates], kind="stable")
    lengths = np.array([len(rates[i]) for i in order])
    table = np.zeros((lengths[0], len(order)), dtype=np.float32)
    for column, i in enumerate(order):
        table[: lengths[column], column] = rates[i]
    wanted = [{int(step) for step in steps[i]} for i in order]
    weights = start(task, rng, len(order))
    memory = [np.zeros_like(w) for w in (*weights, *weights)]
    losses: list[list[float]] = [[] for _ in order]
    for done in range(1, lengths[0] + 1):
        going = int(np.sum(lengths >= done))
        now = [w[:going] for w in weights]
        x, y = teacher.draw(rng, going, task.batch_size)
        _, slopes = loss_and_slopes(task, now, x, y)
        update(task.optimiser, now, [m[:going] for m in memory], slopes, table[done - 1], done)
        for i in range(going):
            if done in wanted[i]:
                one = [w[i : i + 1] for w in weights]
                losses[i].append(float(loss_of(task, one, inputs, targets)[0]))
    result: list[np.ndarray] = [np.empty(0)] * len(order)
    for column, i in enumerate(order):
        result[i] = np.array(losses[column])
    return result


class Teacher:
    """The source of the data."""

    def __init__(self, task: Setting, rng: np.random.Generator) -> None:
        width = 24
        self.task = task
        self.scale = (np.arange(1, task.inputs + 1) ** (-task.decay / 2)).astype(np.float32)
        self.first = rng.standard_normal((task.inputs, width), dtype=np.float32)
        self.first /= np.linalg.norm(self.scale) / 1.5
        self.second = rng.standard_normal((width, task.outputs), dtype=np.float32)
        self.second *= (2.0 if task.classes else 1.0) / np.sqrt(width)

    def draw(self, rng: np.random.Generator, runs: int, count: int):
        """Inputs (runs, count, inputs) and targets (runs, count, outputs); a class is a one."""
        x = rng.standard_normal((runs, count, self.task.inputs), dtype=np.float32) * self.scale
        y = np.tanh(x @ self.first) @ self.second
        if not self.task.classes:
            return x, y + self.task.noise * rng.standard_normal(y.shape, dtype=np.float32)
        # The largest of logits with Gumbel noise is a draw from their softmax.
        noisy = y - np.log(rng.exponential(size=y.shape))
        return x, np.eye(y.shape[-1], dtype=np.float32)[noisy.argmax(-1)]


def start(task: Setting, rng: np.random.Generator, runs: int) -> list[np.ndarray]:
    """Weights (runs, in + 1, out) of every layer, the last row for the constant input 1."""
    widths = [task.inputs, *([task.hidden] if task.hidden else []), task.outputs]
    scales = [1.0 / np.sqrt(task.inputs), *([0.3 / np.sqrt(task.hidden)] if task.hidden else [])]
    layers = []
    for below, above, scale in zip(widths[:-1], widths[1:], scales, strict=True):
        layer = scale * rng.standard_normal((runs, below + 1, above))
        layer[:, -1] = 0
        layers.append(layer.astype(np.float32))
    return layers


def forward(layers: list[np.ndarray], x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The values of the hidden layer (the inputs without one) and of the outputs."""
    if len(layers) == 2:
        x = np.tanh(x @ layers[0][:, :-1] + layers[0][:, -1:])
    return x, x @ layers[-1][:, :-1] + layers[-1][:, -1:]


def losses_and_errors(task: Setting, out: np.ndarray, y: np.ndarray):
    """Mean loss of each run, and its slope by the outputs times the number of examples."""
    if not task.classes:
        error = out - y
        return 0.5 * np.mean(np.sum(error**2, -1), -1), error
    out = out - out.max(-1, keepdims=True)
    log_sum = np.log(np.exp(out).sum(-1, keepdims=True))
    return np.mean(np.sum(y * (log_sum - out), -1), -1), np.exp(out - log_sum) - y


def loss_of(task: Setting, layers: list[np.ndarray], x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Mean loss of each run."""
    return losses_and_errors(task, forward(layers, x)[1], y)[0]


def loss_and_slopes(task: Setting, layers: list[np.ndarray], x: np.ndarray, y: np.ndarray):
    """Mean loss of each run, and its slopes by the weights of every layer."""
    hidden, out = forward(layers, x)
    loss, error = losses_and_errors(task, out, y)
    error /= x.shape[1]
    slopes = [by_weights(hidden, error)]
    if len(layers) == 2:
        back = error @ layers[1][:, :-1].swapaxes(1, 2) * (1 - hidden**2)
        slopes.insert(0, by_weights(x, back))
    return loss, slopes


def by_weights(below: np.ndarray, error: np.ndarray) -> np.ndarray:
    """The slope by a layer's weights and its constants."""
    return np.concatenate([below.swapaxes(1, 2) @ error, error.sum(1, keepdims=True)], 1)


def update(
    optimiser: str,
    layers: list[np.ndarray],
    memory: list[np.ndarray],
    slopes: list[np.ndarray],
    rates: np.ndarray,
    done: int,
) -> None:
    """One step of every run, in place; `memory` holds two arrays a layer."""
    rate = rates[: len(layers[0]), None, None]
    for i, (layer, slope) in enumerate(zip(layers, slopes, strict=True)):
        first, second = memory[i], memory[i + len(layers)]
        if optimiser == "sgd":
            layer -= rate * slope
            continue
        first *= 0.9
        if optimiser == "momentum":
            first += slope
            layer -= rate * first
            continue
        first += 0.1 * slope
        second += 0.01 * (slope**2 - second)
        root = np.sqrt(second / (1 - 0.99**done)) + 1e-8
        layer -= rate / (1 - 0.9**done) * first / root
