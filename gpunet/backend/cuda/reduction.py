"""Reductions. Kernels: kernels/reduction.cu. CPU twins: gpunet/backend/cpu/reduction.py."""

from __future__ import annotations

from gpunet.backend.base import Array, DType
from gpunet.backend.cuda.launch import BLOCK, WARP, Family, column_tiles


class Reduction(Family):
    """See the CPU twins for what each function computes."""

    def column_sum(self, x: Array) -> Array:
        columns = x.shape[-1]
        rows = x.size // columns if columns else 0
        (tiles, pieces), threads = column_tiles(self.limits, rows, columns)
        accumulator = "float64" if x.dtype.char == "d" else "float32"
        partial = self.empty((pieces, columns), accumulator)
        first = self.kernel("column_sum", x.dtype)
        first((tiles, pieces), threads, x, partial, rows, columns)
        return self.sum_of_parts(partial, x.dtype)

    def sum_of_parts(self, partial: Array, dtype: DType) -> Array:
        """Σ over the rows of `partial`, which is of the dtype that `dtype` is summed up in."""
        pieces, columns = partial.shape
        total = self.empty((columns,), dtype)
        finish = self.kernel("column_sum_finish", dtype)
        finish((-(-columns // WARP), 1), BLOCK, partial, total, pieces, columns)
        return total
