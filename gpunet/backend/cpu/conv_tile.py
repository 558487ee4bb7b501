"""The two register tiles of convolutions, as LLVM vector code.

An image lies padded in a buffer, so that the element a filter's tap meets is always a fixed distance
away from the pixel: `offsets[k]` for tap k (channel, row and column of the filter counted through).
Both tiles walk over pixels that lie side by side, a vector of them at a time, and never build a
matrix of columns.

    correlate_tile                                dot_tile
    out[m, t..] = Σₖ weights[k, m]·image[t.. + offsets[k]]
                                                  out[m, k] += Σₜ g[m, t]·image[t + offsets[k]]
    forward pass; gradient of the image           gradient of the weights

In the first, an element of the weights is spread over a vector and meets two vectors of pixels; in
the second, vectors of pixels meet vectors of gradients, and the lanes are added up at the end.

Pointers, strides and offsets are in bytes.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import cgutils
from numba.extending import intrinsic

from gpunet.backend.cpu.tile import (
    HEIGHTS,
    I32,
    I64,
    POINTER,
    VECTOR_BYTES,
    Value,
    _function,
    _Vectors,
    i64,
    pointer,
    types,
)

DOT_ROWS = (6, 3, 2, 1) if VECTOR_BYTES == 64 else (3, 2, 1)  # × 4 taps fill the registers
DOT_TAPS = (4, 2, 1)


def _offset(b: ir.IRBuilder, offsets: Value, index: Value) -> Value:
    place = b.bitcast(b.gep(offsets, [b.mul(index, I64(8))]), I64.as_pointer())
    return b.load(place, align=8)


def _correlate(f: _Vectors, arguments: list[Value], *, height: int) -> None:
    """out[:height, :2 vectors] = Σₖ weights[k, :height]·image[offsets[k]:]."""
    weights, image, offsets, depth, out, out_stride = arguments
    b = f.builder
    entry, loop, end = b.block, b.append_basic_block("loop"), b.append_basic_block("end")
    b.branch(loop)

    b.position_at_end(loop)
    k, weights_k = b.phi(I64), b.phi(POINTER)
    tile = [[b.phi(f.type) for _ in range(2)] for _ in range(height)]
    pixels = f.at(image, _offset(b, offsets, k))
    vectors = [f.load(f.at(pixels, v * VECTOR_BYTES)) for v in range(2)]
    sums = []
    for r in range(height):
        weight = f.spread(f.load_element(f.at(weights_k, r * f.itemsize)))
        sums.append([f.multiply_add(weight, vectors[v], tile[r][v]) for v in range(2)])
    following = b.add(k, I64(1))
    for phi, first, then in [
        (k, I64(0), following),
        (weights_k, weights, f.at(weights_k, height * f.itemsize)),
        *((tile[r][v], f.zero, sums[r][v]) for r in range(height) for v in range(2)),
    ]:
        phi.add_incoming(first, entry)
        phi.add_incoming(then, loop)
    b.cbranch(b.icmp_signed("<", following, depth), loop, end)

    b.position_at_end(end)
    for r in range(height):
        row = f.at(out, b.mul(out_stride, I64(r)))
        for v in range(2):
            f.store(sums[r][v], f.at(row, v * VECTOR_BYTES))


def _dot(f: _Vectors, arguments: list[Value], *, rows: int, taps: int) -> None:
    """out[:rows, :taps] += Σ over `vectors` vectors of g[row]·image[offsets[tap]:]."""
    g, g_stride, image, offsets, vectors, out, out_stride = arguments
    b = f.builder
    g_rows = [f.at(g, b.mul(g_stride, I64(r))) for r in range(rows)]
    images = [f.at(image, _offset(b, offsets, I64(c))) for c in range(taps)]
    entry, loop, end = b.block, b.append_basic_block("loop"), b.append_basic_block("end")
    b.branch(loop)

    b.position_at_end(loop)
    t = b.phi(I64)
    tile = [[b.phi(f.type) for _ in range(taps)] for _ in range(rows)]
    place = b.mul(t, I64(VECTOR_BYTES))
    gradients = [f.load(f.at(row, place)) for row in g_rows]
    sums: list[list[Value]] = [[] for _ in range(rows)]
    for c in range(taps):
        pixels = f.load(f.at(images[c], place))
        for r in range(rows):
            sums[r].append(f.multiply_add(gradients[r], pixels, tile[r][c]))
    following = b.add(t, I64(1))
    t.add_incoming(I64(0), entry)
    t.add_incoming(following, loop)
    for r in range(rows):
        for c in range(taps):
            tile[r][c].add_incoming(f.zero, entry)
            tile[r][c].add_incoming(sums[r][c], loop)
    b.cbranch(b.icmp_signed("<", following, vectors), loop, end)

    b.position_at_end(end)
    for r in range(rows):
        row = f.at(out, b.mul(out_stride, I64(r)))
        for c in range(taps):
            place = b.bitcast(f.at(row, c * f.itemsize), f.element.as_pointer())
            total = b.fadd(b.load(place, align=f.itemsize), _lanes_added(f, sums[r][c]))
            b.store(total, place, align=f.itemsize)


def _lanes_added(f: _Vectors, vector: Value) -> Value:
    """The sum of the lanes, halves onto halves: always in the same order."""
    lanes = f.lanes
    while lanes > 1:
        lanes //= 2
        upper = [min(i + lanes, f.lanes - 1) for i in range(f.lanes)]
        vector = f.builder.fadd(vector, f.shuffle(vector, vector, upper))
    return f.builder.extract_element(vector, I32(0))


@intrinsic
def place_of(typing_context, array, index):
    """Where the element `index` of a contiguous array lies, all axes counted through."""

    def generate(context, builder, signature, arguments):
        ty = signature.args[0]
        struct = context.make_array(ty)(context, builder, arguments[0])
        itemsize = context.get_abi_sizeof(context.get_data_type(ty.dtype))
        distance = builder.mul(arguments[1], I64(itemsize))
        return builder.gep(builder.bitcast(struct.data, POINTER), [distance])

    return pointer(array, i64), generate


@intrinsic
def correlate_tile(typing_context, like, weights, image, offsets, depth, out, out_stride, height):
    """`_correlate` of `height`, one of `HEIGHTS`, in the dtype of the array `like`."""

    def generate(context, builder, signature, arguments):
        _, *values, height = arguments
        ty = signature.args[0]
        chosen = None
        for h in HEIGHTS:
            function = _function(builder, _correlate, ty, values, height=h)
            this = builder.icmp_signed("==", height, I64(h))
            chosen = function if chosen is None else builder.select(this, function, chosen)
        builder.call(chosen, values)
        return context.get_dummy_value()

    arguments = (like, pointer, pointer, pointer, i64, pointer, i64, i64)
    return types.void(*arguments), generate


@intrinsic
def dot_tile(
    typing_context, like, g, g_stride, image, offsets, vectors, out, out_stride, rows, taps
):
    """`_dot` of `rows` from `DOT_ROWS` and `taps` from `DOT_TAPS`, in the dtype of `like`."""

    def generate(context, builder, signature, arguments):
        _, *values, rows, taps = arguments
        ty = signature.args[0]
        chosen = None
        for r in DOT_ROWS:
            for c in DOT_TAPS:
                function = _function(builder, _dot, ty, values, rows=r, taps=c)
                same = builder.icmp_signed("==", rows, I64(r))
                this = builder.and_(same, builder.icmp_signed("==", taps, I64(c)))
                chosen = function if chosen is None else builder.select(this, function, chosen)
        builder.call(chosen, values)
        return context.get_dummy_value()

    arguments = (like, pointer, i64, pointer, pointer, i64, pointer, i64, i64, i64)
    return types.void(*arguments), generate
