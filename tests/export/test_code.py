"""Exported code runs, and follows the schedule."""

from __future__ import annotations

import ast
from typing import Any

import jax
import numpy as np
import pytest

from etastar.export import export_schedule
from etastar.schedule import Schedule, parse_schedule

PLANNED = "examples/gpt/planned.json"
JOIN = "join:linear:peak=1,horizon=30 then cosine:peak=2,horizon=90"


def namespace(text: str) -> dict[str, Any]:
    """What exported code defines; it is executed."""
    defined: dict[str, Any] = {}
    exec(compile(ast.parse(text), "exported", "exec"), defined)
    return defined


@pytest.mark.parametrize("source", [PLANNED, JOIN, "wsd:peak=0.3,horizon=200,cooldown=0.2"])
def test_code_for_torch_optax_and_transformers_runs_and_follows_the_schedule(source: str) -> None:
    torch = pytest.importorskip("torch")
    wanted = Schedule.load(source) if source.endswith(".json") else parse_schedule(source)
    for to in ("torch", "transformers"):
        defined = namespace(export_schedule(wanted, to).text)
        assert defined["SCHEDULE"] == wanted
        optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
        if to == "torch":
            scheduler = defined["scheduler_for"](optimizer)
            assert defined["HORIZON"] == wanted.horizon
        else:
            same, scheduler = defined["optimizers_for"](optimizer)
            assert same is optimizer
            arguments = {"max_steps": wanted.horizon, "learning_rate": wanted.peak}
            assert defined["ARGUMENTS"] == arguments
        for step in range(20):
            assert optimizer.param_groups[0]["lr"] == wanted(step)
            optimizer.step()
            scheduler.step()
    with jax.enable_x64(False):
        rate = namespace(export_schedule(wanted, "optax").text)["learning_rate"]
        steps = np.linspace(0, wanted.horizon, 300).astype(int)
        np.testing.assert_allclose(rate(steps), wanted(steps), rtol=1e-6)
