"""Products of a matrix and one vector, or a few: bound by reading the matrix, row by row, once."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types

from gpunet.backend.base import Array
from gpunet.backend.cpu import threads
from gpunet.backend.cpu.jit import FAST_SUM, T, kernel
from gpunet.backend.cpu.memory import cache
from gpunet.backend.cpu.pointers import at, call

GROUP = 32  # rows of W that meet all vectors before the next ones are read
# Of W, from which it pays to share its rows out: 10 µs of one core. Two cores whose L2 caches hold
# half of the weights each, which one cache cannot, answer in half the time.
SHARED_BYTES = 1 << 19


@kernel(inline=True, fastmath=FAST_SUM)
def _dots(w0, w1, w2, w3, x):
    """Four rows times x: x is loaded once for all of them."""
    s0, s1, s2, s3 = T(0.0), T(0.0), T(0.0), T(0.0)
    for k in range(x.size):
        s0 += w0[k] * x[k]
        s1 += w1[k] * x[k]
        s2 += w2[k] * x[k]
        s3 += w3[k] * x[k]
    return s0, s1, s2, s3


@kernel(inline=True, fastmath=FAST_SUM)
def _dot(w, x):
    total = T(0.0)
    for k in range(x.size):
        total += w[k] * x[k]
    return total


@kernel(inline=True)
def rows_times(w, x, out):
    """out += w·x, where w lies as the product with its transpose needs it."""
    whole = w.shape[0] // 4 * 4
    for j in range(0, whole, 4):
        s0, s1, s2, s3 = _dots(w[j], w[j + 1], w[j + 2], w[j + 3], x)
        out[j] += s0
        out[j + 1] += s1
        out[j + 2] += s2
        out[j + 3] += s3
    for j in range(whole, w.shape[0]):
        out[j] += _dot(w[j], x)


@kernel(inline=True)
def _add_scaled(a0, a1, a2, a3, w0, w1, w2, w3, out):
    for k in range(out.size):
        out[k] += a0 * w0[k] + a1 * w1[k] + a2 * w2[k] + a3 * w3[k]


@kernel(inline=True)
def times_rows(x, w, out):
    """out += x·w, row by row of w."""
    whole = w.shape[0] // 4 * 4
    for j in range(0, whole, 4):
        w0, w1, w2, w3 = w[j], w[j + 1], w[j + 2], w[j + 3]
        _add_scaled(x[j], x[j + 1], x[j + 2], x[j + 3], w0, w1, w2, w3, out)
    for j in range(whole, w.shape[0]):
        for k in range(out.size):
            out[k] += x[j] * w[j, k]


def _signature(dtype: Any) -> Any:
    matrix = types.Array(dtype, 2, "C", readonly=True, aligned=False)
    vector = types.Array(dtype, 1, "C", readonly=True, aligned=False)
    out = types.Array(dtype, 2, "C")
    return types.void(types.int64, matrix, matrix, vector, out, vector, types.int64, types.int64)


@kernel(signature=_signature)
def _pointwise(formula, x, w, bias, out, parameters, start, stop):
    """Columns `start` to `stop` of out = f(x·wᵀ + bias), with f as in pointwise.py.

    A group of rows of w at a time.
    """
    rows, columns = out.shape
    z = np.empty(GROUP, T)
    for first in range(start, stop, GROUP):
        n = min(GROUP, stop - first)
        for i in range(rows):
            for j in range(n):
                z[j] = bias[first + j] if bias.size else T(0.0)
            rows_times(w[first : first + n], x[i], z[:n])
            y = at(out, i * columns + first)
            call(formula, at(z, 0), at(z, 0), y, n, at(parameters, 0))


def pointwise(formula: int, x: Array, w: Array, bias: Array, parameters: Array) -> Array:
    """f(x·wᵀ + bias), by the address of the formula's loop; an empty bias counts as none.

    Shapes: x (N, in), w (out, in), bias (out,), all C-contiguous. Dtypes: float32, float64.
    """
    dtype, columns = x.dtype, w.shape[0]
    out = cache.empty((x.shape[0], columns), dtype)
    arguments = formula, x, w, bias, out, parameters
    if w.nbytes < SHARED_BYTES:
        _pointwise[dtype](*arguments, 0, columns)
    else:
        # The same rows go to the same thread each time, if they can: its cache may have them.
        edges = threads.edges(columns, threads.count(), GROUP)
        threads.spread(_pointwise[dtype], edges, arguments)
    return out
