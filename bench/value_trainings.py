"""Seven small trainings of different kinds on one CPU core, under any learning-rate schedule.

    python bench/value_trainings.py KIND --schedule SPEC --seed S --out FOLDER --name N
        [--optimizer own|schedule-free|prodigy] [--eval-every STEPS]

writes `FOLDER/N.csv` (step, lr, loss, train_loss) and a row of `FOLDER/runs.csv`, which
`etastar.runs.read_runs` reads. The same command goes on after a kill or Ctrl-C, and does nothing
once the run is finished. `KINDS` lists the trainings and says how each was set. All see each
example once. The loss is that of fixed validation examples, in nats a byte, an image or a row, or
for the denoiser the mean squared error.

`gpt_code` is `python -m etastar.train.gpt` and `images` is `python -m etastar.train.images`, under
the settings below; log, checkpoint and loop of all are those of `etastar.train.loop`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import value_models as models
from torch import Tensor, nn
from torch.nn import functional

from etastar._errors import InputError
from etastar.schedule import Schedule
from etastar.train import gpt, images
from etastar.train.corpus import load_corpus
from etastar.train.drawing import draw
from etastar.train.loop import State, Training, evaluation_interval, run_training
from etastar.train.terminal import Parser, number, run_command, run_name

Batch = tuple[Tensor, ...]
OPTIMIZERS = ("own", "schedule-free", "prodigy")
CHECKPOINT_EVERY = 2000
TRAINING, VALIDATION = 0, 1
"""Second number of a stream's key; the first is the seed, 0 for validation."""


@dataclass(frozen=True)
class Task:
    """What is trained.

    Attributes:
        model: at its start.
        batch: the examples of an update; the same for a step whatever came before.
        loss: mean loss of a batch.
        evaluate: the validation loss.
    """

    model: nn.Module
    batch: Callable[[int], Batch]
    loss: Callable[[nn.Module, Batch], Tensor]
    evaluate: Callable[[nn.Module], float]


@dataclass(frozen=True)
class Kind:
    """A training and its settings, all chosen before a plan at full length was made.

    Attributes:
        begin: makes the task for a seed and a schedule.
        batch: examples of an update.
        horizon: updates of the long run, about 50 s of one core.
        warmup: updates of linear warmup of every run, also of the pilots.
        peaks: lowest and highest peak LR of the pilots, and of the grid that is the reference.
        sgd: whether the optimiser is SGD with momentum 0.9, else AdamW.
        betas: of AdamW.
        weight_decay: of the matrices.
        clip: largest norm of the gradient.
        prodigy: options of Prodigy that its documentation recommends for such a training.
    """

    begin: Callable[..., Task]
    batch: int
    horizon: int
    warmup: int
    peaks: tuple[float, float]
    sgd: bool = False
    betas: tuple[float, float] = (0.9, 0.99)
    weight_decay: float = 0.0
    clip: float = 1.0
    prodigy: tuple[tuple[str, Any], ...] = ()


# ---------------------------------------------------------------------------------------- kinds


def gpt_settings(kind: Kind, seed: int, schedule: Schedule) -> gpt.Settings:
    return gpt.Settings(
        schedule, seed, layers=1, batch=kind.batch, beta2=kind.betas[1],
        weight_decay=kind.weight_decay, clip=kind.clip, validation_bytes=2 * 57344,
    )  # fmt: skip


def begin_gpt(corpus: Callable[[], Any]) -> Callable[..., Task]:
    def begin(kind: Kind, seed: int, schedule: Schedule) -> Task:
        settings, text = gpt_settings(kind, seed, schedule), corpus()
        batches = gpt.Batches(text.train, settings)
        windows = gpt.validation_windows(text.validation, settings)
        torch.manual_seed(seed)
        model = gpt.GPT(settings.layers, settings.width, settings.heads, settings.context)
        return Task(
            model,
            batches,
            lambda model, batch: gpt.cross_entropy(model, batch[0], batch[1], settings),
            lambda model: gpt.evaluate(model, windows, settings),  # type: ignore[arg-type]
        )

    return begin


