"""report.html: a plan on one page that loads nothing and reads well on a phone."""

from __future__ import annotations

import os
from html import escape
from pathlib import Path

import numpy as np

from etastar._files import prepare_folder, write_text
from etastar.control import last_piece
from etastar.planning import Alternative, PhaseEstimate, Plan
from etastar.runs import Run, columns_lines

from ._explorer import explorer
from ._frame import command_line, foot
from ._numbers import (
    count_text,
    exponent_text,
    loss_text,
    multiple_text,
    rate_text,
    regret_text,
    size_text,
    steps_text,
    times_text,
)
from ._page import html_table, keys, page, section, spec_code, swatch
from ._plan_batch import batch_figure, batch_rows
from ._plan_figures import (
    MANY,
    family_name,
    fit_figure,
    forecast_figure,
    run_colors,
    schedule_figure,
)
from ._style import ACCENT, GREY, MARK, standard_style
from ._words import (
    batch_text,
    budget_text,
    difference_text,
    done_steps,
    groups_text,
    has_phase,
    horizons_text,
    interval_text,
    phase_meaning,
    phase_text,
    shape_in_words,
    size_interval,
    spec_of_the_rest,
    within_text,
)

# Lines of at most 40 characters: they fit a phone.
SNIPPET = """\
from torch.optim import AdamW
from etastar.integrations.torch import (
    ScheduledLR,
)

optimizer = AdamW(model.parameters())
scheduler = ScheduledLR(
    optimizer, "schedule.json"
)

# after each optimizer.step():
scheduler.step()
"""


UNITS = (
    "Steps are optimiser updates; learning rates and losses are in the units of the logs (nats for"
    " a cross-entropy in natural logarithms)."
)


def plan_report(plan: Plan) -> str:
    """A plan as one self-contained HTML page, a few hundred kB in most cases and at most 2 MB.

    It holds the recommendation, the planned schedule beside the standard ones, the comparison, the
    forecast with its 90% band, the fitted curves over the logs, the peak LR at other horizons, the
    evidence, the caveats and code to paste. Where the law is our own the reader moves horizon, peak
    LR, batch size and shape, and sees what the law says of it: its formulas run in the page. All
    text from logs is escaped; nothing is fetched.

    Arguments:
        plan: what `etastar.planning.plan` returned.

    Returns: the HTML text, UTF-8 when written; steps in updates, learning rates and losses in the
        units of the logs.
    Raises: nothing; a plan that was made can be shown.

    >>> page = plan_report(plan)
    >>> "<h1>Learning rate plan, from 3 pilot runs</h1>" in page, page.endswith("</html>\\n")
    (True, True)
    """
    # From top to bottom of the page.
    body = "\n".join(
        [
            _headline(plan),
            explorer(plan),
            _schedules(plan),
            _batch(plan),
            _forecast(plan),
            _caveats(plan),
            _snippet(plan),
            _other_horizons(plan),
            _fit(plan),
            _evidence(plan),
            foot(UNITS, plan.provenance, columns_lines(plan.runs)),
        ]
    )
    title = f"Learning rate plan for {steps_text(plan.horizon)} steps"
    return page(title, body, explored=True)


def write_plan(plan: Plan, folder: str | os.PathLike[str]) -> Path:
    """Write schedule.json, plan.json and report.html to a folder.

    Each file is written under a temporary name and renamed: a reader never finds half of one.

    Arguments:
        plan: what `etastar.planning.plan` returned.
        folder: where to; it is made if it is not there.

    Returns: the path of the report.
    Raises: InputError where the folder cannot be made or written in.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = write_plan(plan, folder)
    ...     print(sorted(file.name for file in path.parent.iterdir()))
    ['plan.json', 'report.html', 'schedule.json']
    """
    path = prepare_folder(folder)
    plan.save(path)
    write_text(path / "report.html", plan_report(plan))
    return path / "report.html"


def _headline(plan: Plan) -> str:
    loss, words = plan.loss, shape_in_words(plan.schedule, done_steps(plan))
    title = f"Learning rate plan, from {count_text(len(plan.runs), 'pilot run')}"
    return f"""<h1>{title}</h1>
{command_line(plan.provenance)}<div class="head">
<dl class="numbers">
<div><dt>peak LR</dt><dd>{rate_text(plan.peak_lr)}</dd></div>
<div><dt>steps</dt><dd>{steps_text(plan.horizon)}</dd></div>
<div><dt>expected final loss</dt><dd>{loss_text(loss.value)}
<small>90% interval {loss_text(loss.low)} to {loss_text(loss.high)}</small></dd></div>
</dl>
<p>{escape(_sentence(words))}.{escape(_groups(plan))}</p>
{_budget(plan)}<p>At most {plan.within.loss:g} more loss: {escape(within_text(plan))}.</p>
{_continuation(plan)}<p>{escape(phase_text(plan))}</p>
</div>"""


