"""`GroupSchedules`: a schedule for each parameter group, by name."""

from __future__ import annotations

import json
import numbers
import os
from collections.abc import Iterator, Mapping
from typing import Any, final

from etastar._checks import above, shown
from etastar._errors import InputError, known_names
from etastar._files import utf8_text, write_text

from ._document import document_text, read_document, required
from ._keys import document_of
from ._schedule import Schedule
from ._spec import parse_schedule

RESERVED = ("format", "version", "groups", "schedule", "spec", "knots", "kind")
"""Keys of the JSON of a schedule or a plan, which no group may have as its name."""


@final
class GroupSchedules(Mapping[str, Schedule]):
    """The schedules of parameter groups that train together, a mapping from name to `Schedule`.

    A parameter group is a part of the weights with a learning rate of its own: the matrices that
    Muon updates, the rest under AdamW, the embeddings, the head. The first schedule is the planned
    one, to which ratios refer; all have the same horizon, as they count the updates of one run.

    Arguments:
        schedules: for each name, in order, a `Schedule`, a spec string, the JSON object of a
            schedule, or a number: the first schedule times this ratio.

    Attributes:
        planned: the name of the first.
        horizon: number of updates.

    Raises: InputError for no group, a name that is empty or a key of the JSON, an entry that is no
        schedule, a ratio that is first or not above 0, or horizons that differ.

    >>> groups = GroupSchedules({
    ...     "muon": "wsd:peak=0.02,horizon=1000,cooldown=0.4",
    ...     "adamw": "wsd:peak=3e-3,horizon=1000,cooldown=0.2",
    ...     "head": 0.05,
    ... })
    >>> groups.planned, groups.horizon, groups["adamw"](500), groups["head"](0)
    ('muon', 1000, 0.003, 0.001)
    >>> groups.ratios
    {'muon': 1.0, 'adamw': 0.15, 'head': 0.05}
    """

    def __init__(self, schedules: Mapping[str, Any]) -> None:
        if not isinstance(schedules, Mapping) or not schedules:
            raise InputError(
                f"groups must be a mapping from names to schedules, got {shown(schedules)}"
            )
        self._schedules: dict[str, Schedule] = {}
        for name, value in schedules.items():
            _check_name(name)
            first = next(iter(self._schedules.values()), None)
            self._schedules[name] = _schedule(name, value, first)
        self.planned: str = next(iter(self._schedules))
        self.horizon: int = self[self.planned].horizon
        for name, schedule in self.items():
            if schedule.horizon != self.horizon:
                raise InputError(
                    f"group {name!r} has {schedule.horizon} updates and {self.planned!r} "
                    f"{self.horizon}: all count those of one run; change one with "
                    ".stretched(horizon=...)"
                )

    def __getitem__(self, name: str) -> Schedule:
        return self._schedules[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._schedules)

    def __len__(self) -> int:
        return len(self._schedules)

    def __hash__(self) -> int:
        return hash(frozenset(self._schedules.items()))

    def __repr__(self) -> str:
        return f"<GroupSchedules {', '.join(f'{name}: {s.spec}' for name, s in self.items())}>"

    def named(self, name: object) -> Schedule:
        """The schedule of a group.

        Raises: InputError, which lists the names there are, for another.

        >>> GroupSchedules({"muon": "constant:peak=0.1,horizon=9"}).named("muon").peak
        0.1
        """
        if not isinstance(name, str) or name not in self._schedules:
            raise InputError(f"no schedule for the group {shown(name)}: {known_names(name, self)}")
        return self._schedules[name]

    @property
    def ratios(self) -> dict[str, float]:
        """The peak of each schedule over that of the first."""
        return {name: each.peak / self[self.planned].peak for name, each in self.items()}

    def stretched(self, *, horizon: int) -> GroupSchedules:
        """The same schedules over another number of updates; see `Schedule.stretched`.

        >>> GroupSchedules({"all": "linear:peak=1,horizon=9"}).stretched(horizon=20).horizon
        20
        """
        return GroupSchedules({name: s.stretched(horizon=horizon) for name, s in self.items()})

    def to_dict(self) -> dict[str, Any]:
        """For each name what `Schedule.to_dict` returns.

        >>> GroupSchedules({"muon": "constant:peak=0.1,horizon=9"}).to_dict()
        {'muon': {'spec': 'constant:peak=0.1,horizon=9'}}
        """
        return {name: schedule.to_dict() for name, schedule in self.items()}

    def to_json(self, batch_size: Schedule | None = None) -> str:
        """The schedules as one JSON object, exact: `groups` maps each name to its schedule.

        A `batch_size` of every update stands beside them, as in `Schedule.to_json`.

        >>> groups = GroupSchedules({"muon": "linear:peak=0.1,horizon=9", "head": 0.5})
        >>> GroupSchedules.from_json(groups.to_json()) == groups
        True
        """
        groups = {name: document_of(schedule) for name, schedule in self.items()}
        document: dict[str, Any] = {"groups": groups}
        if batch_size is not None:
            document["batch_size"] = json.loads(batch_size.to_json())
        return document_text(document)

    @staticmethod
    def from_json(text: str) -> GroupSchedules:
        """Read what `to_json` wrote, or a file written by hand, with specs or ratios in it.

        Raises: InputError for text that is not JSON, another format or version, a file of one
        schedule, or an entry that is none.

        >>> text = '{"format": "etastar.schedule", "version": 1, "groups": '
        >>> text += '{"muon": "linear:peak=0.1,horizon=9", "head": 0.5}}'
        >>> GroupSchedules.from_json(text)["head"].spec
        'linear:peak=0.05,horizon=9'
        """
        document = read_document(text)
        if "groups" not in document:
            raise InputError("the JSON holds one schedule and no groups: read it by Schedule.load")
        return GroupSchedules(document["groups"])

    def save(self, path: str | os.PathLike[str], *, batch_size: Schedule | None = None) -> None:
        """Write the JSON to `path`: to a temporary name beside it first, then renamed over it.

        Arguments:
            path: of the file.
            batch_size: of every update, where it is written too, in samples.

        Raises: InputError where the file cannot be written; an old file then stays as it was.

        >>> import tempfile, pathlib
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder) / "schedule.json"
        ...     GroupSchedules({"muon": "linear:peak=0.1,horizon=9", "head": 0.5}).save(path)
        ...     print(list(GroupSchedules.load(path)))
        ['muon', 'head']
        """
        write_text(path, self.to_json(batch_size) + "\n")

    @staticmethod
    def load(path: str | os.PathLike[str]) -> GroupSchedules:
        """Read the schedules that `save` wrote to `path`.

        Raises: InputError, naming the file, where it cannot be read or `from_json` refuses it.

        >>> try:
        ...     GroupSchedules.load("no/such.json")
        ... except InputError as error:
        ...     print(error)
        no/such.json: no such file; check the path
        """
        text = utf8_text(path)
        try:
            return GroupSchedules.from_json(text)
        except InputError as error:
            raise InputError(f"{path}: {error}") from None


