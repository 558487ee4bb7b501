"""Matrix products of two axes, shared out over the threads.

A product is cut so that everything is read from a cache: `PANELS` elements of B are packed into
panels in the L2 cache; a block of A of up to `ROWS` × `DEPTH` joins them there; each panel in turn
moves into the L1 cache and meets all the block's rows, tile by tile (`tile.py`).

Every element of the result is a sum of chains of fused multiply-adds, one chain for each `DEPTH`
steps of k, whatever tile, panel or thread it falls to. So the number of threads never changes a bit
of it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types

from gpunet.backend.base import Array
from gpunet.backend.cpu import threads
from gpunet.backend.cpu.jit import ByDtype, T, kernel
from gpunet.backend.cpu.tile import (
    CACHE_LINE,
    HEIGHTS,
    PANEL_BYTES,
    RUN,
    VECTOR_BYTES,
    address,
    at,
    block_pitch,
    copy_panels,
    copy_vectors,
    multiply_tile,
    transpose_square,
    turned_pitch,
    workspace,
)

ROWS = RUN  # rows of A in a block, which stays in the L2 cache while it meets all panels
DEPTH = RUN  # steps of k at a time: a panel and the rows of a tile share the L1 cache
PANELS = 1 << 16  # elements of B packed at a time: a quarter of an L2 cache of 1 MiB
_SHARE_COLUMNS = PANEL_BYTES // 4
FEW_ROWS = 4  # up to so many rows of A, packing B would cost more than multiplying with it
SHARED_WORK = 4_000_000  # multiply-adds from which it pays to wake the other threads

ITEM = ByDtype(float32=4, float64=8)
LANES = ByDtype(float32=VECTOR_BYTES // 4, float64=VECTOR_BYTES // 8)
WIDTH = ByDtype(float32=PANEL_BYTES // 4, float64=PANEL_BYTES // 8)
TURNED_PITCH = ByDtype(float32=turned_pitch(4), float64=turned_pitch(8))
PITCH = ByDtype(float32=block_pitch(4), float64=block_pitch(8))


def _matrices(dtype: Any) -> Any:
    """c = f(a, b): any strides, so one variant serves plain, transposed and sliced operands."""
    operand = types.Array(dtype, 2, "A", readonly=True, aligned=False)
    return types.void(operand, operand, types.Array(dtype, 2, "A"))


@kernel(inline=True)
def _round_up(x, multiple):
    return -(-x // multiple) * multiple


@kernel(inline=True)
def _height(rows):
    for height in HEIGHTS:
        if height <= rows:
            return height
    return 0


@kernel(inline=True)
def _transpose_panels(b_turned, left, start, width, depth, panels):
    """Packs panels of B from Bᵀ, which runs along k."""
    for r in range(0, width, LANES):
        target = at(panels, (r - r % WIDTH) * depth * ITEM + r % WIDTH * ITEM)
        for d in range(0, depth, LANES):
            stored = min(LANES, depth - d)
            square = at(target, d * PANEL_BYTES)
            transpose_square(b_turned, left + r, start + d, square, PANEL_BYTES, stored, LANES)


@kernel(signature=_matrices)
def _multiply(a, b, c):
    """c = a·b, where a runs along one of its axes and b too."""
    m, k = a.shape
    n = b.shape[1]
    a_along_k, b_along_n = a.strides[1] == ITEM, b.strides[1] == ITEM
    step = _round_up(-(-k // -(-k // DEPTH)), LANES)  # as few steps as possible, and all alike
    stripe = _round_up(min(n, PANELS // step), WIDTH)
    tile_bytes = max(HEIGHTS[0] * PITCH, step * TURNED_PITCH)
    memory = np.empty(tile_bytes + step * stripe * ITEM + 2 * CACHE_LINE, np.uint8)
    rows = workspace(memory)
    panels = workspace(memory[tile_bytes + CACHE_LINE :])
    for left in range(0, n, stripe):
        width = min(stripe, n - left)
        for start in range(0, k, step):
            depth = min(step, k - start)
            if b_along_n:
                copy_panels(b, start, left, depth, width, panels, PANEL_BYTES, depth * PANEL_BYTES)
            else:
                _transpose_panels(b.T, left, start, width, depth, panels)
            i = 0
            while i < m:
                height = _height(m - i)
                if a_along_k:
                    copy_vectors(a, i, start, height, depth, rows, PITCH, VECTOR_BYTES)
                else:
                    copy_vectors(a.T, start, i, depth, height, rows, TURNED_PITCH, VECTOR_BYTES)
                for j in range(0, width, WIDTH):
                    panel = at(panels, j * depth * ITEM)
                    multiply_tile(rows, a_along_k, panel, depth, c, i, left + j, height, start > 0)
                i += height


@kernel(signature=_matrices)
def _multiply_turned(a, b, c):
    """c = (bᵀ·aᵀ)ᵀ: packs the columns of a instead of those of b."""
    turned = np.empty((c.shape[1], c.shape[0]), T)
    _multiply(b.T, a.T, turned)
    for j in range(0, c.shape[1], LANES):
        for i in range(0, c.shape[0], LANES):
            rows, columns = min(LANES, c.shape[0] - i), min(LANES, c.shape[1] - j)
            transpose_square(turned, j, i, address(c, i, j), c.strides[0], rows, columns)


def gemm(a: Array, b: Array, out: Array) -> Array:
    """out = a·b; returns out.

    Shapes: a (m, k), b (k, n), out (m, n) C-contiguous, sharing no memory with a or b.
    Dtypes: float32, float64, all the same.
    """
    m, k = a.shape
    n = b.shape[1]
    if not (m and n and k):
        out.fill(0)
        return out
    dtype = out.dtype
    a_strides, b_strides, itemsize = a.strides, b.strides, dtype.itemsize
    if m <= FEW_ROWS:
        # Bound by reading B once, which BLAS does as fast as memory allows.
        return np.dot(a, b, out)
    if itemsize not in a_strides:
        a = np.ascontiguousarray(a)
    if itemsize not in b_strides:
        b = np.ascontiguousarray(b)
    multiply = _multiply[dtype]
    if b.strides[1] != itemsize:
        # B has to be transposed; the turned product transposes A (unless it runs right) and the
        # result.
        turning = m * n + (m * k if a.strides[1] == itemsize else 0)
        if 2 * turning < k * n:
            multiply = _multiply_turned[dtype]
    if m * n * k < SHARED_WORK:
        multiply(a, b, out)
    elif n >= m:
        cuts = threads.cuts(n, _SHARE_COLUMNS)
        threads.run([(multiply, (a, b[:, cut], out[:, cut])) for cut in cuts])
    else:
        threads.run([(multiply, (a[cut], b, out[cut])) for cut in threads.cuts(m, HEIGHTS[0])])
    return out
