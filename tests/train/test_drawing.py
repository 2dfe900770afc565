"""Drawn images: functions of key and index alone, all different, ten classes that can be seen."""

import numpy as np
import pytest

from etastar.train.drawing import CAMERA_NOISE, SHAPES, draw


def test_an_image_depends_on_key_and_index_alone():
    images, classes = draw((3, 0), 0, 300)
    for first, count in ((0, 1), (17, 40), (299, 1)):
        again, same = draw((3, 0), first, count)
        assert np.array_equal(again, images[first : first + count])
        assert np.array_equal(same, classes[first : first + count])


def test_a_far_index_is_reached_without_drawing_the_ones_before():
    far, _ = draw((0, 0), 10**15, 4)
    assert np.array_equal(far[1:], draw((0, 0), 10**15 + 1, 3)[0])


def test_no_two_images_are_the_same_within_and_across_streams():
    keys = ((0, 0), (1, 0), (0, 1))
    images = np.concatenate([draw(key, 0, 2000, size=8)[0] for key in keys])
    assert len({image.tobytes() for image in images}) == len(images)
    # Not even nearly: noise alone does not make them different.
    flat = images[:500].reshape(500, -1)
    squares = np.sum(flat**2, axis=1)
    apart = squares[:, None] + squares - 2 * flat @ flat.T + 1e9 * np.eye(500)
    of_noise = 2 * flat.shape[1] * (4 * CAMERA_NOISE) ** 2
    assert apart.min() > 1.4 * of_noise


def test_classes_are_equally_frequent_and_independent_of_their_neighbours():
    _, classes = draw((5, 0), 0, 20000, size=2)
    counts = np.bincount(classes, minlength=10)
    assert len(counts) == len(SHAPES) == 10
    # Chi squared with 9 degrees of freedom: 27.9 is passed once in a thousand.
    assert np.sum((counts - 2000) ** 2 / 2000) < 27.9
    pairs = np.bincount(classes[:-1] * 10 + classes[1:], minlength=100)
    assert np.sum((pairs - 200) ** 2 / 200) < 148.2  # 99 degrees of freedom


def test_images_have_about_zero_mean_and_unit_scale():
    images, _ = draw((0, 0), 0, 1000)
    assert images.dtype == np.float32
    assert images.shape == (1000, 3, 16, 16)
    assert abs(images.mean()) < 0.3
    assert images.std() == pytest.approx(0.8, abs=0.3)


@pytest.mark.parametrize("name", SHAPES)
def test_a_shape_fits_into_the_unit_circle_and_fills_a_part_of_it(name):
    axis = np.linspace(-1.5, 1.5, 301)
    x, y = np.meshgrid(axis, axis)
    inside = SHAPES[name](x, y) > 0
    assert np.hypot(x, y)[inside].max() <= 1.02
    assert 0.7 < inside.sum() * 0.01**2 < 2.4


def test_no_two_shapes_are_alike_under_any_turn():
    """The covered areas of two classes differ by a seventh of the larger at least."""
    axis = np.linspace(-1, 1, 81)
    x, y = np.meshgrid(axis, axis)
    upright = [shape(x, y) > 0 for shape in SHAPES.values()]
    for turn in np.linspace(0, 2 * np.pi, 36, endpoint=False):
        u, v = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
        turned = [shape(u, v) > 0 for shape in SHAPES.values()]
        for i, one in enumerate(upright):
            for j, other in enumerate(turned):
                assert i == j or (one ^ other).sum() > 0.15 * max(one.sum(), other.sum())
