"""The part of report.html that moves: its controls, and the values that its scripts work from."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from etastar.export import snippet_templates
from etastar.law import Law, law_document
from etastar.planning import Plan, transfer_of
from etastar.runs import Run
from etastar.schedule import Schedule

from ._charts import data_script
from ._page import browser_text, section

OWN_LAW = "etastar"
"""The law whose formulas the scripts of the page know."""


def explorer(plan: Plan) -> str:
    """The controls, numbers and charts that follow the reader, and what they are computed from.

    "" for a plan of another law, or of no fits: its page does not move.
    """
    if not moves(plan):
        return ""
    return section(
        "Other settings",
        browser_text("explorer.html"),
        data_script("plan-data", plan_document(plan)),
    )


def moves(plan: Plan) -> bool:
    """Whether the page of a plan can compute what its law says of other schedules."""
    own = isinstance(plan.law, Law) and plan.law.form.name == OWN_LAW
    return own and bool(plan.members) and plan.limits is not None


def plan_document(plan: Plan) -> dict[str, Any]:
    """What `browser/plans.js` reads of a plan: plain values, steps in updates, LRs as in the logs.

    Keys: `law`, as `etastar.law.law_document` has it; `members`, pairs [theta, linear]; `schedule`
    and `batch`, as in schedule.json; `horizon`, `peak`, `loss {mean, low, high}`; `limits {cap,
    floor, warmup, byBatch, transfer}`; `past {schedule, step, rate, warmup}` or None; `pilots`,
    each {name, peak, batch, steps, loss, fitted}; `variesBatch`; `snippets`.
    """
    limits = plan.limits
    assert limits is not None
    past = limits.past
    varies = plan.batch_map is not None
    return {
        "law": law_document(plan.law),
        "members": [[law.theta.tolist(), law.linear.tolist()] for law in plan.members],
        "schedule": _document(plan.schedule),
        "batch": None if plan.batch_size is None else _document(plan.batch_size),
        "horizon": plan.horizon,
        "peak": plan.peak_lr,
        "loss": {"mean": plan.loss.value, "low": plan.loss.low, "high": plan.loss.high},
        "limits": {
            "cap": limits.cap,
            "floor": limits.floor,
            "warmup": limits.warmup,
            "byBatch": varies and _is_of_pilots(plan),
            "transfer": transfer_of(plan.law),
        },
        "past": None
        if past is None
        else {
            "schedule": _document(past.schedule),
            "step": past.step,
            "rate": past.rate,
            "warmup": limits.warmup,
        },
        "pilots": [_pilot(plan.law, run) for run in plan.runs],
        "variesBatch": varies,
        "snippets": snippet_templates(),
    }


def _is_of_pilots(plan: Plan) -> bool:
    """Whether the cap is what the pilots show to be stable, and not one that the user gave."""
    assert plan.limits is not None
    assert plan.batch_size is not None
    size, power = float(plan.batch_size(0)), transfer_of(plan.law)
    stable = max(
        run.schedule.peak * min(1.0, size / float(run.batch_size or size)) ** power
        for run in plan.runs
    )
    return bool(np.isclose(plan.limits.cap, stable, rtol=1e-9))


def _document(schedule: Schedule) -> dict[str, Any]:
    document = json.loads(schedule.to_json())
    return {key: value for key, value in document.items() if key not in ("format", "version")}


def _pilot(law: Law, run: Run) -> dict[str, Any]:
    fitted = law.predict(run.schedule, [run.final_step], batch_size=run.batch_size)
    return {
        "name": run.name,
        "peak": run.schedule.peak,
        "batch": run.batch_size,
        "steps": float(run.final_step),
        "loss": run.final_loss,
        "fitted": float(fitted.mean[-1]),
    }
