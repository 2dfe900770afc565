"""What a solve tells of how much is done: all of it, in order, and as much as was announced."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from etastar.control import _momentum_solver, compute_optimal, solve, transfer
from etastar.control._model_work import _momentum, _velocity
from etastar.model import PowerLaw

MODEL = PowerLaw(1.5, 0.5, 1.0, 8)


class Told:
    """Takes note of what it is told."""

    def __init__(self) -> None:
        self.stages: list[str] = []
        self.done: list[int] = []
        self.total = 0

    def __call__(self, stage: str, done: int, total: int, /) -> None:
        self.stages.append(stage)
        self.done.append(done)
        self.total = total


@pytest.mark.slow
@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        {"horizon": 1000},
        {"horizon": 1000, "compare": False},
        {"horizon": 60, "cap": "transient", "compare": False},
        {"seconds": 300, "step_time": (1.0, 0.01), "controls": "lr,batch", "compare": False},
        {"horizon": 100, "controls": "lr,velocity,momentum", "compare": False},
    ],
)
def test_a_solve_tells_from_nothing_to_all(options):
    told = Told()
    solve(MODEL, **options, progress=told)
    assert set(told.stages) == {"solving"}
    assert (told.done[0], told.done[-1]) == (0, told.total)
    assert told.done == sorted(told.done)
    assert len(told.done) > 5


@pytest.mark.parametrize("horizon", [100, 900, 7000, 20_000])
def test_minimisations_with_momentum_cost_what_was_expected(monkeypatch, horizon):
    """The list of them is written twice, in the solver and in what is expected of it."""
    monkeypatch.setattr(
        _momentum_solver, "minimize", lambda loss, x, **_: SimpleNamespace(x=x, fun=loss(x)[0])
    )
    told = Told()
    solve(MODEL, horizon, controls="lr,momentum", compare=False, progress=told)
    # The last steps are the end of all minimisations, and the solve without momentum.
    assert told.done[-3] == pytest.approx(_momentum(horizon), abs=1)
    assert told.done[-3] == told.done[-2]


def test_more_updates_cost_more():
    assert _momentum(10**6) > 3 * _momentum(10**5) > 3 * _momentum(10**4)
    assert _velocity(10**8) > _velocity(10**4)


@pytest.mark.slow
def test_a_transfer_and_a_search_of_widths_tell_of_each_solve():
    told = Told()
    transfer(MODEL, "cosine", [100, 1000, 10_000], progress=told)
    assert (told.done, told.total) == ([0, 1, 2, 3], 3)
    assert set(told.stages) == {"cosine"}
    told = Told()
    compute_optimal(MODEL, 1e7, progress=told)
    assert told.done[:3] == [0, 1, 2]
    assert told.done[-1] >= told.total / 2


@pytest.mark.slow
def test_the_time_waited_for_holds_the_solve_and_the_compilation():
    first, again = (solve(MODEL, 1000) for _ in range(2))
    for each in (first, again):
        assert 0 < each.seconds < each.wall_seconds
        assert each.seconds + each.compile_seconds < each.wall_seconds
    assert again.compile_seconds == 0
