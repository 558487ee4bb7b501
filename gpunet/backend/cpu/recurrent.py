"""Recurrent layers over whole sequences, one direction. CUDA twins: kernels/recurrent.cu.

All take z = x·W_ihᵀ of every time step, made by one product before, and go through time: the
product with the recurrent weights and the cell of each step follow in one loop (see
recurrent_loops.py). Backward they leave the gradient of z, from which the caller makes those of the
weights with one product each. Time is the first axis.

Where `lengths` are given, a sequence n has the steps t < lengths[n]. Behind its end the output is 0
and the state stays: forward the final state is that of the last step, and in `reverse`, from the
last t to the first, a sequence begins at its own end.

Threads share the batch: no thread waits for another, and results do not depend on how many there
are. A batch of one is one thread's.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np

from gpunet.backend.base import Array
from gpunet.backend.cpu import recurrent_loops as loops
from gpunet.backend.cpu import threads
from gpunet.backend.cpu.gemm import DEPTH, ITEM, LANES, PANEL, SHARED_WORK, STRIP, even
from gpunet.backend.cpu.half import half
from gpunet.backend.cpu.memory import cache
from gpunet.backend.cpu.recurrent_product import FEW, pack, product
from gpunet.backend.cpu.tile import CACHE_LINE, TILE_ROWS

ROWS = 64  # of a batch that go through time together: what a step touches stays in the L2 cache
_NO_LENGTHS = np.empty(0, np.int64)
_NOTHING = np.empty(0, np.uint8)


class _Sequences:
    """What all layers share: how a batch is cut, and room for packed operands."""

    def __init__(self, batch: int, work: int, dtype: Any):
        self.slices, self.rows, self.dtype = [(0, batch)], batch, dtype
        if batch > TILE_ROWS:  # more than a tile
            pieces = -(-batch // ROWS)
            if work >= SHARED_WORK:  # as many for each thread, of whole tiles
                most = threads.count()
                pieces = min(-(-pieces // most) * most, batch // TILE_ROWS)
            edges = [-(-batch * i // pieces // TILE_ROWS) * TILE_ROWS for i in range(pieces)]
            self.slices = [(i, min(j, batch)) for i, j in pairwise([*edges, batch]) if i < j]
            self.rows = max([j - i for i, j in self.slices])
        self.few = self.rows <= FEW

    def panels(self, b: Array) -> Array:
        """b (k, n) packed for the tile; nothing where it is read as it lies."""
        if self.few:
            return _NOTHING
        dtype = self.dtype
        panel, (k, n) = PANEL[dtype], b.shape
        step, count = even.function(k, DEPTH, LANES[dtype]), -(-n // panel)
        size = -(-k // step) * count * (step * panel * ITEM[dtype] + CACHE_LINE)
        out = cache.empty((size + CACHE_LINE,), np.uint8)
        call = pack[dtype]
        tasks = 1 if b.size < SHARED_WORK // TILE_ROWS else threads.count()
        threads.spread(call, threads.edges(count, tasks), (b, out))
        return out

    def strips(self, depth: int) -> Array:
        """Room for a thread's rows, of at most `depth` elements each."""
        if self.few:
            return _NOTHING
        strip, item = STRIP[self.dtype], ITEM[self.dtype]
        step = min(DEPTH, depth) + LANES[self.dtype]
        return cache.empty((-(-self.rows // strip) * (step * strip * item + CACHE_LINE)
                            + CACHE_LINE,), np.uint8)  # fmt: skip

    def run(self, call: Callable[..., Any], depth: int, arguments: Callable[[Array], Any]) -> None:
        """Calls a loop for each slice; `arguments(strips)` are all but where it begins and ends."""
        by = product[self.dtype].address
        tasks = [(by, *arguments(self.strips(depth)), *cut) for cut in self.slices]
        if len(tasks) == 1:
            call(*tasks[0])
        else:
            threads.run([(call, task) for task in tasks])


def _state(first: Array | None, shape: tuple[int, ...], dtype: Any) -> Array:
    """A copy of a first state, which moves on in place; zeros if None."""
    state = cache.empty(shape, dtype)
    state[...] = 0 if first is None else first
    return state


def _or_empty(x: Array | None, dtype: Any, axes: int) -> Array:
    return np.empty((0,) * axes, dtype) if x is None else x


def _or_zeros(x: Array | None, shape: tuple[int, ...], dtype: Any) -> Array:
    return np.zeros(shape, dtype) if x is None else x


def _lengths(lengths: Array | None) -> Array:
    return _NO_LENGTHS if lengths is None else lengths


@half
def rnn_fwd(
    z: Array,
    bias: Array | None,
    w: Array,
    h_0: Array | None,
    lengths: Array | None,
    reverse: bool,
    relu: bool,
) -> tuple[Array, Array]:
    """Outputs y and the final state of h = tanh(z + bias + h·wᵀ), or ReLU. z is overwritten.

    Shapes: z (T, N, H), bias (H,), w (H, H), h_0 (N, H), lengths (N,) of int64; y like z, the final
    state like h_0. All C-contiguous.
    """
    _, batch, units = z.shape
    cut = _Sequences(batch, z.size * units, z.dtype)
    h, y = _state(h_0, (batch, units), z.dtype), cache.empty(z.shape, z.dtype)
    b, panels, ends = _or_zeros(bias, (units,), z.dtype), cut.panels(w.T), _lengths(lengths)
    cut.run(
        loops.rnn_fwd[z.dtype],
        units,
        lambda strips: (z, b, w, panels, strips, ends, h, y, reverse, relu),
    )
    return y, h


@half
def rnn_bwd(
    y: Array,
    gy: Array | None,
    gh: Array | None,
    w: Array,
    lengths: Array | None,
    reverse: bool,
    relu: bool,
) -> tuple[Array, Array]:
    """Gradients of z and h_0, from those of y and of the final state."""
    _, batch, units = y.shape
    cut = _Sequences(batch, y.size * units, y.dtype)
    gz, state = cache.empty(y.shape, y.dtype), _state(gh, (batch, units), y.dtype)
    upstream, panels, ends = _or_empty(gy, y.dtype, 3), cut.panels(w), _lengths(lengths)
    cut.run(
        loops.rnn_bwd[y.dtype],
        units,
        lambda strips: (upstream, y, w, panels, strips, ends, state, gz, reverse, relu),
    )
    return gz, state


@half
def lstm_fwd(
    z: Array,
    bias: Array | None,
    w: Array,
    w_hr: Array | None,
    h_0: Array | None,
    c_0: Array | None,
    lengths: Array | None,
    reverse: bool,
    keep: bool,
) -> tuple[Array, ...]:
    """Outputs y, final states h and c, and what `lstm_bwd` reads: the gates and every c.

    i, f, g, o = σ, σ, tanh, σ of z + bias + h·wᵀ; c = f·c + i·g; h = o·tanh(c), times w_hrᵀ if
    that is given. The gates take the place of z.

    Shapes: z (T, N, 4H), bias (4H,), w (4H, P), w_hr (P, H) or None and P = H, h_0 (N, P), c_0
    (N, H), lengths (N,) of int64; y (T, N, P), all c (T, N, H). All C-contiguous.
    Args:
        keep: whether there will be a backward pass; if not, the last result is empty.
    """
    steps, batch, columns = z.shape
    units, width, dtype = columns // 4, w.shape[1], z.dtype
    cut = _Sequences(batch, z.size * width, dtype)
    h, c = _state(h_0, (batch, width), dtype), _state(c_0, (batch, units), dtype)
    y = cache.empty((steps, batch, width), dtype)
    cells = cache.empty((steps if keep else 0, batch, units), dtype)
    m = cache.empty((0 if w_hr is None else batch, units), dtype)
    b, ends, panels = _or_zeros(bias, (columns,), dtype), _lengths(lengths), cut.panels(w.T)
    hr = _or_empty(w_hr, dtype, 2), (_NOTHING if w_hr is None else cut.panels(w_hr.T))
    cut.run(
        loops.lstm_fwd[dtype],
        max(width, units),
        lambda strips: (z, b, w, panels, *hr, strips, ends, h, c, m, y, cells, reverse),
    )
    return y, h, c, z, cells


@half
def lstm_bwd(
    gates: Array,
    gy: Array | None,
    gh: Array | None,
    gc: Array | None,
    cells: Array,
    c_0: Array | None,
    w: Array,
    w_hr: Array | None,
    lengths: Array | None,
    reverse: bool,
) -> tuple[Array, Array, Array, Array]:
    """Gradients of z, h_0 and c_0, from those of y and of the final states; `gates` and `cells` as
    `lstm_fwd` left them.

    The last result is the whole gradient of h at each step (T, N, P), for that of w_hr; without
    w_hr it is empty.
    """
    steps, batch, columns = gates.shape
    units, width, dtype = columns // 4, w.shape[1], gates.dtype
    cut = _Sequences(batch, gates.size * width, dtype)
    state, cell = _state(gh, (batch, width), dtype), _state(gc, (batch, units), dtype)
    projected = w_hr is not None
    gz = cache.empty(gates.shape, dtype)
    gm = cache.empty((batch if projected else 0, units), dtype)
    gp = cache.empty((steps if projected else 0, batch, width), dtype)
    upstream, before = _or_empty(gy, dtype, 3), _or_zeros(c_0, (batch, units), dtype)
    ends, panels = _lengths(lengths), cut.panels(w)
    hr = _or_empty(w_hr, dtype, 2), (_NOTHING if w_hr is None else cut.panels(w_hr))
    inputs = upstream, gates, before, cells, w, panels, *hr
    results = state, cell, gm, gp, gz
    cut.run(
        loops.lstm_bwd[dtype],
        max(columns, width),
        lambda strips: (*inputs, strips, ends, *results, reverse),
    )
    return gz, state, cell, gp


@half
def gru_fwd(
    z: Array,
    bias: Array | None,
    w: Array,
    h_0: Array | None,
    lengths: Array | None,
    reverse: bool,
) -> tuple[Array, Array, Array, Array]:
    """Outputs y, the final state, and what `gru_bwd` reads: the gates, and q of each step.

    r, u = σ(z + bias + h·wᵀ); q = h·wᵀ + bias' and n = tanh(z + bias + r·q); h = (1 − u)·n + u·h.
    The gates take the place of z.

    Shapes: z (T, N, 3H), bias (4H,): of r, u and n, and bias'; w (3H, H), h_0 (N, H), lengths (N,)
    of int64; y and q (T, N, H). All C-contiguous.
    """
    steps, batch, columns = z.shape
    units, dtype = columns // 3, z.dtype
    cut = _Sequences(batch, z.size * units, dtype)
    h = _state(h_0, (batch, units), dtype)
    y, q = (cache.empty((steps, batch, units), dtype) for _ in range(2))
    b, ends = _or_zeros(bias, (4 * units,), dtype), _lengths(lengths)
    panels, panels_n = cut.panels(w[: 2 * units].T), cut.panels(w[2 * units :].T)
    cut.run(
        loops.gru_fwd[dtype],
        units,
        lambda strips: (z, b, w, panels, panels_n, strips, ends, h, y, q, reverse),
    )
    return y, h, z, q


@half
def gru_bwd(
    gates: Array,
    gy: Array | None,
    gh: Array | None,
    q: Array,
    y: Array,
    h_0: Array | None,
    w: Array,
    lengths: Array | None,
    reverse: bool,
) -> tuple[Array, Array]:
    """Gradients of what the gates are made of (T, N, 4H), and of h_0.

    Those of r, u and n are the gradient of z; those of r, u and q that of h·wᵀ.
    """
    steps, batch, units = y.shape
    dtype = y.dtype
    cut = _Sequences(batch, gates.size * units, dtype)
    gz, state = cache.empty((steps, batch, 4 * units), dtype), _state(gh, (batch, units), dtype)
    upstream, before = _or_empty(gy, dtype, 3), _or_zeros(h_0, (batch, units), dtype)
    ends, panels, panels_n = (
        _lengths(lengths),
        cut.panels(w[: 2 * units]),
        cut.panels(w[2 * units :]),
    )
    inputs = upstream, gates, q, before, y, w, panels, panels_n
    cut.run(
        loops.gru_bwd[dtype],
        2 * units,
        lambda strips: (*inputs, strips, ends, state, gz, reverse),
    )
    return gz, state