def load_schedules(path: str | os.PathLike[str]) -> Schedule | GroupSchedules:
    """What a schedule.json holds: a schedule, or one for each parameter group.

    Raises: InputError, naming the file, where it cannot be read or holds neither.

    >>> import tempfile, pathlib
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder) / "schedule.json"
    ...     parse_schedule("linear:peak=0.1,horizon=9").save(path)
    ...     print(load_schedules(path).spec)
    linear:peak=0.1,horizon=9
    """
    text = utf8_text(path)
    try:
        grouped = "groups" in read_document(text)
        return GroupSchedules.from_json(text) if grouped else Schedule.from_json(text)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def _check_name(name: object) -> None:
    if not isinstance(name, str) or not name or name in RESERVED:
        raise InputError(
            f"a group is called {shown(name)}: give it a name, a text other than "
            f"{', '.join(RESERVED)}"
        )


def _schedule(name: str, value: Any, first: Schedule | None) -> Schedule:
    """The schedule of a group from what the user wrote for it."""
    try:
        if isinstance(value, Schedule):
            return value
        if isinstance(value, str):
            return parse_schedule(value)
        if isinstance(value, Mapping):
            if "spec" in value:
                return parse_schedule(required(value, "spec"))
            return Schedule.from_json(document_text(dict(value)))
        if isinstance(value, numbers.Real) and not isinstance(value, bool):
            ratio = above("the ratio", value, 0.0, hint="weights that rest need no group")
            if first is None:
                raise InputError("a ratio refers to the first group: give that one a schedule")
            return first if ratio == 1.0 else first.scaled(peak=first.peak * ratio)
    except InputError as error:
        raise InputError(f"group {name!r}: {error}") from None
    raise InputError(
        f"group {name!r} has {shown(value)}: give a Schedule, a spec such as "
        "'cosine:peak=1e-3,horizon=1000', or a ratio to the first group, such as 0.1"
    )
