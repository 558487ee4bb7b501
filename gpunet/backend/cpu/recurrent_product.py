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
from gpunet.backend.cpu.jit import FAST_SUM, T, kernel
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


@kernel(inline=True, fastmath=FAST_SUM)
def _dots(w0, w1, w2, w3, x):
    """Four rows times x: x is loaded once for all of them."""
    s0, s1, s2, s3 = T(0.0), T(0.0), T(0.0), T(0.0)
    for k in range(x.size):
        s0 += w0[k] * x[k]
        s1 += w1[k] * x[k]
        s2 += w2[k] * x[k]
        s3 += w3[k] * x[k]
    return s0, s1, s2, s3


@kernel(inline=True, fastmath=FAST_SUM)
def _dot(w, x):
    total = T(0.0)
    for k in range(x.size):
        total += w[k] * x[k]
    return total


@kernel(inline=True)
def _rows_times(w, x, out):
    """out += w·x, where w lies as the product with its transpose needs it."""
    whole = w.shape[0] // 4 * 4
    for j in range(0, whole, 4):
        s0, s1, s2, s3 = _dots(w[j], w[j + 1], w[j + 2], w[j + 3], x)
        out[j] += s0
        out[j + 1] += s1
        out[j + 2] += s2
        out[j + 3] += s3
    for j in range(whole, w.shape[0]):
        out[j] += _dot(w[j], x)


@kernel(inline=True)
def _add_scaled(a0, a1, a2, a3, w0, w1, w2, w3, out):
    for k in range(out.size):
        out[k] += a0 * w0[k] + a1 * w1[k] + a2 * w2[k] + a3 * w3[k]


@kernel(inline=True)
def _times_rows(x, w, out):
    """out += x·w, row by row of w."""
    whole = w.shape[0] // 4 * 4
    for j in range(0, whole, 4):
        w0, w1, w2, w3 = w[j], w[j + 1], w[j + 2], w[j + 3]
        _add_scaled(x[j], x[j + 1], x[j + 2], x[j + 3], w0, w1, w2, w3, out)
    for j in range(whole, w.shape[0]):
        for k in range(out.size):
            out[k] += x[j] * w[j, k]


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
            _rows_times(carray(w, (n, k)), x_row, out_row)
        else:
            _times_rows(x_row, carray(w, (k, n)), out_row)


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
