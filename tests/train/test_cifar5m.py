"""The archives of CIFAR-5M: each image once, in pieces, and clear errors for what is not one."""

from pathlib import Path

import numpy as np
import pytest

from etastar import InputError
from etastar.train import cifar5m
from etastar.train.cifar5m import Cifar5m


def write_part(
    folder: Path, number: int, count: int, *, compressed: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(number)
    images = rng.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)
    classes = rng.integers(0, 10, count)
    save = np.savez_compressed if compressed else np.savez
    save(folder / f"part{number}.npz", X=images, Y=classes)
    return images, classes


def scaled(images: np.ndarray) -> np.ndarray:
    return ((images / 255.0 - 0.5) * 4).transpose(0, 3, 1, 2)


@pytest.mark.parametrize("compressed", [False, True])
def test_validation_images_come_in_their_order(tmp_path, compressed):
    images, classes = write_part(tmp_path, 5, 50, compressed=compressed)
    stream = Cifar5m(str(tmp_path), validation=True)
    given, labels = stream(7, 20)
    assert given == pytest.approx(scaled(images[7:27]), abs=1e-5)
    assert given.dtype == np.float32
    assert labels.tolist() == classes[7:27].tolist()
    assert len(stream(40, 20)[0]) == 10


def test_training_gives_each_image_once_in_the_order_of_the_seed(tmp_path, monkeypatch):
    monkeypatch.setattr(cifar5m, "_PIECE", 16)
    parts = [write_part(tmp_path, 0, 37), write_part(tmp_path, 3, 40)]
    expected = np.concatenate([scaled(images) for images, _ in parts])
    orders = []
    for seed in range(3):
        images, classes = Cifar5m(str(tmp_path), seed=seed)(0, 77)
        place = [int(np.argmin(np.abs(expected - image).sum((1, 2, 3)))) for image in images]
        assert sorted(place) == list(range(77))
        assert np.array_equal(classes, np.concatenate([c for _, c in parts])[place])
        # A jump gives what going through gives.
        assert np.array_equal(Cifar5m(str(tmp_path), seed=seed)(50, 9)[0], images[50:59])
        orders.append(tuple(place))
    assert len(set(orders)) == 3


def test_smaller_images_are_means(tmp_path):
    images, _ = write_part(tmp_path, 5, 4)
    given, _ = Cifar5m(str(tmp_path), 16, validation=True)(0, 4)
    corners = scaled(images).reshape(4, 3, 16, 2, 16, 2)
    assert given == pytest.approx(corners.mean(axis=(3, 5)), abs=1e-5)


def test_one_piece_is_in_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(cifar5m, "_PIECE", 8)
    write_part(tmp_path, 0, 100)
    stream = Cifar5m(str(tmp_path), 16)
    for first in range(0, 100, 20):
        stream(first, 20)
        assert len(stream.images) <= 8


def test_what_is_no_archive_of_cifar5m_is_named(tmp_path):
    folder = str(tmp_path)
    with pytest.raises(InputError, match=r"part0.npz ... part4.npz not found; get CIFAR-5M"):
        Cifar5m(folder)
    path = tmp_path / "part0.npz"
    path.write_bytes(b"PK something else")
    with pytest.raises(InputError, match=r"part0.npz: not an archive of CIFAR-5M"):
        Cifar5m(folder)
    np.savez(path, X=np.zeros((3, 32, 32, 3), np.uint8))
    with pytest.raises(InputError, match=r"part0.npz: not an archive of CIFAR-5M with X and Y"):
        Cifar5m(folder)
    np.savez(path, X=np.zeros((3, 16, 16, 3), np.uint8), Y=np.zeros(3, int))
    with pytest.raises(InputError, match=r"X is uint8 of shape \(3, 16, 16, 3\)"):
        Cifar5m(folder)
    np.savez(path, X=np.zeros((3, 32, 32, 3), np.uint8), Y=np.full(3, 10))
    with pytest.raises(InputError, match="classes beyond 0 to 9"):
        Cifar5m(folder)
    np.savez(path, X=np.zeros((3, 32, 32, 3), np.uint8), Y=np.array([{}, {}, {}]))
    with pytest.raises(InputError, match=r"part0.npz: not an archive"):
        Cifar5m(folder)


def test_no_image_is_given_twice_for_a_long_schedule(tmp_path):
    write_part(tmp_path, 0, 30)
    with pytest.raises(InputError, match="30 training images are there, fewer than the 31"):
        Cifar5m(str(tmp_path), needed=31)
    assert Cifar5m(str(tmp_path), needed=30).available == 30


def test_a_size_that_does_not_divide_is_refused(tmp_path):
    with pytest.raises(InputError, match="--size 12: must divide 32"):
        Cifar5m(str(tmp_path), 12)


def test_a_cut_archive_is_named(tmp_path):
    write_part(tmp_path, 0, 30)
    path = tmp_path / "part0.npz"
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(InputError, match=r"part0\.npz"):
        Cifar5m(str(tmp_path))
