"""A fitted law in a notebook: its constants, and its curves over the logs."""

from __future__ import annotations

from etastar.law import Law

from ._notebook import Shown
from ._numbers import count_text, rate_text, steps_text
from ._plan_figures import fit_figure


def shown(law: Law) -> Shown:
    """What was fitted to what, and the constants; loss against step, measured and fitted."""
    low, high = law.peak_range
    fitted = (
        f"{count_text(law.run_count, 'run')} of up to {steps_text(law.steps_fitted)} updates, "
        f"peak LR {rate_text(low)} to {rate_text(high)}"
    )
    rows = [
        ("law", law.form.name),
        ("fitted to", fitted),
        ("constants", ", ".join(f"{name} {value:.4g}" for name, value in law.constants.items())),
    ]
    return Shown(rows, [fit_figure(law, law.runs)], notes=law.caveats)
