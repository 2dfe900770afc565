"""Does the best base LR of a training in one pass move with the horizon?

    python bench/lr_against_horizon.py [GROUP] [--figure FILE.svg] [--pilots] [--synthetic N]

Reads the trainings that `bench/run_queue.py GROUP` has made so far: `images`, residual networks on
drawn images; `images_decay`, the same with weight decay; `text`, a GPT on bytes. For each
schedule's shape, label noise and horizon the best peak LR is the minimum of a parabola in log LR,
fitted to the final losses of the peaks near the best one. The intervals (90 %) are a bootstrap's:
losses are drawn anew from their means and the scatter between seeds, and everything after is
repeated; one seed has no interval. The slope is that of log best LR against log horizon.
In the hard phase theory says 0 for shapes that anneal and -s/(1 + s) for a constant LR; in the
easy phase it is negative for both.

`--pilots` fits the loss law to the annealed runs of the two shortest horizons and prints the phase
that it names. `--synthetic N` makes N sweeps of known slope instead, and prints how often the
intervals hold it.
"""

from __future__ import annotations

import argparse
import csv
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import plotly.graph_objects as go
from loss_exponents import styled, write
from plotly.subplots import make_subplots
from scipy.stats import norm, t

from etastar.schedule import parse_schedule

RUNS = Path(__file__).parent / "runs"
HORIZONS = {
    "images": (2000, 4000, 8000, 16000, 32000),
    "images_decay": (2000, 4000, 8000, 16000, 32000),
    "text": (4000, 8000, 16000, 32000, 64000),
}
NEAR = 4.2
"""The parabola is fitted to the peaks within this factor of the best one, at least three."""

LAST_PART = 0.2
"""Of a constant LR the final loss is the mean training loss over this last part of the horizon: the
loss of one moment is noisy there, and in one pass the training loss is that of unseen images."""

DRAWS = 1000
LEVEL = 0.9
COLORS = {"constant": "#be123c", "linear": "#0f766e", "cosine": "#1d4ed8", "wsd": "#b45309"}


@dataclass(frozen=True)
class Losses:
    """Final losses of one shape at one horizon.

    Attributes:
        peaks: LRs, rising, (peaks,).
        table: losses (seeds, peaks); NaN for a run that diverged or is not there.
    """

    peaks: np.ndarray
    table: np.ndarray

    @property
    def means(self) -> np.ndarray:
        """Mean loss of each peak (peaks,), free of the seeds that each happens to have."""
        known = np.isfinite(self.table)
        level, mean = np.zeros((len(self.table), 1)), np.zeros(len(self.peaks))
        for _ in range(20):  # two-way means of a table with gaps, by turns
            mean = np.nansum(np.where(known, self.table - level, 0), axis=0) / known.sum(axis=0)
            rest = np.where(known, self.table - mean, 0).sum(axis=1, keepdims=True)
            level = rest / known.sum(axis=1, keepdims=True)
            level -= level.mean()
        return mean


@dataclass(frozen=True)
class Sweep:
    """The best peaks of one shape.

    Attributes:
        losses: of each horizon.
        best: log of the best peak at each horizon.
        draws: the same in each draw of the bootstrap, (draws, horizons).
        slope: of `best` against the log of the horizon; NaN of a single horizon.
        slopes: in each draw.
    """

    losses: dict[int, Losses]
    best: np.ndarray
    draws: np.ndarray
    slope: float
    slopes: np.ndarray


