"""What a training prints on a terminal, saved as text: lines that name a step and a loss.

Read are the lines of Megatron-LM, torchtitan, nanoGPT, modded-nanogpt, nanochat, llm.c (its console
and its `main.log`), build-nanogpt (`log.txt`) and Transformers (`{'loss': ..., 'learning_rate':
...}`), and those of others that are written alike: a word for the step with its number, then names
with theirs. Anything else is read by a pattern that the user gives.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np

from etastar._errors import InputError

from ._log_table import LogTable, table_of_records

Headers = tuple[tuple[int, Mapping[str, object]], ...]

NUMBER = r"[-+]?(?:\d+\.?\d*(?:e[-+]?\d+)?|\.\d+(?:e[-+]?\d+)?|nan|inf(?:inity)?)"
BETWEEN = r"(?:[\"']?\s*[:=]\s*[\"'\[(]*|\s+)"
"""What stands between a name and its number: a sign such as : or =, quotes, brackets, blanks."""
OTHER_LOSS = (
    r"(?:aux\w*|z|kl|reg\w*|router|balanc\w*|mtp\w*|test|vq|commit\w*|kd|distil\w*|value|policy)"
    r"[ _/.-]loss"
)
"""Losses that are not the one that is minimised, or not on the data that it is planned for."""
NAMES: tuple[tuple[str, str], ...] = (
    ("", OTHER_LOSS),
    ("val_loss", r"(?:val|valid|validation|eval)[ _/.-]?loss|tel"),
    ("train_loss", r"train(?:ing)?[ _/.-]?loss|trl"),
    ("total_loss", r"total[ _/.-]loss"),
    ("val_bpb", r"(?:val|valid|validation|eval)[ _/.-]?bpb"),
    ("loss", r"(?:lm )?loss(?: value)?"),
    ("lr", r"lr|learning[ _-]?rate"),
    ("lrm", r"lrm"),
    ("epoch", r"epoch"),
    ("batch_size", r"global[ _]batch[ _]size"),
)
"""Columns, and how the tools spell them; the first that fits is taken."""
LOSSES = ("val_loss", "train_loss", "total_loss", "val_bpb", "loss")

_PAIR = re.compile(
    r"(?<![\w/.-])(?:"
    + "|".join(f"(?P<n{place}>{spelling})" for place, (_, spelling) in enumerate(NAMES))
    + rf"){BETWEEN}(?P<value>{NUMBER})(?![\d.]*\w|,\d)",
    re.IGNORECASE,
)
_STEP = re.compile(
    r"(?<![\w/.-])(?:(?:global|train|training)?[ _]?steps?|iter(?:ation)?s?|s(?=:)"
    r"|(?:(?:valid_)?num_)?updates?)(?:\((?:train|val)\))?"
    r"[\"'\s:=#\[]*(?P<step>\d{1,3}(?:,\d{3})+|\d+)(?![\d.]*[.\w])",
    re.IGNORECASE,
)
_BAR = re.compile(r"(?<!\d)(?P<step>\d+)/(?P<of>\d+) \[\d+:\d\d")
"""The count of a progress bar: 50/1000 [00:10<03:10, 5.00it/s]."""
_BARE = re.compile(rf"(?P<step>\d+) (?P<name>train|val) (?P<value>{NUMBER})$")
"""A line of build-nanogpt's `log.txt`."""
MOST_DIGITS = 18
"""Of a step that is kept as a whole number."""
_ALONE = re.compile(r"\W*(?:val|validation) loss\b", re.IGNORECASE)
_JUDGED = re.compile(r"\b(?:validat\w*|valid|val|eval\w*)\b", re.IGNORECASE)
_TEST = re.compile(r"\btest\b", re.IGNORECASE)
_COLOUR = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[@-Z\\-_]")
_RANK = re.compile(
    r"\[(?:rank|default|worker)[ _:]?(\d+)\]:?|^\s*rank[ _]?(\d+):|^\s*(\d+): ", re.IGNORECASE
)
HINTS = ("loss", "step", "iter", "update", "lr", " [", "s:", "bpb", " val ", " train ")
"""Lines without any of these, in lower case, are passed over at once."""
LONGEST = 10_000
"""Characters of a line; what is longer is no line of a log."""
ENOUGH = 2
"""Lines with a step and a loss that make a text the log of a training."""
SUFFIXES = (".log", ".txt", ".out", ".err")
"""How the names of such texts usually end; in a folder they are looked for after all other logs."""
MOST = 1 << 24
"""Bytes of a text in a folder that are looked at to tell whether it is a log."""


