"""Powers of the moments' map: against 60 digits, and against matrix functions for real lengths."""

from decimal import Decimal, localcontext
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.linalg import expm, logm

from etastar.model import _three_moments as method

FIELDS = ("rate", "square", "momentum", "inverse_batch", "cross", "quick")


def point(rate, momentum, length, inverse_batch=0.0, spread=0.0, growth=(0.0, 0.0)):
    """A mode of eigenvalue one; `spread` the relative variance of the rate."""
    square = rate * rate * (1 + spread)
    return (rate, square, momentum, inverse_batch, *growth), float(length)


def meeting(momentum):
    """The rate at which the three eigenvalues of the noiseless map coincide."""
    return (1 - momentum**0.5) ** 2


BY_CASE = {
    "no update": point(0.1, 0.9, 0),
    "one update": point(0.3, 0.5, 1, 1.0),
    "six updates, negative eigenvalues": point(1.9, 0.3, 6, 0.1),
    "a slow mode": point(1e-13, 0.9, 1e12, 0.125),
    "a slow mode that relaxes": point(1e-11, 0.99, 1e12, 1.0, 0.01),
    "the slowest": point(1e-18, 0.999, 1e12, 0.5),
    "the slowest, momentum near one": point(1e-18, 1 - 1e-7, 1e12, 1e-3),
    "three roots that meet": point(meeting(0.81), 0.81, 15),
    "three roots that meet, with noise": point(meeting(0.99), 0.99, 150, 1e-6),
    "dead where three roots meet": point(meeting(0.99), 0.99, 1e12, 0.125),
    "dying where three roots meet": point(meeting(0.9999), 0.9999, 2e5, 1e-3),
    "long dead beside where three roots meet": point(1.3043e-9, 1 - 7.22e-5, 4e10, 1e-6),
    "roots at minus one": point(1.0, 1e-9, 9),
    "two slow roots": point(1e-6, 0.9, 40, 0.1, 0.0, (-np.log(0.9) - 1e-5, 0.02)),
    "one slow root of a pair": point(1e-6, 0.9, 400, 0.1, 0.0, (-np.log(0.9) - 1e-2, 0.0)),
    "a close pair": point(1 + 0.3 - 1e-4, 0.3, 9),
    "a turning pair": point(0.1, 0.99, 200, 0.1),
    "a turning pair, momentum near one": point(1e-3, 1 - 1e-7, 10**7, 1e-5),
    "a turning pair beyond one": point(1.7, 0.8, 33, 0.01, 0.01),
    "plain": point(0.3, 0.0, 1000, 1.0),
    "plain, wiped out": point(1.0, 0.0, 50),
    "plain, negative": point(1.5, 0.0, 51, 0.1),
}


def scattered(count):
    """Random controls, half of the rates within a factor of ten of the meeting point."""
    random = np.random.default_rng(7)
    points = []
    for i in range(count):
        momentum = 1 - 10 ** random.uniform(-5, 0)
        inverse_batch = random.choice([0.0, 1e-3, 0.125, 1.0])
        largest = (1 - momentum**2) / ((1 - momentum) + inverse_batch * (1 + momentum))
        rate = largest * 10 ** random.uniform(-12, 0)
        if i % 2:
            rate = min(meeting(momentum) * 10 ** random.uniform(-1, 1), largest)
        length = np.floor(10 ** random.uniform(0, 12 if i % 3 else 5))
        growth = random.uniform(-1, 1, 2) / max(length, 9) * (i % 4 == 0)
        points.append(point(rate, momentum, length, inverse_batch, 1e-3 * (i % 5 == 0), growth))
    return points


WHOLE = [*BY_CASE.values(), *scattered(32)]
# All eigenvalues of A are positive, or turn by less than a right angle.
REAL = [
    point(0.02, 0.6, 0.3, 0.5),
    point(0.02, 0.6, 5.5, 0.5),
    point(0.3, 0.7, 1.7, 0.125, 0.01, (0.01, -0.02)),
    point(meeting(0.9), 0.9, 12.25, 0.25),
    point(1e-4, 0.9, 1234.5, 1.0),
    point(0.1, 0.9, 3.0, 0.25),
]


@pytest.fixture(scope="module")
def computed():
    """Values, and derivatives along one direction: of the controls, or of real lengths."""
    points = [*WHOLE, *REAL]
    columns = np.array([controls for controls, _ in points])
    length = np.array([length for _, length in points])[:, None]
    direction = directions()
    longer = np.repeat([0.0, 1.0], [len(WHOLE), len(REAL)])[:, None]
    arguments = [*(jnp.asarray(c)[:, None] for c in columns.T), jnp.asarray(length)]
    tangents = [*(jnp.asarray(c)[:, None] for c in direction.T), jnp.asarray(longer)]

    @partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})
    def powers(arguments, tangents):
        def values(rate, square, momentum, inverse_batch, cross, quick, length):
            one = jnp.ones(1)
            growth = cross, quick
            return method.affine_power(rate, square, momentum, inverse_batch, one, length, growth)

        return jax.jvp(values, arguments, tangents)

    return [together(result) for result in powers(tuple(arguments), tuple(tangents))]


def directions():
    random = np.random.default_rng(3)
    columns = np.array([controls for controls, _ in WHOLE])
    size = np.abs(columns)
    size[:, 2] = 1 - columns[:, 2]
    size[:, 4:] = 1e-3
    return np.vstack([random.uniform(-1, 1, size.shape) * size, np.zeros((len(REAL), 6))])


