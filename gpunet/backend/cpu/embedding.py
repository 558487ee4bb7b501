"""Rows looked up in a table, and their gradient. CUDA twins: kernels/embedding.cu.

The gradient is also that of every other operation that picks by position and may pick one twice.
"""

from __future__ import annotations

from gpunet.backend.base import Array
from gpunet.backend.cpu import threads
from gpunet.backend.cpu.half import half
from gpunet.backend.cpu.jit import kernel
from gpunet.backend.cpu.memory import cache
from gpunet.errors import ArgumentError

_SHARED = 1 << 17  # elements from which a second thread is worth waking
_LINE = 16  # columns or rows that a share begins at a multiple of: threads write into lines apart


@kernel
def _embedding_fwd(weight, index, y, first, last):
    for i in range(first, last):
        row = index[i]
        for j in range(weight.shape[1]):
            y[i, j] = weight[row, j]


@kernel
def _embedding_bwd(gy, index, total, first, last):
    for i in range(index.size):
        row = index[i]
        for j in range(first, last):
            total[row, j] += gy[i, j]


@kernel
def _embedding_bwd_blocks(gy, index, total, first, last):
    columns = gy.shape[2]
    for block in range(first, last):
        if columns == 1:
            for i in range(index.size):
                total[block, index[i], 0] += gy[block, i, 0]
        else:
            for i in range(index.size):
                row = index[i]
                for j in range(columns):
                    total[block, row, j] += gy[block, i, j]


def embedding_fwd(weight: Array, index: Array) -> Array:
    """y[i] = weight[index[i]].

    Shapes: weight (rows, C) C-contiguous, index (n,) int64; result (n, C).
    Raises: ArgumentError for an index outside [0, rows).
    """
    if weight.dtype.char == "e":  # only moved: no need to know what the bits mean
        return embedding_fwd(weight.view("int16"), index).view("float16")
    rows, columns = weight.shape
    if index.size and not 0 <= index.min() <= index.max() < rows:
        got = index.min() if index.min() < 0 else index.max()
        problem = f"x must be in [0, num_embeddings) = [0, {rows}), got {got}"
        raise ArgumentError("embedding", problem)
    y = cache.empty((index.size, columns), weight.dtype)
    run = _embedding_fwd[weight.dtype]
    threads.run([(run, (weight, index, y, *share)) for share in _shares(index.size, y.size)])
    return y


@half
def embedding_bwd(gy: Array, index: Array, rows: int) -> Array:
    """Zeros of shape (B, rows, C), to which gy[b, i] is added at row index[i], i in order.

    Shapes: gy (B, n, C) C-contiguous, index (n,) int64 in [0, rows); result (B, rows, C).
    """
    blocks, _, columns = gy.shape
    total = cache.empty((blocks, rows, columns), gy.dtype)
    total.fill(0)
    if blocks == 1 and columns > 1:  # each thread takes all rows of its columns
        run, whole, sums = _embedding_bwd[gy.dtype], gy[0], total[0]
        shares = _shares(columns, gy.size)
        threads.run([(run, (whole, index, sums, *share)) for share in shares])
    else:
        run = _embedding_bwd_blocks[gy.dtype]
        threads.run([(run, (gy, index, total, *share)) for share in _shares(blocks, gy.size)])
    return total


def _shares(length: int, elements: int) -> list[tuple[int, int]]:
    """(first, last) of each thread's part of an axis."""
    if elements < _SHARED:
        return [(0, length)]
    return [(cut.start, cut.stop) for cut in threads.cuts(length, _LINE)]
