"""The commands, such as `etastar plan`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from etastar._terminal import guarded, note, show, working
from etastar.schedule import InputError, Schedule, parse_schedule, write_text

if TYPE_CHECKING:
    from rich.table import Table

    from etastar.law import Forecast, Law
    from etastar.runs import Run

# Everything slow to import (jax, polars, plotly) is imported by the command that needs it: --help
# must answer at once.

app = typer.Typer(
    name="etastar",
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Runs = Annotated[
    list[str],
    typer.Argument(
        metavar="RUNS...",
        help="Logs of the pilot runs: files, folders or globs. A runs.csv beside them declares"
        " their schedules; an lr column serves otherwise.",
        show_default=False,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]
StepColumn = Annotated[
    str | None, typer.Option("--step", metavar="COLUMN", help="Column of the step; guessed.")
]
LossColumn = Annotated[
    str | None, typer.Option("--loss", metavar="COLUMN", help="Column of the loss; guessed.")
]
RateColumn = Annotated[
    str | None, typer.Option("--lr", metavar="COLUMN", help="Column of the LR; guessed.")
]
RunsSchedule = Annotated[
    str | None,
    typer.Option("--runs-schedule", metavar="SPEC", help="Schedule of the logs that declare none."),
]
LawName = Annotated[
    str,
    typer.Option(
        "--law",
        metavar="NAME",
        help="The law to fit: etastar, solvable, power, annealing, multi-power, functional or"
        " last-iterate.",
    ),
]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit: 0 done, 2 the input is wrong, 1 our fault.

    Arguments:
        arguments: the words after `etastar`; those of the process where None.

    Raises:
        SystemExit: always, with the exit code.

    >>> import contextlib, io
    >>> with contextlib.redirect_stdout(io.StringIO()) as out:
    ...     try:
    ...         main(["--version"])
    ...     except SystemExit as end:
    ...         print(end.code, file=__import__("sys").stderr)
    >>> out.getvalue().startswith("etastar ")
    True
    """
    for stream in (sys.stdout, sys.stderr):
        # A terminal without the character × should print "?", not fail.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # type: ignore[union-attr]
    words = None if arguments is None else list(arguments)
    sys.exit(guarded(lambda: app(args=words, standalone_mode=False)))


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"etastar {version('etastar')}")
        raise typer.Exit()


@app.callback(invoke_without_command=True)
def _etastar(
    context: typer.Context,
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    """Plan the learning rate of a training run from a few short pilot runs."""
    if context.invoked_subcommand is None:
        print(context.get_help())


@app.command("plan")
def plan_command(
    runs: Runs,
    horizon: Annotated[
        str, typer.Option(metavar="STEPS", help="Updates of the run to plan, such as 40000 or 4e4.")
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Write schedule.json, plan.json and report.html to this folder."
        ),
    ] = None,
    as_json: AsJson = False,
    peak_cap: Annotated[
        float | None,
        typer.Option(metavar="LR", help="Highest LR allowed; by default the highest of the runs."),
    ] = None,
    floor: Annotated[float, typer.Option(metavar="LR", help="Lowest LR after the warmup.")] = 0.0,
    warmup: Annotated[
        str | None, typer.Option(metavar="STEPS", help="Warmup; by default as in the runs.")
    ] = None,
    going_on: Annotated[
        str | None,
        typer.Option(
            "--continue",
            metavar="RUN",
            help="Log of a run under way: keep what it has done and plan the rest of it.",
        ),
    ] = None,
    step: StepColumn = None,
    loss: LossColumn = None,
    lr: RateColumn = None,
    runs_schedule: RunsSchedule = None,
) -> None:
    """Say which schedule to train with, and the loss to expect."""
    steps = _count("--horizon", horizon)
    warmup_steps = None if warmup is None else _count("--warmup", warmup, least=0)
    with working("reading the logs"):
        logs = _read(runs, step, loss, lr, runs_schedule)
        continued = None
        if going_on is not None:
            logs, continued = _with_continued(
                logs, _read([going_on], step, loss, lr, runs_schedule)
            )
    if out is not None:
        _prepared(out)
    with working("fitting the law and solving for the schedule"):
        from etastar.plan import plan
        from etastar.plan._files import write_plan
        from etastar.plan._json import plan_document

        result = plan(
            logs, steps, peak_cap=peak_cap, floor=floor, warmup=warmup_steps, continued=continued
        )
        report = None if out is None else write_plan(result, out)
    if as_json:
        _print_json(plan_document(result))
        return
    from etastar.plan._tables import plan_tables

    show(plan_tables(result))
    if report is not None:
        print(f"\nreport: {report}")


