"""Matrix products of two axes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types

from gpunet.backend.base import Array
from gpunet.backend.cpu.jit import FAST_SUM, ByDtype, T, kernel
from gpunet.backend.cpu.memory import cache
from gpunet.backend.cpu.tile import (
    DEPTH,
    VECTOR_BYTES,
    address, copy_plain, data,
    copy_rows,
    displaced,
    multiply_tile,
    panel_memory,
    transpose_block,
)

import os
PACK_FROM=int(os.environ.get('PACK','4'))
ROWS = int(os.environ.get('ROWS','256'))  # rows of A multiplied with one panel before the next: they stay in the L2 cache
LANES = ByDtype(float32=VECTOR_BYTES // 4, float64=VECTOR_BYTES // 8)
ITEM = ByDtype(float32=4, float64=8)


def _matrices(dtype):
    """Any strides: one compiled variant serves plain, transposed and sliced operands."""
    operand = types.Array(dtype, 2, "A", readonly=True, aligned=False)
    return types.void(operand, operand, types.Array(dtype, 2, "A"))


PAD = 64

@kernel(signature=_matrices)
def _multiply(a, b, c):
    m, k = a.shape
    n = b.shape[1]
    panel = panel_memory()
    b_runs_along_n = b.strides[1] == ITEM
    bt = b.T
    a_runs_along_k = a.strides[1] == ITEM
    at = a.T
    rows_max = min(m, ROWS)
    depth_max = min(k, DEPTH)
    packed = n > PACK_FROM * LANES and (a_runs_along_k or a.strides[0] == ITEM)
    length = depth_max if a_runs_along_k else rows_max
    padded = (length * ITEM + 63) // 64 * 64 + PAD
    block = np.empty(((rows_max if a_runs_along_k else depth_max) * padded) if packed else 0, np.uint8)
    memory = data(block)
    row_stride, k_stride = a.strides
    if packed:
        row_stride, k_stride = (padded, ITEM) if a_runs_along_k else (ITEM, padded)
    for top in range(0, m, ROWS):
        bottom = min(m, top + ROWS)
        for start in range(0, k, DEPTH):
            depth = min(DEPTH, k - start)
            if packed:
                rows = memory
                if a_runs_along_k:
                    copy_plain(a, top, start, bottom - top, depth, memory, padded)
                else:
                    copy_plain(at, start, top, depth, bottom - top, memory, padded)
            else:
                rows = address(a, top, start)
            for j in range(0, n, 2 * LANES):
                columns = min(2 * LANES, n - j)
                if b_runs_along_n:
                    copy_rows(b, start, j, depth, columns, panel)
                else:
                    width = VECTOR_BYTES if columns <= LANES else 2 * VECTOR_BYTES
                    for r in range(0, columns, LANES):
                        for d in range(0, depth, LANES):
                            transpose_block(bt, j + r, start + d, displaced(panel, d * width + r * ITEM), width, LANES, LANES)
                i = top
                while i < bottom:
                    i += multiply_tile(displaced(rows, (i - top) * row_stride), row_stride, k_stride, panel, depth, c, i, j, bottom - i, columns, start > 0)
