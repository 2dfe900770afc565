"""Train a small residual network on an endless stream of images, under any learning-rate schedule.

    python -m etastar.train.images --schedule linear:peak=0.05,horizon=2000,warmup=100 \
        --out pilots --name linear_0.05

writes `pilots/linear_0.05.csv` (step, lr, loss, train_loss) and a row of `pilots/runs.csv`, which
`etastar.runs.read_runs` reads. The same command goes on from the last checkpoint after a kill or
Ctrl-C, and does nothing once the run is finished.

The images are drawn (`etastar.train.drawing`), a new one for every example: a training in one pass
over data without an end, on one CPU core at some 150 updates a second. `--data FOLDER` reads the
published images of CIFAR-5M instead (`etastar.train.cifar5m`). The loss is the mean cross entropy
in nats an image: `loss` over fixed validation images after `step` updates, `train_loss` over the
batches since the row before. The file reads from top to bottom: settings, model, data, update,
command; log, checkpoint and loop are in `etastar.train.loop`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

try:
    import torch
    from torch import Tensor, nn
    from torch.nn import functional
except ModuleNotFoundError:
    if __name__ == "__main__":
        print("etastar.train.images: needs PyTorch: pip install 'etastar[torch]'", file=sys.stderr)
        sys.exit(2)
    raise

from etastar._errors import InputError
from etastar.integrations.torch import RampedBatchSampler, schedule_of
from etastar.schedule import Schedule
from etastar.train.cifar5m import Cifar5m
from etastar.train.drawing import draw
from etastar.train.loop import State, Training, evaluation_interval, run_training
from etastar.train.terminal import Parser, number, run_command, run_name

CLASSES = 10
DRAWN_AT_A_TIME = 128  # images; this many stay in the cache of one CPU core
CONTROLS = ("batch_schedule", "momentum_schedule", "velocity_schedule")

# ------------------------------------------------------------------------------------- settings


@dataclass(frozen=True)
class ImageSettings:
    """Everything that decides what a run computes, and where.

    Attributes:
        schedule: learning rate of update t; its horizon is the number of updates.
        seed: of the first weights and of the images.
        width: channels of the first stage; each further stage has twice those of the one before.
        stages: of the network, each with one residual block; all but the first halve the image.
        size: pixels of an image's side, a multiple of 2 to the power of `stages`.
        batch: images in an update.
        batch_schedule: images in update t, rounded, instead of `batch`.
        label_noise: share of the training images whose class is replaced by another at random.
        optimizer: sgd (with `momentum`) or adamw (with `beta1`, `beta2`).
        momentum_schedule: momentum of update t, instead of `momentum`; of sgd.
        velocity_schedule: learning rate of the velocity in update t, where that of `schedule` is
            the gradient's own: v' = mu v + g, w' = w - eta_g g - eta_v v'; of sgd, without decay.
        weight_decay: in each update weights shrink by the learning rate times this.
        clip: largest norm of the gradient; 0 for no limit.
        data: folder of CIFAR-5M, or empty for drawn images.
        eval_every: updates between two rows of the log; 0 for a fortieth of the horizon.
        validation_images: images that each evaluation reads.
        checkpoint_every: updates between two checkpoints.
        device: of PyTorch, cpu or cuda.
        threads: of the CPU.
    """

    schedule: Schedule
    seed: int = 0
    width: int = 16
    stages: int = 2
    size: int = 16
    batch: int = 16
    batch_schedule: Schedule | None = None
    label_noise: float = 0.0
    optimizer: str = "sgd"
    momentum: float = 0.9
    momentum_schedule: Schedule | None = None
    velocity_schedule: Schedule | None = None
    beta1: float = 0.9
    beta2: float = 0.99
    weight_decay: float = 0.0
    clip: float = 5.0
    data: str = ""
    eval_every: int = 0
    validation_images: int = 4096
    checkpoint_every: int = 2000
    device: str = "cpu"
    threads: int = 1

    def __post_init__(self) -> None:
        if self.size % 2**self.stages:
            raise InputError(
                f"--size {self.size}: must be a multiple of {2**self.stages} for --stages "
                f"{self.stages}; choose another size or fewer stages"
            )
        for option, control in self.controls.items():
            if control.horizon != self.schedule.horizon:
                raise InputError(
                    f"--{option.replace('_', '-')}: has {control.horizon} updates and --schedule "
                    f"{self.schedule.horizon}; give both the same horizon"
                )
        if self.momentum_schedule and self.momentum_schedule.peak >= 1:
            raise InputError("--momentum-schedule: the momentum must stay below 1")
        of_sgd = self.momentum_schedule or self.velocity_schedule
        if of_sgd and self.optimizer != "sgd":
            raise InputError("--momentum-schedule, --velocity-schedule: only for --optimizer sgd")
        if self.velocity_schedule and self.weight_decay:
            raise InputError("--velocity-schedule: only without --weight-decay")

    @property
    def controls(self) -> dict[str, Schedule]:
        """The schedules besides the learning rate that are given, by their option."""
        found = {name: getattr(self, name) for name in CONTROLS}
        return {name: control for name, control in found.items() if control is not None}


# ---------------------------------------------------------------------------------------- model


class ResidualBlock(nn.Module):
    """relu(shortcut(x) + branch(x)); x is (batch, channels, height, width).

    The branch is convolution, normalisation, relu, convolution, normalisation; the shortcut leaves
    x as it is, or changes its shape by a convolution of single pixels.
    """

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.first = convolution(inputs, outputs, 3, stride)
        self.second = convolution(outputs, outputs, 3, 1)
        same = inputs == outputs and stride == 1
        self.shortcut = nn.Identity() if same else convolution(inputs, outputs, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        branch = self.second(functional.relu(self.first(x)))
        return functional.relu(self.shortcut(x) + branch)


def convolution(inputs: int, outputs: int, side: int, stride: int) -> nn.Sequential:
    """A convolution and a normalisation over the batch."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, side, stride, padding=(side - 1) // 2, bias=False),
        nn.BatchNorm2d(outputs),
    )


