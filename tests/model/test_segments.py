"""Segments against the exact recursion: order, accuracy, derivatives, one compilation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from etastar.model import Cells, PowerLaw, exact_losses, loss, modes_of, segment_loss
from etastar.model import _loss as method
from etastar.model._controls import Controls
from etastar.schedule import make_schedule, parse_schedule, table

LONG = 10**6
SHAPES = {
    "anneal": "cosine:peak=0.3,horizon={T},warmup={w}",
    "jump": "step:peak=0.3,horizon={T},at={c},factor=0.1",
    "cool down": "wsd:peak=0.3,horizon={T},warmup={w},cooldown=0.2,decay=sqrt",
    "decay": "inverse_sqrt:peak=0.3,horizon={T},warmup={w}",
}


def shaped(name, horizon, peak=1.0):
    spec = SHAPES[name].format(T=horizon, w=horizon // 50, c=horizon // 3)
    schedule = parse_schedule(spec)
    return schedule.scaled(peak=peak * schedule.peak)


@pytest.mark.parametrize("momentum", [0.0, pytest.param(0.9, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", SHAPES)
def test_order_is_two(name, momentum):
    """Twice the segments, a quarter of the error, to within the rounding of nodes to steps.

    After a jump to a constant LR only the loss's own bend is left, and the error falls faster.
    """
    model, horizon = PowerLaw(1.5, 1.0, 0.25, 4), 10**5
    schedule = shaped(name, horizon, 1 - momentum)
    at = np.array([float(horizon)])
    controls = Controls.make(model, schedule, momentum, None)
    modes = modes_of(model.spectrum_to(horizon * 10))
    exact = exact_losses(model, schedule, momentum=momentum)
    grading = method.Grading.of(controls, float(horizon), float(modes.eigenvalue.max()))
    errors = [
        abs(method._on_mesh(model, controls, modes, at, size, grading) / exact - 1)[0]
        for size in (256, 512, 1024)
    ]
    order = np.log2(errors[0] / errors[2]) / 2
    assert errors[0] < 4e-3
    assert order > 1.75
    if name in ("anneal", "cool down"):
        assert order == pytest.approx(2.0, abs=0.25)


@pytest.mark.parametrize(("source", "noise"), [(1.0, 0.25), (0.2, 0.25), (1.0, 0.0)])
@pytest.mark.parametrize("name", SHAPES)
def test_default_accuracy_to_a_million_updates(name, source, noise):
    model = PowerLaw(1.5, source, noise, 4)
    schedule = shaped(name, LONG)
    at = np.array([100, LONG // 100, LONG // 50 + 1000, LONG // 2, LONG])
    exact = exact_losses(model, schedule, at)
    np.testing.assert_allclose(loss(model, schedule, at), exact, rtol=1e-4)


@pytest.mark.slow
def test_default_accuracy_with_momentum_for_a_million_updates():
    model, at = PowerLaw(1.5, 0.2, 0.25, 4), np.array([100, LONG // 2, LONG])
    schedule = shaped("cool down", LONG, 0.1)
    exact = exact_losses(model, schedule, at, momentum=0.9)
    np.testing.assert_allclose(loss(model, schedule, at, momentum=0.9), exact, rtol=1e-4)


@pytest.mark.parametrize(
    "varied",
    [
        pytest.param(
            {"momentum": table([0, 5000, 10000], [0.99, 0.9, 1e-6])}, marks=pytest.mark.slow
        ),
        {"batch_size": table([0, 10000], [1.0, 64.0])},
        pytest.param(
            {
                "momentum": table([0, 5000, 10000], [0.95, 0.9, 0.5]),
                "batch_size": parse_schedule("step:peak=32,horizon=10000,at=7000,factor=0.125"),
            },
            marks=pytest.mark.slow,
        ),
    ],
)
def test_default_accuracy_where_momentum_and_batch_size_vary(varied):
    model = PowerLaw(1.5, 1.0, 0.25, 4)
    schedule = parse_schedule("linear:peak=0.03,horizon=10000")
    at = [0, 1, 10, 100, 1000, 7001, 10000]
    exact = exact_losses(model, schedule, at, **varied)
    np.testing.assert_allclose(loss(model, schedule, at, **varied), exact, rtol=1e-4)


def test_single_steps_are_exact():
    model = PowerLaw(2.0, 0.5, 0.1, 2)
    schedule = parse_schedule("cosine:peak=0.3,horizon=60,warmup=7")
    at = np.arange(61)
    for momentum in (0.0, 0.7):
        exact = exact_losses(model, schedule, at, momentum=momentum)
        np.testing.assert_allclose(loss(model, schedule, at, momentum=momentum), exact, rtol=1e-11)


def test_many_steps_asked_are_interpolated():
    model = PowerLaw(1.5, 0.5, 0.1, 4)
    schedule = shaped("jump", 10**4)
    at = np.arange(10**4 + 1)
    np.testing.assert_allclose(
        loss(model, schedule, at), exact_losses(model, schedule, at), rtol=2e-3
    )


@pytest.mark.slow
def test_many_knots_and_long_horizons():
    model = PowerLaw(1.5, 1.0, 0.25, 4)
    steps = np.linspace(0, 10**5, 301).astype(int)
    cosine = make_schedule("cosine", peak=0.3, horizon=10**5)
    knotted = table(steps, cosine(steps))
    np.testing.assert_allclose(loss(model, knotted), exact_losses(model, knotted)[0], rtol=1e-4)
    # One decade of a constant best LR ratio costs the same and follows the power law.
    far = [loss(model, make_schedule("linear", peak=1e-4, horizon=10**p)) for p in (12, 13)]
    assert 0 < far[1] < far[0]


@pytest.mark.slow
@pytest.mark.parametrize("momentum", [None, 0.9])
def test_derivatives_are_those_of_finite_differences(momentum):
    model = PowerLaw(1.5, 0.5, 0.25, 4)
    modes = modes_of(model.spectrum_to(1e4))
    length = jnp.asarray([1.0, 9.0, 90.0, 900.0, 90.0, 9.0, 1.0, 0.0])

    @jax.jit
    def after(rate, batch, mu):
        mean = None if momentum is None else mu
        return segment_loss(modes, 0.25, Cells(length, rate, batch, mean))

    point = [jnp.full(8, 0.02), jnp.full(8, 4.0), jnp.full(8, 0.9)]
    slopes = jax.grad(after, argnums=(0, 1, 2))(*point)
    for i, slope in enumerate(slopes[: 2 if momentum is None else 3]):
        for j in (0, 3, 6):
            shift = 1e-6 * point[i][j]
            up, down = list(point), list(point)
            up[i], down[i] = point[i].at[j].add(shift), point[i].at[j].add(-shift)
            difference = (after(*up) - after(*down)) / (2 * shift)
            assert slope[j] == pytest.approx(float(difference), rel=1e-4, abs=1e-9)


@pytest.mark.slow
def test_momentum_zero_is_plain_sgd():
    model = PowerLaw(1.5, 0.5, 0.25, 4)
    modes = modes_of(model.spectrum_to(1e12))
    length, rate = jnp.asarray([1.0, 1e3, 1e9, 1e12]), jnp.asarray([0.3, 0.1, 1e-3, 1e-5])
    batch = jnp.full(4, 4.0)
    plain = segment_loss(modes, 0.25, Cells(length, rate, batch))
    zero = segment_loss(modes, 0.25, Cells(length, rate, batch, jnp.zeros(4)))
    assert float(zero) == pytest.approx(float(plain), rel=1e-9)


def test_thirty_schedules_compile_as_often_as_three():
    def losses(count):
        for i in range(count):
            model = PowerLaw(1.3 + 0.02 * i, 0.3 + 0.01 * i, 0.1, 2 + i)
            horizon = 1000 + 997 * i
            loss(model, shaped(list(SHAPES)[i % 4], horizon, 0.2), [horizon // 2, horizon])

    def compiled():
        return method._segment_losses._cache_size()  # type: ignore[attr-defined]

    losses(4)
    before = compiled()
    losses(30)
    # Not the number of schedules: sizes of the mesh and of the spectrum.
    settled = compiled()
    assert settled - before <= 4
    losses(30)
    assert compiled() == settled
