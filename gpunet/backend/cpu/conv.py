"""Convolutions of one, two and three axes, direct: no matrix of columns is ever written.

Axes are always three here (a picture is a volume one deep). A sample is copied, padded and taken
apart by stride, into a buffer that stays in the cache (`conv_plan.py`); register tiles read the
filters' taps from there (`conv_tile.py`, `conv_loops.py`).

Each element of a result is one sum in one order, whatever thread it falls to; samples are added up
to the gradient of the weights in parts that depend on the shapes alone. So the number of threads
never changes a bit.

Shapes: x (N, C, D, H, W), w (O, C / groups, kd, kh, kw), y (N, O, Do, Ho, Wo); all C-contiguous.
CUDA twins: kernels/conv.cu.
"""

from __future__ import annotations

from itertools import pairwise
from math import prod
from typing import Any

import numpy as np

from gpunet.backend.base import Array
from gpunet.backend.cpu import conv_abreast as abreast
from gpunet.backend.cpu import conv_loops as loops
from gpunet.backend.cpu import conv_plan, threads
from gpunet.backend.cpu.conv_plan import Padding, Plan, Three
from gpunet.backend.cpu.gemm import gemm, multiply
from gpunet.backend.cpu.half import half
from gpunet.backend.cpu.memory import cache
from gpunet.backend.cpu.tile import lanes

SHARES = 4  # pieces of work a thread, so that one that is slowed down by others does fewer
RUN = 512  # pixels whose gradients are laid out at once: they stay in the cache
PARTS = 8  # at most: sums of samples that are made apart, then added


