"""The register tile of matrix products, and what lays out its operands, as LLVM vector code.

                      panel of B: depth × 3 vectors
                      ┌───────────┬───────────┬───────────┐
                      │ B[k, j..] │           │           │
                      └───────────┴───────────┴───────────┘
    strip of A        ┌───────────┬───────────┬───────────┐   for every k: one element of each
    ┌────────────┐    │ tile of C: 4 rows × 3 vectors (8  │   row of A, spread over a vector,
    │ A[i, k]    │    │ rows with AVX-512), in registers  │   times the 3 vectors of B, added
    │ ⋮          │    │ from the first k to the last      │   to the tile: 12 fused multiply-
    └────────────┘    └───────────┴───────────┴───────────┘   adds for 7 loads

Both operands are copied to the order in which the tile reads them, and one that runs along the
wrong axis is transposed in registers on the way. Such a copy is cut into slabs, strips of A and
panels of B, each of which holds all its elements for the first k, then for the second, and so on:

    B                         panels of B, here of 2 columns
    ┌─────────────────────┐   ┌────────────────────────────────┐
    │ b00 b01 b02 b03 b04 │   │ b00 b01   b10 b11   b20 b21    │
    │ b10 b11 b12 b13 b14 │ → │ b02 b03   b12 b13   b22 b23    │
    │ b20 b21 b22 b23 b24 │   │ b04  0    b14  0    b24  0     │
    └─────────────────────┘   └────────────────────────────────┘

What pads a ragged edge is multiplied too but never stored. Along k it is zeros in both operands.

Pointers, strides and pitches are in bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic


def _register_file() -> tuple[int, int]:
    """Bytes in a vector register, and rows of a tile, which fills the registers.

    Of the tiles that fit, the flat one has the fewest loads for its multiply-adds (7 for 12, where
    one of 6 × 2 has 8), which counts when another hardware thread competes for the decoder.
    """
    features = llvm.get_host_cpu_features()
    if features.get("avx512f"):  # 32 registers: 24 accumulators, 3 of B, 1 of A
        return 64, 8
    if features.get("avx2"):  # 16 registers: 12 accumulators, 3 of B, 1 of A
        return 32, 4
    return 16, 4


VECTOR_BYTES, TILE_ROWS = _register_file()
TILE_VECTORS = 3  # in a row of a tile
PANEL_BYTES = TILE_VECTORS * VECTOR_BYTES  # of a panel at each k
CACHE_LINE = 64

Value = Any  # an LLVM value
BYTE, I32, I64 = ir.IntType(8), ir.IntType(32), ir.IntType(64)
POINTER = BYTE.as_pointer()


def lanes(itemsize: int) -> int:
    """Elements in a vector."""
    return VECTOR_BYTES // itemsize


def unroll(itemsize: int) -> int:
    """Steps of k in one turn of the inner loop."""
    return min(4, lanes(itemsize))


def strip_vectors(itemsize: int) -> int:
    """Vectors in a strip of A at each k."""
    return -(-TILE_ROWS // lanes(itemsize))


class _Vectors:
    """The vector instructions of one element type, written into the function `builder` is at."""

    def __init__(self, builder: ir.IRBuilder, element: ir.Type):
        self.builder, self.element = builder, element
        self.itemsize = 4 if isinstance(element, ir.FloatType) else 8
        self.lanes = lanes(self.itemsize)
        self.type = ir.VectorType(element, self.lanes)
        self.suffix = f"v{self.lanes}f{self.itemsize * 8}"
        self.zero = ir.Constant(self.type, [0.0] * self.lanes)
        # Without AVX-512, masked stores take many times as long as plain ones.
        self.masks_are_cheap = VECTOR_BYTES == 64

    def at(self, pointer: Value, *nbytes: Value) -> Value:
        for n in nbytes:
            pointer = self.builder.gep(pointer, [I64(n) if isinstance(n, int) else n])
        return pointer

    def mask(self, count: Value) -> Value:
        """The first `count` lanes, all of them if there are fewer."""
        lane = ir.Constant(ir.VectorType(I64, self.lanes), list(range(self.lanes)))
        return self.builder.icmp_signed("<", lane, self.spread(count))

    def spread(self, scalar: Value) -> Value:
        """A vector with `scalar` in every lane."""
        undefined = ir.Constant(ir.VectorType(scalar.type, self.lanes), ir.Undefined)
        first = self.builder.insert_element(undefined, scalar, I32(0))
        return self.shuffle(first, undefined, [0] * self.lanes)

    def shuffle(self, x: Value, y: Value, lanes: list[int]) -> Value:
        """Lanes of x, counted from 0, and of y, counted on."""
        return self.builder.shuffle_vector(x, y, ir.Constant(ir.VectorType(I32, self.lanes), lanes))

    def load_element(self, pointer: Value) -> Value:
        pointer = self.builder.bitcast(pointer, self.element.as_pointer())
        return self.builder.load(pointer, align=self.itemsize)

    def load(self, pointer: Value) -> Value:
        pointer = self.builder.bitcast(pointer, self.type.as_pointer())
        return self.builder.load(pointer, align=1)

    def store_element(self, x: Value, pointer: Value) -> None:
        pointer = self.builder.bitcast(pointer, self.element.as_pointer())
        self.builder.store(x, pointer, align=self.itemsize)

    def store(self, vector: Value, pointer: Value) -> None:
        pointer = self.builder.bitcast(pointer, self.type.as_pointer())
        self.builder.store(vector, pointer, align=1)

    def prefetch(self, pointer: Value, write: bool = False) -> None:
        self._call("llvm.prefetch.p0", ir.VoidType(), pointer, I32(int(write)), I32(3), I32(1))

    def masked_load(self, pointer: Value, mask: Value) -> Value:
        pointer = self.builder.bitcast(pointer, self.type.as_pointer())
        name = f"llvm.masked.load.{self.suffix}.p0"
        return self._call(name, self.type, pointer, I32(1), mask, self.zero)

    def masked_store(self, vector: Value, pointer: Value, mask: Value) -> None:
        pointer = self.builder.bitcast(pointer, self.type.as_pointer())
        name = f"llvm.masked.store.{self.suffix}.p0"
        self._call(name, ir.VoidType(), vector, pointer, I32(1), mask)

    def multiply_add(self, x: Value, y: Value, z: Value) -> Value:
        # One instruction where the processor has it, never a call into the C library.
        return self._call(f"llvm.fmuladd.{self.suffix}", self.type, x, y, z)

    def _call(self, name: str, result: ir.Type, *arguments: Value) -> Value:
        signature = ir.FunctionType(result, [a.type for a in arguments])
        function = cgutils.get_or_insert_function(self.builder.module, signature, name)
        return self.builder.call(function, arguments)


# --- bodies: each writes one LLVM function --------------------------------------------------------


def _tile(f: _Vectors, arguments: list[Value], *, vectors: int) -> None:
    """C[:TILE_ROWS, :vectors] = or += Σₖ strip[rows, k]·panel[k, vectors], as far as C reaches."""
    strip, panel, depth, c, c_stride, rows, columns, accumulate = arguments
    b = f.builder
    places = [
        [f.at(c, b.mul(c_stride, I64(r)), v * VECTOR_BYTES) for v in range(vectors)]
        for r in range(TILE_ROWS)
    ]
    for row in places:
        for place in row[:: max(1, CACHE_LINE // VECTOR_BYTES)]:
            f.prefetch(place, write=True)
    entry, loop, end = b.block, b.append_basic_block("loop"), b.append_basic_block("end")
    b.branch(loop)

    b.position_at_end(loop)
    left, strip_k, panel_k = b.phi(I64), b.phi(POINTER), b.phi(POINTER)
    tile = [[b.phi(f.type) for _ in range(vectors)] for _ in range(TILE_ROWS)]
    sums = [row[:] for row in tile]
    steps, strip_pitch = unroll(f.itemsize), strip_vectors(f.itemsize) * VECTOR_BYTES
    for k in range(steps):
        b_row = [f.load(f.at(panel_k, k * PANEL_BYTES + v * VECTOR_BYTES)) for v in range(vectors)]
        for r in range(TILE_ROWS):
            element = f.spread(f.load_element(f.at(strip_k, k * strip_pitch + r * f.itemsize)))
            sums[r] = [f.multiply_add(element, x, y) for x, y in zip(b_row, sums[r], strict=True)]
    fewer = b.sub(left, I64(steps))
    for phi, first, following in [
        (left, depth, fewer),
        (strip_k, strip, f.at(strip_k, steps * strip_pitch)),
        (panel_k, panel, f.at(panel_k, steps * PANEL_BYTES)),
        *((tile[r][v], f.zero, sums[r][v]) for r in range(TILE_ROWS) for v in range(vectors)),
    ]:
        phi.add_incoming(first, entry)
        phi.add_incoming(following, loop)
    b.cbranch(b.icmp_signed(">", fewer, I64(0)), loop, end)

    b.position_at_end(end)
    whole = b.and_(
        b.icmp_signed(">=", rows, I64(TILE_ROWS)),
        b.icmp_signed(">=", columns, I64(vectors * f.lanes)),
    )
    # See `masks_are_cheap`.
    with b.if_else(whole) as (plain, ragged):
        with plain:
            _store_whole(f, sums, places, accumulate)
        with ragged:
            _store_ragged(f, sums, c, c_stride, rows, columns, accumulate)


def _store_whole(f: _Vectors, sums: Any, places: Any, accumulate: Value) -> None:
    with f.builder.if_else(accumulate) as (add, assign):
        for branch in (add, assign):
            with branch:
                for row, row_places in zip(sums, places, strict=True):
                    for x, place in zip(row, row_places, strict=True):
                        f.store(f.builder.fadd(x, f.load(place)) if branch is add else x, place)


def _store_ragged(
    f: _Vectors, sums: Any, c: Value, stride: Value, rows: Value, columns: Value, accumulate: Value
) -> None:
    b, vectors = f.builder, len(sums[0])
    # By way of memory, so that one loop can store as many rows as there are.
    tile = b.bitcast(cgutils.alloca_once(b, f.type, size=len(sums) * vectors), POINTER)
    for number, x in enumerate(x for row in sums for x in row):
        f.store(x, f.at(tile, number * VECTOR_BYTES))
    fewer = b.icmp_signed("<", rows, I64(len(sums)))
    with cgutils.for_range(b, b.select(fewer, rows, I64(len(sums)))) as row:
        for v in range(vectors):
            exist = b.sub(columns, I64(v * f.lanes))
            x = f.load(f.at(tile, b.mul(row.index, I64(vectors * VECTOR_BYTES)), v * VECTOR_BYTES))
            place = f.at(c, b.mul(row.index, stride), v * VECTOR_BYTES)
            before = f.masked_load(place, f.mask(b.select(accumulate, exist, I64(0))))
            f.masked_store(b.fadd(x, before), place, f.mask(exist))


def _copy(f: _Vectors, arguments: list[Value], *, vectors: int, room: int) -> None:
    """Copies a source that runs across the slabs, `vectors` vectors wide with room for `room`."""
    source, stride, depth, width, target, slab_bytes = arguments
    b, slab_width, pitch = f.builder, I64(vectors * VECTOR_BYTES), I64(room * VECTOR_BYTES)
    whole, rest = (op(width, I64(vectors * f.lanes)) for op in (b.sdiv, b.srem))
    masks = [f.mask(b.sub(rest, I64(v * f.lanes))) for v in range(vectors)]
    ragged = b.icmp_signed(">", rest, I64(0))
    with cgutils.for_range(b, depth) as k:
        read, write = f.at(source, b.mul(k.index, stride)), f.at(target, b.mul(k.index, pitch))
        with cgutils.for_range(b, whole) as slab:
            from_, to = b.mul(slab.index, slab_width), b.mul(slab.index, slab_bytes)
            for v in range(vectors):
                x = f.load(f.at(read, from_, v * VECTOR_BYTES))
                f.store(x, f.at(write, to, v * VECTOR_BYTES))
        with b.if_then(ragged):
            from_, to = b.mul(whole, slab_width), b.mul(whole, slab_bytes)
            for v in range(vectors):
                x = f.masked_load(f.at(read, from_, v * VECTOR_BYTES), masks[v])
                f.store(x, f.at(write, to, v * VECTOR_BYTES))
    with cgutils.for_range(b, b.and_(b.neg(depth), I64(unroll(f.itemsize) - 1))) as missing:
        write = f.at(target, b.mul(b.add(depth, missing.index), pitch))
        with cgutils.for_range(b, b.add(whole, b.zext(ragged, I64))) as slab:
            for v in range(vectors):
                f.store(f.zero, f.at(write, b.mul(slab.index, slab_bytes), v * VECTOR_BYTES))


def _transpose(f: _Vectors, arguments: list[Value], *, vectors: int, room: int) -> None:
    """Copies a source that runs along k, in squares of lanes × lanes.

    Of a ragged square, the last row stands in for missing ones, and zeros for missing columns.
    """
    source, stride, depth, width, target, slab_bytes = arguments
    b, lanes = f.builder, I64(f.lanes)
    for_all = [b.sdiv(b.add(n, I64(f.lanes - 1)), lanes) for n in (width, depth)]
    with cgutils.for_range(b, for_all[0]) as vector:
        slab, place = (op(vector.index, I64(vectors)) for op in (b.sdiv, b.srem))
        write = f.at(target, b.mul(slab, slab_bytes), b.mul(place, I64(VECTOR_BYTES)))
        rows = []
        for i in range(f.lanes):
            row = b.add(b.mul(vector.index, lanes), I64(i))
            row = b.select(b.icmp_signed("<", row, width), row, b.sub(width, I64(1)))
            rows.append(f.at(source, b.mul(row, stride)))
        with cgutils.for_range(b, for_all[1]) as number:
            k = b.mul(number.index, lanes)
            mask = f.mask(b.sub(depth, k))
            square = [f.masked_load(f.at(row, b.mul(k, I64(f.itemsize))), mask) for row in rows]
            for j, column in enumerate(_transposed(f, square)):
                f.store(column, f.at(write, b.mul(b.add(k, I64(j)), I64(room * VECTOR_BYTES))))


def _transposed(f: _Vectors, square: list[Value]) -> list[Value]:
    """In every pair of rows swaps the off-diagonal blocks: 1 × 1, then 2 × 2, ... half × half."""
    square, step = square[:], 1
    while step < f.lanes:
        upper = [j if not j & step else j - step + f.lanes for j in range(f.lanes)]
        lower = [j + step if not j & step else j + f.lanes for j in range(f.lanes)]
        for i in range(f.lanes):
            if not i & step:
                x, y = square[i], square[i + step]
                square[i], square[i + step] = f.shuffle(x, y, upper), f.shuffle(x, y, lower)
        step *= 2
    return square


def _function(
    builder: ir.IRBuilder, body: Callable[..., None], ty: Any, values: list[Value], **variant: int
) -> ir.Function:
    """The LLVM function with this body for elements of array type `ty`, written once a module."""
    name = "_".join(["gpunet", body.__name__, str(ty.dtype), *map(str, variant.values())])
    signature = ir.FunctionType(ir.VoidType(), [v.type for v in values])
    function = cgutils.get_or_insert_function(builder.module, signature, name)
    if function.is_declaration:
        function.linkage = "internal"
        function.attributes.add("noinline")  # it needs all registers for itself
        element = ir.FloatType() if ty.dtype == types.float32 else ir.DoubleType()
        inside = ir.IRBuilder(function.append_basic_block())
        body(_Vectors(inside, element), list(function.args), **variant)
        inside.ret_void()
    return function


# --- what kernels call ----------------------------------------------------------------------------

i64, pointer, boolean = types.int64, types.voidptr, types.boolean


def _locate(context: Any, builder: ir.IRBuilder, ty: Any, array: Value, i: Value, j: Value) -> Any:
    """Address of array[i, j], the stride of its rows, and how many rows and columns follow."""
    struct = context.make_array(ty)(context, builder, array)
    strides = cgutils.unpack_tuple(builder, struct.strides, 2)
    place = builder.bitcast(struct.data, POINTER)
    for index, stride in zip((i, j), strides, strict=True):
        place = builder.gep(place, [builder.mul(index, stride)])
    shape = cgutils.unpack_tuple(builder, struct.shape, 2)
    rows, columns = (builder.sub(n, at) for n, at in zip(shape, (i, j), strict=True))
    return place, strides[0], rows, columns


@intrinsic
def workspace(typing_context, memory):
    """The first cache line that begins inside the array `memory`."""

    def generate(context, builder, signature, arguments):
        struct = context.make_array(signature.args[0])(context, builder, arguments[0])
        start = builder.add(builder.ptrtoint(struct.data, I64), I64(CACHE_LINE - 1))
        return builder.inttoptr(builder.and_(start, I64(-CACHE_LINE)), POINTER)

    return pointer(memory), generate


@intrinsic
def at(typing_context, place, nbytes):
    """`nbytes` behind `place`."""
    return pointer(pointer, i64), lambda _, builder, __, xs: builder.gep(xs[0], [xs[1]])


def _packing(body: Callable[..., None], vectors: int, room: int) -> Any:
    @intrinsic
    def pack(typing_context, source, i, j, depth, width, target, slab_bytes):
        """Lays out a part of `source` that begins at [i, j], as slabs `slab_bytes` apart."""

        def generate(context, builder, signature, arguments):
            source, i, j, *rest = arguments
            ty = signature.args[0]
            place, stride, _, _ = _locate(context, builder, ty, source, i, j)
            values = [place, stride, *rest]
            function = _function(builder, body, ty, values, vectors=vectors, room=room)
            builder.call(function, values)
            return context.get_dummy_value()

        return types.void(source, i64, i64, i64, i64, pointer, i64), generate

    return pack


# By vectors in a slab: source[k, j] runs along j, source[j, k] along k.
copy = {vectors: _packing(_copy, vectors, vectors) for vectors in (1, 2, 3)}
transpose = {vectors: _packing(_transpose, vectors, vectors) for vectors in (1, 2, 3)}
# Panels of 2 vectors that leave the place of the third empty.
copy_pairs = _packing(_copy, 2, TILE_VECTORS)
transpose_pairs = _packing(_transpose, 2, TILE_VECTORS)


@intrinsic
def multiply_tile(typing_context, strip, panel, depth, c, i, j, width, accumulate):
    """C[i:, j:] = or += strip[:, :depth]·panel, as far as C, a tile and `width` columns reach."""

    def generate(context, builder, signature, arguments):
        strip, panel, depth, c, i, j, width, accumulate = arguments
        ty = signature.args[3]
        place, stride, rows, columns = _locate(context, builder, ty, c, i, j)
        columns = builder.select(builder.icmp_signed("<", width, columns), width, columns)
        values = [strip, panel, depth, place, stride, rows, columns, accumulate]
        multiply = None
        for vectors in range(1, TILE_VECTORS + 1):
            function = _function(builder, _tile, ty, values, vectors=vectors)
            before = I64((vectors - 1) * lanes(ty.dtype.bitwidth // 8))
            needed = builder.icmp_signed(">", columns, before)
            multiply = builder.select(needed, function, multiply) if multiply else function
        builder.call(multiply, values)
        return context.get_dummy_value()

    arguments = (pointer, pointer, i64, c, i64, i64, i64, boolean)
    return types.void(*arguments), generate


@intrinsic
def take(typing_context, counters, i):
    """counters[i]++, returning the old value: to one thread only."""

    def generate(context, builder, signature, arguments):
        counters, i = arguments
        struct = context.make_array(signature.args[0])(context, builder, counters)
        return builder.atomic_rmw("add", builder.gep(struct.data, [i]), I64(1), "monotonic")

    return i64(counters, i64), generate
