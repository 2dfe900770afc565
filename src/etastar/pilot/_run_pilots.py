"""`run_pilots`: the pilots of a long training, designed, run and stored."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Unpack

from etastar._locks import need_posix

from ._advice import LookAhead
from ._command import TrainingCommand, command_of
from ._config import SweepConfig, SweepOptions
from ._local_workers import LocalWorkers
from ._proposal import Designer, Proposal
from ._queue import PilotQueue
from ._screen import PlainLines, Screen
from ._store import PilotStore, open_store
from ._sweep import Sweep, SweepResult
from ._workers import Workers

# The designer and the law take jax, which what only looks after runs does without: both are
# imported where they are used.

Training = Callable[..., object] | Sequence[str]


def run_pilots(
    train: Training,
    *,
    out: str | os.PathLike[str] = "pilots",
    designer: Designer | None = None,
    show: Screen | None = None,
    ahead: LookAhead | None = None,
    **options: Unpack[SweepOptions],
) -> SweepResult:
    """Design the pilot runs of a long training, run them, and keep their logs in a folder.

    The same call goes on with an unfinished sweep, whatever ended it: runs that have finished are
    not repeated, and one that is still running is watched again, not started twice.

    Arguments:
        train: the words of a command with placeholders such as `{schedule}` and `{out}`, or a
            function at the top level of a file whose parameters have the names of placeholders:
            `def train(schedule, seed, out)`. It is called in a process of its own, and gets a
            `Schedule`, an int, and a `Path` without suffix at which to write a log that
            `read_runs` reads.
        out: the folder; `etastar plan` reads it at any moment.
        designer: chooses the pilots; by default `make_designer` with the options below.
        show: where to tell what happens; by default lines on stderr.
        ahead: what the runs so far say of the horizon; by default a fit of the law says it.
        options: the fields of `SweepConfig`, which explains each: `horizon` and `budget`, and if
            wanted `warmup`, `interval`, `peaks`, `patience`, `seed`, `jobs`, `retries`, `force`,
            `ray`, `cpus`, `gpus`, `results`, `slurm`, `slurm_options`, `reading`.

    Returns: a `SweepResult`; its runs are also in `out`.

    Raises: InputError for options out of range, a folder that another driver holds or that was
        begun otherwise, a full disk, or a command that fails three pilots and runs none;
        KeyboardInterrupt. All that has ended is kept (docs/pilots.md).

    >>> import tempfile, types
    >>> from etastar.pilot import Pilot, Silent
    >>> from etastar.schedule import parse_schedule
    >>> def propose(finished, running, steps_left):
    ...     pilots = () if finished else (Pilot("a", parse_schedule("cosine:peak=1,horizon=9")),)
    ...     return Proposal(pilots, None, (0.1,) * len(pilots), "one is enough")
    >>> log = "(echo step,loss; echo 0,4; echo 9,2) > $0.csv"
    >>> swept = run_pilots(["sh", "-c", log, "{out}", "{spec}"], horizon=99, budget=9,
    ...     designer=types.SimpleNamespace(propose=propose), ahead=lambda runs: None,
    ...     show=Silent(), out=tempfile.mkdtemp())
    >>> swept.finished[0].run.final_loss, swept.reason
    (2.0, 'one is enough')
    """
    need_posix("running pilots")
    config, command = SweepConfig(**options), command_of(train)
    designer = _designer(config, command) if designer is None else designer
    shown = PlainLines() if show is None else show
    ahead = _look_ahead(config) if ahead is None else ahead
    identity = config.identity(command.words)
    with open_store(Path(out), identity, config.force, config.reading) as store:
        workers = _workers(config, store)
        try:
            return Sweep(config, command, store, workers, designer, ahead, shown).run()
        finally:
            shown.close()
            workers.close()


def design_pilots(
    train: Training, **options: Unpack[SweepOptions]
) -> tuple[Proposal, tuple[int, ...]]:
    """The pilots that `run_pilots` would begin with; nothing is run or written.

    Arguments:
        train: the training, as `run_pilots` takes it.
        options: as of `run_pilots`.

    Returns: the pilots, and for each the updates that it pays for: a branch from a checkpoint does
        not pay for what its parent has done.

    Raises: InputError for options out of range.

    >>> proposal, paid = design_pilots(
    ...     ["true", "{spec}", "{out}"], horizon=40_000, budget=20_000, peaks=(1e-3, 1e-2)
    ... )
    >>> len(proposal.pilots) == len(paid), sum(paid) <= 20_000
    (True, True)
    """
    config, command = SweepConfig(**options), command_of(train)
    proposal = _designer(config, command).propose([], [], config.budget)
    queue = PilotQueue({}, config.budget, command.branches)
    return proposal, tuple(map(queue.cost, proposal.pilots))


def _designer(config: SweepConfig, command: TrainingCommand) -> Designer:
    from ._information_designer import make_designer

    return make_designer(
        config.horizon,
        config.budget,
        peaks=config.peaks,
        warmup=config.warmup,
        resumable=command.branches,
        seed=config.seed,
    )


def _look_ahead(config: SweepConfig) -> LookAhead:
    from ._law_outlook import law_outlook

    return partial(law_outlook, horizon=config.horizon, warmup=config.warmup)


def _workers(config: SweepConfig, store: PilotStore) -> Workers:
    if config.slurm is not None:
        from ._slurm_workers import SlurmWorkers

        return SlurmWorkers(store.runs, config)
    if config.ray is None:
        return LocalWorkers(store.runs, config.jobs or 1)
    from ._ray_workers import RayWorkers

    return RayWorkers(store.runs, config)