@dataclass
class _Reading:
    """What is known at some line of the text.

    `total` is the length of the progress bar of the training, `least` the fewest characters of a
    number of each column, `short_end` whether a line ends in a number of fewer.
    """

    records: list[dict[str, float]] = field(default_factory=list)
    line: list[int] = field(default_factory=list)
    step: float = 0
    total: str | None = None
    ranks: list[str] = field(default_factory=list)
    least: dict[str, int] = field(default_factory=dict)
    short_end: bool = False

    def add(self, number: int, record: dict[str, float]) -> None:
        """A record of a line; lines of one step that follow each other are one record."""
        last = self.records[-1] if self.records else {}
        same = "step" in record and record["step"] == last.get("step")
        if same and record.get("epoch") == last.get("epoch"):
            last.update(record)
            self.line[-1] = number
        else:
            self.records.append(record)
            self.line.append(number)


def console_table(path: Path, text: str, name: str) -> LogTable | None:
    """The steps, losses and learning rates of what a training printed; None for other text.

    Raises:
        InputError: the steps begin again in each epoch.
    """
    reading = _Reading()
    lines = text.split("\n")
    for number, line in enumerate(lines, 1):
        lower = line.lower()
        if len(line) <= LONGEST and any(hint in lower for hint in HINTS):
            _read_line(reading, number, _COLOUR.sub("", line) if "\x1b" in line else line)
    if sum(any(loss in record for loss in LOSSES) for record in reading.records) < ENOUGH:
        return None
    _check_epochs(path, reading.records)
    headers, caveats = _batch_size(path, reading)
    if len(reading.ranks) > 1:
        caveats.append(
            f"{path}: {len(reading.ranks)} ranks write to it; the lines of rank {reading.ranks[0]}"
            " are read"
        )
    table = LogTable(
        path,
        name,
        table_of_records(reading.records),
        np.array(reading.line, dtype=np.int64),
        caveats=tuple(caveats),
        headers=headers,
    )
    if reading.short_end and reading.line[-1] == len(lines):
        return table.without_last("cut mid-line (its last number is shorter than all others)")
    return table


def _read_line(reading: _Reading, number: int, line: str) -> None:
    rank = _RANK.search(line) if "[" in line or ":" in line[:16] else None
    if rank and _STEP.search(line, rank.end()):
        said = rank[rank.lastindex or 0]
        if said not in reading.ranks:
            reading.ranks.append(said)
        if said != reading.ranks[0]:
            return
        line = line[rank.end() :]
    step = _step(reading, line)
    # Transformers' last line holds the mean of the whole training.
    record = {} if "train_runtime" in line else _values(reading, line)
    if not any(name in record for name in (*LOSSES, "lr")):
        return
    if step is not None:
        reading.step = step
        record["step"] = step
    if step is not None or "epoch" in record:
        reading.add(number, record)


def _values(reading: _Reading, line: str) -> dict[str, float]:
    """The numbers of a line by their columns."""
    bare = _BARE.match(line)
    if bare:
        return {f"{bare['name']}_loss": float(bare["value"])}
    record: dict[str, float] = {}
    reading.short_end = False
    between, end = "", 0
    for found in _PAIR.finditer(line):
        between, end = between + line[end : found.start()], found.end()
        place = next(n for n in range(len(NAMES)) if found[f"n{n}"] is not None)
        column, text = NAMES[place][0], found["value"]
        if column == "loss":
            if _TEST.search(between):
                continue
            column = "val_loss" if _JUDGED.search(between) else column
        if column and column not in record:
            record[column] = float(text)
            least = reading.least.get(column, len(text))
            reading.short_end = end == len(line) and len(text) < least
            reading.least[column] = min(least, len(text))
    return record


def _count(digits: str) -> float:
    """A count of steps. Python turns no more than 4,300 digits into a whole number."""
    return int(digits) if len(digits) <= MOST_DIGITS else float(digits)


def _step(reading: _Reading, line: str) -> float | None:
    """The step of a line: its own, that of a progress bar, or the last where it may have none."""
    bar = _BAR.search(line) if " [" in line else None
    if bar:
        reading.total = bar["of"] if reading.total is None else reading.total
        # A bar of another length counts the batches of an evaluation.
        if bar["of"] == reading.total:
            reading.step = _count(bar["step"])
    own = _BARE.match(line) or _STEP.search(line)
    if own:
        return _count(own["step"].replace(",", ""))
    if bar or line.lstrip().startswith("{"):
        return None if reading.total is None else reading.step
    return reading.step if _ALONE.match(line) else None


