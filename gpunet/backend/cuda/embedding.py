"""Rows looked up, and their gradient. Kernels: kernels/embedding.cu.

CPU twins: gpunet/backend/cpu/embedding.py.
"""

from __future__ import annotations

from typing import Any

from gpunet.backend.base import Array
from gpunet.backend.cuda.launch import Family, grid_stride

# Numbers that are sorted in one launch, each compared with all: 40 µs. CuPy's sort and search are a
# dozen launches, and cannot be recorded.
FEW = 1 << 13


class Embedding(Family):
    """See the CPU twins for what each function computes."""

    def embedding_fwd(self, weight: Array, index: Array) -> Array:
        """As the CPU twin, but an index outside [0, rows) is reported later, see `faults.py`."""
        (rows, columns), n = weight.shape, index.size
        y = self.empty((n, columns), weight.dtype)
        rule = f"x must be in [0, num_embeddings) = [0, {rows})"
        bad_row = self.backend.faults.watch("embedding", rule, index)
        launch = grid_stride(self.limits, y.size)
        kernel = self.kernel("embedding_fwd", weight.dtype)
        kernel(*launch, weight, index, y, bad_row, n, rows, columns)
        return y

    def embedding_bwd(self, gy: Array, index: Array, rows: int) -> Array:
        """As the CPU twin. A stable sort of the index finds what belongs to each row, in order."""
        blocks, n, columns = gy.shape
        total = self.empty((blocks, rows, columns), gy.dtype)
        order, starts = self._order(index, rows, gy.dtype)
        launch = grid_stride(self.limits, total.size)
        kernel = self.kernel("embedding_bwd", gy.dtype)
        kernel(*launch, gy, order, starts, total, blocks, n, rows, columns)
        return total

    def _order(self, index: Array, rows: int, dtype: Any) -> tuple[Array, Array]:
        """The numbers of an index sorted by it, and where those of each row begin."""
        xp, n = self.gpu.xp, index.size
        if n > FEW:
            order = xp.argsort(index, kind="stable").astype("int64", copy=False)
            places = xp.searchsorted(index[order], xp.arange(rows + 1))
            return order, places.astype("int64", copy=False)
        order, starts = self.empty((n,), "int64"), self.empty((rows + 1,), "int64")
        launch = grid_stride(self.limits, n + rows + 1)
        self.kernel("embedding_bwd_order", dtype)(*launch, index, order, starts, n, rows)
        return order, starts
