"""kernels/softmax.cu, executed: every dtype against the formulas in extended precision, and the CPU twins."""

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
LAUNCHES = ((1, 32), (3, 64), (2, 160))  # blocks, threads
NONE = 2**64 - 1  # in bad_row: every target is a class


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


@pytest.mark.parametrize("dtype", [FLOAT32, FLOAT64], ids=str)
@pytest.mark.parametrize("name", ORACLES)
def test_equals_the_cpu_twin(name: str, dtype: DType) -> None:
    arrays = inputs(name, dtype, 5, 33)
    expected = getattr(twin, name)(*arrays)
    actual = run(name, dtype, arrays)
    assert np.abs(actual - expected).max() <= 16 * dtype.epsilon * np.abs(expected).max()


@pytest.mark.parametrize("name", ORACLES)
def test_output_may_be_an_input(name: str) -> None:
    arrays = inputs(name, FLOAT32, 3, 50)

    def in_place(device: Device) -> Array:
        given = [device.array(array) for array in arrays]
        device.launch(build.load("softmax", FLOAT32)[name], 2, 64, *given, given[-1], 3, 50)
        return given[-1]

    assert (everywhere(in_place) == run(name, FLOAT32, arrays)).all()


def test_large_scores_neither_overflow_nor_lose_their_differences() -> None:
    # At 10^4 float32 numbers are 10^-3 apart: the logarithm of the sum must not be added to them.
    x = np.array([[10000, 9990, 9980], [-10000, -10001, -10002]], np.float32)
    y = run("log_softmax_fwd", FLOAT32, [x])
    exact = log_softmax(x.astype(np.float64))
    np.testing.assert_allclose(y, exact, rtol=FLOAT32.epsilon, atol=FLOAT32.epsilon)
    losses = cross_entropy(FLOAT32, x, np.array([0, 0]), None, -100, 0.0)[0]
    np.testing.assert_allclose(losses, -exact[:, 0], rtol=FLOAT32.epsilon, atol=FLOAT32.epsilon)


def test_infinity_and_nan() -> None:
    inf, nan = np.inf, np.nan
    x = np.array(
        [[-inf, 1, 1], [nan, 1, 2], [1, nan, 2], [-inf, -inf, -inf], [1, inf, 2]], np.float32
    )
    y = run("softmax_fwd", FLOAT32, [x])
    assert (y[0] == [0, 0.5, 0.5]).all()
    assert np.isnan(y[1:]).all()


# --- cross entropy


def loss_rows(x: Array, target: Array, weight: Array, ignore_index: int, smoothing: float) -> Array:
    logs = log_softmax(x)
    hard = np.array(
        [w * row[t] if t != ignore_index else 0 for row, t, w in zip(logs, target, weight[target])]
    )
    soft = (weight * logs).sum(-1) / x.shape[1]
    return np.where(target == ignore_index, 0, -(1 - smoothing) * hard - smoothing * soft)


def loss_gradient(
    gy: Array, p: Array, target: Array, weight: Array, ignore_index: int, smoothing: float
) -> Array:
    # d(-log p_k)/dx = p - onehot(k), for each class k by its share
    shares = np.zeros_like(p) + smoothing / p.shape[1] * weight
    shares[np.arange(len(p)), target] += (1 - smoothing) * weight[target]
    gx = gy[:, None] * (shares.sum(-1, keepdims=True) * p - shares)
    return np.where((target == ignore_index)[:, None], 0, gx)


def cross_entropy(
    dtype: DType,
    x: Array,
    target: Array,
    weight: Array | None,
    ignore_index: int,
    smoothing: float,
    launch: tuple[int, int] = (3, 64),
) -> tuple[Array, Array, Array, Array]:
    """Losses, totals, softmax and bad_row, by both launches of the forward pass."""
    kernels, (rows, columns) = build.load("softmax", dtype), x.shape

    def program(device: Device) -> tuple[Array, Array, Array, Array]:
        t, w = device.array(target), None if weight is None else device.array(weight)
        losses, totals = device.empty(rows, dtype.storage), device.empty(3, dtype.storage)
        p, bad = device.empty(x.shape, dtype.storage), device.array(np.array([NONE], np.uint64))
        arrays = device.array(x), t, w, losses, p, bad
        device.launch(
            kernels["cross_entropy_fwd"], *launch, *arrays, rows, columns, ignore_index, smoothing
        )
        finish = kernels["cross_entropy_fwd_finish"], 1, launch[1]
        device.launch(*finish, losses, t, w, totals, rows, columns, ignore_index)
        return losses, totals, p, bad

    return everywhere(program)


def cross_entropy_gradient(
    dtype: DType,
    gy: Array,
    p: Array,
    target: Array,
    weight: Array | None,
    ignore_index: int,
    smoothing: float,
) -> Array:
    def program(device: Device) -> Array:
        w = None if weight is None else device.array(weight)
        gx = device.empty(p.shape, dtype.storage)
        arrays = device.array(gy), device.array(p), device.array(target), w, gx
        sizes = *p.shape, int(gy.size > 1), ignore_index
        device.launch(
            build.load("softmax", dtype)["cross_entropy_bwd"], 3, 64, *arrays, *sizes, smoothing
        )
        return gx

    return everywhere(program)


