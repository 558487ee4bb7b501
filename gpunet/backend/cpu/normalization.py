"""Normalisation by mean and variance: of channels over all samples, and of the parts of a sample.

Both read x once from memory: what a statistic is taken over goes through the cache in runs. The
mean of a run is found first, then its squares around that mean; runs are combined in order (Chan,
Golub & LeVeque, 1979), so large means do no harm. Channels, or parts of samples, are shared out
over the threads, in pieces that depend on the shapes alone. CUDA twins: kernels/normalization.cu.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from gpunet.backend.base import Array
from gpunet.backend.cpu import normalization_loops as loops
from gpunet.backend.cpu import threads
from gpunet.backend.cpu.half import half
from gpunet.backend.cpu.memory import cache
from gpunet.backend.cpu.share import WORTHWHILE, share

PARTS = 16  # at most: sums over rows that are made apart, then added
COST = 6  # of an element, see `share`: 98 304 of them take 80 µs, or 160 if x is not cached


def _or_full(parameter: Array | None, length: int, value: float, dtype: Any) -> Array:
    return np.full(length, value, dtype) if parameter is None else parameter


def _over_channels(blocks: Any, columns: Any, arrays: list[Array], *rest: Any) -> None:
    x = arrays[0]
    samples, channels, size = x.shape[0], x.shape[1], prod(x.shape[2:])
    if size == 1:
        flat = [a.reshape(samples, channels) for a in arrays]
        several = -(-channels // loops.COLUMNS)
        share(columns[x.dtype], flat, several, samples * loops.COLUMNS, x.dtype, *rest, cost=COST)
    elif x.size:
        flat = [a.reshape(samples, channels, size) for a in arrays]
        share(blocks[x.dtype], flat, channels, samples * size, x.dtype, *rest, cost=COST)


@half
def batch_norm_fwd(
    x: Array,
    weight: Array | None,
    bias: Array | None,
    mean: Array,
    var: Array,
    eps: float,
    given: bool,
    relu: bool,
) -> Array:
    """y = (x − mean) / √(var + eps) · weight + bias, a channel with its own of each.

    Shapes: x (N, C, ...) C-contiguous, all others (C,); the result like x.
    Args:
        mean, var: of float32 (float64 for x of float64); where they are not `given`, those of each
            channel of x are written into them.
        relu: whether what is below 0 becomes 0.
    """
    y = cache.empty(x.shape, x.dtype)
    w, b = (_or_full(p, x.shape[1], v, x.dtype) for p, v in ((weight, 1.0), (bias, 0.0)))
    _over_channels(
        loops.batch_norm_fwd, loops.columns_fwd, [x, y], w, b, mean, var, eps, given, relu
    )
    return y


@half
def batch_norm_bwd(
    gy: Array,
    x: Array,
    weight: Array | None,
    bias: Array | None,
    mean: Array,
    var: Array,
    eps: float,
    given: bool,
    relu: bool,
) -> tuple[Array, Array, Array]:
    """Gradients of x, weight and bias; mean and var as the forward pass left them.

    Unless they are `given`, they depend on x: gx = scale·(gy − mean(gy) − x̂·mean(gy·x̂)), with x̂
    for x normalised and scale for weight / √(var + eps).
    """
    gx = cache.empty(x.shape, x.dtype)
    gw, gb = np.zeros(x.shape[1], x.dtype), np.zeros(x.shape[1], x.dtype)
    w, b = (_or_full(p, x.shape[1], v, x.dtype) for p, v in ((weight, 1.0), (bias, 0.0)))
    rest = w, b, mean, var, eps, given, relu, gw, gb
    _over_channels(loops.batch_norm_bwd, loops.columns_bwd, [gy, x, gx], *rest)
    return gx, gw, gb


def running_stats(kept: Array, found: Array, momentum: float, factor: float) -> None:
    """Moves a mean or variance: kept becomes (1 − momentum)·kept + momentum·factor·found."""
    kept[...] = kept * (1 - momentum) + found * factor * momentum


@half
def row_norm_fwd(
    x: Array,
    weight: Array | None,
    bias: Array | None,
    mean: Array,
    var: Array,
    channels: int,
    spread: int,
    eps: float,
    centred: bool,
) -> Array:
    """y = (x − mean) / √(var + eps) · weight + bias over rows of x.

    Element j of row i has channel (i·columns + j) // spread of `channels`, counted on from row to
    row and around: rows are samples of all channels, or parts of samples.
    Shapes: x any, C-contiguous, in mean.size rows; weight and bias (channels,); the result like x.
    Args:
        mean, var: (rows,) of float32 (float64 for x of float64); those of each row are written into
            them. If not `centred`, the mean is 0, and var the mean of the squares.
    """
    y = cache.empty(x.shape, x.dtype)
    if x.size:
        w, b = (_or_full(p, channels, v, x.dtype) for p, v in ((weight, 1.0), (bias, 0.0)))
        rows = mean.size
        flat = [a.reshape(1, rows, x.size // rows) for a in (x, y)]
        rest = w, b, mean, var, spread, eps, centred
        call = loops.row_norm_fwd[x.dtype]
        share(call, flat, rows, x.size // rows, x.dtype, *rest, cost=COST)
    return y


@half
def row_norm_bwd(
    gy: Array,
    x: Array,
    weight: Array | None,
    mean: Array,
    var: Array,
    channels: int,
    spread: int,
    eps: float,
    centred: bool,
    wanted: bool,
) -> tuple[Array, ...]:
    """Gradients of x, weight and bias, the last two only if `wanted`.

    gx = (g − mean(g) − x̂·mean(g·x̂)) / √(var + eps) with g = weight·gy and x̂ for x normalised; if
    not `centred`, without mean(g).
    """
    gx = cache.empty(x.shape, x.dtype)
    rows = mean.size
    parts = max(1, min(rows, 2 * x.size * COST // WORTHWHILE[x.dtype], PARTS))
    # Sums of parts apart, as many as the shapes say, whatever the number of threads.
    gw, gb = np.zeros((2, parts, channels if wanted else 0), x.dtype)
    if x.size:
        flat = [a.reshape(1, rows, x.size // rows) for a in (gy, x, gx)]
        rest = _or_full(weight, channels, 1.0, x.dtype), mean, var, spread, eps, centred
        edges = [rows * part // parts for part in range(parts + 1)]
        call = loops.row_norm_bwd[x.dtype]
        threads.run([(call, (*flat, *edges[i : i + 2], *rest, gw[i], gb[i])) for i in range(parts)])
    return (gx, gw.sum(0), gb.sum(0)) if wanted else (gx,)
