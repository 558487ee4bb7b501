"""The loops of normalisation; see normalization.py.

No loop both writes an array and adds up in vector registers: whether such a loop becomes vector
code depends on how far apart the arrays lie, and with it the order of the sum.
"""

from __future__ import annotations

import numpy as np

from gpunet.backend.cpu.jit import FAST_SUM, T, kernel
from gpunet.backend.cpu.reduction import row_sum

RUN = 4096  # elements that stay in the L1 cache
COLUMNS = 64  # channels side by side, where each has one element a sample


@kernel(inline=True, fastmath=FAST_SUM)
def _squares(x, mean):
    """Sums of (x − mean)² and of x − mean, in vector registers."""
    total, rest = T(0.0), T(0.0)
    for j in range(x.size):
        d = x[j] - mean
        total += d * d
        rest += d
    return total, rest


@kernel(inline=True, fastmath=FAST_SUM)
def _products(g, x, mean):
    """Sums of g and of g·(x − mean)."""
    total, products = T(0.0), T(0.0)
    for j in range(x.size):
        total += g[j]
        products += g[j] * (x[j] - mean)
    return total, products


@kernel(inline=True)
def _combined(count, mean, squares, more, mean_of, squares_of, rest_of):
    """The statistics of `count` elements and those of `more` others as one."""
    other = np.float64(mean_of) + rest_of / more  # what rounding took from the mean of the run
    difference = other - mean
    weight = more / (count + more)
    squares += squares_of - rest_of * rest_of / more + difference * difference * count * weight
    return mean + difference * weight, squares


