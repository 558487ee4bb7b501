"""The loops of recurrent layers; see recurrent.py.

Each goes through all time steps for the sequences from `start` to `stop` of a batch, which need
nothing of the others: so threads share a batch out, and never wait for each other. A step is

- the product of the last hidden state with the recurrent weights: a few rows times a matrix that
  is the same at every step, and so is packed once, as `gemm.py` does it at every call. One or two
  rows are read past the matrix instead, as it lies, which is all that takes time then;
- the cell, in loops over few pointers each, which become vector code.
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
from gpunet.backend.cpu.scalar import sigmoid, tanh
from gpunet.backend.cpu.tile import CACHE_LINE, TILE_ROWS, at, multiply_tile, workspace

FEW = 2  # rows that do without the tile

# --- products with a matrix that stays the same


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
                multiply_tile(strip, panel, depth, out, i, j * PANEL, add or first > 0)


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


@kernel(inline=True)
def _zero(x):
    for j in range(x.size):
        x[j] = 0.0


@kernel(inline=True)
def _copy(x, y):
    for j in range(x.size):
        y[j] = x[j]


@kernel(inline=True)
def _add(x, y):
    for j in range(x.size):
        y[j] += x[j]


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
    xs = carray(x, (rows, x_step // ITEM))[:, :k]
    outs = carray(out, (rows, out_step // ITEM))[:, :n]
    if rows > FEW:
        _by_tile(xs, n, carray(panels, (1,)), carray(strips, (1,)), outs, add)
        return
    for i in range(rows):
        if not add:
            for j in range(n):
                outs[i, j] = 0.0
        if transposed:
            _rows_times(carray(w, (n, k)), xs[i], outs[i])
        else:
            _times_rows(xs[i], carray(w, (k, n)), outs[i])


@intrinsic
def _multiply(typing_context, function, x, w, panels, strips, out, transposed, add):
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


@kernel(inline=True)
def _goes_on(t, n, lengths):
    """Whether sequence n has a step t."""
    return lengths.size == 0 or t < lengths[n]


# --- parts of cells


@kernel(inline=True)
def _sigmoids(z, bias):
    for j in range(z.size):
        z[j] = sigmoid(z[j] + bias[j])


@kernel(inline=True)
def _tanhs(z, bias):
    for j in range(z.size):
        z[j] = tanh(z[j] + bias[j])


# --- RNN: h = tanh(z + h·Wᵀ + b), or with ReLU


@kernel(inline=True)
def _rnn_cell(z, bias, y, relu):
    if relu:
        for j in range(z.size):
            a = z[j] + bias[j]
            y[j] = a if not a <= 0.0 else 0.0  # NaN stays NaN
    else:
        for j in range(z.size):
            y[j] = tanh(z[j] + bias[j])


@kernel
def rnn_fwd(product, z, bias, w, panels, strips, lengths, h, y, reverse, relu, start, stop):
    steps = z.shape[0]
    for s in range(steps):
        t = steps - 1 - s if reverse else s
        _multiply(product, h[start:stop], w, panels, strips, z[t, start:stop], True, True)
        for n in range(start, stop):
            if _goes_on(t, n, lengths):
                _rnn_cell(z[t, n], bias, y[t, n], relu)
                _copy(y[t, n], h[n])
            else:
                _zero(y[t, n])


@kernel(inline=True)
def _rnn_cell_bwd(gh, y, gz, relu):
    if relu:
        for j in range(y.size):
            g = gh[j]
            gz[j] = 0.0 if y[j] <= 0.0 else g
    else:
        for j in range(y.size):
            gz[j] = gh[j] * (1.0 - y[j] * y[j])


@kernel
def rnn_bwd(product, gy, y, w, panels, strips, lengths, gh, gz, reverse, relu, start, stop):
    steps = y.shape[0]
    for s in range(steps):
        t = s if reverse else steps - 1 - s
        for n in range(start, stop):
            if _goes_on(t, n, lengths):
                if gy.size:
                    _add(gy[t, n], gh[n])
                _rnn_cell_bwd(gh[n], y[t, n], gz[t, n], relu)
                _zero(gh[n])
            else:
                _zero(gz[t, n])
        _multiply(product, gz[t, start:stop], w, panels, strips, gh[start:stop], False, True)


# --- LSTM: gates i, f, g, o; c = f·c + i·g, h = o·tanh(c), maybe projected


@kernel(inline=True)
def _lstm_cell(z, bias, c, h):
    units = c.size
    _sigmoids(z[: 2 * units], bias[: 2 * units])
    _tanhs(z[2 * units : 3 * units], bias[2 * units : 3 * units])
    _sigmoids(z[3 * units :], bias[3 * units :])
    i, f, g, o = z[:units], z[units : 2 * units], z[2 * units : 3 * units], z[3 * units :]
    for j in range(units):
        c[j] = f[j] * c[j] + i[j] * g[j]
    for j in range(units):
        h[j] = o[j] * tanh(c[j])


@kernel
def lstm_fwd(
    product,
    z,
    bias,
    w,
    panels,
    w_hr,
    panels_hr,
    strips,
    lengths,
    h,
    c,
    m,
    y,
    cells,
    reverse,
    start,
    stop,
):
    steps = z.shape[0]
    projected = m.size > 0
    for s in range(steps):
        t = steps - 1 - s if reverse else s
        _multiply(product, h[start:stop], w, panels, strips, z[t, start:stop], True, True)
        for n in range(start, stop):
            if _goes_on(t, n, lengths):
                if projected:
                    _lstm_cell(z[t, n], bias, c[n], m[n])
                else:
                    _lstm_cell(z[t, n], bias, c[n], y[t, n])
            if cells.size:
                _copy(c[n], cells[t, n])
        if projected:
            _multiply(
                product, m[start:stop], w_hr, panels_hr, strips, y[t, start:stop], True, False
            )
        for n in range(start, stop):
            if _goes_on(t, n, lengths):
                _copy(y[t, n], h[n])
            else:
                _zero(y[t, n])


@kernel(inline=True)
def _lstm_cell_bwd(gh, z, before, c, gc, gz):
    """gc comes as the gradient of c from later steps, and leaves as that for earlier ones."""
    units = c.size
    i, f, g, o = z[:units], z[units : 2 * units], z[2 * units : 3 * units], z[3 * units :]
    gi, gf = gz[:units], gz[units : 2 * units]
    gg, go = gz[2 * units : 3 * units], gz[3 * units :]
    for j in range(units):
        tc = tanh(c[j])
        go[j] = gh[j] * tc * o[j] * (1.0 - o[j])
        gc[j] += gh[j] * o[j] * (1.0 - tc * tc)
    for j in range(units):
        gi[j] = gc[j] * g[j] * i[j] * (1.0 - i[j])
        gg[j] = gc[j] * i[j] * (1.0 - g[j] * g[j])
    for j in range(units):
        gf[j] = gc[j] * before[j] * f[j] * (1.0 - f[j])
    for j in range(units):
        gc[j] *= f[j]


@kernel
def lstm_bwd(
    product, gy, z, c_0, cells, w, panels, w_hr, panels_hr, strips, lengths, gh, gc, gm, gp, gz,
    reverse, start, stop,
):  # fmt: skip
    steps = z.shape[0]
    projected = gm.size > 0
    for s in range(steps):
        t = s if reverse else steps - 1 - s
        earlier = t + 1 if reverse else t - 1
        for n in range(start, stop):
            on = _goes_on(t, n, lengths)
            if on and gy.size:
                _add(gy[t, n], gh[n])
            if projected:
                if on:
                    _copy(gh[n], gp[t, n])
                    _zero(gh[n])
                else:
                    _zero(gp[t, n])
        if projected:
            _multiply(
                product, gp[t, start:stop], w_hr, panels_hr, strips, gm[start:stop], False, False
            )
        for n in range(start, stop):
            if _goes_on(t, n, lengths):
                before = c_0[n] if s == steps - 1 else cells[earlier, n]
                if projected:
                    _lstm_cell_bwd(gm[n], z[t, n], before, cells[t, n], gc[n], gz[t, n])
                else:
                    _lstm_cell_bwd(gh[n], z[t, n], before, cells[t, n], gc[n], gz[t, n])
                    _zero(gh[n])
            else:
                _zero(gz[t, n])
        _multiply(product, gz[t, start:stop], w, panels, strips, gh[start:stop], False, True)


# --- GRU: gates r, u, n; h = (1 − u)·n + u·h, where n = tanh(z + b + r·(h·Wᵀ + b'))


@kernel(inline=True)
def _gru_cell(z, q, bias, h):
    """q is the part of n that r multiplies, h·Wᵀ before and + b' after."""
    units = h.size
    _sigmoids(z[: 2 * units], bias[: 2 * units])
    r, u, n = z[:units], z[units : 2 * units], z[2 * units :]
    _add(bias[3 * units :], q)
    for j in range(units):
        n[j] += r[j] * q[j]
    _tanhs(n, bias[2 * units : 3 * units])
    for j in range(units):
        h[j] = n[j] + u[j] * (h[j] - n[j])


