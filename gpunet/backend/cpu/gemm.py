"""Matrix products of two axes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types

from gpunet.backend.base import Array
from gpunet.backend.cpu import threads
from gpunet.backend.cpu.jit import ByDtype, kernel
from gpunet.backend.cpu.tile import (
    CACHE_LINE,
    PANEL_BYTES,
    TILE_ROWS,
    VECTOR_BYTES,
    at,
    copies,
    TILE_VECTORS,
    lanes,
    multiply_tile,
    strip_vectors,
    take,
    transpose,
    unroll,
    workspace,
)
import os
ROWS = int(os.environ.get("G_ROWS", 192))  # rows of A in a block
DEPTH = int(os.environ.get("G_DEPTH", 256))  # steps of k at a time
COLUMNS = int(os.environ.get("G_COLS", 72))
CHUNK = 2048
FEW_ROWS = 4
SHARED_WORK = int(os.environ.get("G_SHARED", 4_000_000))  # multiply-adds from which it pays to wake the other threads

ITEM = ByDtype(float32=4, float64=8)
LANES = ByDtype(float32=lanes(4), float64=lanes(8))
PANEL = ByDtype(float32=TILE_VECTORS * lanes(4), float64=TILE_VECTORS * lanes(8))
STRIP = ByDtype(float32=strip_vectors(4) * lanes(4), float64=strip_vectors(8) * lanes(8))
copy_strips = ByDtype(float32=copies[strip_vectors(4)], float64=copies[strip_vectors(8)])
copy_panels = copies[TILE_VECTORS]

def _signature(dtype: Any) -> Any:
    operand = types.Array(dtype, 2, "A", readonly=True, aligned=False)
    return types.void(operand, operand, types.Array(dtype, 2, "A"), types.boolean, types.int64, types.int64[::1])


@kernel(inline=True)
def _even(length, most, multiple):
    """The least multiple of `multiple` that cuts `length` into as few pieces as `most` would."""
    pieces = -(-length // most)
    return -(-length // (pieces * multiple)) * multiple


@kernel(inline=True)
def _transpose_slabs(x, left, start, depth, width, target, slab, slab_bytes):
    for r in range(0, width, LANES):
        place = at(target, r // slab * slab_bytes + r % slab * ITEM)
        transpose(x, left + r, start, depth, min(LANES, width - r), place, slab * ITEM)


@kernel(signature=_signature)
def _multiply(a, b, c, add, most, counter):
    m, k = a.shape
    n = b.shape[1]
    a_along_k, b_along_n = a.strides[1] == ITEM, b.strides[1] == ITEM
    step = _even(k, DEPTH, LANES)
    rows = _even(m, ROWS, STRIP)
    columns = _even(n, most, PANEL)
    strip_bytes = step * STRIP * ITEM + CACHE_LINE
    panel_bytes = step * PANEL * ITEM + CACHE_LINE
    block_bytes = rows // STRIP * strip_bytes
    groups = -(-n // columns)
    memory = np.empty(columns // PANEL * panel_bytes + -(-k // step) * block_bytes + CACHE_LINE, np.uint8)
    panels = workspace(memory)
    blocks = at(panels, columns // PANEL * panel_bytes)
    packed = -1
    while True:
        item = take(counter)
        top, left = item // groups * rows, item % groups * columns
        if top >= m:
            break
        height, width = min(rows, m - top), min(columns, n - left)
        if top != packed:
            for start in range(0, k, step):
                depth, block = min(step, k - start), at(blocks, start // step * block_bytes)
                if a_along_k:
                    _transpose_slabs(a, top, start, depth, height, block, STRIP, strip_bytes)
                else:
                    copy_strips(a.T, start, top, depth, height, block, strip_bytes)
            packed = top
        for start in range(0, k, step):
            depth, block = min(step, k - start), at(blocks, start // step * block_bytes)
            if b_along_n:
                copy_panels(b, start, left, depth, width, panels, panel_bytes)
            else:
                _transpose_slabs(b.T, left, start, depth, width, panels, PANEL, panel_bytes)
            for j in range(0, width, PANEL):
                panel = at(panels, j // PANEL * panel_bytes)
                for i in range(0, height, TILE_ROWS):
                    strip = at(block, i // STRIP * strip_bytes + i % STRIP * ITEM)
                    multiply_tile(strip, panel, depth, c, top + i, left + j, add or start > 0)
    memory[0] = 0


def gemm(a: Array, b: Array, out: Array) -> Array:
    m, k = a.shape
    n = b.shape[1]
    if not (m and n and k):
        out.fill(0)
        return out
    dtype = out.dtype
    itemsize = dtype.itemsize
    if m <= FEW_ROWS:
        return np.dot(a, b, out)
    if itemsize not in a.strides:
        a = np.ascontiguousarray(a)
    if itemsize not in b.strides:
        b = np.ascontiguousarray(b)
    multiply = _multiply[dtype]
    for start in range(0, k, CHUNK):
        chunk = slice(start, start + CHUNK)
        shared = m * n * k >= SHARED_WORK
        arguments = a[:, chunk], b[chunk], out, start > 0, COLUMNS if shared else 512, np.zeros(1, np.int64)
        if not shared:
            multiply(*arguments)
        else:
            threads.run([(multiply, arguments)] * threads.count())
    return out
