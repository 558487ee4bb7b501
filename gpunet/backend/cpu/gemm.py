"""Matrix products of two axes, shared out over the threads.

The result is cut into items, each a block of `ROWS` rows times a group of `COLUMNS` columns.

                              DEPTH
                             ┌───┬───┐
                             │ p │   │  group of B, packed as panels (p) of 3 vectors a row;
            DEPTH            └─┬─┴───┘  the panel at work lies in the L1 cache
          ┌────────┐         ┌─┼─┬───┐
          │ strip ─┼─────────┼─┘ │   │  block of A, packed as strips, in the L2 cache: each strip
          ├────────┤         ├───┤   │  meets the panel in a tile of C, which is kept in registers
     ROWS │        │         │   │ C │  (`tile.py`)
          └────────┘         └───┴───┘

An item takes `DEPTH` steps of k at a time. A thread packs a block of A once and keeps it for its
next items; a group of B, which stays small, is packed for every item.

Each thread has its share of the items. One that is done takes from the others', so a core that
other programs keep busy just does less.

Every element of the result is a sum of chains of fused multiply-adds, one chain for each `DEPTH`
steps of k, whatever thread it falls to. So the number of threads never changes a bit of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numba import types

from gpunet.backend.base import Array
from gpunet.backend.cpu import threads
from gpunet.backend.cpu.jit import ByDtype, kernel
from gpunet.backend.cpu.pointers import at as element
from gpunet.backend.cpu.tile import (
    CACHE_LINE,
    PANEL_BYTES,
    TILE_ROWS,
    TILE_VECTORS,
    at,
    copy,
    copy_pairs,
    lanes,
    multiply_tile,
    strip_vectors,
    take,
    transpose,
    transpose_pairs,
    workspace,
)

ROWS = 192  # of A in a block: `DEPTH` steps of it fill half of an L2 cache of 512 KiB; or more rows
# of fewer steps, as long as every thread has a block, since each packs all of B
COLUMNS = 24  # of B in a group: few, so that a run does not wait long for its last item
DEPTH = 24 * 1024 // PANEL_BYTES  # steps of k at a time: a panel leaves 8 KiB of an L1 cache free
CHUNK = 2048  # steps of k for which a thread packs a block of A at once
SMALL_WORK = 4096  # multiply-adds up to which one product of a batch is not worth packing
# Multiply-adds from which it pays to share a product out: 60 µs of one core. With 6.4 million, a
# step of a small network takes 0.51 ms where they are one thread's and 0.46 where they are two's;
# with 3.2 million each way was the quicker one by turns.
SHARED_WORK = 5_000_000
NO_BIAS = {np.dtype(name): np.empty(0, name) for name in ("float32", "float64")}

ITEM = ByDtype(float32=4, float64=8)
LANES = ByDtype(float32=lanes(4), float64=lanes(8))
PANEL = ByDtype(float32=TILE_VECTORS * lanes(4), float64=TILE_VECTORS * lanes(8))
PAIR = ByDtype(float32=2 * lanes(4), float64=2 * lanes(8))
STRIP = ByDtype(float32=strip_vectors(4) * lanes(4), float64=strip_vectors(8) * lanes(8))
copy_panels, transpose_panels = copy[TILE_VECTORS], transpose[TILE_VECTORS]
copy_strips = ByDtype(float32=copy[strip_vectors(4)], float64=copy[strip_vectors(8)])
transpose_strips = ByDtype(float32=transpose[strip_vectors(4)], float64=transpose[strip_vectors(8)])


def _signature(dtype: Any) -> Any:
    """Any strides, so one variant serves plain, transposed and sliced operands."""
    operand, bias = [types.Array(dtype, n, "A", readonly=True, aligned=False) for n in (2, 1)]
    c, taken = types.Array(dtype, 2, "A"), types.int64[::1]
    return types.void(operand, operand, c, types.boolean, bias, taken, types.int64)


@kernel(inline=True)
def even(length, most, multiple):
    """Size of the pieces of `length`: no more of them than `most` makes, alike, in multiples."""
    pieces = -(-length // most)
    return -(-length // (pieces * multiple)) * multiple


@kernel(inline=True)
def _next_item(taken, me, items):
    """An item of this thread's own share or, when that is done, of another's; -1 after the last."""
    for turn in range(taken.size):
        owner = (me + turn) % taken.size
        item = items * owner // taken.size + take(taken, owner)
        if item < items * (owner + 1) // taken.size:
            return item
    return -1


@kernel(inline=True)
def _panel_width(width):
    """Columns in each panel of a group: 3 vectors, or 2 where that leaves no panel with only 1.

    A tile with a single vector takes as long as one with two: its chains wait for themselves.
    """
    return PAIR if -(-width // LANES) % 6 == 4 else PANEL


@kernel(inline=True)
def _pack_group(b, start, left, depth, width, group, panel_bytes):
    """Lays out a part of b that begins at [start, left], as panels `panel_bytes` apart."""
    if b.strides[1] == ITEM:
        if _panel_width(width) == PAIR:
            copy_pairs(b, start, left, depth, width, group, panel_bytes)
        else:
            copy_panels(b, start, left, depth, width, group, panel_bytes)
    elif _panel_width(width) == PAIR:
        transpose_pairs(b.T, left, start, depth, width, group, panel_bytes)
    else:
        transpose_panels(b.T, left, start, depth, width, group, panel_bytes)


@kernel(inline=True)
def _add_bias(c, bias, top, left, height, width):
    """Adds the bias, if there is one, to a block of c, which the cache still has."""
    if bias.size:
        stride, of_column = c.strides[0] // ITEM, element(bias, left)
        for i in range(top, top + height):
            row = element(c, i * stride + left)
            for j in range(width):
                row[j] += of_column[j]


@kernel(signature=_signature)
def _multiply(a, b, c, add, bias, taken, me):
    """Does its share of c = a·b + bias or c += a·b + bias; a and b each run along an axis."""
    m, k = a.shape
    n = b.shape[1]
    columns, step = even(n, COLUMNS, PANEL), even(k, DEPTH, LANES)
    rows = even(m, max(ROWS, min(ROWS * DEPTH // step, -(-m // taken.size))), STRIP)
    groups = -(-n // columns)
    # Slabs a power of two apart would compete for the same few places in the cache.
    strip_bytes = step * STRIP * ITEM + CACHE_LINE
    panel_bytes = step * PANEL * ITEM + CACHE_LINE
    block_bytes, group_bytes = rows // STRIP * strip_bytes, -(-columns // PAIR) * panel_bytes
    memory = np.empty(group_bytes + -(-k // step) * block_bytes + CACHE_LINE, np.uint8)
    packed = -1
    while True:
        item = _next_item(taken, me, -(-m // rows) * groups)
        if item < 0:
            break
        group = workspace(memory)  # in the loop: memory lives until its name is last used
        top, left = item // groups * rows, item % groups * columns
        height, width = min(rows, m - top), min(columns, n - left)
        in_panel = _panel_width(width)
        for start in range(0, k, step):
            depth = min(step, k - start)
            block = at(group, group_bytes + start // step * block_bytes)
            if top != packed:
                if a.strides[1] == ITEM:
                    transpose_strips(a, top, start, depth, height, block, strip_bytes)
                else:
                    copy_strips(a.T, start, top, depth, height, block, strip_bytes)
            _pack_group(b, start, left, depth, width, group, panel_bytes)
            for j in range(0, width, in_panel):
                panel = at(group, j // in_panel * panel_bytes)
                for i in range(0, height, TILE_ROWS):
                    strip = at(block, i // STRIP * strip_bytes + i % STRIP * ITEM)
                    y, x, more = top + i, left + j, add or start > 0
                    multiply_tile(strip, panel, depth, c, y, x, in_panel, more)
        _add_bias(c, bias, top, left, height, width)
        packed = top


@kernel(inline=True)
def multiply_alone(a, b, c, add, taken):
    """c = a·b or c += a·b by the thread that calls; `taken` is room for one number."""
    taken[0] = 0
    _multiply(a, b, c, add, c[0, :0], taken, 0)


def _batch_signature(dtype: Any) -> Any:
    operand = types.Array(dtype, 4, "A", readonly=True, aligned=False)
    return types.void(operand, operand, types.Array(dtype, 4, "A"), types.int64, types.int64)


@kernel(signature=_batch_signature)
def _multiply_batch(a, b, c, start, stop):
    """The products number `start` to `stop` of a batch."""
    taken = np.zeros(1, np.int64)
    for i in range(start, stop):
        at = i // c.shape[1], i % c.shape[1]
        multiply_alone(a[at], b[at], c[at], False, taken)


def multiply(a: Array, b: Array, out: Array, add: bool = False, bias: Array | None = None) -> None:
    """out = a·b or out += a·b, and bias if there is one, by this thread alone.

    For work that is shared out already, or too little. Shapes and dtypes as for `gemm`; a and b
    each run along one of their axes.
    """
    dtype = out.dtype
    bias = NO_BIAS[dtype] if bias is None else bias
    _multiply[dtype](a, b, out, add, bias, np.zeros(1, np.int64), 0)


def gemm(a: Array, b: Array, out: Array, bias: Array | None = None) -> Array:
    """out = a·b, or a·b + bias; returns out.

    Shapes: a (m, k), b (k, n), bias (n,), out (m, n), the last two C-contiguous; out shares no
    memory with a or b.
    Dtypes: float32, float64, all the same.
    """
    m, k = a.shape
    n = b.shape[1]
    if not (m and n and k):
        out[...] = 0 if bias is None else bias
        return out
    if m == 1 or n == 1:
        # Bound by reading a matrix once, which BLAS does as fast as memory allows.
        np.dot(a, b, out)
        return out if bias is None else np.add(out, bias, out)
    if m * n * k < SHARED_WORK:
        multiply(_along_an_axis(a), _along_an_axis(b), out, bias=bias)
    else:
        share([(a, b, out)], bias)
    return out


def share(
    products: Sequence[tuple[Array, Array, Array]],
    bias: Array | None = None,
    others: Sequence[threads.Task] = (),
) -> None:
    """out = a·b + bias for each (a, b, out), and other tasks, in one run of the threads.

    Whoever finds nothing left to do of one product goes on to the next, and waits for nobody.
    Shapes and dtypes as for `gemm`, and no axis is empty.
    """
    products = [(_along_an_axis(a), _along_an_axis(b), out) for a, b, out in products]
    tasks: list[threads.Task] = []
    for start in range(0, max([a.shape[1] for a, _, _ in products], default=1), CHUNK):
        chunk = slice(start, start + CHUNK)
        for a, b, out in products:
            if start < a.shape[1]:
                last = start + CHUNK >= a.shape[1]
                added = bias if bias is not None and last else NO_BIAS[out.dtype]
                taken = np.zeros(threads.count(), np.int64)
                product = a[:, chunk], b[chunk], out, start > 0, added, taken
                tasks += [(_multiply[out.dtype], (*product, me)) for me in range(taken.size)]
        threads.run([*tasks, *others])  # these are small, and level the end of the run
        tasks, others = [], ()


def _along_an_axis(x: Array) -> Array:
    """x, or a copy where it runs along none of its axes."""
    return x if x.itemsize in x.strides else np.ascontiguousarray(x)


def batch(a: Array, b: Array, out: Array) -> Array:
    """out = a·b for each of the leading axes, shared out over the threads; returns out.

    Shapes: a (..., m, k), b (..., k, n), whose leading axes broadcast; out (..., m, n)
    C-contiguous, or with four axes and contiguous rows. Dtypes as for `gemm`.
    """
    lead, (m, n), k = out.shape[:-2], out.shape[-2:], a.shape[-1]
    if not out.size or min(m, n) == 1 or m * n * k < SMALL_WORK:
        return np.matmul(a, b, out)
    operands = [_in_four(x, lead) for x in (a, b)]
    c = out if out.ndim == 4 else out.reshape(-1, lead[-1] if lead else 1, m, n)
    share_products(_multiply_batch[out.dtype], (*operands, c), c.shape[0] * c.shape[1], m * n * k)
    return out


def share_products(call: Any, arguments: Sequence[Any], count: int, work: int) -> None:
    """`call(*arguments, start, stop)` for runs of `count` things of `work` multiply-adds each."""
    pieces = 1 if count * work < SHARED_WORK else min(count, 4 * threads.count())
    threads.spread(call, threads.edges(count, pieces), (*arguments,))


def _in_four(x: Array, lead: tuple[int, ...]) -> Array:
    """An operand with two leading axes, that runs along one of the others."""
    if x.itemsize not in x.strides[-2:]:
        x = np.ascontiguousarray(x)
    if x.shape[:-2] != lead:
        x = np.broadcast_to(x, (*lead, *x.shape[-2:]))
    if len(lead) == 2:
        return x
    return x.reshape(-1, lead[-1] if lead else 1, *x.shape[-2:])
