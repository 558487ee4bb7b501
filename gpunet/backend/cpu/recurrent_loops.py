"""The loops of recurrent layers; see recurrent.py.

Each goes through all time steps for the sequences from `start` to `stop` of a batch, which need
nothing of the others: so threads share a batch out, and never wait for each other. A step is the
product of the last hidden state with the recurrent weights, and the cell, in loops over few arrays
each, which become vector code.
"""

from __future__ import annotations

from gpunet.backend.cpu.jit import kernel
from gpunet.backend.cpu.recurrent_product import multiply
from gpunet.backend.cpu.scalar import sigmoid, tanh


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
        multiply(product, h[start:stop], w, panels, strips, z[t, start:stop], True, True)
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
        multiply(product, gz[t, start:stop], w, panels, strips, gh[start:stop], False, True)


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
        multiply(product, h[start:stop], w, panels, strips, z[t, start:stop], True, True)
        for n in range(start, stop):
            if _goes_on(t, n, lengths):
                if projected:
                    _lstm_cell(z[t, n], bias, c[n], m[n])
                else:
                    _lstm_cell(z[t, n], bias, c[n], y[t, n])
            if cells.size:
                _copy(c[n], cells[t, n])
        if projected:
            multiply(product, m[start:stop], w_hr, panels_hr, strips, y[t, start:stop], True, False)
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
            multiply(
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
        multiply(product, gz[t, start:stop], w, panels, strips, gh[start:stop], False, True)


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
        multiply(
            product, rows, w[: 2 * units], panels, strips, z[t, start:stop, : 2 * units], True, True
        )
        multiply(product, rows, w[2 * units :], panels_n, strips, q[t, start:stop], True, False)
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
        multiply(product, rows[:, : 2 * units], w[: 2 * units], panels, strips, out, False, True)
        multiply(product, rows[:, 3 * units :], w[2 * units :], panels_n, strips, out, False, True)
