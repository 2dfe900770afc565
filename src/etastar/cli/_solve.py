"""`etastar solve`: the optimal schedule of the solvable model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from etastar._checks import shown
from etastar._compiling import running_seconds
from etastar._files import write_text
from etastar._provenance import provenance

from . import _model_options as task
from . import _options as option
from ._terminal import print_json, show, working

if TYPE_CHECKING:
    from etastar.control import Solution
    from etastar.model import Model, Phase, SpectrumFit
    from etastar.schedule import Unit

EXAMPLES = (
    "etastar solve --capacity 1.5 --source 0.5 --noise 1 --batch 8 --horizon 10k",
    "etastar solve --capacity 2 --source 1 --noise 1 --batch 4 --horizon 1M --plot a.html",
    "etastar solve --spectrum spectrum.csv --noise 0.1 --batch 8 --horizon 10k",
)

SOLVING = "solving"
"""The stage of which `etastar.control.solve` tells."""

Noise = Annotated[float, typer.Option(metavar="SIGMA2", help="Variance of the label noise.")]
Batch = Annotated[
    float,
    typer.Option(
        parser=option.number,
        metavar="B",
        help="Batch size, inf for full gradients; where it varies, that of the baselines.",
    ),
]
Horizon = Annotated[
    str | None, typer.Option(metavar="STEPS", help="Number of updates, such as 1e6.")
]
Controls = Annotated[
    str,
    typer.Option(
        metavar="NAMES",
        help="lr; lr,momentum; lr,velocity,momentum; or lr,batch, with --samples or --seconds.",
    ),
]
Samples = Annotated[
    float | None,
    typer.Option(
        parser=option.number, metavar="N", help="Budget of data, in place of the horizon."
    ),
]
Seconds = Annotated[
    float | None,
    typer.Option(
        parser=option.number, metavar="S", help="Budget of time, in place of the horizon."
    ),
]
StepTime = Annotated[
    str, typer.Option(metavar="T0,T1", help="An update takes T0 + T1 * batch size seconds.")
]


def _cap(value: object) -> float | str:
    """What `--cap` says: a number, or that there is none."""
    try:
        return "transient" if value == "transient" else option.number(value)
    except typer.BadParameter:
        raise typer.BadParameter(f"{shown(value)} is neither an LR nor transient") from None


Cap = Annotated[
    Any,
    typer.Option(
        parser=_cap,
        metavar="LR|transient",
        help="Highest LR; by default one that is stable where it is held. With transient there is"
        " none: single LRs may be far larger, and the run diverges where features have heavier"
        " tails. It takes horizons to 100,000, and minutes there.",
        show_default=False,
    ),
]
Floor = Annotated[float, typer.Option(metavar="LR", help="Lowest LR.")]
Warmup = Annotated[str, typer.Option(metavar="STEPS", help="Updates of linear warmup.")]
Monotone = Annotated[bool, typer.Option("--monotone", help="The LR may not rise after the warmup.")]
MaxBatch = Annotated[
    float, typer.Option(parser=option.number, metavar="B", help="Largest batch size.")
]
MaxMomentum = Annotated[float, typer.Option(metavar="MU", help="Largest momentum.")]
Width = Annotated[str | None, typer.Option(metavar="N", help="Number of features; by default all.")]


def solve_command(
    noise: Noise,
    batch: Batch,
    capacity: task.CapacityOrSpectrum = None,
    source: task.SourceOrSpectrum = None,
    spectrum: task.Spectrum = None,
    horizon: Horizon = None,
    unit: option.CountUnit = "steps",
    epoch_size: option.EpochSize = None,
    controls: Controls = "lr",
    samples: Samples = None,
    seconds: Seconds = None,
    step_time: StepTime = "1,0",
    cap: Cap = None,
    floor: Floor = 0.0,
    warmup: Warmup = "0",
    monotone: Monotone = False,
    max_batch: MaxBatch = 65536.0,
    max_momentum: MaxMomentum = 1.0 - 1e-9,
    width: Width = None,
    as_json: option.AsJson = False,
    plot: option.Plot = None,
) -> None:
    """Solve for the optimal schedule up to --cap in the model of a power law or a spectrum."""
    option.check_plot(plot)
    task.check_task(capacity, source, spectrum)
    counted, steps, samples = _counts(horizon, samples, unit, batch, epoch_size, controls)
    features = None if width is None else option.count_of("--width", width)
    options: dict[str, Any] = {
        "controls": controls,
        "cap": cap,
        "floor": floor,
        "warmup": option.count_of("--warmup", warmup, least=0, unit=counted),
        "monotone": monotone,
        "samples": samples,
        "seconds": seconds,
        "step_time": option.pair_of("--step-time", step_time),
        "max_batch": max_batch,
        "max_momentum": max_momentum,
    }
    with working({SOLVING: 1.0}, running_seconds) as progress:
        from etastar.control import solve

        model, fitted = task.model_of(capacity, source, spectrum, noise, batch, features)
        solution = solve(model, steps, **options, progress=progress)
    if plot is not None:
        from etastar.report import solution_page

        write_text(plot, solution_page(model, solution, provenance(), fitted))
    if as_json:
        print_json(_document(model, solution, fitted))
        return
    from etastar.report import solution_summary

    show(solution_summary(model, solution, fitted))


def _counts(
    horizon: str | None,
    samples: float | None,
    unit: str,
    batch: float,
    epoch_size: str | None,
    controls: str,
) -> tuple[Unit, int | None, float | None]:
    """The unit of counts, the horizon in updates, and the budget of samples; None what is not."""
    # Steps need no batch size, which may be infinite.
    counted = option.unit_of(unit, None if unit == "steps" else batch, epoch_size)
    steps = None if horizon is None else option.count_of("--horizon", horizon, unit=counted)
    if unit != "steps" and steps is not None and "batch" in controls:
        # The unit says that the horizon is data.
        of_samples = option.unit_of(unit, 1.0, epoch_size)
        return counted, None, of_samples.updates(option.positive_of("--horizon", str(horizon)))
    return counted, steps, samples


def _document(
    model: Model, solution: Solution, fitted: SpectrumFit | None = None
) -> dict[str, Any]:
    """What `--json` prints.

    Keys: `phase {name, xi, delta, loss_exponent}`, or with momentum `phase {name, loss_exponent,
    log_exponent}`, where the loss falls as T^-loss_exponent (log T)^-log_exponent at best; `loss`,
    the excess loss at the end; `schedule`, as knots [step, lr] to be joined by straight lines, or a
    spec; `baselines {constant, power, linear, cosine, wsd, ...: {loss, peak_lr, spec}}`; `gap`,
    relative, an estimate; `lower_bound`, a loss that no schedule below the cap goes under, null
    where none is known; `seconds`, of the solve without compilation and baselines; `wall_seconds`,
    of all that the command waited for, and `compile_seconds`, the part of it that was compilation;
    `cap`, the largest LR allowed, "transient" where there was none, null where it moves with the
    batch size; and `velocity`, `momentum` and `batch_size`, schedules like the first, where they
    were optimised. With --spectrum `phase` is null where the spectrum has no exponents, and else
    `spectrum` has them with their intervals.
    """
    from etastar.model import phase_of

    exponents = phase_of(model, fitted)
    document = {
        "phase": None if exponents is None else _named(exponents, solution),
        "loss": solution.loss,
        "schedule": solution.schedule.to_dict(),
        "baselines": {
            member.family: {
                "loss": member.loss,
                "peak_lr": member.schedule.peak,
                "spec": member.schedule.spec,
            }
            for member in solution.baselines
        },
        "gap": solution.gap,
        "lower_bound": solution.lower_bound,
        "seconds": solution.seconds,
        "wall_seconds": solution.wall_seconds,
        "compile_seconds": solution.compile_seconds,
        "cap": "transient" if solution.transient else solution.cap,
    }
    for name in ("velocity", "momentum", "batch_size"):
        schedule = getattr(solution, name)
        if schedule is not None:
            document[name] = schedule.to_dict()
    if fitted is not None:
        document["spectrum"] = task.measured(fitted)
    return document


def _named(exponents: Phase, solution: Solution) -> dict[str, Any]:
    """The phase, and the exponents that hold for the controls that were optimised."""
    named: dict[str, Any] = {
        "name": exponents.name,
        "xi": exponents.xi,
        "delta": exponents.delta,
        "loss_exponent": exponents.loss_exponent,
    }
    if solution.momentum is not None:
        named = {
            "name": exponents.name,
            "loss_exponent": exponents.momentum_loss_exponent,
            "log_exponent": exponents.momentum_log_exponent,
        }
    if solution.velocity is not None:
        named |= {"loss_exponent": exponents.velocity_loss_exponent, "log_exponent": 0.0}
    return named
