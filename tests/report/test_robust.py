"""What a wrong base LR costs, in tables and in a figure."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from etastar.report import robust_figure, robust_summary
from etastar.robust import grid_ratio, last_iterate
from etastar.schedule import parse_schedule


def test_the_tables_hold_the_inflation_and_the_grids() -> None:
    curve = last_iterate(parse_schedule("wsd:peak=1,horizon=2000,cooldown=0.3"))
    summary: Any = robust_summary(curve, [2.0, 1e6], [1.1])
    losses, grids = (part for part in summary.renderables if hasattr(part, "columns"))
    assert list(losses.columns[0].cells) == ["2", "1e+06"]
    inflation = [float(cell.rstrip(" *")) for cell in losses.columns[1].cells]
    np.testing.assert_allclose(inflation, curve.inflation([2.0, 1e6]), rtol=1e-3)
    assert float(next(iter(grids.columns[1].cells))) == pytest.approx(
        grid_ratio(curve, 1.1), rel=1e-3
    )
    starred = [cell.endswith("*") for cell in losses.columns[1].cells]
    assert starred == [False, True]
    assert any("the bound says nothing" in str(part) for part in summary.renderables)


@pytest.mark.parametrize("name", ["linear", "polynomial"])
def test_the_schedule_is_drawn_once_over_the_others(name: str) -> None:
    power = ",power=2" if name == "polynomial" else ""
    figure: Any = robust_figure(last_iterate(parse_schedule(f"{name}:peak=1,horizon=2000{power}")))
    names = [trace.name for trace in figure.data]
    assert names == [*(other for other in ("constant", "linear", "cosine") if other != name), name]
    assert all(np.min(trace.y) == pytest.approx(1, abs=0.01) for trace in figure.data)