def _groups(plan: Plan) -> str:
    """Which LR is planned, where there are several."""
    return "" if plan.groups is None else f" The planned LR is {groups_text(plan)}."


def _budget(plan: Plan) -> str:
    """What is said of the batch size at the top of the page."""
    if plan.batch_size is None:
        return ""
    text = f"Batch size {batch_text(plan)}; the run takes {budget_text(plan)}."
    if plan.critical_batch is not None:
        text += (
            f" The critical batch size is {size_interval(plan.critical_batch)}: below it the LR"
            " that does the same grows as the root of the batch size, far above it larger batches"
            " gain nothing."
        )
    return f"<p>{escape(text)}</p>"


def _batch(plan: Plan) -> str:
    """The map of the loss over LR and batch size, and the steps of a ramp."""
    if plan.batch_map is None:
        return ""
    ramp = []
    if len(plan.ramp) > 1:
        head = ["samples seen", "batch size", "LR there"]
        ramp = [html_table(head, batch_rows(plan))]
    return section(
        "Learning rate and batch size",
        batch_figure(plan).html("batch"),
        keys([
            (swatch(MARK, width=4), "the plan"),
            (swatch(ACCENT, width=8), f"within {plan.within.loss:g} of the best"),
        ]),
        '<p class="soft">The loss to expect of runs of the plan’s shape for the same budget: a'
        " larger batch leaves fewer updates. Blank is where the peak LR is above what the pilots"
        " show to be stable at that batch size.</p>",
        *ramp,
    )  # fmt: skip


def _continuation(plan: Plan) -> str:
    past = plan.continuation
    if past is None:
        return ""
    return (
        f"<p>Goes on from {escape(past.run)} at step {steps_text(past.step)}, where its LR is"
        f" {rate_text(past.lr)}. Planned for this horizon from the first update, a run would reach"
        f" {loss_text(past.known_loss)} at a peak LR of {rate_text(past.known_peak)}:"
        f" {regret_text(past.cost)} for having known too late.</p>"
    )


def _schedules(plan: Plan) -> str:
    styles = [standard_style(i) for i in range(len(plan.comparison))]
    marks = [swatch(ACCENT, width=4), *(swatch(*style) for style in styles)]
    names = ["planned", *(family_name(plan, other) for other in plan.comparison)]
    own = [rate_text(plan.peak_lr), loss_text(plan.loss.value), "0", "", "1×"]
    rows = [[marks[0] + "planned", *own]]
    classes = ["ours"]
    for mark, other in zip(marks[1:], plan.comparison, strict=True):
        rows += [
            _alternative(mark, other),
            [spec_code(spec_of_the_rest(other.schedule)) + _size(plan, other)],
        ]
        classes += ["lead", "detail"]
    head = ["schedule", "peak LR", "loss", "regret", "90%", "steps to match"]
    return section(
        "Planned and standard schedules",
        schedule_figure(plan).html("schedules"),
        keys(list(zip(marks, names, strict=True))),
        html_table(head, rows, classes=classes),
        '<p class="soft">Each standard schedule stands at its own best peak LR. Regret is its'
        " final loss minus the plan’s, expected over the fits that the pilots allow; 90% is the"
        " interval in which it lies for two runs trained once each, a tie where that holds zero;"
        " steps to match is the length of a run of that family that reaches the plan’s loss, as a"
        " multiple of its own. To know which of these fits is true would lower the expected loss by"
        f" {regret_text(plan.expected_regret).lstrip('+')}: more pilots can gain no more.</p>",
    )


def _size(plan: Plan, other: Alternative) -> str:
    """The batch size of a standard schedule, where the pilots have several."""
    if plan.batch_map is None or other.batch_size is None:
        return ""
    return f" at batch size {size_text(other.batch_size)}"


def _alternative(mark: str, other: Alternative) -> list[str]:
    return [
        mark + escape(other.family),
        rate_text(last_piece(other.schedule).peak),
        loss_text(other.loss),
        regret_text(other.regret),
        difference_text(other),
        escape(multiple_text(other.steps_to_match, other.schedule.horizon)),
    ]


def _forecast(plan: Plan) -> str:
    band = (
        '<svg width="24" height="10" aria-hidden="true"><rect width="24" height="10"'
        ' style="fill:var(--band)"/></svg>'
    )
    entries = [
        (swatch(ACCENT, width=4), "planned run"),
        (band, "90% interval"),
    ]
    if len(plan.runs) <= MANY:
        colors = run_colors(plan.runs)
        entries += [
            (swatch(color, width=1.5), run.name)
            for run, color in zip(plan.runs, colors, strict=True)
        ]
    else:
        entries.append((swatch(GREY, width=1.5), "pilots, as measured"))
    longest = max(run.final_step for run in plan.runs)
    return section(
        "Forecast",
        f"<p>The planned run is {times_text(plan.horizon / longest)} times as long as the longest"
        f" pilot ({steps_text(longest)} steps).</p>",
        forecast_figure(plan).html("forecast"),
        keys(entries),
    )


