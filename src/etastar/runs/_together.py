"""Whether runs can stand in one fit."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from etastar._errors import option

from ._run import Run

VALIDATION = ("val", "valid", "eval")
ENOUGH = 5
"""Fewer points, of a run or common to several, show nothing of how losses move."""
RISING = 0.9
"""A loss rises throughout where its rank correlation with the step is above this."""
APART = 1.5
"""Peaks by this factor apart should make a difference ..."""
LEAST = 1e-5
"""... of more than this part of the loss, and more than chance makes."""


def check_together(runs: Sequence[Run], *, sees_batch: bool = False) -> list[str]:
    """What makes runs hard to compare in one fit: a caveat each, none where all is well.

    Looks for different or partly unknown batch sizes and momenta, validation losses beside training
    losses, training losses where the logs have a validation loss of an unusual name, runs that
    diverged, one curve given twice, and losses that are probably none: that keep one value, rise
    throughout, or do not depend on the LR.

    Arguments:
        runs: what `read_runs` returned, in any number.
        sees_batch: whether the law that is fitted to them says what the batch size does; then runs
            may differ in it, where all say theirs.

    Returns:
        One line each, naming the runs.

    >>> from etastar.schedule import parse_schedule
    >>> constant = parse_schedule("constant:peak=1e-3,horizon=20")
    >>> small, large = (Run(f"b{b}", [10, 20], [4, 3 + b], constant, b) for b in (1, 2))
    >>> check_together([small, large])
    ['runs differ in batch size (1: b1; 2: b2); a law holds for one batch size']
    """
    good = [run for run in runs if not run.diverged]
    sizes = _differ(good, "batch size", lambda run: run.batch_size)
    known = sees_batch and all(run.batch_size is not None for run in good)
    caveats = [
        *([] if known else sizes),
        *_differ(good, "momentum", lambda run: run.momentum),
        *_differ(good, "kind of loss", _kind),
        *_training(good),
        *_no_losses(good),
        *_independent(good),
    ]
    diverged = [run.name for run in runs if run.diverged]
    if diverged:
        caveats.append(f"runs that diverged are left out of the fit: {_names(diverged)}")
    seen: dict[bytes, str] = {}
    for run in runs:
        key = run.step.tobytes() + run.loss.tobytes()
        if key in seen:
            caveats.append(f"runs {seen[key]} and {run.name} have the same steps and losses")
        seen.setdefault(key, run.name)
    return caveats


def _differ(runs: Sequence[Run], noun: str, value: Callable[[Run], object]) -> list[str]:
    groups: dict[object, list[str]] = {}
    for run in runs:
        groups.setdefault(value(run), []).append(run.name)
    if len(groups) < 2:
        return []
    parts = [f"{_show(key)}: {_names(names)}" for key, names in groups.items()]
    return [f"runs differ in {noun} ({'; '.join(parts)}); a law holds for one {noun}"]


def _kind(run: Run) -> object:
    """Validation or training, by the name of the loss column; None where it does not say."""
    if "loss_kind" in run.metadata:
        return run.metadata["loss_kind"]
    column = str(run.metadata.get("loss_column", "")).lower()
    if any(word in column for word in VALIDATION):
        return "validation"
    return "training" if "train" in column else None


def _training(runs: Sequence[Run]) -> list[str]:
    """Training losses that were taken although the logs seem to have a validation loss."""
    others = sorted({str(run.metadata.get("passed_over", "")) for run in runs} - {""})
    taken = sorted(
        {str(run.metadata["loss_column"]) for run in runs if "passed_over" in run.metadata}
    )
    if not others:
        return []
    return [
        f"the loss is {_names(taken)}, a training loss, but the logs have {_names(others)} too: for"
        f" a plan by a validation loss give {option('loss', others[0])}"
    ]


def _no_losses(runs: Sequence[Run]) -> list[str]:
    """Runs whose losses do not fall, as those of a wrong column."""
    flat = [run for run in runs if len(run.loss) >= ENOUGH and np.ptp(run.loss) == 0]
    points = [float(run.loss[0]) for run in runs if len(run.loss) == 1]
    caveats = [f"the loss has one value throughout in {_names(_of(flat))}; {_check(flat)}"]
    rising = [
        run for run in runs if len(run.loss) >= ENOUGH and _rank_correlation(run.loss) > RISING
    ]
    caveats.append(f"the loss rises throughout in {_names(_of(rising))}; {_check(rising)}")
    same = "the final loss is the same in all runs; check that its column is the right one"
    return [
        *(caveat for caveat, found in zip(caveats, (flat, rising), strict=True) if found),
        *([same] if len(points) >= ENOUGH and len(set(points)) == 1 else []),
    ]


def _of(runs: Sequence[Run]) -> list[str]:
    return [run.name for run in runs]


def _check(runs: Sequence[Run]) -> str:
    columns = sorted({str(run.metadata.get("loss_column", "")) for run in runs} - {""})
    named = f" ({_names(columns)})" if columns else ""
    return f"a loss falls in training: check that its column{named} is the right one"


def _rank_correlation(loss: np.ndarray) -> float:
    """Spearman's, of a loss with the step; 0 for one that stays the same."""
    if np.ptp(loss) == 0:
        return 0.0
    ranks = np.unique(loss, return_inverse=True)[1]
    return float(np.corrcoef(ranks, np.arange(len(loss)))[0, 1])


def _independent(runs: Sequence[Run]) -> list[str]:
    """A caveat where peaks that are far apart make no difference to the losses.

    Compared are the means of log loss over the later half of the steps that all runs have. Chance
    moves the mean of m points by the noise over sqrt(m); the noise is taken from the differences
    between neighbours of second order, whose variance is 6 times that of the noise.
    """
    runs = [run for run in runs if np.ptp(run.loss) > 0]
    peaks = [run.schedule.peak for run in runs]
    if len(runs) < 2 or max(peaks) < APART * min(peaks) or len({r.batch_size for r in runs}) > 1:
        return []
    common = set(runs[0].step.tolist()).intersection(*(run.step.tolist() for run in runs[1:]))
    steps = np.array(sorted(common))
    if len(steps) < ENOUGH:
        return []
    logs = np.log([run.loss[np.searchsorted(run.step, steps)] for run in runs])
    noise = float(np.median(np.abs(np.diff(logs, n=2)))) / 0.6745 / np.sqrt(6)
    later = logs[:, len(steps) // 2 :]
    apart = float(np.std(later.mean(axis=1), ddof=1))
    if apart > max(2 * noise / np.sqrt(later.shape[1]), LEAST):
        return []
    return [
        f"losses do not depend on the LR: runs with peaks from {min(peaks):g} to {max(peaks):g}"
        f" differ by {apart:.1g} of the loss, no more than chance makes; check that each run used"
        " the LR that is declared for it"
    ]


def _show(value: object) -> str:
    if value is None:
        return "unknown"
    return f"{value:g}" if isinstance(value, int | float) else str(value)


def _names(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
