"""The largest element of each window, and the mean: pooling of the last one, two or three axes.

Axes are always three in here (a picture is a volume one deep), and all in front of them are
joined: x (planes, D, H, W). Planes are shared out over the threads. CUDA twins: kernels/pooling.cu.
"""

from __future__ import annotations

import functools
from math import prod
from typing import Any

import numpy as np

from gpunet.backend import windows
from gpunet.backend.base import Array
from gpunet.backend.cpu.half import half
from gpunet.backend.cpu.jit import FAST, FAST_SUM, T, kernel
from gpunet.backend.cpu.memory import cache
from gpunet.backend.cpu.reduction import row_sum
from gpunet.backend.cpu.share import share
from gpunet.backend.windows import Axes

COST = 4  # of an element, see `share`
FEW = 8  # windows of a plane, below which comparing them all at once does not pay


@kernel(inline=True, fastmath=FAST_SUM)
def _is_finite(x):
    total = 0.0
    for j in range(x.size):
        total += x[j] * 0.0
    return total == 0.0


@kernel(inline=True, fastmath=FAST | {"nnan"})
def _larger(a, b):
    return max(a, b)  # one instruction where NaN need not be minded


@kernel(inline=True)
def _one_by_one(plane, y, index, inside, dilation):
    """Of ties the first, of NaNs the last."""
    depth, height, width = y.shape
    _, rows, columns = plane.shape
    flat = plane.reshape(-1)
    first, end = inside[0], inside[1]
    for oz in range(depth):
        for oy in range(height):
            for ox in range(width):
                ax, ay = depth + height + ox, depth + oy
                where = -1
                best = flat[0]
                for z in range(first[oz], end[oz], dilation[0]):
                    for i in range(first[ay], end[ay], dilation[1]):
                        row = (z * rows + i) * columns
                        for j in range(row + first[ax], row + end[ax], dilation[2]):
                            if where < 0 or flat[j] > best or flat[j] != flat[j]:
                                best, where = flat[j], j
                y[oz, oy, ox] = best if where >= 0 else T(-np.inf)
                index[oz, oy, ox] = where


@kernel(inline=True)
def _two_by_two(plane, y, index):
    """Windows of 2 by 2 side by side; this, without tables, becomes vector code."""
    columns = plane.shape[1]
    for i in range(y.shape[0]):
        upper, lower = plane[2 * i], plane[2 * i + 1]
        y_row, index_row = y[i], index[i]
        for j in range(y.shape[1]):
            left = np.uint64(2) * np.uint64(j)
            right = left + np.uint64(1)
            where = np.int32(2 * (i * columns + j))
            best = upper[left]
            where = where + np.int32(1) if upper[right] > best else where
            best = _larger(best, upper[right])
            below = np.int32(2 * (i * columns + j) + columns)
            where = below if lower[left] > best else where
            best = _larger(best, lower[left])
            where = below + np.int32(1) if lower[right] > best else where
            y_row[j], index_row[j] = _larger(best, lower[right]), where


@kernel
def _max_fwd(x, y, index, start, stop, inside, dilation, small, origins, taps, elements, border):
    """All windows of a plane at once, element by element of a window: loops are long and alike."""
    n = origins.size
    here, best = np.empty(n, T), np.empty(n, T)
    where = np.empty(n, np.int32)
    # The plane with its border, which is never chosen: the elements of the plane are finite.
    framed = np.full(elements.size, T(-np.inf), T)
    for p in range(start, stop):
        plane = x[p].reshape(-1)
        if n == 0 or not _is_finite(plane):
            _one_by_one(x[p], y[p], index[p], inside, dilation)
            continue
        if small:
            _two_by_two(x[p, 0], y[p, 0], index[p, 0])
            continue
        source = plane
        if elements.size:
            source = framed
            for z in range(x.shape[1]):
                for i in range(x.shape[2]):
                    at = border[0] + z * border[1] + i * border[2]
                    row = x[p, z, i]
                    for j in range(x.shape[3]):
                        framed[at + j] = row[j]
        for i in range(n):
            best[i], where[i] = source[np.uint64(origins[i])], origins[i]
        for tap in taps[1:]:
            shifted = source[tap:]
            for i in range(n):
                here[i] = shifted[np.uint64(origins[i])]
            for i in range(n):
                where[i] = np.int32(origins[i] + tap) if here[i] > best[i] else where[i]
                best[i] = _larger(best[i], here[i])
        y_plane, index_plane = y[p].reshape(-1), index[p].reshape(-1)
        for i in range(n):
            y_plane[i] = best[i]
        for i in range(n):
            index_plane[i] = elements[np.uint64(where[i])] if elements.size else where[i]