@app.command("forecast")
def forecast_command(
    runs: Runs,
    schedule: Annotated[
        str,
        typer.Option(
            metavar="SPEC", help="Schedule to forecast: a spec string, or a schedule.json."
        ),
    ],
    at: Annotated[
        str | None,
        typer.Option(metavar="STEPS", help="Steps, separated by commas; by default along the run."),
    ] = None,
    law_name: LawName = "etastar",
    as_json: AsJson = False,
    step: StepColumn = None,
    loss: LossColumn = None,
    lr: RateColumn = None,
    runs_schedule: RunsSchedule = None,
) -> None:
    """Predict the loss of a run with a given schedule."""
    wanted = _schedule(schedule)
    steps = _forecast_steps(at, wanted)
    _known_law(law_name)
    with working("reading the logs"):
        logs = _read(runs, step, loss, lr, runs_schedule)
    with working("fitting the law"):
        import numpy as np

        from etastar.law import fit

        law = fit(logs, law_name)
        result = law.predict(wanted, np.array(steps, dtype=np.float64))
    _say_doubts(logs)
    note([*law.caveats, *_reach(law, wanted)])
    if as_json:
        _print_json({"loss": _forecast_document(steps, result)})
    else:
        show(_forecast_table(wanted, steps, result))


@app.command("backtest")
def backtest_command(
    fit: Annotated[
        list[str],
        typer.Option(
            metavar="RUNS", help="Logs to fit on; give it once for each.", show_default=False
        ),
    ],
    test: Annotated[
        list[str],
        typer.Option(
            metavar="RUNS", help="Logs to predict; give it once for each.", show_default=False
        ),
    ],
    law_name: LawName = "etastar",
    plot: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Write an HTML page that draws predicted against measured losses."
        ),
    ] = None,
    as_json: AsJson = False,
    step: StepColumn = None,
    loss: LossColumn = None,
    lr: RateColumn = None,
    runs_schedule: RunsSchedule = None,
) -> None:
    """Fit on some runs, predict others, and compare with what was measured.

    A run named by both --fit and --test is fitted and not tested.
    """
    _known_law(law_name)
    _page_for_plot(plot)
    with working("reading the logs"):
        fitted = _read(fit, step, loss, lr, runs_schedule)
        tested = _held_out(_read(test, step, loss, lr, runs_schedule), fitted)
    with working("fitting the law and predicting"):
        from etastar.law import backtest

        result = backtest(fitted, tested, form=law_name)
        document: dict[str, Any] = result.to_dict()
    if plot is not None:
        from etastar.law._figure import backtest_figure

        write_text(plot, backtest_figure(result).to_html(include_plotlyjs=True))
    _say_doubts(fitted)
    measured = {row["run"] for row in document["runs"]}
    note(f"{run.name}: could not be tested" for run in tested if run.name not in measured)
    if as_json:
        _print_json(document)
    else:
        show(_backtest_table(document))
        if plot is not None:
            print(f"\nplot: {plot}")


Capacity = Annotated[
    float,
    typer.Option(metavar="A", help="Capacity exponent a, eigenvalues k^-a.", show_default=False),
]
Source = Annotated[
    float,
    typer.Option(metavar="S", help="Source exponent s, the noiseless loss ~ tau^-s."),
]
Plot = Annotated[
    Path | None, typer.Option(metavar="FILE.html", help="Draw the figure to this page.")
]