def _check_epochs(path: Path, records: Sequence[dict[str, float]]) -> None:
    counts = [(r["epoch"], r["step"]) for r in records if "epoch" in r and "step" in r]
    again = sum(
        epoch > before and step <= last for (before, last), (epoch, step) in pairwise(counts)
    )
    if again and again >= len({epoch for epoch, _ in counts}) - 1:
        raise InputError(
            f"{path}: its steps begin again in each epoch; log the updates done since the start of"
            " the training"
        )


def _batch_size(path: Path, reading: _Reading) -> tuple[Headers, list[str]]:
    """What Megatron-LM says of the batch size: a declaration of the run, or that it varies."""
    sizes = sorted({record["batch_size"] for record in reading.records if "batch_size" in record})
    if len(sizes) > 1:
        return (), [
            f"{path}: the batch size varies from {sizes[0]:g} to {sizes[-1]:g}; a law holds for one"
        ]
    header = {"etastar_run": 1, "batch_size": sizes[0]} if sizes and sizes[0] > 0 else {}
    return ((reading.line[0], header),) if header else (), []


def table_by_patterns(path: Path, text: str, name: str, patterns: Sequence[str]) -> LogTable:
    """The lines that regular expressions match, their named groups as columns.

    A line is read by the first expression that is found in it. One without a group `step` gets the
    step of the line before.

    Raises:
        InputError: an expression that is none or has no named group, or no line matches.
    """
    compiled = compiled_patterns(patterns)
    reading = _Reading()
    for number, line in enumerate(_COLOUR.sub("", text).split("\n"), 1):
        found = next(filter(None, (pattern.search(line) for pattern in compiled)), None)
        if found is None:
            continue
        record: dict[str, object] = {
            key: value.replace(",", "") for key, value in found.groupdict().items() if value
        }
        if "step" not in record and reading.records:
            record["step"] = reading.records[-1].get("step")
        reading.records.append(record)  # type: ignore[arg-type]
        reading.line.append(number)
    if not reading.records:
        raise InputError(
            f"{path}: no line matches the pattern {' or '.join(patterns)}; {_seen(text)}"
        )
    return LogTable(
        path,
        name,
        table_of_records(reading.records),
        np.array(reading.line, dtype=np.int64),
        unterminated=not text.endswith("\n"),
    )


def compiled_patterns(patterns: Sequence[str]) -> list[re.Pattern[str]]:
    """The expressions of a user.

    Raises:
        InputError: one that is no regular expression, or has no named group.
    """
    compiled = []
    for pattern in patterns:
        try:
            compiled.append(re.compile(pattern))
        except re.error as error:
            raise InputError(
                f"pattern {pattern!r} is no regular expression: {error}; escape signs such as ( [ |"
                " with a backslash"
            ) from None
        if not compiled[-1].groupindex:
            raise InputError(
                f"pattern {pattern!r} names no group; name what it finds, such as"
                r" step (?P<step>\d+) loss (?P<loss>\S+)"
            )
    return compiled


def counts_a_step(line: str) -> bool:
    """Whether a line names a step with its number, as no header of a table does."""
    return _STEP.search(line[:LONGEST]) is not None


def no_table(path: Path, text: str) -> InputError:
    """The error of a text that is neither a table nor the lines of a tool that is known."""
    return InputError(
        f"{path}: text that is no table, and no line of it gives both a step and a loss in a way"
        f" that is known; {_seen(text)}; give --pattern REGEX with the named groups step, loss, lr"
    )


def is_console(path: Path, patterns: Sequence[str]) -> bool:
    """Whether a text of a folder is what a training printed."""
    try:
        with path.open("rb") as opened:
            text = opened.read(MOST).decode("utf-8")
    except (OSError, UnicodeDecodeError):
        return False
    if patterns:
        return any(pattern.search(text) for pattern in compiled_patterns(patterns))
    try:
        return console_table(path, text.replace("\r", "\n"), path.stem) is not None
    except InputError:
        return True


def _seen(text: str) -> str:
    """The first lines of a text, for a message."""
    filled = [" ".join(line.split()) for line in _COLOUR.sub("", text).split("\n") if line.strip()]
    shown = " / ".join(repr(line[:60]) for line in filled[:2])
    return f"it begins {shown}" + (f" and has {len(filled)} lines" if len(filled) > 2 else "")
