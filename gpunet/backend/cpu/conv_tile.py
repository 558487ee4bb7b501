"""The register tiles of convolutions, as LLVM vector code.

A sample lies padded in a buffer, so that the element a filter's tap meets is always a fixed
distance away from the pixel: `offsets[k]` for tap k (channel, row and column of the filter counted
through). All read it where it lies and never build a matrix of columns.

    correlate_tile    out[m, v..] = Σₖ weights[k, m]·buffer[places[v].. + offsets[k]]
    gather_tile       out[k, m..] += Σₜ buffer[positions[t] + offsets[k]]·panel[t, m..]

    dot_rows          out[k] += Σ over rows and columns of g·(buffer under tap k)

The first makes the result of the forward pass and the gradient of the input: an element of the
weights is spread over a vector and meets vectors of pixels that lie side by side. The second makes
the gradient of the weights: an element of the buffer is spread and meets gradients of one pixel
that lie side by side, filter by filter. With taps and pixels in each other's place, and weights for
gradients, it makes the first one's results where rows of pixels do not fill vectors. The third
does the second's where there are few filters.

Pointers, strides, offsets, places and positions are in bytes.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import cgutils
from numba.extending import intrinsic

from gpunet.backend.cpu.tile import (
    I32,
    I64,
    POINTER,
    TILE_ROWS,
    VECTOR_BYTES,
    Value,
    _function,
    _transposed,
    _Vectors,
    boolean,
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
DOTS = (8, 4, 2, 1)  # taps whose products with a row are added up at once
UNROLL = 4  # steps in one turn of an inner loop


def _integer(b: ir.IRBuilder, array: Value, index: Value) -> Value:
    place = b.bitcast(b.gep(array, [b.mul(index, I64(8))]), I64.as_pointer())
    return b.load(place, align=8)


def _sums(f: _Vectors, first: Any, count: Value, step: Any) -> list[list[Value]]:
    """A tile of sums that start from `first`; `step(i, tile)` gives the tile after step i."""
    b, tile, done = f.builder, first, I64(0)
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
        phis = [(i, done, b.add(i, I64(steps)))]
        for r, row in enumerate(sums):
            phis += zip(row, tile[r], new[r], strict=True)
        b.branch(head)
        for phi, value, following in phis:
            phi.add_incoming(value, before)
            phi.add_incoming(following, body)
        b.position_at_end(after)
        tile, done = sums, i
    return tile


def _correlate(f: _Vectors, arguments: list[Value], *, height: int, width: int) -> None:
    """`tiles` tiles side by side; each row starts from its bias."""
    weights, bias, buffer, places, tiles, offsets, depth, out, out_stride = arguments
    b = f.builder
    with cgutils.for_range(b, tiles) as tile:
        v = b.mul(tile.index, I64(width))
        images = [f.at(buffer, _integer(b, places, b.add(v, I64(i)))) for i in range(width)]

        def step(k: Value, tile: Any) -> Any:
            offset = _integer(b, offsets, k)
            pixels = [f.load(f.at(image, offset)) for image in images]
            weights_k = f.at(weights, b.mul(k, I64(height * f.itemsize)))
            sums = []
            for r, row in enumerate(tile):
                weight = f.spread(f.load_element(f.at(weights_k, r * f.itemsize)))
                sums.append(
                    [f.multiply_add(weight, x, y) for x, y in zip(pixels, row, strict=True)]
                )
            return sums

        first = [f.spread(f.load_element(f.at(bias, r * f.itemsize))) for r in range(height)]
        sums = _sums(f, [[x] * width for x in first], depth, step)
        to = f.at(out, b.mul(v, I64(VECTOR_BYTES)))
        for r, row in enumerate(sums):
            for i, x in enumerate(row):
                f.store(x, f.at(to, b.mul(out_stride, I64(r)), i * VECTOR_BYTES))


def _gather(f: _Vectors, arguments: list[Value], *, taps: int, width: int) -> None:
    """`tiles` tiles one below the other; rows start from `first`, and what is there, if `add`."""
    buffer, offsets, tiles, positions, panel, count, first, out, add = arguments
    b = f.builder
    start = [f.load(f.at(first, v * VECTOR_BYTES)) for v in range(width)]
    with cgutils.for_range(b, tiles) as tile:
        k = b.mul(tile.index, I64(taps))
        rows = [f.at(buffer, _integer(b, offsets, b.add(k, I64(i)))) for i in range(taps)]

        def step(t: Value, tile: Any) -> Any:
            position = _integer(b, positions, t)
            row_of_panel = f.at(panel, b.mul(t, I64(width * VECTOR_BYTES)))
            gradients = [f.load(f.at(row_of_panel, v * VECTOR_BYTES)) for v in range(width)]
            sums = []
            for row, before in zip(rows, tile, strict=True):
                x = f.spread(f.load_element(f.at(row, position)))
                sums.append(
                    [f.multiply_add(x, g, y) for g, y in zip(gradients, before, strict=True)]
                )
            return sums

        sums = _sums(f, [start for _ in range(taps)], count, step)
        to = f.at(out, b.mul(k, I64(PANEL_VECTORS * VECTOR_BYTES)))
        for i, row in enumerate(sums):
            for v, x in enumerate(row):
                place = f.at(to, (i * PANEL_VECTORS + v) * VECTOR_BYTES)
                before = b.select(add, f.load(place), f.zero)
                f.store(b.fadd(before, x), place)


def _dot(f: _Vectors, arguments: list[Value], *, taps: int) -> None:
    """out[k] += the products of g's rows with those of the buffer under tap k, added up."""
    buffer, offsets, row_bytes, g, g_row_bytes, rows, count, out = arguments
    b = f.builder
    images = [f.at(buffer, _integer(b, offsets, I64(k))) for k in range(taps)]
    sums = [cgutils.alloca_once_value(b, f.zero) for _ in range(taps)]
    whole, rest = (op(count, I64(f.lanes)) for op in (b.sdiv, b.srem))
    mask = f.mask(rest)
    with cgutils.for_range(b, rows) as row:
        at, from_ = b.mul(row.index, row_bytes), f.at(g, b.mul(row.index, g_row_bytes))

        def add(i: Value, load: Any, at: Value = at, from_: Value = from_) -> None:
            gradients = load(f.at(from_, i))
            for image, total in zip(images, sums, strict=True):
                pixels = load(f.at(image, at, i))
                b.store(f.multiply_add(gradients, pixels, b.load(total)), total)

        with cgutils.for_range(b, whole) as number:
            add(b.mul(number.index, I64(VECTOR_BYTES)), f.load)
        with b.if_then(b.icmp_signed(">", rest, I64(0))):
            add(b.mul(whole, I64(VECTOR_BYTES)), lambda place: f.masked_load(place, mask))
    for k, total in enumerate(sums):
        place = f.at(out, k * f.itemsize)
        f.store_element(b.fadd(f.load_element(place), _lanes_added(f, b.load(total))), place)


