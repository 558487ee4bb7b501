"""Reductions where NumPy's own are not the best fit. CUDA twins: kernels/reduction.cu."""

from __future__ import annotations

from typing import Any

from numba.extending import intrinsic

from gpunet.backend.base import Array
from gpunet.backend.cpu import threads
from gpunet.backend.cpu.half import half
from gpunet.backend.cpu.jit import FAST_SUM, kernel
from gpunet.backend.cpu.memory import cache
from gpunet.backend.cpu.share import WORTHWHILE, as_rows


@kernel
def _column_sum(x, total, start, stop):
    """For the columns from `start` to `stop`."""
    total = total[start:stop]
    for j in range(total.size):
        total[j] = 0.0
    for i in range(x.shape[0]):
        row = x[i, start:stop]
        for j in range(total.size):
            total[j] += row[j]


@half
def column_sum(x: Array) -> Array:
    """Sum over all axes but the last, rows in order: the gradient of a bias.

    Shapes: x (..., C) C-contiguous; result (C,).
    """
    columns, dtype = x.shape[-1], x.dtype
    total = cache.empty((columns,), dtype)
    if not columns:
        return total
    arguments = as_rows(x), total
    if x.size < WORTHWHILE[dtype]:
        _column_sum[dtype](*arguments, 0, columns)
    else:
        cuts = threads.cuts(columns, 16)
        threads.run([(_column_sum[dtype], (*arguments, cut.start, cut.stop)) for cut in cuts])
    return total


def _write_larger(typing_context, x, y):
    def write(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        # LLVM makes vector code only of a choice that is marked so, and Numba's `fastmath` marks
        # all but choices.
        flags = ("nnan", "nsz")
        return builder.select(builder.fcmp_ordered(">", *values, flags=flags), *values, flags=flags)

    return x(x, y), write


_larger: Any = intrinsic(_write_larger)


@kernel(inline=True)
def row_max(x):
    """Largest element; unspecified if there is a NaN.

    The NaN then shows in whatever is done with the row.
    """
    top = x[0]
    for j in range(x.size):
        top = _larger(top, x[j])
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
