"""`etastar backtest`: fit on some runs, predict others, compare."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from etastar._errors import InputError, legible
from etastar._files import write_text
from etastar._provenance import provenance

from . import _log_options as reading
from . import _options as option
from ._terminal import note, print_json, say_doubts, show, working

if TYPE_CHECKING:
    from etastar.runs import Run

EXAMPLES = (
    'etastar backtest --fit "pilots/cosine*.csv" --test "pilots/wsd*.csv"',
    'etastar backtest --fit "pilots/*_7000.csv" --test pilots --plot backtest.html',
)

Fit = Annotated[
    list[str],
    typer.Option(metavar="RUNS", help="Logs to fit on; give it once for each.", show_default=False),
]
Test = Annotated[
    list[str],
    typer.Option(
        metavar="RUNS", help="Logs to predict; give it once for each.", show_default=False
    ),
]

# Of `etastar.law.backtest`: a prediction takes next to nothing.
STAGES = {"fitting the law": 1.0, "predicting": 0.02}


def backtest_command(
    fit: Fit,
    test: Test,
    law_name: option.LawName = "etastar",
    transient: option.Transient = None,
    plot: option.Plot = None,
    as_json: option.AsJson = False,
    step: reading.StepColumn = None,
    loss: reading.LossColumn = None,
    lr: reading.RateColumn = None,
    runs_schedule: reading.RunsSchedule = None,
    pattern: reading.Patterns = None,
    per_epoch: reading.StepsPerEpoch = None,
    runs_batch: reading.RunsBatch = None,
    epoch_size: option.EpochSize = None,
    sequence_length: reading.SequenceLength = None,
) -> None:
    """Fit on some runs, predict others, and compare with what was measured.

    A run named by both --fit and --test is fitted and not tested.
    """
    option.check_transient(transient)
    option.check_plot(plot)
    columns = (step, loss, lr, runs_schedule, pattern, per_epoch, runs_batch, epoch_size)
    columns = (*columns, sequence_length)
    with working("reading the logs"):
        option.check_law(law_name)
        fitted = reading.read_logs(fit, *columns)
        tested = _held_out(reading.read_logs(test, *columns), fitted)
    with working(STAGES) as progress:
        from etastar import law

        result = law.backtest(fitted, tested, form=law_name, transient=transient, progress=progress)
    if plot is not None:
        from etastar.report import backtest_page

        write_text(plot, backtest_page(result, provenance()))
    say_doubts(fitted, sees_batch=result.law.form.sees_batch)
    measured = {run.run for run in result.runs}
    note(f"{run.name}: could not be tested" for run in tested if run.name not in measured)
    logs = [*fitted, *tested]
    from etastar.runs import columns_lines, columns_read

    if as_json:
        read = [each.to_dict() for each in columns_read(logs)]
        print_json({**result.to_dict(), "columns": read})
        return
    from etastar.report import backtest_summary

    show(backtest_summary(result))
    print("\n".join(map(legible, columns_lines(logs))))
    if plot is not None:
        print(f"\nplot: {legible(str(plot))}")


def _held_out(tested: list[Run], fitted: list[Run]) -> list[Run]:
    """The test runs that were not fitted on."""
    files = {reading.file_of(run) for run in fitted}
    held_out = [run for run in tested if reading.file_of(run) not in files]
    if not held_out:
        raise InputError("every --test run is a --fit run too: name other runs to test on")
    if len(held_out) < len(tested):
        both = [run.name for run in tested if reading.file_of(run) in files]
        note([f"fitted, so not tested: {', '.join(both)}"])
    note(caveat for run in held_out for caveat in run.caveats)
    return held_out
