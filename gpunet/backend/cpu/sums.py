"""Sums of large arrays over any axes: added up in float64, and shared out over the threads."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np

from gpunet.backend.base import Array
from gpunet.backend.cpu import threads
from gpunet.backend.cpu.half import half
from gpunet.backend.cpu.jit import FAST_SUM, ByDtype, kernel
from gpunet.backend.cpu.pointers import fetch
from gpunet.backend.cpu.share import WORTHWHILE, as_rows

float64 = np.float64
BLOCK = 1 << 14  # elements of a row in one partial sum
RUN = 1 << 9  # of these, added up in vector registers: sums of sums lose fewer digits
# A core sees some hundred instructions ahead. To widen every float32 takes so many of them that few
# lines would be on their way from memory at once, were they not asked for four runs ahead.
AHEAD = 4 * RUN
LINE: Any = ByDtype(float32=16, float64=8)  # elements in a line of the cache
ROWS = 1 << 8  # rows in one partial sum of columns
TILE = 1 << 10  # columns whose sums stay in the cache meanwhile
PIECES = 16  # that the threads share out
LIGHT = 4  # an element that is only read takes a fraction of the time of one that is made


@kernel(fastmath=FAST_SUM)
def _row_sums(x, sums, start, stop):
    """x (rows, n); sums (rows, blocks)."""
    blocks = sums.shape[1]
    for item in range(start, stop):
        i, j = item // blocks, item % blocks
        row = x[i, j * BLOCK : (j + 1) * BLOCK]
        total = float64(0)
        for left in range(0, row.size, RUN):
            run = row[left : left + RUN]
            for k in range(AHEAD, AHEAD + RUN, LINE):
                fetch(run, k)
            part = float64(0)
            for k in range(run.size):
                part += float64(run[k])
            total += part
        sums[i, j] = total


@kernel(inline=True)
def _add_four(a, b, c, d, total):
    """Four rows at once: each sum is loaded and stored once for all of them."""
    for k in range(total.size):
        pairs = float64(a[k]) + float64(b[k]), float64(c[k]) + float64(d[k])
        total[k] += pairs[0] + pairs[1]


@kernel
def _column_sums(x, sums, start, stop):
    """x (planes, n, columns); sums (planes, blocks, columns)."""
    blocks, columns = sums.shape[1:]
    for item in range(start, stop):
        plane, j = item // blocks, item % blocks
        for left in range(0, columns, TILE):
            total = sums[plane, j, left : left + TILE]
            for k in range(total.size):
                total[k] = float64(0)
            right, first = left + TILE, j * ROWS
            last = min(x.shape[1], first + ROWS)
            fours = last - (last - first) % 4
            for i in range(first, fours, 4):
                a, b = x[plane, i, left:right], x[plane, i + 1, left:right]
                c, d = x[plane, i + 2, left:right], x[plane, i + 3, left:right]
                _add_four(a, b, c, d, total)
            for i in range(fours, last):
                row = x[plane, i, left:right]
                for k in range(total.size):
                    total[k] += float64(row[k])


@half
def total(x: Array, axes: tuple[int, ...], keepdims: bool) -> Array:
    """Sum over axes of an array that has elements.

    Which elements make a partial sum depends on the shape alone, and so do the bits.
    """
    y, shape = np.ascontiguousarray(x), list(x.shape)
    for first, last in _runs(axes):
        y = _over_middle(
            y.reshape(
                math.prod(shape[:first]),
                math.prod(shape[first : last + 1]),
                math.prod(shape[last + 1 :]),
            )
        )
        shape[first : last + 1] = [1] * (last + 1 - first)
    kept = shape if keepdims else [n for i, n in enumerate(shape) if i not in axes]
    return y.reshape(kept).astype(x.dtype)


def _runs(axes: tuple[int, ...]) -> Iterator[tuple[int, int]]:
    """First and last of the axes that stand side by side, the rearmost first."""
    rest = sorted(axes)
    while rest:
        last = first = rest.pop()
        while rest and rest[-1] == first - 1:
            first = rest.pop()
        yield first, last


def _over_middle(x: Array) -> Array:
    """Shapes: x (planes, n, columns); the result (planes, columns), float64."""
    planes, n, columns = x.shape
    flat = columns == 1
    length = BLOCK if flat else ROWS
    sums: Array = np.empty((planes, -(-n // length), columns))
    sum_blocks = (_row_sums if flat else _column_sums)[x.dtype]
    arrays = (x[..., 0], sums[..., 0]) if flat else (x, sums)
    blocks = planes * sums.shape[1]
    if x.size < WORTHWHILE[x.dtype] * LIGHT:
        sum_blocks(*arrays, 0, blocks)
    else:
        threads.spread(sum_blocks, threads.edges(blocks, PIECES), arrays)
    return sums[:, 0] if sums.shape[1] == 1 else _over_middle(sums)


@kernel
def sum_rows(x, total, start, stop):
    """x (n, columns); total (columns,), for the columns from `start` to `stop`."""
    total = total[start:stop]
    for j in range(total.size):
        total[j] = 0.0
    fours = x.shape[0] // 4 * 4
    for i in range(0, fours, 4):
        a, b, c, d = (
            x[i, start:stop],
            x[i + 1, start:stop],
            x[i + 2, start:stop],
            x[i + 3, start:stop],
        )
        for j in range(total.size):
            total[j] = total[j] + a[j] + b[j] + c[j] + d[j]
    for i in range(fours, x.shape[0]):
        row = x[i, start:stop]
        for j in range(total.size):
            total[j] += row[j]


def column_tasks(x: Array, total: Array) -> list[threads.Task]:
    """Tasks that write the sums over all axes but the last into `total`, rows added in order."""
    edges = threads.edges(x.shape[-1], threads.count(), 16).tolist()
    return [(sum_rows[x.dtype], (as_rows(x), total, *cut)) for cut in pairwise(edges)]
