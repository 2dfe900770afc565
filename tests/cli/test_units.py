"""Counts in tokens, samples and epochs: plans and commands."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from etastar.cli import _options as option
from etastar.cli import main
from etastar.planning import plan
from etastar.runs import read_runs
from etastar.schedule import InputError, parse_schedule


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


def forecast(capsys: pytest.CaptureFixture[str], folder: Path, horizon: str, *words: str):
    """A forecast by a quick law of logs that say neither batch size nor sequence length."""
    spec = f"cosine:peak=0.02,horizon={horizon}"
    fixed = ["forecast", str(folder), "--law", "power", "--schedule", spec]
    return printed(capsys, *fixed, "--runs-batch", "8", *words)


@pytest.mark.parametrize(
    ("at", "said"),
    [
        ("40k", "--at 40k lies beyond the horizon of the schedule, 32,000 samples (4,000 steps)"),
        ("1", "--at '1' must be at least 8 samples, what 1 update of the batch size take"),
        ("x", "--at 'x' is not a number; give samples, such as 40000, 40k or 20B"),
    ],
)
def test_a_forecast_speaks_in_its_unit(capsys, logs, at, said) -> None:
    code, _, err = forecast(capsys, logs, "32000", "--unit", "samples", "--at", at)
    assert code == 2
    assert said in err


def test_a_forecast_shows_the_unit_beside_the_steps(capsys, logs) -> None:
    _, out, _ = forecast(capsys, logs, "32000", "--unit", "samples", "--at", "16k,32k")
    rows = [line.split()[:2] for line in out.splitlines()]
    assert ["step", "samples"] in rows
    assert ["2k", "16k"] in rows
    assert ["4k", "32k"] in rows


def test_tokens_of_a_sample_are_told_where_the_logs_do_not_say(capsys, logs) -> None:
    """Where batch sizes count sequences of 32 tokens, 4000 updates are 4000 * 8 * 32 tokens."""
    words = ["--unit", "tokens", "--sequence-length", "32", "--json"]
    code, out, err = forecast(capsys, logs, "1024000", *words, "--at", "512k,1.024M")
    assert code == 0, err
    assert list(json.loads(out)["loss"]) == ["2000", "4000"]
    code, _, err = forecast(capsys, logs, "1024000", *words[:3], "0", "--at", "512k")
    assert code == 2
    assert "--sequence-length '0' must be a number above 0" in err


@pytest.mark.slow
def test_pilots_are_designed_in_tokens(capsys, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    fixed = ["pilot", "--dry-run", "--json", "--peak", "1e-4,1e-2"]
    command = ["--", "true", "{schedule}", "{out}"]
    words = ["--unit", "tokens", "--batch", "8", "--sequence-length", "32"]
    tokens = ["--horizon", "10.24M", "--budget", "5.12M"]
    _, found, err = printed(capsys, *fixed, *words, *tokens, *command)
    _, wanted, _ = printed(capsys, *fixed, "--horizon", "40k", "--budget", "20k", *command)
    assert found, err
    assert json.loads(found) == json.loads(wanted)


def test_a_watch_takes_the_tokens_of_a_sample(capsys, tmp_path) -> None:
    """A log that counts tokens needs both sizes to be read."""
    lines = [f"{256 * step},0.1,{3 + 1 / step}" for step in range(1, 200)]
    path = tmp_path / "log.csv"
    path.write_text("\n".join(["tokens,lr,loss", *lines]) + "\n")
    words = ["watch", str(path), "--once", "--json", "--schedule", "constant:peak=0.1,horizon=400"]
    sizes = ["--runs-batch", "8", "--sequence-length", "32"]
    code, out, err = printed(capsys, *words, *sizes)
    assert code == 0, err
    assert json.loads(out)["step"] == 199


def test_a_forecast_counts_by_the_batch_size_of_the_plan(capsys, logs, tmp_path) -> None:
    schedule = parse_schedule("cosine:peak=0.02,horizon=4000,warmup=20")
    words = ["forecast", str(logs), "--law", "power", "--runs-batch", "8", "--unit", "samples"]
    words += ["--schedule", str(tmp_path), "--at", "64k"]
    schedule.save(
        tmp_path / "schedule.json", batch_size=parse_schedule("constant:peak=16,horizon=4k")
    )
    _, out, _ = printed(capsys, *words, "--json")
    assert list(json.loads(out)["loss"]) == ["4000"]
    ramp = parse_schedule("table:horizon=4000,knots=0:8/3999:16")
    schedule.save(tmp_path / "schedule.json", batch_size=ramp)
    code, _, err = printed(capsys, *words)
    assert (code, "goes from 8 to 16" in err) == (2, True), err
    code, _, err = printed(capsys, *words, "--batch", "16", "--json")
    assert code == 0, err
