"""Train a small GPT on the source of Python's standard library, under any learning-rate schedule.

    python -m etastar.train.gpt --schedule cosine:peak=3e-3,horizon=2000,warmup=100 \
        --out pilots --name cosine_0.003

writes `pilots/cosine_0.003.csv` (step, lr, loss, train_loss) and a row of `pilots/runs.csv`, which
`etastar.runs.read_runs` reads. The same command goes on from the last checkpoint after a kill or
Ctrl-C, and does nothing once the run is finished. On a CPU the run that was interrupted and the
one that was not have the same weights, bit by bit.

The loss is the mean cross entropy in nats per byte: `loss` over fixed validation windows after
`step` updates, `train_loss` over the batches since the row before. The file reads from top to
bottom: settings, model, data, log, checkpoint, loop, command.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import io
import math
import os
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
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
from etastar._files import write_bytes, write_text
from etastar._locks import lock
from etastar.schedule import Schedule, parse_schedule
from etastar.train.corpus import Corpus, load_corpus

VOCABULARY = 256  # bytes
EVALUATIONS = 40  # per run, where --eval-every does not say otherwise

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

    @property
    def evaluation_interval(self) -> int:
        """Updates between two rows of the log."""
        return self.eval_every or max(1, round(self.schedule.horizon / EVALUATIONS))


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


# ------------------------------------------------------------------------------------------ log

LOG_COLUMNS = ("step", "lr", "loss", "train_loss")


@dataclass
class Log:
    """The run's CSV. A row is on the disk before the training goes on.

    Attributes:
        path: of the file.
        rows: cells of the rows in it, without the header.
    """

    path: Path
    rows: list[list[str]] = field(default_factory=list)

    def rewrite(self) -> None:
        """Put exactly the rows known here into the file: drops those past a checkpoint."""
        write_text(self.path, csv_text([list(LOG_COLUMNS), *self.rows]))

    def add(self, step: int, lr: float, loss: float, train_loss: float | None) -> None:
        mean = "" if train_loss is None else f"{train_loss:.6f}"
        self.rows.append([str(step), f"{lr:.10g}", f"{loss:.6f}", mean])
        with open(self.path, "a", encoding="utf-8", newline="") as file:
            file.write(csv_text([self.rows[-1]]))
            file.flush()
            os.fsync(file.fileno())

    @property
    def last_step(self) -> int:
        return int(self.rows[-1][0]) if self.rows else -1


def csv_text(rows: list[list[str]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


@contextlib.contextmanager
def locked(path: Path, refusal: str = "") -> Iterator[None]:
    """Hold a lock file. The system frees it when the process ends, however it ends.

    Waits for another holder, or raises `InputError(refusal)` at once where a refusal is given.
    """
    with open(path, "a", encoding="utf-8") as file:
        if not lock(file, path, wait=not refusal):
            raise InputError(refusal)
        yield


def read_table(path: Path) -> tuple[list[str], list[dict[str, str]]]:
    """Columns and rows of a `runs.csv`; both empty where there is none."""
    if not path.exists():
        return [], []
    csv.field_size_limit(2**30)  # a schedule of many knots is one long cell
    try:
        with open(path, encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file, restval="")
            rows = list(reader)
        columns = list(reader.fieldnames or [])
    except (csv.Error, UnicodeDecodeError):
        columns, rows = [], []
    if "run" not in columns or any(None in row for row in rows):
        raise InputError(f"{path}: not a table of runs (columns run, schedule, ...); move it away")
    return columns, rows


def declare_run(folder: Path, row: dict[str, str]) -> None:
    """Add the run's row to `runs.csv`, or put it in the place of the row of the same name."""
    path = folder / "runs.csv"
    with locked(folder / ".runs.lock"):
        columns, rows = read_table(path)
        columns += [c for c in row if c not in columns]
        places = [i for i, other in enumerate(rows) if other["run"] == row["run"]]
        if places:
            rows[places[0]] = {**rows[places[0]], **row}
        else:
            rows.append(row)
        lines = [columns] + [[r.get(c, "") for c in columns] for r in rows]
        write_text(path, csv_text(lines))


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
        "eval_every": settings.evaluation_interval,
        "validation_bytes": settings.validation_bytes,
        "device": settings.device,
        "dtype": settings.dtype,
        "corpus_sha256": corpus.sha256,
    }
    return {key: str(value) for key, value in values.items()}


# ----------------------------------------------------------------------------------- checkpoint