def read_losses(folder: Path) -> dict[tuple[str, float], dict[int, Losses]]:
    """Final losses by shape and label noise, then by horizon."""
    found: dict = defaultdict(lambda: defaultdict(dict))
    with (folder / "runs.csv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["status"] in ("finished", "diverged")]
    for row in rows:
        schedule = parse_schedule(row["schedule"])
        shape = row["schedule"].partition(":")[0]
        with (folder / f"{row['run']}.csv").open(encoding="utf-8") as file:
            column = "train_loss" if shape == "constant" else "loss"
            log = [(int(r["step"]), float(r[column] or "nan")) for r in csv.DictReader(file)]
        step, loss = np.array(log).T
        # A constant LR knows no horizon: a run holds all shorter ones.
        all_horizons = HORIZONS[folder.name]
        for horizon in all_horizons if shape == "constant" else (schedule.horizon,):
            if horizon > schedule.horizon:
                continue
            last = step > (1 - LAST_PART) * horizon if shape == "constant" else step == horizon
            last &= step <= horizon
            value = loss[last].mean() if step[-1] >= horizon and last.any() else np.nan
            place = found[shape, float(row.get("label_noise") or 0)][horizon]
            place[int(row["seed"]), schedule.peak] = value
    return {
        key: {horizon: table_of(found[key][horizon]) for horizon in sorted(found[key])}
        for key in sorted(found, key=lambda key: (key[1], list(COLORS).index(key[0])))
    }


def table_of(values: dict[tuple[int, float], float]) -> Losses:
    """Losses by seed and peak; peaks of which no run ended well are left out."""
    good = {key: value for key, value in values.items() if np.isfinite(value)}
    seeds, peaks = sorted({s for s, _ in good}), sorted({p for _, p in good})
    table = np.array([[good.get((s, p), np.nan) for p in peaks] for s in seeds])
    return Losses(np.array(peaks), table)


# --------------------------------------------------------------------------------- the best peak


def window(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Places of the peaks that the parabola is fitted to, given log peaks and losses."""
    distance = np.abs(x - x[np.argmin(y)])
    return np.sort(np.argsort(distance, kind="stable")[: max(3, np.sum(distance < np.log(NEAR)))])


def best_peaks(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Log of the best peak of each row of losses, given log peaks.

    It is the window's better end where the parabola has no minimum in the window.
    """
    lowest = np.argmin(y, axis=1)
    result = np.empty(len(y))
    for place in np.unique(lowest):
        rows = np.flatnonzero(lowest == place)
        chosen = window(x, y[rows[0]])
        near, losses = x[chosen], y[np.ix_(rows, chosen)]
        curvature, slope, _ = np.polyfit(near - near.mean(), losses.T, 2)
        with np.errstate(divide="ignore", invalid="ignore"):
            minimum = np.clip(near.mean() - slope / (2 * curvature), near[0], near[-1])
        result[rows] = np.where(curvature > 0, minimum, x[place])
    return result


def scatter(losses: Losses) -> tuple[np.ndarray, int]:
    """Deviations of single losses near the best peak, and their degrees of freedom.

    They are relative to the lowest loss, and scaled to the variance of one run's.

    Deviations between seeds, the mean of each seed and of each peak taken out: a seed that shifts
    all losses alike moves no minimum. Empty where fewer than two seeds have all of these peaks.
    """
    table = losses.table[:, window(np.log(losses.peaks), losses.means)]
    table = table[np.isfinite(table).all(axis=1)]
    seeds, peaks = table.shape
    if seeds < 2:
        return np.empty(0), 0
    rest = table - table.mean(axis=0) - table.mean(axis=1, keepdims=True) + table.mean()
    freedom = (seeds - 1) * (peaks - 1)
    return rest.ravel() / losses.means.min() * np.sqrt(rest.size / freedom), freedom


def bootstrap(losses: dict[int, Losses], together: bool, rng: np.random.Generator) -> np.ndarray:
    """The best peaks of losses drawn anew, (draws, horizons).

    Arguments:
        losses: by horizon.
        together: whether the horizons are moments of the same runs: the scatter of a run is then
            drawn once, in units of each horizon's own, for all of them.
    """
    found = [scatter(each) for each in losses.values()]
    pools = {horizon: pool for horizon, (pool, _) in zip(losses, found, strict=True)}
    freedom = [each for _, each in found if each]
    if not freedom:
        return np.full((DRAWS, len(losses)), np.nan)
    # As Student's t over the normal distribution: the scatter itself is known from a few runs.
    known_from = np.mean(freedom) if together else np.sum(freedom)
    wider = t.ppf((1 + LEVEL) / 2, known_from) / norm.ppf((1 + LEVEL) / 2)
    # A horizon's own scatter is known from a few runs: half of the weight is with all together.
    common = np.mean(np.concatenate(list(pools.values())) ** 2)
    own = {h: np.mean(pool**2) if len(pool) else common for h, pool in pools.items()}
    spread = {h: np.sqrt((variance + common) / 2) for h, variance in own.items()}
    unit = np.concatenate(
        [pool / np.sqrt(np.mean(pool**2)) for pool in pools.values() if len(pool)]
    )
    all_peaks = sorted({float(p) for each in losses.values() for p in each.peaks})
    seeds = max(len(each.table) for each in losses.values())
    shared = rng.choice(unit, (DRAWS, seeds, len(all_peaks)))
    result = np.empty((DRAWS, len(losses)))
    for column, (horizon, each) in enumerate(losses.items()):
        known = np.isfinite(each.table)
        place = np.searchsorted(all_peaks, each.peaks)
        alone = rng.choice(unit, (DRAWS, *known.shape))
        drawn = shared[:, : len(known), place] if together else alone
        noise = np.where(known, drawn, 0).sum(axis=1) / known.sum(axis=0)
        noise *= wider * spread[horizon] * each.means.min()
        result[:, column] = best_peaks(np.log(each.peaks), each.means + noise)
    return result


def sweep_of(losses: dict[int, Losses], together: bool, seed: int = 0) -> Sweep:
    """The best peaks of one shape and their slope."""
    losses = {horizon: each for horizon, each in losses.items() if len(each.peaks) >= 3}
    best = np.array([best_peaks(np.log(e.peaks), e.means[None])[0] for e in losses.values()])
    draws = bootstrap(losses, together, np.random.default_rng(seed))
    if len(losses) < 2:
        return Sweep(losses, best, draws, np.nan, np.full(DRAWS, np.nan))
    x = np.log(np.array(list(losses), dtype=float))
    x -= x.mean()
    line = x / np.sum(x**2)
    return Sweep(losses, best, draws, float(line @ best), draws @ line)


def interval(values: np.ndarray, around: float) -> tuple[float, float]:
    """The bootstrap's central interval, widened where it does not hold the value itself."""
    low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(np.minimum(low, around)), float(np.maximum(high, around))  # NaN stays


# ----------------------------------------------------------------------------- tables and figure


def print_sweep(shape: str, noise: float, sweep: Sweep) -> None:
    print(f"\n{shape}" + (f", {noise:.0%} of the labels flipped" if noise else ""))
    print(f"{'T':>7} {'seeds':>5} {'peaks':>5} {'best LR':>8} {'90 % interval':>19} {'loss':>8}")
    for column, (horizon, losses) in enumerate(sweep.losses.items()):
        best = sweep.best[column]
        low, high = np.exp(interval(sweep.draws[:, column], best))
        around = f"{low:.4f} - {high:.4f}" if np.isfinite(low) else "one seed"
        x = np.log(losses.peaks)
        end = min(abs(best - x[0]), abs(best - x[-1])) < 1e-9
        print(
            f"{horizon:>7} {len(losses.table):>5} {len(x):>5} {np.exp(best):>8.4f} "
            f"{around:>19} {losses.means.min():>8.4f}" + ("  at the end of the grid" if end else "")
        )
    if len(sweep.losses) > 1:
        low, high = interval(sweep.slopes, sweep.slope)
        around = f" ({low:+.3f} to {high:+.3f})" if np.isfinite(low) else ""
        print(f"slope of log best LR against log T: {sweep.slope:+.3f}{around}")
        least = [losses.means.min() for losses in sweep.losses.values()]
        fall = np.polyfit(np.log(list(sweep.losses)), np.log(least), 1)[0]
        print(f"slope of the log of the lowest loss: {fall:+.3f}")


def print_verdict(sweeps: dict[tuple[str, float], Sweep], hard: bool) -> None:
    """Whether the slopes are those of the phase that is expected."""
    for (shape, noise), sweep in sweeps.items():
        low, high = interval(sweep.slopes, sweep.slope)
        if noise or not np.isfinite(low):
            continue
        if shape == "constant":
            print(f"constant: slope negative at 90 %: {'yes' if high < 0 else 'no'}")
        elif hard:
            inside = low >= -0.1 and high <= 0.1
            print(f"{shape}: interval inside -0.1 to 0.1: {'yes' if inside else 'no'}")
        else:
            moves = sweep.slope < -0.15 and high < 0
            print(f"{shape}: slope below -0.15, negative at 90 %: {'yes' if moves else 'no'}")


def print_phase(folder: Path) -> None:
    """The phase that a law fitted to annealed pilots names."""
    from etastar import fit, read_runs
    from etastar.law import exponents_of

    for noise in (0.0, 0.2):
        pilots = [
            run
            for run in read_runs(folder)
            if run.schedule.horizon in HORIZONS[folder.name][:2]
            and float(str(run.metadata.get("label_noise", 0))) == noise
            and not run.schedule.spec.startswith("constant")
        ]
        if len(pilots) < 4:
            continue
        found = exponents_of(fit(pilots), LEVEL)
        parts = [
            f"{name} {value:.2f} ({low:.2f} to {high:.2f})"
            for name in ("xi", "capacity", "source")
            for value, low, high in (getattr(found, name),)
        ]
        print(f"\n{len(pilots)} pilots, label noise {noise:g}: {found.name}; {', '.join(parts)}")


def figure(sweeps: dict[tuple[str, float], Sweep]) -> go.Figure:
    """Final loss against peak LR of linear decay, and the best peaks of every shape against T."""
    made = make_subplots(1, 2, horizontal_spacing=0.12)
    linear = sweeps[("linear", 0.0)].losses if ("linear", 0.0) in sweeps else {}
    for number, (horizon, losses) in enumerate(linear.items()):
        color = f"rgba(15, 118, 110, {0.3 + 0.7 * number / len(linear):.2f})"
        made.add_trace(
            go.Scatter(
                x=losses.peaks, y=losses.means, mode="lines+markers", name=f"T = {horizon}",
                line={"color": color}, showlegend=False,
            ), 1, 1,
        )  # fmt: skip
        made.add_annotation(
            x=np.log10(losses.peaks[0]), y=np.log10(losses.means[0]), text=f"T = {horizon}",
            showarrow=False, xanchor="right", row=1, col=1,
        )  # fmt: skip
    for (shape, noise), sweep in sweeps.items():
        ends = np.array([interval(d, b) for d, b in zip(sweep.draws.T, sweep.best, strict=True)])
        middle = np.exp(sweep.best)
        made.add_trace(
            go.Scatter(
                x=list(sweep.losses), y=middle, mode="lines+markers",
                name=shape + (", noisy labels" if noise else ""),
                line={"color": COLORS[shape], "dash": "dot" if noise else "solid"},
                error_y={
                    "array": np.exp(ends[:, 1]) - middle,
                    "arrayminus": middle - np.exp(ends[:, 0]),
                },
            ), 1, 2,
        )  # fmt: skip
    styled(made, 900, 420)
    made.update_xaxes(type="log")
    made.update_yaxes(type="log")
    made.update_xaxes(title_text="peak LR, linear decay", row=1, col=1)
    made.update_yaxes(title_text="final loss", row=1, col=1)
    made.update_xaxes(title_text="T, updates", row=1, col=2)
    made.update_yaxes(title_text="best peak LR", row=1, col=2)
    return made


# ------------------------------------------------------------------------------------- synthetic


def synthetic(count: int, slope: float, seeds: int, together: bool) -> None:
    """Sweeps whose best peak moves as T^slope, with noise as in the trainings."""
    held, errors, widths = 0, [], []
    peaks = 0.05 * 2.0 ** np.arange(-3.0, 4.0)
    for number in range(count):
        rng = np.random.default_rng([number, seeds])
        losses, shared = {}, rng.normal(size=(seeds, len(peaks)))
        for horizon in HORIZONS["images"]:
            best = np.log(0.06) + slope * np.log(horizon / 8000)
            mean = (horizon / 2000) ** -0.2 * (1 + 0.04 * (np.log(peaks) - best) ** 2)
            own = shared if together else rng.normal(size=shared.shape)
            level = rng.normal(0, 0.02, (seeds, 1))
            losses[horizon] = Losses(peaks, mean + level + 0.012 * mean * own)
        sweep = sweep_of(losses, together, seed=number)
        low, high = interval(sweep.slopes, sweep.slope)
        held += low <= slope <= high
        errors.append(sweep.slope - slope)
        widths.append(high - low)
    kind = "the same runs" if together else "runs of their own"
    print(
        f"slope {slope:+.2f}, {seeds} seeds, {kind} at all horizons: mean error "
        f"{np.mean(errors):+.4f}, spread {np.std(errors):.4f}, intervals {np.mean(widths):.3f} "
        f"wide hold {held / count:.0%}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="The best base LR against the horizon.")
    parser.add_argument("group", nargs="?", default="images", choices=list(HORIZONS))
    parser.add_argument("--figure", type=Path, help="SVG or HTML file to write")
    parser.add_argument("--pilots", action="store_true", help="what a law fitted to pilots says")
    parser.add_argument("--synthetic", type=int, metavar="N", help="test on N sweeps of each kind")
    given = parser.parse_args()
    if given.synthetic:
        for slope, seeds, together in (
            (0.0, 3, False), (-0.2, 3, False), (-0.2, 3, True), (-0.2, 2, False),
        ):  # fmt: skip
            synthetic(given.synthetic, slope, seeds, together)
        return
    folder = RUNS / given.group
    if not (folder / "runs.csv").exists():
        parser.error(f"no trainings yet; make them: python bench/run_queue.py {given.group}")
    sweeps = {
        key: sweep_of(losses, together=key[0] == "constant")
        for key, losses in read_losses(folder).items()
        if any(len(each.peaks) >= 3 for each in losses.values())
    }
    for (shape, noise), sweep in sweeps.items():
        print_sweep(shape, noise, sweep)
    print()
    print_verdict(sweeps, given.group != "text")
    if given.pilots:
        print_phase(folder)
    if given.figure:
        write(figure(sweeps), given.figure)


if __name__ == "__main__":
    main()