def together(powers) -> np.ndarray:
    """(N, 3, 5): the rows of A^m - 1, with the two sums as further columns."""
    rows = [
        [*decay, start, slope]
        for decay, start, slope in zip(powers.decay, powers.start, powers.slope, strict=True)
    ]
    return np.array(rows)[..., 0].transpose(2, 0, 1)


def one_update(controls, exp=np.exp):
    """A and b as the recursion has them."""
    rate, square, momentum, inverse_batch, *growth = controls
    zero = 0 * rate
    velocity = np.array([1 + inverse_batch, 2 * momentum, momentum * momentum])
    along = np.array([1 + zero, momentum, zero])
    cross, quick = (exp(rise) for rise in growth)
    share = square * velocity - 2 * rate * along + np.array([1 + zero, zero, zero])
    rows = np.array([share, cross * (along - rate * velocity), quick * velocity])
    return rows, np.array([square, -rate * cross, quick])


def exact(controls, length):
    """(3, 5) in Decimal: powers of the map of the moments, the constant and the step's number."""
    rows, force = one_update(controls, Decimal.exp)
    result = []
    for column in (3, 4):
        whole = np.array([[Decimal(int(i == j)) for j in range(5)] for i in range(5)])
        whole[:3, :3] = rows
        whole[:3, column] = force
        whole[4, 3] = Decimal(1)
        result.append(np.linalg.matrix_power(whole, int(length)))
    decay = result[0][:3, :3] - np.array(
        [[Decimal(int(i == j)) for j in range(3)] for i in range(3)]
    )
    return np.column_stack([decay, result[0][:3, 3], result[1][:3, 3]])


def weights(controls):
    """The moments in units in which they enter the share alike."""
    rate, _, momentum, *_ = controls
    unit = rate / max(1 - momentum, rate**0.5)
    size = np.array([1.0, unit, unit * unit])
    return size[:, None] / np.append(size, [1.0, 1.0])


def error(found, true, weight, least=0.0):
    """The largest of the power and of each sum, relative to the largest true entry."""
    difference = np.array((found - true) * weight, dtype=float)
    size = np.abs(np.array(true * weight, dtype=float))
    parts = slice(0, 3), slice(3, 4), slice(4, 5)
    return max(np.abs(difference[:, p]).max() / max(size[:, p].max(), least, 1e-300) for p in parts)


def decimals(values):
    return np.array([Decimal(float(value)) for value in np.ravel(values)]).reshape(np.shape(values))


def test_powers_are_those_of_sixty_digits(computed):
    with localcontext() as context:
        context.prec = 60
        for (controls, length), found in zip(WHOLE, computed[0], strict=False):
            true = exact(decimals(controls), length)
            assert error(decimals(found), true, decimals(weights(controls))) < 1e-10, controls


def test_derivatives_are_those_of_sixty_digits(computed):
    with localcontext() as context:
        context.prec = 80
        step = Decimal(10) ** -30
        for (controls, length), along, found in zip(WHOLE, directions(), computed[1], strict=False):
            up, down = (
                exact(decimals(controls) + sign * step * decimals(along), length)
                for sign in (1, -1)
            )
            true = (up - down) / (2 * step)
            # A dead mode's power has a derivative that vanishes.
            weight = decimals(weights(controls))
            assert error(decimals(found), true, weight, 1e-6) < 1e-9, (controls, length)


def test_the_points_reach_all_cases():
    columns = [jnp.asarray(c)[:, None] for c in np.array([c for c, _ in WHOLE]).T]
    length = jnp.asarray([m for _, m in WHOLE])[:, None]
    rate, square, momentum, inverse_batch, *growth = columns
    one = jnp.ones(1)
    *_, cubic = method._one_update(rate, square, momentum, inverse_batch, one, growth)
    roots = method._roots(cubic, length)
    case, *_ = method._cases(cubic, roots, length, few=method._FEW)
    assert set(np.asarray(case).ravel()) == set(range(7))


def test_no_update_is_the_identity_and_one_the_map_itself(computed):
    np.testing.assert_array_equal(computed[0][0], 0.0)
    controls, _ = BY_CASE["one update"]
    rows, force = one_update(np.array(controls))
    expected = np.column_stack([rows - np.eye(3), force, np.zeros(3)])
    np.testing.assert_allclose(computed[0][1], expected, rtol=0, atol=1e-15)


@pytest.mark.parametrize("i", range(len(REAL)))
def test_real_lengths_are_powers_by_the_logarithm(computed, i):
    controls, length = REAL[i]
    rows, force = one_update(np.array(controls))
    rate, power = logm(rows), expm(length * logm(rows))
    inverse = np.linalg.inv(rows - np.eye(3))
    start = inverse @ (power - np.eye(3))
    slope = inverse @ (start - length * np.eye(3))
    late = inverse @ power @ rate
    later = inverse @ (late - np.eye(3))
    if length < 1:
        slope, later = 0 * slope, 0 * later
    value = np.column_stack([power - np.eye(3), start @ force, slope @ force])
    derivative = np.column_stack([power @ rate, late @ force, later @ force])
    found = computed[0][len(WHOLE) + i], computed[1][len(WHOLE) + i]
    assert error(found[0], value, weights(controls)) < 1e-7
    assert error(found[1], derivative, weights(controls)) < 1e-7
