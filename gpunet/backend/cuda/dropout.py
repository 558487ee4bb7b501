"""Dropout and random numbers. Kernels: kernels/dropout.cu.

CPU twins: gpunet/backend/cpu/dropout.py.
"""

from __future__ import annotations

from gpunet.backend.base import Array
from gpunet.backend.cuda.launch import Family, grid_stride


class Dropout(Family):
    """See the CPU twins for what each function computes."""

    def dropout(self, x: Array, p: float, seed: int, counter: int) -> Array:
        y = self.like(x)
        threshold, scale = round(p * 2**32), 1.0 / (1.0 - p) if p < 1.0 else 0.0
        launch = grid_stride(self.limits, (x.size + 3) // 4)
        kernel = self.kernel("dropout", x.dtype)
        kernel(*launch, x, y, x.size, threshold, scale, seed, counter, self._offset)
        return y

    def uniform(self, like: Array, low: float, high: float, seed: int, counter: int) -> Array:
        y = self.like(like)
        launch = grid_stride(self.limits, (y.size + 3) // 4)
        kernel = self.kernel("uniform", y.dtype)
        kernel(*launch, y, y.size, low, high, seed, counter, self._offset)
        return y

    @property
    def _offset(self) -> Array | None:
        """Of the counter, while a step is recorded."""
        recording = self.gpu.recording
        return None if recording is None else recording.offset
