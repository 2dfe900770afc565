"""`run_pilots`: the pilots of a horizon, designed, run and stored."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from etastar._errors import InputError
from etastar.runs import Run

from ._launch import command_of
from ._progress import Screen, screen
from ._run_local import LocalWorkers, Workers
from ._store import Store, opened
from ._supervise import Sweep, Swept, Wishes
from ._types import Designer, Proposal

if TYPE_CHECKING:
    from ._outlook import Outlook

# The design and the law take jax, which what only looks after runs does without.

Train = Callable[..., object] | Sequence[str]


def run_pilots(
    train: Train,
    *,
    horizon: int,
    budget: int,
    out: str | os.PathLike[str] = "pilots",
    peaks: tuple[float, float] | None = None,
    warmup: int = 0,
    interval: float | None = None,
    seed: int = 0,
    jobs: int | None = None,
    ray: str | None = None,
    cpus: float = 1.0,
    gpus: float = 0.0,
    results: str | None = None,
    patience: float | None = None,
    retries: int = 2,
    force: bool = False,
    designer: Designer | None = None,
    show: Screen | None = None,
    ahead: Callable[[list[Run]], Outlook | None] | None = None,
) -> Swept:
    """Design the pilot runs of a long training, run them, and keep their logs in a folder.

    The same call goes on with an unfinished sweep, whatever ended it: runs that have finished are
    not repeated, and one that is still running is watched again, not started twice.

    Arguments:
        train: the words of a command with placeholders such as `{schedule}` and `{out}`, or a
            function at the top level of a file whose parameters have the names of placeholders:
            `def train(schedule, seed, out)`. It is called in a process of its own, and gets a
            `Schedule`, an int, and a `Path` without suffix at which to write a log that
            `read_runs` reads.
        horizon: updates of the long training.
        budget: updates that all pilots together may take. Runs begun again after a failure are
            charged once; pilots set aside are not charged.
        out: the folder; `etastar plan` reads it at any moment.
        peaks: lowest and highest peak LR; by default a range test finds them.
        warmup: updates of linear warmup of every pilot.
        interval: stop when half the width of the 90% interval of the loss at the horizon is below
            this, in the unit of the losses (nats).
        seed: of the pilots.
        jobs: most runs at a time; by default 1 here, and on Ray what the cluster has room for.
        ray: address of a Ray cluster, 'auto', or 'local' for one of this machine; None runs
            processes here.
        cpus, gpus: what a run on Ray reserves.
        results: URL that fsspec knows, where runs on Ray keep their files; by default `out`, which
            every node must see then.
        patience: seconds without a new row after which a run counts as hung; by default
            twenty times its longest gap between rows and at least five minutes, and half an hour
            for the first.
        retries: how often a pilot whose training failed is started again.
        force: go on in a folder that was begun with another command, horizon, peaks or warmup.
        designer: chooses the pilots; by default `make_designer` with the arguments above.
        show: where to tell what happens; by default stderr.
        ahead: what the runs so far say of the horizon, for the display and `interval`; by default
            a fit of the law.

    Returns: a `Swept`; its runs are also in `out`.

    Raises: InputError for arguments out of range, a folder that another driver holds or that was
        begun otherwise, a full disk, or a command that fails three pilots and runs none;
        KeyboardInterrupt. All that has ended is kept.

    See docs/pilots.md for the faults that are told apart, and what follows each.
    """
    command = command_of(train)
    wishes = checked(horizon, budget, interval, patience, retries)
    if designer is None:
        from ._design import make_designer

        designer = make_designer(
            horizon, budget, peaks=peaks, warmup=warmup, resumable=command.branches, seed=seed
        )
    settings = {
        "command": list(command.words),
        "horizon": horizon,
        "peak": None if peaks is None else [float(peak) for peak in peaks],
        "warmup": warmup,
        "seed": seed,
    }
    shown = screen() if show is None else show
    if ahead is None:
        from ._outlook import outlook

        ahead = partial(outlook, horizon=horizon, warmup=warmup)
    with opened(Path(out), settings, force) as store:
        workers = _workers(store, jobs, ray, cpus, gpus, results, retries)
        try:
            return Sweep(store, workers, designer, command, wishes, shown, ahead).run()
        finally:
            shown.close()
            workers.close()


def design(
    train: Train,
    horizon: int,
    budget: int,
    peaks: tuple[float, float] | None,
    warmup: int,
    seed: int,
) -> tuple[Proposal, list[int]]:
    """The pilots that a sweep would begin with, and the updates that each pays for."""
    from ._design import make_designer

    command = command_of(train)
    checked(horizon, budget, None, None, 0)
    designer = make_designer(
        horizon, budget, peaks=peaks, warmup=warmup, resumable=command.branches, seed=seed
    )
    proposal = designer.propose([], [], budget)
    paid = [
        pilot.steps - (pilot.branch_step if command.branches else 0) for pilot in proposal.pilots
    ]
    return proposal, paid


def checked(
    horizon: int, budget: int, interval: float | None, patience: float | None, retries: int
) -> Wishes:
    """What a sweep is asked, checked. Raises: InputError naming what is out of range."""
    for name, value in (("horizon", horizon), ("budget", budget)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise InputError(f"{name} must be a whole number of steps of at least 1, got {value!r}")
    for name, value in (("interval", interval), ("patience", patience)):
        if value is not None and not 0 < value < math.inf:
            raise InputError(f"{name} must be above 0, got {value!r}")
    if retries < 0:
        raise InputError(f"retries must be at least 0, got {retries}")
    return Wishes(horizon, budget, interval, patience, retries)


def _workers(
    store: Store,
    jobs: int | None,
    ray: str | None,
    cpus: float,
    gpus: float,
    results: str | None,
    retries: int,
) -> Workers:
    if jobs is not None and jobs < 1:
        raise InputError(f"jobs must be at least 1, got {jobs}")
    if ray is None:
        if results is not None:
            raise InputError("results are for runs on Ray: give ray (--ray ADDRESS) too")
        return LocalWorkers(store.runs, jobs or 1)
    if cpus < 0 or gpus < 0 or cpus + gpus == 0:
        raise InputError(f"a run must reserve something: cpus is {cpus:g}, gpus is {gpus:g}")
    from ._run_ray import RayWorkers, check_results

    if results is not None:
        results = results.rstrip("/")
        check_results(results)
    return RayWorkers(
        store.runs, ray, jobs=jobs, cpus=cpus, gpus=gpus, retries=retries, results=results
    )
