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
from ._page import section

OWN_LAW = "etastar"
"""The law whose formulas the scripts of the page know."""


def explorer(plan: Plan) -> str:
    """The controls, numbers and charts that follow the reader, and what they are computed from.

    "" for a plan of another law, or of no fits: its page does not move.
    """
    if not moves(plan):
        return ""
    return section("Other settings", _BODY, data_script("plan-data", plan_document(plan)))


def moves(plan: Plan) -> bool:
    """Whether the page of a plan can compute what its law says of other schedules."""
    own = isinstance(plan.law, Law) and plan.law.form.name == OWN_LAW
    return own and bool(plan.members) and plan.limits is not None


def plan_document(plan: Plan) -> dict[str, Any]:
    """What `browser/plans.js` reads of a plan: plain values, steps in updates, LRs as in the logs.

    Keys: `law`, as `etastar.law.law_document` has it; `members`, pairs [theta, linear]; `schedule`
    and `batch`, as in schedule.json; `horizon`, `peak`, `loss {mean, low, high}`; `limits {cap,
    floor, warmup, byBatch, transfer}`; `past {schedule, step, rate, warmup}` or None; `pilots`, each
    {name, peak, batch, steps, loss, fitted}; `variesBatch`; `snippets`.
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
    assert plan.limits is not None and plan.batch_size is not None
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


def _slider(key: str, label: str, *, row: bool = False) -> str:
    hidden = f' id="x-{key}-row"' if row else ""
    return f"""<label class="control"{hidden}><span>{label}</span>
<input type="range" id="x-{key}" min="0" max="1000" step="1" aria-label="{label}">
<input type="number" id="x-{key}-number" min="0" step="any" aria-label="{label}, exact"></label>"""


_CONTROLS = f"""<div class="controls">
<label class="control"><span>Shape</span><select id="x-shape"></select>
<button type="button" id="x-reset">reset</button></label>
{_slider("horizon", "Horizon [updates]")}
{_slider("peak", "Peak LR")}
{_slider("batch", "Batch size", row=True)}
<label class="check" id="x-samples-row"><input type="checkbox" id="x-samples" checked>
Another batch size takes the same samples, in more or fewer updates</label>
<label class="control" id="x-cooldown-row"><span>Cooldown</span>
<input type="range" id="x-cooldown" min="1" max="95" step="1">
<output id="x-cooldown-text"></output></label>
<label class="control" id="x-final-row"><span>Ends at</span>
<input type="range" id="x-final" min="0" max="50" step="0.5">
<output id="x-final-text"></output></label>
<label class="control" id="x-warmup-row"><span>Warmup [updates]</span>
<input type="number" id="x-warmup" min="0" step="1"></label>
</div>"""

_NUMBERS = """<dl class="numbers small">
<div><dt>final loss</dt><dd><span id="x-loss"></span><small id="x-band"></small></dd></div>
<div><dt>against the plan</dt><dd><span id="x-difference"></span><small id="x-tie"></small></dd></div>
<div><dt>steps to match the plan</dt><dd><span id="x-steps"></span><small id="x-steps-of"></small></dd>
</div>
</dl>
<p class="soft" id="x-notes"></p>"""

_BODY = f"""<div id="explore">
<p id="explore-failed" class="failed" hidden></p>
<div id="explore-body" hidden>
<p>Move the run away from the plan: the fitted law, in this page, says what follows.</p>
{_CONTROLS}
<p class="failed" id="x-error" hidden></p>
{_NUMBERS}
<h3>Loss against peak LR at this horizon</h3>
<div class="plot" id="x-chart-peaks"></div>
<p id="x-best"></p>
<p class="soft">The band holds the loss of one run with 90%. Grey points are the pilots at their peak LR,
as far from the curve as each ended from its own fit. Darker is where the loss is within 0.002 of the
best, on average over the fits that the pilots allow.</p>
<h3>Schedule and forecast</h3>
<div class="pair"><div class="plot" id="x-chart-schedule"></div>
<div class="plot" id="x-chart-forecast"></div></div>
<ul class="keys"><li><i class="key accent"></i>this run</li><li><i class="key soft"></i>the plan</li></ul>
<div id="x-batches"><h3>Loss against batch size</h3>
<div class="plot" id="x-chart-batches"></div>
<p id="x-batch-text"></p></div>
<h3>Best peak LR at other horizons</h3>
<div class="plot" id="x-chart-horizons"></div>
<p id="x-horizon-text"></p>
<h3>Take it with you</h3>
<p class="buttons"><button type="button" id="x-copy-spec">copy the spec</button>
<button type="button" id="x-copy-link">copy a link to this state</button></p>
<pre class="wrapped short"><code id="x-spec"></code></pre>
<p class="buttons"><label>Configuration for <select id="x-target"></select></label>
<button type="button" id="x-copy-snippet">copy the configuration</button></p>
<pre class="short"><code id="x-snippet"></code></pre>
</div>
<noscript><p>This part needs JavaScript; the report below does not.</p></noscript>
</div>"""
