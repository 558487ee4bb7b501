"""Rows looked up, and their gradient. Kernels: kernels/embedding.cu.

CPU twins: gpunet/backend/cpu/embedding.py.
"""

from __future__ import annotations

from gpunet.backend.base import Array
from gpunet.backend.cuda.launch import Family, grid_stride


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
        xp, (blocks, n, columns) = self.gpu.xp, gy.shape
        total = self.empty((blocks, rows, columns), gy.dtype)
        order = xp.argsort(index, kind="stable").astype("int64", copy=False)
        starts = xp.searchsorted(index[order], xp.arange(rows + 1)).astype("int64", copy=False)
        launch = grid_stride(self.limits, total.size)
        kernel = self.kernel("embedding_bwd", gy.dtype)
        kernel(*launch, gy, order, starts, total, blocks, n, rows, columns)
        return total
