"""Do torchtitan, Megatron-LM and axolotl make of an exported text the rates it stands for?

    pip install --no-deps --target packages megatron-core torchtitan spmd-types tyro \\
        docstring-parser typeguard
    pip download --no-deps --no-binary :all: axolotl && tar xzf axolotl-*.tar.gz -C packages
    PYTHONPATH=packages python bench/export_check.py packages

Each text goes to the project's own scheduler; a row gives the largest difference from the schedule
over all updates, over the peak: in the warmup, where conventions differ as docs/guides/export.md
says, and after it. Options that the project does not have would be an error. The tests have the
same formulas written out, because these packages do not belong to a test run.
"""

from __future__ import annotations

import argparse
import importlib.util
import subprocess
import warnings
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from etastar.export import export_schedule
from etastar.schedule import parse_schedule

UPDATES, WARMUP = 1000, 50
SPECS = [
    f"constant:peak=1e-05,horizon={UPDATES},warmup={WARMUP}",
    f"linear:peak=0.3,horizon={UPDATES},warmup={WARMUP}",
    f"linear:peak=0.3,horizon={UPDATES},final=0.1",
    f"cosine:peak=3e-05,horizon={UPDATES},warmup={WARMUP},final=0.1",
    f"polynomial:peak=0.3,horizon={UPDATES},warmup={WARMUP},power=2,final=0.1",
    f"inverse_sqrt:peak=0.3,horizon={UPDATES},warmup={WARMUP}",
    f"wsd:peak=0.3,horizon={UPDATES},warmup={WARMUP},cooldown=0.3",
    f"wsd:peak=0.3,horizon={UPDATES},warmup={WARMUP},cooldown=333,decay=sqrt",
    f"wsd:peak=0.3,horizon={UPDATES},cooldown=333,decay=cosine,final=0.1",
]


def options(text: str) -> dict[str, str]:
    """The words of the exported Bash array, by pairs."""
    script = text + 'printf "%s\\n" "${ETASTAR_ARGS[@]}"'
    done = subprocess.run(["bash", "-c", script], check=True, capture_output=True, text=True)
    words = done.stdout.split()
    return dict(zip(words[::2], words[1::2], strict=True))


def optimizer_of(lr: float) -> torch.optim.Optimizer:
    return torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=lr)


def applied(optimizer: Any, step: Callable[[], object]) -> list[float]:
    """The LR of every update."""
    rates = []
    for _ in range(UPDATES):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        step()
    return rates


def by_torchtitan(text: str, packages: Path) -> list[float]:
    from torchtitan.components.optimizer.lr_scheduler import (  # pyright: ignore
        LRSchedulersContainer,
    )

    given = options(text)
    prefix = "--lr_scheduler."
    kinds = {"warmup_steps": int, "decay_ratio": float, "decay_type": str, "min_lr_factor": float}
    keys = {name.removeprefix(prefix): given[name] for name in given if name.startswith(prefix)}
    config = LRSchedulersContainer.Config(**{key: kinds[key](keys[key]) for key in keys})
    optimizer = optimizer_of(float(given["--optimizer.lr"]))
    built = config.build(optimizers=[optimizer], training_steps=int(given["--training.steps"]))
    return applied(optimizer, built.step)


def by_megatron(text: str, packages: Path) -> list[float]:
    from megatron.core.optimizer_param_scheduler import (  # pyright: ignore
        OptimizerParamScheduler,
    )

    given = options(text)
    optimizer = optimizer_of(float(given["--lr"]))
    wsd = given.get("--lr-wsd-decay-iters")
    scheduler = OptimizerParamScheduler(
        optimizer,
        init_lr=0.0,
        max_lr=float(given["--lr"]),
        min_lr=float(given["--min-lr"]),
        lr_warmup_steps=int(given["--lr-warmup-iters"]),
        lr_decay_steps=int(given["--lr-decay-iters"]),
        lr_decay_style=given["--lr-decay-style"],
        start_wd=0.0,
        end_wd=0.0,
        wd_incr_steps=UPDATES,
        wd_incr_style="constant",
        wsd_decay_steps=None if wsd is None else int(wsd),
        lr_wsd_decay_style=given.get("--lr-wsd-decay-style"),
    )
    return applied(optimizer, lambda: scheduler.step(1))


def by_axolotl(text: str, packages: Path) -> list[float]:
    """Transformers' scheduler of the name, or axolotl's own cosine with a minimum."""
    from transformers import get_scheduler

    given = yaml.safe_load(text)
    optimizer = optimizer_of(given["learning_rate"])
    steps = {"num_warmup_steps": given["warmup_steps"], "num_training_steps": given["max_steps"]}
    if "cosine_min_lr_ratio" in given:
        path = next(packages.glob("axolotl*/src/axolotl/utils/schedulers.py"))
        spec = importlib.util.spec_from_file_location("axolotl_schedulers", path)
        assert spec is not None
        assert spec.loader is not None
        own = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(own)
        least = given["cosine_min_lr_ratio"]
        scheduler = own.get_cosine_schedule_with_min_lr(optimizer, **steps, min_lr_ratio=least)
    else:
        arguments = given.get("lr_scheduler_kwargs", {})
        scheduler = get_scheduler(
            given["lr_scheduler"], optimizer, **steps, scheduler_specific_kwargs=arguments
        )
    return applied(optimizer, scheduler.step)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Exported texts in the projects' own schedulers.")
    parser.add_argument("packages", type=Path, help="folder with megatron, torchtitan, axolotl-*")
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    readers = {"torchtitan": by_torchtitan, "megatron": by_megatron, "axolotl": by_axolotl}
    print(f"torchtitan {version('torchtitan')}, megatron-core {version('megatron-core')},", end=" ")
    print(*(path.name for path in asked.packages.glob("axolotl-*")))
    print(f"{'':12}{'in the warmup':>14}{'after it':>10}  schedule")
    for name, read in readers.items():
        for spec in SPECS:
            schedule = parse_schedule(spec)
            result = export_schedule(schedule, name)
            if not result.exact:
                continue
            rates = np.array(read(result.text, asked.packages))
            error = np.abs(rates - schedule(np.arange(UPDATES))) / schedule.peak
            warm, rest = error[: schedule.warmup].max(initial=0.0), error[schedule.warmup :].max()
            print(f"{name:12}{warm:14.1e}{rest:10.1e}  {spec}")
