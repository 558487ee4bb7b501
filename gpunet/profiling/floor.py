"""The floor of an operation: the least time that its bytes and its arithmetic take on this machine.

Bytes take what a plain copy of as many bytes takes here, multiply-adds what they take in a large
product of matrices; both are measured when first asked for.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from time import perf_counter
from typing import Any

from gpunet.autograd import Op
from gpunet.backend import Backend
from gpunet.functional.attention import Attention
from gpunet.functional.conv import Conv, ConvTranspose
from gpunet.functional.linear import Linear, MatMul
from gpunet.functional.recurrent import Recurrent

SMALLEST, LARGEST = 1 << 12, 1 << 27  # bytes of a copy, read and written
PRODUCT = 1024  # rows and columns of the matrices
REPEATS = 7


def multiply_adds(op: Op, inputs: Any, result: Any) -> int:
    """Of a call of an operation, forward; or, without `inputs`, backward, given the gradient."""
    for kind, count in _COUNTS.items():
        if isinstance(op, kind):
            if inputs is not None:
                op.multiply_adds = count(inputs, result)  # type: ignore[attr-defined]
                return op.multiply_adds  # type: ignore[attr-defined]
            forward = getattr(op, "multiply_adds", 0)
            return forward * (sum(op.needs[:2]) if kind in (Linear, MatMul, Conv) else 2)
    return 0


def _attention(inputs: Any, out: Any) -> int:
    q, k, v = inputs[:3]
    rows = out.size // v.shape[-1]
    return rows * k.shape[-2] * (q.shape[-1] + v.shape[-1])


# A gradient of one operand of a product costs what the product does.
_COUNTS: dict[type, Callable[[Any, Any], int]] = {
    Linear: lambda inputs, y: y.size * inputs[1].shape[1],
    MatMul: lambda inputs, y: y.size * inputs[0].shape[-1],
    Conv: lambda inputs, y: y.size * inputs[1][0].size,
    ConvTranspose: lambda inputs, y: inputs[0].size * inputs[1][0].size,
    Attention: _attention,
    Recurrent: lambda inputs, y: y.shape[0] * y.shape[1] * (inputs[1].size + inputs[2].size),
}


def floor_seconds(be: Backend, moved: int, multiply_adds: int) -> float:
    """The least time for so many bytes and multiply-adds."""
    size = min(max(1 << max(0, moved - 1).bit_length(), SMALLEST), LARGEST)
    bytes_take = copy_seconds(be, size) * moved / size
    return max(bytes_take, multiply_adds * product_seconds(be))


@functools.lru_cache
def copy_seconds(be: Backend, moved: int) -> float:
    """A copy that reads and writes so many bytes together, the fastest of several."""
    x = be.full((moved // 8,), 1.0, "float32")
    y = be.empty(x.shape, "float32")

    def copy() -> None:
        y[...] = x

    return min(_fastest(be, copy), _fastest(be, lambda: be.activation.identity_fwd(x, out=y)))


@functools.lru_cache
def product_seconds(be: Backend) -> float:
    """A multiply-add of float32 in a large product of matrices."""
    x = be.full((PRODUCT, PRODUCT), 1.0, "float32")
    return _fastest(be, lambda: be.matmul(x, x)) / PRODUCT**3


def _fastest(be: Backend, work: Callable[[], Any]) -> float:
    """Seconds of the fastest of several calls; of the device's own time where it has a clock."""
    gpu = vars(be).get("gpu")  # as an attribute it would be looked for on the disk
    work()
    best = math.inf
    for _ in range(REPEATS):
        before, start = gpu and gpu.event(), perf_counter()
        work()
        took = perf_counter() - start
        best = min(best, gpu.event().milliseconds_since(before) / 1e3 if gpu else took)
    return best
