"""A velocity with an LR of its own: against free search, exact moments and the derived exponent."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import minimize

from etastar.control import solve
from etastar.model import (
    PowerLaw,
    Segments,
    VelocityLoss,
    exact_losses,
    loss,
    modes_of,
    phase,
    update_moments,
)
from etastar.schedule import InputError, make_schedule, table

HARD = PowerLaw(1.5, 0.2, 0.25, 8)
CONTROLS = "lr,velocity,momentum"


def brute_force(model, horizon, start):
    """The lowest loss over the three controls of every update, by the exact recursion reversed."""
    modes = modes_of(model.spectrum_to(1e3 * horizon))
    target, zero = jnp.asarray(modes.target), jnp.zeros(len(modes.target))

    @jax.jit
    @jax.value_and_grad
    def objective(x):
        rate, velocity, slow = jnp.exp(x.reshape(3, horizon))

        def update(state, control):
            rate, velocity, slow = control
            moments = update_moments(
                modes, model.noise, state, rate, model.batch_size, 1.0 - slow, velocity
            )
            return moments, None

        state, _ = jax.lax.scan(update, (target, zero, zero), (rate, velocity, slow))
        return jnp.log(state[0].sum())

    def checked(x):
        value, slope = objective(x)
        return (float(value), np.asarray(slope)) if value < 10 else (10.0, np.zeros_like(x))

    cap = math.log(model.max_rate)
    bounds = [(cap - 25, cap)] * horizon + [(-40, 4)] * horizon + [(-16, 0)] * horizon
    found = minimize(checked, start, jac=True, method="L-BFGS-B", bounds=bounds,
                     options={"maxiter": 1500, "maxfun": 3000, "maxcor": 30})  # fmt: skip
    return math.exp(found.fun)


@pytest.mark.slow
@pytest.mark.parametrize("model", [HARD, PowerLaw(2.0, 0.25, 0.0, 8)])
def test_no_free_search_is_much_better(model):
    horizon = 40
    found = solve(model, horizon, controls=CONTROLS, compare=False)
    rng = np.random.default_rng(0)
    starts = [np.repeat(np.log([0.3 * model.max_rate, 0.02, 0.1]), horizon)]
    starts.append(starts[0] + rng.normal(0, 0.7, 3 * horizon))
    best = min(brute_force(model, horizon, start) for start in starts)
    assert found.loss < best * 1.01
    assert found.velocity is not None
    assert found.momentum is not None
    step = np.arange(horizon)
    own = found.schedule(step), found.velocity(step), 1.0 - found.momentum(step)
    nearest = brute_force(model, horizon, np.log(np.maximum(own, 1e-300)).ravel())
    assert nearest >= found.loss * (1.0 - found.gap)
    assert found.loss < 0.97 * solve(model, horizon, compare=False).loss


def test_the_loss_is_that_of_the_exact_recursion_for_what_is_returned():
    found = solve(HARD, 700, controls=CONTROLS, compare=False)
    assert found.velocity is not None
    assert found.momentum is not None
    rate, mu, velocity = found.schedule, found.momentum, found.velocity
    exact = exact_losses(HARD, rate, momentum=mu, velocity=velocity)[0]
    assert found.loss == pytest.approx(exact, rel=1e-12)
    near = loss(HARD, rate, momentum=mu, velocity=velocity, tolerance=1e-3)
    assert near == pytest.approx(exact, rel=1e-3)
    assert found.gap < 0.01


@pytest.mark.slow
def test_it_is_below_the_heavy_ball():
    """0.86883 is the heavy ball's optimum there, docs/controls.md."""
    assert solve(HARD, 250, controls=CONTROLS, compare=False).loss < 0.8360


@pytest.mark.slow
def test_the_easy_phase_gains_next_to_nothing():
    easy = PowerLaw(1.5, 1.0, 0.25, 8)
    plain = solve(easy, 2000, compare=False).loss
    assert 0.985 * plain < solve(easy, 2000, controls=CONTROLS, compare=False).loss <= plain


