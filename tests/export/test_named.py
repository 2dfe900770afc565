"""Configurations by name are what their frameworks read, and the rates are the schedule's."""

from __future__ import annotations

import numpy as np
import pytest

from etastar.export import TARGETS, export_schedule
from etastar.schedule import parse_schedule

from .frameworks import READ

T, W = 200, 20
STANDARD = [
    f"constant:peak=1e-05,horizon={T},warmup={W}",
    f"linear:peak=0.3,horizon={T},warmup={W}",
    f"linear:peak=0.3,horizon={T},final=0.1",
    f"cosine:peak=3e-05,horizon={T},warmup={W}",
    f"cosine:peak=0.3,horizon={T},warmup={W},final=0.1",
    f"polynomial:peak=0.3,horizon={T},warmup={W},power=2,final=0.1",
    f"inverse_sqrt:peak=0.3,horizon={T},warmup={W}",
    f"inverse_sqrt:peak=0.3,horizon={T}",
    f"wsd:peak=0.3,horizon={T},warmup={W},cooldown=0.3",
    f"wsd:peak=0.3,horizon={T},warmup={W},cooldown=61,decay=sqrt",
    f"wsd:peak=0.3,horizon={T},cooldown=61,decay=cosine,final=0.1",
    f"wsd:peak=0.3,horizon={T},warmup={W},cooldown=60,final=0.1",
]


@pytest.mark.parametrize("to", READ)
def test_standard_schedules_arrive_as_they_are(to: str) -> None:
    took = 0
    for spec in STANDARD:
        wanted = parse_schedule(spec)
        result = export_schedule(wanted, to)
        if not result.exact:
            continue
        took += 1
        assert result.schedule == wanted
        assert result.regret is None
        rates = READ[to](result.text)
        ahead = to in ("torchtitan", "nanochat") and wanted.warmup
        raised = to == "axolotl" and wanted.warmup and "  min_lr_ratio: 0.1" in result.text
        if ahead or raised:
            assert any("warmup" in note for note in result.notes)
        if ahead:
            np.testing.assert_allclose(rates[:W], wanted(np.arange(1, W + 1)), rtol=1e-12)
        first = W if ahead or raised else 0
        np.testing.assert_allclose(rates[first:], wanted(np.arange(first, T)), rtol=1e-9)
    assert took >= {"nanochat": 4}.get(to, 9)


@pytest.mark.parametrize("to", READ)
def test_any_schedule_becomes_one_that_the_framework_can_follow(to: str) -> None:
    odd = [
        "power:peak=0.3,horizon=200,chi=0.4,warmup=20",
        "exponential:peak=0.3,horizon=200,final=0.01",
        "step:peak=0.3,horizon=200,at=150,factor=0.1",
        "wsd:peak=0.3,horizon=200,cooldown=0.2,decay=exponential,final=0.01",
        "table:knots=0:0/20:0.3/120:0.2/200:0.01",
        "cosine:peak=0.3,horizon=200,warmup=200",
        "linear:peak=0.3,horizon=1",
        "linear:peak=0.3,horizon=200,final=1",
        "linear:peak=0.3,horizon=200,warmup=1",
    ]
    for spec in odd:
        result = export_schedule(parse_schedule(spec), to)
        assert TARGETS[to].takes(result.schedule)
        assert len(READ[to](result.text)) == result.schedule.horizon == parse_schedule(spec).horizon
        if not result.exact:
            assert result.regret is not None
            assert result.regret.sentence() in " ".join(result.notes)
