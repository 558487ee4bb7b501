"""Elements in order and running results of large arrays, against NumPy's own."""

from typing import Any

import numpy as np
import pytest

from gpunet import backend
from gpunet.backend.base import Backend

be = backend.cpu
SHAPE = (40, 2100)  # enough to be shared out, and several tiles of columns
EDGES = [np.nan, -np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-45, -1e-45, 3.4e38, -3.4e38]


def floats(dtype: str) -> Any:
    """Many of them equal, with all that compares in its own way."""
    rng = np.random.default_rng(0)
    x = np.round(rng.standard_normal(SHAPE), 2)
    with np.errstate(over="ignore"):
        return np.where(rng.random(SHAPE) < 0.2, rng.choice(EDGES, SHAPE), x).astype(dtype)


def whole(dtype: str) -> Any:
    """From the smallest to the largest of their kind."""
    info = np.iinfo(dtype)
    drawn = np.random.default_rng(0).integers(info.min, info.max, SHAPE, dtype, endpoint=True)
    drawn[:, :2] = info.min, info.max
    return drawn


ARRAYS = {
    **{dtype: floats(dtype) for dtype in ("float16", "float32", "float64")},
    **{dtype: whole(dtype) for dtype in ("uint8", "int16", "int32", "int64")},
    "int64 of few bits": whole("int16").astype("int64"),
    "bool": floats("float32") > 0,
}


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("x", ARRAYS.values(), ids=ARRAYS)
def test_order_is_numpys_stable_one(x, axis, descending) -> None:
    for y in (x, x[:3, :5], np.asfortranarray(x)):
        got = be.argsort(y, axis, descending)
        assert got.flags.c_contiguous
        np.testing.assert_array_equal(got, Backend.argsort(be, y, axis, descending), strict=True)
        values = be.take_along(y, got, axis)
        np.testing.assert_array_equal(values, np.take_along_axis(y, got, axis), strict=True)


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_elements_of_some_ranks(dtype, axis) -> None:
    x = ARRAYS[dtype]
    rng = np.random.default_rng(0)
    for count in (1, 2, 7):
        for rows in (1, x.shape[1 - axis]):
            shape = [rows, rows]
            shape[axis] = count
            for ranks in (rng.integers(0, x.shape[axis], shape), np.full(shape, 3)):
                expected = Backend.argsort(be, x, axis, True, ranks)
                got = be.argsort(x, axis, True, ranks)
                np.testing.assert_array_equal(got, expected, strict=True)


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("dtype", ["float32", "float64", "int64"])
@pytest.mark.parametrize("name", ["cumsum", "cumprod"])
def test_running_results_are_numpys_in_float64(name, dtype, axis, backwards) -> None:
    x = (2 + np.random.default_rng(0).standard_normal((3, 41, 1100)) / 50).astype(dtype)
    if name == "cumprod":
        x = x // 2 + x % 2 / 2  # about 1
    for y in (x, x[:2, :3, :5], x[::-1].T):
        expected = Backend.running(be, name, y, axis, backwards)
        np.testing.assert_array_equal(be.running(name, y, axis, backwards), expected, strict=True)


@pytest.mark.parametrize("largest", [False, True])
@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("x", ARRAYS.values(), ids=ARRAYS)
def test_running_extrema_are_those_of_accumulate(x, axis, largest) -> None:
    for y in (x, x[:3, :5], np.asfortranarray(x)):
        got = be.running_extrema(y, axis, largest)
        expected = Backend.running_extrema(be, y, axis, largest)
        for one, other in zip(got, expected, strict=True):
            np.testing.assert_array_equal(one, other, strict=True)
