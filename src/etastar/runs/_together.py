"""Whether runs can stand in one fit."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ._run import Run

VALIDATION = ("val", "valid", "eval")


def check_together(runs: Sequence[Run], *, sees_batch: bool = False) -> list[str]:
    """What makes runs hard to compare in one fit: a caveat each, none where all is well.

    Looks for different or partly unknown batch sizes and momenta, validation losses beside training
    losses, runs that diverged, and one curve given twice.

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
    column = str(run.metadata.get("loss_column", "")).lower()
    if any(word in column for word in VALIDATION):
        return "validation"
    return "training" if "train" in column else None


def _show(value: object) -> str:
    if value is None:
        return "unknown"
    return f"{value:g}" if isinstance(value, int | float) else str(value)


def _names(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
