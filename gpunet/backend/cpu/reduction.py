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
from gpunet.backend.cpu.sums import column_tasks, sum_rows


@half
def column_sum(x: Array) -> Array:
    """Sum over all axes but the last, rows in order: the gradient of a bias.

    Shapes: x (..., C) C-contiguous; result (C,).
    """
    total = cache.empty((x.shape[-1],), x.dtype)
    if x.size < WORTHWHILE[x.dtype]:
        sum_rows[x.dtype](as_rows(x), total, 0, total.size)
    else:
        threads.run(column_tasks(x, total))
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
