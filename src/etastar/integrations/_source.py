"""What a user may hand over as a schedule: the schedule itself, a spec, a file, a plan."""

from __future__ import annotations

import json
import numbers
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from etastar._checks import real, shown, whole
from etastar._errors import InputError
from etastar._files import is_file, is_folder, utf8_text
from etastar._json import json_value
from etastar.schedule import (
    GroupSchedules,
    Schedule,
    join,
    make_schedule,
    parse_schedule,
    table,
)

ALLOWED = (
    "a Schedule, a spec such as 'cosine:peak=1e-3,horizon=1000', the path of a schedule.json, of a "
    "plan.json or of the folder of a plan, an object with an attribute schedule, such as a Plan, "
    "or for parameter groups a mapping from their names to these"
)
_OF_ONE = ("format", "schedule", "spec", "knots", "kind", "groups")
"""Keys of the JSON of a schedule or a plan: a mapping without any of them is one of groups."""


@dataclass(frozen=True)
class PlannedControls:
    """The LR, and where a source holds them the momentum and the batch size, by the step.

    Attributes:
        schedule: learning rate of every update; where there are groups, of the first.
        momentum: momentum, or Adam's first beta, of every update, from 0 to below 1.
        batch_size: examples, sequences or tokens of every update.
        groups: the learning rate of every parameter group by name, where they differ.
    """

    schedule: Schedule
    momentum: Schedule | None = None
    batch_size: Schedule | None = None
    groups: GroupSchedules | None = None

    def of_group(self, name: str) -> PlannedControls:
        """The controls of one parameter group, which has no groups in it.

        Raises: InputError where there is no group of this name.
        """
        if self.groups is None:
            raise InputError(
                f"group {shown(name)} is asked for, and the source holds one schedule: leave group "
                "out, or give a mapping from names to schedules"
            )
        return replace(self, schedule=self.groups.named(name), groups=None)


def one_of_group(source: Any, group: str | None) -> PlannedControls:
    """The controls of a source for an optimiser that has one learning rate.

    Raises: InputError where the source holds several groups and none of them is named.

    >>> source = {"muon": "constant:peak=0.1,horizon=9", "head": 0.5}
    >>> one_of_group(source, "head").schedule.peak
    0.05
    """
    controls = controls_of(source)
    if group is not None:
        return controls.of_group(group)
    if controls.groups is not None:
        raise InputError(
            f"the source holds schedules for the groups {', '.join(controls.groups)}: say which "
            f"one is meant, such as group={controls.groups.planned!r}"
        )
    return controls


def schedule_of(source: Any) -> Schedule:
    """The learning rate that a source stands for; of one with several groups that of the first.

    `source` is a `Schedule`; a spec string; the path of a `schedule.json`, of a `plan.json` or of
    what `etastar solve --json` printed; the folder of a plan; the JSON object of such a file; any
    object whose attribute `schedule` is a `Schedule`, such as a `Plan` or a `Solution`; or, for
    parameter groups, a `GroupSchedules`, or a mapping from their names to any of these, or to the
    ratio to the first. Text is a path where it ends in `.json` or names a file or folder that
    exists, else a spec.

    Raises: InputError, which says what was given and what is allowed, or what is wrong in the file.

    >>> schedule_of("linear:peak=0.1,horizon=100")(50)
    0.05
    """
    return controls_of(source).schedule