@app.command("solve")
def solve_command(
    capacity: Capacity,
    source: Source,
    noise: Annotated[float, typer.Option(metavar="SIGMA2", help="Variance of the label noise.")],
    batch: Annotated[
        float, typer.Option(metavar="B", help="Batch size; where it varies, that of the baselines.")
    ],
    horizon: Annotated[
        str | None, typer.Option(metavar="STEPS", help="Number of updates, such as 1e6.")
    ] = None,
    controls: Annotated[
        str, typer.Option(metavar="NAMES", help="lr, with momentum and batch: lr,momentum.")
    ] = "lr",
    samples: Annotated[
        float | None, typer.Option(metavar="N", help="Budget of data, in place of the horizon.")
    ] = None,
    seconds: Annotated[
        float | None, typer.Option(metavar="S", help="Budget of time, in place of the horizon.")
    ] = None,
    step_time: Annotated[
        str, typer.Option(metavar="T0,T1", help="An update takes T0 + T1 * batch size seconds.")
    ] = "1,0",
    cap: Annotated[
        float | None, typer.Option(metavar="LR", help="Highest LR; by default the stable one.")
    ] = None,
    floor: Annotated[float, typer.Option(metavar="LR", help="Lowest LR.")] = 0.0,
    warmup: Annotated[str, typer.Option(metavar="STEPS", help="Updates of linear warmup.")] = "0",
    monotone: Annotated[
        bool, typer.Option("--monotone", help="The LR may not rise after the warmup.")
    ] = False,
    max_batch: Annotated[float, typer.Option(metavar="B", help="Largest batch size.")] = 65536.0,
    max_momentum: Annotated[float, typer.Option(metavar="MU", help="Largest momentum.")] = 0.9999,
    width: Annotated[
        str | None, typer.Option(metavar="N", help="Number of features; by default all.")
    ] = None,
    as_json: AsJson = False,
    plot: Plot = None,
) -> None:
    """Solve for the optimal schedule of a power-law random feature model."""
    _page_for_plot(plot)
    steps = None if horizon is None else _count("--horizon", horizon)
    options = {
        "controls": controls,
        "cap": cap,
        "floor": floor,
        "warmup": _count("--warmup", warmup, least=0),
        "monotone": monotone,
        "samples": samples,
        "seconds": seconds,
        "step_time": _pair("--step-time", step_time),
        "max_batch": max_batch,
        "max_momentum": max_momentum,
    }
    features = None if width is None else _count("--width", width)
    with working("solving"):
        from etastar.control import solve
        from etastar.control._report import solution_document, solution_figure, solution_table
        from etastar.model import PowerLaw

        model = PowerLaw(capacity, source, noise, batch, features)
        if controls == "lr":
            # So that `seconds` is without compilation; the other solves are too long to repeat.
            solve(model, steps, compare=False, **options)
        solution = solve(model, steps, **options)
        if plot is not None:
            write_text(plot, solution_figure(solution).to_html(include_plotlyjs=True))
    if as_json:
        _print_json(solution_document(model, solution))
    else:
        show(solution_table(model, solution))


@app.command("phase")
def phase_command(
    capacity: Capacity,
    source: Source,
    noise: Annotated[
        float, typer.Option(metavar="SIGMA2", help="Variance of the label noise; 0 for none.")
    ] = 1.0,
    as_json: AsJson = False,
    plot: Plot = None,
) -> None:
    """Say whether a task is easy or hard, and the exponents of its optimal schedule."""
    _page_for_plot(plot)
    from etastar.control._report import phase_document, phase_figure, phase_table
    from etastar.model import phase

    found = phase(capacity, source, noise > 0)
    if plot is not None:
        figure = phase_figure(capacity, source, noise > 0)
        write_text(plot, figure.to_html(include_plotlyjs=True))
    if as_json:
        _print_json(phase_document(found))
    else:
        show(phase_table(found))


@app.command("robust")
def robust_command(
    schedule: Annotated[
        str, typer.Argument(metavar="SPEC", help="Schedule: a spec string, or a schedule.json.")
    ],
    rho: Annotated[
        str | None,
        typer.Option(metavar="FACTORS", help="Base LR over the best one, parted by commas."),
    ] = None,
    accepted: Annotated[
        str | None,
        typer.Option(metavar="RATIOS", help="Accepted inflations above 1, parted by commas."),
    ] = None,
    as_json: AsJson = False,
    plot: Plot = None,
) -> None:
    """Say what a wrong base LR costs, and how coarse a grid may be."""
    _page_for_plot(plot)
    wanted = _schedule(schedule)
    with working("summing the bound"):
        from etastar.robust import robust_page, robust_report, robust_table

        curve, document = robust_report(wanted, rho, accepted)
        if plot is not None:
            write_text(plot, robust_page(curve))
    if as_json:
        _print_json(document)
    else:
        show(robust_table(curve, document))


