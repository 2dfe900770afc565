"""The terms on a mesh against their definition, summed step by step in plain numpy."""

import numpy as np
import pytest

from etastar.law._forms import OWN
from etastar.law._forms._volterra import EIGENVALUE
from etastar.law._mesh import CELLS, make_mesh
from etastar.law._points import Points
from etastar.schedule import parse_schedule, table

THETA = np.array([0.55, 0.2, -5.0, 1.8, -5.0, 2.0, 1.0, 1.1, 1.0])
SPECS = [
    "constant:peak=2e-3,horizon=6000,warmup=100",
    "cosine:peak=2e-3,horizon=6000,warmup=100,final=0.1",
    "linear:peak=2e-3,horizon=6000",
    "wsd:peak=1e-3,horizon=6000,warmup=200,cooldown=0.2,decay=sqrt",
    "step:peak=2e-3,horizon=6000,warmup=100,at=3000,factor=0.1",
]


def kernel_of(g, log_lag, to_go):
    weight = EIGENVALUE ** (1 + g) * np.exp(-EIGENVALUE * np.exp(log_lag))
    weight /= np.sum(weight / EIGENVALUE)
    return np.exp(-np.multiply.outer(to_go, EIGENVALUE)) @ weight


@pytest.mark.parametrize("g", [0.05, 0.3, 0.8])
@pytest.mark.parametrize("log_lag", [-9.0, -4.0])
def test_the_kernel_is_the_power_law(g, log_lag):
    to_go = np.concatenate([[0.0], np.geomspace(1e-5, 5.0, 60)])
    power_law = (1 + to_go / np.exp(log_lag)) ** -(1 + g)
    kernel = kernel_of(g, log_lag, to_go)
    np.testing.assert_allclose(kernel / kernel[0], power_law, rtol=5e-3)


def step_by_step(schedule, theta, rate_unit, step_unit):
    """Bias and noise at the horizon: one update after another, the noise a sum over all of them."""
    s, g, log_lag, p, log_origin, log_growth, log_decay, q, log_instability = theta
    omega, kappa = np.exp(log_decay), np.exp(log_growth)
    eta = schedule(np.arange(schedule.horizon)) / rate_unit
    dt = 1 / step_unit
    norm, rates = 1.0, []
    for rate in eta:
        after = norm + (kappa * rate**2 - omega * rate * norm) * dt
        rates.append(rate / np.sqrt((norm + after) / 2))
        norm = after
    rates = np.array(rates)
    time = np.concatenate([[0.0], np.cumsum(rates**q) * dt])
    to_go = time[-1] - (time[1:] + time[:-1]) / 2
    kernel = kernel_of(g, log_lag, to_go)
    origin = np.exp(log_origin)
    bias = ((time[-1] + origin) / (1 + origin)) ** -s
    drive = rates**p * (1 + np.exp(log_instability) * rates**4)
    return bias, np.sum(drive * kernel) * dt


@pytest.mark.parametrize("spec", SPECS)
def test_the_mesh_gives_the_step_by_step_sums(spec):
    schedule = parse_schedule(spec)
    mesh = make_mesh(schedule)
    got = np.asarray(
        OWN.columns(THETA, 1.0, np.ones(1), mesh.rate[None] / 2e-3, mesh.length[None] / 6000)
    )[0, -1]
    bias, noise = step_by_step(schedule, THETA, 2e-3, 6000)
    assert got[1] == pytest.approx(bias, rel=2e-3)
    assert got[2] == pytest.approx(noise, rel=2e-3)


@pytest.mark.parametrize("spec", SPECS)
def test_a_coarser_mesh_agrees(spec, monkeypatch):
    schedule = parse_schedule(spec)
    values = []
    for cells in (CELLS, 3 * CELLS):
        monkeypatch.setattr("etastar.law._mesh.CELLS", cells)
        mesh = make_mesh(schedule)
        value = OWN.columns(
            THETA, 1.0, np.ones(1), mesh.rate[None] / 2e-3, mesh.length[None] / 6000
        )
        values.append(np.asarray(value)[0, -1])
    np.testing.assert_allclose(values[0], values[1], rtol=2e-3)


@pytest.mark.parametrize("spec", SPECS)
def test_cells_hold_the_schedules_intrinsic_time(spec):
    schedule = parse_schedule(spec)
    mesh = make_mesh(schedule)
    assert mesh.length.sum() == pytest.approx(6000, rel=1e-12)
    total = float((mesh.rate * mesh.length).sum())
    assert total == pytest.approx(schedule.intrinsic_time(6000), rel=1e-9)


def test_slopes_are_those_of_finite_differences():
    mesh = make_mesh(parse_schedule(SPECS[3]))
    points = Points(
        1.0,
        np.ones(1),
        mesh.rate[None] / 1e-3,
        mesh.length[None] / 6000,
        np.zeros(2, int),
        np.array([60, CELLS - 1]),
        np.array([0.3, 1.0]),
    )
    _, slope = points.columns_and_slopes(OWN, THETA)
    for i in range(len(THETA)):
        move = np.zeros(len(THETA))
        move[i] = 1e-5
        above = points.columns(OWN, THETA + move)
        below = points.columns(OWN, THETA - move)
        difference = (above - below) / 2e-5
        np.testing.assert_allclose(slope[:, :, i], difference, rtol=1e-4, atol=1e-7)


def test_the_slope_by_the_rates_is_that_of_finite_differences():
    mesh = make_mesh(parse_schedule(SPECS[1]))
    rate, length = mesh.rate / 2e-3, mesh.length / 6000
    linear = np.array([2.5, 0.1, 0.3])
    _, slope = OWN.final_loss_and_slope(THETA, linear, 1.0, rate, length)
    for cell in (5, 90, 150, CELLS - 2):
        move = np.zeros(CELLS)
        move[cell] = 1e-5
        above, _ = OWN.final_loss_and_slope(THETA, linear, 1.0, rate + move, length)
        below, _ = OWN.final_loss_and_slope(THETA, linear, 1.0, rate - move, length)
        assert float(slope[cell]) == pytest.approx(float(above - below) / 2e-5, rel=1e-3, abs=1e-8)


@pytest.mark.parametrize("horizon", [1, 2, 7, 100, 10**9, 10**13])
def test_every_horizon_has_the_same_mesh_size(horizon):
    mesh = make_mesh(parse_schedule(f"cosine:peak=1e-3,horizon={horizon}"))
    assert mesh.node.shape == (CELLS + 1,)
    assert mesh.node[-1] == horizon
    assert np.all(np.diff(mesh.node) >= 0)


def test_a_table_of_many_knots_keeps_its_jumps():
    steps = np.arange(0, 5001, 50)
    rates = np.where(steps < 2500, 1e-3, 1e-4)
    mesh = make_mesh(table(steps, rates))
    assert np.min(np.abs(mesh.node - 2500)) < 1 or np.min(np.abs(mesh.node - 2450)) < 1
    assert (mesh.rate * mesh.length).sum() == pytest.approx(
        table(steps, rates).intrinsic_time(5000), rel=1e-9
    )
