"""`export_schedule`: a schedule written down for a framework, and what is lost on the way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from etastar.schedule import GroupSchedules, Schedule, Table

from ._nearest import nearest
from ._regret import Regret
from ._targets import known_target

if TYPE_CHECKING:
    from etastar.law import Law


@dataclass(frozen=True)
class Export:
    """The configuration of a framework, the schedule it will follow, and its regret.

    Attributes:
        target: the name of the framework.
        text: the configuration: code, options as a Bash array, YAML or CSV.
        schedule: what the framework will follow: steps in updates, rates in the user's units; of
            several parameter groups the first.
        exact: whether that has the rates asked for at every update, of all parameter groups.
        regret: what the replacement of the schedule costs; None where there is none.
        notes: sentences on what differs from the schedule asked for; they are comments of the text
            too, where the format has any.
        groups: the schedules of all parameter groups asked for; None where there is one. Notes
            name those that the framework cannot be told.

    >>> from etastar.export import export_schedule
    >>> from etastar.schedule import parse_schedule
    >>> result = export_schedule(parse_schedule("linear:peak=0.1,horizon=2"), "csv")
    >>> result.target, result.exact, result.regret, result.notes
    ('csv', True, None, ())
    >>> result.text.splitlines()
    ['step,lr', '0,0.1', '1,0.05', '2,0.0']
    """

    target: str
    text: str
    schedule: Schedule
    exact: bool
    regret: Regret | None
    notes: tuple[str, ...]
    groups: GroupSchedules | None = None

    def to_dict(self) -> dict[str, Any]:
        """What `etastar export --json` prints, for `json.dumps`.

        Returns: the keys `to`, `exact`, `schedule {spec or knots}`, `regret` (None, or
        `{basis, loss, regret, inflation}`), `notes` and `text`; and, where there are several
            parameter groups, `groups`, for each {spec or knots}.
        """
        return {
            "to": self.target,
            "exact": self.exact,
            "schedule": self.schedule.to_dict(),
            "regret": None if self.regret is None else asdict(self.regret),
            "notes": list(self.notes),
            "text": self.text,
            **({} if self.groups is None else {"groups": self.groups.to_dict()}),
        }


def export_schedule(
    schedule: Schedule | GroupSchedules,
    to: str,
    *,
    law: Law | None = None,
    plan: Mapping[str, Any] | None = None,
) -> Export:
    """Write a schedule down for a framework.

    Some frameworks follow any schedule. Others know standard ones by name. A join, a table or
    another shape whose rates at every update are those of such a standard one, to 1e-9 of the peak,
    is written as that. What a framework cannot follow is replaced by the nearest that it can:

    - with a `law`, that of the lowest predicted final loss, its peak up to the law's highest;
    - else with the JSON of a `plan` made for this schedule, the best of its comparison;
    - else that of the smallest mean difference from the schedule, relative to its mean rate.

    Arguments:
        schedule: the learning rate of every update, or one for each parameter group. Frameworks
            that run code, and a csv, take all of them; others the first, and what they have options
            for of the rest.
        to: a key of `TARGETS`.
        law: a law fitted to runs of the task.
        plan: what `Plan.to_dict` returns, or plan.json holds.

    Returns: an `Export`.
    Raises: InputError for an unknown framework, or a schedule too long for a csv.

    >>> from etastar.schedule import parse_schedule
    >>> schedule = parse_schedule("cosine:peak=1e-3,horizon=1000,warmup=10")
    >>> result = export_schedule(schedule, "megatron")
    >>> result.exact, "--lr-decay-style cosine" in result.text
    (True, True)
    """
    target = known_target(to)
    groups = None if isinstance(schedule, Schedule) else schedule
    schedule = schedule if isinstance(schedule, Schedule) else schedule[schedule.planned]
    equal = target.followed(schedule)
    if equal is not None:
        found, regret, lost = equal, None, []
        heading = f"the schedule {_short(schedule)}"
        if groups is not None:
            heading = f"the schedules of {', '.join(groups)}; the first is {_short(schedule)}"
        if equal is not schedule:
            heading += f", which at every update is {_short(equal)}"
    else:
        found, regret = nearest(schedule, target, law, plan)
        lost = [regret.sentence()]
        heading = f"{to} cannot follow {_short(schedule)}; the nearest it can is {_short(found)}"
    unsaid = [] if groups is None else target.left_out(groups)
    notes = (*lost, *unsaid, *target.notes(found))
    text = target.text(found, [heading, *notes], groups)
    return Export(to, text, found, regret is None and not unsaid, regret, notes, groups)


def _short(schedule: Schedule) -> str:
    if isinstance(schedule.shape, Table):
        return f"the table of {len(schedule.shape.knots)} knots"
    return schedule.spec