@kernel
def _max_bwd(gy, index, gx, start, stop):
    for p in range(start, stop):
        gx_plane = gx[p].reshape(-1)
        gy_plane, index_plane = gy[p].reshape(-1), index[p].reshape(-1)
        for i in range(gx_plane.size):
            gx_plane[i] = 0.0
        for i in range(gy_plane.size):
            if index_plane[i] >= 0:
                gx_plane[np.uint64(index_plane[i])] += gy_plane[i]


@kernel
def _whole_fwd(x, y, start, stop, divisor):
    """Windows that are whole planes: no element is skipped. x (planes, elements), y (planes,)."""
    for p in range(start, stop):
        y[p] = row_sum(x[p]) / T(divisor)


@kernel
def _whole_bwd(gx, gy, start, stop, divisor):
    for p in range(start, stop):
        share = gy[p] / T(divisor)
        row = gx[p]
        for j in range(row.size):
            row[j] = share


@kernel
def _avg_fwd(x, y, start, stop, inside, lengths, divisor):
    """Whole rows are added, then the elements of their sum."""
    _, depth, height, width = y.shape
    first, end = inside[0], inside[1]
    total = np.empty(x.shape[3], T)
    for p in range(start, stop):
        for oz in range(depth):
            for oy in range(height):
                for j in range(total.size):
                    total[j] = 0.0
                for z in range(first[oz], end[oz]):
                    for i in range(first[depth + oy], end[depth + oy]):
                        row = x[p, z, i]
                        for j in range(total.size):
                            total[j] += row[j]
                rows = lengths[oz] * lengths[depth + oy]
                for ox in range(width):
                    ax = depth + height + ox
                    value = T(0.0)
                    for j in range(first[ax], end[ax]):
                        value += total[j]
                    y[p, oz, oy, ox] = value / T(divisor if divisor else rows * lengths[ax])


@kernel
def _avg_bwd(gy, gx, start, stop, inside, lengths, divisor):
    """The gradient of a row of windows is laid out once, then added to all rows they reach."""
    _, depth, height, width = gy.shape
    first, end = inside[0], inside[1]
    spread = np.empty(gx.shape[3], T)
    for p in range(start, stop):
        gx[p] = 0.0
        for oz in range(depth):
            for oy in range(height):
                for j in range(spread.size):
                    spread[j] = 0.0
                rows = lengths[oz] * lengths[depth + oy]
                for ox in range(width):
                    ax = depth + height + ox
                    share = gy[p, oz, oy, ox] / T(divisor if divisor else rows * lengths[ax])
                    for j in range(first[ax], end[ax]):
                        spread[j] += share
                for z in range(first[oz], end[oz]):
                    for i in range(first[depth + oy], end[depth + oy]):
                        row = gx[p, z, i]
                        for j in range(spread.size):
                            row[j] += spread[j]


@functools.lru_cache(maxsize=256)
def _positions(axes: Axes) -> tuple[Any, ...]:
    """Where windows begin and where their elements follow, in a plane with its border.

    Returns: origins (windows,), none if they are few or of different lengths; taps; the element of
        the plane at each position of the plane with its border (none if there is no border), −1 in
        it; where the plane begins in there, and the lengths of its layers and rows.
    """
    a = windows.three(axes)
    none = np.empty(0, "int32")
    if prod(w.outputs for w in a) < FEW or not all(w.kernel for w in a):
        return none, none, none, (0, 0, 0)
    reach = [(w.outputs - 1) * w.stride + w.dilation * (w.kernel - 1) + 1 for w in a]
    shape = tuple(max(r, w.padding + w.size) for w, r in zip(a, reach, strict=True))
    steps = np.array([shape[1] * shape[2], shape[2], 1])

    def grid(counts: list[int], apart: Array) -> Array:
        z, y, x = (np.arange(n) * s for n, s in zip(counts, apart * steps, strict=True))
        return (z[:, None, None] + y[:, None] + x).reshape(-1).astype("int32")

    origins = grid([w.outputs for w in a], np.array([w.stride for w in a]))
    taps = grid([w.kernel for w in a], np.array([w.dilation for w in a]))
    sizes = tuple(w.size for w in a)
    if sizes == shape:
        return origins, taps, none, (0, 0, 0)
    elements = np.full(shape, -1, "int32")
    middle = tuple(slice(w.padding, w.padding + w.size) for w in a)
    elements[middle] = np.arange(prod(sizes)).reshape(sizes)
    begin = int(sum(w.padding * s for w, s in zip(a, steps, strict=True)))
    return origins, taps, elements.reshape(-1), (begin, int(steps[0]), int(steps[1]))


