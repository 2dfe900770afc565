"""Train a small GPT on the source of Python's standard library, under any learning-rate schedule.

    python -m etastar.train.gpt --schedule cosine:peak=3e-3,horizon=2000,warmup=100 \
        --out pilots --name cosine_0.003

writes `pilots/cosine_0.003.csv` (step, lr, loss, train_loss) and a row of `pilots/runs.csv`, which
`etastar.runs.read_runs` reads. The same command goes on from the last checkpoint after a kill or
Ctrl-C, and does nothing once the run is finished. On a CPU the run that was interrupted and the
one that was not have the same weights, bit by bit.

The loss is the mean cross entropy in nats per byte: `loss` over fixed validation windows after
`step` updates, `train_loss` over the batches since the row before. The file reads from top to
bottom: settings, model, data, update, command; log, checkpoint and loop are in
`etastar.train.loop`.
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

try:
    import torch
    from torch import Tensor, nn
    from torch.nn import functional
except ModuleNotFoundError:
    if __name__ == "__main__":
        print("etastar.train.gpt: needs PyTorch: pip install 'etastar[torch]'", file=sys.stderr)
        sys.exit(2)
    raise

from etastar._errors import InputError
from etastar.schedule import Schedule
from etastar.train.corpus import Corpus, load_corpus
from etastar.train.loop import State, Training, evaluation_interval, run_training
from etastar.train.terminal import Parser, number, run_command, run_name

VOCABULARY = 256  # bytes

# ------------------------------------------------------------------------------------- settings


@dataclass(frozen=True)
class Settings:
    """Everything that decides what a run computes, and where.

    Attributes:
        schedule: learning rate of update t; its horizon is the number of updates.
        seed: of the first weights and of the order of the batches.
        layers, width, heads: of the decoder; `heads` divides `width`.
        context: length of a window, in bytes.
        batch: windows in an update.
        passes: how often the corpus may be read, at most.
        beta1, beta2, weight_decay: of AdamW.
        clip: largest norm of the gradient.
        eval_every: updates between two rows of the log; 0 for a fortieth of the horizon.
        validation_bytes: bytes that each evaluation reads.
        checkpoint_every: updates between two checkpoints.
        device: of PyTorch, cpu or cuda.
        threads: of the CPU.
        dtype: float32, or bfloat16 to multiply matrices in it.
    """

    schedule: Schedule
    seed: int = 0
    layers: int = 2
    width: int = 64
    heads: int = 2
    context: int = 32
    batch: int = 4
    passes: int = 1
    beta1: float = 0.9
    beta2: float = 0.95
    weight_decay: float = 0.1
    clip: float = 1.0
    eval_every: int = 0
    validation_bytes: int = 57344
    checkpoint_every: int = 500
    device: str = "cpu"
    threads: int = 1
    dtype: str = "float32"

    def __post_init__(self) -> None:
        if self.width % self.heads:
            raise InputError(
                f"--heads {self.heads}: does not divide --width {self.width}; choose one that does"
            )


# ---------------------------------------------------------------------------------------- model


class Block(nn.Module):
    """One layer: x + attention(norm(x)), then x + MLP(norm(x)); x is (batch, time, width)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.attention_norm = nn.LayerNorm(width)
        self.query_key_value = nn.Linear(width, 3 * width)
        self.attention_out = nn.Linear(width, width)
        self.mlp_norm = nn.LayerNorm(width)
        self.mlp_in = nn.Linear(width, 4 * width)
        self.mlp_out = nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        batch, time_steps, width = x.shape
        projected = self.query_key_value(self.attention_norm(x))
        per_head = projected.view(batch, time_steps, 3, self.heads, width // self.heads)
        query, key, value = per_head.permute(2, 0, 3, 1, 4)
        attended = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        x = x + self.attention_out(attended.transpose(1, 2).reshape(batch, time_steps, width))
        return x + self.mlp_out(functional.gelu(self.mlp_in(self.mlp_norm(x))))


class GPT(nn.Module):
    """GPT-2 style decoder on bytes: pre-norm, learned positions, untied head.

    Maps bytes of shape (batch, time) to logits of shape (batch, time, 256), time <= context.
    Source: Radford et al., Language Models are Unsupervised Multitask Learners (2019).
    """

    def __init__(self, layers: int, width: int, heads: int, context: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, width)
        self.position = nn.Embedding(context, width)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, VOCABULARY, bias=False)
        self.initialize(layers)

    def initialize(self, layers: int) -> None:
        """Normal matrices, zero biases.

        GPT-2's standard deviation of 0.02 is near 1/sqrt(width) at its width; at a small width it
        leaves attention idle so long that short runs measure little but bigrams. So matrices have
        1/sqrt(inputs) here, and the embeddings 0.1.
        """
        for name, parameter in self.named_parameters():
            if parameter.dim() >= 2:
                std = parameter.shape[1] ** -0.5
                if name.endswith(("attention_out.weight", "mlp_out.weight")):
                    std /= math.sqrt(2 * layers)  # the additions to the residual stream
                elif name in ("embedding.weight", "position.weight"):
                    std = 0.1
                elif name == "head.weight":
                    std = 0.02  # the first prediction is near uniform
                nn.init.normal_(parameter, std=std)
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.embedding(tokens) + self.position.weight[: tokens.shape[1]]
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))


