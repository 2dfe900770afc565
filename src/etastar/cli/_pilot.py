"""`etastar pilot`: design the pilot runs of a long training and run them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from . import _options as option
from ._terminal import print_json, show

Command = Annotated[
    list[str],
    typer.Argument(
        metavar="COMMAND",
        help="After --: your training, with placeholders: {schedule} (a schedule.json) or"
        " {spec}, {steps}, {seed}, {out} (write the log to {out}.csv or {out}.jsonl),"
        " {name}, {resume}.",
        show_default=False,
    ),
]
Horizon = Annotated[str, typer.Option(metavar="STEPS", help="Updates of the long training.")]
Budget = Annotated[str, typer.Option(metavar="STEPS", help="Updates for all pilots together.")]
Out = Annotated[Path, typer.Option(metavar="DIR", help="Folder of the logs; the same one goes on.")]
Jobs = Annotated[
    int | None, typer.Option(metavar="N", help="Most runs at a time; 1, on Ray all that fit.")
]
Ray = Annotated[
    str | None, typer.Option(metavar="ADDRESS", help="Run on Ray: auto, local or host:port.")
]
Cpus = Annotated[float, typer.Option(metavar="N", help="CPUs of a run on Ray.")]
Gpus = Annotated[float, typer.Option(metavar="N", help="GPUs of a run on Ray.")]
Results = Annotated[
    str | None, typer.Option(metavar="URL", help="Where runs on Ray keep their files, for fsspec.")
]
Peak = Annotated[
    str | None,
    typer.Option(metavar="LOW,HIGH", help="Range of peak LRs; by default a range test's."),
]
Warmup = Annotated[str, typer.Option(metavar="STEPS", help="Warmup of every pilot.")]
Interval = Annotated[
    float | None,
    typer.Option(metavar="NATS", help="Stop once the loss is known to plus or minus this."),
]
Seed = Annotated[int, typer.Option(help="Seed of the pilots.")]
Patience = Annotated[
    float | None,
    typer.Option(metavar="SECONDS", help="Without a new row for so long, a run has hung."),
]
Retries = Annotated[int, typer.Option(help="How often a failed pilot is started again.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show the designed pilots and stop.")]
Force = Annotated[
    bool, typer.Option("--force", help="Go on in a folder begun with another command.")
]


def pilot_command(
    command: Command,
    horizon: Horizon,
    budget: Budget,
    out: Out = Path("pilots"),
    jobs: Jobs = None,
    ray: Ray = None,
    cpus: Cpus = 1.0,
    gpus: Gpus = 0.0,
    results: Results = None,
    peak: Peak = None,
    warmup: Warmup = "0",
    interval: Interval = None,
    seed: Seed = 0,
    patience: Patience = None,
    retries: Retries = 2,
    dry_run: DryRun = False,
    force: Force = False,
    as_json: option.AsJson = False,
) -> None:
    """Design the pilot runs of a long training, run them, and keep their logs for `plan`."""
    from etastar.pilot._command import run_command

    document, lines = run_command(
        command,
        horizon=option.count_of("--horizon", horizon),
        budget=option.count_of("--budget", budget),
        out=out,
        peak=peak,
        warmup=option.count_of("--warmup", warmup, least=0),
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
        print_json(document)
    else:
        show(lines)
