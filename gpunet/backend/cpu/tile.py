"""The register tile of matrix products, written in LLVM's vector instructions.

                  panel of B: depth × 2 vectors, packed, in the L1 cache
                  ┌────────┬────────┐
                  │  B[k]  │  B[k]  │
                  └────────┴────────┘
         A        ┌────────┬────────┐
      ┌──────┐    │                 │     for every k: one element of each row of A, spread over a
      │A[i,k]│    │ tile of C: up to│     vector, times the two vectors of B, added to the tile,
      │  ⋮   │    │ 14 rows × 2     │     which stays in registers from the first k to the last:
      └──────┘    │ vectors         │     28 fused multiply-adds for 16 loads
                  └────────┴────────┘

A is read where it lies, with any strides. Ragged columns are masked when the tile is stored; ragged
rows are cut into tiles of the heights in `HEIGHTS`, for each of which a function of its own is written.
Loads and stores are aligned by luck only: the instructions are the same either way.
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
    """Bytes in a vector register, and tile heights whose accumulators fit the registers there are."""
    features = llvm.get_host_cpu_features()
    if features.get("avx512f"):  # 32 registers: 28 accumulators, 2 of B, 1 of A
        return 64, (14, 8, 4, 2, 1)
    if features.get("avx2"):  # 16 registers: 12 accumulators, 2 of B, 1 of A
        return 32, (6, 4, 2, 1)
    return 16, (6, 4, 2, 1)


VECTOR_BYTES, HEIGHTS = _register_file()
DEPTH = (
    256  # most steps of k in a panel: with two vectors of 64 bytes it fills an L1 cache of 32 KiB
)

BYTE, I32, I64 = ir.IntType(8), ir.IntType(32), ir.IntType(64)
Value = Any  # an LLVM value


class _Function:
    """An LLVM function in the making, with the vector instructions it needs."""

    def __init__(self, builder: ir.IRBuilder, element: ir.Type):
        self.builder, self.element = builder, element
        bits = 32 if isinstance(element, ir.FloatType) else 64
        self.lanes = VECTOR_BYTES * 8 // bits
        self.type = ir.VectorType(element, self.lanes)
        self.suffix = f"v{self.lanes}f{bits}"
        self.zero = ir.Constant(self.type, [0.0] * self.lanes)

    def offset(self, pointer: Value, *nbytes: Value) -> Value:
        for n in nbytes:
            pointer = self.builder.gep(pointer, [I64(n) if isinstance(n, int) else n])
        return pointer

    def opaque(self, value: Value) -> Value:
        """The same value, of which LLVM does not know how it was computed."""
        return self.builder.asm(ir.FunctionType(I64, [I64]), "", "=r,0", [value], side_effect=False)

    def mask(self, count: Value) -> Value:
        """The first `count` lanes, all of them if there are fewer."""
        lane = ir.Constant(ir.VectorType(I64, self.lanes), list(range(self.lanes)))
        return self.builder.icmp_signed("<", lane, self.spread(count))

    def spread(self, scalar: Value) -> Value:
        """A vector with `scalar` in every lane."""
        undefined = ir.Constant(ir.VectorType(scalar.type, self.lanes), ir.Undefined)
        first = self.builder.insert_element(undefined, scalar, I32(0))
        lanes = ir.Constant(ir.VectorType(I32, self.lanes), [0] * self.lanes)
        return self.builder.shuffle_vector(first, undefined, lanes)

    def load_element(self, pointer: Value) -> Value:
        return self.builder.load(self.builder.bitcast(pointer, self.element.as_pointer()), align=1)

    def load(self, pointer: Value) -> Value:
        return self.builder.load(self.builder.bitcast(pointer, self.type.as_pointer()), align=1)

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


def _write_tile(f: _Function, height: int, vectors: int, arguments: list[Value]) -> None:
    """C[height, vectors] = (C if accumulating) + Σₖ A[height, k]·panel[k, vectors], all strides in bytes."""
    a, row_stride, k_stride, panel, depth, c, c_stride, columns, loaded = arguments
    b = f.builder
    entry = b.block
    # Rows are reached as pointer + {0, 1, 2, 3, 4}·stride: that costs one moving pointer for five rows.
    # Made opaque, or LLVM would compute each address from the last, a chain longer than the multiplying.
    multiples = [f.opaque(b.mul(row_stride, I64(r))) for r in range(min(height, 5))]
    groups = [f.offset(a, f.opaque(b.mul(row_stride, I64(r)))) for r in range(0, height, 5)]
    loop, end = b.append_basic_block("loop"), b.append_basic_block("end")
    b.branch(loop)

    b.position_at_end(loop)
    left = b.phi(I64)
    moving = [b.phi(BYTE.as_pointer()) for _ in (*groups, panel)]
    tile = [[b.phi(f.type) for _ in range(vectors)] for _ in range(height)]
    b_row = [f.load(f.offset(moving[-1], v * VECTOR_BYTES)) for v in range(vectors)]
    sums = []
    for r in range(height):
        element = f.spread(f.load_element(f.offset(moving[r // 5], multiples[r % 5])))
        sums.append([f.multiply_add(element, b_row[v], tile[r][v]) for v in range(vectors)])
    following = [f.offset(p, k_stride) for p in moving[:-1]]
    following.append(f.offset(moving[-1], vectors * VECTOR_BYTES))
    fewer = b.sub(left, I64(1))
    b.cbranch(b.icmp_signed(">", fewer, I64(0)), loop, end)
    for phi, first, following_value in [
        (left, depth, fewer),
        *zip(moving, (*groups, panel), following, strict=True),
        *((tile[r][v], f.zero, sums[r][v]) for r in range(height) for v in range(vectors)),
    ]:
        phi.add_incoming(first, entry)
        phi.add_incoming(following_value, loop)

    b.position_at_end(end)
    for v in range(vectors):
        skipped = I64(v * f.lanes)
        load_mask, store_mask = (f.mask(b.sub(n, skipped)) for n in (loaded, columns))
        for r in range(height):
            pointer = f.offset(c, b.mul(c_stride, I64(r)), v * VECTOR_BYTES)
            total = b.fadd(sums[r][v], f.masked_load(pointer, load_mask))
            f.masked_store(total, pointer, store_mask)
    b.ret_void()


def _write_transpose(f: _Function, _height: int, _vectors: int, arguments: list[Value]) -> None:
    """target[j, i] = source[i, j] for a square of lanes × lanes.

    Of the source only `rows` × `columns` exist (the last row stands in for the others, the columns
    are zero); only `stored` rows of `width` elements of the target are written.
    """
    source, source_stride, rows, columns, target, target_stride, stored, width = arguments
    b = f.builder
    last, mask = b.sub(rows, I64(1)), f.mask(columns)
    square = []
    for i in range(f.lanes):
        row = b.select(b.icmp_signed("<", I64(i), rows), I64(i), last)
        square.append(f.masked_load(f.offset(source, b.mul(row, source_stride)), mask))
    # Swap ever larger off-diagonal blocks of every pair of rows: 1 × 1, 2 × 2, ... half × half.
    step = 1
    while step < f.lanes:
        upper = [j if not j & step else j - step + f.lanes for j in range(f.lanes)]
        lower = [j + step if not j & step else j + f.lanes for j in range(f.lanes)]
        masks = [ir.Constant(ir.VectorType(I32, f.lanes), m) for m in (upper, lower)]
        for i in range(f.lanes):
            if not i & step:
                pair = square[i], square[i + step]
                square[i], square[i + step] = (b.shuffle_vector(*pair, m) for m in masks)
        step *= 2
    for j in range(f.lanes):
        lanes = b.select(b.icmp_signed("<", I64(j), stored), width, I64(0))
        f.masked_store(square[j], f.offset(target, b.mul(target_stride, I64(j))), f.mask(lanes))
    b.ret_void()


def _write_copy(f: _Function, _height: int, vectors: int, arguments: list[Value]) -> None:
    """Copies `rows` rows of `columns` elements, filled up with zeros to whole vectors."""
    source, source_stride, rows, columns, target = arguments
    b = f.builder
    masks = [f.mask(b.sub(columns, I64(v * f.lanes))) for v in range(vectors)]
    full = ir.Constant(masks[0].type, [1] * f.lanes)
    with cgutils.for_range(b, rows) as loop:
        row = f.offset(source, b.mul(loop.index, source_stride))
        place = f.offset(target, b.mul(loop.index, I64(vectors * VECTOR_BYTES)))
        for v in range(vectors):
            values = f.masked_load(f.offset(row, v * VECTOR_BYTES), masks[v])
            f.masked_store(values, f.offset(place, v * VECTOR_BYTES), full)
    b.ret_void()


def _function(
    builder: ir.IRBuilder,
    write: Callable[..., None],
    element: ir.Type,
    parameters: list[Value],
    height: int = 1,
    vectors: int = 1,
) -> ir.Function:
    """The function that `write` writes, which it does once a module; `parameters` have their types."""
    bits = 32 if isinstance(element, ir.FloatType) else 64
    name = f"gpunet{write.__name__}_{height}x{vectors}_f{bits}"
    signature = ir.FunctionType(ir.VoidType(), [p.type for p in parameters])
    function = cgutils.get_or_insert_function(builder.module, signature, name)
    if function.is_declaration:
        function.linkage = "internal"
        function.attributes.add("noinline")  # its registers are all taken
        body = ir.IRBuilder(function.append_basic_block())
        write(_Function(body, element), height, vectors, list(function.args))
    return function


def _needs_two_vectors(builder: ir.IRBuilder, element: ir.Type, columns: Value) -> Value:
    lanes = VECTOR_BYTES // (4 if isinstance(element, ir.FloatType) else 8)
    return builder.icmp_signed(">", columns, I64(lanes))


def _locate(context: Any, builder: ir.IRBuilder, ty: types.Array, array: Value, i: Value, j: Value):
    """Address of array[i, j] and the two strides, in bytes."""
    struct = context.make_array(ty)(context, builder, array)
    strides = cgutils.unpack_tuple(builder, struct.strides, 2)
    pointer = builder.bitcast(struct.data, BYTE.as_pointer())
    for index, stride in zip((i, j), strides, strict=True):
        pointer = builder.gep(pointer, [builder.mul(index, stride)])
    return pointer, *strides


@intrinsic
def panel_memory(typing_context):
    """Memory for one panel, on the stack of the kernel."""

    def generate(context, builder, signature, arguments):
        with builder.goto_entry_block():
            memory = builder.alloca(ir.ArrayType(BYTE, DEPTH * 2 * VECTOR_BYTES))
        memory.align = VECTOR_BYTES
        return builder.bitcast(memory, BYTE.as_pointer())

    return types.voidptr(), generate


@intrinsic
def address(typing_context, array, i, j):
    """Where array[i, j] lies."""

    def generate(context, builder, signature, arguments):
        return _locate(context, builder, signature.args[0], *arguments)[0]

    return types.voidptr(array, types.int64, types.int64), generate


@intrinsic
def displaced(typing_context, pointer, nbytes):
    def generate(context, builder, signature, arguments):
        return builder.gep(arguments[0], [arguments[1]])

    return types.voidptr(types.voidptr, types.int64), generate


@intrinsic
def copy_rows(typing_context, source, i, j, rows, columns, panel):
    """panel[:rows, :columns] = source[i:, j:], where the source runs along its second axis."""

    def generate(context, builder, signature, arguments):
        source, i, j, rows, columns, panel = arguments
        ty = signature.args[0]
        element = context.get_value_type(ty.dtype)
        pointer, stride, _ = _locate(context, builder, ty, source, i, j)
        values = [pointer, stride, rows, columns, panel]
        one, two = (_function(builder, _write_copy, element, values, vectors=v) for v in (1, 2))
        wide = _needs_two_vectors(builder, element, columns)
        builder.call(builder.select(wide, two, one), values)
        return context.get_dummy_value()

    i64 = types.int64
    return types.void(source, i64, i64, i64, i64, types.voidptr), generate


@intrinsic
def transpose_block(typing_context, source, i, j, target, target_stride, stored, width):
    """target[c, r] = source[i + r, j + c] for r, c < lanes; of the target, `stored` rows of `width` elements."""

    def generate(context, builder, signature, arguments):
        source, i, j, target, target_stride, stored, width = arguments
        ty = signature.args[0]
        pointer, stride, _ = _locate(context, builder, ty, source, i, j)
        shape = context.make_array(ty)(context, builder, source).shape
        rows, columns = (
            builder.sub(n, index)
            for n, index in zip(cgutils.unpack_tuple(builder, shape, 2), (i, j), strict=True)
        )
        values = [pointer, stride, rows, columns, target, target_stride, stored, width]
        element = context.get_value_type(ty.dtype)
        builder.call(_function(builder, _write_transpose, element, values), values)
        return context.get_dummy_value()

    i64 = types.int64
    return types.void(source, i64, i64, types.voidptr, i64, i64, i64), generate


@intrinsic
def multiply_tile(
    typing_context, a, row_stride, k_stride, panel, depth, c, i, j, rows, columns, accumulate
):
    """C[i:i+h, j:j+columns] = or += A[:h, :depth]·panel; returns h, the largest height up to `rows`."""

    def generate(context, builder, signature, arguments):
        a, row_stride, k_stride, panel, depth, c, i, j, rows, columns, accumulate = arguments
        element = context.get_value_type(signature.args[5].dtype)
        target, c_stride, _ = _locate(context, builder, signature.args[5], c, i, j)
        loaded = builder.select(accumulate, columns, I64(0))
        values = [a, row_stride, k_stride, panel, depth, target, c_stride, columns, loaded]
        wide = _needs_two_vectors(builder, element, columns)
        multiply = chosen = None
        for height in reversed(HEIGHTS):
            one, two = (_function(builder, _write_tile, element, values, height, v) for v in (1, 2))
            function = builder.select(wide, two, one)
            fits = builder.icmp_signed(">=", rows, I64(height))
            multiply = builder.select(fits, function, multiply or function)
            chosen = builder.select(fits, I64(height), chosen or I64(1))
        builder.call(multiply, values)
        return chosen

    i64, pointer = types.int64, types.voidptr
    arguments = (pointer, i64, i64, pointer, i64, c, i64, i64, i64, i64, types.boolean)
    return i64(*arguments), generate


@intrinsic
def data(typing_context, array):
    def generate(context, builder, signature, arguments):
        struct = context.make_array(signature.args[0])(context, builder, arguments[0])
        return builder.bitcast(struct.data, BYTE.as_pointer())

    return types.voidptr(array), generate


@intrinsic
def copy_plain(typing_context, source, i, j, rows, columns, target, target_stride):
    def generate(context, builder, signature, arguments):
        source, i, j, rows, columns, target, target_stride = arguments
        ty = signature.args[0]
        bits = ty.dtype.bitwidth
        pointer, stride, _ = _locate(context, builder, ty, source, i, j)
        nbytes = builder.mul(columns, I64(bits // 8))
        with cgutils.for_range(builder, rows) as loop:
            cgutils.raw_memcpy(builder, builder.gep(target, [builder.mul(loop.index, target_stride)]), builder.gep(pointer, [builder.mul(loop.index, stride)]), nbytes, I64(1), align=1)
        return context.get_dummy_value()

    i64 = types.int64
    return types.void(source, i64, i64, i64, i64, types.voidptr, i64), generate