class ResidualNetwork(nn.Module):
    """Maps images (batch, 3, size, size) to logits (batch, 10).

    A convolution that halves the image, a residual block a stage, a linear layer that starts at
    zero. That layer sees every place, not their mean: with the mean a run learns nothing for its
    first 500 updates. It sees them over the root of their number, as a mean of random places would
    be. Source: He et al., Deep Residual Learning (2015), arXiv 1512.03385.
    """

    def __init__(self, width: int, stages: int, size: int) -> None:
        super().__init__()
        self.stem = convolution(3, width, 4, 2)
        widths = [width] + [width * 2**i for i in range(stages)]
        strides = [1] + [2] * (stages - 1)
        shapes = zip(widths[:-1], widths[1:], strides, strict=True)
        self.blocks = nn.Sequential(*(ResidualBlock(*shape) for shape in shapes))
        self.places = (size // 2**stages) ** 2
        self.head = nn.Linear(widths[-1] * self.places, CLASSES)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, images: Tensor) -> Tensor:
        x = self.blocks(functional.relu(self.stem(images)))
        return self.head(x.flatten(1) / self.places**0.5)


def make_optimizer(model: nn.Module, settings: ImageSettings) -> torch.optim.Optimizer:
    """SGD or AdamW; only weights decay, not biases. The loop sets the learning rate."""
    groups = [
        {
            "params": [p for p in model.parameters() if p.dim() >= 2],
            "weight_decay": settings.weight_decay,
        },
        {"params": [p for p in model.parameters() if p.dim() < 2], "weight_decay": 0.0},
    ]
    if settings.optimizer == "adamw":
        betas = (settings.beta1, settings.beta2)
        return torch.optim.AdamW(groups, lr=0.0, betas=betas, fused=True)
    return torch.optim.SGD(groups, lr=0.0, momentum=settings.momentum, fused=True)


# ----------------------------------------------------------------------------------------- data

TRAINING, VALIDATION, NOISE = 0, 1, 2
"""Second number of a stream's key; the first is the seed."""

Source = Callable[[int, int], tuple[np.ndarray, np.ndarray]]  # first image, count


def flip(classes: np.ndarray, seed: int, first: int, share: float) -> np.ndarray:
    """Classes of images first, first + 1, ..., that share of them replaced by another at random.

    Like an image, what happens to a class depends on the seed and the image's number alone.
    """
    generator = np.random.Philox(key=np.array([seed, NOISE], dtype=np.uint64)).advance(first)
    raw = generator.random_raw(4 * len(classes)).reshape(-1, 4)
    flipped = raw[:, 0] / 2.0**64 < share
    other = (classes + 1 + (raw[:, 1] % np.uint64(CLASSES - 1)).astype(np.int64)) % CLASSES
    return np.where(flipped, other, classes)


def images_before(settings: ImageSettings) -> Callable[[int], int]:
    """Images of the updates before a given one, which may be the one after the last."""
    if settings.batch_schedule is None:
        return lambda step: step * settings.batch
    # What is sampled is a stream without an end; the sampler only counts.
    ramp = RampedBatchSampler(2**62, settings.batch_schedule, rank=0, world_size=1)

    def before(step: int) -> int:
        seen = ramp.samples_before(step)
        assert seen is not None, step
        return seen

    return before


