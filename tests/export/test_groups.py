"""Parameter groups in the configuration of other frameworks: all, or a note on what is left."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest

from etastar.cli import main
from etastar.export import TARGETS, export_schedule
from etastar.schedule import GroupSchedules

from .frameworks import options

H = 1000
FIRST = f"wsd:peak=0.02,horizon={H},cooldown=0.4,final=0.1"
ALIKE = GroupSchedules({"muon": FIRST, "embedding": 10, "head": 0.1, "scalars": 20, "rest": 0.15})
APART = GroupSchedules({"muon": FIRST, "embedding": f"cosine:peak=0.3,horizon={H}"})


def test_code_for_torch_and_optax_makes_the_schedules_of_all_groups():
    torch = pytest.importorskip("torch")
    pytest.importorskip("optax")
    for groups in (ALIKE, APART):
        made: dict[str, dict] = {}
        for to in ("torch", "optax", "transformers"):
            result = export_schedule(groups, to)
            assert (result.exact, result.groups) == (True, groups)
            if to != "transformers" or _has_transformers():
                made[to] = {}
                exec(compile(result.text, to, "exec"), made[to])
        weights = [torch.nn.Parameter(torch.zeros(1)) for _ in groups]
        named = [{"params": [w], "name": name} for w, name in zip(weights, groups, strict=True)]
        optimizer = torch.optim.SGD(named, lr=1.0)
        scheduler = made["torch"]["scheduler_for"](optimizer)
        assert scheduler.groups == groups
        whole = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
        alone = made["torch"]["scheduler_for"](whole, group="embedding")
        assert alone.schedule == groups["embedding"]
        for name, rate in made["optax"]["learning_rates"].items():
            assert float(rate(700)) == pytest.approx(groups[name](700), rel=1e-6)


def _has_transformers() -> bool:
    from importlib.util import find_spec

    return find_spec("transformers") is not None


def test_a_csv_has_a_column_for_each_group():
    groups = GroupSchedules({"muon": FIRST, 'a "b", c': 0.3})
    rows = list(csv.reader(io.StringIO(export_schedule(groups, "csv").text)))
    assert rows[0] == ["step", "lr", 'lr/a "b", c']
    values = np.array(rows[1:], dtype=float)
    assert np.array_equal(values[:, 0], np.arange(H + 1))
    for column, schedule in zip(values.T[1:], groups.values(), strict=True):
        assert np.array_equal(column, schedule(np.arange(H + 1)))


def test_nanochat_gets_the_groups_that_it_has_options_for():
    result = export_schedule(ALIKE, "nanochat")
    given = options(result.text)
    found = {
        name: float(given[f"--{name}_lr"])
        for name in ("matrix", "embedding", "unembedding", "scalar")
    }
    assert found == pytest.approx(
        {"matrix": 0.02, "embedding": 0.2, "unembedding": 0.002, "scalar": 0.4}
    )
    assert not result.exact
    assert "cannot be told the LR of the group rest, 0.15 times that of muon" in result.notes[0]
    assert not any("group embedding" in note for note in result.notes)
    # Its options share one shape: an embedding of another shape is left out.
    apart = export_schedule(APART, "nanochat")
    assert "--embedding-lr" not in apart.text
    assert "the group embedding, 15 times that of muon" in apart.notes[0]


def test_megatron_gets_an_lr_that_input_and_output_layer_share():
    tied = GroupSchedules({"matrices": FIRST, "embedding": 0.5, "head": 0.5})
    result = export_schedule(tied, "megatron")
    given = options(result.text)
    assert result.exact
    assert float(given["--decoupled_lr"]) == pytest.approx(0.01)
    assert float(given["--decoupled_min_lr"]) == pytest.approx(0.001)
    for groups in ({"m": FIRST, "embedding": 0.5}, {"m": FIRST, "embedding": 0.5, "head": 0.4}):
        result = export_schedule(GroupSchedules(groups), "megatron")
        assert not result.exact
        assert "--decoupled-lr" not in result.text
        assert "megatron cannot be told the LR of the group embedding" in result.notes[0]


@pytest.mark.parametrize("to", ["torchtitan", "axolotl"])
def test_a_framework_without_groups_says_so_in_its_comments(to: str):
    result = export_schedule(ALIKE, to)
    alone = export_schedule(ALIKE["muon"], to)
    assert not result.exact
    assert len(result.notes) == len(alone.notes) + 4
    settings = [line for line in result.text.splitlines() if "#" not in line]
    assert settings == [line for line in alone.text.splitlines() if "#" not in line]
    assert f"{to} cannot be told the LR of the group head" in result.notes[1]


def test_the_command_reads_a_file_of_groups(tmp_path: Path, capsys: pytest.CaptureFixture):
    ALIKE.save(tmp_path / "schedule.json")
    for to in TARGETS:
        with pytest.raises(SystemExit) as ended:
            main(["export", str(tmp_path / "schedule.json"), "--to", to, "--json"])
        assert ended.value.code == 0
        document = json.loads(capsys.readouterr().out)
        assert list(document["groups"]) == list(ALIKE)
        assert document["schedule"] == ALIKE["muon"].to_dict()
