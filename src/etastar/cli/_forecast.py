"""`etastar forecast`: the loss to expect of a given schedule."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from etastar._errors import InputError, legible
from etastar.schedule import Schedule, Unit, load_batch_size

from . import _log_options as reading
from . import _options as option
from ._terminal import note, print_json, say_doubts, show, working

if TYPE_CHECKING:
    from etastar.law import Forecast, Law
    from etastar.runs import Run

EXAMPLES = (
    "etastar forecast pilots --schedule plan",
    "etastar forecast pilots --at 10k,20k --schedule cosine:peak=1e-3,horizon=20000",
)

Spec = Annotated[
    str,
    typer.Option(metavar="SPEC", help="Schedule to forecast: a spec string, or a schedule.json."),
]
At = Annotated[
    str | None,
    typer.Option(
        metavar="STEPS",
        help="Steps, or what --unit says, separated by commas, such as 5k,10k; by default along"
        " the run.",
    ),
]


def forecast_command(
    runs: reading.Runs,
    schedule: Spec,
    at: At = None,
    batch: option.Batch = None,
    unit: option.CountUnit = "steps",
    epoch_size: option.EpochSize = None,
    optimiser: option.Optimiser = "auto",
    law_name: option.LawName = "etastar",
    transient: option.Transient = None,
    as_json: option.AsJson = False,
    step: reading.StepColumn = None,
    loss: reading.LossColumn = None,
    lr: reading.RateColumn = None,
    runs_schedule: reading.RunsSchedule = None,
    pattern: reading.Patterns = None,
    per_epoch: reading.StepsPerEpoch = None,
    runs_batch: reading.RunsBatch = None,
    sequence_length: reading.SequenceLength = None,
) -> None:
    """Predict the loss of a run with a given schedule."""
    size = _batch_size(schedule, batch)
    option.check_optimiser(optimiser)
    option.check_transient(transient)
    with working("reading the logs"):
        option.check_law(law_name)
        columns = (step, loss, lr, runs_schedule, pattern, per_epoch, runs_batch, epoch_size)
        columns = (*columns, sequence_length)
        logs = reading.read_logs(runs, *columns)
    counted = _unit(unit, size, epoch_size, logs)
    wanted = option.parsed_schedule(schedule, counted)
    steps = _steps(at, wanted, counted)
    with working("fitting the law"):
        import numpy as np

        from etastar import law

        fitted = law.fit(logs, law_name, optimiser=optimiser, transient=transient)
        result = fitted.predict(wanted, np.array(steps, dtype=np.float64), batch_size=size)
    say_doubts(logs, sees_batch=fitted.form.sees_batch)
    reach = [*_reach(fitted, wanted), *law.transient_of(fitted, wanted, size)]
    note([*fitted.caveats, *reach, *_sizes(fitted, logs, size)])
    from etastar.runs import columns_lines, columns_read

    if as_json:
        read = [each.to_dict() for each in columns_read(logs)]
        print_json({"loss": _document(steps, result), "columns": read})
    else:
        from etastar.report import forecast_summary

        show(forecast_summary(wanted, result, counted))
        print("\n".join(map(legible, columns_lines(logs))))


def _unit(
    name: str, size: float | Schedule | None, epoch_size: str | None, runs: list[Run]
) -> Unit:
    """The unit of --unit, by --batch and else by what all runs have in common."""
    if name == "steps":
        return Unit()
    batches, lengths = (
        {getattr(run, key) for run in runs} for key in ("batch_size", "sequence_length")
    )
    batch = batches.pop() if len(batches) == 1 else None
    if isinstance(size, Schedule):
        first, last = float(size(0)), float(size(max(size.horizon - 1, 0)))
        if not first == last == size.peak:
            raise InputError(
                f"--unit {name}: the batch size of the schedule goes from {first:g} to {last:g};"
                " count in --unit steps, or give --batch"
            )
        batch = first
    elif size is not None:
        batch = size
    if name == "tokens" and len(lengths) > 1:
        raise InputError(
            "--unit tokens: the runs differ in sequence_length; count in --unit samples"
        )
    return option.unit_of(name, batch, epoch_size, lengths.pop() if len(lengths) == 1 else None)


def _steps(at: str | None, schedule: Schedule, unit: Unit) -> list[int]:
    horizon = schedule.horizon
    if at is None:
        return sorted({max(1, round(part * horizon)) for part in (0.1, 0.25, 0.5, 0.75, 1.0)})
    texts = [text.strip() for text in at.split(",")]
    asked = {option.count_of("--at", text, unit=unit): text for text in texts}
    steps = sorted(asked)
    if steps[-1] > horizon:
        end = f"{horizon * unit.update:,.12g} {unit.name}"
        of = "" if unit.name == "steps" else f" ({horizon:,} steps)"
        raise InputError(
            f"--at {asked[steps[-1]]} lies beyond the horizon of the schedule, {end}{of}; name"
            f" {unit.name} up to it"
        )
    return steps


def _batch_size(schedule: str, batch: str | None) -> float | Schedule | None:
    """That of --batch, else the one in a schedule.json, which may rise; None for the runs' own."""
    if batch is not None:
        return option.positive_of("--batch", batch)
    file = option.schedule_file(schedule)
    return None if file is None else load_batch_size(file)


def _sizes(law: Law, runs: list[Run], size: float | Schedule | None) -> list[str]:
    """Where the batch size of a forecast is not that of the runs."""
    known = sorted({run.batch_size for run in runs if run.batch_size is not None})
    if not known or len({run.batch_size is None for run in runs}) > 1:
        return [] if size is None else ["not all logs say their batch size: --batch changes little"]
    ends = f"{known[0]:g}" + (f" to {known[-1]:g}" if len(known) > 1 else "")
    if size is None:
        several = len(known) > 1
        usual = law.units.batch or known[0]
        return [f"the runs have batch sizes from {ends}: forecast at {usual:g}; give --batch"][
            : int(several)
        ]
    if not law.form.sees_batch:
        return [f"the law {law.form.name!r} does not see the batch size"]
    low, high = (size(0), size.peak) if isinstance(size, Schedule) else (size, size)
    if known[0] <= low and high <= known[-1]:
        return []
    asked = f"{low:g}" if low == high else f"{low:g} to {high:g}"
    return [f"the batch size {asked} lies outside those fitted, {ends}: what it does is guessed"]


def _reach(law: Law, schedule: Schedule) -> list[str]:
    """Where a forecast leaves what the runs show."""
    lines = []
    if schedule.horizon > law.steps_fitted:
        times = schedule.horizon / law.steps_fitted
        lines.append(f"the schedule is {times:.3g} times as long as the longest run fitted")
    lowest, highest = law.peak_range
    if not lowest * (1 - 1e-9) <= schedule.peak <= highest * (1 + 1e-9):
        lines.append(
            f"its peak LR {schedule.peak:.4g} lies outside those fitted, {lowest:.4g} to"
            f" {highest:.4g}"
        )
    return lines


def _document(steps: list[int], forecast: Forecast) -> dict[str, dict[str, float]]:
    return {
        str(step): {"mean": float(mean), "low": float(low), "high": float(high)}
        for step, mean, low, high in zip(
            steps, forecast.mean, forecast.low, forecast.high, strict=True
        )
    }
