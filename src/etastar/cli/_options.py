"""The options that several commands share, and what their texts stand for.

Everything slow to import (jax, polars, plotly) is imported where a command needs it: --help must
answer at once.
"""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from etastar._checks import number_in, part, positive_of, shown
from etastar._errors import InputError, known_names
from etastar._files import is_file, is_folder, prepare_folder
from etastar.schedule import (
    UNITS,
    GroupSchedules,
    Schedule,
    Unit,
    load_schedules,
    parse_schedule,
)

if TYPE_CHECKING:
    pass

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]
CountUnit = Annotated[
    str,
    typer.Option(
        "--unit",
        metavar="NAME",
        autocompletion=lambda: list(UNITS),
        help="What horizons and other counts are given in: steps (updates), samples, tokens or"
        " epochs. Samples and tokens are what batch sizes count. Counts may end in k, M, B or T.",
    ),
]
EpochSize = Annotated[
    str | None,
    typer.Option(metavar="N", help="Samples or tokens of an epoch, where epochs are counted."),
]
OPTIMISERS = ("auto", "sgd", "normalised")
"""Those of `etastar.law.fit`, which is slow to import."""

LAWS = ("etastar", "solvable", "power", "annealing", "multi-power", "functional", "last-iterate")
"""The names of `etastar.law.FORMS`, which is slow to import."""

LawName = Annotated[
    str,
    typer.Option(
        "--law",
        metavar="NAME",
        autocompletion=lambda: list(LAWS),
        help=f"The law to fit: {', '.join(LAWS[:-1])} or {LAWS[-1]}.",
    ),
]
Transient = Annotated[
    float | None,
    typer.Option(
        metavar="PART",
        help="Part of the longest run, from 0 to below 1, that the fit leaves out at the start of"
        " every run; by default the law's own, for most 0.05.",
        show_default=False,
    ),
]
Batch = Annotated[
    str | None,
    typer.Option(
        metavar="B",
        help="Batch size of the run, in the unit of the logs'; by default that of the runs.",
    ),
]
Optimiser = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        autocompletion=lambda: list(OPTIMISERS),
        help="How the batch size acts, where the runs have several: sgd, normalised (Adam, Lion,"
        " Muon) or auto.",
    ),
]
Plot = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE.html",
        help="Write the result to this page: figures, tables, and how it was made.",
    ),
]


def count_of(name: str, text: str, *, least: int = 1, unit: Unit | None = None) -> int:
    """A whole number of steps from an option, such as 40000, 40_000, 4e4 or 40k.

    A count in another unit becomes updates: of a horizon or a budget as many as fit, else the
    nearest number.

    Raises: InputError naming the option.

    >>> count_of("--horizon", "4e4"), count_of("--horizon", "40k")
    (40000, 40000)
    >>> count_of("--horizon", "20B", unit=Unit("tokens", 524_288))
    38146
    """
    try:
        number = number_in(text)
    except ValueError:
        raise InputError(
            f"{name} {shown(text)} is not a number; give {unit.name if unit else 'steps'}, such as"
            " 40000, 40k or 20B (k, M, B and T are known endings)"
        ) from None
    if unit is not None and math.isfinite(number):
        number = unit.whole(name, number, within=name in ("--horizon", "--budget"))
    if not least <= number < 1e15 or number != int(number):
        if unit is not None and unit.name != "steps":
            raise InputError(
                f"{name} {shown(text)} must be at least {least * unit.update:g} {unit.name}, what"
                f" {least} update{'' if least == 1 else 's'} of the batch size take, and fewer than"
                " 1e15 updates"
            )
        raise InputError(
            f"{name} {shown(text)} must be a whole number of steps from {least} to below 1e15, such"
            " as 40000 or 40k; count optimiser updates, or say what is counted with --unit"
        )
    return int(number)


def number(value: object) -> float:
    """The number of an option that typer reads, which may end in k, M, B or T.

    >>> number("20k")
    20000.0
    """
    try:
        return number_in(str(value))
    except ValueError:
        raise typer.BadParameter(
            f"{shown(value)} is not a number, such as 64, 40k or 20B (k, M, B and T are known"
            " endings)"
        ) from None


def unit_of(
    name: str,
    batch: float | None,
    epoch_size: str | None,
    sequence_length: float | str | None = None,
) -> Unit:
    """What `--unit` says, by the batch size.

    Raises: InputError naming the option that is wrong or missing.

    >>> unit_of("tokens", 64.0, None).updates(6400)
    100.0
    """
    if name not in UNITS:
        raise InputError(f"--unit {name!r} is unknown: {known_names(name, UNITS)}")
    if name != "steps" and batch is None:
        raise InputError(f"--unit {name} needs --batch B, the samples or tokens of an update")
    if name == "epochs" and epoch_size is None:
        raise InputError("--unit epochs needs --epoch-size N, the samples or tokens of an epoch")
    if isinstance(sequence_length, str):
        sequence_length = length_of(sequence_length)
    return Unit(name, batch, epoch_of(epoch_size), sequence_length)


