"""The learning rate of every step: shapes, warmup, joining, knots, spec strings and files."""

from etastar._errors import InputError

from ._join import Joined, join
from ._schedule import Schedule
from ._shapes import (
    Constant,
    Cosine,
    Exponential,
    InverseSqrt,
    Linear,
    Polynomial,
    Power,
    Shape,
    Step,
    Table,
    WarmupStableDecay,
)
from ._spec import make_schedule, parse_schedule
from ._table import table

__all__ = [
    "Constant",
    "Cosine",
    "Exponential",
    "InputError",
    "InverseSqrt",
    "Joined",
    "Linear",
    "Polynomial",
    "Power",
    "Schedule",
    "Shape",
    "Step",
    "Table",
    "WarmupStableDecay",
    "join",
    "make_schedule",
    "parse_schedule",
    "table",
]