@dataclass
class State:
    """All that changes during a run.

    Attributes:
        model: weights.
        optimizer: AdamW, with its moments.
        log: rows so far.
        step: updates done.
        train_loss_sum, train_loss_count: sum of the batches' losses since the last row, in nats per
            byte, and how many batches these were.
        seconds: time spent on the updates.
    """

    model: GPT
    optimizer: torch.optim.AdamW
    log: Log
    step: int = 0
    train_loss_sum: float = 0.0
    train_loss_count: int = 0
    seconds: float = 0.0

    def save(self, path: Path, description: dict[str, str]) -> None:
        content = io.BytesIO()
        torch.save(
            {
                "description": description,
                "model": self.model.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "random": torch.get_rng_state(),
                "rows": self.log.rows,
                "step": self.step,
                "train_loss_sum": self.train_loss_sum,
                "train_loss_count": self.train_loss_count,
                "seconds": self.seconds,
            },
            content,
        )
        write_bytes(path, content.getvalue())

    def restore(self, path: Path, description: dict[str, str]) -> None:
        """Go back to a checkpoint; `InputError` if it is damaged or of a run set otherwise."""
        try:
            saved = torch.load(path, map_location="cpu", weights_only=True)
            refuse_other_settings(saved["description"], description, path)
            self.model.load_state_dict(saved["model"])
            self.optimizer.load_state_dict(saved["optimizer"])
            torch.set_rng_state(saved["random"])
            self.log.rows = saved["rows"]
            self.step = saved["step"]
            self.train_loss_sum = saved["train_loss_sum"]
            self.train_loss_count = saved["train_loss_count"]
            self.seconds = saved["seconds"]
        except InputError:
            raise
        except Exception as error:  # torch.load fails in many ways on a file that is not its own
            raise InputError(
                f"{path}: not a checkpoint of this script ({type(error).__name__}); delete it to "
                "start the run again"
            ) from None


def refuse_other_settings(old: dict[str, str], new: dict[str, str], where: Path) -> None:
    """`InputError` when a run of this name was made with other settings."""
    for key, value in new.items():
        if old.get(key, value) != value:
            raise InputError(
                f"{where}: run {new['run']!r} was made with {key} {old[key]}, not {value}; choose "
                "another --name or delete that run"
            )


# ----------------------------------------------------------------------------------------- loop

Progress = Callable[[int, float, float], None]  # step, learning rate, validation loss


def cross_entropy(model: GPT, inputs: Tensor, targets: Tensor, settings: Settings) -> Tensor:
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


def train(
    state: State,
    settings: Settings,
    corpus: Corpus,
    save: Callable[[], None],
    interrupted: Callable[[], bool],
    progress: Progress,
) -> str:
    """Train until the horizon; returns "finished", "diverged" or "interrupted".

    Everything that stops or saves the run happens between two updates, so that a checkpoint is
    always a whole state: weights, optimiser and log after `state.step` updates.
    """
    batches = Batches(corpus.train, settings)
    windows = validation_windows(corpus.validation, settings)
    horizon, schedule = settings.schedule.horizon, settings.schedule
    started_at = state.step
    clock = time.perf_counter()
    loss = float(state.log.rows[-1][2]) if state.log.rows else math.nan

    while True:
        step, lr = state.step, float(schedule(state.step))
        due = step % settings.evaluation_interval == 0 or step == horizon
        if due and state.log.last_step < step:
            loss = evaluate(state.model, windows, settings)
            if not math.isfinite(loss):
                return "diverged"
            count = state.train_loss_count
            state.log.add(step, lr, loss, state.train_loss_sum / count if count else None)
            state.train_loss_sum, state.train_loss_count = 0.0, 0
        progress(step, lr, loss)
        if step == horizon:
            return "finished"

        stop = interrupted()
        if stop or (step % settings.checkpoint_every == 0 and step > started_at):
            save()
        if stop:
            return "interrupted"

        train_loss = update(state, batches(step), settings, lr)
        now = time.perf_counter()
        state.seconds, clock = state.seconds + now - clock, now
        if not math.isfinite(train_loss):
            return "diverged"
        state.train_loss_sum += train_loss
        state.train_loss_count += 1
        state.step += 1


def run(settings: Settings, out: Path, name: str, allow_missing: bool = False) -> str:
    """Train one run into the folder `out`, from its checkpoint where it has one.

    Writes `<out>/<name>.csv` and the row of `<out>/runs.csv`, keeps the checkpoint
    `<out>/.checkpoints/<name>.pt` until the run is finished, and prints a line or two. Returns
    "finished", "diverged", "interrupted" or "already finished". Raises `InputError` when the corpus
    is too short or incomplete, when the name stands for a run with other settings, or when another
    process trains it.
    """
    torch.set_num_threads(settings.threads)
    checkpoints = out / ".checkpoints"
    checkpoints.mkdir(parents=True, exist_ok=True)
    checkpoint = checkpoints / f"{name}.pt"
    corpus = load_corpus(allow_missing=allow_missing)
    busy = f"--name {name}: another process is training this run in {out}; wait for it"
    with locked(checkpoints / f"{name}.lock", refusal=busy):
        description = describe_run(name, settings, corpus)
        before = [row for row in read_table(out / "runs.csv")[1] if row["run"] == name]
        if before and before[0].get("status") in ("finished", "diverged"):
            refuse_other_settings(before[0], description, out / "runs.csv")
            say(f"{name}: already finished ({before[0]['status']}), see {out / name}.csv")
            return "already finished"

        state = initial_state(settings, Log(out / f"{name}.csv"))
        Batches(corpus.train, settings)  # a corpus that is too short is refused before any output
        if checkpoint.exists():
            state.restore(checkpoint, description)
        state.log.rewrite()
        declare_run(out, {**description, "status": "running"})
        say(opening_line(name, state, settings, corpus))
        with watch_signals() as interrupted, show_progress(name, state, settings) as progress:
            status = train(
                state,
                settings,
                corpus,
                save=lambda: state.save(checkpoint, description),
                interrupted=interrupted,
                progress=progress,
            )
        declare_run(out, {**description, "status": status, "seconds": f"{state.seconds:.0f}"})
        if status != "interrupted":
            checkpoint.unlink(missing_ok=True)
        say(closing_line(name, status, state, settings))
    return status