def controls_of(source: Any) -> PlannedControls:
    """All controls that a source holds; see `schedule_of` for what it may be.

    Raises: InputError as `schedule_of`.

    >>> document = {"schedule": {"knots": [[0, 0.1], [10, 0.0]]},
    ...             "momentum": {"spec": "constant:peak=0.9,horizon=10"}}
    >>> controls = controls_of(document)
    >>> controls.schedule(5), controls.momentum(5), controls.batch_size
    (0.05, 0.9, None)
    """
    if isinstance(source, Schedule):
        return PlannedControls(source)
    if isinstance(source, str) and not source.endswith(".json") and not _exists(source):
        return PlannedControls(_parsed(source))
    if isinstance(source, str | os.PathLike):
        return _from_path(Path(source).expanduser())
    if isinstance(source, GroupSchedules):
        return _of_groups(source)
    if isinstance(source, Mapping):
        # Nothing names a group by such a key: GroupSchedules refuses it.
        by_name = source and not any(key in source for key in _OF_ONE)
        return _of_groups(_named_sources(source)) if by_name else _from_document(source)
    schedule, groups = (getattr(source, name, None) for name in ("schedule", "groups"))
    if not isinstance(schedule, Schedule):
        raise InputError(f"a schedule is wanted, got {shown(source)}: give {ALLOWED}")
    others = (getattr(source, name, None) for name in ("momentum", "batch_size"))
    return PlannedControls(
        schedule,
        *(other if isinstance(other, Schedule) else None for other in others),
        groups=groups if isinstance(groups, GroupSchedules) else None,
    )


def _of_groups(groups: GroupSchedules, batch_size: Schedule | None = None) -> PlannedControls:
    return PlannedControls(groups[groups.planned], batch_size=batch_size, groups=groups)


def _named_sources(sources: Mapping[str, Any]) -> GroupSchedules:
    """The groups of a mapping from names to sources of one schedule each, or to ratios."""
    found: dict[str, Any] = {}
    for name, source in sources.items():
        try:
            is_ratio = isinstance(source, numbers.Real)
            found[name] = source if is_ratio else one_of_group(source, None).schedule
        except InputError as error:
            raise InputError(f"group {shown(name)}: {error}") from None
    return GroupSchedules(found)


def control_of(name: str, value: Any) -> float | Schedule | None:
    """A momentum or a batch size: None, a number, or whatever `schedule_of` takes.

    Raises: InputError where a number is not positive and finite (a momentum may be 0), a momentum
    reaches 1, or the source is none.

    >>> control_of("momentum", 0.9)
    0.9
    """
    if value is None:
        return None
    if isinstance(value, numbers.Real) and not isinstance(value, bool):
        control = lowest = highest = real(name, value)
    else:
        control = schedule_of(value)
        lowest, highest = 0.0, control.peak
    least = "0" if name == "momentum" else "above 0"
    if name == "momentum" and not 0.0 <= lowest <= highest < 1.0:
        raise InputError(f"momentum is {shown(value)}: it must stay from {least} to below 1")
    if name != "momentum" and not 0.0 < highest < float("inf"):
        raise InputError(f"{name} is {shown(value)}: it must be a number {least}")
    return control


def planned_size(controls: PlannedControls, unit: str, given: int | None) -> int | None:
    """The samples of an update that a schedule was made for: as given, else those of its source.

    None where neither says so. Of a run that goes by steps the source's does not matter.

    Raises: InputError for no whole number from 1 on, and where the batch size of the source changes
        along the run while `unit` is samples: steps of the schedule are then no number of samples.

    >>> controls = controls_of({"schedule": {"spec": "linear:peak=0.1,horizon=100"},
    ...                         "batch_size": {"spec": "constant:peak=4,horizon=100"}})
    >>> planned_size(controls, "samples", None), planned_size(controls, "samples", 8)
    (4, 8)
    """
    if given is not None:
        return whole("planned_batch_size", given, 1, unit="sample")
    sizes = controls.batch_size
    if sizes is None or unit == "steps":
        return None
    first, last = float(sizes(0)), float(sizes(max(sizes.horizon - 1, 0)))
    if not first == last == sizes.peak:
        raise InputError(
            f"the batch size of the source goes from {first:g} to {last:g}: leave out "
            "unit='samples' and take its batch sizes with RampedBatchSampler, or give "
            "planned_batch_size"
        )
    return whole("batch_size of the source", first, 1, unit="sample")


