"""Normalisation by mean and variance. Kernels: kernels/normalization.cu.

CPU twins: gpunet/backend/cpu/normalization.py.
"""

from __future__ import annotations

from math import prod

from gpunet.backend.base import Array
from gpunet.backend.cuda.launch import (
    BLOCK,
    Family,
    Grid,
    block_per_row,
    column_tiles,
    grid_stride,
    warp_per_row,
)

CHUNK = 4096  # elements of a channel that are work for a block
CHUNKS = 64  # at most, of a channel
WIDE = 16  # bytes that a kernel reads at once
KEPT = 4096  # bytes of a row, in the dtype of its sums, that a warp keeps in registers


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
        sizes, parameters = (samples, channels, size), (weight, bias)
        chunks = _chunks(samples * size)
        if x.size and chunks == 1:
            launch = block_per_row(self.limits, channels, samples * size)
            kernel = self.kernel("batch_norm_fwd", x.dtype)
            kernel(*launch, x, *parameters, mean, var, y, *sizes, eps, given, relu)
        elif x.size:
            partial, launch = None, ((channels, chunks), BLOCK)
            if not given:
                partial = self.empty((channels, chunks, 3), mean.dtype)
                self.kernel("batch_norm_fwd_partial", x.dtype)(*launch, x, partial, *sizes)
            finish = self.kernel("batch_norm_fwd_finish", x.dtype)
            finish(*launch, x, *parameters, partial, mean, var, y, *sizes, eps, given, relu)
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
        if not x.size:
            gw, gb = (self.backend.full((channels,), 0, x.dtype) for _ in range(2))
            return gx, gw, gb
        gw, gb = (self.empty((channels,), x.dtype) for _ in range(2))
        sizes, arrays = (samples, channels, size), (gy, x, weight, bias, mean, var)
        chunks = _chunks(samples * size)
        if chunks == 1:
            launch = block_per_row(self.limits, channels, samples * size)
            kernel = self.kernel("batch_norm_bwd", x.dtype)
            kernel(*launch, *arrays, gx, gw, gb, *sizes, eps, given, relu)
        else:
            launch = (channels, chunks), BLOCK
            partial = self.empty((channels, chunks, 2), mean.dtype)
            first = self.kernel("batch_norm_bwd_partial", x.dtype)
            first(*launch, *arrays, partial, *sizes, eps, relu)
            finish = self.kernel("batch_norm_bwd_finish", x.dtype)
            finish(*launch, *arrays, partial, gx, gw, gb, *sizes, eps, given, relu)
        return gx, gw, gb

    def running_stats(self, kept: Array, found: Array, momentum: float, factor: float) -> None:
        wide = "float64" if kept.dtype.char == "d" else "float32"
        found = self.backend.contiguous(self.backend.asarray(found, wide))
        launch = grid_stride(self.limits, kept.size)
        kernel = self.kernel("running_stats", kept.dtype)
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
            plain = columns == channels or (weight is None and bias is None)
            launch = self._rows(x, mean, columns, plain)
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
        launch = self._rows(x, mean, columns, columns == channels or weight is None)
        kernel, sizes = self.kernel("row_norm_bwd", x.dtype), (rows, columns, channels, spread)
        kernel(*launch, gy, x, weight, mean, var, gx, *sizes, eps, centred)
        if not wanted:
            return (gx,)
        width = channels * spread
        samples = x.size // width
        pieces = width // (_neighbours(x) if columns % _neighbours(x) == 0 else 1)
        (tiles, chunks), threads = column_tiles(self.limits, samples, pieces)
        partial = self.empty((chunks, 2, width), mean.dtype)
        finish = self.kernel("row_norm_bwd_finish", x.dtype)
        finish((tiles, chunks), threads, gy, x, mean, var, partial, samples, width, columns, eps)
        if spread > 1:
            partial = partial.reshape(chunks, 2, channels, spread).sum(3)
        sums = self.backend.reduction.sum_of_parts(partial.reshape(chunks, 2 * channels), x.dtype)
        return gx, sums[:channels], sums[channels:]

    def _rows(self, x: Array, mean: Array, columns: int, plain: bool) -> tuple[Grid, int]:
        """The launch for rows: a warp to each that it can keep, see the kernels, else a block.

        `plain`: whether column j has channel j, or there are no parameters of channels.
        """
        if plain and columns * mean.itemsize <= KEPT and columns % _neighbours(x) == 0:
            return warp_per_row(mean.size)
        return block_per_row(self.limits, mean.size, columns)


def _neighbours(x: Array) -> int:
    """Elements that a kernel reads at once, where they are aligned."""
    return WIDE // x.itemsize


def _chunks(count: int) -> int:
    """Blocks that share a channel of `count` elements, on any device: so are its sums the same."""
    return min(max(1, count // CHUNK), CHUNKS)


def _blocks(x: Array) -> tuple[int, int, int]:
    """Samples, channels, and elements of each."""
    return x.shape[0], x.shape[1], prod(x.shape[2:])
