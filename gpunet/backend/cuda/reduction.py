"""Reductions. Kernels: kernels/reduction.cu. CPU twins: gpunet/backend/cpu/reduction.py."""

from __future__ import annotations

from gpunet.backend.base import Array
from gpunet.backend.cuda.launch import Family, column_tiles


class Reduction(Family):
    """See the CPU twins for what each function computes."""

    def column_sum(self, x: Array) -> Array:
        columns = x.shape[-1]
        rows = x.size // columns if columns else 0
        total = self.empty((columns,), x.dtype)
        (tiles, pieces), threads = column_tiles(self.limits, rows, columns)
        accumulator = "float64" if x.dtype.char == "d" else "float32"
        partial = self.empty((pieces, columns), accumulator)
        first, finish = (self.kernel(f"column_sum{s}", x.dtype) for s in ("", "_finish"))
        first((tiles, pieces), threads, x, partial, rows, columns)
        finish((tiles, 1), threads, partial, total, pieces, columns)
        return total
