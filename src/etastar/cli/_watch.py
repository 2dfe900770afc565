"""`etastar watch`: the forecast of a run while it trains."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from etastar._checks import real_between
from etastar._errors import InputError

from . import _log_options as reading
from . import _options as option
from ._terminal import console, note, print_json, say_doubts, working

if TYPE_CHECKING:
    from etastar.law import Law
    from etastar.runs import Run
    from etastar.schedule import Schedule
    from etastar.watch import LiveRun, RunReport

EXAMPLES = (
    "etastar watch pilots/wsd_1e-3_14000.csv --once",
    "etastar watch run.csv --pilots pilots --schedule plan",
)

Log = Annotated[
    str,
    typer.Argument(
        metavar="RUN",
        help="Log of the run: a file, its path without suffix, or a folder. It need not be there"
        " yet.",
        show_default=False,
    ),
]
Pilots = Annotated[
    list[str] | None,
    typer.Option(
        metavar="DIR",
        help="Logs of the pilots: a file, a folder or a glob. May be given several times. Without"
        " pilots the run is forecast from its own log alone.",
        show_default=False,
    ),
]
Spec = Annotated[
    str | None,
    typer.Option(
        metavar="SPEC",
        help="Schedule of the run, where its log says none: a spec, a schedule.json, or the folder"
        " of a plan.",
        show_default=False,
    ),
]
Every = Annotated[
    str | None,
    typer.Option(
        metavar="STEPS",
        help="Updates between two reports; by default a hundredth of the horizon.",
        show_default=False,
    ),
]
Poll = Annotated[float, typer.Option(metavar="SECONDS", help="Time between two looks at the log.")]
Level = Annotated[
    float, typer.Option(metavar="P", help="Probability that an interval holds what it is for.")
]
Once = Annotated[bool, typer.Option("--once", help="Report on the log as it is, and end.")]
AsJson = Annotated[
    bool,
    typer.Option("--json", help="Print a JSON object a report, each on a line, and nothing else."),
]
Show = Callable[["RunReport"], object]


def watch_command(
    log: Log,
    pilots: Pilots = None,
    schedule: Spec = None,
    every: Every = None,
    level: Level = 0.9,
    poll: Poll = 2.0,
    once: Once = False,
    as_json: AsJson = False,
    optimiser: option.Optimiser = "auto",
    law_name: option.LawName = "etastar",
    transient: option.Transient = None,
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
    """Forecast the final loss of a run while it trains, and warn when it leaves its band."""
    _check(optimiser, transient, level, poll)
    distance = None if every is None else option.count_of("--every", every)
    planned = None if schedule is None else option.parsed_schedule(schedule)
    assumed = reading.declared(runs_schedule) if planned is None else planned
    counted = reading.sizes_of(runs_batch, epoch_size, sequence_length)
    with working("reading the pilots"):
        option.check_law(law_name)
        columns = (step, loss, lr, runs_schedule, pattern, per_epoch, runs_batch, epoch_size)
        logs = reading.read_logs(pilots, *columns, sequence_length) if pilots else []
        from etastar import law, watch

        law_of_pilots = None
        if logs:
            law_of_pilots = law.fit(logs, law_name, optimiser=optimiser, transient=transient)
    if law_of_pilots is not None:
        say_doubts(logs, sees_batch=law_of_pilots.form.sees_batch)
        note(law_of_pilots.caveats)
    live = watch.LiveRun(
        log,
        schedule=assumed,
        step=step,
        loss=loss,
        lr=lr,
        pattern=pattern or (),
        steps_per_epoch=per_epoch,
        **counted,
    )
    if once:
        _report_once(log, live, law_of_pilots, level, as_json, planned)
        return
    reports = watch.follow(live, law_of_pilots, every=distance, level=level, poll=poll)
    with _screen(log, as_json) as show:
        for place, report in enumerate(reports):
            if place == 0:
                _say_unused(live.read(), planned)
            show(report)


def _check(optimiser: str, transient: float | None, level: float, poll: float) -> None:
    """Refuse what no log can mend, before any long work."""
    option.check_optimiser(optimiser)
    option.check_transient(transient)
    real_between("--level", level, 1e-6, 1 - 1e-6)
    real_between("--poll", poll, 0.01, 86_400.0)


def _say_unused(run: Run | None, planned: Schedule | None) -> None:
    """Say where the schedule that was given is not that of the run."""
    if run is not None and planned is not None and run.schedule != planned:
        note(["--schedule is not used: the log declares another schedule of its own"])


def _report_once(
    log: str,
    live: LiveRun,
    law: Law | None,
    level: float,
    as_json: bool,
    planned: Schedule | None,
) -> None:
    """Report on a log as it is."""
    from etastar.watch import PERSISTENT, report_on

    run = None
    for _ in range(PERSISTENT):
        run = run or live.read()
    if run is None:
        if live.problem is not None:
            raise live.problem
        raise InputError(
            f"{log}: no log with two rows yet; leave out --once to wait for it, or correct the path"
        )
    note(run.caveats)
    _say_unused(run, planned)
    report = report_on(run, law, level)
    if as_json:
        print_json(report.to_dict())
    else:
        from etastar.report import watch_view

        console().print(watch_view(report, report.alarms))


@contextlib.contextmanager
def _screen(log: str, as_json: bool) -> Iterator[Show]:
    """How each report is shown: a JSON object or a line, or a table that changes in a terminal."""
    if as_json:
        yield lambda report: (print_json(report.to_dict()), sys.stdout.flush())
        return
    screen = console()
    if not screen.is_terminal:
        yield lambda report: print(report.line, flush=True)
        return
    from rich.live import Live
    from rich.text import Text

    from etastar.report import watch_view

    seen = {}
    waiting = Text(f"waiting for two rows in {log} (Ctrl-C ends the watch)")
    with Live(waiting, console=screen, auto_refresh=False) as picture:

        def show(report: RunReport) -> None:
            seen.update({(alarm.kind, alarm.step): alarm for alarm in report.alarms})
            picture.update(watch_view(report, list(seen.values())), refresh=True)

        yield show
