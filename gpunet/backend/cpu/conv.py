"""Convolutions of one, two and three axes, direct: no matrix of columns is ever written.

Axes are always three here (a picture is a volume one deep). A sample is copied into a buffer where
it is padded and, for strides above 1, taken apart into phases: the phase (0, 1) of a picture with
stride 2 holds its even rows and odd columns. Seen from an output pixel, each tap of a filter then
meets a phase at a fixed distance, whatever the stride, padding and dilation:

    input row y·s + k·d  =  (y + q)·s + p   with   q = k·d div s,  p = k·d mod s
    → element (y + q) of phase p

Rows of the buffer are as long as an output row and the largest q, and output pixels are counted
through with that pitch, so that a tile runs over the ends of rows; the few pixels between rows are
computed for nothing and left out when the result is copied to its place.

The gradient of the input is such a correlation, too, with the gradient of the output: one for each
phase of the input, of the taps that reach it. So is a transposed convolution.

Shapes: x (N, C, D, H, W), w (O, C / groups, kd, kh, kw), y (N, O, Do, Ho, Wo); all C-contiguous.
CUDA twins: kernels/conv.cu.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from math import prod
from typing import Any

import numpy as np

from gpunet.backend.base import Array
from gpunet.backend.cpu import threads
from gpunet.backend.cpu.conv_tile import (
    DOT_ROWS,
    DOT_TAPS,
    correlate_tile,
    dot_tile,
    place_of,
)
from gpunet.backend.cpu.jit import ByDtype, T, kernel
from gpunet.backend.cpu.memory import cache
from gpunet.backend.cpu.tile import HEIGHTS, VECTOR_BYTES

Three = tuple[int, int, int]
Padding = tuple[tuple[int, int], tuple[int, int], tuple[int, int]]

ITEM = ByDtype(float32=4, float64=8)
LANES = ByDtype(float32=VECTOR_BYTES // 4, float64=VECTOR_BYTES // 8)
RUN = 1024  # pixels at a time in the gradient of the weights: all rows of it stay in the L2 cache
SHARES = 4  # pieces of work a thread, so that one that is slowed down by others does fewer


# --- geometry


@dataclass(frozen=True)
class Correlation:
    """Which distances in a buffer of phases make out[m, pixel] = Σₖ w[m, k]·buffer[pixel + offset].

    Attributes:
        out: shape of the result, (Do, Ho, Wo).
        pitch: distances of neighbouring slices and rows in the buffer, in elements.
        phase: shape of a phase in the buffer.
        starts: of each phase and axis, the input index of its element 0 (may be negative).
        steps: distance of its neighbouring elements in the input, an axis each.
        offsets: in bytes of 4-byte elements × 1, for each channel and tap.
        pixels: output pixels counted through, with those between rows.
        size: of the buffer in elements, with what a last vector may read beyond.
    """

    out: Three
    phase: Three
    starts: Array
    steps: Array
    offsets: Array
    pixels: int
    size: int


def _correlation(
    channels: int, out: Three, taps: list[tuple[Three, Three]], steps: Three
) -> Correlation:
    """A correlation from its taps: for each, the input index of its phase's start, and its q."""
    reach = [max(q[axis] for _, q in taps) for axis in range(3)]
    phase: Any = tuple(n + far for n, far in zip(out, reach, strict=True))
    phases = sorted({start for start, _ in taps})
    volume = prod(phase)
    offsets = np.array(
        [
            (c * len(phases) + phases.index(start)) * volume
            + (q[0] * phase[1] + q[1]) * phase[2]
            + q[2]
            for c in range(channels)
            for start, q in taps
        ],
        np.int64,
    )
    pixels = ((out[0] - 1) * phase[1] + out[1] - 1) * phase[2] + out[2]
    beyond = -(-pixels // _WIDEST) * _WIDEST + _WIDEST
    size = max(channels * len(phases) * volume, int(offsets.max()) + beyond)
    return Correlation(
        out, phase, np.array(phases, np.int64), np.array(steps, np.int64), offsets, pixels, size
    )


_WIDEST = 2 * VECTOR_BYTES // 4  # elements of a tile's row


@functools.lru_cache(1024)
def forward_plan(
    channels: int, shape: Three, kernel: Three, stride: Three, padding: Padding, dilation: Three
) -> Correlation:
    """The correlation that a convolution is, for the channels of one group."""
    out: Any = tuple(
        (n + sum(pad) - d * (k - 1) - 1) // s + 1
        for n, k, s, pad, d in zip(shape, kernel, stride, padding, dilation, strict=True)
    )
    taps = []
    for tap in product(*map(range, kernel)):
        axes = list(zip(tap, stride, padding, dilation, strict=True))
        start: Any = tuple(k * d % s - pad[0] for k, s, pad, d in axes)
        q: Any = tuple(k * d // s for k, s, _, d in axes)
        taps.append((start, q))
    return _correlation(channels, out, taps, stride)


@functools.lru_cache(1024)
def backward_plans(
    filters: int,
    out: Three,
    shape: Three,
    kernel: Three,
    stride: Three,
    padding: Padding,
    dilation: Three,
) -> list[tuple[Three, Correlation | None, Array]]:
    """The correlations with the gradient of the output that make the gradient of the input.

    Returns:
        For each phase of the input: its first element, the correlation (None if no tap reaches the
        phase), and which taps, counted through, it uses.
    """
    plans = []
    for first in product(*(range(min(s, n)) for s, n in zip(stride, shape, strict=True))):
        count: Any = tuple(-(-(n - f) // s) for n, f, s in zip(shape, first, stride, strict=True))
        # Input i = s·j + first is met by tap k at output (i + pad − k·d) / s, if that is whole.
        reached, distances = [], []
        for index, tap in enumerate(product(*map(range, kernel))):
            ahead = [
                f + pad[0] - k * d
                for f, pad, k, d in zip(first, padding, tap, dilation, strict=True)
            ]
            if all(a % s == 0 for a, s in zip(ahead, stride, strict=True)):
                reached.append(index)
                distances.append([a // s for a, s in zip(ahead, stride, strict=True)])
        if not reached:
            plans.append((first, None, np.empty(0, np.int64)))
            continue
        lowest: Any = tuple(np.min(distances, axis=0).tolist())
        taps: Any = [
            (lowest, tuple(a - b for a, b in zip(distance, lowest, strict=True)))
            for distance in distances
        ]
        plan = _correlation(filters, count, taps, (1, 1, 1))
        plans.append((first, plan, np.array(reached, np.int64)))
    return plans


# --- kernels


@kernel(inline=True)
def _height(rows):
    for height in HEIGHTS:
        if height <= rows:
            return height
    return 0


@kernel(inline=True)
def _first_of(choices, count):
    for choice in choices:
        if choice <= count:
            return choice
    return 0


@kernel
def _fill_buffer(x, starts, steps, phase, buffer):
    """Copies a sample (C, D, H, W) into its padded phases; see the module's text."""
    depth, height, width = phase
    i = 0
    for c in range(x.shape[0]):
        for p in range(starts.shape[0]):
            w0, sw = starts[p, 2], steps[2]
            left = min(max(0, -(w0 // sw)), width)  # elements in front of the picture
            inside = min(max((x.shape[3] - 1 - w0) // sw + 1, left), width)
            for z in range(depth):
                iz = starts[p, 0] + z * steps[0]
                for y in range(height):
                    iy = starts[p, 1] + y * steps[1]
                    if iz < 0 or iz >= x.shape[1] or iy < 0 or iy >= x.shape[2]:
                        buffer[i : i + width] = 0.0
                    else:
                        row, to = x[c, iz, iy], buffer[i : i + width]
                        to[:left] = 0.0
                        if sw == 1:
                            from_ = row[w0 + left : w0 + inside]
                            target = to[left:inside]
                            for j in range(from_.size):
                                target[j] = from_[j]
                        else:
                            for j in range(left, inside):
                                to[j] = row[w0 + j * sw]
                        to[inside:] = 0.0
                    i += width


@kernel
def _correlate_rows(buffer, offsets, weights, pixels, scratch):
    """scratch[m, pixel] = Σₖ w[m, k]·buffer[pixel + offsets[k]] for all rows and pixels."""
    rows, depth = scratch.shape[0], offsets.size
    stride = scratch.shape[1] * ITEM
    for t in range(0, pixels, 2 * LANES):
        i = 0
        while i < rows:
            height = _height(rows - i)
            correlate_tile(
                buffer,
                place_of(weights, i * depth),
                place_of(buffer, t),
                place_of(offsets, 0),
                depth,
                place_of(scratch, i * scratch.shape[1] + t),
                stride,
                height,
            )
            i += height


@kernel
def _correlate_samples(
    x, offsets, weights, bias, starts, steps, phase, size, pixels, out, y, at, apart
):
    """y[n, m, at + apart·pixel] = bias[m] + the correlation of each sample."""
    buffer = np.zeros(size, T)
    pitch = -(-pixels // (2 * LANES)) * (2 * LANES)
    scratch = np.empty((y.shape[1], pitch), T)
    for n in range(x.shape[0]):
        _fill_buffer(x[n], starts, steps, phase, buffer)
        _correlate_rows(buffer, offsets, weights, pixels, scratch)
        for m in range(y.shape[1]):
            shift = bias[m] if bias.size else T(0)
            for z in range(out[0]):
                for row in range(out[1]):
                    start = (z * phase[1] + row) * phase[2]
                    from_ = scratch[m, start : start + out[2]]
                    to = y[n, m, at[0] + z * apart[0], at[1] + row * apart[1]]
                    if apart[2] == 1:
                        target = to[at[2] : at[2] + out[2]]
                        for j in range(from_.size):
                            target[j] = from_[j] + shift
                    else:
                        for j in range(from_.size):
                            to[at[2] + j * apart[2]] = from_[j] + shift


@kernel
def _weight_gradient(x, gy, offsets, starts, steps, phase, size, pixels, gw):
    """gw[m, k] = Σ over samples and pixels of gy[n, m, pixel]·x's buffer[pixel + offsets[k]]."""
    rows, depth = gw.shape
    buffer = np.zeros(size, T)
    pitch = -(-pixels // LANES) * LANES
    g = np.zeros((rows, pitch), T)  # what lies between the rows of a picture stays zero
    gw[:] = 0.0
    for n in range(x.shape[0]):
        _fill_buffer(x[n], starts, steps, phase, buffer)
        for m in range(rows):
            for z in range(gy.shape[2]):
                for row in range(gy.shape[3]):
                    from_ = gy[n, m, z, row]
                    start = (z * phase[1] + row) * phase[2]
                    to = g[m, start : start + from_.size]
                    for j in range(from_.size):
                        to[j] = from_[j]
        for t in range(0, pitch, RUN):
            vectors = min(RUN, pitch - t) // LANES
            k = 0
            while k < depth:
                taps = _first_of(DOT_TAPS, depth - k)
                i = 0
                while i < rows:
                    height = _first_of(DOT_ROWS, rows - i)
                    dot_tile(
                        buffer,
                        place_of(g, i * pitch + t),
                        pitch * ITEM,
                        place_of(buffer, t),
                        place_of(offsets, k),
                        vectors,
                        place_of(gw, i * depth + k),
                        depth * ITEM,
                        height,
                        taps,
                    )
                    i += height
                k += taps


# --- what operations call


def conv_fwd(
    x: Array,
    w: Array,
    bias: Array | None,
    stride: Three,
    padding: Padding,
    dilation: Three,
    groups: int,
    then: Callable[[Array], Any] | None = None,
) -> Array:
    """y = x ∗ w + bias.

    Args:
        bias: (O,) or None. then: called on each piece of y (some samples) while it is in a cache,
            to change it in place.
    """
    plan = forward_plan(w.shape[1], x.shape[2:], w.shape[2:], stride, padding, dilation)
    y = cache.empty((x.shape[0], w.shape[0], *plan.out), x.dtype)
    weights = [_packed(part) for part in _parts(w.reshape(w.shape[0], -1), groups)]
    tasks = []
    for samples in _pieces(x.shape[0]):
        tasks.append((_forward, (x[samples], weights, bias, plan, y[samples], then)))
    threads.run(tasks)
    return y


def _forward(x: Array, weights: Any, bias: Any, plan: Correlation, y: Array, then: Any) -> None:
    groups = len(weights)
    inputs, outputs = x.shape[1] // groups, y.shape[1] // groups
    for group, packed in enumerate(weights):
        rows = slice(group * outputs, (group + 1) * outputs)
        b = _NOTHING[x.dtype] if bias is None else bias[rows]
        part = x[:, group * inputs : (group + 1) * inputs]
        _correlate(part, packed, b, plan, y[:, rows], (0, 0, 0), (1, 1, 1))
    if then is not None:
        then(y)


def _correlate(
    x: Array, packed: Array, bias: Array, plan: Correlation, y: Array, at: Three, apart: Three
) -> None:
    _correlate_samples[x.dtype](
        x,
        plan.offsets * x.itemsize,
        packed,
        bias,
        plan.starts,
        plan.steps,
        plan.phase,
        plan.size,
        plan.pixels,
        plan.out,
        y,
        at,
        apart,
    )


def conv_bwd_x(
    gy: Array,
    w: Array,
    shape: Three,
    stride: Three,
    padding: Padding,
    dilation: Three,
    groups: int,
    bias: Array | None = None,
) -> Array:
    """The gradient of x, of spatial `shape`; with a `bias` the forward pass of the transposed form."""
    filters = w.shape[0] // groups
    taps = prod(w.shape[2:])
    plans = backward_plans(filters, gy.shape[2:], shape, w.shape[2:], stride, padding, dilation)
    gx = cache.empty((gy.shape[0], w.shape[1] * groups, *shape), gy.dtype)
    turned = []
    for part in _parts(w.reshape(w.shape[0], w.shape[1], taps), groups):
        by_channel = part.transpose(1, 0, 2)
        turned.append(
            [
                _packed(np.ascontiguousarray(by_channel[:, :, reached]).reshape(w.shape[1], -1))
                for _, _, reached in plans
            ]
        )
    tasks = []
    for samples in _pieces(gy.shape[0]):
        tasks.append((_backward, (gy[samples], turned, bias, plans, stride, gx[samples])))
    threads.run(tasks)
    return gx


def _backward(gy: Array, turned: Any, bias: Any, plans: Any, stride: Three, gx: Array) -> None:
    groups = len(turned)
    inputs, outputs = gy.shape[1] // groups, gx.shape[1] // groups
    for group, by_phase in enumerate(turned):
        rows = slice(group * outputs, (group + 1) * outputs)
        b = _NOTHING[gy.dtype] if bias is None else bias[rows]
        part = gy[:, group * inputs : (group + 1) * inputs]
        for packed, (first, plan, _) in zip(by_phase, plans, strict=True):
            if plan is not None:
                _correlate(part, packed, b, plan, gx[:, rows], first, stride)
            else:
                z, y, x = (slice(f, None, s) for f, s in zip(first, stride, strict=True))
                gx[:, rows, z, y, x] = 0 if bias is None else bias[rows, None, None, None]


def conv_bwd_w(
    x: Array,
    gy: Array,
    kernel: Three,
    stride: Three,
    padding: Padding,
    dilation: Three,
    groups: int,
) -> Array:
    """The gradient of w. Filters are shared out over the threads, samples are added up in order."""
    inputs, filters = x.shape[1] // groups, gy.shape[1] // groups
    plan = forward_plan(inputs, x.shape[2:], kernel, stride, padding, dilation)
    gw = cache.empty((gy.shape[1], inputs * prod(kernel)), x.dtype)
    tasks = []
    for group in range(groups):
        part = x[:, group * inputs : (group + 1) * inputs]
        for cut in threads.cuts(filters, DOT_ROWS[0]):
            rows = slice(group * filters + cut.start, group * filters + cut.stop)
            tasks.append((_gradient, (part, gy[:, rows], plan, gw[rows])))
    threads.run(tasks)
    return gw.reshape(gy.shape[1], inputs, *kernel)


def _gradient(x: Array, gy: Array, plan: Correlation, gw: Array) -> None:
    _weight_gradient[x.dtype](
        x,
        gy,
        plan.offsets * x.itemsize,
        plan.starts,
        plan.steps,
        plan.phase,
        plan.size,
        plan.pixels,
        gw,
    )


_NOTHING = {np.dtype(name): np.empty(0, name) for name in ("float32", "float64")}


def _parts(w: Array, groups: int) -> list[Array]:
    return list(w.reshape(groups, w.shape[0] // groups, *w.shape[1:]))


def _packed(w: Array) -> Array:
    """The weights (M, K) as tiles read them: blocks of rows as high as a tile, k by k."""
    blocks, i = [], 0
    while i < w.shape[0]:
        height = next(h for h in HEIGHTS if h <= w.shape[0] - i)
        blocks.append(w[i : i + height].T.ravel())
        i += height
    return np.concatenate(blocks) if blocks else np.empty(0, w.dtype)


def _pieces(samples: int) -> list[slice]:
    step = max(1, -(-samples // (SHARES * threads.count())))
    return [slice(i, min(i + step, samples)) for i in range(0, samples, step)]
