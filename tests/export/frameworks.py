"""What each framework makes of an exported text: the rate of every update."""

from __future__ import annotations

import argparse
import math
import subprocess

import pytest
import yaml


def options(text: str) -> dict[str, str]:
    """The options of an exported Bash array, as Bash and argparse read them."""
    script = text + 'printf "%s\\n" "${ETASTAR_ARGS[@]}"'
    words = subprocess.run(["bash", "-c", script], check=True, capture_output=True, text=True)
    split = words.stdout.split()
    parser = argparse.ArgumentParser(allow_abbrev=False)
    for name in split[::2]:
        parser.add_argument(name)
    return {f"--{key}": value for key, value in vars(parser.parse_args(split)).items()}


# The rate of update t as each framework computes it, written from its documentation and source:
# torchtitan components/lr_scheduler.py, Megatron-LM core/optimizer_param_scheduler.py, nanochat
# scripts/base_train.py; see docs/guides/export.md. `test_executed.py` runs the first two.


def by_torchtitan(text: str) -> list[float]:
    given = options(text)
    steps, warmup = int(given["--training.steps"]), int(given["--lr_scheduler.warmup_steps"])
    fall = round(steps * float(given["--lr_scheduler.decay_ratio"]))
    least = float(given["--lr_scheduler.min_lr_factor"])
    kinds = {
        "linear": lambda x: 1 - x,
        "sqrt": lambda x: 1 - math.sqrt(x),
        "cosine": lambda x: (1 + math.cos(math.pi * x)) / 2,
    }
    fraction = kinds[given["--lr_scheduler.decay_type"]]

    def factor(t: int) -> float:
        if t < warmup:
            return (t + 1) / warmup
        if t <= steps - fall:
            return 1.0
        return least + (1 - least) * fraction((t - (steps - fall)) / fall)

    return [float(given["--optimizer.lr"]) * factor(t) for t in range(steps)]


def by_megatron(text: str) -> list[float]:
    given = options(text)
    warmup, end = int(given["--lr_warmup_iters"]), int(given["--lr_decay_iters"])
    top, least, style = float(given["--lr"]), float(given["--min_lr"]), given["--lr_decay_style"]
    kinds = {
        "linear": lambda x: 1 - x,
        "cosine": lambda x: (1 + math.cos(math.pi * x)) / 2,
        "minus_sqrt": lambda x: 1 - math.sqrt(x),
    }

    def rate(t: int) -> float:
        if warmup and t <= warmup:
            return top * t / warmup
        if style == "constant":
            return top
        if style == "inverse-square-root":
            return max(least, top * math.sqrt(max(warmup, 1) / max(t, 1)))
        if style == "WSD":
            fall = int(given["--lr_wsd_decay_iters"])
            passed = max(t - (end - fall), 0) / fall
            return least + (top - least) * kinds[given["--lr_wsd_decay_style"]](passed)
        return least + (top - least) * kinds[style]((t - warmup) / (end - warmup))

    return [rate(t) for t in range(int(given["--train_iters"]))]


def by_nanochat(text: str) -> list[float]:
    given = options(text)
    steps, warmup = int(given["--num_iterations"]), int(given["--warmup_steps"])
    fall = round(float(given["--warmdown_ratio"]) * steps)
    least = float(given["--final_lr_frac"])

    def factor(t: int) -> float:
        if t < warmup:
            return (t + 1) / warmup
        if t <= steps - fall:
            return 1.0
        left = (steps - t) / fall
        return left + (1 - left) * least

    return [float(given["--matrix_lr"]) * factor(t) for t in range(steps)]


def by_axolotl(text: str) -> list[float]:
    """Through Transformers, whose schedulers axolotl takes by name."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    given = yaml.safe_load(text)
    arguments = given.get("lr_scheduler_kwargs", {})
    name = given["lr_scheduler"]
    if "cosine_min_lr_ratio" in given:  # axolotl's own, the same curve
        name, arguments = "cosine_with_min_lr", {"min_lr_rate": given["cosine_min_lr_ratio"]}
    assert isinstance(given["learning_rate"], float)
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=given["learning_rate"])
    scheduler = transformers.get_scheduler(
        name,
        optimizer,
        num_warmup_steps=given["warmup_steps"],
        num_training_steps=given["max_steps"],
        scheduler_specific_kwargs=arguments,
    )
    rates = []
    for _ in range(given["max_steps"]):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


READ = {
    "torchtitan": by_torchtitan,
    "megatron": by_megatron,
    "nanochat": by_nanochat,
    "axolotl": by_axolotl,
}
