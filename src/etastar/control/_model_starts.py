"""Where the solver starts for the solvable model: closed forms, and other mixes of the controls."""

from __future__ import annotations

import numpy as np

from ._model_objective import mixed
from ._model_problem import Along, Array, ControlProblem, Start, constant

_PART = 0.9
"""How much of the stable LR a start uses before it raises the batch size."""

_POWERS = (1.0, 1.25, 0.8)
"""Powers of the loss that stand for the noise in the starts without label noise: how fast the LR
warms up rests on the loss so far, which the closed form knows to first order alone."""


def starts(problem: ControlProblem) -> list[Start]:
    """Starts far from each other: that their ends agree is evidence of a global optimum."""
    if problem.batched:
        return _batch_starts(problem)
    size = problem.model.batch_size
    powers = _POWERS if problem.model.noise == 0 else (1.0,)
    forms = [problem.closed_form_of(power) for power in powers]
    return [Start(form.rate, constant(size), constant(1.0)) for form in forms]


def _batch_starts(problem: ControlProblem) -> list[Start]:
    """The closed form at the best fixed batch size: as a batch ramp, and as a decay of the LR."""
    forms = []
    for size in np.geomspace(1.0, problem.ranges.max_batch, 9):
        steps = problem.budget.updates(size)
        if steps >= 1:
            top = min(problem.limits.cap, problem.spectrum.max_rate(float(size)))
            forms.append((problem.closed_form(steps, float(size), top), float(size), steps))
    # Where sizes are as good as each other, as under a budget of samples, the smallest.
    best = min(form.loss for form, _, _ in forms)
    form, size, steps = next(each for each in forms if each[0].loss < 1.01 * best)

    def decayed(place: Array) -> Array:
        return form.rate(place * (steps / problem.budget.total))

    used = float(decayed(np.zeros(1))[0]) / problem.spectrum.max_rate(size)
    decay = Start(decayed, constant(size), constant(min(used, _PART)))
    return [_ramped(problem, decayed, size), decay]


def _ramped(problem: ControlProblem, rate: Along, size: float) -> Start:
    """The same noise eta / B at the largest LR, over as many updates as that leaves."""
    place = np.linspace(0.0, problem.budget.total, 4001)
    eta, batch = (
        np.asarray(each) for each in mixed(problem.setting(None), rate(place) / size, _PART)
    )
    # An update moves eta / rate times as far, at its own cost.
    spent = problem.budget.cost(batch) * rate(place) / eta
    total = np.append(0.0, np.cumsum((spent[1:] + spent[:-1]) / 2))
    total *= problem.budget.total / total[-1]
    return Start(
        lambda at: np.interp(at, total, eta),
        lambda at: np.interp(at, total, batch),
        constant(_PART),
    )
