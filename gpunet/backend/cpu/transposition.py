"""Copies of arrays whose last axis is not the one that lies close in memory, tile by tile.

Element by element, such a copy would take a cache line for each, from memory far apart. Here a part
of the source is transposed in registers into a workspace in the L2 cache, and copied out from
there: of both arrays whole cache lines are touched, one behind the other.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import carray, types

from gpunet.backend.base import Array
from gpunet.backend.cpu import threads
from gpunet.backend.cpu.jit import ByDtype, T, kernel
from gpunet.backend.cpu.share import PIECES
from gpunet.backend.cpu.tile import CACHE_LINE, VECTOR_BYTES, transpose, workspace

SLABS = 8  # cache lines across a tile
DEPTH = 256  # elements along the source in a tile: with 8 slabs, 128 KiB

LANES = ByDtype(float32=CACHE_LINE // 4, float64=CACHE_LINE // 8)
transpose_lines = transpose[max(1, CACHE_LINE // VECTOR_BYTES)]


def _signature(dtype: Any) -> Any:
    source = types.Array(dtype, 4, "A", readonly=True, aligned=False)
    return types.void(source, types.Array(dtype, 4, "A"), types.int64, types.int64)


@kernel(signature=_signature)
def _turn(x, y, start, stop):
    """y = x in the strips from `start` to `stop`.

    Shapes: (P, Q, n, m) both; x is contiguous along n, y along m. Each of the P·Q planes has strips
    of `SLABS` cache lines along m.
    """
    high, wide = x.shape[2:]
    strip = SLABS * LANES
    strips = -(-wide // strip)
    memory = np.empty((SLABS * DEPTH + 1) * CACHE_LINE, np.uint8)
    for item in range(start, stop):
        place = workspace(memory)  # in the loop: memory lives until its name is last used
        slabs = carray(place, (SLABS, DEPTH, LANES), T)
        plane, left = item // strips, item % strips * strip
        at = plane // x.shape[1], plane % x.shape[1]
        source, out = x[at].T, y[at]
        width = min(strip, wide - left)
        for top in range(0, high, DEPTH):
            depth = min(DEPTH, high - top)
            transpose_lines(source, left, top, depth, width, place, DEPTH * CACHE_LINE)
            for i in range(depth):
                for j in range(0, width, LANES):
                    line, slab = out[top + i, left + j : left + width], slabs[j // LANES, i]
                    for k in range(min(LANES, line.size)):
                        line[k] = slab[k]


def tasks(out: Array, x: Array, axis: int) -> list[threads.Task]:
    """What copies x, contiguous along `axis`, into `out`, contiguous along its last axis.

    Dtypes: of 4 or 8 bytes, the same of both.
    """
    dtype = np.dtype("float32" if x.itemsize == 4 else "float64")  # moved, not computed with
    y, x = (np.moveaxis(a.view(dtype), axis, -2) for a in (out, x))
    before = max(0, x.ndim - 4)
    x, y = (a[(None,) * (4 - a.ndim)] for a in (x, y))
    strips = x.shape[-4] * x.shape[-3] * -(-x.shape[-1] // (SLABS * LANES[dtype]))
    several = -(-strips // PIECES)
    return [
        (_turn[dtype], (x[i], y[i], start, min(start + several, strips)))
        for i in np.ndindex(x.shape[:before])
        for start in range(0, strips, several)
    ]