def example(dtype: DType, rows: int, columns: int, weighted: bool) -> tuple[Array, Array, Array]:
    """Scores, targets of which every third is ignored (as class 0), and weights."""
    x = dtype.encode(numbers(3, rows, columns))
    target = np.random.default_rng(4).integers(0, columns, rows)
    target[::3] = 0
    weight = np.random.default_rng(5).uniform(0.5, 2, columns) if weighted else np.ones(columns)
    return x, target, dtype.encode(weight)


@pytest.mark.parametrize("smoothing", [0.0, 0.25])
@pytest.mark.parametrize("weighted", [False, True], ids=["even", "weighted"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_cross_entropy_equals_the_formula(
    dtype: DType, shape: tuple[int, int], weighted: bool, smoothing: float
) -> None:
    x, target, weight = example(dtype, *shape, weighted)
    given = weight if weighted else None
    losses, totals, p, bad = cross_entropy(dtype, x, target, given, 0, smoothing)
    counted = target != 0
    assert bad == NONE
    assert_close(losses, lambda x, w: loss_rows(x, target, w, 0, smoothing), dtype, x, weight)
    assert_close(p, lambda x: np.where(counted[:, None], softmax(x), 0), dtype, x)
    assert_close(totals[:1], lambda rows: rows.sum(keepdims=True), dtype, losses)
    assert_close(totals[1:2], lambda w: w[target[counted]].sum(keepdims=True), dtype, weight)
    if counted.any():
        assert_close(totals[2:], lambda total: total[:1] / total[1:], dtype, totals[:2])
    else:
        assert np.isnan(dtype.decode(totals[2:]))

    for gy in (numbers(6, shape[0]), numbers(6, 1)):
        gy = dtype.encode(gy)
        gx = cross_entropy_gradient(dtype, gy, p, target, given, 0, smoothing)
        oracle = (
            lambda gy, p, w: loss_gradient(  # noqa: E731
                np.broadcast_to(gy, shape[:1]), p, target, w, 0, smoothing
            )
        )
        assert_close(gx, oracle, dtype, gy, p, weight)


@pytest.mark.parametrize("launch", LAUNCHES, ids=str)
def test_any_launch_of_cross_entropy_is_right(launch: tuple[int, int]) -> None:
    x, target, weight = example(FLOAT32, 40, 70, True)
    losses, totals, _, _ = cross_entropy(FLOAT32, x, target, weight, 0, 0.1, launch)
    assert_close(losses, lambda x, w: loss_rows(x, target, w, 0, 0.1), FLOAT32, x, weight)
    assert_close(totals[:1], lambda rows: rows.sum(keepdims=True), FLOAT32, losses)


@pytest.mark.parametrize("smoothing", [0.0, 0.25])
@pytest.mark.parametrize("dtype", [FLOAT32, FLOAT64], ids=str)
def test_cross_entropy_equals_the_cpu_twin(dtype: DType, smoothing: float) -> None:
    x, target, weight = example(dtype, 9, 33, True)
    losses, totals, p, _ = cross_entropy(dtype, x, target, weight, 0, smoothing)
    gy = numbers(7, 9).astype(dtype.storage)
    gx = cross_entropy_gradient(dtype, gy, p, target, weight, 0, smoothing)
    expected = (*twin.cross_entropy_fwd(x, target, weight, 0, smoothing),)
    expected += (twin.cross_entropy_bwd(gy, p, target, weight, 0, smoothing),)
    for actual, wanted in zip((losses, totals, p, gx), expected, strict=True):
        assert np.abs(actual - wanted).max() <= 16 * dtype.epsilon * np.abs(wanted).max()


def test_the_lowest_impossible_target_is_reported_and_its_row_is_nan() -> None:
    x, target, weight = example(FLOAT32, 8, 5, True)
    target = np.array([1, -100, 4, 5, 2, -1, 2**40, 3])
    losses, totals, p, bad = cross_entropy(FLOAT32, x, target, weight, -100, 0.1)
    impossible = np.array([False, False, False, True, False, True, True, False])
    assert bad == 3
    assert (np.isnan(losses) == impossible).all()
    assert (np.isnan(p).any(-1) == impossible).all()
    assert np.isnan(totals[[0, 2]]).all()
    gx = cross_entropy_gradient(FLOAT32, np.ones(1, np.float32), p, target, weight, -100, 0.1)
    assert (np.isnan(gx).all(-1) == impossible).all()
    assert (gx[1] == 0).all()


def test_cross_entropy_gradient_may_take_the_memory_of_the_softmax() -> None:
    x, target, weight = example(FLOAT32, 6, 40, True)
    p, gy = cross_entropy(FLOAT32, x, target, weight, 0, 0.1)[2], np.ones(1, np.float32)

    def in_place(device: Device) -> Array:
        gx = device.array(p)
        arrays = device.array(gy), gx, device.array(target), device.array(weight), gx
        kernel = build.load("softmax", FLOAT32)["cross_entropy_bwd"]
        device.launch(kernel, 3, 64, *arrays, *p.shape, 0, 0, 0.1)
        return gx

    expected = cross_entropy_gradient(FLOAT32, gy, p, target, weight, 0, 0.1)
    assert (everywhere(in_place) == expected).all()
