"""Convolutions, their gradients, and patches. Kernels: kernels/conv*.cu.

CPU twins: gpunet/backend/cpu/conv.py.
"""

from __future__ import annotations

import functools
from math import prod
from typing import Any

import numpy as np

from gpunet.backend.base import Array
from gpunet.backend.cuda.launch import BLOCK, MAX_GRID, Family, Grid, grid_stride

Three = tuple[int, int, int]
Padding = tuple[tuple[int, int], tuple[int, int], tuple[int, int]]

TILE = 64  # rows and columns of a result that a block owns; see conv_block.cu
# Of the sum over samples and positions that a chunk of conv_bwd_w has at least: long sums are
# more exact in chunks, too.
STEPS = 128


class Conv(Family):
    """See the CPU twins for what each function computes. All arrays are C-contiguous."""

    def __init__(self, backend: Any, name: str):
        super().__init__(backend, name)
        # A model asks for the same few again and again, and each lies on the device.
        self._geometry = functools.lru_cache(1024)(self._made_geometry)

    def conv_fwd(
        self,
        x: Array,
        w: Array,
        bias: Array | None,
        stride: Three,
        padding: Padding,
        dilation: Three,
        groups: int,
    ) -> Array:
        out = _lengths(x.shape[2:], w.shape[2:], stride, padding, dilation)
        y = self.empty((x.shape[0], w.shape[0], *out), x.dtype)
        geometry = self._of(x.shape, w.shape, out, stride, padding, dilation, groups)
        grid = self._tiles(groups, w.shape[0] // groups, x.shape[0] * prod(out))
        self.kernel("conv_fwd", x.dtype)(grid, BLOCK, x, w, bias, y, geometry)
        return y

    def conv_bwd_x(
        self,
        gy: Array,
        w: Array,
        shape: Three,
        stride: Three,
        padding: Padding,
        dilation: Three,
        groups: int,
        bias: Array | None = None,
    ) -> Array:
        gx = self.empty((gy.shape[0], w.shape[1] * groups, *shape), gy.dtype)
        geometry = self._of(gx.shape, w.shape, gy.shape[2:], stride, padding, dilation, groups)
        phases = prod(stride)
        elements = gx.shape[0] * -(-prod(shape) // phases)
        across = self._tiles(groups, w.shape[1], elements)[0]
        grid = across, min(phases, MAX_GRID[1])
        self.kernel("conv_bwd_x", gy.dtype)(grid, BLOCK, gy, w, bias, gx, geometry)
        return gx

    def conv_bwd_w(
        self,
        x: Array,
        gy: Array,
        kernel: Three,
        stride: Three,
        padding: Padding,
        dilation: Three,
        groups: int,
    ) -> Array:
        """As the CPU twin. The sum is cut into chunks where the tiles alone would leave cores idle.

        How many there are follows from the shape and the device, so its bits are always the same.
        """
        gw = self.empty((gy.shape[1], x.shape[1] // groups, *kernel), x.dtype)
        geometry = self._of(x.shape, gw.shape, gy.shape[2:], stride, padding, dilation, groups)
        tiles = self._tiles(groups, gw.shape[0] // groups, prod(gw.shape[1:]))[0]
        most = self.limits.processors * self.limits.threads // BLOCK
        steps = gy.shape[0] * prod(gy.shape[2:])
        chunks = max(1, min(most // max(1, tiles), steps // STEPS, MAX_GRID[1]))
        accumulator = "float64" if x.dtype.char == "d" else "float32"
        partial = self.empty((chunks, *gw.shape), accumulator)
        self.kernel("conv_bwd_w", x.dtype)((tiles, chunks), BLOCK, x, gy, partial, geometry)
        finish = self.kernel("conv_bwd_w_finish", x.dtype)
        finish(*grid_stride(self.limits, gw.size), partial, gw, chunks, gw.size)
        return gw

    def im2col(
        self, x: Array, kernel: Three, stride: Three, padding: Padding, dilation: Three
    ) -> Array:
        out = _lengths(x.shape[2:], kernel, stride, padding, dilation)
        columns = self.empty((x.shape[0], x.shape[1] * prod(kernel), prod(out)), x.dtype)
        w_shape = (0, x.shape[1], *kernel)
        geometry = self._of(x.shape, w_shape, out, stride, padding, dilation, 1)
        launch = grid_stride(self.limits, columns.size // prod(kernel))
        self.kernel("im2col", x.dtype)(*launch, x, columns, geometry)
        return columns

    def col2im(
        self,
        columns: Array,
        shape: Three,
        kernel: Three,
        stride: Three,
        padding: Padding,
        dilation: Three,
    ) -> Array:
        out = _lengths(shape, kernel, stride, padding, dilation)
        channels = columns.shape[1] // prod(kernel)
        x = self.empty((columns.shape[0], channels, *shape), columns.dtype)
        geometry = self._of(x.shape, (0, channels, *kernel), out, stride, padding, dilation, 1)
        launch = grid_stride(self.limits, x.size)
        self.kernel("col2im", x.dtype)(*launch, columns, x, geometry)
        return x

    def _tiles(self, groups: int, rows: int, columns: int) -> Grid:
        """Blocks for the tiles of a product, as many as the grid may have."""
        tiles = groups * -(-rows // TILE) * -(-columns // TILE)
        return min(tiles, MAX_GRID[0]), 1

    def _of(
        self,
        x: Any,
        w: Any,
        out: Any,
        stride: Three,
        padding: Padding,
        dilation: Three,
        groups: int,
    ) -> Array:
        """struct Geometry of conv.cu for arrays of these shapes."""
        before = tuple(pad[0] for pad in padding)
        filters = w[0] // groups
        moved = (*stride, *before, *dilation)
        return self._geometry((x[0], groups, w[1], filters, *x[2:], *out, *w[2:], *moved))

    def _made_geometry(self, numbers: tuple[int, ...]) -> Array:
        return self.backend.asarray(np.array(numbers, np.int64))


def _lengths(size: Any, kernel: Any, stride: Three, padding: Padding, dilation: Three) -> Any:
    """How many positions a filter has along each axis."""
    axes = zip(size, kernel, stride, padding, dilation, strict=True)
    return tuple((n + sum(pad) - d * (k - 1) - 1) // s + 1 for n, k, s, pad, d in axes)
