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
    address,
    copy_rows,
    displaced,
    multiply_tile,
    panel_memory,
    transpose_block,
)

ROWS = 256  # rows of A multiplied with one panel before the next: they stay in the L2 cache
LANES = ByDtype(float32=VECTOR_BYTES // 4, float64=VECTOR_BYTES // 8)
ITEM = ByDtype(float32=4, float64=8)

def _matrices(dtype):
    """Any strides: one compiled variant serves plain, transposed and sliced operands."""
    operand = types.Array(dtype, 2, "A", readonly=True, aligned=False)
    return types.void(operand, operand, types.Array(dtype, 2, "A"))


@kernel(signature=_matrices)
def _multiply(a, b, c):
    m, k = a.shape
    n = b.shape[1]
    panel = panel_memory()
    along_n = b.strides[1] == ITEM
    bt = b.T
    for top in range(0, m, ROWS):
        bottom = min(m, top + ROWS)
        for start in range(0, k, DEPTH):
            depth = min(DEPTH, k - start)
            for j in range(0, n, 2 * LANES):
                columns = min(2 * LANES, n - j)
                if along_n:
                    copy_rows(b, start, j, depth, columns, panel)
                else:
                    width = VECTOR_BYTES if columns <= LANES else 2 * VECTOR_BYTES
                    for r in range(0, columns, LANES):
                        for d in range(0, depth, LANES):
                            transpose_block(bt, j + r, start + d, displaced(panel, d * width + r * ITEM), width, LANES, LANES)
                i = top
                while i < bottom:
                    i += multiply_tile(a, i, start, panel, depth, c, j, bottom - i, columns, start > 0)