def epoch_of(text: str | None) -> float | None:
    """What `--epoch-size` says."""
    return None if text is None else positive_of("--epoch-size", text)


def length_of(text: str | None) -> float | None:
    """What `--sequence-length` says."""
    return None if text is None else positive_of("--sequence-length", text)


def pair_of(name: str, text: str) -> tuple[float, float]:
    """Two numbers separated by a comma.

    Raises: InputError naming the option.
    """
    try:
        first, second = (number_in(part) for part in text.split(","))
    except ValueError:
        raise InputError(f"{name} {shown(text)} must be two numbers, such as 1,0.01") from None
    return first, second


def numbers_of(name: str, text: str, above: float) -> list[float]:
    """Numbers separated by commas.

    Raises: InputError naming the option, where one is not a finite number above `above`.

    >>> numbers_of("--rho", "2,10", 0.0)
    [2.0, 10.0]
    """
    try:
        values = [number_in(part) for part in text.split(",")]
    except ValueError:
        values = []
    if not values or not all(above < value < math.inf for value in values):
        raise InputError(
            f"{name} {text[:80]!r} must be numbers above {above:g} separated by commas, such as"
            " 1.1,2,10"
        )
    return values


def parsed_schedule(text: str, unit: Unit | None = None) -> Schedule:
    """A schedule from a spec string, or from the file or folder of `plan --out`, which has updates.

    Of a file of several parameter groups it is the first, which is the one that was planned. What
    the spec counts is in a unit, where it does not say its own.
    """
    given = parsed_schedules(text, unit)
    return given if isinstance(given, Schedule) else given[given.planned]


def parsed_schedules(text: str, unit: Unit | None = None) -> Schedule | GroupSchedules:
    """As `parsed_schedule`; of a file of several parameter groups, all of them."""
    if (file := schedule_file(text)) is not None:
        return load_schedules(file)
    told = Unit() if unit is None else unit
    try:
        return parse_schedule(
            text, unit=told.name, batch_size=told.batch_size, epoch_size=told.epoch_size
        )
    except InputError as error:
        if ":" in text or not str(error).startswith("unknown schedule"):
            raise
        if os.path.exists(text):
            raise InputError(
                f"{text}: is no schedule; give a schedule.json, or the folder that etastar plan"
                " --out wrote"
            ) from None
        raise InputError(f"{error}; nor is there a file or folder of this name") from None


def schedule_file(text: str) -> Path | None:
    """The file that a text names a schedule by, or that lies in the folder of a plan; else None.

    >>> schedule_file("plan/schedule.json").name, schedule_file("linear:peak=0.1,horizon=9")
    ('schedule.json', None)
    """
    if text.lower().endswith(".json"):
        path = Path(text)
        beside = path.with_name("schedule.json")
        # Of a plan's two files one means the same.
        return beside if path.name == "plan.json" and is_file(beside) else path
    try:
        folder = is_folder(Path(text).expanduser())
    except (InputError, OSError, ValueError):  # a spec is no path
        folder = False
    if not folder:
        return None
    file = Path(text) / "schedule.json"
    if not is_file(file):
        raise InputError(
            f"{text}: this folder has no schedule.json; give the folder that etastar plan --out"
            " wrote, a schedule.json, or a spec such as cosine:peak=1e-3,horizon=40000"
        )
    return file


def check_law(name: str) -> None:
    """Refuse a law that there is not, before any long work."""
    from etastar.law import FORMS

    if name not in FORMS:
        raise InputError(f"--law {name!r} is not known: {known_names(name, FORMS)}")


def check_optimiser(name: str) -> None:
    """Refuse an optimiser that there is not, before any long work."""
    if name not in OPTIMISERS:
        raise InputError(f"--optimiser {name!r} is not known: {known_names(name, OPTIMISERS)}")


def batch_of(text: str) -> float | tuple[float, float]:
    """What `--batch` says: one batch size, or the lowest and the highest allowed.

    Raises: InputError naming the option.

    >>> batch_of("64"), batch_of("16,512")
    (64.0, (16.0, 512.0))
    """
    parts = [positive_of("--batch", part) for part in text.split(",")]
    if len(parts) == 1:
        return parts[0]
    if len(parts) > 2 or parts[0] > parts[1]:
        raise InputError(
            f"--batch {text[:80]!r} must be one batch size, or the lowest and the highest: 16,512"
        )
    return parts[0], parts[1]


def check_transient(value: float | None) -> None:
    """Refuse a part of the longest run that is none, before any long work."""
    if value is not None:
        part("--transient", value)


def check_plot(path: Path | None) -> None:
    """Refuse a plot that could not be written, before any long work."""
    if path is None:
        return
    if path.suffix.lower() not in (".html", ".htm"):
        raise InputError(f"--plot {path}: the plot is a web page; name a file that ends in .html")
    prepare_folder(path.parent)