def _planes(x: Array, axes: int) -> Array:
    """x with three axes, and all in front of them joined."""
    return x.reshape(prod(x.shape[:-axes]), *(1,) * (3 - axes), *x.shape[-axes:])


def _result(x: Array, axes: Axes, dtype: Any) -> Array:
    return cache.empty((*x.shape[: -len(axes)], *[w.outputs for w in axes]), np.dtype(dtype))


def _whole(axes: Axes) -> bool:
    """Whether the only window is the whole plane."""
    return all(
        w.outputs == w.dilation == 1 and not w.padding and w.kernel in (0, w.size) for w in axes
    )


def _run(kernel: Any, arrays: tuple[Array, ...], axes: Axes, *rest: Any) -> None:
    dtype = arrays[0].dtype
    planes = [_planes(x, len(axes)) for x in arrays]
    size = max(x[:1].size for x in planes)
    share(kernel[dtype], planes, len(planes[0]), max(1, size), dtype, *rest, cost=COST)


def _run_whole(kernel: Any, planes: Array, means: Array, divisor: int) -> None:
    count, size = means.size, planes.size // max(1, means.size)
    arrays = planes.reshape(count, size), means.reshape(count)
    share(kernel[planes.dtype], arrays, count, size, planes.dtype, divisor or size)


@half
def max_pool_fwd(x: Array, axes: Axes) -> tuple[Array, Array]:
    """The largest element of each window; of ties the first.

    Shapes: x (..., *sizes) C-contiguous, sizes at least 1.
    Returns: y and where it comes from in its plane (int32), both (..., *outputs); −inf and −1 for a
        window that lies outside of x.
    """
    y, index = _result(x, axes, x.dtype), _result(x, axes, "int32")
    a = windows.three(axes)
    dilation = tuple(w.dilation for w in a)
    small = a[0].size == 1 and all(w == (w.size, w.size // 2, 2, 2, 0, 1) for w in a[1:])
    rest = windows.inside(axes), dilation, small, *_positions(axes)
    _run(_max_fwd, (x, y, index), axes, *rest)
    return y, index


@half
def max_pool_bwd(gy: Array, index: Array, axes: Axes) -> Array:
    """The gradient of x: that of each window goes to where `index` says."""
    gx = cache.empty((*gy.shape[: -len(axes)], *[w.size for w in axes]), gy.dtype)
    _run(_max_bwd, (gy, index, gx), axes)
    return gx


@half
def avg_pool_fwd(x: Array, axes: Axes, with_padding: bool, divisor: int) -> Array:
    """The sum of each window, divided by the number of its elements or by `divisor` if not 0.

    Shapes: x (..., *sizes) C-contiguous, sizes at least 1; the result (..., *outputs).
    """
    y = _result(x, axes, x.dtype)
    if _whole(axes):
        _run_whole(_whole_fwd, x, y, divisor)
        return y
    rest = windows.inside(axes), windows.lengths(axes, with_padding), divisor
    _run(_avg_fwd, (x, y), axes, *rest)
    return y


@half
def avg_pool_bwd(gy: Array, axes: Axes, with_padding: bool, divisor: int) -> Array:
    """The gradient of x: that of each window, divided likewise, goes to all its elements."""
    gx = cache.empty((*gy.shape[: -len(axes)], *[w.size for w in axes]), gy.dtype)
    if _whole(axes):
        _run_whole(_whole_bwd, gx, gy, divisor)
        return gx
    rest = windows.inside(axes), windows.lengths(axes, with_padding), divisor
    _run(_avg_bwd, (gy, gx), axes, *rest)
    return gx
