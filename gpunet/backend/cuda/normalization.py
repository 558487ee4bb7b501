"""Normalisation by mean and variance. Kernels: kernels/normalization.cu.

CPU twins: gpunet/backend/cpu/normalization.py.
"""

from __future__ import annotations

from math import prod

from gpunet.backend.base import Array
from gpunet.backend.cuda.launch import Family, block_per_row, column_tiles, grid_stride


class Normalization(Family):
    """See the CPU twins for what each function computes."""

    def batch_norm_fwd(
        self,
        x: Array,
        weight: Array | None,
        bias: Array | None,
        mean: Array,
        var: Array,
        eps: float,
        given: bool,
        relu: bool,
    ) -> Array:
        y, (samples, channels, size) = self.like(x), _blocks(x)
        if x.size:
            launch = block_per_row(self.limits, channels, samples * size)
            kernel, sizes = self.kernel("batch_norm_fwd", x.dtype), (samples, channels, size)
            kernel(*launch, x, weight, bias, mean, var, y, *sizes, eps, given, relu)
        return y

    def batch_norm_bwd(
        self,
        gy: Array,
        x: Array,
        weight: Array | None,
        bias: Array | None,
        mean: Array,
        var: Array,
        eps: float,
        given: bool,
        relu: bool,
    ) -> tuple[Array, Array, Array]:
        gx, (samples, channels, size) = self.like(x), _blocks(x)
        gw, gb = (self.backend.full((channels,), 0, x.dtype) for _ in range(2))
        if x.size:
            launch = block_per_row(self.limits, channels, samples * size)
            kernel, sizes = self.kernel("batch_norm_bwd", x.dtype), (samples, channels, size)
            arrays = gy, x, weight, bias, mean, var, gx, gw, gb
            kernel(*launch, *arrays, *sizes, eps, given, relu)
        return gx, gw, gb

    def running_stats(self, kept: Array, found: Array, momentum: float, factor: float) -> None:
        wide = "float64" if kept.dtype.char == "d" else "float32"
        found = self.backend.contiguous(self.backend.asarray(found, wide))
        launch, kernel = (
            grid_stride(self.limits, kept.size),
            self.kernel("running_stats", kept.dtype),
        )
        kernel(*launch, kept, found, kept.size, momentum, factor)

    def row_norm_fwd(
        self,
        x: Array,
        weight: Array | None,
        bias: Array | None,
        mean: Array,
        var: Array,
        channels: int,
        spread: int,
        eps: float,
        centred: bool,
    ) -> Array:
        y, rows = self.like(x), mean.size
        if x.size:
            columns = x.size // rows
            launch = block_per_row(self.limits, rows, columns)
            kernel, sizes = self.kernel("row_norm_fwd", x.dtype), (rows, columns, channels, spread)
            kernel(*launch, x, weight, bias, mean, var, y, *sizes, eps, centred)
        return y

    def row_norm_bwd(
        self,
        gy: Array,
        x: Array,
        weight: Array | None,
        mean: Array,
        var: Array,
        channels: int,
        spread: int,
        eps: float,
        centred: bool,
        wanted: bool,
    ) -> tuple[Array, ...]:
        gx, rows = self.like(x), mean.size
        if not x.size:
            zeros = [self.backend.full((channels,), 0, x.dtype) for _ in range(2 * wanted)]
            return gx, *zeros
        columns = x.size // rows
        launch = block_per_row(self.limits, rows, columns)
        kernel, sizes = self.kernel("row_norm_bwd", x.dtype), (rows, columns, channels, spread)
        kernel(*launch, gy, x, weight, mean, var, gx, *sizes, eps, centred)
        if not wanted:
            return (gx,)
        width = channels * spread
        samples = x.size // width
        (tiles, chunks), threads = column_tiles(self.limits, samples, width)
        partial = self.empty((chunks, 2, width), mean.dtype)
        finish = self.kernel("row_norm_bwd_finish", x.dtype)
        finish((tiles, chunks), threads, gy, x, mean, var, partial, samples, width, columns, eps)
        sums = partial.reshape(chunks, 2, channels, spread).sum((0, 3)).astype(x.dtype, copy=False)
        return gx, sums[0], sums[1]


def _blocks(x: Array) -> tuple[int, int, int]:
    """Samples, channels, and elements of each."""
    return x.shape[0], x.shape[1], prod(x.shape[2:])