@half
def conv_fwd(
    x: Array,
    w: Array,
    bias: Array | None,
    stride: Three,
    padding: Padding,
    dilation: Three,
    groups: int,
) -> Array:
    """y = x ∗ w + bias; bias (O,) or None."""
    moves = stride, padding, dilation
    if _is_product(w.shape[2:], stride, padding, groups):
        y = cache.empty((x.shape[0], w.shape[0], *x.shape[2:]), x.dtype)
        _multiply(w.reshape(w.shape[:2]), x, y, bias)
        return y
    plan = conv_plan.forward(
        w.shape[1], x.shape[2:], w.shape[2:], *moves, x.itemsize, _most(x, groups)
    )
    by_group = w.reshape(groups, w.shape[0] // groups, w.shape[1], prod(w.shape[2:]))
    y = cache.empty((x.shape[0], w.shape[0], *plan.counts[0].tolist()), x.dtype)
    _correlate(x, y, by_group, bias, plan)
    return y


@half
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
    """The gradient of x, of spatial `shape`; with a `bias`, a transposed convolution."""
    filters = w.shape[0] // groups
    moves = stride, padding, dilation
    if _is_product(w.shape[2:], stride, padding, groups):
        gx = cache.empty((gy.shape[0], w.shape[1], *shape), gy.dtype)
        _multiply(w.reshape(w.shape[:2]).T, gy, gx, bias)
        return gx
    plan = conv_plan.backward(filters, shape, w.shape[2:], *moves, gy.itemsize, _most(gy, groups))
    by_group = w.reshape(groups, filters, w.shape[1], prod(w.shape[2:])).transpose(0, 2, 1, 3)
    gx = cache.empty((gy.shape[0], w.shape[1] * groups, *shape), gy.dtype)
    _correlate(gy, gx, by_group, bias, plan)
    return gx


@half
def conv_bwd_w(
    x: Array,
    gy: Array,
    kernel: Three,
    stride: Three,
    padding: Padding,
    dilation: Three,
    groups: int,
) -> Array:
    """The gradient of w."""
    inputs, filters = x.shape[1] // groups, gy.shape[1] // groups
    taps = inputs * prod(kernel)
    moves = stride, padding, dilation
    if _is_product(kernel, stride, padding, groups):
        return _product_gradient(x, gy).reshape(gy.shape[1], inputs, *kernel)
    plan = conv_plan.forward(inputs, x.shape[2:], kernel, *moves, x.itemsize, RUN)
    gw = cache.empty((gy.shape[1], taps), x.dtype)
    if 2 * filters < lanes(x.itemsize):  # they would leave half of a vector empty
        _few_filters(x, gy, plan, groups, gw)
    else:
        _many_filters(x, gy, plan, groups, gw)
    return gw.reshape(gy.shape[1], inputs, *kernel)


@half
def im2col(x: Array, kernel: Three, stride: Three, padding: Padding, dilation: Three) -> Array:
    """What each filter position of a convolution meets, as columns (N, C·kd·kh·kw, positions)."""
    out = tuple(
        (n + sum(pad) - d * (k - 1) - 1) // s + 1
        for n, k, s, pad, d in zip(x.shape[2:], kernel, stride, padding, dilation, strict=True)
    )
    columns = cache.empty((x.shape[0], x.shape[1] * prod(kernel), prod(out)), x.dtype)
    before = tuple(pad for pad, _ in padding)
    loops.to_columns[x.dtype](x, kernel, stride, before, dilation, out, columns)
    return columns


@half
def col2im(
    columns: Array, shape: Three, kernel: Three, stride: Three, padding: Padding, dilation: Three
) -> Array:
    """The sums of columns' elements where `im2col` takes them from, (N, C, *shape)."""
    out = tuple(
        (n + sum(pad) - d * (k - 1) - 1) // s + 1
        for n, k, s, pad, d in zip(shape, kernel, stride, padding, dilation, strict=True)
    )
    channels = columns.shape[1] // prod(kernel)
    x = cache.empty((columns.shape[0], channels, *shape), columns.dtype)
    before = tuple(pad for pad, _ in padding)
    loops.from_columns[columns.dtype](columns, kernel, stride, before, dilation, out, x)
    return x


# --- how the work is shared out


def _is_product(kernel: Three, stride: Three, padding: Padding, groups: int) -> bool:
    """Whether each pixel is met by itself: then y = w·x, a product of two matrices a sample."""
    return kernel == stride == (1, 1, 1) and groups == 1 and padding == ((0, 0),) * 3


def _multiply(w: Array, x: Array, y: Array, bias: Array | None) -> None:
    """Fills y (N, O, ...) with w·x + bias for x (N, C, ...)."""
    columns, results = (a.reshape(*a.shape[:2], -1) for a in (x, y))

    def piece(begin: int, stop: int) -> None:
        for n in range(begin, stop):
            multiply(w, columns[n], results[n])
            if bias is not None:
                results[n] += bias[:, None]

    if x.shape[0] >= threads.count():
        threads.spread(piece, threads.edges(x.shape[0], threads.count() * SHARES), ())
    elif x.shape[0]:
        for n in range(x.shape[0]):
            gemm(w, columns[n], results[n])
            if bias is not None:
                results[n] += bias[:, None]


def _product_gradient(x: Array, gy: Array) -> Array:
    """The gradient of w where y = w·x."""
    columns, gradients = (a.reshape(*a.shape[:2], -1) for a in (x, gy))
    size = x.shape[1] * gy.shape[1]
    parts = _parts(x, (x.size + gy.size) // (4 * size), 1)
    partial = cache.empty((len(parts), gy.shape[1], x.shape[1]), x.dtype)

    def piece(part: slice, gw: Array) -> None:
        gw.fill(0)
        for n in range(part.start, part.stop):
            multiply(gradients[n], columns[n].T, gw, True)

    threads.run([(piece, (part, partial[i])) for i, part in enumerate(parts)])
    return partial[0] if len(parts) == 1 else np.sum(partial, 0)


def _most(x: Array, groups: int) -> int:
    """Pixels in a band: all, but less where a few samples must do for all threads."""
    pieces = -(-threads.count() * SHARES // max(1, x.shape[0]))
    return max(256, -(-prod(x.shape[2:]) // pieces)) if pieces > 2 else 1 << 62


def _correlate(x: Array, y: Array, by_group: Array, bias: Array | None, plan: Plan) -> None:
    """Fills y, (N, groups·rows, ...), for weights (groups, rows, channels, taps)."""
    groups, rows, *_ = by_group.shape
    depth = int(plan.ends[-1])
    starts = np.zeros(y.shape[1] + abreast.PANEL[x.dtype], x.dtype)
    if bias is not None:
        starts[: y.shape[1]] = bias
    geometry: Any = groups, plan.starts, plan.steps, plan.phase, plan.box, plan.axis, plan.bands
    size = plan.size + plan.slack
    if turned := plan.abreast(rows):
        kernel, unit = abreast.correlate_abreast[x.dtype], abreast.PANEL[x.dtype]
        geometry = *geometry, plan.offsets, plan.positions, size
    else:
        kernel, unit = loops.correlate[x.dtype], loops.HEIGHTS[0]
        geometry = (
            *(*geometry, plan.offsets, plan.ends, plan.first, plan.counts, plan.apart),
            *(plan.places, plan.pitch, size, plan.direct),
        )
    samples = x.shape[0]
    # Packed weights are copies: of large ones a part at a time.
    affordable = (x.size + by_group.size + y.size) // 4
    chunks = _cut(rows, -(-groups * rows * depth // max(1, affordable)), unit)
    edges = threads.edges(samples * plan.bands, threads.count() * SHARES)
    for chunk in chunks:
        packed = (_panels if turned else _packed)(by_group[:, chunk], plan)
        common = x, y, packed, starts, *geometry, chunk.start, chunk.stop - chunk.start
        threads.spread(kernel, edges, common)
        del packed, common  # before the next are made


def _packed(by_group: Array, plan: Plan) -> Array:
    """The weights of each group and target as tiles read them."""
    groups, rows, channels, _ = by_group.shape
    packed = np.empty(groups * rows * int(plan.ends[-1]), by_group.dtype)
    pack, end = loops.pack[by_group.dtype], 0
    for w in by_group:
        for taps in plan.taps:
            length = rows * channels * taps.size
            pack(w, taps, packed[end : end + length])
            end += length
    return packed


def _panels(by_group: Array, plan: Plan) -> Array:
    """The same where filters lie side by side."""
    groups, rows, channels, taps = by_group.shape
    width = lanes(by_group.itemsize)
    packed = np.empty((groups, -(-rows // width) * width * channels * taps), by_group.dtype)
    for w, part in zip(by_group, packed, strict=True):
        abreast.pack_panels[by_group.dtype](w, plan.taps[0], part)
    return packed


def _many_filters(x: Array, gy: Array, plan: Plan, groups: int, gw: Array) -> None:
    """Filters side by side in vectors."""
    filters, taps = gy.shape[1] // groups, gw.shape[1]
    panel = abreast.PANEL[x.dtype]
    slabs = groups * -(-filters // panel)
    several = max(1, min(x.shape[0], RUN // 2 // plan.positions.size)) if plan.bands == 1 else 1
    apart = plan.size * x.itemsize
    positions = np.concatenate([plan.positions + i * apart for i in range(several)])
    common = (
        *(x, gy, groups, plan.starts, plan.steps, plan.phase, plan.box, plan.axis, plan.bands),
        *(plan.offsets, positions, plan.size, plan.slack, several),
    )
    kernel = abreast.weight_gradient[x.dtype]
    affordable = (x.size + gy.size + gw.size) // 4
    jobs = []
    for chunk in _cut(slabs, -(-slabs * taps * panel // affordable)):
        size = (chunk.stop - chunk.start) * taps * panel
        parts = _parts(x, affordable // size, several)
        jobs.append((chunk, parts, len(parts) * size))
    room = cache.empty((max([size for *_, size in jobs]),), x.dtype)
    for chunk, parts, size in jobs:
        partial = room[:size].reshape(len(parts), chunk.stop - chunk.start, taps, panel)
        tasks = []
        for i, part in enumerate(parts):
            for cut in _cut(chunk.stop - chunk.start, -(-threads.count() * SHARES // len(parts))):
                slab = chunk.start + cut.start, chunk.start + cut.stop
                tasks.append((kernel, (*common, part.start, part.stop, *slab, partial[i, cut])))
        threads.run(tasks)
        abreast.unpack[x.dtype](partial, filters, chunk.start, gw)


def _few_filters(x: Array, gy: Array, plan: Plan, groups: int, gw: Array) -> None:
    """Pixels side by side in vectors: in depthwise convolutions a group has a filter or two."""
    parts = _parts(x, (x.size + gy.size) // (4 * gw.size), 1)
    partial = cache.empty((len(parts), *gw.shape), x.dtype)
    common = (
        *(x, gy, groups, plan.starts, plan.steps, plan.phase, plan.box, plan.axis, plan.bands),
        *(plan.offsets, plan.size + plan.slack),
    )
    kernel = loops.row_gradient[x.dtype]
    cuts = _cut(groups, -(-threads.count() * SHARES // len(parts)))
    threads.run(
        [
            (kernel, (*common, part.start, part.stop, cut.start, cut.stop, partial[i]))
            for i, part in enumerate(parts)
            for cut in cuts
        ]
    )
    np.sum(partial, 0, out=gw)


def _parts(x: Array, affordable: int, several: int) -> list[slice]:
    """Samples whose sums are made apart, in at most so many parts; never by threads."""
    parts = _cut(-(-x.shape[0] // several), min(PARTS, affordable))
    return [slice(p.start * several, min(p.stop * several, x.shape[0])) for p in parts]


def _cut(count: int, pieces: int, multiple: int = 1) -> list[slice]:
    """`count` things in at most so many pieces, alike up to a multiple; one if there is nothing."""
    whole = -(-count // multiple)
    pieces = max(1, min(whole, pieces))
    edges = [min(count, whole * piece // pieces * multiple) for piece in range(pieces + 1)]
    return [slice(i, j) for i, j in pairwise(edges)]
