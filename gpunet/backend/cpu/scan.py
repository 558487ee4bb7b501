"""Running sums, products and extrema along an axis, shared out over the threads."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from gpunet.backend.base import Array
from gpunet.backend.cpu.half import half
from gpunet.backend.cpu.jit import Kernel, kernel
from gpunet.backend.cpu.memory import cache
from gpunet.backend.cpu.share import share

float64 = np.float64
_FLOAT32 = np.dtype("float32")
COST = 4  # of an element of NumPy's own loops, see `share`
TILE = 1 << 9  # columns whose results so far stay in the L1 cache


@kernel(inline=True)
def _add(x, y):
    return x + y


@kernel(inline=True)
def _multiply(x, y):
    return x * y


f: Any = None  # each variant sees its own function of two under this name


def _run_rows(x, y, start, stop, neutral, backwards):
    """x, y (rows, n)."""
    for row in range(start, stop):
        xs, ys = x[row], y[row]
        n, total = xs.size, neutral
        for k in range(n):
            i = n - 1 - k if backwards else k
            total = f(total, float64(xs[i]))
            ys[i] = total


def _run_columns(x, y, start, stop, neutral, backwards):
    """x, y (planes, n, columns); from `start` to `stop` are tiles of columns, plane by plane."""
    n, columns = x.shape[1:]
    tiles = (columns + TILE - 1) // TILE
    memory = np.empty(TILE)
    for item in range(start, stop):
        plane, left = item // tiles, item % tiles * TILE
        total = memory[: min(TILE, columns - left)]
        for j in range(total.size):
            total[j] = neutral
        for k in range(n):
            i = n - 1 - k if backwards else k
            xs, ys = x[plane, i, left:], y[plane, i, left:]
            for j in range(total.size):
                total[j] = f(total[j], float64(xs[j]))
                ys[j] = total[j]


_KERNELS = {
    name: tuple(
        Kernel(loop, name=f"{name}_{what}", bindings={"f": f})
        for what, loop in (("rows", _run_rows), ("columns", _run_columns))
    )
    for name, f in (("cumsum", _add), ("cumprod", _multiply))
}
_NEUTRAL = {"cumsum": 0.0, "cumprod": 1.0}


@half
def running(x: Array, name: str, axis: int, backwards: bool) -> Array:
    """See `Backend.running`; x is floating, and what is added up or multiplied is float64."""
    x = np.ascontiguousarray(x)
    y = cache.empty(x.shape, x.dtype)
    if y.size:
        planes, n, columns = (
            math.prod(x.shape[:axis]),
            x.shape[axis],
            math.prod(x.shape[axis + 1 :]),
        )
        arrays: Any = [a.reshape(planes, n, columns) for a in (x, y)]
        rows, by_columns = _KERNELS[name]
        rest = _NEUTRAL[name], backwards
        if columns == 1:
            share(rows[x.dtype], [a[..., 0] for a in arrays], planes, n, _FLOAT32, *rest)
        else:
            tiles = planes * -(-columns // TILE)
            share(by_columns[x.dtype], arrays, tiles, y.size // tiles, _FLOAT32, *rest)
    return y


@kernel
def _extrema(x, y, indices, start, stop, largest):
    for plane in range(start, stop):
        for k in range(x.shape[1]):
            for j in range(x.shape[2]):
                v, best, place = x[plane, k, j], x[plane, k, j], k
                if k > 0:
                    best, place = y[plane, k - 1, j], indices[plane, k - 1, j]
                if v != v or (v >= best if largest else v <= best):
                    best, place = v, k
                y[plane, k, j] = best
                indices[plane, k, j] = place


def extrema(x: Array, axis: int, largest: bool) -> tuple[Array, Array]:
    """See `Backend.running_extrema`; x has a dtype that Numba compares."""
    x = np.ascontiguousarray(x)
    y, indices = cache.empty(x.shape, x.dtype), cache.empty(x.shape, np.int64)
    if y.size:
        planes, columns = math.prod(x.shape[:axis]), math.prod(x.shape[axis + 1 :])
        arrays = [a.reshape(planes, -1, columns) for a in (x, y, indices)]
        share(_extrema[x.dtype], arrays, planes, y.size // planes, _FLOAT32, largest)
    return y, indices


def accumulate(function: np.ufunc, x: Array, axis: int) -> Array:
    """See `Backend.accumulate`."""
    if not axis or not x.size:
        return function.accumulate(x, axis)
    y = cache.empty(x.shape, x.dtype)

    def some(start: int, stop: int) -> None:
        function.accumulate(x[start:stop], axis, out=y[start:stop])

    share(some, (), len(x), x.size // len(x), _FLOAT32, cost=COST)
    return y