def make_optimizer(model: GPT, settings: Settings) -> torch.optim.AdamW:
    """AdamW that decays matrices only; the loop sets the learning rate before each update."""
    matrices = [p for p in model.parameters() if p.dim() >= 2]
    vectors = [p for p in model.parameters() if p.dim() < 2]
    return torch.optim.AdamW(
        [
            {"params": matrices, "weight_decay": settings.weight_decay},
            {"params": vectors, "weight_decay": 0.0},
        ],
        lr=0.0,
        betas=(settings.beta1, settings.beta2),
        fused=True,
    )


# ----------------------------------------------------------------------------------------- data


class Batches:
    """The training text as windows of `context` bytes, each used once a pass, in the seed's order.

    `batches(step)` gives inputs and targets of update `step`, int64, of shape (batch, context);
    the target of a byte is the byte after it. `available` is the number of updates that one pass
    holds. The order does not depend on the horizon, so runs of one seed share their first batches.
    Each pass has an order of its own, and its windows begin at other bytes than in the one before.
    """

    def __init__(self, text: np.ndarray, settings: Settings) -> None:
        self.text = text
        self.context = settings.context
        self.batch = settings.batch
        self.seed = settings.seed
        # Later passes leave out up to one window of bytes at the start.
        left_out = 0 if settings.passes == 1 else settings.context - 1
        self.available = (len(text) - 1 - left_out) // settings.context // settings.batch
        most = self.available * settings.passes
        if settings.schedule.horizon > most:
            read = "one pass" if settings.passes == 1 else f"{settings.passes} passes"
            raise InputError(
                f"--schedule: horizon {settings.schedule.horizon} is more than the corpus holds in "
                f"{read}: {most} steps of {settings.batch} x {settings.context} bytes "
                "are available; shorten the horizon, --batch or --context, or raise --passes"
            )
        self.number, self.order, self.begin = -1, np.empty(0, np.int64), 0

    def __call__(self, step: int) -> tuple[Tensor, Tensor]:
        number, place = divmod(step, self.available)
        if number != self.number:
            self._turn_to(number)
        chosen = self.order[place * self.batch : (place + 1) * self.batch]
        return cut_windows(self.text[self.begin :], chosen, self.context)

    def _turn_to(self, number: int) -> None:
        """Begin a pass; the first is the same whatever the number of passes."""
        self.number = number
        # Multiples of the golden ratio, modulo one, are spread evenly however many there are.
        self.begin = int(number * 0.618034 % 1 * self.context)
        seed = self.seed if number == 0 else [self.seed, number]
        windows = (len(self.text) - 1 - self.begin) // self.context
        self.order = np.random.default_rng(seed).permutation(windows)


def cut_windows(text: np.ndarray, numbers: np.ndarray, context: int) -> tuple[Tensor, Tensor]:
    """Inputs and targets (windows, context) of the windows that start at numbers * context."""
    places = numbers[:, None] * context + np.arange(context + 1)
    windows = torch.from_numpy(text[places].astype(np.int64))
    return windows[:, :-1], windows[:, 1:]


