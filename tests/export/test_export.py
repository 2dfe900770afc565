"""Exported configurations are what their frameworks read, and say what they cost."""

from __future__ import annotations

import argparse
import ast
import json
import math
import subprocess
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
import yaml

from etastar.cli import main
from etastar.export import TARGETS, export_schedule, plan_beside
from etastar.law import fit
from etastar.robust import last_iterate
from etastar.runs import read_runs
from etastar.schedule import InputError, Schedule, parse_schedule, table

PLANNED = Path("examples/gpt/planned.json")
CONFIGURED = ("torchtitan", "megatron", "nanochat", "axolotl")
T, W = 200, 20


def run(*words: str) -> int:
    with pytest.raises(SystemExit) as end:
        main(["export", *words])
    code = end.value.code
    assert isinstance(code, int)
    return code


def namespace(text: str) -> dict[str, Any]:
    """What exported code defines; it is executed."""
    defined: dict[str, Any] = {}
    exec(compile(ast.parse(text), "exported", "exec"), defined)
    return defined


@pytest.fixture(scope="module")
def law():
    return fit(read_runs(["examples/gpt/pilots"]))


JOIN = "join:linear:peak=1,horizon=30 then cosine:peak=2,horizon=90"


@pytest.mark.parametrize("source", [str(PLANNED), JOIN, f"wsd:peak=0.3,horizon={T},cooldown=0.2"])
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


@pytest.mark.parametrize("to", TARGETS)
def test_every_text_is_at_most_100_wide_but_for_data(to: str) -> None:
    lines = export_schedule(Schedule.load(PLANNED), to).text.splitlines()
    assert max(map(len, lines)) <= 100


def test_a_csv_is_read_back_as_the_same_rates(tmp_path: Path) -> None:
    wanted = parse_schedule("wsd:peak=3e-4,horizon=1234,warmup=7,cooldown=0.3,decay=sqrt")
    (tmp_path / "rates.csv").write_text(export_schedule(wanted, "csv").text)
    back = parse_schedule("table:file=rates.csv", folder=tmp_path)
    steps = np.arange(1300)
    np.testing.assert_array_equal(back(steps), wanted(steps))
    with pytest.raises(InputError, match="is too long a file"):
        export_schedule(parse_schedule("constant:peak=1,horizon=1e9"), "csv")


def options(text: str) -> dict[str, str]:
    """The options of an exported Bash array, as Bash and argparse read them."""
    script = text + 'printf "%s\\n" "${ETASTAR_ARGS[@]}"'
    words = subprocess.run(["bash", "-c", script], check=True, capture_output=True, text=True)
    split = words.stdout.split()
    parser = argparse.ArgumentParser(allow_abbrev=False)
    for name in split[::2]:
        parser.add_argument(name)
    return {f"--{key}": value for key, value in vars(parser.parse_args(split)).items()}


# The rate of update t as each framework computes it, written from its documentation and source:
# torchtitan components/lr_scheduler.py, Megatron-LM core/optimizer_param_scheduler.py, nanochat
# scripts/base_train.py; see docs/guides/export.md.


def by_torchtitan(text: str) -> list[float]:
    given = options(text)
    steps, warmup = int(given["--training.steps"]), int(given["--lr_scheduler.warmup_steps"])
    fall = round(steps * float(given["--lr_scheduler.decay_ratio"]))
    least = float(given["--lr_scheduler.min_lr_factor"])
    kinds = {
        "linear": lambda x: 1 - x,
        "sqrt": lambda x: 1 - math.sqrt(x),
        "cosine": lambda x: (1 + math.cos(math.pi * x)) / 2,
    }
    fraction = kinds[given["--lr_scheduler.decay_type"]]

    def factor(t: int) -> float:
        if t < warmup:
            return (t + 1) / warmup
        if t <= steps - fall:
            return 1.0
        return least + (1 - least) * fraction((t - (steps - fall)) / fall)

    return [float(given["--optimizer.lr"]) * factor(t) for t in range(steps)]


