"""`etastar export`: what it prints and writes, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from etastar.cli import main
from etastar.export import export_schedule, plan_beside
from etastar.schedule import InputError, Schedule, parse_schedule

PLANNED = Path("examples/gpt/planned.json")


def run(*words: str) -> int:
    with pytest.raises(SystemExit) as end:
        main(["export", *words])
    code = end.value.code
    assert isinstance(code, int)
    return code


class MeanRate:
    """Stands for a fitted law: the loss is the mean rate."""

    peak_range = (1e-4, 1e-3)

    def final_losses(self, schedules: list[Schedule]) -> np.ndarray:
        return np.array([each.intrinsic_time(each.horizon) / each.horizon for each in schedules])


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
    tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch
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
    assert "nothing.json: no such file" in capsys.readouterr().err
    assert run(spec, "--to", "csv", "--out", str(tmp_path / "no" / "rates.csv")) == 2
    assert "cannot be written" in capsys.readouterr().err
    monkeypatch.setattr("etastar.law.fit", lambda runs: MeanRate() if len(runs) == 10 else None)
    assert run(str(PLANNED), "--to", "nanochat", "--runs", "examples/gpt/pilots", "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["regret"]["basis"] == "law"
