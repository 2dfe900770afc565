"""Where PyTorch and Optax have the shape, the values are theirs."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from etastar.schedule import join, parse_schedule

T, W, PEAK, FINAL = 300, 30, 0.3, 0.1


def torch_rates(make: Callable[[Any, Any], Any], count: int = T + 1) -> np.ndarray:
    """The rates that a torch scheduler sets, step by step."""
    torch = pytest.importorskip("torch")
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=PEAK)
    with warnings.catch_warnings():
        # SequentialLR calls its pieces with an argument that torch itself has deprecated.
        warnings.simplefilter("ignore")
        scheduler = make(torch.optim.lr_scheduler, optimizer)
        rates = []
        for _ in range(count):
            rates.append(float(optimizer.param_groups[0]["lr"]))
            optimizer.step()
            scheduler.step()
    return np.array(rates)


def warmed(s: Any, o: Any, after: Any) -> Any:
    warmup = s.LambdaLR(o, lambda t: t / W)
    return s.SequentialLR(o, [warmup, after], milestones=[W])


TORCH = {
    f"constant:peak={PEAK},horizon={T}": lambda s, o: s.ConstantLR(o, factor=1.0),
    f"linear:peak={PEAK},horizon={T},final={FINAL}": (
        lambda s, o: s.LinearLR(o, start_factor=1.0, end_factor=FINAL, total_iters=T)
    ),
    f"linear:peak={PEAK},horizon={T}": (
        lambda s, o: s.LinearLR(o, start_factor=1.0, end_factor=0.0, total_iters=T)
    ),
    f"cosine:peak={PEAK},horizon={T},final={FINAL}": (
        lambda s, o: s.CosineAnnealingLR(o, T_max=T, eta_min=FINAL * PEAK)
    ),
    f"polynomial:peak={PEAK},horizon={T},power=1.7": (
        lambda s, o: s.PolynomialLR(o, total_iters=T, power=1.7)
    ),
    f"exponential:peak={PEAK},horizon={T},final={0.99**T!r}": (
        lambda s, o: s.ExponentialLR(o, gamma=0.99)
    ),
    f"step:peak={PEAK},horizon={T},at=200,factor=0.2": (
        lambda s, o: s.MultiStepLR(o, milestones=[200], gamma=0.2)
    ),
    f"step:peak={PEAK},horizon={T},at=151,factor=0.2": (
        lambda s, o: s.StepLR(o, step_size=151, gamma=0.2)
    ),
    f"inverse_sqrt:peak={PEAK},horizon={T},warmup={W}": (
        lambda s, o: s.LambdaLR(o, lambda t: min(t / W, (max(t, 1) / W) ** -0.5))
    ),
    f"cosine:peak={PEAK},horizon={T},warmup={W},final={FINAL}": (
        lambda s, o: warmed(s, o, s.CosineAnnealingLR(o, T_max=T - W, eta_min=FINAL * PEAK))
    ),
    f"wsd:peak={PEAK},horizon={T},warmup={W},cooldown=60,final={FINAL}": (
        lambda s, o: s.SequentialLR(
            o,
            [
                s.LambdaLR(o, lambda t: t / W),
                s.ConstantLR(o, factor=1.0),
                s.LinearLR(o, start_factor=1.0, end_factor=FINAL, total_iters=60),
            ],
            milestones=[W, T - 60],
        )
    ),
}


@pytest.mark.parametrize("spec", TORCH)
def test_values_are_those_of_pytorch(spec: str) -> None:
    rates = torch_rates(TORCH[spec])
    # Most torch schedulers multiply the last rate, so that rounding adds up over the steps.
    np.testing.assert_allclose(
        parse_schedule(spec)(np.arange(T + 1)), rates, rtol=1e-10, atol=1e-13
    )


def test_a_join_of_constants_is_pytorchs_constant_lr() -> None:
    rates = torch_rates(lambda s, o: s.ConstantLR(o, factor=0.25, total_iters=100))
    low = parse_schedule(f"constant:peak={PEAK / 4},horizon=100")
    high = parse_schedule(f"constant:peak={PEAK},horizon=200")
    whole = join([(low, 100), (high, T)])
    np.testing.assert_allclose(whole(np.arange(T + 1)), rates, rtol=1e-14)


OPTAX = {
    f"constant:peak={PEAK},horizon={T}": lambda o: o.constant_schedule(PEAK),
    f"linear:peak={PEAK},horizon={T},final={FINAL}": (
        lambda o: o.linear_schedule(PEAK, FINAL * PEAK, T)
    ),
    f"cosine:peak={PEAK},horizon={T},final={FINAL}": (
        lambda o: o.cosine_decay_schedule(PEAK, T, alpha=FINAL)
    ),
    f"cosine:peak={PEAK},horizon={T},warmup={W},final={FINAL}": (
        lambda o: o.warmup_cosine_decay_schedule(0.0, PEAK, W, T, end_value=FINAL * PEAK)
    ),
    f"polynomial:peak={PEAK},horizon={T},power=2.5,final={FINAL}": (
        lambda o: o.polynomial_schedule(PEAK, FINAL * PEAK, 2.5, T)
    ),
    f"exponential:peak={PEAK},horizon={T},final=0.05": (
        lambda o: o.exponential_decay(PEAK, T, 0.05)
    ),
    f"step:peak={PEAK},horizon={T},at=200,factor=0.2": (
        lambda o: o.piecewise_constant_schedule(PEAK, {200: 0.2})
    ),
    f"table:knots=0:{PEAK}/100:{2 * PEAK}/300:{PEAK}": (
        lambda o: o.piecewise_interpolate_schedule("linear", PEAK, {100: 2.0, 300: 0.5})
    ),
    f"join:linear:peak={PEAK},horizon=200 then cosine:peak={PEAK},horizon=100": (
        lambda o: o.join_schedules(
            [o.linear_schedule(PEAK, 0.0, 200), o.cosine_decay_schedule(PEAK, 100)], [200]
        )
    ),
}


@pytest.mark.parametrize("spec", OPTAX)
def test_values_are_those_of_optax(spec: str) -> None:
    optax = pytest.importorskip("optax")
    steps = np.arange(T + 1)
    theirs = np.array([float(OPTAX[spec](optax)(int(step))) for step in steps])
    # Optax computes in float32.
    np.testing.assert_allclose(parse_schedule(spec)(steps), theirs, rtol=1e-5, atol=1e-7)
