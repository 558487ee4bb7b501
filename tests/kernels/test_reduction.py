"""kernels/reduction.cu, executed: both its launches against the sum, and the CPU twin."""

from __future__ import annotations

import numpy as np
import pytest

from gpunet.backend.cpu import reduction as twin
from tests.kernels import needs
from tests.kernels.close import assert_close
from tests.kernels.dtypes import DTYPES, FLOAT16, FLOAT32, FLOAT64, Array, DType
from tests.kernels.host import build
from tests.kernels.host.device import Device, everywhere

pytestmark = needs.compiler

SHAPES = ((0, 3), (1, 1), (5, 31), (33, 32), (64, 33), (7, 100), (300, 10))


def column_sum(dtype: DType, x: Array, chunks: int, threads: int) -> Array:
    (rows, columns), kernels = x.shape, build.load("reduction", dtype)
    tiles = -(-columns // 32)

    def program(device: Device) -> Array:
        partial = device.empty((chunks, columns), dtype.accumulator)
        total = device.empty(columns, dtype.storage)
        first = kernels["column_sum"], (tiles, chunks), threads
        device.launch(*first, device.array(x), partial, rows, columns)
        device.launch(kernels["column_sum_finish"], tiles, threads, partial, total, chunks, columns)
        return total

    return everywhere(program)


def example(dtype: DType, *shape: int) -> Array:
    return dtype.encode(np.random.default_rng(1).normal(0, 3, shape))


@pytest.mark.parametrize("chunks", [1, 3])
@pytest.mark.parametrize("threads", [32, 128])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_equals_the_sum(dtype: DType, shape: tuple[int, int], threads: int, chunks: int) -> None:
    x = example(dtype, *shape)
    assert_close(column_sum(dtype, x, chunks, threads), lambda x: x.sum(0), dtype, x)


@pytest.mark.parametrize("dtype", [FLOAT32, FLOAT64], ids=str)
def test_equals_the_cpu_twin(dtype: DType) -> None:
    x = example(dtype, 100, 37)
    # The twin adds row after row: an error of at most a unit of the largest sum for each row.
    tolerance = 100 * dtype.epsilon * np.abs(x).sum(0).max()
    assert np.abs(column_sum(dtype, x, 4, 64) - twin.column_sum(x)).max() <= tolerance


def test_half_types_are_summed_in_float() -> None:
    # 4096 ones: a sum in half precision would stop at 2048, where one more no longer counts.
    assert column_sum(FLOAT16, np.ones((4096, 1), np.float16), 2, 32) == 4096


def test_chunks_share_the_rows_whatever_their_number() -> None:
    x = np.arange(7 * 3, dtype=np.float32).reshape(7, 3)
    for chunks in (1, 2, 6, 7, 9):
        assert (column_sum(FLOAT32, x, chunks, 32) == x.sum(0)).all()
