"""From files to runs: find, read, choose columns, clean, give each its schedule."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from etastar._checks import HORIZON_LIMIT, one_of, step_horizon
from etastar._errors import InputError, option
from etastar._files import is_file, place_of
from etastar.schedule import UNITS, Schedule, Unit, parse_schedule

from . import _columns, _logged_rates, _logged_values
from ._console import compiled_patterns
from ._declarations import (
    Declaration,
    completed,
    declared_by_columns,
    declared_in,
    no_log,
    read_declarations,
)
from ._epochs import with_steps
from ._formats import read_log_table
from ._lightning import of_monitor
from ._log_table import LogTable, numbers
from ._rate_groups import ratios_to
from ._run import Run
from ._several_runs import table_of_each_run
from ._sources import Source, Sources, find_logs
from ._summary import is_summary, summary_runs


@dataclass(frozen=True)
class _Options:
    step: str | None
    loss: str | None
    lr: str | None
    schedule: Schedule | str | None
    horizon: float | None
    patterns: tuple[str, ...]
    steps_per_epoch: float | None
    unit: str | None
    sizes: dict[str, float | None]

    def check(self) -> None:
        """Refuse what no log can mend."""
        epoch = self.steps_per_epoch
        if self.horizon is not None and not 0 < self.horizon < np.inf:
            raise InputError(f"horizon is {self.horizon}; give a number above 0")
        if self.unit is not None:
            one_of("unit", self.unit, UNITS)
        if epoch is not None and not 0 < epoch < np.inf:
            raise InputError(f"steps_per_epoch is {epoch}; give a number of updates above 0")
        compiled_patterns(self.patterns)

    @property
    def of_unit(self) -> dict[str, Any]:
        """The unit and the sizes for runs that do not say theirs."""
        return {"unit": self.unit or "steps", **self.sizes}


def read_runs(
    sources: Sources,
    *,
    step: str | None = None,
    loss: str | None = None,
    lr: str | None = None,
    schedule: Schedule | str | None = None,
    horizon: float | None = None,
    unit: str | None = None,
    batch_size: float | None = None,
    epoch_size: float | None = None,
    sequence_length: float | None = None,
    pattern: str | Sequence[str] = (),
    steps_per_epoch: float | None = None,
) -> list[Run]:
    """Read training logs.

    Formats: CSV, TSV, JSON, JSONL, Parquet, Hugging Face `trainer_state.json`, Lightning
    `metrics.csv`, TensorBoard, W&B, MLflow, Trackio, and what a training printed. A folder stands
    for the logs in it, or, where it holds none, for those in its subfolders. A tracker's runs are
    named `wandb:ENTITY/PROJECT[/RUN]`, `mlflow:URI#EXPERIMENT` or `trackio:PROJECT[/RUN]`. A table
    may hold several runs, told apart by a column such as `run`, or a final loss a row.

    The schedule of a run is, in this order: that of its row in a `runs.csv` in the folder of the
    log (or up to two above); what the log itself declares; `schedule`; the standard schedule that
    agrees with all logged learning rates, or a table through them. Steps are updates: a log that
    counts tokens, samples or epochs is read by its batch size, see `etastar.schedule.Unit`. What is
    left out or doubtful is a caveat of the run; one that diverged is kept and marked.

    Arguments:
        sources: a file, a folder, a glob (`"logs/*.csv"`), or a list of any of these.
        step, loss, lr: columns; guessed where None, validation losses before training ones.
        schedule: a schedule or spec string for the runs that no `runs.csv` declares.
        horizon: for specs that name none and for schedules made from logged learning rates.
        unit: what steps, `horizon` and `schedule` count: steps, samples, tokens or epochs.
        batch_size, epoch_size, sequence_length: samples of an update and of an epoch, tokens of a
            sample, where the log says none.
        pattern: regular expressions that find rows in other text: named groups become columns.
        steps_per_epoch: updates in an epoch, for logs that count epochs and no steps.

    Returns: one run a log, in the order named; a folder's as its `runs.csv` has them, then by name.
    Raises: InputError, one line with file, line and remedy: no log, a missing column, a cell that
        is no number, a loss <= 0, fewer than two points, or no way to know the schedule.

    >>> import pathlib, tempfile
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> log = "step,lr,val_loss\\n0,0.1,4\\n50,0.1,3\\n100,0.1,2.5\\n"
    >>> _ = (folder / "pilot.csv").write_text(log)
    >>> (run,) = read_runs(folder)
    >>> run.name, run.final_loss, run.schedule(70)
    ('pilot', 2.5, 0.1)
    """
    patterns = (pattern,) if isinstance(pattern, str) else tuple(pattern)
    sizes = {"batch_size": batch_size, "epoch_size": epoch_size}
    sizes["sequence_length"] = sequence_length
    options = _Options(step, loss, lr, schedule, horizon, patterns, steps_per_epoch, unit, sizes)
    options.check()
    names = [sources] if isinstance(sources, str | os.PathLike) else list(sources)
    found = _read_all(find_logs(names, patterns), _named_files(names), options)
    return _distinct(_without_summarised(found))


def _named_files(names: Sequence[str | os.PathLike[str]]) -> set[Path]:
    """The files that were named themselves, not by a folder or a glob."""
    paths = [Path(os.path.expanduser(os.fspath(name))) for name in names]
    return {place_of(path) for path in paths if is_file(path)}


def _read_all(sources: Sequence[Source], named: set[Path], options: _Options) -> list[Run]:
    """The runs of all sources; a caveat on the first names those that cannot be read.

    Raises:
        InputError: nothing can be read, a schedule that `runs.csv` declares is wrong, or a file
            that was named itself cannot be read.
    """
    runs: list[Run] = []
    problems: list[InputError] = []
    for source in sources:
        if source.declaration:
            source.declaration.parsed(options.horizon, **options.of_unit)
        try:
            runs += _runs(source, options)
        except InputError as error:
            if place_of(source.path) in named:
                raise
            problems.append(error)
    if not runs:
        raise problems[0]
    left_out = [f"{error}; the file is left out" for error in problems]
    return [replace(runs[0], caveats=(*left_out, *runs[0].caveats)), *runs[1:]]


def _runs(source: Source, options: _Options) -> list[Run]:
    """The run of a log, those of a table that holds several, or of a sweep's summary table."""
    table = of_monitor(source.table or read_log_table(source.path, options.patterns))
    if options.step is None:
        table = with_steps(table, options.steps_per_epoch)
    own, notes = declared_in(table)
    source = replace(
        source,
        declaration=completed(source.declaration, own),
        caveats=(*source.caveats, *notes),
    )
    if options.step is None and is_summary(table):
        return summary_runs(table, loss=options.loss, schedule=options.schedule)
    tables = table_of_each_run(table, options.step, options.loss)
    if len(tables) == 1:
        return [_run(source, tables[0], options)]
    return _several(source, tables, options)


