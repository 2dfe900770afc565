"""Counts in tokens, samples and epochs: plans and commands."""

from __future__ import annotations

import json

import numpy as np
import pytest

from etastar.cli import _options as option
from etastar.cli import main
from etastar.planning import plan
from etastar.runs import read_runs
from etastar.schedule import InputError


@pytest.mark.slow
def test_a_plan_in_tokens_is_the_plan_in_updates() -> None:
    runs = read_runs("examples/gpt/pilots")  # 4 sequences of 32 tokens an update
    wanted = plan(runs, 20_000, warmup=100, form="power")
    for unit, one in (("tokens", 128), ("samples", 4)):
        found = plan(runs, 20_000 * one, warmup=100 * one, unit=unit, form="power")
        assert found.horizon == wanted.horizon
        np.testing.assert_allclose(
            found.schedule(np.arange(20_000)), wanted.schedule(np.arange(20_000)), rtol=1e-6
        )
    with pytest.raises(InputError, match="epoch_size is missing"):
        plan(runs, 3, unit="epochs", form="power")


def printed(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as end:
        main(list(words))
    output = capsys.readouterr()
    assert isinstance(end.value.code, int)
    return end.value.code, output.out, output.err


MODEL = ["solve", "--capacity", "1.5", "--source", "0.5", "--noise", "1", "--json"]


def test_commands_take_suffixes_and_units(capsys: pytest.CaptureFixture[str]) -> None:
    losses = []
    for words in (
        ["--batch", "8", "--horizon", "1000"],
        ["--batch", "0.008k", "--horizon", "2", "--unit", "epochs", "--epoch-size", "4k"],
    ):
        code, out, err = printed(capsys, *MODEL, *words)
        assert code == 0, err
        losses.append(json.loads(out)["loss"])
    assert losses[0] == losses[1]


@pytest.mark.parametrize(
    ("text", "unit", "updates"),
    [
        ("1000", "steps", 1000),
        ("1k", "steps", 1000),
        ("1e3", "steps", 1000),
        ("8k", "samples", 1000),
    ],
)
def test_a_count_is_read_in_its_unit(text: str, unit: str, updates: int) -> None:
    counted = option.unit_of(unit, 8.0, None)
    assert counted.whole("horizon", option.positive_of("--horizon", text)) == updates


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--horizon", "1k", "--unit", "tokns"], "did you mean 'tokens'"),
        (["--horizon", "3", "--unit", "epochs"], "needs --epoch-size"),
        (["--horizon", "5", "--unit", "tokens"], "--horizon '5' must be at least 8 tokens"),
        (["--horizon", "1G"], "--horizon '1G' is not a number"),
    ],
)
def test_a_wrong_count_is_refused(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = printed(capsys, *MODEL, "--batch", "8", *words)
    assert (code, message in " ".join(err.split())) == (2, True), err


def test_pilots_in_tokens_need_a_batch_size(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["pilot", "--horizon", "20B", "--budget", "1B", "--unit", "tokens", "--", "true"]
    code, _, err = printed(capsys, *words)
    assert code == 2
    assert "--unit tokens needs --batch B" in " ".join(err.split())
