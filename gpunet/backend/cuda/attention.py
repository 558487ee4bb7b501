"""Attention without a mask, its weights never in memory. Kernels: kernels/attention.cu.

CPU twins: gpunet/backend/cpu/attention.py. Heads are taken as they lie, between the heads of the
same position, say: the kernels know strides.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from gpunet.backend.base import WIDE, Array
from gpunet.backend.cuda.launch import MAX_GRID, Family, Grid
from gpunet.backend.cuda.matmul import batch_step
from gpunet.backend.cuda.source import CUDA_TYPES
from gpunet.backend.cuda.strided import StridedKernel

THREADS = 128
WIDTHS = (32, 64, 128)  # features that the tiles of attention.cu are made for
NUMBERS = 6 + 8 * 3  # in its struct Shape


@dataclass(frozen=True)
class Tiles:
    """The tiles of attention.cu for heads of some width.

    Attributes:
        rows: that a block owns.
        forward, backward: bytes of shared memory of a block.
    """

    rows: int
    forward: int
    backward: int


@functools.cache
def tiles(widest: int, itemsize: int) -> Tiles:
    """The tiles for heads of up to `widest` features; itemsize: of what sums are kept in."""
    width = next(w for w in WIDTHS if w >= widest)
    rows, pad, narrow = (64, 4, 1) if itemsize == 4 else (32, 2, 2)
    columns = (32 if width > 64 else 64) // narrow
    owned, passing = rows * (width + pad), columns * (width + pad)
    weights = rows * (columns + 2 * pad)
    forward = owned + 2 * passing + weights
    backward = 2 * owned + 2 * passing + weights + 2 * columns
    return Tiles(rows, forward * itemsize, backward * itemsize)


class Attention(Family):
    """See the CPU twins for what each function computes."""

    wrapper = StridedKernel

    def __init__(self, backend: Any, name: str):
        super().__init__(backend, name)
        # A model asks for the same few again and again, and each lies on the device.
        self._shape = functools.lru_cache(1024)(self._made_shape)

    def fits(self, q: Array, v: Array) -> bool:
        """Whether the kernels take heads of this dtype and these widths on this device."""
        narrowest, widest = sorted((q.shape[-1], v.shape[-1]))
        if not 0 < narrowest <= widest <= WIDTHS[-1] or q.dtype.name not in CUDA_TYPES:
            return False
        return tiles(widest, _sums(q).itemsize).backward <= self.limits.shared

    def attention_fwd(
        self, q: Array, k: Array, v: Array, out: Array, scale: float, first: int
    ) -> Any:
        """As the CPU twin; what is kept is `out`, and of each row the logarithm of its sum.

        `out` need not be contiguous, but the axes before its heads must lie as one.
        """
        q, k, v = (self._readable(x) for x in (q, k, v))
        lse = self.empty(q.shape[:-1], _sums(q))
        tile, shape = self._problem(q, k, v, out)
        kernel, grid = self.kernel("attention_fwd", q.dtype), self._grid(q, tile)
        arrays = q, k, v, out, lse, shape
        kernel(grid, THREADS, *arrays, first, scale, shared=tile.forward)
        return out, lse

    def attention_bwd(
        self,
        gy: Array,
        q: Array,
        k: Array,
        v: Array,
        gq: Array,
        gk: Array,
        gv: Array,
        scale: float,
        first: int,
        kept: Any,
    ) -> None:
        out, lse = kept
        gy, q, k, v = (self._readable(x) for x in (gy, q, k, v))
        delta = self.like(lse)
        tile, shape = self._problem(q, k, v, out, gy, gq, gk, gv)
        backward, finish = (self.kernel(f"attention_bwd{s}", q.dtype) for s in ("", "_finish"))
        arrays = gy, q, k, v, out, lse, gq, delta, shape
        backward(self._grid(q, tile), THREADS, *arrays, first, scale, shared=tile.backward)
        arrays = gy, q, k, v, lse, delta, gk, gv, shape
        finish(self._grid(k, tile), THREADS, *arrays, first, scale, shared=tile.backward)

    def _problem(self, *arrays: Array) -> tuple[Tiles, Array]:
        """The tiles for arrays that begin with q, k and v, and their struct Shape."""
        q, _, v = arrays[:3]
        (queries, features), (keys, width) = q.shape[-2:], v.shape[-2:]
        heads = q.shape[-3] if q.ndim > 3 else 1
        sizes = prod(q.shape[:-2]), heads, queries, keys, features, width
        strides = [_strides(x) for x in arrays]
        shape = self._shape(sizes, *strides)
        return tiles(max(features, width), _sums(q).itemsize), shape

    def _grid(self, x: Array, tile: Tiles) -> Grid:
        """A block for each tile of rows of x."""
        return min(prod(x.shape[:-2]) * -(-x.shape[-2] // tile.rows), MAX_GRID[0]), 1

    def _readable(self, x: Array) -> Array:
        """The array itself where the kernels know its strides, else a copy."""
        return x if _strides(x) else self.backend.copy(x)

    def _made_shape(self, *numbers: tuple[int, ...]) -> Array:
        """struct Shape of attention.cu."""
        known = [number for part in numbers for number in part]
        return self.backend.asarray(np.array(known + [0] * (NUMBERS - len(known)), np.int64))


def _sums(x: Array) -> Any:
    """The dtype that sums are kept in."""
    return np.dtype(WIDE.get(x.dtype.char, x.dtype))


def _strides(x: Array) -> tuple[int, int, int] | None:
    """Elements from a batch, a head and a row to the next; None if the kernels need more to know.

    An axis of heads is one of at least four; all before it are the batch.
    """
    size, (*lead, row, element) = x.dtype.itemsize, x.strides
    if element != size and x.shape[-1] > 1:
        return None
    batch, head = (*lead, 0, 0)[:2]
    if len(lead) > 2:
        head, several = lead[-1], batch_step(x.shape[:-3], lead[:-1], size)
        if several is None:
            return None
        batch = several * size
    return batch // size, head // size, row // size
