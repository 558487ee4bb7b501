"""Reductions where NumPy's own are not the best fit. CUDA twins: kernels/reduction.cu."""

from __future__ import annotations

from gpunet.backend.base import Array
from gpunet.backend.cpu.half import half
from gpunet.backend.cpu.jit import FAST_SUM, kernel
from gpunet.backend.cpu.memory import cache


@kernel
def _column_sum(x, total):
    for j in range(total.size):
        total[j] = 0.0
    for start in range(0, x.size, total.size):
        row = x[start : start + total.size]
        for j in range(total.size):
            total[j] += row[j]


@half
def column_sum(x: Array) -> Array:
    """Sum over all axes but the last, rows in order: the gradient of a bias.

    Shapes: x (..., C) C-contiguous; result (C,).
    """
    total = cache.empty(x.shape[-1:], x.dtype)
    if total.size:
        _column_sum[x.dtype](x.reshape(-1), total)
    return total


@kernel(inline=True, fastmath=FAST_SUM | {"nnan", "ninf"})
def row_max(x):
    """Largest element; unspecified if there is a NaN.

    The NaN then shows in whatever is done with the row.
    """
    top = x[0]
    for j in range(x.size):
        top = max(top, x[j])
    return top


@kernel(inline=True, fastmath=FAST_SUM)
def row_sum(x):
    """Sum in vector registers."""
    total = 0.0
    for j in range(x.size):
        total += x[j]
    return total


@kernel(inline=True, fastmath=FAST_SUM)
def row_dot(x, y):
    """Sum of products in vector registers."""
    total = 0.0
    for j in range(x.size):
        total += x[j] * y[j]
    return total
