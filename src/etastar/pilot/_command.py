"""What `etastar pilot` prints, and the environment it reads."""

from __future__ import annotations

import math
import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from etastar._errors import InputError
from etastar.cli._terminal import working

from ._progress import design_table
from ._run import design, run_pilots
from ._supervise import Swept
from ._types import Proposal

if TYPE_CHECKING:
    from rich.console import RenderableType


def run_command(
    command: list[str],
    *,
    horizon: int,
    budget: int,
    out: Path,
    peak: str | None,
    warmup: int,
    seed: int,
    dry_run: bool,
    jobs: int | None,
    ray: str | None,
    **options: Any,
) -> tuple[dict[str, Any], RenderableType]:
    """Design the pilots and, unless it is a dry run, run them; what to print, as JSON and as text.

    Raises: as `run_pilots`.
    """
    peaks = peaks_of(peak)
    if dry_run:
        with working("designing the pilots"):
            proposal, paid = design(command, horizon, budget, peaks, warmup, seed)
        return design_document(proposal, paid), design_table(proposal, paid, horizon)
    if ray is None and jobs is None:
        ray = cluster_around()
    swept = run_pilots(
        command,
        horizon=horizon,
        budget=budget,
        out=out,
        peaks=peaks,
        warmup=warmup,
        seed=seed,
        jobs=jobs,
        ray=ray,
        **options,
    )
    document = swept_document(swept, out, horizon)
    return document, "\n".join(closing_lines(swept, out, horizon))


def design_document(proposal: Proposal, paid: list[int]) -> dict[str, Any]:
    """What `--dry-run --json` prints."""
    widths = [width if math.isfinite(width) else None for width in proposal.expected]
    rows = zip(proposal.pilots, paid, widths, strict=True)
    return {
        "pilots": [
            {
                "name": pilot.name,
                "schedule": pilot.schedule.to_dict(),
                "parent": pilot.parent,
                "steps": steps,
                "interval": width,
            }
            for pilot, steps, width in rows
        ],
        "steps": sum(paid),
        "interval": proposal.interval,
        "reason": proposal.reason,
    }


def peaks_of(text: str | None) -> tuple[float, float] | None:
    """LOW,HIGH as two learning rates. Raises: InputError for anything else.

    >>> peaks_of("1e-4,1e-2")
    (0.0001, 0.01)
    """
    if text is None:
        return None
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError:
        low = high = float("nan")
    if not 0 < low < high < float("inf"):
        raise InputError(f"--peak {text!r} must be two rising LRs, such as 1e-4,1e-2")
    return low, high


def cluster_around() -> str | None:
    """The address for a process that runs inside a Ray cluster, None outside one."""
    return "auto" if os.environ.get("RAY_ADDRESS") else None


def plan_words(out: Path, horizon: int) -> str:
    """The command to type next.

    >>> plan_words(Path("pilots"), 40_000)
    'etastar plan pilots --horizon 40000 --out plan'
    """
    return f"etastar plan {shlex.quote(str(out))} --horizon {horizon} --out plan"


def swept_document(swept: Swept, out: Path, horizon: int) -> dict[str, Any]:
    """What `--json` prints of a sweep."""
    ahead = swept.outlook
    return {
        "pilots": [
            {
                "name": ended.pilot.name,
                "schedule": ended.pilot.schedule.to_dict(),
                "status": "diverged"
                if ended.diverged
                else "finished"
                if ended.run
                else "set aside",
                "steps": None if ended.run is None else ended.run.final_step,
                "loss": None if ended.run is None else ended.run.final_loss,
            }
            for ended in swept.finished
        ],
        "steps": swept.steps,
        "interval": swept.interval,
        "outlook": None
        if ahead is None
        else {"shape": ahead.shape, "peak_lr": ahead.peak, "loss": _interval(ahead)},
        "reason": swept.reason,
        "next": plan_words(out, horizon),
    }


def _interval(ahead: Any) -> dict[str, float]:
    return {"mean": ahead.loss, "low": ahead.low, "high": ahead.high}


def closing_lines(swept: Swept, out: Path, horizon: int) -> list[str]:
    """What is said at the end: what was run, why it stopped, what to type next."""
    finished = [each for each in swept.finished if each.run is not None and not each.diverged]
    diverged = sum(each.diverged for each in swept.finished)
    aside = len(swept.finished) - len(finished) - diverged
    counts = [f"{len(finished)} pilot{'' if len(finished) == 1 else 's'} finished"]
    counts += [f"{diverged} diverged"] if diverged else []
    counts += [f"{aside} set aside"] if aside else []
    reason = f": {swept.reason}" if swept.reason else ""
    lines = [f"{', '.join(counts)}, {swept.steps:,} steps{reason}"]
    if finished:
        lines.append(f"next: {plan_words(out, horizon)}")
    return lines
