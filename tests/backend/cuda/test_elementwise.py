"""The array module of the CUDA backend: what takes a kernel, what is left to CuPy, same results."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest

from gpunet import backend
from tests.kernels import needs

pytestmark = needs.compiler

UNARY = ("negative", "absolute", "abs", "square", "reciprocal", "sqrt", "exp", "log")
BINARY = ("add", "subtract", "multiply", "divide", "maximum", "minimum")
FLOATS = ("float32", "float64", "float16")
SHAPE = (8, 37)  # more than the least that takes a kernel on the pretended GPU, and odd


def numbers(dtype="float32", shape=SHAPE, seed=0):
    return np.random.default_rng(seed).uniform(0.5, 2, shape).astype(dtype)


def launched(be, call):
    """The result of a call, and how many kernels it started."""
    before = be.gpu.launches
    z = call()
    assert be.owns(z)
    return be.to_host(z), be.gpu.launches - before


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", UNARY)
def test_one_array(be, name, dtype) -> None:
    x = numbers(dtype)
    z, launches = launched(be, lambda: getattr(be.xp, name)(be.asarray(x)))
    exact = getattr(np, name)(x)
    assert (launches, z.dtype, z.shape) == (1, exact.dtype, exact.shape)
    np.testing.assert_allclose(z, exact, rtol=4 * np.finfo(dtype).eps)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", BINARY)
def test_two_operands(be, name, dtype) -> None:
    x, y = numbers(dtype), numbers(dtype, seed=1)
    # Of the half types the first two numbers are rounded, and the second not by way of float32.
    for a, b in ((x, y), (x, x), *((x, n) for n in (0.1, 1 + 2**-11 + 2**-40, 3, -1.5, 0.0))):
        for pair in ((a, b), (b, a)):
            given = [be.asarray(each) if isinstance(each, np.ndarray) else each for each in pair]
            z, launches = launched(be, lambda given=given: getattr(be.xp, name)(*given))
            with np.errstate(divide="ignore"):
                exact = getattr(np, name)(*pair)
            assert (launches, z.dtype) == (1, exact.dtype)
            np.testing.assert_array_equal(z, exact)


def test_bfloat16(be) -> None:
    kind = pytest.importorskip("ml_dtypes", reason="bfloat16 is NOT tried").bfloat16
    x, y = numbers(kind), numbers(kind, seed=1)
    z, launches = launched(be, lambda: be.xp.multiply(be.asarray(x), be.asarray(y)))
    np.testing.assert_array_equal(z, np.multiply(x, y))
    assert launches == 1
    z, launches = launched(be, lambda: be.xp.multiply(be.asarray(x), 0.1))
    np.testing.assert_array_equal(z, np.multiply(x, 0.1))  # which is float32
    assert launches == 0


@pytest.mark.parametrize(
    "operands",
    [
        (numbers(shape=(3, 5)), numbers(shape=(3, 5))),  # small
        (numbers(), numbers(shape=SHAPE[1:])),  # broadcast, in each order
        (numbers(shape=SHAPE[1:]), numbers()),
        (numbers(), numbers(shape=())),
        (numbers(), numbers("float64")),
        (numbers("float64"), numbers("float32")),
        (np.arange(300), np.arange(300)),
        (np.arange(300), 0.5),
        (numbers(), True),
        (numbers(), np.float64(0.1)),  # asks for float64
        (numbers(), -0.0),
        (numbers(), -1e-60),
        (2.0, numbers(shape=(3,))),
    ],
    ids=lambda given: ", ".join(str(getattr(x, "dtype", x)) + str(np.shape(x)) for x in given),
)
def test_what_is_left_to_cupy(be, operands) -> None:
    be.xp.multiply(be.asarray(numbers()), 0.0)  # which must not be taken for -0
    given = [be.asarray(x) if type(x) is np.ndarray else x for x in operands]
    z, launches = launched(be, lambda: be.xp.multiply(*given))
    exact = np.multiply(*operands)
    assert (launches, z.dtype) == (0, exact.dtype)
    np.testing.assert_array_equal(z, exact)
    np.testing.assert_array_equal(np.signbit(z), np.signbit(exact))


def test_views(be) -> None:
    x, y = numbers(), numbers(seed=1)
    there, other = be.asarray(x), be.asarray(y)
    z, launches = launched(be, lambda: be.xp.add(there.T, other.T))  # they have gaps
    np.testing.assert_array_equal(z, (x + y).T)
    assert not launches
    z, launches = launched(be, lambda: be.xp.exp(there[:, ::2]))
    np.testing.assert_allclose(z, np.exp(x[:, ::2]), rtol=1e-6)
    assert not launches
    z, launches = launched(be, lambda: be.xp.add(there[1:], other[:-1]))  # one is not aligned
    np.testing.assert_array_equal(z, x[1:] + y[:-1])
    assert launches == 1


def test_arrays_of_another_device_are_not_read(be) -> None:
    here, there = be.asarray(numbers()), backend.get("cuda:1").asarray(numbers())
    for call in (
        lambda: be.xp.add(here, there),
        lambda: be.xp.add(there, here),
        lambda: be.xp.exp(there),
    ):
        before = be.gpu.launches
        with pytest.raises(TypeError, match="cannot be mixed"):
            call()
        assert be.gpu.launches == before


def test_each_device_has_its_own(be) -> None:
    other = backend.get("cuda:1")
    z, launches = launched(other, lambda: other.xp.square(other.asarray(numbers())))
    assert launches == 1
    np.testing.assert_array_equal(z, np.square(numbers()))


def test_all_else_is_cupys(be) -> None:
    counts = be.asarray(np.zeros(3, "int64"))
    be.xp.add.at(counts, be.asarray(np.array([0, 2, 2])), be.asarray(np.array([1, 1, 1])))
    assert be.to_host(counts).tolist() == [1, 0, 2]
    assert be.xp.add.__name__ == "add"
    assert be.xp.where is be.gpu.xp.where
    assert be.xp.float32 is np.float32
    assert math.isnan(be.xp.nan)
    with pytest.raises(AttributeError, match="nothing"):
        be.xp.nothing  # noqa: B018
    assert copy.copy(be.xp).add is not None


def test_a_recorded_step(be) -> None:
    x, y = numbers(), np.zeros(SHAPE, "float32")
    there, total = be.asarray(x), be.asarray(y)

    def step() -> None:
        total[...] = be.xp.multiply(be.xp.add(there, total), 0.5)

    before = be.gpu.launches
    replay = be.record(step)
    for _ in range(3):
        replay()
        y = (x + y) * np.float32(0.5)
        np.testing.assert_array_equal(be.to_host(total), y)
    assert be.gpu.launches == before + 6
