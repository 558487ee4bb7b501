"""Attention without a mask: a head's queries, a run at a time, from their scores to their results.

One thread does all of it, so that the weights never leave its cache. Heads, and in the forward pass
runs of queries, are shared out; what a thread does does not depend on how many there are.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
from numba import types

from gpunet.backend.base import Array
from gpunet.backend.cpu.gemm import multiply_alone, share_products
from gpunet.backend.cpu.jit import T, kernel
from gpunet.backend.cpu.reduction import row_max, row_sum
from gpunet.backend.cpu.scalar import exp
from gpunet.backend.cpu.softmax import unweighted

ROWS, FEWER = 64, 32  # queries in a run
SHORT = 256  # keys up to which `FEWER` pay where the last query of a run sees more than the first:
# fewer scores are made that nobody sees. Of 64 × 64 (E = 32) the backward pass takes 15 % less; of
# more keys it takes longer, since every run packs those that it sees.


def _arrays(dtype: Any, read: int, written: int) -> list[Any]:
    operand = types.Array(dtype, 4, "A", readonly=True, aligned=False)
    return [operand] * read + [types.Array(dtype, 4, "A")] * written


@kernel(inline=True)
def _weights(q, k, scale, first, weights, taken):
    """weights = softmax(scale·q·kᵀ), where query i sees the first `first` + i keys."""
    multiply_alone(q, k.T, weights, False, taken)
    queries, keys = weights.shape
    # Rows are short, and loops over them soon end. So all keys take part, those that a query does
    # not see with the score of its first key until they become zeros, and `exp` takes all rows.
    for i in range(queries):
        row = weights[i]
        row[first + i :] = row[0]
        for j in range(keys):
            row[j] *= scale
        top = row_max(row)
        for j in range(keys):
            row[j] -= top
    flat = weights.reshape(queries * keys)
    for j in range(flat.size):
        flat[j] = exp(flat[j])
    for i in range(queries):
        row = weights[i]
        row[first + i :] = 0.0
        share_of_one = 1.0 / row_sum(row)
        for j in range(keys):
            row[j] *= share_of_one


@kernel(signature=lambda t: types.void(*_arrays(t, 3, 1), t, *[types.int64] * 4))
def _forward(q, k, v, out, scale, first, rows, start, stop):
    """For the runs of queries number `start` to `stop`."""
    heads, queries, keys = q.shape[1], q.shape[2], k.shape[2]
    runs = -(-queries // rows)
    memory, taken = np.empty(min(rows, queries) * keys, T), np.empty(1, np.int64)
    for item in range(start, stop):
        at, top = (item // runs // heads, item // runs % heads), item % runs * rows
        end = min(top + rows, queries)
        seen = min(keys, first + end - 1)
        weights = memory[: (end - top) * seen].reshape(end - top, seen)
        _weights(q[at][top:end], k[at][:seen], scale, first + top, weights, taken)
        multiply_alone(weights, v[at][:seen], out[at][top:end], False, taken)


@kernel(signature=lambda t: types.void(*_arrays(t, 4, 3), t, *[types.int64] * 4))
def _backward(gy, q, k, v, gq, gk, gv, scale, first, rows, start, stop):
    """For the heads number `start` to `stop`."""
    heads, queries, keys = q.shape[1], q.shape[2], k.shape[2]
    size = min(rows, queries) * keys
    memory, g_memory, taken = np.empty(size, T), np.empty(size, T), np.empty(1, np.int64)
    for head in range(start, stop):
        at = head // heads, head % heads
        gk[at][:] = 0.0
        gv[at][:] = 0.0
        for top in range(0, queries, rows):
            end = min(top + rows, queries)
            seen = min(keys, first + end - 1)
            weights = memory[: (end - top) * seen].reshape(end - top, seen)
            g = g_memory[: (end - top) * seen].reshape(end - top, seen)
            q_run, gy_run, k_seen = q[at][top:end], gy[at][top:end], k[at][:seen]
            _weights(q_run, k_seen, scale, first + top, weights, taken)
            multiply_alone(weights.T, gy_run, gv[at][:seen], True, taken)
            multiply_alone(gy_run, v[at][:seen].T, g, False, taken)
            for i in range(end - top):
                unweighted(g[i], weights[i], scale)
            multiply_alone(g, k_seen, gq[at][top:end], False, taken)
            multiply_alone(g.T, q_run, gk[at][:seen], True, taken)


def _rows(keys: int, first: int) -> int:
    """Queries in a run."""
    return FEWER if first < keys <= SHORT else ROWS


def _four(*arrays: Array) -> list[Array]:
    """Views with four axes."""
    return [x if x.ndim == 4 else x[None] for x in arrays]


def _read(*arrays: Array) -> list[Array]:
    """Views with four axes, or copies, where the last one is not contiguous."""
    return _four(*[x if x.itemsize == x.strides[-1] else x.copy() for x in arrays])


def attention_fwd(q: Array, k: Array, v: Array, out: Array, scale: float, first: int) -> Any:
    """out = softmax(scale·q·kᵀ)·v, where query i sees the first `first` + i keys.

    Shapes: q (..., L, E), k (..., S, E), v (..., S, Ev), out (..., L, Ev), with the same leading
    axes, one or two of them, and elements in all; out is contiguous along the last. Dtypes:
    float32, float64.

    Returns:
        What the backward pass is given as `kept`: nothing, for it makes the weights again.
    """
    (queries, features), keys = q.shape[-2:], k.shape[-2]
    rows = _rows(keys, first)
    runs = -(-queries // rows)
    work = min(rows, queries) * keys * (features + v.shape[-1])
    arguments = *_read(q, k, v), *_four(out), q.dtype.type(scale), first, rows
    share_products(_forward[q.dtype], arguments, prod(q.shape[:-2]) * runs, work)


def attention_bwd(
    gy: Array,
    q: Array,
    k: Array,
    v: Array,
    gq: Array,
    gk: Array,
    gv: Array,
    scale: float,
    first: int,
    kept: Any,
) -> None:
    """Writes the gradients of q, k and v; they are contiguous along their last axes, too."""
    (queries, features), keys = q.shape[-2:], k.shape[-2]
    work = queries * keys * (3 * features + 2 * v.shape[-1])
    scalars = q.dtype.type(scale), first, _rows(keys, first)
    arguments = *_read(gy, q, k, v), *_four(gq, gk, gv), *scalars
    share_products(_backward[q.dtype], arguments, prod(q.shape[:-2]), work)