class ImageBatches:
    """The training images in batches: `batches(step)` gives images and classes of an update.

    Image j of update t is image `n + j` of the stream, with n the images of the updates before it:
    `t batch` for a fixed batch size, whatever the horizon.
    """

    def __init__(self, source: Source, settings: ImageSettings) -> None:
        self.source, self.settings = source, settings
        self.before = images_before(settings)
        self.drawn = range(0)
        self.images, self.classes = torch.empty(0), torch.empty(0)

    def __call__(self, step: int) -> tuple[Tensor, Tensor]:
        begin, end = self.before(step), self.before(step + 1)
        if not (self.drawn.start <= begin and end <= self.drawn.stop):
            self._draw(begin, max(1, DRAWN_AT_A_TIME // (end - begin)) * (end - begin))
        chosen = slice(begin - self.drawn.start, end - self.drawn.start)
        return self.images[chosen], self.classes[chosen]

    def _draw(self, first: int, count: int) -> None:
        images, classes = self.source(first, count)
        classes = flip(classes, self.settings.seed, first, self.settings.label_noise)
        self.images = to_device(images, self.settings)
        self.classes = torch.from_numpy(classes).to(self.settings.device)
        self.drawn = range(first, first + count)


def to_device(images: np.ndarray, settings: ImageSettings) -> Tensor:
    # Channels last: convolutions of few channels are faster so.
    tensor = torch.from_numpy(images).contiguous(memory_format=torch.channels_last)
    return tensor.to(settings.device)


def sources(settings: ImageSettings) -> tuple[Source, Source]:
    """Training and validation images; the latter depend on no seed."""
    if settings.data:
        needed = images_before(settings)(settings.schedule.horizon)
        training = Cifar5m(settings.data, settings.size, settings.seed, needed=needed)
        return training, Cifar5m(settings.data, settings.size, validation=True)
    size = settings.size

    def training(first: int, count: int) -> tuple[np.ndarray, np.ndarray]:
        return draw((settings.seed, TRAINING), first, count, size)

    return training, lambda first, count: draw((0, VALIDATION), first, count, size)


def targets(classes: np.ndarray, label_noise: float) -> Tensor:
    """Probabilities (images, 10) of the classes that one would see under label noise.

    The cross entropy with these is the mean over all ways in which labels may flip, so that the
    loss is the one that training lowers, without the luck of single labels.
    """
    certain = functional.one_hot(torch.from_numpy(classes), CLASSES).float()
    share = label_noise * CLASSES / (CLASSES - 1)
    return certain * (1 - share) + share / CLASSES


# --------------------------------------------------------------------------------------- update

LEAST_MOMENTUM = 1e-30


@torch.no_grad()
def evaluate(model: nn.Module, images: Tensor, probabilities: Tensor) -> float:
    """Mean cross entropy over the validation images, in nats."""
    pieces = zip(images.split(DRAWN_AT_A_TIME), probabilities.split(DRAWN_AT_A_TIME), strict=True)
    model.eval()
    total = sum(float(functional.cross_entropy(model(x), p, reduction="sum")) for x, p in pieces)
    model.train()
    return total / len(images)


def update(state: State, batch: tuple[Tensor, Tensor], settings: ImageSettings, lr: float) -> float:
    """One step of the optimiser at learning rate `lr`; returns the loss of the batch before it."""
    images, classes = batch
    loss = functional.cross_entropy(state.model(images), classes)
    state.optimizer.zero_grad(set_to_none=True)
    loss.backward()
    if settings.clip:
        nn.utils.clip_grad_norm_(state.model.parameters(), settings.clip)
    step_optimizer(state, settings, lr)
    return float(loss.detach())


@torch.no_grad()
def step_optimizer(state: State, settings: ImageSettings, lr: float) -> None:
    """One step of the optimiser with the controls of update `state.step`."""
    velocity, momentum = settings.velocity_schedule, settings.momentum_schedule
    for group in state.optimizer.param_groups:
        group["lr"] = lr if velocity is None else float(velocity(state.step))
        if momentum is not None:
            # At 0 PyTorch would keep an old velocity for the updates after this one.
            group["momentum"] = max(float(momentum(state.step)), LEAST_MOMENTUM)
    state.optimizer.step()
    if velocity is not None:
        for parameter in state.model.parameters():
            assert parameter.grad is not None
            parameter.add_(parameter.grad, alpha=-lr)


def describe_run(name: str, settings: ImageSettings) -> dict[str, str]:
    """What the run computes, as a row of `runs.csv`; equal rows stand for the same run."""
    rate = ("momentum",) if settings.optimizer == "sgd" else ("beta1", "beta2")
    values = {
        "run": name,
        "schedule": settings.schedule.spec,
        "horizon": settings.schedule.horizon,
        "batch_size": settings.batch,
        "seed": settings.seed,
        "width": settings.width,
        "stages": settings.stages,
        "image_size": settings.size,
        "label_noise": settings.label_noise,
        "optimizer": settings.optimizer,
        **{key: getattr(settings, key) for key in rate},
        "weight_decay": settings.weight_decay,
        "clip": settings.clip,
        "data": "cifar5m" if settings.data else "drawn",
        "eval_every": evaluation_interval(settings.schedule, settings.eval_every),
        "validation_images": settings.validation_images,
        "device": settings.device,
    }
    values |= {name: control.spec for name, control in settings.controls.items()}
    if settings.batch_schedule:
        values["batch_size"] = ""
    if settings.momentum_schedule:
        values["momentum"] = ""
    return {key: str(value) for key, value in values.items()}


def run(settings: ImageSettings, out: Path, name: str) -> str:
    """Train one run into the folder `out`: `etastar.train.loop.run_training`.

    Raises `InputError` also when the archives of CIFAR-5M are missing, damaged or too short.
    """
    torch.set_num_threads(settings.threads)

    def begin() -> Training:
        training, validation = sources(settings)
        batches = ImageBatches(training, settings)
        images, classes = validation(0, settings.validation_images)
        held = to_device(images, settings)
        probabilities = targets(classes, settings.label_noise).to(settings.device)
        torch.manual_seed(settings.seed)
        model = ResidualNetwork(settings.width, settings.stages, settings.size)
        model.to(settings.device)
        model.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        return Training(
            model,
            make_optimizer(model, settings),
            settings.schedule,
            evaluate=lambda: evaluate(model, held, probabilities),
            update=lambda state, lr: update(state, batches(state.step), settings, lr),
            eval_every=settings.eval_every,
            checkpoint_every=settings.checkpoint_every,
            note=f"{settings.device}, {settings.data or 'drawn'} images",
        )

    return run_training(out, describe_run(name, settings), begin)


# -------------------------------------------------------------------------------------- command


def make_parser() -> Parser:
    parser = Parser(
        prog="python -m etastar.train.images",
        description="Train a small residual network on drawn images under a given schedule.",
    )
    count = number(int, 1)
    default = ImageSettings
    add = parser.add_argument
    add(
        "--schedule",
        required=True,
        help="a spec, e.g. linear:peak=0.05,horizon=2000,warmup=100, or a schedule's .json file",
    )
    add("--out", required=True, type=Path, help="folder of the logs")
    add("--name", required=True, type=run_name, help="name of the run in that folder")
    add("--seed", type=number(int, 0, 2**63), default=0, help="of weights and images")
    add("--width", type=count, default=default.width, help="channels of the first stage")
    add("--stages", type=number(int, 1, 6), default=default.stages, help="residual blocks")
    add("--size", type=number(int, 2, 33), default=default.size, help="pixels of an image's side")
    add("--batch", type=count, default=default.batch, help="images in an update")
    add("--batch-schedule", default="", help="images in every update, a spec or .json file")
    add(
        "--label-noise",
        type=number(float, 0, 1),
        default=0.0,
        help="share of the training images whose class is replaced by another",
    )
    add("--optimizer", choices=("sgd", "adamw"), default="sgd")
    add("--momentum", type=number(float, 0, 1), default=default.momentum, help="of sgd")
    add("--momentum-schedule", default="", help="momentum of every update, a spec or .json file")
    add("--velocity-schedule", default="", help="LR of the velocity; --schedule: of the gradient")
    add("--beta1", type=number(float, 0, 1), default=default.beta1, help="of adamw")
    add("--beta2", type=number(float, 0, 1), default=default.beta2, help="of adamw")
    add("--weight-decay", type=number(float, 0), default=default.weight_decay)
    add("--clip", type=number(float, 0), default=default.clip, help="largest gradient norm; 0: any")
    add("--data", default="", help="folder of CIFAR-5M; without it images are drawn")
    add("--eval-every", type=number(int, 0), default=0, help="steps; 0: a fortieth of the run")
    add("--validation-images", type=count, default=default.validation_images)
    add("--checkpoint-every", type=count, default=default.checkpoint_every, help="steps")
    add("--device", choices=("auto", "cpu", "cuda"), default="auto")
    add("--threads", type=count, default=1, help="CPU threads")
    return parser


def read_control(option: str, text: str) -> Schedule | None:
    """The schedule of an option, None where it is not given; `InputError` names the option."""
    try:
        return schedule_of(text) if text else None
    except InputError as error:
        raise InputError(f"--{option.replace('_', '-')}: {error}") from None


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns its exit code: 0 done, 2 bad input, 130 interrupted."""
    given = vars(make_parser().parse_args(arguments))

    def start(schedule: Schedule, out: Path, name: str) -> str:
        for option in CONTROLS:
            given[option] = read_control(option, given[option])
        return run(ImageSettings(schedule, **given), out, name)

    return run_command(given, start, "etastar.train.images")


if __name__ == "__main__":
    sys.exit(main())
