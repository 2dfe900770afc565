"""The learning rate of every step: shapes, warmup, joining, knots, spec strings and files."""

from ._errors import InputError
from ._files import write_text
from ._join import join
from ._json import schedule_document
from ._schedule import Schedule
from ._spec import make_schedule, parse_schedule
from ._table import table

__all__ = [
    "InputError",
    "Schedule",
    "join",
    "make_schedule",
    "parse_schedule",
    "schedule_document",
    "table",
    "write_text",
]