def _several(source: Source, tables: Sequence[LogTable], options: _Options) -> list[Run]:
    """The runs of one table; those that cannot be read are named in a caveat on the first other.

    A run is declared by the columns that are constant in it, over these by what is declared for the
    whole file, and over that by a row of the `runs.csv` beside the file that names the run.
    """
    listed = {row.run: row for row in read_declarations(source.path.parent)}
    runs: list[Run] = []
    problems: list[InputError] = []
    missing = set(source.caveats)
    for table in tables:
        row = completed(source.declaration, declared_by_columns(table))
        row = completed(listed.get(table.name), row)
        if table.name in listed:
            missing.discard(no_log(listed[table.name]))
        own = replace(source, declaration=replace(row, run=table.name) if row else None, caveats=())
        try:
            runs.append(_run(own, table, options))
        except InputError as error:
            problems.append(error)
    if not runs:
        raise problems[0]
    left_out = [f"run left out: {error}" for error in problems]
    caveats = [caveat for caveat in source.caveats if caveat in missing]
    return [replace(runs[0], caveats=(*caveats, *left_out, *runs[0].caveats)), *runs[1:]]


def _without_summarised(runs: list[Run]) -> list[Run]:
    """Runs less the rows of summary tables whose run has a whole log among them."""
    logged = {run.name for run in runs if len(run.step) > 1}
    return [run for run in runs if len(run.step) > 1 or run.name not in logged]


