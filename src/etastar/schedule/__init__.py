"""The learning rate of every step: shapes, warmup, joining, knots, spec strings and files."""

from ._errors import InputError
from ._join import join
from ._schedule import Schedule
from ._spec import make_schedule, parse_schedule
from ._table import table

__all__ = ["InputError", "Schedule", "join", "make_schedule", "parse_schedule", "table"]
