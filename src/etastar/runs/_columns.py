"""Which columns of a log are the step, the loss and the learning rate."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence

import numpy as np

from etastar._errors import InputError, option

from ._log_table import LogTable, as_numbers, numbers
from ._rate_groups import is_of_group

ENOUGH = 5
"""A validation loss with fewer points gives way to one with more: no curve can be fitted to it."""
MOST_NEAR = 3
"""A message suggests so many columns ..."""
MOST_COMPARED = 300
"""... from so many: comparing the names of thousands would take seconds."""

CALLS = "_step"
"""What W&B and Trackio count themselves: by default the calls of `log`, else the step told."""

# In order of preference. Compared in lower case, with / - . and blanks as underscores, so that
# val/loss, Val-Loss and val_loss are one name. Validation losses stand before training losses.
STEP = (
    "global_step",
    "trainer_global_step",
    "train_global_step",
    "step",
    "iteration",
    "iter",
    "steps",
    "iterations",
    "iters",
    "current_steps",
    CALLS,
)
# What a log without a step may count instead; updates follow from the batch size.
COUNTED = {
    "tokens": (
        "tokens",
        "tokens_seen",
        "num_tokens",
        "n_tokens",
        "total_tokens",
        "train_tokens",
        "tokens_processed",
        "consumed_tokens",
        "num_input_tokens_seen",
    ),
    "samples": (
        "samples",
        "samples_seen",
        "num_samples",
        "n_samples",
        "total_samples",
        "train_samples",
        "consumed_samples",
        "consumed_train_samples",
        "examples",
        "examples_seen",
        "sequences",
        "sequences_seen",
        "images_seen",
    ),
    "epochs": ("epoch", "epochs", "train_epoch"),
}
LOSS = (
    "val_loss",
    "validation_loss",
    "valid_loss",
    "eval_loss",
    "loss_val",
    "loss_validation",
    "loss_eval",
    "val_loss_epoch",
    "val_bpb",
    "loss",
    "train_loss",
    "training_loss",
    "loss_train",
    "train_loss_step",
    "train_loss_epoch",
    "total_loss",
)
OF_VALIDATION = {"val", "valid", "validation", "eval", "test", "dev", "heldout"}
OF_LOSS = {"loss", "nll", "ce", "xent", "entropy", "bpb", "bpc", "mse", "rmse", "mae", "ppl"}
OF_LOSS |= {"perplexity", "error"}
"""Words that a validation loss has in its name, one of each, where it is none of `LOSS`."""
HORIZON = (
    "horizon",
    "max_steps",
    "total_steps",
    "num_steps",
    "n_steps",
    "steps",
    "train_steps",
    "training_steps",
    "num_training_steps",
    "num_train_steps",
    "max_iters",
    "total_iters",
    "train_iters",
    "num_iterations",
    "total_iterations",
)
# Columns that tell runs apart: by a name, which no two runs share, or by what they were made with.
RUN_NAME = (
    "run",
    "run_name",
    "run_id",
    "exp_name",
    "exp",
    "experiment",
    "experiment_name",
    "experiment_id",
    "trial",
    "trial_name",
    "trial_id",
    "job_name",
)
RUN = (*RUN_NAME, "name", "id", "model", "model_name", "config", "config_name", "setting", "seed")
RATE = ("lr", "learning_rate", "train_lr", "train_learning_rate")


def ordinary(name: str) -> str:
    """A column name in the spelling that the lists above use."""
    return re.sub(r"[/\-. ]+", "_", name.strip().lower())


def _listing(table: LogTable, wanted: Sequence[str] = ()) -> str:
    """The columns found, those spelled most like a wanted name also by themselves."""
    found = [name.split("\n")[0] for name in table.frame.columns]
    text = ", ".join(found[:20])
    text += f" and {len(found) - 20} more" if len(found) > 20 else ""
    near = _nearest(found, wanted)
    return f"{text}; nearest: {', '.join(near)}" if near and len(found) > 1 else text


def _nearest(found: Sequence[str], wanted: Sequence[str]) -> list[str]:
    """Up to three columns by how alike their names are to any of those wanted.

    One that has the name of another noun is that: `train_loss` is no `train_step`.
    """
    others = {*STEP, *LOSS, *RATE}.difference(map(ordinary, wanted))
    plain = {name: ordinary(name) for name in found[:MOST_COMPARED]}
    scores = {
        name: max(
            (difflib.SequenceMatcher(None, spelled, ordinary(want)).ratio() for want in wanted),
            default=0.0,
        )
        for name, spelled in plain.items()
        if spelled and spelled not in others
    }
    near = sorted((name for name, score in scores.items() if score >= 0.6), key=scores.__getitem__)
    return near[: -1 - MOST_NEAR : -1]


def _checked(table: LogTable, column: str, noun: str) -> str:
    if column in table.duplicates:
        raise InputError(
            f"{table.path}: the header has two columns named {column!r}; rename one of them"
            f" ({noun})"
        )
    return column


def named(table: LogTable, column: str, noun: str) -> str:
    """The column that the user named, in any case.

    Raises:
        InputError: no such column; lists those found.
    """
    for same in (lambda a, b: a == b, lambda a, b: a.lower() == b.lower()):
        for found in table.frame.columns:
            if same(found, column):
                return _checked(table, found, noun)
    raise InputError(
        f"{table.path}: no column {column!r} for the {noun}; found {_listing(table, [column])};"
        f" name one of these with {option(noun)}"
    )


def guesses(table: LogTable, names: Sequence[str], noun: str) -> list[str]:
    """Columns that could be the noun, the likeliest first.

    Raises:
        InputError: two columns are spelled alike, so that neither is the likelier.
    """
    found = []
    for name in names:
        alike = [column for column in table.frame.columns if ordinary(column) == name]
        if len(alike) > 1:
            raise InputError(
                f"{table.path}: {alike[0]!r} and {alike[1]!r} could both be the {noun};"
                f" name one with {option(noun)}"
            )
        found += [_checked(table, column, noun) for column in alike]
    return found


def step_column(table: LogTable, given: str | None) -> str:
    """The step column, named or guessed.

    Raises:
        InputError: there is none; lists the columns found.
    """
    found = [named(table, given, "step")] if given else guesses(table, STEP, "step")
    if not found:
        raise _none(table, "step", STEP)
    return found[0]


def counts_calls(table: LogTable) -> bool:
    """Whether the column `_step` may be a count of calls: it goes up by 1 from row to row."""
    if CALLS not in table.frame.columns:
        return False
    calls, there = as_numbers(table.frame[CALLS])
    return len(calls) > 2 and bool(there.all() and np.all(np.diff(calls) == 1))


def calls_note(table: LogTable, step: str) -> str | None:
    """The caveat of a log whose steps were guessed to be those that its tracker counts, or None."""
    if step != CALLS or not counts_calls(table):
        return None
    return (
        f"{table.path}: the steps are those of {CALLS}, which goes up by 1 a row. Where these are"
        " updates, nothing is wrong. But where log is called without a step, a tracker counts the"
        " calls of log, and with one call every N updates all steps are N times too small: log the"
        " updates done, as log(..., step=updates), name a column that counts them, or give the"
        " updates in an epoch to a log of epochs"
    )


def counted_column(table: LogTable, given: str | None, unit: str | None) -> tuple[str, str]:
    """The column that says when a row was logged, and the unit that it counts in.

    With a `unit` that is the column of this unit, else the step column, which then counts in it.
    Without one it is the step column, else one of tokens, samples or epochs.

    Raises:
        InputError: there is none, or there are two; lists the columns found.
    """
    if given:
        column = named(table, given, "step")
        of_name = (kind for kind, names in COUNTED.items() if ordinary(column) in names)
        return column, unit or next(of_name, "steps")
    if unit in COUNTED:
        found = guesses(table, COUNTED[unit], "step")
        return (found[0] if found else step_column(table, None)), unit
    steps = guesses(table, STEP, "step")
    others = {kind: guesses(table, names, "step")[:1] for kind, names in COUNTED.items()}
    if steps or unit or not any(others.values()):
        return step_column(table, None), "steps"
    if others["tokens"] and others["samples"]:
        raise InputError(
            f"{table.path}: no step column, and {others['tokens'][0]!r} and"
            f" {others['samples'][0]!r} could both count the updates: name the one that the batch"
            f" size is counted in with {option('step')}"
        )
    kind = next(kind for kind in COUNTED if others[kind])
    return others[kind][0], kind


def loss_column(table: LogTable, given: str | None, step: str) -> tuple[str, str | None]:
    """The loss column, named or guessed, and a caveat where the likeliest had too few points.

    Raises:
        InputError: there is none; lists the columns found.
    """
    if given:
        return named(table, given, "loss"), None
    found = guesses(table, LOSS, "loss")
    if not found:
        raise _none(table, "loss", LOSS)
    if len(found) == 1:
        return found[0], None
    table, columns = numbers(table, [step, *found])
    there = columns[step][1]
    counts = {name: int((~np.isnan(columns[name][0]) & there).sum()) for name in found}
    if counts[found[0]] >= ENOUGH:
        return found[0], None
    best = next((name for name in found if counts[name] >= ENOUGH), None)
    best = best or max(found, key=lambda name: counts[name])
    if best == found[0]:
        return best, None
    return best, (
        f"{table.path}: {found[0]} has only {counts[found[0]]} points, so {best} is taken as the"
        " loss"
    )


def passed_over(table: LogTable, taken: str) -> str | None:
    """What looks like a validation loss of an unusual name, where a training loss is taken."""
    if not {"train", "training"} & {*ordinary(taken).split("_")}:
        return None
    words = {name: {*ordinary(name).split("_")} for name in table.frame.columns}
    return next((name for name in words if _sounds_like_validation(words[name])), None)


def _sounds_like_validation(words: set[str]) -> bool:
    return bool(words & OF_VALIDATION and words & OF_LOSS)


def likely_rates(table: LogTable) -> str:
    """For the end of a message: the columns that may be the LR, though no usual name is theirs."""
    found = [
        name
        for name in table.frame.columns
        if re.search(r"(^|_)(lr|learning_rate)(_|$)", ordinary(name))
    ]
    return f"; the LR may be {' or '.join(map(repr, found[:MOST_NEAR]))}" if found else ""


def rate_column(table: LogTable, given: str | None) -> tuple[str | None, str | None]:
    """The learning rate column, if any, and a caveat where several groups have one each."""
    if given:
        return named(table, given, "lr"), None
    found = guesses(table, RATE, "lr")
    if found:
        return found[0], None
    # Lightning's LearningRateMonitor writes lr-AdamW, or lr-AdamW/pg1, lr-AdamW/pg2 for groups.
    groups = [column for column in table.frame.columns if is_of_group(column)]
    if not groups:
        return None, None
    if len(groups) == 1:
        return _checked(table, groups[0], "lr"), None
    return _checked(table, groups[0], "lr"), (
        f"{table.path}: {len(groups)} learning rates are logged; {groups[0]} is taken"
    )


def _none(table: LogTable, noun: str, names: Sequence[str]) -> InputError:
    return InputError(
        f"{table.path}: no {noun} column; found {_listing(table, names)}; name it with"
        f" {option(noun)}"
    )