def _run(source: Source, table: LogTable, options: _Options) -> Run:
    log = _chosen(source, table, options)
    ordered, order_notes = _logged_values.in_order(log.table, log.losses)
    logged, finite_notes, diverged = _logged_values.finite_losses(
        log.table, ordered, log.loss_column
    )
    lost = ordered.step[ordered.step > logged.step[-1]]
    schedule, schedule_notes = _schedule(source, options, log, float(logged.step[-1]))
    logged, horizon_notes = _logged_values.within(log.table, logged, schedule.horizon)
    row = source.declaration
    caveats = (*log.caveats, *order_notes, *finite_notes, *schedule_notes, *horizon_notes)
    metadata = {**log.table.metadata, **(row.metadata if row else {})}
    if log.groups:
        metadata.setdefault("lr_groups", log.groups)
    if log.unit.sequence_length is not None:
        metadata["sequence_length"] = log.unit.sequence_length
    metadata |= {
        "file": str(source.path),
        "step_column": log.step_column,
        "loss_column": log.loss_column,
        "lr_column": log.rate_column,
        "diverged": diverged,
    }
    other = None if options.loss else _columns.passed_over(log.table, log.loss_column)
    if other is not None:
        metadata["passed_over"] = other
    if diverged and len(lost):
        metadata["not_finite"] = (float(lost[0]), float(lost[-1]))
    return Run(
        name=row.run if row else log.table.name,
        step=logged.step,
        loss=logged.value,
        schedule=schedule,
        batch_size=log.batch_size,
        momentum=row.momentum if row else None,
        metadata=metadata,
        caveats=(*source.caveats, *caveats),
    )


@dataclass(frozen=True)
class _Log:
    """A table with its columns chosen."""

    table: LogTable
    losses: _logged_values.LoggedValues
    step_column: str
    loss_column: str
    rate_column: str | None
    rates: _logged_rates.LoggedRates | None
    groups: dict[str, float]
    unit: Unit
    batch_size: float | None
    caveats: tuple[str, ...]


def _unit(
    row: Declaration | None, table: LogTable, column: str, name: str, options: _Options
) -> tuple[Unit, float | None, list[str]]:
    """The unit of the steps of a log, its batch size (None where it is not known), and a caveat.

    A column that the user named as the step counts updates where nothing says how to convert it.

    Raises:
        InputError: the unit needs a size that nobody says.
    """
    rows = [row] if row else []
    if name != "steps":
        rows.append(declared_by_columns(table))
    sizes = {
        key: next((getattr(each, key) for each in rows if getattr(each, key) is not None), given)
        for key, given in options.sizes.items()
    }
    batch_size = sizes["batch_size"]
    try:
        return Unit(name, **sizes), batch_size, []
    except InputError as error:
        told = (row.unit if row else None) or options.unit
        if options.step and not told:
            caveat = f"{table.path}: {column} is taken to count updates, as {error}"
            return Unit("steps", **sizes), batch_size, [caveat]
        found = ", ".join(table.frame.columns[:20])
        if name == "epochs" and not told:
            raise InputError(
                f"{table.path}: no step column; found {found}; it counts epochs: give the updates"
                f" in one with {option('steps_per_epoch')}, or {option('batch_size')} and"
                f" {option('epoch_size')}, or name the column with {option('step')}"
            ) from None
        raise InputError(
            f"{table.path}: no step column; found {found}; {column} counts {name}, but {error}; add"
            f" it as a column of the log or of a runs.csv beside it, give"
            f" {option(str(error).split()[0])}, or name a column of updates with {option('step')}"
        ) from None