def initial_state(settings: Settings, log: Log) -> State:
    torch.manual_seed(settings.seed)
    model = GPT(settings.layers, settings.width, settings.heads, settings.context)
    model.to(settings.device)
    return State(model, make_optimizer(model, settings), log)


# -------------------------------------------------------------------------------------- command


def say(line: str) -> None:
    print(line, flush=True)


def opening_line(name: str, state: State, settings: Settings, corpus: Corpus) -> str:
    parameters = sum(p.numel() for p in state.model.parameters())
    missing = f", without {len(corpus.missing)} missing files" if corpus.missing else ""
    begin = f"goes on from step {state.step}" if state.step else f"{parameters} parameters"
    return f"{name}: {begin}, {settings.schedule.horizon} steps, {settings.device}{missing}"


def closing_line(name: str, status: str, state: State, settings: Settings) -> str:
    horizon = settings.schedule.horizon
    last = f"loss {state.log.rows[-1][2]} at step {state.log.rows[-1][0]}" if state.log.rows else ""
    if status == "interrupted":
        return f"{name}: stopped at step {state.step} of {horizon}; the same command goes on"
    if status == "diverged":
        return f"{name}: diverged at step {state.step} of {horizon} (last {last}); lower the peak"
    return f"{name}: finished, {last}, {state.seconds:.0f} s"


@contextlib.contextmanager
def watch_signals() -> Iterator[Callable[[], bool]]:
    """Turn Ctrl-C and a polite kill into a question that the loop asks between two updates."""
    received: list[int] = []
    watched = (signal.SIGINT, signal.SIGTERM)
    previous = [signal.signal(s, lambda number, _: received.append(number)) for s in watched]
    try:
        yield lambda: bool(received)
    finally:
        for number, handler in zip(watched, previous, strict=True):
            signal.signal(number, handler)


@contextlib.contextmanager
def show_progress(name: str, state: State, settings: Settings) -> Iterator[Progress]:
    """A progress bar on a terminal; elsewhere one line per tenth of the run."""
    horizon = settings.schedule.horizon
    if not sys.stdout.isatty():
        tenths = {math.ceil(horizon * i / 10) for i in range(1, 10)}

        def write_line(step: int, lr: float, loss: float) -> None:
            if step in tenths:
                say(f"{name}: step {step}/{horizon} lr {lr:.3g} loss {loss:.4f}")

        yield write_line
        return

    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("lr {task.fields[lr]:.3g} loss {task.fields[loss]:.4f}"),
        TimeRemainingColumn(),
    )
    with Bar(*columns) as bar:
        task = bar.add_task(name, total=horizon, completed=state.step, lr=0.0, loss=math.nan)
        yield lambda step, lr, loss: bar.update(task, completed=step, lr=lr, loss=loss)


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line."""

    def error(self, message: str):
        self.exit(2, f"etastar.train.gpt: {message} (see --help)\n")


def number(kind: type, low: float, below: float = math.inf) -> Callable[[str], float]:
    """A checked conversion of an argument: low <= value < below."""

    def convert(text: str) -> float:
        try:
            value = kind(text)
        except ValueError:
            value = math.nan
        if not low <= value < below:
            what = "a whole number" if kind is int else "a number"
            limit = f" and below {below:g}" if math.isfinite(below) else ""
            raise argparse.ArgumentTypeError(f"{text!r} must be {what} of at least {low}{limit}")
        return value

    return convert


def run_name(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.+=-]*", text) or text == "runs":
        raise argparse.ArgumentTypeError(
            f"{text!r} must be a file name of letters, digits and _ . + = - (and not 'runs')"
        )
    return text


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
    parser = make_parser()
    given = vars(parser.parse_args(arguments))
    spec, out, name = given.pop("schedule"), given.pop("out"), given.pop("name")
    allow_missing = given.pop("allow_missing")
    try:
        if given["device"] == "cuda" and not torch.cuda.is_available():
            raise InputError("--device cuda: PyTorch finds no CUDA device here; use --device cpu")
        if given["device"] == "auto":
            given["device"] = "cuda" if torch.cuda.is_available() else "cpu"
        is_file = spec.endswith(".json")
        schedule = Schedule.load(spec) if is_file else parse_schedule(spec)
        settings = Settings(schedule=schedule, **given)
        status = run(settings, out, name, allow_missing)
    except InputError as error:
        print(f"etastar.train.gpt: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"etastar.train.gpt: --out {out}: cannot write there: {error}", file=sys.stderr)
        return 2
    return 130 if status == "interrupted" else 0


if __name__ == "__main__":
    sys.exit(main())
