"""The plan.json that lies beside a schedule.json."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from etastar._errors import InputError
from etastar._files import is_file, utf8_text
from etastar._json import json_value
from etastar.schedule import Schedule


def plan_beside(path: Path, schedule: Schedule) -> Mapping[str, Any] | None:
    """The plan.json in the folder of a schedule.json, where it was made for that schedule.

    Arguments:
        path: the schedule.json; it is not read.
        schedule: what it holds.

    Returns: the plan's JSON, or None where there is none or it is another schedule's.
    Raises: InputError for a plan.json that cannot be read.

    >>> import json, tempfile
    >>> from etastar.schedule import parse_schedule
    >>> schedule = parse_schedule("linear:peak=0.1,horizon=9")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     text = json.dumps({"schedule": schedule.to_dict(), "comparison": []})
    ...     _ = (Path(folder) / "plan.json").write_text(text)
    ...     plan_beside(Path(folder) / "schedule.json", schedule)
    {'schedule': {'spec': 'linear:peak=0.1,horizon=9'}, 'comparison': []}
    """
    beside = path.parent / "plan.json"
    if not is_file(beside):
        return None
    try:
        document = json_value(utf8_text(beside))
    except InputError as error:
        raise InputError(f"{beside}: cannot be read: {error}; remove it or plan again") from None
    if not isinstance(document, dict) or document.get("schedule") != schedule.to_dict():
        return None
    return document
