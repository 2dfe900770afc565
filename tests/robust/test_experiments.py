"""The experiments of bench/: what they read and how they count."""

import os
import pickle

import numpy as np
import pytest

from etastar.schedule import InputError


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
        bench.Result("digits", 10, 1, 10, 64, "linear", -3, seed, 0.1, np.inf, 0.9, 1.5)
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