def begin_gru(kind: Kind, seed: int, schedule: Schedule) -> Task:
    task = begin_gpt(load_corpus)(kind, seed, schedule)
    torch.manual_seed(seed)
    return replace(task, model=models.Recurrent(embedding=32, width=96))


def image_settings(kind: Kind, seed: int, schedule: Schedule) -> images.ImageSettings:
    return images.ImageSettings(
        schedule, seed, batch=kind.batch, momentum=0.9, beta2=kind.betas[1],
        weight_decay=kind.weight_decay, clip=kind.clip,
    )  # fmt: skip


def begin_images(kind: Kind, seed: int, schedule: Schedule) -> Task:
    settings = image_settings(kind, seed, schedule)
    training, validation = images.sources(settings)
    pictures, classes = validation(0, settings.validation_images)
    held, chances = images.to_device(pictures, settings), images.targets(classes, 0.0)
    torch.manual_seed(seed)
    model = images.ResidualNetwork(settings.width, settings.stages, settings.size)
    model.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    return Task(
        model,
        images.ImageBatches(training, settings),
        lambda model, batch: functional.cross_entropy(model(batch[0]), batch[1]),
        lambda model: images.evaluate(model, held, chances),
    )


def begin_mixer(kind: Kind, seed: int, schedule: Schedule) -> Task:
    task = begin_images(kind, seed, schedule)
    torch.manual_seed(seed)
    return replace(task, model=models.Mixer(16, 4, 48, 2, images.CLASSES))


class Blocks:
    """`batches(step)` cuts the batch of an update out of a block of examples drawn together."""

    def __init__(self, draw_block: Callable[[int, int], Batch], batch: int, updates: int) -> None:
        self.draw_block, self.batch, self.updates = draw_block, batch, updates
        self.number, self.block = -1, ()

    def __call__(self, step: int) -> Batch:
        number, place = divmod(step, self.updates)
        if number != self.number:
            self.number, self.block = number, self.draw_block(number, self.updates * self.batch)
        chosen = slice(place * self.batch, (place + 1) * self.batch)
        return tuple(each[chosen] for each in self.block)


@torch.no_grad()
def mean_loss(
    model: nn.Module, loss: Callable[[nn.Module, Batch], Tensor], held: Batch, piece: int = 256
) -> float:
    """Mean loss over validation examples; their number is a multiple of `piece`."""
    pieces = zip(*(each.split(piece) for each in held), strict=True)
    losses = [float(loss(model, batch)) for batch in pieces]
    return sum(losses) / len(losses)


def begin_table(kind: Kind, seed: int, schedule: Schedule) -> Task:
    table = models.Table()

    def draw_block(number: int, count: int) -> Batch:
        rng = np.random.default_rng([seed, TRAINING, number])
        numbers, categories, chances = table.draw(rng, count)
        # The largest of log chances with Gumbel noise is a draw from them.
        noise = torch.from_numpy(rng.gumbel(size=tuple(chances.shape)))
        return numbers, categories, (chances.log() + noise).argmax(dim=1)

    def loss(model: nn.Module, batch: Batch) -> Tensor:
        return functional.cross_entropy(model(batch[0], batch[1]), batch[2])

    held = table.draw(np.random.default_rng([0, VALIDATION]), 2**15)
    torch.manual_seed(seed)
    return Task(
        models.TableNetwork(width=64, embedding=8),
        Blocks(draw_block, kind.batch, 64),
        loss,
        lambda model: mean_loss(model, loss, held, 1024),
    )


def begin_denoiser(kind: Kind, seed: int, schedule: Schedule) -> Task:
    def noised(key: tuple[int, int], number: int, count: int) -> Batch:
        pictures, _ = draw(key, number * count, count, 16)
        mixed = np.random.SeedSequence([*key, number]).generate_state(1, np.uint32)
        generator = torch.Generator().manual_seed(int(mixed[0]))
        return models.noised(torch.from_numpy(pictures), generator)

    def loss(model: nn.Module, batch: Batch) -> Tensor:
        return functional.mse_loss(model(batch[0], batch[1]), batch[2])

    held = noised((0, VALIDATION), 0, 4096)
    torch.manual_seed(seed)
    return Task(
        models.Denoiser(width=24, blocks=2),
        Blocks(lambda number, count: noised((seed, TRAINING), number, count), kind.batch, 8),
        loss,
        lambda model: mean_loss(model, loss, held, 128),
    )


