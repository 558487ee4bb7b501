"""kernels/embedding.cu, executed: rows and their gradient, against loops and the CPU twin."""

from __future__ import annotations

import numpy as np
import pytest

from gpunet.backend.cpu import embedding as twin
from tests.kernels import needs
from tests.kernels.close import assert_close
from tests.kernels.dtypes import DTYPES, FLOAT16, FLOAT32, FLOAT64, Array, DType
from tests.kernels.host import build
from tests.kernels.host.device import Device, everywhere

pytestmark = needs.compiler

NONE = 2**64 - 1  # in bad_row: every index is a row
SIZES = ((7, 5, 20), (3, 33, 100), (40, 1, 9), (1, 1, 1), (5, 4, 0), (4, 0, 3))  # rows, columns, n


def forward(dtype: DType, weight: Array, index: Array, launch: tuple[int, int] = (2, 32)) -> Array:
    rows, columns = weight.shape

    def program(device: Device) -> tuple[Array, Array]:
        y = device.empty((index.size, columns), dtype.storage)
        bad = device.array(np.array([NONE], np.uint64))
        kernel = build.load("embedding", dtype)["embedding_fwd"]
        arrays = device.array(weight), device.array(index), y, bad
        device.launch(kernel, *launch, *arrays, index.size, rows, columns)
        return y, bad

    return everywhere(program)


def backward(
    dtype: DType, gy: Array, index: Array, rows: int, launch: tuple[int, int] = (2, 32)
) -> Array:
    order = np.argsort(index, kind="stable")
    starts = np.searchsorted(index[order], np.arange(rows + 1))

    def program(device: Device) -> Array:
        blocks, n, columns = gy.shape
        total = device.empty((blocks, rows, columns), dtype.storage)
        kernel = build.load("embedding", dtype)["embedding_bwd"]
        arrays = device.array(gy), device.array(order), device.array(starts), total
        device.launch(kernel, *launch, *arrays, blocks, n, rows, columns)
        return total

    return everywhere(program)


def example(dtype: DType, rows: int, columns: int, n: int) -> tuple[Array, Array, Array]:
    """A table, positions in it, and two blocks of a gradient for each."""
    random = np.random.default_rng(rows + n)
    weight, gy = random.normal(0, 3, (rows, columns)), random.normal(0, 3, (2, n, columns))
    return dtype.encode(weight), random.integers(0, rows, n), dtype.encode(gy)


@pytest.mark.parametrize("sizes", SIZES, ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_rows_are_copied(dtype: DType, sizes: tuple[int, int, int]) -> None:
    weight, index, _ = example(dtype, *sizes)
    y, bad = forward(dtype, weight, index)
    assert y.tobytes() == weight[index].tobytes()
    assert bad == NONE


@pytest.mark.parametrize("dtype", [FLOAT16, FLOAT32, FLOAT64], ids=str)
def test_forward_equals_the_cpu_twin(dtype: DType) -> None:
    weight, index, _ = example(dtype, 7, 5, 20)
    assert forward(dtype, weight, index)[0].tobytes() == twin.embedding_fwd(weight, index).tobytes()


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_an_impossible_row_is_nan_and_told(dtype: DType) -> None:
    weight, _, _ = example(dtype, 4, 3, 0)
    y, bad = forward(dtype, weight, np.array([3, 1, 4, 0, -1]))
    assert bad == 2, "the first of them"
    wrong = np.isnan(dtype.decode(y)).all(1)
    assert wrong.tolist() == [False, False, True, False, True]
    assert y[[0, 1, 3]].tobytes() == weight[[3, 1, 0]].tobytes()


@pytest.mark.parametrize("launch", [(1, 32), (3, 64)], ids=str)
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_order_is_that_of_a_stable_sort(
    sizes: tuple[int, int, int], launch: tuple[int, int]
) -> None:
    rows, n = sizes[0], sizes[2]
    _, index, _ = example(FLOAT32, *sizes)

    def program(device: Device) -> tuple[Array, Array]:
        order, starts = (device.empty(size, np.int64) for size in (n, rows + 1))
        kernel = build.load("embedding", FLOAT32)["embedding_bwd_order"]
        device.launch(kernel, *launch, device.array(index), order, starts, n, rows)
        return order, starts

    order, starts = everywhere(program)
    assert (order == np.argsort(index, kind="stable")).all()
    assert (starts == np.searchsorted(np.sort(index), np.arange(rows + 1))).all()


@pytest.mark.parametrize("launch", [(1, 32), (3, 64)], ids=str)
@pytest.mark.parametrize("sizes", SIZES, ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_gradient_is_the_sum_of_rows(
    dtype: DType, sizes: tuple[int, int, int], launch: tuple[int, int]
) -> None:
    _, index, gy = example(dtype, *sizes)

    def sums(gy: Array) -> Array:
        total = np.zeros((2, sizes[0], sizes[1]), gy.dtype)
        for i, row in enumerate(index):
            total[:, row] += gy[:, i]
        return total

    got = backward(dtype, gy, index, sizes[0], launch)
    if got.size:
        assert_close(got, sums, dtype, gy)
    assert not dtype.decode(got[:, np.setdiff1d(np.arange(sizes[0]), index)]).any()


@pytest.mark.parametrize("dtype", [FLOAT32, FLOAT64], ids=str)
def test_gradient_has_the_bits_of_the_cpu_twin(dtype: DType) -> None:
    """Both add up in the order of the rows."""
    for columns in (33, 1):
        _, index, gy = example(dtype, 3, columns, 100)
        for blocks in (gy, gy[:1]):
            expected = twin.embedding_bwd(blocks, index, 3)
            assert backward(dtype, blocks, index, 3).tobytes() == expected.tobytes()


def test_half_types_are_summed_in_float() -> None:
    # 4096 ones: a sum in half precision would stop at 2048, where one more no longer counts.
    ones, index = np.ones((1, 4096, 1), np.float16), np.zeros(4096, np.int64)
    assert backward(FLOAT16, ones, index, 1) == 4096
    assert twin.embedding_bwd(ones, index, 1) == 4096


@pytest.mark.parametrize(("blocks", "columns"), [(1, 70), (40, 2), (300, 1), (1, 1)])
def test_the_twin_with_large_tables(blocks: int, columns: int) -> None:
    n = 420_000 // (blocks * columns)
    random = np.random.default_rng(0)
    index = random.integers(0, 300, n)
    gy = random.integers(-8, 9, (blocks, n, columns)).astype(np.float32)  # sums are exact
    total = np.zeros((blocks, 300, columns), np.float32)
    for block, g in zip(total, gy, strict=True):
        np.add.at(block, index, g)
    assert twin.embedding_bwd(gy, index, 300).tobytes() == total.tobytes()
    table = random.standard_normal((300, columns)).astype(np.float32)
    assert twin.embedding_fwd(table, index).tobytes() == table[index].tobytes()
