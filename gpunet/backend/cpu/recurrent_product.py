"""Products with a matrix that stays the same from step to step, for recurrent_loops.py.

A few rows times the recurrent weights: these are packed once, as `gemm.py` packs its operands at
every call, and then meet the rows of each step in the register tile. One or two rows are read past
the matrix as it lies, since reading it is all that takes time then.
"""

from __future__ import annotations

from llvmlite import ir
from numba import carray, types
from numba.core import cgutils
from numba.extending import intrinsic

from gpunet.backend.cpu.gemm import (
    DEPTH,
    ITEM,
    LANES,
    PANEL,
    STRIP,
    copy_panels,
    even,
    transpose_panels,
    transpose_strips,
)
from gpunet.backend.cpu.jit import kernel
from gpunet.backend.cpu.matrix_vector import rows_times, times_rows
from gpunet.backend.cpu.tile import CACHE_LINE, TILE_ROWS, at, multiply_tile, workspace

FEW = 2  # rows that do without the tile


def _pack_signature(dtype):
    operand = types.Array(dtype, 2, "A", readonly=True, aligned=False)
    return types.void(operand, types.uint8[::1], types.int64, types.int64)


@kernel(signature=_pack_signature)
def pack(b, panels, start, stop):
    """Lays out panels from `start` to `stop` of b (k, n): first those of the first steps of k."""
    k, n = b.shape
    step, count = even(k, DEPTH, LANES), -(-n // PANEL)
    panel_bytes = step * PANEL * ITEM + CACHE_LINE
    for first in range(0, k, step):
        depth = min(step, k - first)
        for j in range(start, stop):
            left = j * PANEL
            width = min(PANEL, n - left)
            panel = at(workspace(panels), (first // step * count + j) * panel_bytes)
            if b.strides[1] == ITEM:
                copy_panels(b, first, left, depth, width, panel, panel_bytes)
            else:
                transpose_panels(b.T, left, first, depth, width, panel, panel_bytes)


@kernel(inline=True)
def _by_tile(x, n, panels, strips, out, add):
    """out = x·b or out += x·b, with b (k, n) in panels; x runs along k."""
    rows, k = x.shape
    step, count = even(k, DEPTH, LANES), -(-n // PANEL)
    panel_bytes = step * PANEL * ITEM + CACHE_LINE
    strip_bytes = step * STRIP * ITEM + CACHE_LINE
    for first in range(0, k, step):
        depth = min(step, k - first)
        transpose_strips(x, 0, first, depth, rows, workspace(strips), strip_bytes)
        for j in range(count):
            panel = at(workspace(panels), (first // step * count + j) * panel_bytes)
            for i in range(0, rows, TILE_ROWS):
                strip = at(workspace(strips), i // STRIP * strip_bytes + i % STRIP * ITEM)
                multiply_tile(strip, panel, depth, out, i, j * PANEL, PANEL, add or first > 0)


def _product_signature(dtype):
    numbers, count = types.CPointer(dtype), types.int64
    packed = types.CPointer(types.uint8)
    operands = numbers, count, count, count, numbers, packed, packed, numbers, count, count
    return types.void(*operands, count, count)


@kernel(signature=_product_signature, pointer=True)
def product(x, x_step, rows, k, w, panels, strips, out, out_step, n, transposed, add):
    """out = x·w, or x·wᵀ if `transposed`; added to what is there if `add`.

    A C function of its own, compiled once for all the loops below.
    """
    xs, outs = carray(x, (rows, x_step // ITEM)), carray(out, (rows, out_step // ITEM))
    if rows > FEW:
        _by_tile(xs[:, :k], n, carray(panels, (1,)), carray(strips, (1,)), outs[:, :n], add)
        return
    for i in range(rows):
        x_row, out_row = xs[i][:k], outs[i][:n]  # contiguous, and known to be
        if not add:
            for j in range(n):
                out_row[j] = 0.0
        if transposed:
            rows_times(carray(w, (n, k)), x_row, out_row)
        else:
            times_rows(x_row, carray(w, (k, n)), out_row)


@intrinsic
def multiply(typing_context, function, x, w, panels, strips, out, transposed, add):
    """Calls `product` by its address; all but x and out are C-contiguous, those run along rows."""

    def generate(context, builder, signature, values):
        def of(i):
            return context.make_array(signature.args[i])(context, builder, values[i])

        def sizes(i):
            shape, strides = of(i).shape, of(i).strides
            return *cgutils.unpack_tuple(builder, shape, 2), builder.extract_value(strides, 0)

        (rows, k, x_step), (_, n, out_step) = sizes(1), sizes(5)
        data = [of(i).data for i in range(1, 6)]
        flags = [builder.zext(flag, ir.IntType(64)) for flag in values[6:]]
        arguments = [data[0], x_step, rows, k, *data[1:], out_step, n, *flags]
        kind = ir.FunctionType(ir.VoidType(), [a.type for a in arguments])
        builder.call(builder.inttoptr(values[0], kind.as_pointer()), arguments)
        return context.get_dummy_value()

    flags = types.boolean, types.boolean
    return types.void(types.int64, x, w, panels, strips, out, *flags), generate
