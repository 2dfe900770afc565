"""A plan as JSON that other programs read."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from etastar.schedule import schedule_document

from ._types import Estimate, Plan


def plan_document(plan: Plan) -> dict[str, Any]:
    """A plan as plain dicts, lists, strings and numbers, for `json.dumps`.

    Keys: `phase {name, xi, xi_ci, capacity, capacity_ci, source, source_ci}`, where each `*_ci` is
    the 90% interval [low, high]; `peak_lr`; `schedule`, either `{spec}` or `{knots: [[step, lr],
    ...]}` to be joined by straight lines; `nearest {spec, regret}`, the standard schedule closest
    in predicted loss; `loss {mean, low, high}` at the horizon; `expected_regret`, what not knowing
    the law better costs; `comparison [{spec, loss, regret, steps_to_match}]`; `caveats`; and where
    the plan goes on from a run `continuation {run, step, lr, known_loss, known_peak, cost}`. Steps
    and learning rates are in the user's own units. A number that is not finite, or not known, is
    None.
    """
    phase = plan.phase
    document = {
        "phase": {
            "name": phase.name,
            **_with_interval("xi", phase.xi),
            **_with_interval("capacity", phase.capacity),
            **_with_interval("source", phase.source),
        },
        "peak_lr": plan.peak_lr,
        "schedule": schedule_document(plan.schedule),
        "nearest": {"spec": plan.nearest.schedule.spec, "regret": plan.nearest.regret},
        "loss": {"mean": plan.loss.value, "low": plan.loss.low, "high": plan.loss.high},
        "expected_regret": plan.expected_regret,
        "comparison": [
            {
                "spec": other.schedule.spec,
                "loss": other.loss,
                "regret": other.regret,
                "steps_to_match": other.steps_to_match,
            }
            for other in plan.comparison
        ],
        "caveats": list(plan.caveats),
    }
    if plan.continuation is not None:
        document["continuation"] = asdict(plan.continuation)
    return plain(document)


def _with_interval(name: str, estimate: Estimate) -> dict[str, Any]:
    return {name: estimate.value, f"{name}_ci": [estimate.low, estimate.high]}


def plain(value: Any) -> Any:
    """Values as JSON knows them: NumPy unwrapped, keys as text, None for what is not finite.

    >>> plain({1: [float("nan"), np.float64(2.0)], "n": np.int64(3)})
    {'1': [None, 2.0], 'n': 3}
    """
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def json_text(document: Any, *, indent: int | None = None) -> str:
    """JSON text in which every number is finite.

    >>> json_text({"loss": float("inf")})
    '{"loss": null}'
    """
    return json.dumps(plain(document), allow_nan=False, ensure_ascii=False, indent=indent)
