"""The register tile of matrix products, and what lays out its operands, as LLVM vector code.

                      panel of B: depth × 2 vectors
                      ┌───────────┬───────────┐
                      │ B[k, j..] │           │
                      └───────────┴───────────┘
    block of A        ┌───────────┬───────────┐
    ┌────────────┐    │ tile of C, up to      │   for every k: one element of each row of A,
    │ A[i, k]    │    │ 14 rows × 2 vectors,  │   spread over a vector, times the two vectors of B,
    │ A[i+1, k]  │    │ in registers from the │   added to the tile, which makes 28 fused
    │ ⋮          │    │ first k to the last   │   multiply-adds for 16 loads
    └────────────┘    └───────────┴───────────┘

Both operands are copied to where they are read fast: A with a row pitch that the compiler knows and
that spreads its rows over the cache, B in panels as wide as a tile. An operand that runs along the
wrong axis is transposed in registers on the way. Ragged columns are padded with zeros and masked
when the tile is stored; ragged rows are cut into tiles of the heights in `HEIGHTS`, each with a
function of its own.

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


def _register_file() -> tuple[int, tuple[int, ...]]:
    """Bytes in a vector register, and tile heights whose accumulators fit the registers."""
    features = llvm.get_host_cpu_features()
    if features.get("avx512f"):  # 32 registers: 28 accumulators, 2 of B, 1 of A
        return 64, (14, 8, 4, 2, 1)
    if features.get("avx2"):  # 16 registers: 12 accumulators, 2 of B, 1 of A
        return 32, (6, 4, 2, 1)
    return 16, (6, 4, 2, 1)


VECTOR_BYTES, HEIGHTS = _register_file()
# Width of a panel; of a narrow last one only the first vector is used.
PANEL_BYTES = 2 * VECTOR_BYTES
RUN = 256  # elements in a row of a block of A
CACHE_LINE = 64

Value = Any  # an LLVM value
BYTE, I32, I64 = ir.IntType(8), ir.IntType(32), ir.IntType(64)
POINTER = BYTE.as_pointer()


def block_pitch(itemsize: int) -> int:
    """Distance of two rows of a block.

    A power of two would put all rows into the same few cache sets.
    """
    return RUN * itemsize + CACHE_LINE


def turned_pitch(itemsize: int) -> int:
    return -(-HEIGHTS[0] * itemsize // VECTOR_BYTES) * VECTOR_BYTES


class _Vectors:
    """The vector instructions of one element type, written into the function `builder` is at."""

    def __init__(self, builder: ir.IRBuilder, element: ir.Type):
        self.builder, self.element = builder, element
        self.itemsize = 4 if isinstance(element, ir.FloatType) else 8
        self.lanes = VECTOR_BYTES // self.itemsize
        self.type = ir.VectorType(element, self.lanes)
        self.suffix = f"v{self.lanes}f{self.itemsize * 8}"
        self.zero = ir.Constant(self.type, [0.0] * self.lanes)

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
        return self.builder.load(pointer, align=self.itemsize)

    def store(self, vector: Value, pointer: Value) -> None:
        pointer = self.builder.bitcast(pointer, self.type.as_pointer())
        self.builder.store(vector, pointer, align=self.itemsize)

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


def _tile(f: _Vectors, arguments: list[Value], *, height: int, vectors: int, along_k: bool) -> None:
    """C[height, vectors] = or += Σₖ A[height, k]·panel[k, vectors].

    Rows of the block are rows of A or, if not `along_k`, of Aᵀ.
    """
    a, panel, depth, c, c_stride, columns, accumulated = arguments
    b = f.builder
    row_step, k_step = block_pitch(f.itemsize), f.itemsize
    if not along_k:
        row_step, k_step = f.itemsize, turned_pitch(f.itemsize)
    for r in range(height):
        for v in range(vectors):
            f.prefetch(f.at(c, b.mul(c_stride, I64(r)), v * VECTOR_BYTES), write=True)
    entry, loop, end = b.block, b.append_basic_block("loop"), b.append_basic_block("end")
    b.branch(loop)

    b.position_at_end(loop)
    left, a_k, panel_k = b.phi(I64), b.phi(POINTER), b.phi(POINTER)
    tile = [[b.phi(f.type) for _ in range(vectors)] for _ in range(height)]
    b_row = [f.load(f.at(panel_k, v * VECTOR_BYTES)) for v in range(vectors)]
    sums = []
    for r in range(height):
        element = f.spread(f.load_element(f.at(a_k, r * row_step)))
        sums.append([f.multiply_add(element, b_row[v], tile[r][v]) for v in range(vectors)])
    fewer = b.sub(left, I64(1))
    for phi, first, following in [
        (left, depth, fewer),
        (a_k, a, f.at(a_k, k_step)),
        (panel_k, panel, f.at(panel_k, PANEL_BYTES)),
        *((tile[r][v], f.zero, sums[r][v]) for r in range(height) for v in range(vectors)),
    ]:
        phi.add_incoming(first, entry)
        phi.add_incoming(following, loop)
    b.cbranch(b.icmp_signed(">", fewer, I64(0)), loop, end)

    b.position_at_end(end)
    for v in range(vectors):
        loaded, stored = (f.mask(b.sub(n, I64(v * f.lanes))) for n in (accumulated, columns))
        for r in range(height):
            pointer = f.at(c, b.mul(c_stride, I64(r)), v * VECTOR_BYTES)
            f.masked_store(b.fadd(sums[r][v], f.masked_load(pointer, loaded)), pointer, stored)


def _copy(f: _Vectors, arguments: list[Value], *, vectors: int) -> None:
    """Copies rows in groups of `vectors` vectors, the last one filled up with zeros."""
    source, stride, rows, columns, target, row_pitch, group_pitch = arguments
    b, bytes_in_group = f.builder, vectors * VECTOR_BYTES
    full, rest = (op(columns, I64(vectors * f.lanes)) for op in (b.sdiv, b.srem))
    masks = [f.mask(b.sub(rest, I64(v * f.lanes))) for v in range(vectors)]
    ahead = b.mul(stride, I64(4))
    ragged = b.icmp_signed(">", rest, I64(0))
    with cgutils.for_range(b, rows) as row:
        read = f.at(source, b.mul(row.index, stride))
        write = f.at(target, b.mul(row.index, row_pitch))
        with cgutils.for_range(b, full) as group:
            from_ = f.at(read, b.mul(group.index, I64(bytes_in_group)))
            to = f.at(write, b.mul(group.index, group_pitch))
            for v in range(vectors):
                f.prefetch(f.at(from_, ahead, v * VECTOR_BYTES))
                f.store(f.load(f.at(from_, v * VECTOR_BYTES)), f.at(to, v * VECTOR_BYTES))
        with b.if_then(ragged):
            from_ = f.at(read, b.mul(full, I64(bytes_in_group)))
            to = f.at(write, b.mul(full, group_pitch))
            for v in range(vectors):
                loaded = f.masked_load(f.at(from_, v * VECTOR_BYTES), masks[v])
                f.store(loaded, f.at(to, v * VECTOR_BYTES))


def _transpose(f: _Vectors, arguments: list[Value]) -> None:
    """target[j, i] = source[i, j] for a square of lanes × lanes.

    Of the source only `rows` × `columns` exist: the last row stands in for the missing ones,
    missing columns are zero. Of the target only `stored` rows of `width` elements are written.
    """
    source, stride, rows, columns, target, pitch, stored, width = arguments
    b = f.builder
    last, mask = b.sub(rows, I64(1)), f.mask(columns)
    square = []
    for i in range(f.lanes):
        row = b.select(b.icmp_signed("<", I64(i), rows), I64(i), last)
        place = f.at(source, b.mul(row, stride))
        f.prefetch(f.at(place, 4 * VECTOR_BYTES))
        square.append(f.masked_load(place, mask))
    # In every pair of rows swap the off-diagonal blocks: of 1 × 1, then 2 × 2, ... half × half.
    step = 1
    while step < f.lanes:
        upper = [j if not j & step else j - step + f.lanes for j in range(f.lanes)]
        lower = [j + step if not j & step else j + f.lanes for j in range(f.lanes)]
        for i in range(f.lanes):
            if not i & step:
                x, y = square[i], square[i + step]
                square[i], square[i + step] = f.shuffle(x, y, upper), f.shuffle(x, y, lower)
        step *= 2
    for j in range(f.lanes):
        lanes = b.select(b.icmp_signed("<", I64(j), stored), width, I64(0))
        f.masked_store(square[j], f.at(target, b.mul(pitch, I64(j))), f.mask(lanes))


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


@intrinsic
def address(typing_context, array, i, j):
    """Where array[i, j] lies."""

    def generate(context, builder, signature, arguments):
        return _locate(context, builder, signature.args[0], *arguments)[0]

    return pointer(array, i64, i64), generate


def _copying(vectors: int) -> Any:
    @intrinsic
    def copy(typing_context, source, i, j, rows, columns, target, row_pitch, group_pitch):
        """Copies source[i:i+rows, j:j+columns], which runs along its rows, in groups of vectors.

        Groups lie `group_pitch` apart, the last one is filled up with zeros.
        """

        def generate(context, builder, signature, arguments):
            source, i, j, *counts_and_target = arguments
            ty = signature.args[0]
            place, stride, _, _ = _locate(context, builder, ty, source, i, j)
            values = [place, stride, *counts_and_target]
            builder.call(_function(builder, _copy, ty, values, vectors=vectors), values)
            return context.get_dummy_value()

        return types.void(source, i64, i64, i64, i64, pointer, i64, i64), generate

    return copy


copy_panels, copy_vectors = _copying(2), _copying(1)


@intrinsic
def transpose_square(typing_context, source, i, j, target, pitch, stored, width):
    """target[c, r] = source[i + r, j + c] for r, c < lanes.

    Writes `stored` rows of `width` elements.
    """

    def generate(context, builder, signature, arguments):
        source, i, j, *target = arguments
        ty = signature.args[0]
        values = [*_locate(context, builder, ty, source, i, j), *target]
        builder.call(_function(builder, _transpose, ty, values), values)
        return context.get_dummy_value()

    return types.void(source, i64, i64, pointer, i64, i64, i64), generate


@intrinsic
def multiply_tile(typing_context, a, along_k, panel, depth, c, i, j, height, accumulate):
    """C[i:i+height, j:] = or += A[:height, :depth]·panel, as wide as C and panel are.

    `height` is one of `HEIGHTS`; `along_k` tells how the rows of A lie.
    """

    def generate(context, builder, signature, arguments):
        a, along_k, panel, depth, c, i, j, height, accumulate = arguments
        ty = signature.args[4]
        place, stride, _, columns = _locate(context, builder, ty, c, i, j)
        accumulated = builder.select(accumulate, columns, I64(0))
        values = [a, panel, depth, place, stride, columns, accumulated]
        wide = builder.icmp_signed(">", columns, I64(VECTOR_BYTES // (ty.dtype.bitwidth // 8)))
        multiply = None
        for h in HEIGHTS:
            plain, turned = (
                [
                    _function(builder, _tile, ty, values, height=h, vectors=v, along_k=k)
                    for v in (2, 1)
                ]
                for k in (True, False)
            )
            plain, turned = (builder.select(wide, *two_and_one) for two_and_one in (plain, turned))
            function = builder.select(along_k, plain, turned)
            this = builder.icmp_signed("==", height, I64(h))
            multiply = function if multiply is None else builder.select(this, function, multiply)
        builder.call(multiply, values)
        return context.get_dummy_value()

    arguments = (pointer, boolean, pointer, i64, c, i64, i64, i64, boolean)
    return types.void(*arguments), generate
