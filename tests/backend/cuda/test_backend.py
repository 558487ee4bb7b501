"""What is left of the CUDA backend: bfloat16 through every family, streams and events."""

from __future__ import annotations

import numpy as np
import pytest

import gpunet
from gpunet import functional as F
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