def by_megatron(text: str) -> list[float]:
    given = options(text)
    warmup, end = int(given["--lr_warmup_iters"]), int(given["--lr_decay_iters"])
    top, least, style = float(given["--lr"]), float(given["--min_lr"]), given["--lr_decay_style"]
    kinds = {
        "linear": lambda x: 1 - x,
        "cosine": lambda x: (1 + math.cos(math.pi * x)) / 2,
        "minus_sqrt": lambda x: 1 - math.sqrt(x),
    }

    def rate(t: int) -> float:
        if warmup and t <= warmup:
            return top * t / warmup
        if style == "constant":
            return top
        if style == "inverse-square-root":
            return max(least, top * math.sqrt(max(warmup, 1) / max(t, 1)))
        if style == "WSD":
            fall = int(given["--lr_wsd_decay_iters"])
            passed = max(t - (end - fall), 0) / fall
            return least + (top - least) * kinds[given["--lr_wsd_decay_style"]](passed)
        return least + (top - least) * kinds[style]((t - warmup) / (end - warmup))

    return [rate(t) for t in range(int(given["--train_iters"]))]


def by_nanochat(text: str) -> list[float]:
    given = options(text)
    steps, warmup = int(given["--num_iterations"]), int(given["--warmup_steps"])
    fall = round(float(given["--warmdown_ratio"]) * steps)
    least = float(given["--final_lr_frac"])

    def factor(t: int) -> float:
        if t < warmup:
            return (t + 1) / warmup
        if t <= steps - fall:
            return 1.0
        left = (steps - t) / fall
        return left + (1 - left) * least

    return [float(given["--matrix_lr"]) * factor(t) for t in range(steps)]


