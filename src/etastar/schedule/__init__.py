"""The learning rate of every step: shapes, warmup, joining, knots, spec strings and files."""

from etastar._errors import InputError

from ._curves import (
    CosineDecay,
    Curve,
    Decay,
    ExponentialDecay,
    Flat,
    Knots,
    LinearDecay,
    PowerDecay,
    PowerLawDecay,
    Ramp,
    Segment,
    SqrtDecay,
)
from ._groups import GroupSchedules, load_schedules
from ._joined import Joined
from ._schedule import Schedule, join, load_batch_size
from ._shape import Frame, Shape
from ._shapes import (
    Constant,
    Cosine,
    Exponential,
    InverseSqrt,
    Linear,
    Polynomial,
    Power,
    Step,
    Table,
    WarmupStableDecay,
)
from ._spec import make_schedule, parse_schedule
from ._table import table
from ._units import UNITS, Unit
from ._weight_average import WeightAverage

__all__ = [
    "UNITS",
    "Constant",
    "Cosine",
    "CosineDecay",
    "Curve",
    "Decay",
    "Exponential",
    "ExponentialDecay",
    "Flat",
    "Frame",
    "GroupSchedules",
    "InputError",
    "InverseSqrt",
    "Joined",
    "Knots",
    "Linear",
    "LinearDecay",
    "Polynomial",
    "Power",
    "PowerDecay",
    "PowerLawDecay",
    "Ramp",
    "Schedule",
    "Segment",
    "Shape",
    "SqrtDecay",
    "Step",
    "Table",
    "Unit",
    "WarmupStableDecay",
    "WeightAverage",
    "join",
    "load_batch_size",
    "load_schedules",
    "make_schedule",
    "parse_schedule",
    "table",
]
