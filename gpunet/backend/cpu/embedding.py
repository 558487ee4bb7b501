"""Rows looked up in a table, and their gradient. CUDA twins: kernels/embedding.cu.

The gradient is also that of every other operation that picks by position and may pick one twice.
"""

from __future__ import annotations

import numpy as np

from gpunet.backend.base import Array
from gpunet.backend.cpu import threads
from gpunet.backend.cpu.half import half
from gpunet.backend.cpu.jit import kernel
from gpunet.backend.cpu.memory import cache
from gpunet.backend.cpu.share import PLAIN, share
from gpunet.backend.dtypes import HALVES
from gpunet.errors import ArgumentError

_SINGLE = np.dtype("float32")


@kernel
def _embedding_fwd(weight, index, y, start, stop):
    for i in range(start, stop):
        row, out = weight[index[i]], y[i]
        for j in range(row.size):
            out[j] = row[j]


@kernel
def _embedding_bwd(gy, index, total, start, stop):
    """For the columns from `start` to `stop`."""
    for block in range(gy.shape[0]):
        rows, sums = gy[block, :, start:stop], total[block, :, start:stop]
        if stop - start == 1:
            for i in range(index.size):
                sums[index[i], 0] += rows[i, 0]
        else:
            for i in range(index.size):
                g, out = rows[i], sums[index[i]]
                for j in range(g.size):
                    out[j] += g[j]


def embedding_fwd(weight: Array, index: Array) -> Array:
    """y[i] = weight[index[i]].

    Shapes: weight (rows, C) C-contiguous, index (n,) int64; result (n, C).
    Raises: ArgumentError for an index outside [0, rows).
    """
    if weight.dtype.char in HALVES:  # only moved: no need to know what the bits mean
        return embedding_fwd(weight.view("int16"), index).view(weight.dtype)
    rows, columns = weight.shape
    if index.size and not 0 <= index.min() <= index.max() < rows:
        got = index.min() if index.min() < 0 else index.max()
        problem = f"x must be in [0, num_embeddings) = [0, {rows}), got {got}"
        raise ArgumentError("embedding", problem)
    y = cache.empty((index.size, columns), weight.dtype)
    call, arrays = _embedding_fwd[weight.dtype], (weight, index, y)
    share(call, arrays, index.size, columns, _SINGLE)  # to move a number is cheap in any dtype
    return y


@half
def embedding_bwd(gy: Array, index: Array, rows: int) -> Array:
    """Zeros of shape (B, rows, C), to which gy[b, i] is added at row index[i], i in order.

    Shapes: gy (B, n, C) C-contiguous, index (n,) int64 in [0, rows); result (B, rows, C).
    """
    total = cache.empty((gy.shape[0], rows, gy.shape[2]), gy.dtype)
    total.fill(0)
    parts = threads.count() if gy.size >= PLAIN else 1
    edges = threads.edges(gy.shape[2], parts, 16)
    threads.spread(_embedding_bwd[gy.dtype], edges, (gy, index, total))
    return total