def by_axolotl(text: str) -> list[float]:
    """Through Transformers, whose schedulers axolotl takes by name."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    given = yaml.safe_load(text)
    arguments = given.get("lr_scheduler_kwargs", {})
    name = given["lr_scheduler"]
    if "cosine_min_lr_ratio" in given:  # axolotl's own, the same curve
        name, arguments = "cosine_with_min_lr", {"min_lr_rate": given["cosine_min_lr_ratio"]}
    assert isinstance(given["learning_rate"], float)
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=given["learning_rate"])
    scheduler = transformers.get_scheduler(
        name,
        optimizer,
        num_warmup_steps=given["warmup_steps"],
        num_training_steps=given["max_steps"],
        scheduler_specific_kwargs=arguments,
    )
    rates = []
    for _ in range(given["max_steps"]):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


READ = {
    "torchtitan": by_torchtitan,
    "megatron": by_megatron,
    "nanochat": by_nanochat,
    "axolotl": by_axolotl,
}
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


@pytest.mark.parametrize("to", CONFIGURED)
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


@pytest.mark.parametrize("to", CONFIGURED)
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


def test_the_nearest_by_shape_is_the_one_it_was_made_from() -> None:
    for spec in (
        "wsd:peak=0.3,horizon=2000,warmup=100,cooldown=400,decay=cosine",
        "cosine:peak=0.3,horizon=2000,warmup=100",
    ):
        wanted = parse_schedule(spec)
        steps = np.arange(2001)
        disguised = table(steps, wanted(steps))
        result = export_schedule(disguised, "torchtitan")
        assert not result.exact
        assert (result.schedule.shape, result.schedule.warmup) == (wanted.shape, 100)
        assert result.schedule.peak == pytest.approx(0.3, rel=1e-3)


def test_without_a_law_the_regret_is_the_bounds_inflation() -> None:
    wanted = parse_schedule("power:peak=0.3,horizon=500,chi=0.4")
    result = export_schedule(wanted, "nanochat")
    assert result.regret is not None
    curve, other = last_iterate(wanted), last_iterate(result.schedule)
    distance = 1 / curve.best_scale()
    inflation = float(other.bound(distance=distance)) / curve.best_bound(distance=distance)
    assert result.regret.basis == "bound"
    assert result.regret.inflation == pytest.approx(inflation)
    assert "no law was fitted" in result.text


def test_with_a_law_it_is_the_best_that_the_framework_has(law) -> None:
    wanted = Schedule.load(PLANNED)
    result = export_schedule(wanted, "nanochat", law=law)
    assert result.regret is not None
    assert (result.regret.basis, result.regret.inflation) == ("law", None)
    loss, planned = law.final_losses([result.schedule, wanted])
    assert result.regret.loss == pytest.approx(loss)
    assert result.regret.regret == pytest.approx(loss - planned)
    # No trapezoid of a coarse grid is better.
    peaks = law.peak_range[1] * 2.0 ** -np.arange(0, 5)
    rivals = [
        parse_schedule(f"wsd:peak={peak},horizon=56000,warmup=200,cooldown={part}")
        for peak in peaks
        for part in (0.05, 0.2, 0.5, 0.9)
    ]
    assert loss <= law.final_losses(rivals).min() + 1e-9


def test_a_plan_beside_the_schedule_says_the_regret(tmp_path: Path, capsys) -> None:
    wanted = Schedule.load(PLANNED)
    wanted.save(tmp_path / "schedule.json")
    row = {"spec": "wsd:peak=5e-4,horizon=56000,cooldown=0.4,decay=sqrt", "loss": 1.30}
    rows = [
        {**row, "regret": 0.01, "steps_to_match": None},
        {"spec": "linear:peak=5e-4,horizon=56000", "loss": 1.32, "regret": 0.03},
    ]
    plan = {"schedule": wanted.to_dict(), "comparison": rows}
    (tmp_path / "plan.json").write_text(json.dumps(plan))
    path = str(tmp_path / "schedule.json")
    assert run(path, "--to", "megatron", "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["to"] == "megatron"
    assert document["exact"] is False
    assert document["schedule"] == {"spec": parse_schedule(row["spec"]).spec}
    assert document["regret"] == {"basis": "plan", "loss": 1.3, "regret": 0.01, "inflation": None}
    assert "--lr-wsd-decay-style minus_sqrt" in document["text"]
    assert run(path, "--to", "nanochat", "--json") == 0  # no sqrt there: the next one
    document = json.loads(capsys.readouterr().out)
    assert document["schedule"] == {"spec": "linear:peak=0.0005,horizon=56000"}
    # A plan for another schedule says nothing of this one.
    parse_schedule("power:peak=1e-3,horizon=1000,chi=0.5").save(tmp_path / "schedule.json")
    assert run(path, "--to", "nanochat", "--json") == 0
    assert json.loads(capsys.readouterr().out)["regret"]["basis"] == "bound"
    (tmp_path / "plan.json").write_text("{")
    with pytest.raises(InputError, match=r"plan\.json: cannot be read"):
        plan_beside(tmp_path / "schedule.json", wanted)


def test_the_command_prints_writes_and_refuses(
    law, tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = "linear:peak=0.1,horizon=4"
    assert run(spec, "--to", "csv") == 0
    assert capsys.readouterr().out.splitlines()[:2] == ["step,lr", "0,0.1"]
    out = tmp_path / "rates.csv"
    assert run(spec, "--to", "csv", "--out", str(out)) == 0
    assert out.read_text() == export_schedule(parse_schedule(spec), "csv").text
    assert str(out) in capsys.readouterr().out
    assert run(spec, "--to", "torchtitna") == 2
    assert "did you mean 'torchtitan'" in capsys.readouterr().err
    assert run("nothing.json", "--to", "csv") == 2
    assert "nothing.json: cannot be read" in capsys.readouterr().err
    assert run(spec, "--to", "csv", "--out", str(tmp_path / "no" / "rates.csv")) == 2
    assert "cannot be written" in capsys.readouterr().err
    monkeypatch.setattr("etastar.law.fit", lambda runs: law if len(runs) == 10 else None)
    assert run(str(PLANNED), "--to", "nanochat", "--runs", "examples/gpt/pilots", "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["regret"]["basis"] == "law"
