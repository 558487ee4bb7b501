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
    SHORT,
    TALL,
    UNROLL,
    VECTOR_BYTES,
    at,
    copy,
    multiply_tile,
    strip_vectors,
    take,
    transpose,
    workspace,
)
import os
ROWS = int(os.environ.get("G_ROWS", 192))  # rows of A in a block
DEPTH = int(os.environ.get("G_DEPTH", 256))  # steps of k at a time
COLUMNS = int(os.environ.get("G_COLS", 64))
CHUNK = 2048
FEW_ROWS = 4
SHARED_WORK = 4_000_000  # multiply-adds from which it pays to wake the other threads

ITEM = ByDtype(float32=4, float64=8)
LANES = ByDtype(float32=VECTOR_BYTES // 4, float64=VECTOR_BYTES // 8)
WIDTH = ByDtype(float32=PANEL_BYTES // 4, float64=PANEL_BYTES // 8)
STRIP = ByDtype(float32=strip_vectors(4) * VECTOR_BYTES, float64=strip_vectors(8) * VECTOR_BYTES)

def _signature(dtype: Any) -> Any:
    operand = types.Array(dtype, 2, "A", readonly=True, aligned=False)
    return types.void(operand, operand, types.Array(dtype, 2, "A"), types.boolean, types.int64[::1])


@kernel(inline=True)
def _even(length, most, multiple):
    """The least multiple of `multiple` that cuts `length` into as few pieces as `most` would."""
    pieces = -(-length // most)
    return -(-length // (pieces * multiple)) * multiple


@kernel(inline=True)
def _height(rows):
    return SHORT if rows <= SHORT or TALL < rows <= 2 * SHORT else TALL


@kernel
def _pack(x, start, depth, left, width, target, pitch):
    for r in range(0, width, LANES):
        lanes, place = min(LANES, width - r), at(target, r * ITEM)
        if x.strides[1] == ITEM:
            copy(x, start, left + r, depth, lanes, place, pitch)
        else:
            transpose(x.T, left + r, start, depth, lanes, place, pitch)


@kernel(signature=_signature)
def _multiply(a, b, c, add, counter):
    m, k = a.shape
    n = b.shape[1]
    step = _even(k, DEPTH, LANES)
    rows = _even(m, ROWS, TALL)
    columns = _even(n, COLUMNS, WIDTH)
    groups = -(-n // columns)
    panel_bytes = step * PANEL_BYTES
    block_bytes = (rows // TALL + 2) * (k + LANES) * STRIP
    memory = np.empty(panel_bytes + block_bytes + 2 * CACHE_LINE, np.uint8)
    panel = workspace(memory)
    block = at(panel, panel_bytes)
    packed = -1
    while True:
        item = take(counter)
        top, left = item // groups * rows, item % groups * columns
        if top >= m:
            break
        height, right = min(rows, m - top), min(left + columns, n)
        if top != packed:
            strip = block
            for start in range(0, k, step):
                depth = min(step, k - start)
                i = 0
                while i < height:
                    h = _height(height - i)
                    _pack(a.T, start, depth, top + i, min(h, height - i), strip, STRIP)
                    strip = at(strip, -(-depth // UNROLL) * UNROLL * STRIP)
                    i += h
            packed = top
        strips = block
        for start in range(0, k, step):
            depth = min(step, k - start)
            for j in range(left, right, WIDTH):
                _pack(b, start, depth, j, min(WIDTH, right - j), panel, PANEL_BYTES)
                strip = strips
                i = 0
                while i < height:
                    h = _height(height - i)
                    multiply_tile(strip, panel, depth, c, top + i, j, h, add or start > 0)
                    strip = at(strip, -(-depth // UNROLL) * UNROLL * STRIP)
                    i += h
            strips = strip
    memory[0] = 0  # keeps it alive


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
        arguments = a[:, chunk], b[chunk], out, start > 0, np.zeros(1, np.int64)
        if m * n * k < SHARED_WORK:
            multiply(*arguments)
        else:
            threads.run([(multiply, arguments)] * threads.count())
    return out