@pytest.mark.slow
def test_the_exponent_of_the_hard_phase_is_the_derived_one():
    model = PowerLaw(1.5, 0.2, 4.0, 8)
    derived = phase(1.5, 0.2).velocity_loss_exponent
    assert derived == pytest.approx(0.2 / (0.2 + 1 / 1.5))
    losses = [solve(model, T, controls=CONTROLS, compare=False).loss for T in (1000, 10_000)]
    assert -np.log10(losses[1] / losses[0]) == pytest.approx(derived, abs=0.006)


@pytest.mark.parametrize("horizon", [1, 2, 7])
def test_short_horizons(horizon):
    found = solve(HARD, horizon, controls=CONTROLS)
    assert found.loss <= min(member.loss for member in found.baselines) * (1 + 1e-9)


def test_limits_are_kept():
    found = solve(
        HARD, 300, controls=CONTROLS, cap=0.5, floor=0.01, warmup=30, max_momentum=0.9,
        compare=False,
    )  # fmt: skip
    assert found.momentum is not None
    assert found.velocity is not None
    step = np.arange(300)
    rate = found.schedule(step)
    assert rate.max() <= 0.5 * (1 + 1e-9)
    assert rate[30:].min() >= 0.01 * (1 - 1e-9)
    assert rate[0] == found.velocity(0) == 0
    assert found.momentum(step).max() <= 0.9 + 1e-9


def test_slopes_are_those_of_finite_differences():
    modes = modes_of(HARD.spectrum_to(1e5))
    run = VelocityLoss(modes, 0.25, 8.0, Segments.of(500, 0.5))
    count = len(run.segments.first)
    rng = np.random.default_rng(1)
    controls = [np.exp(rng.normal(at, 0.3, count)) for at in np.log([0.3, 0.02, 0.1])]
    _, slopes = run.slopes(*controls)
    for which in range(3):
        for place in (0, count // 2, count - 1):
            step = 1e-6 * controls[which][place]
            sides = []
            for sign in (1, -1):
                moved = [row.copy() for row in controls]
                moved[which][place] += sign * step
                sides.append(run.losses(*moved)[-1])
            slope = (sides[0] - sides[1]) / (2 * step)
            assert slopes[which][place] == pytest.approx(slope, rel=1e-4, abs=1e-9)


@pytest.mark.parametrize("horizon", [1, 2, 3, 17, 1000, 10**9 + 7])
@pytest.mark.parametrize("part", [0.5, 0.1])
def test_segments_cover_the_run(horizon, part):
    segments = Segments.of(horizon, part)
    length = 2.0**segments.doublings
    assert segments.first[0] == 0
    np.testing.assert_array_equal(segments.first[1:], (segments.first + length)[:-1])
    assert segments.first[-1] + length[-1] == horizon
    left = horizon - segments.first - length
    assert np.all((length == 1) | (length <= part * np.minimum(segments.first, left)) | (left == 0))


def test_losses_along_the_run_are_exact_to_the_tolerance():
    rate = make_schedule("wsd", peak=0.5, horizon=5000, cooldown=0.3)
    velocity = table([0, 5000], [0.01, 0.001])
    at = [0, 1, 30, 2000, 5000]
    exact = exact_losses(HARD, rate, at, momentum=0.97, velocity=velocity)
    found = loss(HARD, rate, at, momentum=0.97, velocity=velocity)
    np.testing.assert_allclose(found, exact, rtol=3e-4)


def test_what_does_not_go_together_is_refused():
    with pytest.raises(InputError, match="velocity goes with momentum"):
        solve(HARD, 100, controls="lr,velocity")
    with pytest.raises(InputError, match="leave out batch"):
        solve(HARD, 100, controls="lr,velocity,momentum,batch")
    with pytest.raises(InputError, match="above 1e\\+12"):
        solve(HARD, 10**13, controls=CONTROLS)
    rate, ramp = make_schedule("constant", peak=0.1, horizon=50), table([0, 50], [8.0, 16.0])
    with pytest.raises(InputError, match="batch size is one number"):
        loss(HARD, rate, momentum=0.9, velocity=0.01, batch_size=ramp)
    with pytest.raises(InputError, match="velocity must be a finite LR >= 0"):
        loss(HARD, rate, momentum=0.9, velocity=-0.01)
