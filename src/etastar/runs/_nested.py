"""Records with objects inside them, `{"val": {"loss": 3.2}}`, as records of plain values."""

from __future__ import annotations

from collections.abc import Mapping

DEEPEST = 8
"""Objects below this many others stay as they are: no metric lies so deep."""
WRAPPERS = ("metrics", "metric", "data", "log", "logs", "scalars", "values", "stats", "payload")
"""Names of objects that only hold the metrics, and say nothing about them."""


def flattened(record: Mapping[str, object]) -> dict[str, object]:
    """The values of a record by their path, with a point between names.

    An object that only holds others gives them its name no more than a folder would: `metrics` and
    its like are left out of the path, where no other value has the shorter one.

    >>> flattened({"step": 1, "val": {"loss": 3.2}, "metrics": {"lr": 0.1}})
    {'step': 1, 'val.loss': 3.2, 'lr': 0.1}
    """
    if not any(isinstance(value, dict) for value in record.values()):
        return dict(record)
    flat: dict[str, object] = {}
    _gather(record, (), flat)
    short: dict[str, object] = {}
    for path, value in flat.items():
        name = short_name(path)
        short[path if name in flat and name != path else name] = value
    return short


def short_name(path: str) -> str:
    """A path without the names that only hold others.

    >>> short_name("metrics.train.loss"), short_name("metrics")
    ('train.loss', 'metrics')
    """
    *outer, last = path.split(".")
    return ".".join([*(name for name in outer if name.lower() not in WRAPPERS), last])


def _gather(record: Mapping[str, object], above: tuple[str, ...], flat: dict[str, object]) -> None:
    for key, value in record.items():
        path = (*above, str(key))
        # W&B marks what is no metric, such as a histogram or an image, by its type.
        if isinstance(value, dict) and "_type" not in value and len(path) < DEEPEST:
            _gather(value, path, flat)
        else:
            flat[".".join(path)] = value
