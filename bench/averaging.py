"""What does an average of weights at a constant LR lose or gain against annealing the LR?

    python bench/averaging.py model [--horizons 1e3,1e4,1e5]    # the solvable model, minutes
    python bench/averaging.py train [--seeds 2]                 # a small GPT: writes the logs
    python bench/averaging.py table                             # reads them

`model`: for three tasks, the excess loss of the best constant LR alone, with the best window and
with the best EMA, and of the best WSD and cosine, over that of the best schedule of all. LR and
length are searched together, all losses are exact. Then the exponents of the losses between the
horizons, and what an average adds to the best schedule.

`train`: `etastar.train.gpt` for 2000 updates, under constant LRs and under LRs that fall linearly
to 0, over the run or over its last fifth (wsd), each on a grid of peaks; in every run windows and
EMAs of several lengths, beside each other. A row of bench/runs/averaging.csv is one run and one
average, its loss that of the validation windows after the last update.
"""

from __future__ import annotations

import argparse
import csv
import sys
from pathlib import Path
from statistics import mean, stdev

import numpy as np
from scipy.optimize import minimize

from etastar.control import baselines, solve
from etastar.model import PowerLaw, averaged_losses, exact_losses, phase
from etastar.schedule import InputError, Schedule, WeightAverage, make_schedule

ROOT = Path(__file__).parents[1]
RUNS = ROOT / "bench/runs/averaging.csv"
TASKS = {
    "easy, a=1.5 s=1": PowerLaw(1.5, 1.0, noise=0.25, batch_size=8),
    "easy, a=2 s=1": PowerLaw(2.0, 1.0, noise=0.25, batch_size=8),
    "hard, a=1.5 s=0.2": PowerLaw(1.5, 0.2, noise=0.25, batch_size=8),
}
HORIZON, WARMUP = 2000, 100
PEAKS = {
    "constant": (5e-4, 1e-3, 2e-3),
    "linear": (1e-3, 2e-3, 4e-3),
    "wsd": (5e-4, 1e-3, 2e-3, 4e-3),
}
AVERAGES = (
    "window:1",
    "window:0.05",
    "window:0.1",
    "window:0.2",
    "window:0.4",
    "ema:0.05",
    "ema:0.1",
)
COLUMNS: tuple[str, ...] = ("schedule", "seed", "average", "loss")


def best_average(model: PowerLaw, horizon: int, kind: str, start: float) -> tuple[float, ...]:
    """Loss, LR and length (a part of the horizon) of the best constant LR with an average."""
    top = model.max_rate

    def value(point: np.ndarray) -> float:
        rate, length = np.exp(point)
        if rate >= top or not 1 / horizon <= length < 1:
            return np.inf
        constant = make_schedule("constant", peak=float(rate), horizon=horizon)
        average = WeightAverage(kind, float(max(length * horizon, 1.0)))
        try:
            return float(np.log(averaged_losses(model, constant, average)[0]))
        except InputError:
            return np.inf

    first = np.log([min(start, 0.8 * top), 0.6 if kind == "window" else 0.4])
    simplex = first + np.array([[0.0, 0.0], [-0.5, 0.0], [0.0, -0.5]])
    # About the optimum the loss is flat: 0.05 in the logarithms are 0.001 of it.
    options = {"initial_simplex": simplex, "xatol": 0.05, "fatol": 1e-3, "maxfev": 40}
    found = minimize(value, first, method="Nelder-Mead", options=options)
    return float(np.exp(found.fun)), *np.exp(found.x)


def compare(name: str, model: PowerLaw, horizons: list[int]) -> None:
    print(f"\n{name}: loss over that of the best schedule")
    print(f"{'horizon':>9}{'best loss':>11}{'cosine':>8}{'wsd':>8}{'constant':>9}{'window':>8}"
          f"{'ema':>8}   window: LR over max, part    ema: LR over max, part")  # fmt: skip
    losses = []
    start = 0.3 * model.max_rate
    found = phase(model.capacity, model.source, model.noise > 0)
    for horizon in horizons:
        best = solve(model, horizon)
        by_family = {each.family: each.loss for each in baselines(model, horizon)}
        window = best_average(model, horizon, "window", start)
        ema = best_average(model, horizon, "ema", start)
        start = window[1] * 10**-found.xi
        top = model.max_rate
        ratios = [by_family[family] / best.loss for family in ("cosine", "wsd", "constant")]
        ratios += [window[0] / best.loss, ema[0] / best.loss]
        print(f"{horizon:9d}{best.loss:11.3e}{ratios[0]:8.3f}{ratios[1]:8.3f}{ratios[2]:9.3f}"
              f"{ratios[3]:8.3f}{ratios[4]:8.3f}   {window[1] / top:14.3f}{window[2]:7.2f}"
              f"{ema[1] / top:20.3f}{ema[2]:7.2f}", flush=True)  # fmt: skip
        losses.append((best.loss, by_family["constant"], window[0], ema[0]))
        if horizon <= 10**4:
            print(f"{'':9}the best schedule with an average: {added(model, best.schedule)}")
    print(f"  in theory the best falls as T^-{found.loss_exponent:.3f}")
    for early, late, h1, h2 in zip(losses, losses[1:], horizons, horizons[1:], strict=False):
        slopes = [-np.log(b / a) / np.log(h2 / h1) for a, b in zip(early, late, strict=True)]
        names = ("best", "constant", "window", "ema")
        said = ", ".join(f"{label} {slope:.3f}" for label, slope in zip(names, slopes, strict=True))
        print(f"  exponents {h1:g} to {h2:g}: {said}")