# Horizons: about 50 s of one core. Warmups: 100 updates, so that the shortest pilot, a 32nd of the
# horizon, has four times as many. Peaks: after a thousand updates AdamW at 4e-3 was best of 1e-3,
# 4e-3 and 1.6e-2 in the four touched trainings that use it, and all of these LRs were stable: that
# range serves the untouched ones too. For images it is that of `bench/run_queue.py images`.
# Sizes: small networks with batches of a few hundred bytes, or some ten images, have the steep fall
# of their losses behind them within the first thousand updates; an update takes milliseconds.
ADAM_PEAKS = 1e-3, 1.6e-2

KINDS: dict[str, Kind] = {
    "gpt_code": Kind(
        begin_gpt(load_corpus), 8, 16000, 100, ADAM_PEAKS, betas=(0.9, 0.95), weight_decay=0.1
    ),
    "images": Kind(begin_images, 16, 20000, 100, (1.25e-2, 2e-1), sgd=True, clip=5.0),
    "mixer": Kind(begin_mixer, 32, 14000, 100, ADAM_PEAKS, weight_decay=0.1),
    "table": Kind(begin_table, 64, 64000, 100, ADAM_PEAKS),
    "gpt_english": Kind(
        begin_gpt(models.english), 8, 15000, 100, ADAM_PEAKS, betas=(0.9, 0.95), weight_decay=0.1
    ),
    "gru": Kind(begin_gru, 8, 9000, 100, ADAM_PEAKS),
    "denoiser": Kind(
        begin_denoiser, 8, 16000, 100, ADAM_PEAKS, weight_decay=0.01,
        prodigy=(("safeguard_warmup", True), ("use_bias_correction", True)),
    ),
}  # fmt: skip


# ------------------------------------------------------------------------------------ optimisers


def make_optimizer(name: str, model: nn.Module, kind: Kind) -> torch.optim.Optimizer:
    """The kind's own optimiser, or a published one that needs no schedule, by its defaults.

    Weight decay belongs to the training: it is the same for all, and decays matrices only.
    """
    parameters = list(model.parameters())
    groups = [
        {
            "params": [p for p in parameters if p.dim() >= 2],
            "weight_decay": kind.weight_decay,
        },
        {"params": [p for p in parameters if p.dim() < 2], "weight_decay": 0.0},
    ]
    if name == "own" and kind.sgd:
        return torch.optim.SGD(groups, lr=0.0, momentum=0.9, fused=True)
    if name == "own":
        return torch.optim.AdamW(groups, lr=0.0, betas=kind.betas, fused=True)
    try:
        if name == "prodigy":
            from prodigyopt import Prodigy  # pyright: ignore[reportMissingImports]

            return Prodigy(groups, **dict(kind.prodigy))
        import schedulefree  # pyright: ignore[reportMissingImports]
    except ModuleNotFoundError as error:
        needed = "pip install schedulefree prodigyopt"
        raise InputError(f"--optimizer {name}: {error.name} is missing: {needed}") from None
    chosen = schedulefree.SGDScheduleFree if kind.sgd else schedulefree.AdamWScheduleFree
    return chosen(groups, warmup_steps=kind.warmup)


RENEWING_BATCHES = 50
"""Batches from which normalisations learn their means anew, as schedule-free's page advises."""


def evaluate(task: Task, optimizer: torch.optim.Optimizer) -> float:
    """The validation loss; of a schedule-free optimiser that of its averaged weights."""
    if not hasattr(optimizer, "eval"):
        return task.evaluate(task.model)
    optimizer.eval()  # pyright: ignore[reportAttributeAccessIssue]
    if any(isinstance(module, nn.BatchNorm2d) for module in task.model.modules()):
        with torch.no_grad():
            for step in range(RENEWING_BATCHES):
                task.model(task.batch(step)[0])
    loss = task.evaluate(task.model)
    optimizer.train()  # pyright: ignore[reportAttributeAccessIssue]
    return loss