def _exists(text: str) -> bool:
    try:
        return os.path.exists(os.path.expanduser(text))
    except ValueError:  # a NUL inside
        return False


def _parsed(spec: str) -> Schedule:
    try:
        return parse_schedule(spec)
    except InputError as error:
        if ":" in spec:
            raise
        raise InputError(
            f"{spec!r} is no file or folder, and as a spec: {error}; give {ALLOWED}"
        ) from None


def _from_path(path: Path) -> PlannedControls:
    if is_folder(path):
        files = [path / name for name in ("schedule.json", "plan.json")]
        found = next((file for file in files if is_file(file)), None)
        if found is None:
            raise InputError(
                f"{path}: no schedule.json or plan.json in this folder: give {ALLOWED}"
            )
        path = found
    text = utf8_text(path)
    try:
        return _from_document(json_value(text))
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def _from_document(document: Any) -> PlannedControls:
    """A schedule's own JSON, or that of a plan or of a solve: {"schedule": ..., ...}."""
    if not isinstance(document, Mapping):
        raise InputError(f"a JSON object is expected, got {shown(document)}")
    size = document.get("batch_size")
    if "schedule" not in document:
        batch_size = None if size is None else _schedule_in(size)
        if "groups" in document:
            return _of_groups(GroupSchedules.from_json(json.dumps(document)), batch_size)
        return PlannedControls(_schedule_in(document), batch_size=batch_size)
    parts = {
        name: _schedule_in(document[name])
        for name in ("schedule", "momentum")
        if document.get(name) is not None
    }
    if "schedule" not in parts:
        raise InputError("key 'schedule' of the JSON is null: make the plan again")
    if isinstance(size, Mapping) and "ramp" in size:
        parts["batch_size"] = _ramp_of(size["ramp"], parts["schedule"].horizon)
    elif size is not None:
        parts["batch_size"] = _schedule_in(size)
    ratios = document.get("groups")
    groups = None if ratios is None else _of_ratios(parts["schedule"], ratios)
    return PlannedControls(**parts, groups=groups)


def _of_ratios(schedule: Schedule, ratios: Any) -> GroupSchedules:
    """The groups of a plan.json: the ratio of each to its schedule, which is the first's."""
    if not isinstance(ratios, Mapping) or not ratios:
        raise InputError(f"groups of the JSON must map names to ratios, got {shown(ratios)}")
    planned = next(iter(ratios))
    return GroupSchedules({**ratios, planned: schedule})


def _ramp_of(ramp: Any, horizon: int) -> Schedule:
    """The batch size of every update from the pairs (samples seen, batch size) of a plan.json."""
    pieces, step = [], 0
    try:
        for (samples, size), after in zip(ramp, [*ramp[1:], None], strict=True):
            until = horizon if after is None else step + round((after[0] - samples) / size)
            constant = make_schedule("constant", peak=size, horizon=until - step)
            pieces.append((constant, until))
            step = until
    except (TypeError, ValueError, ZeroDivisionError):
        raise InputError(
            f"the ramp of batch_size must be pairs of samples and batch size, got {shown(ramp)}"
        ) from None
    return pieces[0][0] if len(pieces) == 1 else join(pieces)


def _schedule_in(document: Any) -> Schedule:
    """One control as the commands print it, {"spec"} or {"knots"}, or as `Schedule.save` does."""
    if isinstance(document, Mapping):
        if "format" in document:
            return Schedule.from_json(json.dumps(document))
        if "spec" in document:
            return parse_schedule(document["spec"])
        if "knots" in document:
            try:
                steps, values = zip(*document["knots"], strict=True)
            except (TypeError, ValueError):
                raise InputError(
                    f"knots must be pairs of step and lr, got {shown(document['knots'])}"
                ) from None
            return table(steps, values)
    raise InputError(f"no schedule in {shown(document)}: give {ALLOWED}")
