"""The loops of convolutions around their register tiles; see conv_plan.py for what is where."""

from __future__ import annotations

import numpy as np

from gpunet.backend.cpu.conv_tile import (
    HEIGHTS,
    PANEL_VECTORS,
    TAPS,
    WIDTHS,
    correlate_tile,
    gather_tile,
    place_of,
)
from gpunet.backend.cpu.jit import FAST_SUM, ByDtype, T, kernel
from gpunet.backend.cpu.tile import CACHE_LINE, at, lanes, transpose, workspace

ITEM = ByDtype(float32=4, float64=8)
LANES = ByDtype(float32=lanes(4), float64=lanes(8))
PANEL = ByDtype(float32=PANEL_VECTORS * lanes(4), float64=PANEL_VECTORS * lanes(8))
transpose_panels = transpose[PANEL_VECTORS]


@kernel(inline=True)
def _width(height, vectors):
    """Vectors of the next tile of `height`, where so many are left."""
    for h, widths in _WIDTHS:
        if h == height:
            for width in widths:
                if width <= vectors:
                    return width
    return 1


@kernel(inline=True)
def _taps(width, taps):
    """Taps of the next tile of `width`, where so many are left."""
    for w, several in _TAPS:
        if w == width:
            for count in several:
                if count <= taps:
                    return count
    return 1


@kernel(inline=True)
def _height(rows):
    for height in HEIGHTS:
        if height <= rows:
            return height
    return 1


def _even_tuples(menu):
    """The menu as nested tuples of one type, which Numba can walk through."""
    longest = max(map(len, menu.values()))
    return tuple((key, (*values, *[1] * (longest - len(values)))) for key, values in menu.items())


_WIDTHS, _TAPS = _even_tuples(WIDTHS), _even_tuples(TAPS)


@kernel
def pack(w, taps, rows, packed):
    """Weights w[row, channel, taps] as tiles read them, block of rows by block, tap by tap."""
    i, end = 0, 0
    while i < rows:
        height = _height(rows - i)
        for c in range(w.shape[1]):
            for tap in taps:
                for r in range(height):
                    packed[end] = w[i + r, c, tap]
                    end += 1
        i += height


