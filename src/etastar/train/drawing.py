"""Drawn images: an endless stream of ten classes of shapes, a new image for every index.

An image shows one shape (disc, ring, square, triangle, plus, bar, star, crescent, L or T) of random
place, size, angle, proportion and colour. Behind it lie a background of a wave of colour and some
pieces of clutter, before it smaller pieces hide parts of it, and the camera adds noise. Contrast
is often weak. So some images are easy, others hard, and the loss of a network that learns to name
the shapes falls slowly for as long as one trains.

Image `i` of a stream is a function of the stream's key and of `i` alone: it takes its random
numbers from a place of its own in the sequence of Philox, a generator that can start anywhere
(Salmon et al., Parallel Random Numbers: As Easy as 1, 2, 3, 2011).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Array = np.ndarray

CLUTTER = 2
"""Pieces behind the shape."""

OCCLUDERS = 1
"""Pieces before the shape."""

CAMERA_NOISE = 0.06
"""Standard deviation of the noise of a pixel; colours are from 0 to 1."""

_NUMBERS = 48
"""Random numbers of an image beside the noise of its pixels; a multiple of four."""


class Numbers:
    """The uniform random numbers of images first..first + count - 1, taken column by column."""

    def __init__(self, key: tuple[int, int], first: int, count: int, pixels: int) -> None:
        each = _NUMBERS + (pixels // 4 + 3) // 4 * 4
        generator = np.random.Philox(key=np.array(key, dtype=np.uint64))
        generator.advance(first * each // 4)  # a step of Philox makes four numbers
        raw = generator.random_raw(count * each).reshape(count, each)
        self.uniform = ((raw[:, :_NUMBERS] >> np.uint64(40)) / 2.0**24).astype(np.float32)
        self.short = np.ascontiguousarray(raw[:, _NUMBERS:]).view(np.uint16)[:, :pixels]
        self.taken = 0

    def __call__(self, low: float = 0.0, high: float = 1.0, columns: int = 1) -> Array:
        """Uniform numbers, (count, columns)."""
        self.taken += columns
        assert self.taken <= _NUMBERS
        return low + (high - low) * self.uniform[:, self.taken - columns : self.taken]


def draw(key: tuple[int, int], first: int, count: int, size: int = 16) -> tuple[Array, Array]:
    """Images first..first + count - 1 of a stream.

    Arguments:
        key: of the stream, two numbers of 64 bits.
        first, count: which images.
        size: pixels of a side.

    Returns: images (count, 3, size, size), float32, of about zero mean and unit variance, and
    classes (count,), int64, of 0 to 9.

    >>> images, classes = draw((0, 0), first=0, count=100)
    >>> bool((draw((0, 0), first=60, count=1)[0] == images[60:61]).all())
    True
    """
    numbers = Numbers(key, first, count, 3 * size * size)
    classes = (numbers()[:, 0] * len(SHAPES)).astype(np.int64)
    axis = (np.arange(size, dtype=np.float32) + 0.5) / size * 2 - 1
    grid = np.stack([np.tile(axis, size), np.repeat(axis, size)])  # x and y of each pixel
    image = background(numbers, grid)
    for _ in range(CLUTTER):
        paint_piece(image, numbers, grid, 0.15, 0.5)
    paint_shape(image, numbers, grid, classes)
    for _ in range(OCCLUDERS):
        paint_piece(image, numbers, grid, 0.08, 0.3)
    # The sum of four uniform numbers would be nearer to a normal one and cost four times as much.
    noise = numbers.short.astype(np.float32).reshape(image.shape)
    noise -= 32767.5
    noise *= CAMERA_NOISE * 12**0.5 / 65536
    image += noise
    image -= 0.5
    image *= 4.0
    return image.reshape(count, 3, size, size), classes


def background(numbers: Numbers, grid: Array) -> Array:
    """A colour with a wave of another, (count, 3, pixels)."""
    colour = numbers(0.25, 0.55) + numbers(-0.1, 0.1, 3)
    image = np.repeat(colour[:, :, None], grid.shape[1], axis=2)
    # No product of matrices: its rounding depends on how many images there are.
    along, across = np.split(numbers(-4.0, 4.0, 2), 2, axis=1)
    wave = along * grid[0] + across * grid[1] + numbers(0.0, 6.2832)
    image += numbers(-0.1, 0.1, 3)[:, :, None] * np.sin(wave)[:, None, :]
    return image


def local_places(
    numbers: Numbers,
    grid: Array,
    sizes: tuple[float, float],
    stretch: float,
    reach: float,
    turn: float,
) -> tuple[Array, Array, Array]:
    """Coordinates x, y (count, pixels) of each pixel as seen from an object, and its size (count,).

    The object lies at random within `reach` of the middle, turned by up to `turn`, `sizes` large,
    and its one side is up to `stretch` times as long as the other.
    """
    centre = numbers(-reach, reach, 2)
    angle = numbers(-turn, turn)
    size = sizes[0] * (sizes[1] / sizes[0]) ** numbers()
    side = stretch ** numbers(-0.5, 0.5)
    x, y = grid[0] - centre[:, :1], grid[1] - centre[:, 1:]
    cos, sin = np.cos(angle) / size, np.sin(angle) / size
    return (x * cos + y * sin) * side, (y * cos - x * sin) / side, size[:, 0]


def blend(image: Array, colour: Array, depth: Array, size: Array, pixels: float) -> None:
    """Paint an object where `depth`, the distance inside its edge in its own units, is positive.

    A pixel at the edge is painted in part.
    """
    cover = depth * (size * pixels)[:, None]
    cover += 0.5
    np.clip(cover, 0.0, 1.0, out=cover)
    image += cover[:, None, :] * (colour[:, :, None] - image)


def paint_piece(image: Array, numbers: Numbers, grid: Array, low: float, high: float) -> None:
    """A box of random proportions and colour, anywhere."""
    x, y, size = local_places(numbers, grid, (low, high), 4.0, 1.0, 3.1416)
    depth = 1.0 - np.maximum(np.abs(x), np.abs(y))
    blend(image, numbers(0.1, 0.9) + numbers(-0.1, 0.1, 3), depth, size, pixels_a_unit(grid))


def paint_shape(image: Array, numbers: Numbers, grid: Array, classes: Array) -> None:
    """The shape of each image's class, in a colour at a random contrast to the background's."""
    x, y, size = local_places(numbers, grid, (0.5, 0.9), 1.4, 0.3, 0.6)
    depth = np.empty_like(x)
    for number, shape in enumerate(SHAPES.values()):
        chosen = np.flatnonzero(classes == number)
        depth[chosen] = shape(x[chosen], y[chosen])
    brighter = 0.12 * 5.0 ** numbers() + numbers(-0.1, 0.1, 3)
    blend(image, image.mean(axis=2) + brighter, depth, size, pixels_a_unit(grid))


def pixels_a_unit(grid: Array) -> float:
    return grid.shape[1] ** 0.5 / 2


# --------------------------------------------------------------------------------------- shapes
# Each gives the distance inside its edge, about; it fits into the circle of radius 1.


def box(x: Array, y: Array, left: float, right: float, low: float, high: float) -> Array:
    across = (right - left) / 2 - np.abs(x - (left + right) / 2)
    return np.minimum(across, (high - low) / 2 - np.abs(y - (low + high) / 2))


def disc(x: Array, y: Array) -> Array:
    return 0.75 - np.hypot(x, y)


def ring(x: Array, y: Array) -> Array:
    return 0.22 - np.abs(np.hypot(x, y) - 0.7)


def square(x: Array, y: Array) -> Array:
    return box(x, y, -0.68, 0.68, -0.68, 0.68)


def triangle(x: Array, y: Array) -> Array:
    sides = np.maximum(0.866 * np.abs(x) + 0.5 * y, -y)
    return 0.48 - sides


def plus(x: Array, y: Array) -> Array:
    return np.maximum(box(x, y, -0.9, 0.9, -0.27, 0.27), box(x, y, -0.27, 0.27, -0.9, 0.9))


def bar(x: Array, y: Array) -> Array:
    return box(x, y, -0.95, 0.95, -0.3, 0.3)


def star(x: Array, y: Array) -> Array:
    return 0.6 + 0.3 * np.cos(5 * np.arctan2(y, x)) - np.hypot(x, y)


def crescent(x: Array, y: Array) -> Array:
    return np.minimum(0.85 - np.hypot(x, y), np.hypot(x - 0.45, y) - 0.6)


def corner(x: Array, y: Array) -> Array:
    return np.maximum(box(x, y, -0.6, -0.1, -0.8, 0.8), box(x, y, -0.6, 0.6, -0.8, -0.3))


def tee(x: Array, y: Array) -> Array:
    return np.maximum(box(x, y, -0.75, 0.75, 0.2, 0.65), box(x, y, -0.22, 0.22, -0.8, 0.4))


SHAPES: dict[str, Callable[[Array, Array], Array]] = {
    "disc": disc,
    "ring": ring,
    "square": square,
    "triangle": triangle,
    "plus": plus,
    "bar": bar,
    "star": star,
    "crescent": crescent,
    "L": corner,
    "T": tee,
}
"""The classes, in the order of their numbers."""
