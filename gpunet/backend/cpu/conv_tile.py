"""The two register tiles of convolutions, as LLVM vector code.

A sample lies padded in a buffer, so that the element a filter's tap meets is always a fixed
distance away from the pixel: `offsets[k]` for tap k (channel, row and column of the filter counted
through). Both tiles read it where it lies and never build a matrix of columns.

    correlate_tile    out[m, v..] = Σₖ weights[k, m]·buffer[places[v].. + offsets[k]]
    gather_tile       out[k, m..] += Σₜ buffer[positions[t] + offsets[k]]·panel[t, m..]

The first makes the result of the forward pass and the gradient of the input: an element of the
weights is spread over a vector and meets vectors of pixels that lie side by side. The second makes
the gradient of the weights: an element of the buffer is spread and meets gradients of one pixel
that lie side by side, filter by filter.

Pointers, strides, offsets, places and positions are in bytes.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.extending import intrinsic

from gpunet.backend.cpu.tile import (
    I64,
    POINTER,
    TILE_ROWS,
    VECTOR_BYTES,
    Value,
    _function,
    _Vectors,
    i64,
    pointer,
    types,
)

# For the rows of a tile the vectors it may have, and for the vectors of filters in a panel the taps
# of a tile: the first of each fill the registers.
if TILE_ROWS == 8:
    WIDTHS = {8: (3, 2, 1), 4: (6, 3, 2, 1), 2: (8, 4, 2, 1), 1: (8, 4, 2, 1)}
    TAPS = {3: (8, 4, 2, 1), 2: (8, 4, 2, 1), 1: (8, 4, 2, 1)}
else:
    WIDTHS = {4: (3, 2, 1), 2: (6, 3, 2, 1), 1: (8, 4, 2, 1)}
    TAPS = {2: (6, 3, 2, 1), 1: (8, 4, 2, 1)}
HEIGHTS = tuple(WIDTHS)
PANEL_VECTORS = max(TAPS)
UNROLL = 4  # steps in one turn of an inner loop


def _integer(b: ir.IRBuilder, array: Value, index: Value) -> Value:
    place = b.bitcast(b.gep(array, [b.mul(index, I64(8))]), I64.as_pointer())
    return b.load(place, align=8)


def _sums(f: _Vectors, count: Value, rows: int, columns: int, step: Any) -> list[list[Value]]:
    """A tile of sums over `count` steps; `step(i, tile)` gives the tile after step i."""
    b = f.builder
    tile = [[f.zero] * columns for _ in range(rows)]
    done = I64(0)
    for steps in (UNROLL, 1):  # whole turns, then what is left
        head, body, after = (b.append_basic_block(name) for name in ("head", "body", "after"))
        before = b.block
        b.branch(head)
        b.position_at_end(head)
        i = b.phi(I64)
        sums = [[b.phi(f.type) for _ in row] for row in tile]
        b.cbranch(b.icmp_signed("<=", b.add(i, I64(steps)), count), body, after)
        b.position_at_end(body)
        new = sums
        for turn in range(steps):
            new = step(b.add(i, I64(turn)), new)
        following = b.add(i, I64(steps))
        b.branch(head)
        for phi, first, then in [
            (i, done, following),
            *((sums[r][c], tile[r][c], new[r][c]) for r in range(rows) for c in range(columns)),
        ]:
            phi.add_incoming(first, before)
            phi.add_incoming(then, body)
        b.position_at_end(after)
        tile, done = sums, i
    return tile


def _correlate(f: _Vectors, arguments: list[Value], *, height: int, width: int) -> None:
    weights, buffer, places, offsets, depth, out, out_stride = arguments
    b = f.builder
    images = [f.at(buffer, _integer(b, places, I64(v))) for v in range(width)]

    def step(k: Value, tile: Any) -> Any:
        offset = _integer(b, offsets, k)
        pixels = [f.load(f.at(image, offset)) for image in images]
        row_of_weights = f.at(weights, b.mul(k, I64(height * f.itemsize)))
        sums = []
        for r in range(height):
            weight = f.spread(f.load_element(f.at(row_of_weights, r * f.itemsize)))
            sums.append(
                [f.multiply_add(weight, x, y) for x, y in zip(pixels, tile[r], strict=True)]
            )
        return sums

    for r, row in enumerate(_sums(f, depth, height, width, step)):
        for v, x in enumerate(row):
            f.store(x, f.at(out, b.mul(out_stride, I64(r)), v * VECTOR_BYTES))


def _gather(f: _Vectors, arguments: list[Value], *, taps: int, width: int) -> None:
    buffer, offsets, positions, panel, count, out, out_stride = arguments
    b = f.builder
    rows = [f.at(buffer, _integer(b, offsets, I64(k))) for k in range(taps)]

    def step(t: Value, tile: Any) -> Any:
        position = _integer(b, positions, t)
        row_of_panel = f.at(panel, b.mul(t, I64(PANEL_VECTORS * VECTOR_BYTES)))
        gradients = [f.load(f.at(row_of_panel, v * VECTOR_BYTES)) for v in range(width)]
        sums = []
        for row, before in zip(rows, tile, strict=True):
            x = f.spread(f.load_element(f.at(row, position)))
            sums.append([f.multiply_add(x, g, y) for g, y in zip(gradients, before, strict=True)])
        return sums

    for k, sums in enumerate(_sums(f, count, taps, width, step)):
        for v, x in enumerate(sums):
            place = f.at(out, b.mul(out_stride, I64(k)), v * VECTOR_BYTES)
            f.store(b.fadd(f.load(place), x), place)


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


def _choose(b: ir.IRBuilder, body: Any, ty: Any, values: Any, chosen: Any, variants: Any) -> None:
    """Calls the variant whose settings have the values `chosen`."""
    function = None
    for variant in variants:
        this = _function(b, body, ty, values, **variant)
        fits = None
        for value, setting in zip(chosen, variant.values(), strict=True):
            equal = b.icmp_signed("==", value, I64(setting))
            fits = equal if fits is None else b.and_(fits, equal)
        function = this if function is None else b.select(fits, this, function)
    b.call(function, values)


@intrinsic
def correlate_tile(
    typing_context, like, weights, buffer, places, offsets, depth, out, out_stride, height, width
):
    """`height` of `HEIGHTS` and `width` of its `WIDTHS`, in the dtype of the array `like`."""

    def generate(context, builder, signature, arguments):
        _, *values, height, width = arguments
        variants = [{"height": h, "width": w} for h, widths in WIDTHS.items() for w in widths]
        _choose(builder, _correlate, signature.args[0], values, (height, width), variants)
        return context.get_dummy_value()

    pointers = (pointer, pointer, pointer, pointer)
    return types.void(like, *pointers, i64, pointer, i64, i64, i64), generate


@intrinsic
def gather_tile(
    typing_context, like, buffer, offsets, positions, panel, count, out, out_stride, taps, width
):
    """`width` up to `PANEL_VECTORS` and `taps` of its `TAPS`, in the dtype of the array `like`."""

    def generate(context, builder, signature, arguments):
        _, *values, taps, width = arguments
        variants = [{"taps": t, "width": w} for w, several in TAPS.items() for t in several]
        _choose(builder, _gather, signature.args[0], values, (taps, width), variants)
        return context.get_dummy_value()

    pointers = (pointer, pointer, pointer, pointer)
    return types.void(like, *pointers, i64, pointer, i64, i64, i64), generate