def update(task: Task, state: State, clip: float, lr: float) -> float:
    """One update at learning rate `lr`; returns the loss of the batch before it."""
    loss = task.loss(state.model, task.batch(state.step))
    state.optimizer.zero_grad(set_to_none=True)
    loss.backward()
    nn.utils.clip_grad_norm_(state.model.parameters(), clip)
    for group in state.optimizer.param_groups:
        group["lr"] = lr
    state.optimizer.step()
    return float(loss.detach())


# -------------------------------------------------------------------------------------- command


def describe_run(name: str, chosen: Chosen) -> dict[str, str]:
    """What the run computes, as a row of `runs.csv`; equal rows stand for the same run."""
    kind, schedule = KINDS[chosen.kind], chosen.schedule
    own = chosen.optimizer == "own"
    betas = {"beta1": kind.betas[0], "beta2": kind.betas[1]}
    values = {
        "run": name,
        "schedule": schedule.spec,
        "horizon": schedule.horizon,
        "batch_size": kind.batch,
        "seed": chosen.seed,
        "kind": chosen.kind,
        "optimizer": ("sgd" if kind.sgd else "adamw") if own else chosen.optimizer,
        **({} if not own else {"momentum": 0.9} if kind.sgd else betas),
        "weight_decay": kind.weight_decay,
        "clip": kind.clip,
        "eval_every": evaluation_interval(schedule, chosen.eval_every),
    }
    return {key: str(value) for key, value in values.items()}


@dataclass(frozen=True)
class Chosen:
    """What the command asks for.

    Attributes:
        schedule: learning rate of update t; its horizon is the number of updates.
        kind: of `KINDS`.
        seed: of weights and data.
        optimizer: of `OPTIMIZERS`.
        eval_every: updates between two rows of the log; 0 for a fortieth of the horizon.
    """

    schedule: Schedule
    kind: str
    seed: int = 0
    optimizer: str = "own"
    eval_every: int = 0


def run(chosen: Chosen, out: Path, name: str) -> str:
    """Train one run into the folder `out`: `etastar.train.loop.run_training`.

    Raises `InputError` also when data or an optimiser is not installed.
    """
    torch.set_num_threads(1)
    kind = KINDS[chosen.kind]

    def begin() -> Training:
        task = kind.begin(kind, chosen.seed, chosen.schedule)
        optimizer = make_optimizer(chosen.optimizer, task.model, kind)
        return Training(
            task.model,
            optimizer,
            chosen.schedule,
            evaluate=lambda: evaluate(task, optimizer),
            update=lambda state, lr: update(task, state, kind.clip, lr),
            eval_every=chosen.eval_every,
            checkpoint_every=CHECKPOINT_EVERY,
            note=f"{chosen.kind}, {chosen.optimizer} optimiser",
        )

    return run_training(out, describe_run(name, chosen), begin)


def make_parser() -> Parser:
    parser = Parser(
        prog="bench/value_trainings.py", description="Train a small model under a given schedule."
    )
    add = parser.add_argument
    add("kind", choices=list(KINDS))
    add("--schedule", required=True, help="a spec, or a schedule's .json file")
    add("--out", required=True, type=Path, help="folder of the logs")
    add("--name", required=True, type=run_name, help="name of the run in that folder")
    add("--seed", type=number(int, 0, 2**32), default=0, help="of weights and data")
    add("--optimizer", choices=OPTIMIZERS, default="own")
    add("--eval-every", type=number(int, 0), default=0, help="steps; 0: a fortieth of the run")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code: 0 done, 2 bad input, 130 interrupted."""
    given = {**vars(make_parser().parse_args(arguments)), "device": "cpu"}

    def start(schedule: Schedule, out: Path, name: str) -> str:
        given.pop("device")
        return run(Chosen(schedule, **given), out, name)

    return run_command(given, start, "value_trainings")


if __name__ == "__main__":
    sys.exit(main())