def added(model: PowerLaw, schedule: Schedule) -> str:
    """What windows over the best schedule do to its loss."""
    plain = exact_losses(model, schedule)[0]
    parts = (0.005, 0.02, 0.05, 0.1)
    ratios = [averaged_losses(model, schedule, f"window:{part}")[0] / plain for part in parts]
    return ", ".join(f"{part:g}: {ratio:.3f}" for part, ratio in zip(parts, ratios, strict=True))


def train(seeds: int) -> None:
    rows = read_rows()
    specs = [
        f"{shape}:peak={peak:g},horizon={HORIZON},warmup={WARMUP}"
        + (",cooldown=0.2" if shape == "wsd" else "")
        for shape, peaks in PEAKS.items()
        for peak in peaks
    ]
    for seed in range(seeds):
        for spec in specs:
            if any(row["schedule"] == spec and row["seed"] == str(seed) for row in rows):
                continue
            found = losses_of(spec, seed)
            for key, value in found.items():
                row = (spec, str(seed), key, f"{value:.5f}")
                rows.append(dict(zip(COLUMNS, row, strict=True)))
            with RUNS.open("w", newline="", encoding="utf-8") as file:
                writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
                writer.writeheader()
                writer.writerows(rows)
            print(spec, seed, {key: round(value, 4) for key, value in found.items()}, flush=True)


def losses_of(spec: str, seed: int) -> dict[str, float]:
    """One run, and the validation losses of its averages."""
    import torch

    from etastar.integrations.torch import AveragedWeights, ScheduledLR
    from etastar.schedule import parse_schedule
    from etastar.train import gpt
    from etastar.train.loop import Log

    torch.set_num_threads(1)
    schedule = parse_schedule(spec)
    settings = gpt.Settings(schedule=schedule, seed=seed)
    corpus = gpt.load_corpus(allow_missing=True)
    torch.manual_seed(seed)
    model = gpt.GPT(settings.layers, settings.width, settings.heads, settings.context)
    state = gpt.State(model, gpt.make_optimizer(model, settings), Log(RUNS))  # nothing is logged
    batches = gpt.Batches(corpus.train, settings)
    scheduler = ScheduledLR(state.optimizer, schedule)
    averages = {text: AveragedWeights(state.model, scheduler, text) for text in AVERAGES}
    for step in range(schedule.horizon):
        gpt.update(state, batches(step), settings, schedule(step))
        scheduler.step()
        for average in averages.values():
            average.update()
    windows = gpt.validation_windows(corpus.validation, settings)
    return {
        text: gpt.evaluate(average.model, windows, settings)  # pyright: ignore
        for text, average in averages.items()
    }


def read_rows() -> list[dict[str, str]]:
    if not RUNS.exists():
        return []
    with RUNS.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def table() -> None:
    rows = read_rows()
    schedules = list(dict.fromkeys(row["schedule"] for row in rows))
    print(f"{'average':>12}  " + "".join(f"{name.split(',')[0]:>26}" for name in schedules))
    for text in AVERAGES:
        cells = []
        for name in schedules:
            here = [float(r["loss"]) for r in rows if (r["schedule"], r["average"]) == (name, text)]
            spread = f" ({stdev(here):.4f})" if len(here) > 1 else ""
            cells.append(f"{mean(here):.4f}{spread}")
        label = "none" if text == "window:1" else text
        print(f"{label:>12}  " + "".join(f"{cell:>26}" for cell in cells))
    print(f"mean and standard deviation over {len({row['seed'] for row in rows})} seeds")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Averaging in place of annealing.")
    parser.add_argument("what", choices=("model", "train", "table"))
    parser.add_argument("--horizons", default="1e3,1e4,1e5", help="of the model")
    parser.add_argument("--seeds", type=int, default=2, help="of the training")
    asked = parser.parse_args()
    if asked.what == "model":
        for task, linear_model in TASKS.items():
            compare(task, linear_model, [int(float(each)) for each in asked.horizons.split(",")])
    elif asked.what == "train":
        train(asked.seeds)
    else:
        table()
    sys.stdout.flush()