@kernel(inline=True)
def _moments(x, c, centred):
    """Mean and variance of x[:, c], in float64; if not centred, 0 and the mean of the squares."""
    samples, size = x.shape[0], x.shape[2]
    run, several = min(size, RUN), max(1, RUN // size)
    count, mean, squares = np.float64(0), np.float64(0), np.float64(0)
    for n in range(0, samples, several):
        end = min(n + several, samples)
        for s in range(0, size, run):
            stop = min(s + run, size)
            more = np.float64((end - n) * (stop - s))
            total, squares_here, rest = np.float64(0), np.float64(0), np.float64(0)
            if centred:
                for i in range(n, end):
                    total += row_sum(x[i, c, s:stop])
            mean_here = T(total / more)
            for i in range(n, end):
                a, b = _squares(x[i, c, s:stop], mean_here)
                squares_here += a
                rest += b
            if centred:
                mean, squares = _combined(count, mean, squares, more, mean_here, squares_here, rest)
            else:
                squares += squares_here
            count += more
    return mean, squares / count


@kernel(inline=True)
def _scaled(x, y, mean, scale, bias, relu):
    if relu:
        for j in range(x.size):
            z = (x[j] - mean) * scale + bias
            y[j] = z if not z <= 0.0 else 0.0  # NaN stays NaN
    else:
        for j in range(x.size):
            y[j] = (x[j] - mean) * scale + bias


@kernel(inline=True)
def _unscaled(g, x, gx, mean, weight, scale, constant, slope):
    """gx = scale·(weight·g − constant − (x − mean)·slope)."""
    for j in range(x.size):
        gx[j] = scale * (weight * g[j] - constant - (x[j] - mean) * slope)


@kernel(inline=True)
def _unscale(g, x, mean, scale, constant, slope):
    """The same of g itself: two names of one array would keep a loop from becoming vector code."""
    for j in range(x.size):
        g[j] = scale * (g[j] - constant - (x[j] - mean) * slope)


@kernel(inline=True)
def _passed(gy, x, g, mean, scale, bias):
    """g = gy where ReLU has let something through."""
    for j in range(x.size):
        through = gy[j]  # read in any case, so that this becomes vector code
        g[j] = through if (x[j] - mean) * scale + bias > 0.0 else 0.0


# --- channels: x (N, C, S)


@kernel
def batch_norm_fwd(x, y, start, stop, weight, bias, mean, var, eps, given, relu):
    for c in range(start, stop):
        if not given:
            m, v = _moments(x, c, True)
            mean[c], var[c] = m, v
        scale = T(weight[c] / np.sqrt(var[c] + eps))
        for n in range(x.shape[0]):
            _scaled(x[n, c], y[n, c], mean[c], scale, bias[c], relu)


@kernel
def batch_norm_bwd(
    gy, x, gx, start, stop, weight, bias, mean, var, eps, given, relu, gweight, gbias
):
    count = x.shape[0] * x.shape[2]
    for c in range(start, stop):
        rstd = 1.0 / np.sqrt(var[c] + eps)
        scale = T(weight[c] / np.sqrt(var[c] + eps))
        total, products = np.float64(0), np.float64(0)
        for n in range(x.shape[0]):
            g = gy[n, c]
            if relu:
                _passed(gy[n, c], x[n, c], gx[n, c], mean[c], scale, bias[c])
                g = gx[n, c]
            a, b = _products(g, x[n, c], mean[c])
            total += a
            products += b
        gweight[c], gbias[c] = products * rstd, total
        constant, slope = T(0.0), T(0.0)
        if not given:
            constant, slope = T(total / count), T(products * rstd * rstd / count)
        for n in range(x.shape[0]):
            if relu:
                _unscale(gx[n, c], x[n, c], mean[c], scale, constant, slope)
            else:
                g = gy[n, c]
                _unscaled(g, x[n, c], gx[n, c], mean[c], T(1.0), scale, constant, slope)


# --- channels of one element a sample: x (N, C), `COLUMNS` of them side by side


@kernel(inline=True)
def _column_moments(x, first, end, mean, squares, here, a, b):
    """Mean and sum of squares around it of columns; `here`, `a` and `b` are room to compute in."""
    run, width = RUN // COLUMNS, end - first
    mean[:], squares[:] = 0.0, 0.0
    for n in range(0, x.shape[0], run):
        last = min(n + run, x.shape[0])
        here[:], a[:], b[:] = 0.0, 0.0, 0.0
        for i in range(n, last):
            row = x[i, first:end]
            for j in range(width):
                here[j] += row[j]
        for j in range(width):
            here[j] /= T(last - n)
        for i in range(n, last):
            row = x[i, first:end]
            for j in range(width):
                d = row[j] - here[j]
                a[j] += d * d
                b[j] += d
        before, more = np.float64(n), np.float64(last - n)
        for j in range(width):
            of_run = here[j], np.float64(a[j]), np.float64(b[j])
            mean[j], squares[j] = _combined(before, mean[j], squares[j], more, *of_run)


@kernel
def columns_fwd(x, y, start, stop, weight, bias, mean, var, eps, given, relu):
    total, squares = np.empty(COLUMNS, np.float64), np.empty(COLUMNS, np.float64)
    here, a, b = np.empty(COLUMNS, T), np.empty(COLUMNS, T), np.empty(COLUMNS, T)
    for first in range(start * COLUMNS, min(stop * COLUMNS, x.shape[1]), COLUMNS):
        end = min(first + COLUMNS, x.shape[1])
        width = end - first
        if not given:
            _column_moments(x, first, end, total, squares, here, a, b)
            for j in range(width):
                mean[first + j], var[first + j] = total[j], squares[j] / x.shape[0]
        for j in range(width):
            here[j] = mean[first + j]
            a[j] = weight[first + j] / np.sqrt(var[first + j] + eps)
            b[j] = bias[first + j]
        for n in range(x.shape[0]):
            x_row, y_row = x[n, first:end], y[n, first:end]
            for j in range(width):
                y_row[j] = (x_row[j] - here[j]) * a[j] + b[j]
            if relu:
                for j in range(width):
                    y_row[j] = y_row[j] if not y_row[j] <= 0.0 else 0.0


@kernel
def columns_bwd(gy, x, gx, start, stop, weight, bias, mean, var, eps, given, relu, gweight, gbias):
    samples = x.shape[0]
    total, products = np.empty(COLUMNS, np.float64), np.empty(COLUMNS, np.float64)
    scale, constant, slope = np.empty(COLUMNS, T), np.empty(COLUMNS, T), np.empty(COLUMNS, T)
    for first in range(start * COLUMNS, min(stop * COLUMNS, x.shape[1]), COLUMNS):
        end = min(first + COLUMNS, x.shape[1])
        width = end - first
        m, b = mean[first:end], bias[first:end]
        for j in range(width):
            scale[j] = weight[first + j] / np.sqrt(var[first + j] + eps)
        total[:], products[:] = 0.0, 0.0
        for n in range(samples):
            gy_row, x_row, g = gy[n, first:end], x[n, first:end], gx[n, first:end]
            for j in range(width):
                g[j] = gy_row[j]
            if relu:
                for j in range(width):
                    g[j] = g[j] if (x_row[j] - m[j]) * scale[j] + b[j] > 0.0 else 0.0
            for j in range(width):
                total[j] += g[j]
                products[j] += g[j] * (x_row[j] - m[j])
        for j in range(width):
            rstd = 1.0 / np.sqrt(var[first + j] + eps)
            gweight[first + j], gbias[first + j] = products[j] * rstd, total[j]
            constant[j] = 0.0 if given else total[j] / samples
            slope[j] = 0.0 if given else products[j] * rstd * rstd / samples
        for n in range(samples):
            x_row, g = x[n, first:end], gx[n, first:end]
            for j in range(width):
                g[j] = scale[j] * (g[j] - constant[j] - (x_row[j] - m[j]) * slope[j])


# --- rows: x (1, rows, columns), with a weight for every `spread` elements


@kernel
def row_norm_fwd(x, y, start, stop, weight, bias, mean, var, spread, eps, centred):
    for i in range(start, stop):
        m, v = _moments(x, i, centred)
        mean[i], var[i] = m, v
        centre, rstd = T(m), T(1.0 / np.sqrt(v + eps))
        row, out = x[0, i], y[0, i]
        count = row.size // spread
        c = i * count % weight.size
        if spread == 1:
            w, b = weight[c : c + count], bias[c : c + count]
            for j in range(count):
                out[j] = (row[j] - centre) * rstd * w[j] + b[j]
        else:
            for k in range(count):
                at = slice(k * spread, (k + 1) * spread)
                _scaled(row[at], out[at], centre, rstd * weight[c + k], bias[c + k], False)


@kernel
def row_norm_bwd(gy, x, gx, start, stop, weight, mean, var, spread, eps, centred, gweight, gbias):
    """Adds the gradients of weight and bias up in rows of their own, if they have any elements."""
    gweight[:], gbias[:] = 0.0, 0.0
    columns = x.shape[2]
    count = columns // spread
    for i in range(start, stop):
        g_row, row, out, m = gy[0, i], x[0, i], gx[0, i], mean[i]
        rstd = T(1.0 / np.sqrt(np.float64(var[i]) + eps))
        c = i * count % weight.size
        total, products = np.float64(0), np.float64(0)
        if spread == 1:
            w = weight[c : c + count]
            for j in range(columns):
                out[j] = g_row[j] * w[j]
            a, b = _products(out, row, m)
            total += a
            products += b
            if gweight.size:
                gw, gb = gweight[c : c + count], gbias[c : c + count]
                for j in range(columns):
                    gw[j] += g_row[j] * ((row[j] - m) * rstd)
                    gb[j] += g_row[j]
        else:
            for k in range(count):
                at = slice(k * spread, (k + 1) * spread)
                a, b = _products(g_row[at], row[at], m)
                total += weight[c + k] * a
                products += weight[c + k] * b
                if gweight.size:
                    gweight[c + k] += b * rstd
                    gbias[c + k] += a
        constant = T(total / columns) if centred else T(0.0)
        slope = T(products * rstd * rstd / columns)
        if spread == 1:
            _unscale(out, row, m, rstd, constant, slope)
        else:
            for k in range(count):
                at = slice(k * spread, (k + 1) * spread)
                _unscaled(g_row[at], row[at], out[at], m, weight[c + k], rstd, constant, slope)
