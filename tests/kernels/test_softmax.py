"""kernels/softmax.cu but its cross entropy, executed: against the formulas and the CPU twins."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gpunet.backend.cpu import softmax as twin
from tests.kernels import needs
from tests.kernels.close import assert_close
from tests.kernels.dtypes import DTYPES, FLOAT32, FLOAT64, Array, DType
from tests.kernels.host import build
from tests.kernels.host.device import Device, everywhere

pytestmark = needs.compiler

SHAPES = ((0, 3), (1, 1), (2, 31), (3, 32), (5, 33), (2, 100), (7, 10))
LONG = ((3, 1101), (2, 1104))  # of three panels of 32 threads, narrow and wide
LAUNCHES = ((1, 32), (3, 64), (2, 256))  # blocks, threads


def softmax(x: Array) -> Array:
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def log_softmax(x: Array) -> Array:
    shifted = x - x.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))


ORACLES: dict[str, Any] = {
    "softmax_fwd": softmax,
    "log_softmax_fwd": log_softmax,
    "softmax_bwd": lambda gy, y: y * (gy - (gy * y).sum(-1, keepdims=True)),
    "log_softmax_bwd": lambda gy, y: gy - np.exp(y) * gy.sum(-1, keepdims=True),
}


def numbers(seed: int, *shape: int) -> Array:
    return np.random.default_rng(seed).normal(0, 3, shape)


def inputs(name: str, dtype: DType, rows: int, columns: int) -> list[Array]:
    x, gy = numbers(1, rows, columns), numbers(2, rows, columns)
    if name.endswith("_fwd"):
        return [dtype.encode(x)]
    y = ORACLES[name.replace("_bwd", "_fwd")](x) if rows else x
    return [dtype.encode(gy), dtype.encode(y)]


def run(name: str, dtype: DType, arrays: list[Array], launch: tuple[int, int] = (3, 64)) -> Array:
    def program(device: Device) -> Array:
        out = device.empty(arrays[0].shape, dtype.storage)
        kernel = build.load("softmax", dtype)[name]
        device.launch(kernel, *launch, *map(device.array, arrays), out, *out.shape)
        return out

    return everywhere(program)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", ORACLES)
def test_equals_the_formula(name: str, dtype: DType, shape: tuple[int, int]) -> None:
    arrays = inputs(name, dtype, *shape)
    assert_close(run(name, dtype, arrays), ORACLES[name], dtype, *arrays)


@pytest.mark.parametrize("launch", LAUNCHES, ids=str)
@pytest.mark.parametrize("name", ORACLES)
def test_any_launch_is_right(name: str, launch: tuple[int, int]) -> None:
    arrays = inputs(name, FLOAT32, 5, 77)
    assert_close(run(name, FLOAT32, arrays, launch), ORACLES[name], FLOAT32, *arrays)


@pytest.mark.parametrize("shape", LONG, ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", ORACLES)
def test_rows_of_several_panels(name: str, dtype: DType, shape: tuple[int, int]) -> None:
    arrays = inputs(name, dtype, *shape)
    assert_close(run(name, dtype, arrays, (2, 32)), ORACLES[name], dtype, *arrays)


@pytest.mark.parametrize("dtype", [FLOAT32, FLOAT64], ids=str)
@pytest.mark.parametrize("name", ORACLES)
def test_equals_the_cpu_twin(name: str, dtype: DType) -> None:
    arrays = inputs(name, dtype, 5, 33)
    expected = getattr(twin, name)(*arrays)
    actual = run(name, dtype, arrays)
    assert np.abs(actual - expected).max() <= 16 * dtype.epsilon * np.abs(expected).max()


@pytest.mark.parametrize("columns", [50, 1104])
@pytest.mark.parametrize("name", ORACLES)
def test_output_may_be_an_input(name: str, columns: int) -> None:
    arrays = inputs(name, FLOAT32, 3, columns)

    def in_place(device: Device) -> Array:
        given = [device.array(array) for array in arrays]
        kernel = build.load("softmax", FLOAT32)[name]
        device.launch(kernel, 3, 64, *given, given[-1], 3, columns)
        return given[-1]

    assert (everywhere(in_place) == run(name, FLOAT32, arrays)).all()


def test_large_scores_neither_overflow_nor_lose_their_differences() -> None:
    # At 10^4 float32 numbers are 10^-3 apart: the logarithm of the sum must not be added to them.
    x = np.array([[10000, 9990, 9980], [-10000, -10001, -10002]], np.float32)
    y = run("log_softmax_fwd", FLOAT32, [x])
    exact = log_softmax(x.astype(np.float64))
    np.testing.assert_allclose(y, exact, rtol=FLOAT32.epsilon, atol=FLOAT32.epsilon)


def test_infinity_and_nan() -> None:
    inf, nan = np.inf, np.nan
    x = np.array(
        [[-inf, 1, 1], [nan, 1, 2], [1, nan, 2], [-inf, -inf, -inf], [1, inf, 2]], np.float32
    )
    y = run("softmax_fwd", FLOAT32, [x])
    assert (y[0] == [0, 0.5, 0.5]).all()
    assert np.isnan(y[1:]).all()


SCALE = -0.25  # of scores; below 0, the largest score has the smallest weight
SEEN = (
    (3, 2),
    (4, 9),
    (1, 1),
    (6, 515),
)  # queries of a matrix, and keys that the first of them sees
KEYS = (70, 600)  # one panel, and two of 32 threads


def weights(x: Array, queries: int, first: int) -> Array:
    """With scores of -infinity beyond the keys that are seen."""
    rows, keys = np.indices(x.shape)
    return softmax(np.where(keys < first + rows % queries, SCALE * x, -np.inf))


@pytest.mark.parametrize("keys", KEYS)
@pytest.mark.parametrize("seen", SEEN, ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_the_weights_of_attention(dtype: DType, seen: tuple[int, int], keys: int) -> None:
    x, gy = dtype.encode(numbers(1, 12, keys)), dtype.encode(numbers(2, 12, keys))

    def forward(device: Device) -> Array:
        y = device.array(x)  # may be the input
        kernel = build.load("softmax", dtype)["weights_fwd"]
        device.launch(kernel, 3, 32, y, y, *x.shape, *seen, SCALE)
        return y

    def backward(device: Device) -> Array:
        gx = device.array(gy)
        kernel = build.load("softmax", dtype)["weights_bwd"]
        device.launch(kernel, 3, 32, gx, device.array(y), gx, *x.shape, SCALE)
        return gx

    y = everywhere(forward)
    assert_close(y, lambda x: weights(x, *seen), dtype, x)
    formula = ORACLES["softmax_bwd"]
    assert_close(everywhere(backward), lambda gy, y: SCALE * formula(gy, y), dtype, gy, y)
    if dtype in (FLOAT32, FLOAT64):
        several = x.reshape(-1, seen[0], x.shape[1]).copy()
        twins = twin.weights_fwd(several, SCALE, seen[1]).reshape(y.shape)
        assert np.abs(twins - y).max() <= 16 * dtype.epsilon
        twins = twin.weights_bwd(gy.copy(), y, SCALE)
        expected = SCALE * formula(gy, y)
        assert np.abs(twins - expected).max() <= 16 * dtype.epsilon * np.abs(expected).max()