def _chosen(source: Source, table: LogTable, options: _Options) -> _Log:
    row = source.declaration
    told = (row.unit if row else None) or options.unit
    step_name, counted = _columns.counted_column(table, options.step, told)
    unit, batch_size, size_notes = _unit(row, table, step_name, counted, options)
    calls_note = None if options.step else _columns.calls_note(table, step_name)
    loss_name, loss_note = _columns.loss_column(table, options.loss, step_name)
    rate_name, rate_note = _columns.rate_column(table, options.lr)
    groups, group_notes = ratios_to(table, rate_name) if rate_name else ({}, [])
    names = [step_name, loss_name, *([rate_name] if rate_name else [])]
    several = [rate_name] if rate_name else []
    table, columns = numbers(table, list(dict.fromkeys(names)), several)
    table, columns = _without_stray_end(table, columns, step_name)
    count, has_step = columns[step_name]
    step, unit_notes = _logged_values.updates(table, step_name, count, unit)
    _logged_values.check_steps(table, step, has_step)
    losses, loss_notes = _logged_values.losses(table, step, *columns[loss_name], loss_name)
    rates, rates_notes = None, []
    if rate_name:
        rates, rates_notes = _logged_rates.rates(table, rate_name, step, *columns[rate_name])
    if loss_name in table.averaged:
        loss_note = f"{loss_note or table.path}: " + (
            f"{loss_name} is a training loss averaged since the row before, and lags behind its"
            " step"
        )
    notes = [
        *filter(None, (calls_note, loss_note, rate_note)),
        *loss_notes,
        *rates_notes,
        *group_notes,
    ]
    notes = (*table.caveats, *size_notes, *unit_notes, *notes)
    return _Log(
        table, losses, step_name, loss_name, rate_name, rates, groups, unit, batch_size, notes
    )


def _without_stray_end(
    table: LogTable, columns: dict[str, tuple[np.ndarray, np.ndarray]], step: str
) -> tuple[LogTable, dict[str, tuple[np.ndarray, np.ndarray]]]:
    """Leave out an unterminated last line whose step goes back: a step cut, not a resumed run."""
    steps, there = columns[step]
    if not table.unterminated or len(steps) < 3 or not there[-2:].all() or steps[-1] > steps[-2]:
        return table, columns
    if np.all(np.diff(steps) < 0):
        return table, columns
    table = table.without_last("cut mid-line (no newline at the end, and its step goes back)")
    return table, {name: (values[:-1], mask[:-1]) for name, (values, mask) in columns.items()}


def _schedule(
    source: Source, options: _Options, log: _Log, last: float
) -> tuple[Schedule, list[str]]:
    """The declared schedule, checked against the logged rates, or one made from these."""
    row = source.declaration
    of_unit = {**options.of_unit, "batch_size": log.batch_size}
    declared = row.parsed(options.horizon, **of_unit) if row else None
    if declared is None and options.schedule is not None:
        given = options.schedule
        declared = (
            parse_schedule(given, horizon=options.horizon, **of_unit)
            if isinstance(given, str)
            else given
        )
    if declared is not None:
        rates = log.rates
        return declared, _logged_rates.contradictions(log.table, rates, declared) if rates else []
    if log.rates is None or len(log.rates.values.step) == 0:
        raise InputError(
            f"{source.path}: its schedule is unknown; declare it in the schedule column of a"
            f" runs.csv beside it, log an lr column (or name it with {option('lr')}), or give"
            f" {option('schedule', 'SPEC')}{_columns.likely_rates(log.table)}"
        )
    told = (row.unit if row else None) or options.unit
    horizon = row.horizon if row and row.horizon is not None else options.horizon
    if horizon is not None and told:
        horizon = log.unit.whole("horizon", horizon)
    if horizon is not None:
        horizon = step_horizon(horizon)
    own = _own_horizon({**log.table.metadata, **(row.metadata if row else {})})
    return _logged_rates.logged_schedule(log.table, log.rates, last, horizon, own)


def _own_horizon(metadata: Mapping[str, object]) -> int | None:
    """The steps that a log, or the configuration of its run, says that the training has."""
    plain = {_columns.ordinary(key.rsplit(".", 1)[-1]): value for key, value in metadata.items()}
    for name in _columns.HORIZON:
        try:
            steps = float(plain[name])  # type: ignore[arg-type]
        except (KeyError, TypeError, ValueError, OverflowError):
            continue
        if 1 <= steps < HORIZON_LIMIT and steps == round(steps):
            return int(steps)
    return None


def _distinct(runs: list[Run]) -> list[Run]:
    """Runs of one name from different folders, renamed after their files."""
    counts = Counter(run.name for run in runs)
    files = Counter(run.metadata["file"] for run in runs)

    def full(run: Run) -> str:
        file = str(run.metadata["file"])
        return file if files[file] == 1 else f"{file} {run.name}"

    return [run if counts[run.name] == 1 else replace(run, name=full(run)) for run in runs]
