"""How far a fit is from the ends of its runs, and from those of a forecast of their second half."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ._least_squares import LeastSquares, polish


def end_spread(problem: LeastSquares, constants: np.ndarray) -> float:
    """Relative spread of the runs' ends (the last tenth of their points) around the law."""
    mean, _ = _ends(problem, constants)
    return float(np.sqrt(np.sum(mean**2) / max(len(mean) - 2, 1) + problem.form.noise**2))


def end_misfit(problem: LeastSquares, constants: np.ndarray) -> float:
    """What of `end_spread` is the law's own error: without what the scatter of the points makes."""
    mean, variance = _ends(problem, constants)
    own = max(float(np.sum(mean**2 - variance)), 0.0)
    return float(np.sqrt(own / max(len(mean) - 2, 1) + problem.form.noise**2))


def _ends(problem: LeastSquares, constants: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean relative error of every run's last tenth, and its variance for independent points."""
    ratio = problem.ratio(constants)
    index, step, squared = problem.run, problem.step, problem.arrays.weight**2
    means, variances = [], []
    for i in range(index.max() + 1):
        late = (index == i) & (step >= 0.9 * step[index == i].max())
        part = squared[late] / squared[late].sum()
        means.append(part @ ratio[late])
        several = max(1 - part @ part, 1e-12)  # 0 for a single point, whose variance is not known
        variances.append(part**2 @ (ratio[late] - means[-1]) ** 2 / several)
    return np.array(means), np.array(variances)


def hindcast(problem: LeastSquares, constants: np.ndarray) -> float:
    """Relative error of the end of the longest runs, forecast from the first half of the steps.

    Root mean square over the runs that go beyond half of the longest; 0 where the first half alone
    has too few points.
    """
    ends = hindcast_errors(problem, constants)
    return float(np.sqrt(np.mean(np.square(list(ends.values()))))) if ends else 0.0


def hindcast_errors(problem: LeastSquares, constants: np.ndarray) -> dict[int, float]:
    """Forecast over measured, less 1, at the end of each run that goes beyond half of the longest.

    The forecast is that of the fit to the first half of the steps; the keys are the numbers of the
    runs. Empty where the first half alone has too few points.
    """
    arrays, step, index = problem.arrays, problem.step, problem.run
    early = step <= 0.5 * step.max()
    if early.sum() < 12 or early.all():
        return {}
    weight = np.zeros_like(arrays.weight)
    for i in np.unique(index[early]):
        here = np.flatnonzero(early & (index == i))
        squared = arrays.weight[here] ** 2
        weight[here] = np.sqrt(squared / squared.sum())
    half = replace(problem, arrays=replace(arrays, weight=weight), cache={})
    found = polish(half, constants, tolerance=1e-4)
    ratio = half.ratio(found.x)
    ends = {}
    for i in np.unique(index[~early]):
        late = (index == i) & (step >= 0.95 * step[index == i].max())
        ends[int(i)] = float(np.average(ratio[late], weights=arrays.weight[late] ** 2))
    return ends
