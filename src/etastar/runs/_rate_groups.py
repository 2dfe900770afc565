"""Learning rates of several parameter groups in one log: the one taken, and the others' ratios."""

from __future__ import annotations

import re

import numpy as np

from ._log_table import LogTable, as_numbers, lists_in

OF_GROUP = re.compile(
    r"^(?:train[/_\-. ])?(?:lr|learning_rate)[/_\-. ](?P<name>.+)$", re.IGNORECASE
)
"""A column of the LR of a parameter group: lr/muon, lr_adamw, train/lr-head, lr-AdamW/pg1."""
NO_GROUP = re.compile(
    r"(scale|mult|multiplier|factor|ratio|frac|max|min|peak|base|init|initial|final|start|end|next"
    r"|decay|warmup|scheduler?|step|steps|step_size|type|policy|group|groups)([/_\-. ].*)?",
    re.IGNORECASE,
)
"""What follows "lr" in the names of other numbers, such as lr_scale."""
ALIKE = 0.01
"""The LR of a group is a multiple of another's where it differs by less than this share of its
peak ..."""
FEW = 3
"""... at all rows but these."""


def is_of_group(column: str) -> bool:
    """Whether a column is named as the LR of a parameter group.

    >>> is_of_group("lr/muon"), is_of_group("lr_scale"), is_of_group("lr")
    (True, False, False)
    """
    found = OF_GROUP.match(column)
    return found is not None and NO_GROUP.fullmatch(found["name"]) is None


def ratios_to(table: LogTable, taken: str) -> tuple[dict[str, float], list[str]]:
    """The peak LR of every parameter group over that of the column taken, which comes first.

    A group whose LRs are those of the column taken at every row, or never above 0, is none of its
    own. A cell with several LRs, [0.02, 0.003], holds those of `group_0`, `group_1`, ...

    Returns: the ratios by the names of the groups, none where there is one LR; and caveats.
    """
    rates = _rates(table, taken)
    if len(rates) < 2:
        return {}, []
    (name, first), *others = rates.items()
    ratios, caveats = {name: 1.0}, []
    for other, values in others:
        ratios[other] = _peak(values) / _peak(first)
        both = np.isfinite(first) & np.isfinite(values)
        apart = np.abs(values[both] - ratios[other] * first[both]) > ALIKE * _peak(values)
        if apart.sum() > FEW:
            caveats.append(
                f"{table.path}: the LR of {other} is no fixed multiple of that of {name}: of the"
                f" two, the ratio of the peaks, {ratios[other]:.4g}, is kept"
            )
    return ratios, caveats


def _rates(table: LogTable, taken: str) -> dict[str, np.ndarray]:
    """The LRs of the groups that differ, by name, that of the column taken first."""
    lists = lists_in(table, taken)
    if lists is not None:
        parts = [as_numbers(lists.list.get(i, null_on_oob=True))[0] for i in range(_longest(lists))]
        found = {f"group_{number}": part for number, part in enumerate(parts)}
    else:
        columns = [name for name in table.frame.columns if name != taken and is_of_group(name)]
        named = dict(zip([taken, *columns], _names([taken, *columns]), strict=True))
        found = {name: as_numbers(table.frame[column])[0] for column, name in named.items()}
    if not found:  # lists without a number in any row
        return {}
    (name, first), *others = found.items()
    if not _peak(first) > 0:
        return {}
    return {name: first} | {
        other: values
        for other, values in others
        if _peak(values) > 0 and not np.array_equal(first, values, equal_nan=True)
    }


def _longest(lists) -> int:
    return int(lists.list.len().max() or 0)


def _names(columns: list[str]) -> list[str]:
    """What the groups of columns are called: the shortest ends that tell them apart."""
    whole = [found["name"] if (found := OF_GROUP.match(name)) else name for name in columns]
    short = [name.rsplit("/", 1)[-1] for name in whole]
    return short if len(set(short)) == len(short) else whole


def _peak(values: np.ndarray) -> float:
    """The highest LR; 0 where there is none."""
    finite = values[np.isfinite(values)]
    return float(finite.max()) if len(finite) else 0.0
