"""The experiments of bench/: what they read and how they count."""

import dataclasses
import os
import pickle

import numpy as np
import pytest

from etastar.robust import last_iterate
from etastar.schedule import InputError, parse_schedule


def write_batches(folder, content):
    for name in [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]:
        (folder / name).write_bytes(pickle.dumps(content, protocol=2))


def test_cifar_batches_are_read(bench_script, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (7, 3072)).astype(np.uint8)
    write_batches(tmp_path, {b"data": pixels, b"labels": [0, 1, 2, 3, 4, 5, 9]})
    train, labels, test, test_labels = bench_script("robust_wide_resnet").read_cifar(tmp_path)
    assert train.shape == (35, 3, 32, 32)
    assert test.shape == (7, 3, 32, 32)
    assert labels.tolist() == [0, 1, 2, 3, 4, 5, 9] * 5
    assert test_labels.tolist() == [0, 1, 2, 3, 4, 5, 9]
    # Red first, row by row.
    assert train[3, 1, 2, 5] == np.float32(pixels[3, 1024 + 2 * 32 + 5]) / np.float32(255)


class Harmful:
    def __reduce__(self):
        return os.mkdir, ("harm",)


def test_a_batch_that_would_run_something_is_refused(bench_script, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_batches(tmp_path, {b"data": Harmful(), b"labels": []})
    with pytest.raises(InputError, match="data_batch_1: is not a python batch"):
        bench_script("robust_wide_resnet").read_cifar(tmp_path)
    assert not (tmp_path / "harm").exists()


def test_a_missing_batch_is_named(bench_script, tmp_path):
    with pytest.raises(InputError, match="data_batch_1: cannot be read"):
        bench_script("robust_wide_resnet").read_cifar(tmp_path)


def test_results_outlive_a_row_cut_short(bench_script, tmp_path):
    bench = bench_script("robust_wide_resnet")
    path = tmp_path / "results.csv"
    rows = [
        bench.Result("mnist", 10, 1, 4, 32, "linear", -3, seed, 500, 0.1, np.inf, 0.9, 1.5)
        for seed in range(3)
    ]
    bench.append(path, rows[0])
    bench.append(path, rows[1])
    path.write_text(path.read_text()[:-20])
    bench.append(path, rows[2])
    assert bench.read_results(path) == [rows[0], rows[2]]


def test_best_on_a_grid_over_all_its_beginnings(bench_script):
    bench = bench_script("robust_logistic")
    values = np.array([4.0, 2.0, 1.0, 3.0, 5.0, 7.0])
    # Every third: {4, 3}, {2, 5}, {1, 7}.
    assert bench.on_grid(values, 3) == (2.0, 3.0)
    assert bench.on_grid(values, 1) == (1.0, 1.0)
    same = np.stack([values, values, values])
    mean, error = bench.with_error(same, 3)
    assert mean.tolist() == [2.0, 3.0]
    assert error.tolist() == [0.0, 0.0]


def made_up_results(bench, seeds=4, lrs=range(-6, 5)):
    rng = np.random.default_rng(3)
    return [
        bench.Result(
            "mnist", 10, 1, 4, 32, name, lr, seed, 500, *rng.uniform(0.1, 2.0, 2), 0.9, 1.0
        )
        for name in bench.SCHEDULES
        for lr in lrs
        for seed in range(seeds)
    ]


@pytest.mark.parametrize("diverged", [False, True])
def test_tables_of_grids_against_counting_by_hand(bench_script, diverged):
    """Means over seeds, grids and beginnings, and the jackknife, in plain loops."""
    bench = bench_script("robust_wide_resnet")
    grids = bench_script("robust_grids")
    results = made_up_results(bench)
    if diverged:
        worst = max(r.log2_lr for r in results)
        results = [
            dataclasses.replace(r, train_loss=np.inf, test_loss=np.inf) if r.log2_lr == worst else r
            for r in results
        ]
    losses = {(r.schedule, r.log2_lr, r.seed): r.test_loss for r in results}

    def cost(name, ratio, seeds):
        mean = {lr: sum(losses[name, lr, s] for s in seeds) / len(seeds) for lr in range(-6, 5)}
        step = {2: 1, 4: 2, 8: 3, 16: 4, 32: 5, 64: 6}[ratio]
        best = [min(mean[lr] for lr in range(-6 + k, 5, step)) for k in range(step)]
        return sum(best) / step / min(mean.values())

    for name, grid in bench.grids_of(results).items():
        for ratio in grids.RATIOS:
            left_out = [cost(name, ratio, [s for s in range(4) if s != i]) for i in range(4)]
            spread = 3 / 4 * sum((each - sum(left_out) / 4) ** 2 for each in left_out)
            expected = f"{cost(name, ratio, range(4)):.3f} +- {spread**0.5:.3f} ("
            assert grids.cell(grid, "test loss", ratio).startswith(expected)


def test_bound_of_a_grid_is_that_of_the_inflation(bench_script):
    """Beside the measured losses stands the mean of the bound's inflation, counted by hand."""
    logistic = bench_script("robust_logistic")
    schedule = parse_schedule("linear:peak=1,horizon=500")
    curve = last_iterate(schedule)
    found = []
    for shift in (-0.5, -0.25, 0.0, 0.25, 0.5):
        value = {k: float(curve.inflation(2.0 ** (k + shift))) for k in range(-15, 16)}
        best = [min(value[k] for k in range(-15 + begin, 16, 3)) for begin in range(3)]
        found.append(sum(best) / 3 / min(value.values()))
    mean, _ = logistic.predicted(schedule, 3, per_octave=1)
    assert mean == pytest.approx(sum(found) / 5, rel=1e-12)


def test_loss_above_the_best_lr_against_counting_by_hand(bench_script):
    grids = bench_script("robust_grids")
    losses = np.array([[4.0, 1.0, 1.5, 3.0], [5.0, 1.2, 1.4, np.inf], [6.0, 0.9, 2.0, 5.0]])
    left_out = [(1.4 + 2.0) / (1.2 + 0.9), (1.5 + 2.0) / (1.0 + 0.9), (1.5 + 1.4) / (1.0 + 1.2)]
    spread = 2 / 3 * sum((each - sum(left_out) / 3) ** 2 for each in left_out)
    value, error = grids.inflated(losses, 1, 1)
    assert value == pytest.approx(4.9 / 3.1)
    assert error == pytest.approx(spread**0.5)
    assert grids.inflated(losses, 1, 2)[0] == np.inf
    assert np.isnan(grids.inflated(losses, 1, 3)[0])


def test_seeds_without_all_their_runs_are_left_out(bench_script):
    bench = bench_script("robust_wide_resnet")
    results = made_up_results(bench, seeds=3)
    assert len(bench.grids_of(results[:-1])["linear"].accuracy) == 2
    with pytest.raises(InputError, match="two seeds with all their runs, and has 0"):
        bench.grids_of([r for r in results if (r.schedule, r.log2_lr) != ("cubic", 0)])


def test_a_killed_training_goes_on_from_its_epoch(bench_script, tmp_path, monkeypatch):
    """What it ends with is what a training in one go ends with."""
    pytest.importorskip("torch")
    bench = bench_script("robust_wide_resnet")
    rng = np.random.default_rng(0)
    images = rng.standard_normal((40, 1, 14, 14)).astype(np.float32)
    labels = rng.integers(0, 10, 40)
    arrays = (images[:32], labels[:32], images[32:], labels[32:])
    setting = bench.Setting("mnist", 10, 1, 3, 8)
    whole = bench.Trainer(setting, arrays, tmp_path / "a.checkpoint").run("linear", -4, 1)
    trainer = bench.Trainer(setting, arrays, tmp_path / "b.checkpoint")
    epoch = trainer._epoch

    def killed(*arguments):
        if arguments[-1] == 2:
            raise KeyboardInterrupt
        return epoch(*arguments)

    monkeypatch.setattr(trainer, "_epoch", killed)
    with pytest.raises(KeyboardInterrupt):
        trainer.run("linear", -4, 1)
    trainer = bench.Trainer(setting, arrays, tmp_path / "b.checkpoint")
    begun = []
    epoch_again = trainer._epoch
    monkeypatch.setattr(trainer, "_epoch", lambda *a: begun.append(a[-1]) or epoch_again(*a))
    again = trainer.run("linear", -4, 1)
    assert begun == [2]
    assert dataclasses.replace(again, seconds=0) == dataclasses.replace(whole, seconds=0)
    assert not (tmp_path / "b.checkpoint").exists()
