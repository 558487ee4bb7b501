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
    for row in range(total.shape[0]):
        total[row, first:last] = 0.0
    for i in range(index.size):
        row = index[i]
        for j in range(first, last):
            total[row, j] += gy[i, j]


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
    """Zeros of shape (rows, C), to which gy[i] is added at row index[i], i in order.

    Shapes: gy (n, C) C-contiguous, index (n,) int64 in [0, rows); result (rows, C).
    """
    total = cache.empty((rows, gy.shape[1]), gy.dtype)
    run = _embedding_bwd[gy.dtype]
    shares = _shares(gy.shape[1], max(gy.size, total.size))  # each thread all rows of its columns
    threads.run([(run, (gy, index, total, *share)) for share in shares])
    return total


def _shares(length: int, elements: int) -> list[tuple[int, int]]:
    """(first, last) of each thread's part of an axis."""
    if elements < _SHARED:
        return [(0, length)]
    return [(cut.start, cut.stop) for cut in threads.cuts(length, _LINE)]