@kernel
def _fill(x, n, channel, channels, starts, steps, shift, phase, buffer, i):
    """Copies channels of a sample into their padded phases, from buffer[i] on.

    `shift` is where the band begins, in elements of a phase.
    """
    depth, height, width = phase
    s = steps[2]
    for c in range(channel, channel + channels):
        for p in range(starts.shape[0]):
            x0 = starts[p, 2] + shift[2] * s
            left = min(max(0, -(x0 // s)), width)  # elements in front of the picture
            right = min(max((x.shape[4] - 1 - x0) // s + 1, left), width)
            for z in range(depth):
                iz = starts[p, 0] + (shift[0] + z) * steps[0]
                for y in range(height):
                    iy = starts[p, 1] + (shift[1] + y) * steps[1]
                    if iz < 0 or iz >= x.shape[2] or iy < 0 or iy >= x.shape[3]:
                        for j in range(i, i + width):
                            buffer[j] = 0.0
                    else:
                        row = x[n, c, iz, iy]
                        for j in range(left):
                            buffer[i + j] = 0.0
                        if s == 1:
                            for j in range(left, right):
                                buffer[i + j] = row[x0 + j]
                        elif s == 2:
                            for j in range(left, right):
                                buffer[i + j] = row[x0 + 2 * j]
                        else:
                            for j in range(left, right):
                                buffer[i + j] = row[x0 + j * s]
                        for j in range(right, width):
                            buffer[i + j] = 0.0
                    i += width


@kernel
def _put(scratch, height, pitch, bias, box, shift, count, first, apart, y, n, m):
    """Copies the rows of a tile's results to their places in y, and adds the bias."""
    rows_z, rows_y = min(box[0], count[0] - shift[0]), min(box[1], count[1] - shift[1])
    width = min(box[2], count[2] - shift[2])
    s = apart[2]
    for r in range(height):
        b = bias[m + r] if bias.size else T(0)
        for z in range(rows_z):
            for row in range(rows_y):
                to = y[
                    n,
                    m + r,
                    first[0] + (shift[0] + z) * apart[0],
                    first[1] + (shift[1] + row) * apart[1],
                ]
                at_x = first[2] + shift[2] * s
                i = (z * pitch[0] + row) * pitch[1]
                if s == 1:
                    for j in range(width):
                        to[at_x + j] = scratch[r, i + j] + b
                else:
                    for j in range(width):
                        to[at_x + j * s] = scratch[r, i + j] + b


@kernel
def correlate(
    x, y, packed, bias, groups, starts, steps, phase, box, axis, bands, offsets, ends, first,
    counts, apart, places, pitch, size, begin, stop,
):  # fmt: skip
    """y[n, m] = bias[m] + the plan's targets, for the bands from `begin` to `stop` of all samples.

    Args:
        packed: weights by group, target and block of rows; see `pack`.
    """
    rows, channels = y.shape[1] // groups, x.shape[1] // groups
    buffer = np.zeros(size, T)
    length = places.size * LANES
    scratch = np.zeros((HEIGHTS[0], length), T)
    for unit in range(begin, stop):
        n, band = unit // bands, unit % bands
        start = band * box[axis]
        shift = (start if axis == 0 else 0, start if axis == 1 else 0, start if axis == 2 else 0)
        weights = 0
        for group in range(groups):
            _fill(x, n, group * channels, channels, starts, steps, shift, phase, buffer, 0)
            for t in range(first.shape[0]):
                depth = ends[t + 1] - ends[t]
                i = 0
                while i < rows:
                    height = _height(rows - i)
                    v = 0
                    while v < places.size:
                        width = _width(height, places.size - v)
                        correlate_tile(
                            buffer,
                            place_of(packed, weights + i * depth),
                            place_of(buffer, 0),
                            place_of(places, v),
                            place_of(offsets, ends[t]),
                            depth,
                            place_of(scratch, v * LANES),
                            length * ITEM,
                            height,
                            width,
                        )
                        v += width
                    m = group * rows + i
                    _put(
                        scratch,
                        height,
                        pitch,
                        bias,
                        box,
                        shift,
                        counts[t],
                        first[t],
                        apart,
                        y,
                        n,
                        m,
                    )
                    i += height
                weights += rows * depth
    return buffer[0] + scratch[0, 0]  # both live as long as somebody has their addresses


@kernel
def weight_gradient(
    x, gy, groups, starts, steps, phase, box, axis, bands, offsets, positions, size, slack, several,
    begin, stop, first_slab, last_slab, gw,
):  # fmt: skip
    """gw[slab, k, m] = Σ over samples `begin` to `stop` and pixels of gy[n, m]·(x under tap k).

    Args:
        several: samples that are worked off together.
        first_slab, last_slab: which slabs of filters are done; each group has its own.
    """
    filters, channels = gy.shape[1] // groups, x.shape[1] // groups
    slabs = -(-filters // PANEL)
    taps, pixels = offsets.size, gy.shape[2] * gy.shape[3] * gy.shape[4]
    g = gy.reshape(-1, pixels)
    per_slice = positions.size // (box[axis] * several)
    slab_bytes = (positions.size + LANES) * PANEL * ITEM + CACHE_LINE
    buffer = np.zeros(several * size + slack, T)
    memory = np.empty(slabs * slab_bytes + CACHE_LINE, np.uint8)
    gw[first_slab:last_slab] = 0.0
    slab = first_slab
    while slab < last_slab:
        group = slab // slabs
        until = min((group + 1) * slabs, last_slab)
        for n in range(begin, stop, several):
            for band in range(bands):
                start = band * box[axis]
                shift = (
                    start if axis == 0 else 0, start if axis == 1 else 0, start if axis == 2 else 0
                )  # fmt: skip
                count = min(box[axis] * per_slice, pixels - start * per_slice)
                together = min(several, stop - n)
                panels = workspace(memory)
                top = (slab - group * slabs) * PANEL
                height = min(filters, (until - group * slabs) * PANEL) - top
                for i in range(together):
                    _fill(
                        x, n + i, group * channels, channels, starts, steps, shift, phase, buffer,
                        i * size,
                    )  # fmt: skip
                    transpose_panels(
                        g, (n + i) * gy.shape[1] + group * filters + top, start * per_slice, count,
                        height, at(panels, i * count * PANEL * ITEM), slab_bytes,
                    )  # fmt: skip
                for s in range(slab, until):
                    rest = filters - (s - group * slabs) * PANEL
                    width = min(PANEL_VECTORS, -(-rest // LANES))
                    k = 0
                    while k < taps:
                        step = _taps(width, taps - k)
                        gather_tile(
                            buffer,
                            place_of(buffer, 0),
                            place_of(offsets, k),
                            place_of(positions, 0),
                            at(panels, (s - slab) * slab_bytes),
                            together * count,
                            place_of(gw, (s * taps + k) * PANEL),
                            PANEL * ITEM,
                            step,
                            width,
                        )
                        k += step
        slab = until
    return buffer[0] + memory[0]  # both live as long as somebody has their addresses


@kernel(fastmath=FAST_SUM)
def row_gradient(
    x, gy, groups, starts, steps, phase, box, axis, bands, offsets, size, begin, stop, first_group,
    last_group, gw,
):  # fmt: skip
    """The gradient of few filters a group: gw[m, k] = Σ over rows of gy's row · x's row."""
    filters, channels = gy.shape[1] // groups, x.shape[1] // groups
    buffer = np.zeros(size, T)
    gw[first_group * filters : last_group * filters] = 0.0
    for group in range(first_group, last_group):
        for n in range(begin, stop):
            for band in range(bands):
                start = band * box[axis]
                shift = (
                    start if axis == 0 else 0, start if axis == 1 else 0, start if axis == 2 else 0
                )  # fmt: skip
                _fill(x, n, group * channels, channels, starts, steps, shift, phase, buffer, 0)
                rows_z = min(box[0], gy.shape[2] - shift[0])
                rows_y = min(box[1], gy.shape[3] - shift[1])
                width = min(box[2], gy.shape[4] - shift[2])
                for m in range(group * filters, (group + 1) * filters):
                    for k in range(offsets.size):
                        total = T(0)
                        for z in range(rows_z):
                            for y in range(rows_y):
                                row = gy[n, m, shift[0] + z, shift[1] + y]
                                i = offsets[k] // ITEM + (z * phase[1] + y) * phase[2]
                                for j in range(width):
                                    total += row[shift[2] + j] * buffer[i + j]
                        gw[m, k] += total


@kernel
def unpack(partial, filters, gw):
    """gw[m, k] = the sum of partial[part, slab, k, m] over the parts, first to last."""
    slabs = -(-filters // PANEL)
    for m in range(gw.shape[0]):
        group, row = m // filters, m % filters
        slab, lane = group * slabs + row // PANEL, row % PANEL
        for k in range(gw.shape[1]):
            total = partial[0, slab, k, lane]
            for part in range(1, partial.shape[0]):
                total += partial[part, slab, k, lane]
            gw[m, k] = total


@kernel
def to_columns(x, kernel, stride, padding, dilation, out, columns):
    """columns[n, (c, tap), pixel] = what tap meets in x's channel c, 0 beside the picture."""
    for n in range(x.shape[0]):
        row = 0
        for c in range(x.shape[1]):
            for kz in range(kernel[0]):
                for ky in range(kernel[1]):
                    for kx in range(kernel[2]):
                        i = 0
                        for oz in range(out[0]):
                            z = oz * stride[0] + kz * dilation[0] - padding[0]
                            for oy in range(out[1]):
                                y = oy * stride[1] + ky * dilation[1] - padding[1]
                                inside = 0 <= z < x.shape[2] and 0 <= y < x.shape[3]
                                for ox in range(out[2]):
                                    at_x = ox * stride[2] + kx * dilation[2] - padding[2]
                                    if inside and 0 <= at_x < x.shape[4]:
                                        columns[n, row, i] = x[n, c, z, y, at_x]
                                    else:
                                        columns[n, row, i] = 0.0
                                    i += 1
                        row += 1


@kernel
def from_columns(columns, kernel, stride, padding, dilation, out, x):
    """x = the sums of columns' elements where `to_columns` takes them from."""
    x[:] = 0.0
    for n in range(x.shape[0]):
        row = 0
        for c in range(x.shape[1]):
            for kz in range(kernel[0]):
                for ky in range(kernel[1]):
                    for kx in range(kernel[2]):
                        i = 0
                        for oz in range(out[0]):
                            z = oz * stride[0] + kz * dilation[0] - padding[0]
                            for oy in range(out[1]):
                                y = oy * stride[1] + ky * dilation[1] - padding[1]
                                inside = 0 <= z < x.shape[2] and 0 <= y < x.shape[3]
                                for ox in range(out[2]):
                                    at_x = ox * stride[2] + kx * dilation[2] - padding[2]
                                    if inside and 0 <= at_x < x.shape[4]:
                                        x[n, c, z, y, at_x] += columns[n, row, i]
                                    i += 1
                        row += 1
