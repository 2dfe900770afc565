"""The terms on a mesh against their definition, summed step by step in plain numpy."""

import numpy as np
import pytest

from etastar.law._forms import FORMS, OWN, At, Mesh
from etastar.law._forms._volterra_rows import Rows, VolterraConstants
from etastar.law._mesh import CELLS, make_mesh
from etastar.law._points import Units
from etastar.schedule import parse_schedule, table

THETA = np.array([0.55, 0.2, -5.0, 1.8, -5.0, 1.0, 1.0, 1.1, 1.0])
SPECS = [
    "constant:peak=2e-3,horizon=6000,warmup=100",
    "cosine:peak=2e-3,horizon=6000,warmup=100,final=0.1",
    "linear:peak=2e-3,horizon=6000",
    "wsd:peak=1e-3,horizon=6000,warmup=200,cooldown=0.2,decay=sqrt",
    "step:peak=2e-3,horizon=6000,warmup=100,at=3000,factor=0.1",
]


def kernel_of(g, log_lag, to_go):
    """The power law whose integral from 0 to 1 is 1."""
    lag = np.exp(log_lag)
    return (1 + to_go / lag) ** -(1 + g) * (g / lag) / (1 - (1 + 1 / lag) ** -g)


def mesh_of(schedule, rate_unit, step_unit, batch=1.0):
    """The mesh of one run, and its end."""
    mesh = make_mesh(schedule)
    units = Units(rate_unit, float(step_unit))
    one = Mesh(
        1.0,
        mesh.rate[None] / units.rate,
        mesh.length[None] / units.steps,
        np.full((1, CELLS), batch),
    )
    return one, At(np.full((1, 1), CELLS - 1), np.ones((1, 1)))


def step_by_step(schedule, theta, rate_unit, step_unit):
    """Bias and noise at the horizon: one update after another, the noise a sum over all of them."""
    s, g, log_lag, p, log_origin, log_balance, log_decay, q, log_instability = theta
    omega, balance = np.exp(log_decay), np.exp(log_balance)
    eta = schedule(np.arange(schedule.horizon)) / rate_unit
    dt = 1 / step_unit
    norm, rates = 1.0, []
    for rate in eta:
        after = norm + omega * rate * (balance * rate - norm) * dt
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
    got = OWN.columns(THETA[None], *mesh_of(schedule, 2e-3, 6000))[0, 0, 0]
    bias, noise = step_by_step(schedule, THETA, 2e-3, 6000)
    assert got[1] == pytest.approx(bias, rel=2e-3)
    assert got[2] == pytest.approx(noise, rel=2e-3)


@pytest.mark.parametrize("spec", SPECS)
def test_a_coarser_mesh_agrees(spec, monkeypatch):
    schedule = parse_schedule(spec)
    values = []
    for cells in (CELLS, 3 * CELLS):
        monkeypatch.setattr("etastar.law._mesh.CELLS", cells)
        monkeypatch.setattr(f"{__name__}.CELLS", cells)
        values.append(OWN.columns(THETA[None], *mesh_of(schedule, 2e-3, 6000))[0, 0, 0])
    np.testing.assert_allclose(values[0], values[1], rtol=2e-3)


@pytest.mark.parametrize("spec", SPECS)
def test_cells_hold_the_schedules_intrinsic_time(spec):
    schedule = parse_schedule(spec)
    mesh = make_mesh(schedule)
    assert mesh.length.sum() == pytest.approx(6000, rel=1e-12)
    total = float((mesh.rate * mesh.length).sum())
    assert total == pytest.approx(schedule.intrinsic_time(6000), rel=1e-9)


