"""What is left of the CUDA backend: bfloat16 through every family, streams and events."""

from __future__ import annotations

import numpy as np
import pytest

import gpunet
from gpunet import functional as F
from gpunet.backend import cuda
from tests.kernels import needs

pytestmark = needs.compiler


def test_bfloat16(be) -> None:
    """Each result is that of float32 on the same numbers, rounded to eight bits."""
    ml_dtypes = pytest.importorskip(
        "ml_dtypes", reason="ml_dtypes is not installed: bfloat16 is NOT tried"
    )
    bfloat16 = np.dtype(ml_dtypes.bfloat16)
    rounded = np.random.default_rng(0).normal(0, 1, (5, 33)).astype(bfloat16)
    x, wide = be.asarray(rounded), be.asarray(rounded.astype("float32"))
    for kernel in (
        lambda x: be.activation.gelu_fwd(x, bias=x[0]),
        lambda x: be.activation.elu_bwd(x, x, 0.5, 1.0, 1.0),
        lambda x: be.softmax.log_softmax_fwd(x),
        lambda x: be.reduction.column_sum(x),
        lambda x: be.dropout.dropout(x, 0.5, 1, 2),
        lambda x: be.matmul(x, x.T),
    ):
        got, expected = be.to_host(kernel(x)), be.to_host(kernel(wide))
        assert got.dtype == bfloat16
        np.testing.assert_array_equal(got, expected.astype(bfloat16))


def test_streams_and_events(be) -> None:
    start = be.gpu.event()
    with be.gpu.stream():
        y = F.relu(gpunet.tensor([-1.0, 2.0], device="cuda:0"))
    end = be.gpu.event()
    be.synchronize()
    assert y.tolist() == [0, 2]
    assert end.milliseconds_since(start) >= 0
    assert start.milliseconds_since(start) == 0


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("axis", [(0,), (0, 1)])
@pytest.mark.parametrize("keepdims", [False, True])
def test_sums_of_columns(be, dtype, axis, keepdims) -> None:
    shape = 64, 32, 40
    assert np.prod(shape) >= cuda.LONG
    x = np.random.default_rng(0).standard_normal(shape).astype(dtype)
    exact = x.astype("float64")
    total = be.sum(be.asarray(x), axis, keepdims).get()
    assert total.shape == exact.sum(axis, keepdims=keepdims).shape
    assert total.dtype == dtype
    # Added up one after the other, in float32 if not in float64, and rounded at the end.
    count, sums = np.prod([shape[i] for i in axis]), "float64" if dtype == "float64" else "float32"
    bound = count * np.finfo(sums).eps * np.abs(exact).sum(axis, keepdims=keepdims)
    bound += np.finfo(dtype).eps * np.abs(exact.sum(axis, keepdims=keepdims))
    assert (np.abs(total - exact.sum(axis, keepdims=keepdims)) <= bound).all()


@pytest.mark.parametrize("count", [2, cuda.FEW + 1])
@pytest.mark.parametrize("axis", [0, 1, -1])
def test_arrays_are_joined(be, count, axis) -> None:
    parts = [np.full((2, 3, 2), i, "float32") for i in range(count)]
    joined = be.concatenate([be.asarray(part) for part in parts], axis)
    assert np.array_equal(joined.get(), np.concatenate(parts, axis))
