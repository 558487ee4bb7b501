"""Matrix products of two axes, shared out over the threads.

A product is cut so that its parts are read from a cache. `PANELS` elements of B are packed into
panels, which stay in the L2 cache. The rows of one tile of A, copied into the L1 cache, then meet
all of them; the tile of C, which does the multiplying, stays in registers (`tile.py`).

Every element of C is a sum of chains of fused multiply-adds, one chain for at most `DEPTH` steps of
k, whatever tile, panel or thread it falls to: the number of threads never changes a bit of it.
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
    copy_rows,
    multiply_tile,
    pitch,
    transpose_square,
    turned_pitch,
    workspace,
)

DEPTH = RUN  # steps of k in a panel
PANELS = 1 << 17  # elements of B packed at a time: half of an L2 cache of 1 MiB
FEW_ROWS = 4  # products of up to so many rows of A are bound by reading B
SHARED_WORK = 4_000_000  # multiply-adds from which it pays to wake the other threads

ITEM = ByDtype(float32=4, float64=8)
LANES = ByDtype(float32=VECTOR_BYTES // 4, float64=VECTOR_BYTES // 8)
WIDTH = ByDtype(float32=PANEL_BYTES // 4, float64=PANEL_BYTES // 8)
PITCH = ByDtype(float32=pitch(4), float64=pitch(8))
TURNED_PITCH = ByDtype(float32=turned_pitch(4), float64=turned_pitch(8))


def _matrices(dtype: Any) -> Any:
    """c = f(a, b): any strides, so one variant serves plain, transposed and sliced operands."""
    operand = types.Array(dtype, 2, "A", readonly=True, aligned=False)
    return types.void(operand, operand, types.Array(dtype, 2, "A"))


@kernel(inline=True)
def _cut(length, most, multiple):
    """The size of pieces of `length` up to `most` long, as few as possible and all alike."""
    pieces = -(-length // most)
    return -(-length // (pieces * multiple)) * multiple


@kernel(inline=True)
def _height(rows):
    """Of the highest tile for so many rows."""
    for height in HEIGHTS:
        if height <= rows:
            return height
    return 0


@kernel(inline=True)
def _pack_transposed(b_turned, left, start, width, depth, panels):
    """Packs panels of B from Bᵀ, which runs along k."""
    for column in range(0, width, LANES):
        in_panel = column % WIDTH
        target = at(panels, ((column - in_panel) * depth + in_panel) * ITEM)
        for k in range(0, depth, LANES):
            rows = min(LANES, depth - k)
            square = at(target, k * PANEL_BYTES)
            transpose_square(b_turned, left + column, start + k, square, PANEL_BYTES, rows, LANES)


@kernel(signature=_matrices)
def _multiply(a, b, c):
    """c = a·b, where a runs along one of its axes, and b too."""
    m, k = a.shape
    n = b.shape[1]
    along_k, along_n = a.strides[1] == ITEM, b.strides[1] == ITEM
    step = _cut(k, DEPTH, LANES)
    stripe = _cut(n, PANELS // step, WIDTH)
    tile_bytes = max(HEIGHTS[0] * PITCH, step * TURNED_PITCH)
    memory = np.empty(tile_bytes + step * stripe * ITEM + 2 * CACHE_LINE, np.uint8)
    rows = workspace(memory)
    panels = workspace(memory[tile_bytes + CACHE_LINE :])
    read_once = along_n and m <= HEIGHTS[0]
    for left in range(0, n, stripe):
        width = min(stripe, n - left)
        in_place = width - width % WIDTH if read_once else 0  # columns not worth packing
        for start in range(0, k, step):
            depth = min(step, k - start)
            column_bytes = depth * ITEM
            if along_n:
                first = left + in_place
                target = at(panels, in_place * column_bytes)
                panel_bytes = WIDTH * column_bytes
                columns = width - in_place
                copy_rows(b, start, first, depth, columns, target, PANEL_BYTES, panel_bytes)
            else:
                _pack_transposed(b.T, left, start, width, depth, panels)
            i = 0
            while i < m:
                height = _height(m - i)
                if along_k:
                    copy_rows(a, i, start, height, depth, rows, PITCH, PANEL_BYTES)
                else:
                    copy_rows(a.T, start, i, depth, height, rows, TURNED_PITCH, PANEL_BYTES)
                for j in range(0, width, WIDTH):
                    panel, panel_step = at(panels, j * column_bytes), PANEL_BYTES
                    if j < in_place:
                        panel, panel_step = address(b, start, left + j), b.strides[0]
                    multiply_tile(
                        rows, along_k, panel, panel_step, depth, c, i, left + j, height, start > 0
                    )
                i += height


@kernel(signature=_matrices)
def _multiply_turned(a, b, c):
    """c = (bᵀ·aᵀ)ᵀ: transposes aᵀ and the product instead of b."""
    product = np.empty((c.shape[1], c.shape[0]), T)
    _multiply(b.T, a.T, product)
    for j in range(0, c.shape[1], LANES):
        for i in range(0, c.shape[0], LANES):
            rows, columns = min(LANES, c.shape[0] - i), min(LANES, c.shape[1] - j)
            transpose_square(product, j, i, address(c, i, j), c.strides[0], rows, columns)


def gemm(a: Array, b: Array, out: Array) -> Array:
    """out = a·b; returns out.

    Shapes: a (m, k), b (k, n), out (m, n) C-contiguous and sharing no memory with a or b.
    Dtypes: float32, float64, all the same.
    """
    m, k = a.shape
    n = b.shape[1]
    if not (m and n and k):
        out.fill(0)
        return out
    if m <= FEW_ROWS:  # BLAS reads B as fast as memory allows
        return np.dot(a, b, out)
    itemsize = out.itemsize
    if itemsize not in a.strides:  # it runs along none of its axes
        a = np.ascontiguousarray(a)
    if itemsize not in b.strides:
        b = np.ascontiguousarray(b)
    multiply = _multiply[out.dtype]
    if b.strides[1] != itemsize:
        # B has to be transposed; or else the product and, where it runs along k, a.
        turning = m * n + (m * k if a.strides[1] == itemsize else 0)
        if 2 * turning < n * k:
            multiply = _multiply_turned[out.dtype]
    if m * n * k < SHARED_WORK:
        multiply(a, b, out)
    elif n >= m:  # every thread reads all of the shorter operand
        cuts = threads.cuts(n, PANEL_BYTES // itemsize)
        threads.run([(multiply, (a, b[:, cut], out[:, cut])) for cut in cuts])
    else:
        cuts = threads.cuts(m, HEIGHTS[0])
        threads.run([(multiply, (a[cut], b, out[cut])) for cut in cuts])
    return out