@pytest.mark.parametrize("name", ["etastar", "functional"])
def test_slopes_are_those_of_finite_differences(name):
    form = FORMS[name]
    mesh, _ = mesh_of(parse_schedule(SPECS[3]), 1e-3, 6000, batch=2.0)
    at = At(np.array([[60, CELLS - 1]]), np.array([[0.3, 1.0]]))
    theta = form.mean + 0.2 * form.spread
    value, slope = form.columns_and_slopes(np.stack([theta, theta]), mesh, at)
    np.testing.assert_array_equal(value, form.columns(np.stack([theta, theta]), mesh, at))
    for i in range(form.size):
        move = np.zeros(form.size)
        move[i] = 1e-5
        above, below = (form.columns((theta + by)[None], mesh, at)[0] for by in (move, -move))
        np.testing.assert_allclose(slope[1, ..., i], (above - below) / 2e-5, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("name", list(FORMS))
def test_the_slopes_by_rate_and_batch_are_those_of_finite_differences(name):
    form = FORMS[name]
    mesh, end = mesh_of(parse_schedule(SPECS[1]), 2e-3, 6000, batch=1.5)
    mesh = mesh._replace(steps=6000.0)
    theta = np.stack([form.mean, form.mean + 0.1 * form.spread])
    linear = np.full((2, len(form.linear)), 0.3)
    loss_of = form.columns(theta, mesh, end)[:, 0, 0]
    mesh = Mesh(6000.0, *(np.tile(x, (2, 1)) for x in mesh[1:]))
    loss, by_rate, by_length, by_batch = form.final_losses_and_slopes(theta, linear, mesh)
    np.testing.assert_allclose(loss, (loss_of * linear).sum(1), rtol=1e-12)

    # The bound is cut off next to the last step, where finite differences are rough.
    close = 0.02 if name == "last-iterate" else 1e-3

    def at(**changed):
        return form.final_losses_and_slopes(theta, linear, mesh._replace(**changed))[0]

    for cell in (5, 90, 150, CELLS - 2):
        move = np.zeros((2, CELLS))
        move[:, cell] = 1e-5
        by = at(rate=mesh.rate + move) - at(rate=mesh.rate - move)
        assert by_rate[:, cell] == pytest.approx(by / 2e-5, rel=close, abs=1e-7)
        by = at(length=mesh.length + move) - at(length=mesh.length - move)
        assert by_length[:, cell] == pytest.approx(by / 2e-5, rel=close, abs=1e-7)
        by = at(batch=mesh.batch + move) - at(batch=mesh.batch - move)
        assert by_batch[:, cell] == pytest.approx(by / 2e-5, rel=close, abs=1e-7)


@pytest.mark.parametrize("most", [0.5, 300.0])
def test_the_squared_norm_is_that_of_one_cell_after_another(most):
    # The larger decay leaves less than a number can hold of the norm at the start.
    rng = np.random.default_rng(0)
    form, one = FORMS["etastar"], np.ones((3, 37))
    theta = np.tile(form.mean, (3, 1))
    theta[:, form.names.index("log_decay")] = np.log(most)
    named = {name: theta[:, i, None] for i, name in enumerate(form.names)}
    rate, length = rng.uniform(0.1, 1, (2, 3, 37))
    rows = Rows.of(VolterraConstants(**named), rate, length, one)
    kept = np.exp(-most * rate * length)
    grown = np.exp(named["log_balance"]) * rate * (1 - kept)
    norm = np.ones(3)
    for i in range(37):
        np.testing.assert_allclose(rows.squared_norm[:, i], norm, rtol=1e-10)
        norm = kept[:, i] * norm + grown[:, i]
    np.testing.assert_allclose(rows.squared_norm[:, -1], norm, rtol=1e-10)
    # The slope of a sum over nodes goes backwards through the same recursion.
    own = rng.standard_normal((3, 38))
    found, later = rows.kept_from(own), own[:, -1]
    for i in range(36, -1, -1):
        np.testing.assert_allclose(found[:, i], later, rtol=1e-9, atol=1e-12)
        later = own[:, i] + kept[:, i] * later


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


def test_the_slope_by_next_to_no_memory_keeps_its_digits(monkeypatch):
    form = FORMS["etastar"]
    mesh, end = mesh_of(parse_schedule(SPECS[3]), 1e-3, 6000)
    theta, i = form.mean.copy(), form.names.index("memory")
    theta[i] = 2e-6
    _, slope = form.columns_and_slopes(theta[None], mesh, end)
    # To either side of no memory the formula is the same, and a wide step loses no digits.
    monkeypatch.setattr("etastar.law._forms._volterra_rows._LEAST_MEMORY", -1.0)
    found = []
    for move in (1e-3, 2e-3):
        step = move * np.eye(form.size)[i]
        above, below = (form.columns((theta + by)[None], mesh, end) for by in (step, -step))
        found.append((above - below) / (2 * move))
    wanted = (4 * found[0] - found[1]) / 3
    np.testing.assert_allclose(slope[..., i], wanted, rtol=1e-8, atol=1e-12)