@app.command("export")
def export_command(
    schedule: Annotated[
        str, typer.Argument(metavar="SCHEDULE", help="A schedule.json, or a spec string.")
    ],
    to: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="torch, optax, transformers, torchtitan, megatron, nanochat, axolotl or csv.",
        ),
    ],
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the configuration to this file.")
    ] = None,
    runs: Annotated[
        list[str] | None,
        typer.Option(
            metavar="RUNS",
            help="Logs to fit a law to, which says what the nearest schedule costs; give it once"
            " for each. By default the plan.json beside SCHEDULE says so.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write a schedule down for a training framework.

    A framework that knows only standard schedules gets the nearest one, with its regret.
    """
    wanted = _schedule(schedule)
    with working("choosing the schedule"):
        from etastar.plan._export import export, plan_beside
        from etastar.plan._targets import known_target

        target, law, plan = known_target(to), None, None
        if runs and not target.takes(wanted):
            from etastar.law import fit

            law = fit(_read(runs, None, None, None, None))
        elif schedule.lower().endswith(".json"):
            plan = plan_beside(Path(schedule), wanted)
        result = export(wanted, to, law=law, plan=plan)
        if out is not None:
            write_text(out, result.text)
    if as_json:
        _print_json(result.document())
    elif out is None:
        print(result.text, end="")
    else:
        note(result.notes)
        print(f"written: {out}")


@app.command("pilot")
def pilot_command(
    command: Annotated[
        list[str],
        typer.Argument(
            metavar="COMMAND",
            help="After --: your training, with placeholders: {schedule} (a schedule.json) or"
            " {spec}, {steps}, {seed}, {out} (write the log to {out}.csv or {out}.jsonl),"
            " {name}, {resume}.",
            show_default=False,
        ),
    ],
    horizon: Annotated[str, typer.Option(metavar="STEPS", help="Updates of the long training.")],
    budget: Annotated[str, typer.Option(metavar="STEPS", help="Updates for all pilots together.")],
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="Folder of the logs; the same one goes on.")
    ] = Path("pilots"),
    jobs: Annotated[
        int | None, typer.Option(metavar="N", help="Most runs at a time; 1, on Ray all that fit.")
    ] = None,
    ray: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Run on Ray: auto, local or host:port.")
    ] = None,
    cpus: Annotated[float, typer.Option(metavar="N", help="CPUs of a run on Ray.")] = 1.0,
    gpus: Annotated[float, typer.Option(metavar="N", help="GPUs of a run on Ray.")] = 0.0,
    results: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Where runs on Ray keep their files, for fsspec."),
    ] = None,
    peak: Annotated[
        str | None,
        typer.Option(metavar="LOW,HIGH", help="Range of peak LRs; by default a range test's."),
    ] = None,
    warmup: Annotated[str, typer.Option(metavar="STEPS", help="Warmup of every pilot.")] = "0",
    interval: Annotated[
        float | None,
        typer.Option(metavar="NATS", help="Stop once the loss is known to plus or minus this."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the pilots.")] = 0,
    patience: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", help="Without a new row for so long, a run has hung."),
    ] = None,
    retries: Annotated[int, typer.Option(help="How often a failed pilot is started again.")] = 2,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the designed pilots and stop.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Go on in a folder begun with another command.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Design the pilot runs of a long training, run them, and keep their logs for `plan`."""
    from etastar.pilot._command import run_command

    document, lines = run_command(
        command,
        horizon=_count("--horizon", horizon),
        budget=_count("--budget", budget),
        out=out,
        peak=peak,
        warmup=_count("--warmup", warmup, least=0),
        dry_run=dry_run,
        interval=interval,
        seed=seed,
        jobs=jobs,
        ray=ray,
        cpus=cpus,
        gpus=gpus,
        results=results,
        patience=patience,
        retries=retries,
        force=force,
    )
    if as_json:
        _print_json(document)
    else:
        show(lines)


def _pair(name: str, text: str) -> tuple[float, float]:
    """Two numbers parted by a comma."""
    try:
        first, second = (float(part) for part in text.split(","))
    except ValueError:
        raise InputError(f"{name} {text!r} must be two numbers, such as 1,0.01") from None
    return first, second


def _count(name: str, text: str, *, least: int = 1) -> int:
    """A whole number of steps from an option, such as 40000, 40_000 or 4e4."""
    try:
        number = float(text)
    except ValueError:
        raise InputError(f"{name} {text!r} is not a number; give steps, such as 40000") from None
    if not least <= number < 1e15 or number != int(number):
        raise InputError(
            f"{name} {text!r} must be a whole number of steps from {least} to below 1e15;"
            " count optimiser updates"
        )
    return int(number)


def _read(
    sources: list[str], step: str | None, loss: str | None, lr: str | None, schedule: str | None
) -> list[Run]:
    from etastar.runs import read_runs

    declared = None if schedule is None else _schedule(schedule)
    return read_runs(sources, step=step, loss=loss, lr=lr, schedule=declared)


def _with_continued(logs: list[Run], found: list[Run]) -> tuple[list[Run], Run]:
    """The logs with the run to go on from among them, read once."""
    if len(found) != 1:
        raise InputError(
            f"--continue: stands for {len(found)} runs ({', '.join(run.name for run in found[:3])}"
            ", ...): name the log of one"
        )
    run = found[0]
    file = Path(str(run.metadata["file"])).resolve()
    same = [other for other in logs if Path(str(other.metadata["file"])).resolve() == file]
    return (logs, same[0]) if same else ([*logs, run], run)


def _schedule(text: str) -> Schedule:
    """A schedule from a spec string, or from the file that `plan --out` wrote."""
    return Schedule.load(text) if text.lower().endswith(".json") else parse_schedule(text)


def _known_law(name: str) -> None:
    """Refuse a law that there is not, before any long work."""
    from etastar.law import FORMS

    if name not in FORMS:
        raise InputError(f"--law {name!r} is not known; choose one of {', '.join(FORMS)}")


def _page_for_plot(path: Path | None) -> None:
    """Refuse a plot that could not be written, before any long work."""
    if path is None:
        return
    if path.suffix.lower() not in (".html", ".htm"):
        raise InputError(f"--plot {path}: the plot is a web page; name a file that ends in .html")
    _prepared(path.parent)


def _prepared(folder: Path) -> None:
    from etastar.plan._files import prepare_folder

    prepare_folder(folder)


def _say_doubts(runs: list[Run]) -> None:
    """Say on stderr what is doubtful about the runs of a fit."""
    from etastar.runs import check_together

    note(dict.fromkeys(caveat for run in runs for caveat in run.caveats))
    note(check_together(runs))


def _held_out(tested: list[Run], fitted: list[Run]) -> list[Run]:
    """The test runs that were not fitted on."""
    files = {_file(run) for run in fitted}
    held_out = [run for run in tested if _file(run) not in files]
    if not held_out:
        raise InputError("every --test run is a --fit run too: name other runs to test on")
    if len(held_out) < len(tested):
        both = [run.name for run in tested if _file(run) in files]
        note([f"fitted, so not tested: {', '.join(both)}"])
    note(caveat for run in held_out for caveat in run.caveats)
    return held_out


def _file(run: Run) -> Path:
    return Path(str(run.metadata["file"])).resolve()


def _forecast_steps(at: str | None, schedule: Schedule) -> list[int]:
    horizon = schedule.horizon
    if at is None:
        return sorted({max(1, round(part * horizon)) for part in (0.1, 0.25, 0.5, 0.75, 1.0)})
    steps = sorted({_count("--at", text.strip()) for text in at.split(",")})
    if steps[-1] > horizon:
        raise InputError(
            f"--at {steps[-1]} lies beyond the horizon of the schedule, {horizon}; name a step up"
            " to it"
        )
    return steps


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


def _forecast_document(steps: list[int], forecast: Forecast) -> dict[str, dict[str, float]]:
    return {
        str(step): {"mean": float(mean), "low": float(low), "high": float(high)}
        for step, mean, low, high in zip(
            steps, forecast.mean, forecast.low, forecast.high, strict=True
        )
    }


def _forecast_table(schedule: Schedule, steps: list[int], forecast: Forecast) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from etastar.plan._words import loss_text, steps_text

    rows = Table(box=box.SIMPLE_HEAD, title=Text(schedule.spec), title_justify="left")
    for name in ("step", "loss", "90% from", "to"):
        rows.add_column(name, justify="right", no_wrap=True)
    for step, loss in zip(steps, _forecast_document(steps, forecast).values(), strict=True):
        rows.add_row(steps_text(step), *(loss_text(loss[key]) for key in ("mean", "low", "high")))
    return rows


def _backtest_table(document: dict[str, Any]) -> Any:
    from rich import box
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    names = ["r2", "mae", "rmse", "mean_rel", "worst_rel", "final_error", "covered"]
    # Close columns: eight of them must leave room for the run's name in 80 characters.
    rows = Table(box=box.SIMPLE_HEAD, padding=0, pad_edge=False)
    rows.add_column("run", overflow="fold", min_width=12)
    for name in names:
        rows.add_column(name, justify="right", no_wrap=True)
    for run in document["runs"]:
        rows.add_row(Text(str(run["run"])), *(_cell(run[name]) for name in names))
    rows.add_section()
    average = document["average"]
    rows.add_row("average", *(_cell(average.get(name)) for name in names), style="bold")
    whole = ", ".join(
        f"{name} {_cell(document[key])}"
        for name, key in [
            ("rank correlation", "rank_correlation"),
            ("selection regret", "selection_regret"),
            ("fit seconds", "fit_seconds"),
        ]
    )
    return Group(rows, Text(whole))


def _cell(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.3g}" if isinstance(value, int | float) else "-"


def _print_json(document: object) -> None:
    from etastar.plan._json import json_text

    print(json_text(document))


if __name__ == "__main__":
    main()
