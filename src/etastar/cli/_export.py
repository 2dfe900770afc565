"""`etastar export`: a schedule written down for a training framework."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from etastar._errors import legible
from etastar._files import write_text
from etastar.schedule import Schedule

from . import _log_options as reading
from . import _options as option
from ._terminal import note, print_json, working

EXAMPLES = (
    "etastar export plan --to torch",
    "etastar export plan --to csv --out rates.csv",
    "etastar export wsd:peak=1e-3,horizon=20000,cooldown=0.2 --to megatron",
)

Source = Annotated[
    str,
    typer.Argument(metavar="SCHEDULE", help="A schedule.json, the folder of a plan, or a spec."),
]
NAMES = (
    "torch",
    "optax",
    "transformers",
    "torchtitan",
    "megatron",
    "nanochat",
    "axolotl",
    "csv",
)
"""Those of `etastar.export.TARGETS`, which is slow to import."""

To = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        autocompletion=lambda: list(NAMES),
        help=f"{', '.join(NAMES[:-1])} or {NAMES[-1]}.",
    ),
]
Out = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Write the configuration to this file.")
]
Runs = Annotated[
    list[str] | None,
    typer.Option(
        metavar="RUNS",
        help="Logs to fit a law to, which says what the nearest schedule costs; give it once"
        " for each. By default the plan.json beside SCHEDULE says so.",
    ),
]


def export_command(
    schedule: Source,
    to: To,
    out: Out = None,
    runs: Runs = None,
    step: reading.StepColumn = None,
    loss: reading.LossColumn = None,
    lr: reading.RateColumn = None,
    runs_schedule: reading.RunsSchedule = None,
    pattern: reading.Patterns = None,
    per_epoch: reading.StepsPerEpoch = None,
    runs_batch: reading.RunsBatch = None,
    epoch_size: option.EpochSize = None,
    sequence_length: reading.SequenceLength = None,
    as_json: option.AsJson = False,
) -> None:
    """Write a schedule down for a training framework.

    A framework that knows only standard schedules gets the nearest one, with its regret.
    """
    given = option.parsed_schedules(schedule)
    wanted = given if isinstance(given, Schedule) else given[given.planned]
    with working("choosing the schedule"):
        from etastar.export import export_schedule, known_target, plan_beside

        target, law, plan = known_target(to), None, None
        if runs and target.followed(wanted) is None:
            from etastar.law import fit

            columns = (step, loss, lr, runs_schedule, pattern, per_epoch)
            sizes = (runs_batch, epoch_size, sequence_length)
            law = fit(reading.read_logs(runs, *columns, *sizes))
        elif (file := option.schedule_file(schedule)) is not None:
            plan = plan_beside(file, wanted)
        result = export_schedule(given, to, law=law, plan=plan)
        if out is not None:
            write_text(out, result.text)
    if as_json:
        print_json(result.to_dict())
    elif out is None:
        print(result.text, end="")
    else:
        note(result.notes)
        print(f"written: {legible(str(out))}")