def _fit(plan: Plan) -> str:
    colors = run_colors(plan.runs)
    order = sorted(
        range(len(plan.runs)),
        key=lambda i: (plan.runs[i].schedule.peak, plan.runs[i].schedule.horizon),
    )
    rows = [_run_row(plan, plan.runs[i], swatch(colors[i], width=4)) for i in order]
    rows += [
        [_run_name(run, swatch("transparent")), loss_text(run.final_loss), "left out", ""]
        for run in plan.left_out
    ]
    tall = len(rows) > MANY
    return section(
        "The fit over the logs",
        fit_figure(plan.law, plan.runs).html("fit"),
        '<p class="soft">Points are measured, lines are fitted; the hue goes from the lowest peak'
        " LR to the highest. A long log is drawn with fewer points than it has, and lines begin"
        " after the warmup.</p>",
        html_table(["run", "final loss", "fitted", "error"], rows, tall=tall),
        f'<p class="soft">{len(rows)} runs; the table scrolls.</p>' if tall else "",
    )


def _run_row(plan: Plan, run: Run, mark: str) -> list[str]:
    end = np.array([run.final_step])
    found = plan.law.predict(run.schedule, end, batch_size=run.batch_size)
    fitted = float(np.asarray(found.mean)[-1])
    error = (fitted - run.final_loss) / run.final_loss
    return [
        _run_name(run, mark),
        loss_text(run.final_loss),
        loss_text(fitted),
        f"{error:+.2%}".replace("-0.00%", "0.00%").replace("+0.00%", "0.00%"),
    ]


def _run_name(run: Run, mark: str) -> str:
    schedule = run.schedule
    detail = f"peak {rate_text(schedule.peak)}, {steps_text(schedule.horizon)} steps"
    return f'<div class="name">{mark}<div>{escape(run.name)}<small>{detail}</small></div></div>'


def _other_horizons(plan: Plan) -> str:
    if not plan.other_horizons:
        return ""
    rows = [
        [
            steps_text(other.horizon),
            escape(multiple_text(other.horizon, plan.horizon)),
            rate_text(other.peak_lr),
            loss_text(other.loss),
        ]
        for other in plan.other_horizons
    ]
    classes = ["ours" if other.horizon == plan.horizon else "" for other in plan.other_horizons]
    head = ["steps", "of this horizon", "peak LR", "loss"]
    return section(
        "The peak LR at other horizons",
        html_table(head, rows, classes=classes),
        f"<p>{escape(_sentence(horizons_text(plan)))}</p>",
    )


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _evidence(plan: Plan) -> str:
    phase = plan.phase
    exponents = [
        ("source", "how fast the loss falls in intrinsic time", phase.source),
        ("capacity", "how fast the noise is forgotten", phase.capacity),
        ("xi", "peak LR ~ horizon<sup>−xi</sup>", phase.xi),
    ]
    rows = [
        [f"{name}<small>{meaning}</small>", exponent_text(found.value), interval_text(found)]
        for name, meaning, found in exponents
    ]
    constants = [[escape(name), f"{value:.5g}"] for name, value in plan.law.constants.items()]
    return section(
        "Evidence",
        f"<p>{_phase(phase)}</p>",
        html_table(["exponent", "estimate", "90% interval"], rows),
        "<details><summary>All constants of the fitted law</summary>",
        html_table(["constant", "value"], constants),
        "</details>",
    )


def _phase(phase: PhaseEstimate) -> str:
    if not has_phase(phase):
        return escape(phase_meaning(phase))
    return (
        f"Phase: <strong>{escape(phase.name)}</strong>. It is easy where source is above"
        " 1 − 1/capacity, hard where it is below, and undetermined where the 90% interval of the"
        " difference holds zero."
    )


def _caveats(plan: Plan) -> str:
    if not plan.caveats:
        return section("Caveats", "<p>None.</p>")
    items = "\n".join(f"<li>{escape(caveat)}</li>" for caveat in plan.caveats)
    return section("Caveats", f'<ul class="caveats">{items}</ul>')


def _snippet(plan: Plan) -> str:
    nearest = plan.nearest
    return section(
        "Use it",
        "<p>In PyTorch, with the file <code>schedule.json</code> that lies beside this report:</p>",
        f"<pre><code>{escape(SNIPPET)}</code></pre>",
        "<p>There is a line like it for Optax, Transformers, Lightning and Keras, and"
        " <code>etastar export schedule.json --to NAME</code> writes the configuration of other"
        " trainers.</p>"
        "<p>Or put the nearest standard schedule into an existing configuration; it is predicted to"
        f" end at a loss {escape(regret_text(nearest.regret).lstrip('+'))} above the plan’s:</p>",
        f'<pre class="wrapped">{spec_code(nearest.schedule.spec)}</pre>',
    )
