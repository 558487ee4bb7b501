"""Softmax, log-softmax and fused cross entropy over the last axis.

CUDA twins: kernels/softmax.cu.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from gpunet.backend.base import Array
from gpunet.backend.cpu.half import half
from gpunet.backend.cpu.jit import Kernel, T, kernel
from gpunet.backend.cpu.memory import cache
from gpunet.backend.cpu.reduction import row_dot, row_max, row_sum
from gpunet.backend.cpu.scalar import exp, log
from gpunet.backend.cpu.share import WORTHWHILE, as_rows, share
from gpunet.errors import ArgumentError

COST = 4  # of an element with its `exp`, see `share`


@kernel(inline=True)
def _exp_row(x, y):
    """y = e^(x - max x); returns the maximum and the sum of y."""
    top = row_max(x)
    for j in range(x.size):
        y[j] = exp(x[j] - top)
    return top, row_sum(y)


@kernel
def _softmax_fwd(x, y, start, stop):
    for i in range(start, stop):
        _, total = _exp_row(x[i], y[i])
        scale = 1.0 / total
        for j in range(x.shape[1]):
            y[i, j] *= scale


@kernel
def _softmax_bwd(gy, y, gx, start, stop):
    for i in range(start, stop):
        dot = row_dot(gy[i], y[i])
        for j in range(y.shape[1]):
            gx[i, j] = y[i, j] * (gy[i, j] - dot)


@kernel
def _weights_fwd(x, start, stop, scale, queries, first):
    # In place and by one name: loops over two names of one memory would not become vector code.
    for i in range(start, stop):
        seen = min(x.shape[1], first + i % queries)
        row = x[i, :seen]
        for j in range(seen):
            row[j] *= scale
        top = row_max(row)
        for j in range(seen):
            row[j] = exp(row[j] - top)
        share_of_one = 1.0 / row_sum(row)
        for j in range(seen):
            row[j] *= share_of_one
        for j in range(seen, x.shape[1]):
            x[i, j] = 0.0


@kernel(inline=True)
def unweighted(g, y, scale):
    """g = scale · y (g − Σ g·y), of a row of weights y."""
    dot = row_dot(g, y)
    for j in range(y.size):
        g[j] = scale * y[j] * (g[j] - dot)


@kernel
def _weights_bwd(y, g, start, stop, scale):
    for i in range(start, stop):
        unweighted(g[i], y[i], scale)


@kernel
def _log_softmax_fwd(x, y, start, stop):
    for i in range(start, stop):
        top, total = _exp_row(x[i], y[i])
        log_total = log(total)
        for j in range(x.shape[1]):
            # The large terms first: top + log_total would round the small one away.
            y[i, j] = (x[i, j] - top) - log_total


@kernel
def _log_softmax_bwd(gy, y, gx, start, stop):
    for i in range(start, stop):
        total = row_sum(gy[i])
        for j in range(y.shape[1]):
            gx[i, j] = gy[i, j] - exp(y[i, j]) * total


@kernel
def _cross_entropy_fwd(
    x, p, start, stop, target, weight, ignore_index, smoothing, rows, totals, finish
):
    """Losses of the rows from `start` to `stop`; to `finish`, the totals of all rows.

    Returns the first row with a wrong label, when it finishes, or else -1.
    """
    classes = x.shape[1]
    all_weights = T(classes) if weight.size == 0 else row_sum(weight)
    for i in range(start, stop):
        label = target[i]
        if label == ignore_index or label < 0 or label >= classes:
            rows[i] = 0.0
            p[i, :] = 0.0
            continue
        top, total = _exp_row(x[i], p[i])
        log_total = log(total)
        scale = 1.0 / total
        for j in range(classes):
            p[i, j] *= scale
        label_weight = T(1.0) if weight.size == 0 else weight[label]
        loss = (1.0 - smoothing) * label_weight * (log_total - (x[i, label] - top))
        if smoothing > 0.0:
            weighted = row_sum(x[i]) if weight.size == 0 else row_dot(x[i], weight)
            below_top = weighted - all_weights * top
            loss += smoothing / T(classes) * (all_weights * log_total - below_top)
        rows[i] = loss
    if not finish:
        return -1
    loss_sum, weight_sum = 0.0, 0.0
    for i in range(x.shape[0]):
        label = target[i]
        if label != ignore_index:
            if label < 0 or label >= classes:
                return i
            loss_sum += rows[i]
            weight_sum += T(1.0) if weight.size == 0 else weight[label]
    totals[0], totals[1], totals[2] = loss_sum, weight_sum, loss_sum / weight_sum
    return -1


@kernel
def _cross_entropy_bwd(gy, p, gx, start, stop, target, weight, ignore_index, smoothing):
    classes = p.shape[1]
    spread = smoothing / T(classes)
    all_weights = T(classes) if weight.size == 0 else row_sum(weight)
    for i in range(start, stop):
        label = target[i]
        if label == ignore_index:
            gx[i, :] = 0.0
            continue
        g = gy[i] if gy.size > 1 else gy[0]
        label_weight = (1.0 - smoothing) * (T(1.0) if weight.size == 0 else weight[label])
        row_weight = g * (label_weight + spread * all_weights)
        for j in range(classes):
            gx[i, j] = row_weight * p[i, j]
        if smoothing > 0.0:
            for j in range(classes):
                gx[i, j] -= g * spread * (T(1.0) if weight.size == 0 else weight[j])
        gx[i, label] -= g * label_weight


def _run(kernel: Kernel, *arrays: Array, rest: tuple[Any, ...] = (), cost: int = COST) -> Array:
    """Calls the kernel on all rows; returns the last of the arrays, which is the result."""
    rows = [as_rows(x) for x in arrays]
    share(kernel[rows[0].dtype], rows, *rows[0].shape, rows[0].dtype, *rest, cost=cost)
    return arrays[-1]


@half
def softmax_fwd(x: Array) -> Array:
    """e^x / Σ e^x along the last axis. Shapes: x (..., C) C-contiguous, C >= 1; result like x."""
    return _run(_softmax_fwd, x, cache.empty(x.shape, x.dtype))


@half
def softmax_bwd(gy: Array, y: Array) -> Array:
    """gx = y (gy − Σ gy·y); y is the softmax."""
    return _run(_softmax_bwd, gy, y, cache.empty(y.shape, y.dtype), cost=1)


@half
def weights_fwd(x: Array, scale: float, first: int) -> Array:
    """Attention's weights: softmax(scale·x) over the keys that a query sees, 0 for the others.

    Query i of each matrix sees the first `first` + i keys; x may be overwritten and returned.
    Shapes: x (..., L, S) C-contiguous, L and S >= 1, first >= 1; result like x.
    """
    return _run(_weights_fwd, x, rest=(x.dtype.type(scale), x.shape[-2], first))


@half
def weights_bwd(gy: Array, y: Array, scale: float) -> Array:
    """gx = scale · y (gy − Σ gy·y); y are the weights. gy may be overwritten and returned."""
    return _run(_weights_bwd, y, gy, rest=(y.dtype.type(scale),), cost=1)


@half
def log_softmax_fwd(x: Array) -> Array:
    """x − log Σ e^x along the last axis. Shapes: x (..., C) C-contiguous, C >= 1; result like x."""
    return _run(_log_softmax_fwd, x, cache.empty(x.shape, x.dtype))


@half
def log_softmax_bwd(gy: Array, y: Array) -> Array:
    """gx = gy − e^y Σ gy; y is the log-softmax."""
    return _run(_log_softmax_bwd, gy, y, cache.empty(y.shape, y.dtype))


@half
def cross_entropy_fwd(
    x: Array, target: Array, weight: Array | None, ignore_index: int, smoothing: float
) -> tuple[Array, Array, Array]:
    """Cross entropy of softmax(x) against class indices, the softmax kept for the backward pass.

    Shapes: x (n, C) C-contiguous, target (n,) int64, weight (C,) or None.
    Returns: the loss of each row (n,), the totals (3,) = Σ loss, Σ weight and their ratio,
        softmax(x) (n, C).
    Raises: ArgumentError for a label outside [0, C) that is not `ignore_index`.
    """
    dtype = x.dtype
    rows, totals, p = np.empty(len(x), dtype), np.zeros(3, dtype), cache.empty(x.shape, dtype)
    w = np.empty(0, dtype) if weight is None else weight
    rest = (target, w, ignore_index, dtype.type(smoothing), rows, totals)
    call, done = _cross_entropy_fwd[dtype], 0
    if x.size * COST >= WORTHWHILE[dtype]:
        share(call, (x, p), *x.shape, dtype, *rest, False, cost=COST)
        done = len(x)
    bad = call(x, p, done, len(x), *rest, True)
    if bad >= 0:
        raise ArgumentError(
            "cross_entropy",
            f"target must be in [0, C) = [0, {x.shape[1]}), got {target[bad]} at index {bad}",
            f"ignore_index is {ignore_index}",
        )
    return rows, totals, p


@half
def cross_entropy_bwd(
    gy: Array, p: Array, target: Array, weight: Array | None, ignore_index: int, smoothing: float
) -> Array:
    """Gradient of the rows' losses; gy is (n,), or (1,) for the same weight on each row."""
    gx = cache.empty(p.shape, p.dtype)
    w = np.empty(0, p.dtype) if weight is None else weight
    rest = target, w, ignore_index, p.dtype.type(smoothing)
    share(_cross_entropy_bwd[p.dtype], (gy, p, gx), *p.shape, p.dtype, *rest)
    return gx