def _lanes_added(f: _Vectors, vector: Value) -> Value:
    """The sum of the lanes, halves onto halves: always in the same order."""
    lanes = f.lanes
    while lanes > 1:
        lanes //= 2
        upper = [min(i + lanes, f.lanes - 1) for i in range(f.lanes)]
        vector = f.builder.fadd(vector, f.shuffle(vector, vector, upper))
    return f.builder.extract_element(vector, I32(0))


def _rows(f: _Vectors, arguments: list[Value], *, step: int) -> None:
    """Copies rows of `count` elements, which lie `step` (1 or 2) apart in the source."""
    source, source_stride, target, target_stride, rows, count = arguments
    b = f.builder
    whole, rest = (op(count, I64(f.lanes)) for op in (b.sdiv, b.srem))
    evens = [2 * i for i in range(f.lanes // 2)]
    evens += [f.lanes + i + 1 for i in evens]
    mask = f.mask(rest)

    def vector(row: Value, i: Value) -> Value:
        place = f.at(row, b.mul(i, I64(step * f.itemsize)))
        if step == 1:
            return f.load(place)
        # The second load begins one element early, to end with the last one that is needed.
        second = f.at(place, (f.lanes - 1) * f.itemsize)
        return f.shuffle(f.load(place), f.load(second), evens)

    with cgutils.for_range(b, rows) as row:
        from_ = f.at(source, b.mul(row.index, source_stride))
        to = f.at(target, b.mul(row.index, target_stride))

        def copy(i: Value, from_: Value = from_, to: Value = to) -> None:
            f.store(vector(from_, i), f.at(to, b.mul(i, I64(f.itemsize))))

        with cgutils.for_range(b, whole) as number:
            copy(b.mul(number.index, I64(f.lanes)))
        with b.if_then(b.icmp_signed(">", rest, I64(0))):
            with b.if_else(b.icmp_signed(">", whole, I64(0))) as (overlapping, short):
                with overlapping:
                    copy(b.sub(count, I64(f.lanes)))
                with short:
                    if step == 1 and f.masks_are_cheap:
                        f.masked_store(f.masked_load(from_, mask), to, mask)
                    else:
                        with cgutils.for_range(b, count) as i:
                            x = f.load_element(f.at(from_, b.mul(i.index, I64(step * f.itemsize))))
                            f.store_element(x, f.at(to, b.mul(i.index, I64(f.itemsize))))


def _turn(f: _Vectors, arguments: list[Value]) -> None:
    """Stores columns of the source, one vector wide, as rows of `count`.

    It may read up to a whole vector of rows of the source beyond `count`.
    """
    source, source_stride, target, target_stride, rows, count = arguments
    b, lanes = f.builder, I64(f.lanes)
    with cgutils.for_range(b, b.sdiv(b.add(count, I64(f.lanes - 1)), lanes)) as number:
        first = b.mul(number.index, lanes)
        from_ = f.at(source, b.mul(first, source_stride))
        to = f.at(target, b.mul(first, I64(f.itemsize)))
        square = [f.load(f.at(from_, b.mul(source_stride, I64(i)))) for i in range(f.lanes)]
        left = b.sub(count, first)
        whole, mask = b.icmp_signed(">=", left, lanes), f.mask(left)
        for j, column in enumerate(_transposed(f, square)):
            with b.if_then(b.icmp_signed("<", I64(j), rows)):
                place = f.at(to, b.mul(target_stride, I64(j)))
                with b.if_else(whole) as (plain, ragged):
                    with plain:
                        f.store(column, place)
                    with ragged:
                        f.masked_store(column, place, mask)


def _interleave(f: _Vectors, arguments: list[Value]) -> None:
    """Rows of two sources, element by element in turn; `count` of the first, `more` of the second.

    `more` is `count` or one less.
    """
    first, second, source_stride, target, target_stride, rows, count, more = arguments
    b = f.builder
    whole = b.sdiv(more, I64(f.lanes))
    low, high = (
        [i // 2 + half + f.lanes * (i % 2) for i in range(f.lanes)] for half in (0, f.lanes // 2)
    )
    with cgutils.for_range(b, rows) as row:
        sources = [f.at(x, b.mul(row.index, source_stride)) for x in (first, second)]
        to = f.at(target, b.mul(row.index, target_stride))
        with cgutils.for_range(b, whole) as number:
            at = b.mul(number.index, I64(VECTOR_BYTES))
            x, y = (f.load(f.at(source, at)) for source in sources)
            for half, lanes in enumerate((low, high)):
                place = f.at(to, b.mul(at, I64(2)), half * VECTOR_BYTES)
                f.store(f.shuffle(x, y, lanes), place)
        for source, length, behind in ((sources[0], count, 0), (sources[1], more, f.itemsize)):
            with cgutils.for_range(b, length, start=b.mul(whole, I64(f.lanes))) as i:
                x = f.load_element(f.at(source, b.mul(i.index, I64(f.itemsize))))
                f.store_element(x, f.at(to, b.mul(i.index, I64(2 * f.itemsize)), behind))


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
        fits = ir.Constant(ir.IntType(1), 1)
        for value, setting in zip(chosen, variant.values(), strict=True):
            fits = b.and_(fits, b.icmp_signed("==", value, I64(setting)))
        function = this if function is None else b.select(fits, this, function)
    b.call(function, values)


@intrinsic
def correlate_tiles(
    typing_context, like, weights, bias, buffer, places, tiles, offsets, depth, out, out_stride,
    height, width,
):  # fmt: skip
    """`height` of `HEIGHTS` and `width` of its `WIDTHS`, in the dtype of the array `like`."""

    def generate(context, builder, signature, arguments):
        _, *values, height, width = arguments
        variants = [{"height": h, "width": w} for h, widths in WIDTHS.items() for w in widths]
        _choose(builder, _correlate, signature.args[0], values, (height, width), variants)
        return context.get_dummy_value()

    lists = pointer, pointer, pointer, pointer, i64, pointer, i64
    return types.void(like, *lists, pointer, i64, i64, i64), generate


@intrinsic
def gather_tiles(
    typing_context,
    like,
    buffer,
    offsets,
    tiles,
    positions,
    panel,
    count,
    first,
    out,
    add,
    taps,
    width,
):
    """`width` up to `PANEL_VECTORS` and `taps` of its `TAPS`, in the dtype of the array `like`."""

    def generate(context, builder, signature, arguments):
        _, *values, taps, width = arguments
        variants = [{"taps": t, "width": w} for w, several in TAPS.items() for t in several]
        _choose(builder, _gather, signature.args[0], values, (taps, width), variants)
        return context.get_dummy_value()

    lists = pointer, pointer, i64, pointer, pointer, i64
    return types.void(like, *lists, pointer, pointer, boolean, i64, i64), generate


@intrinsic
def dot_rows(
    typing_context, like, buffer, offsets, row_bytes, g, g_row_bytes, rows, count, out, taps
):
    """`taps` of `DOTS`; rows of `count` elements, in the dtype of the array `like`."""

    def generate(context, builder, signature, arguments):
        _, *values, taps = arguments
        variants = [{"taps": t} for t in DOTS]
        _choose(builder, _dot, signature.args[0], values, (taps,), variants)
        return context.get_dummy_value()

    lists = pointer, pointer, i64, pointer, i64, i64, i64, pointer
    return types.void(like, *lists, i64), generate


@intrinsic
def copy_rows(
    typing_context, like, source, source_stride, target, target_stride, rows, count, step
):
    """Copies rows of `count` elements, `step` (1 or 2) apart in the source, in like's dtype."""

    def generate(context, builder, signature, arguments):
        _, *values, step = arguments
        variants = [{"step": 1}, {"step": 2}]
        _choose(builder, _rows, signature.args[0], values, (step,), variants)
        return context.get_dummy_value()

    return types.void(like, pointer, i64, pointer, i64, i64, i64, i64), generate


@intrinsic
def turn_columns(typing_context, like, source, source_stride, target, target_stride, rows, count):
    """Columns of the source become rows of `count` elements, in the dtype of the array `like`."""

    def generate(context, builder, signature, arguments):
        _, *values = arguments
        _choose(builder, _turn, signature.args[0], values, (), [{}])
        return context.get_dummy_value()

    return types.void(like, pointer, i64, pointer, i64, i64, i64), generate


@intrinsic
def interleave_rows(
    typing_context, like, first, second, source_stride, target, target_stride, rows, count, more
):
    """Copies rows of two sources, their elements in turn, in the dtype of the array `like`."""

    def generate(context, builder, signature, arguments):
        _, *values = arguments
        _choose(builder, _interleave, signature.args[0], values, (), [{}])
        return context.get_dummy_value()

    return types.void(like, pointer, pointer, i64, pointer, i64, i64, i64, i64), generate