def validation_windows(text: np.ndarray, settings: Settings) -> tuple[Tensor, Tensor]:
    """Windows spread evenly over the validation text; they depend on no seed."""
    context = settings.context
    available = (len(text) - 1) // context
    if available < 1:
        raise InputError(f"--context {context}: longer than the validation text; choose less")
    count = min(available, max(1, settings.validation_bytes // context))
    return cut_windows(text, np.arange(count) * available // count, context)


def describe_run(name: str, settings: Settings, corpus: Corpus) -> dict[str, str]:
    """What the run computes, as a row of `runs.csv`; equal rows stand for the same run."""
    values = {
        "run": name,
        "schedule": settings.schedule.spec,
        "horizon": settings.schedule.horizon,
        "batch_size": settings.batch,
        "sequence_length": settings.context,
        "seed": settings.seed,
        "layers": settings.layers,
        "width": settings.width,
        "heads": settings.heads,
        "beta1": settings.beta1,
        "beta2": settings.beta2,
        "weight_decay": settings.weight_decay,
        "clip": settings.clip,
        "eval_every": evaluation_interval(settings.schedule, settings.eval_every),
        "validation_bytes": settings.validation_bytes,
        "device": settings.device,
        "dtype": settings.dtype,
        "corpus_sha256": corpus.sha256,
    }
    return {key: str(value) for key, value in values.items()}


# --------------------------------------------------------------------------------------- update


def cross_entropy(model: nn.Module, inputs: Tensor, targets: Tensor, settings: Settings) -> Tensor:
    """Mean cross entropy in nats per byte; only the forward pass is in the reduced precision."""
    device = torch.device(settings.device)
    reduced = settings.dtype == "bfloat16"
    with torch.autocast(device.type, dtype=torch.bfloat16, enabled=reduced):
        logits = model(inputs.to(device))
    return functional.cross_entropy(logits.float().flatten(0, 1), targets.to(device).flatten())


@torch.no_grad()
def evaluate(model: GPT, windows: tuple[Tensor, Tensor], settings: Settings) -> float:
    """Mean loss over the validation windows, in nats per byte."""
    # Small pieces stay in the cache of one CPU core; a GPU wants large ones.
    size = 16 if settings.device == "cpu" else 256
    pieces = zip(windows[0].split(size), windows[1].split(size), strict=True)
    total = sum(len(x) * float(cross_entropy(model, x, y, settings)) for x, y in pieces)
    return total / len(windows[0])


def update(state: State, batch: tuple[Tensor, Tensor], settings: Settings, lr: float) -> float:
    """One step of AdamW at learning rate `lr`; returns the loss of the batch before it."""
    loss = cross_entropy(state.model, *batch, settings)
    state.optimizer.zero_grad(set_to_none=True)
    loss.backward()
    nn.utils.clip_grad_norm_(state.model.parameters(), settings.clip)
    for group in state.optimizer.param_groups:
        group["lr"] = lr
    state.optimizer.step()
    return float(loss.detach())


def run(settings: Settings, out: Path, name: str, allow_missing: bool = False) -> str:
    """Train one run into the folder `out`: `etastar.train.loop.run_training`.

    Raises `InputError` also when the corpus is too short or incomplete.
    """
    torch.set_num_threads(settings.threads)
    corpus = load_corpus(allow_missing=allow_missing)

    def begin() -> Training:
        batches = Batches(corpus.train, settings)
        windows = validation_windows(corpus.validation, settings)
        torch.manual_seed(settings.seed)
        model = GPT(settings.layers, settings.width, settings.heads, settings.context)
        model.to(settings.device)
        missing = f", without {len(corpus.missing)} missing files" if corpus.missing else ""
        return Training(
            model,
            make_optimizer(model, settings),
            settings.schedule,
            evaluate=lambda: evaluate(model, windows, settings),
            update=lambda state, lr: update(state, batches(state.step), settings, lr),
            eval_every=settings.eval_every,
            checkpoint_every=settings.checkpoint_every,
            note=f"{settings.device}{missing}",
        )

    return run_training(out, describe_run(name, settings, corpus), begin)


# -------------------------------------------------------------------------------------- command


def make_parser() -> Parser:
    parser = Parser(
        prog="python -m etastar.train.gpt",
        description="Train a small GPT on Python's standard library under a given schedule.",
    )
    count = number(int, 1)
    add = parser.add_argument
    add(
        "--schedule",
        required=True,
        help="a spec, e.g. cosine:peak=3e-3,horizon=2000,warmup=100, or a schedule's .json file",
    )
    add("--out", required=True, type=Path, help="folder of the logs")
    add("--name", required=True, type=run_name, help="name of the run in that folder")
    add("--seed", type=number(int, 0, 2**63), default=0, help="of weights and order of the data")
    add("--layers", type=count, default=Settings.layers)
    add("--width", type=count, default=Settings.width)
    add("--heads", type=count, default=Settings.heads)
    add("--context", type=count, default=Settings.context, help="bytes in a window")
    add("--batch", type=count, default=Settings.batch, help="windows in a batch")
    add("--passes", type=count, default=1, help="how often the corpus may be read, at most")
    add("--beta1", type=number(float, 0, 1), default=Settings.beta1)
    add("--beta2", type=number(float, 0, 1), default=Settings.beta2)
    add("--weight-decay", type=number(float, 0), default=Settings.weight_decay)
    add("--clip", type=number(float, 1e-12), default=Settings.clip, help="largest gradient norm")
    add("--eval-every", type=number(int, 0), default=0, help="steps; 0: a fortieth of the run")
    add("--validation-bytes", type=count, default=Settings.validation_bytes)
    add("--checkpoint-every", type=count, default=Settings.checkpoint_every, help="steps")
    add("--device", choices=("auto", "cpu", "cuda"), default="auto")
    add("--threads", type=count, default=1, help="CPU threads")
    add("--dtype", choices=("float32", "bfloat16"), default="float32")
    add("--allow-missing", action="store_true", help="go on where a file of the corpus is missing")
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns its exit code: 0 done, 2 bad input, 130 interrupted."""
    given = vars(make_parser().parse_args(arguments))
    allow_missing = given.pop("allow_missing")

    def start(schedule: Schedule, out: Path, name: str) -> str:
        return run(Settings(schedule, **given), out, name, allow_missing)

    return run_command(given, start, "etastar.train.gpt")


if __name__ == "__main__":
    sys.exit(main())
