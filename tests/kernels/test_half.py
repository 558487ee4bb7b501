"""The host's __half and __nv_bfloat16, in the place of CUDA's: every value, and every rounding."""

from __future__ import annotations

import numpy as np
import pytest

from gpunet.backend.cuda import source
from tests.kernels import needs
from tests.kernels.dtypes import BFLOAT16, FLOAT16, Array, DType
from tests.kernels.host import build
from tests.kernels.host.device import SCHEDULES, Device

pytestmark = needs.compiler

CONVERT = """
KERNEL(widen)(const T* x, float* y, long long n) { GRID_STRIDE(i, n) y[i] = acc_t(x[i]); }
KERNEL(narrow)(const float* x, T* y, long long n) { GRID_STRIDE(i, n) y[i] = T(x[i]); }
"""


def convert(name: str, dtype: DType, x: Array, result: type[np.generic]) -> Array:
    device = Device(SCHEDULES[0])
    y = device.empty(x.shape, result)
    kernel = build.load_text(source.text("dropout") + CONVERT, dtype)[name]
    device.launch(kernel, 1, 32, device.array(x), y, x.size)
    return y


@pytest.mark.parametrize("dtype", [FLOAT16, BFLOAT16], ids=str)
def test_every_value_is_widened_exactly(dtype: DType) -> None:
    every = np.arange(2**16, dtype=np.uint16).view(dtype.storage)
    with np.errstate(invalid="ignore"):  # some are signalling NaN
        np.testing.assert_array_equal(
            convert("widen", dtype, every, np.float32), dtype.decode(every)
        )


@pytest.mark.parametrize("dtype", [FLOAT16, BFLOAT16], ids=str)
def test_narrowing_rounds_to_nearest_even(dtype: DType) -> None:
    # Every value, the middle to its neighbour, and just beside the middle.
    with np.errstate(invalid="ignore", over="ignore"):
        values = dtype.decode(np.arange(2**16, dtype=np.uint16).view(dtype.storage))
        middles = ((values[:-1] + values[1:]) / 2).astype(np.float32)
        beside = np.nextafter(middles, np.float32(np.inf)), np.nextafter(middles, np.float32(0))
        x = np.concatenate([values.astype(np.float32), middles, *beside])
        expected = dtype.decode(dtype.encode(x))
        actual = dtype.decode(convert("narrow", dtype, x, dtype.storage))
    np.testing.assert_array_equal(actual, expected)