@kernel
def gru_fwd(product, z, bias, w, panels, panels_n, strips, lengths, h, y, q, reverse, start, stop):
    steps, _, columns = z.shape
    units = columns // 3
    for s in range(steps):
        t = steps - 1 - s if reverse else s
        rows = h[start:stop]
        _multiply(
            product, rows, w[: 2 * units], panels, strips, z[t, start:stop, : 2 * units], True, True
        )
        _multiply(product, rows, w[2 * units :], panels_n, strips, q[t, start:stop], True, False)
        for n in range(start, stop):
            if _goes_on(t, n, lengths):
                _gru_cell(z[t, n], q[t, n], bias, h[n])
                _copy(h[n], y[t, n])
            else:
                _zero(y[t, n])


@kernel(inline=True)
def _gru_cell_bwd(gh, z, q, before, gz):
    """gh leaves as what goes straight to the state before."""
    units = gh.size
    r, u, n = z[:units], z[units : 2 * units], z[2 * units :]
    gr, gu, gn, gq = (
        gz[:units],
        gz[units : 2 * units],
        gz[2 * units : 3 * units],
        gz[3 * units :],
    )
    for j in range(units):
        gn[j] = gh[j] * (1.0 - u[j]) * (1.0 - n[j] * n[j])
    for j in range(units):
        gu[j] = gh[j] * (before[j] - n[j]) * u[j] * (1.0 - u[j])
    for j in range(units):
        gq[j] = gn[j] * r[j]
        gr[j] = gn[j] * q[j] * r[j] * (1.0 - r[j])
    for j in range(units):
        gh[j] *= u[j]


@kernel
def gru_bwd(
    product, gy, z, q, h_0, y, w, panels, panels_n, strips, lengths, gh, gz, reverse, start, stop
):
    steps, _, units = y.shape
    for s in range(steps):
        t = s if reverse else steps - 1 - s
        earlier = t + 1 if reverse else t - 1
        for n in range(start, stop):
            if _goes_on(t, n, lengths):
                if gy.size:
                    _add(gy[t, n], gh[n])
                first = s == steps - 1 or not _goes_on(earlier, n, lengths)
                before = h_0[n] if first else y[earlier, n]
                _gru_cell_bwd(gh[n], z[t, n], q[t, n], before, gz[t, n])
            else:
                _zero(gz[t, n])
        rows, out = gz[t, start:stop], gh[start:stop]
        _multiply(product, rows[:, : 2 * units], w[: 2 * units], panels, strips, out, False, True)
        _multiply(product, rows[:, 3 * units :], w[2 * units :], panels_n, strips, out, False, True)
