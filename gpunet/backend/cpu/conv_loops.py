"""The loops of convolutions around their register tiles; see conv_plan.py for what is where."""

from __future__ import annotations

import numpy as np

from gpunet.backend.cpu.conv_tile import (
    DOTS,
    HEIGHTS,
    WIDTHS,
    copy_rows,
    correlate_tiles,
    dot_rows,
    interleave_rows,
    place_of,
)
from gpunet.backend.cpu.jit import ByDtype, T, kernel
from gpunet.backend.cpu.tile import at, lanes

ITEM = ByDtype(float32=4, float64=8)
LANES = ByDtype(float32=lanes(4), float64=lanes(8))


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
def first_of(menu, most):
    """The first number of the menu that is not too large."""
    for number in menu:
        if number <= most:
            return number
    return 1


def even_tuples(menu):
    """The menu as nested tuples of one type, which Numba can walk through."""
    longest = max(map(len, menu.values()))
    return tuple((key, (*values, *[1] * (longest - len(values)))) for key, values in menu.items())


_WIDTHS = even_tuples(WIDTHS)


@kernel
def pack(w, taps, packed):
    """Weights w[row, channel, taps] as tiles read them, block of rows by block, tap by tap."""
    i, end = 0, 0
    while i < w.shape[0]:
        height = first_of(HEIGHTS, w.shape[0] - i)
        block = w[i : i + height]
        for c in range(w.shape[1]):
            for tap in taps:
                weights = packed[end : end + height]
                for r in range(height):
                    weights[r] = block[r, np.uint64(c), np.uint64(tap)]
                end += height
        i += height


@kernel(inline=True)
def _inside(start, step, extent, length):
    """Which elements of a phase, of so many along an axis, lie in the input."""
    first = min(max(0, -(start // step)), length)
    return first, min(max((extent - 1 - start) // step + 1, first), length)


@kernel
def fill(x, n, channel, channels, starts, steps, shift, phase, buffer, i):
    """Copies channels of a sample into their phases, from buffer[i] on; borders stay as they are.

    `shift` is where the band begins, in elements of a phase.
    """
    volume = phase[0] * phase[1] * phase[2]
    phases = starts.shape[0]
    for p in range(phases):
        z0, y0, x0 = (
            starts[p, 0] + shift[0] * steps[0],
            starts[p, 1] + shift[1] * steps[1],
            starts[p, 2] + shift[2] * steps[2],
        )
        z1, z2 = _inside(z0, steps[0], x.shape[2], phase[0])
        y1, y2 = _inside(y0, steps[1], x.shape[3], phase[1])
        x1, x2 = _inside(x0, steps[2], x.shape[4], phase[2])
        if y1 == y2 or x1 == x2:
            continue
        for c in range(channels):
            for z in range(z1, z2):
                plane = x[n, channel + c, z0 + z * steps[0]]
                to = i + (c * phases + p) * volume + (z * phase[1] + y1) * phase[2] + x1
                iy, ix = y0 + y1 * steps[1], x0 + x1 * steps[2]
                if steps[2] <= 2:
                    copy_rows(
                        buffer,
                        place_of(plane, iy * x.shape[4] + ix),
                        steps[1] * x.shape[4] * ITEM,
                        place_of(buffer, to),
                        phase[2] * ITEM,
                        y2 - y1,
                        x2 - x1,
                        steps[2],
                    )
                else:
                    for row in range(y2 - y1):
                        for j in range(x2 - x1):
                            element = plane[iy + row * steps[1], ix + j * steps[2]]
                            buffer[to + row * phase[2] + j] = element


@kernel(inline=True)
def _tiles(buffer, weights, bias, places, vectors, offsets, depth, out, out_stride, height):
    """A block of `height` rows of results for the first `vectors` of the places."""
    v = 0
    while v < vectors:
        width = _width(height, vectors - v)
        tiles = (vectors - v) // width
        correlate_tiles(
            buffer,
            weights,
            bias,
            place_of(buffer, 0),
            place_of(places, v),
            tiles,
            offsets,
            depth,
            at(out, v * LANES * ITEM),
            out_stride,
            height,
            width,
        )
        v += tiles * width


@kernel
def _put(scratch, height, pitch, box, shift, count, more, first, apart, y, n, m):
    """Copies the results of a block of rows to their places in y, rows of two targets in turn.

    `more` is how wide the second target is; 0 if there is none.
    """
    slices, rows = min(box[0], count[0] - shift[0]), min(box[1], count[1] - shift[1])
    width, more = min(box[2], count[2] - shift[2]), min(box[2], more - shift[2])
    column = first[2] + shift[2] * apart[2]
    for r in range(height):
        for z in range(slices):
            plane = y[n, m + r, first[0] + (shift[0] + z) * apart[0]]
            row = first[1] + shift[1] * apart[1]
            i = z * pitch[0] * pitch[1]
            to, to_stride = place_of(plane, row * y.shape[4] + column), apart[1] * y.shape[4] * ITEM
            from_, from_stride = place_of(scratch[0, r], i), pitch[1] * ITEM
            if apart[2] == 1:
                copy_rows(scratch, from_, from_stride, to, to_stride, rows, width, 1)
            elif more > 0:
                second = place_of(scratch[1, r], i)
                interleave_rows(
                    scratch, from_, second, from_stride, to, to_stride, rows, width, more
                )
            else:
                for k in range(rows):
                    for j in range(width):
                        element = scratch[0, r, i + k * pitch[1] + j]
                        plane[row + k * apart[1], column + j * apart[2]] = element


@kernel
def correlate(
    x, y, packed, bias, groups, starts, steps, phase, box, axis, bands, offsets, ends, first,
    counts, apart, places, pitch, size, direct, first_row, rows, begin, stop,
):  # fmt: skip
    """y[n, m] = bias[m] + the plan's targets, for the bands from `begin` to `stop` of all samples.

    Args:
        packed: weights by group, target and block of rows; see `pack`.
        direct: whether vectors of results lie in y as they come.
        first_row, rows: which of each group's rows of y are made, and packed.
    """
    channels = x.shape[1] // groups
    plane = y.shape[2] * y.shape[3] * y.shape[4]
    buffer = np.zeros(size, T)
    length = places.size * LANES
    scratch = np.zeros((2, HEIGHTS[0], length), T)
    across = 2 if apart[2] == 2 and y.shape[4] > 1 else 1  # targets whose rows go in turn
    for unit in range(begin, stop):
        n, band = unit // bands, unit % bands
        start = band * box[axis]
        shift = (start if axis == 0 else 0, start if axis == 1 else 0, start if axis == 2 else 0)
        if bands > 1:
            buffer[:] = 0.0
        per_slice = box[0] * box[1] * box[2] // box[axis]
        end = 0
        for group in range(groups):
            fill(x, n, group * channels, channels, starts, steps, shift, phase, buffer, 0)
            for t in range(0, first.shape[0], across):
                i = 0
                while i < rows:
                    height = first_of(HEIGHTS, rows - i)
                    m = group * (y.shape[1] // groups) + first_row + i
                    weights = end
                    for j in range(across):
                        depth = ends[t + j + 1] - ends[t + j]
                        out, out_stride = place_of(scratch[j], 0), length * ITEM
                        vectors = places.size
                        if direct:
                            out = place_of(y, (n * y.shape[1] + m) * plane + start * per_slice)
                            out_stride = plane * ITEM
                            slices = min(box[axis], counts[t, axis] - start)
                            vectors = slices * per_slice // LANES
                        _tiles(
                            buffer,
                            place_of(packed, weights + i * depth),
                            place_of(bias, m),
                            places,
                            vectors,
                            place_of(offsets, ends[t + j]),
                            depth,
                            out,
                            out_stride,
                            height,
                        )
                        weights += rows * depth
                    if not direct:
                        more = counts[t + 1, 2] if across == 2 else 0
                        _put(
                            scratch, height, pitch, box, shift, counts[t], more, first[t], apart, y,
                            n, m,
                        )  # fmt: skip
                    i += height
                end += rows * (ends[t + across] - ends[t])
    return buffer[0] + scratch[0, 0, 0]  # both live as long as somebody has their addresses


@kernel
def row_gradient(
    x, gy, groups, starts, steps, phase, box, axis, bands, offsets, size, begin, stop, first_group,
    last_group, gw,
):  # fmt: skip
    """The gradient of few filters a group: gw[m, k] = Σ over rows of gy's row · x's row."""
    filters, channels = gy.shape[1] // groups, x.shape[1] // groups
    taps = offsets.size
    buffer = np.zeros(size, T)
    gw[first_group * filters : last_group * filters] = 0.0
    for group in range(first_group, last_group):
        for n in range(begin, stop):
            for band in range(bands):
                start = band * box[axis]
                shift = (
                    start if axis == 0 else 0, start if axis == 1 else 0, start if axis == 2 else 0
                )  # fmt: skip
                if bands > 1:
                    buffer[:] = 0.0
                fill(x, n, group * channels, channels, starts, steps, shift, phase, buffer, 0)
                rows = min(box[1], gy.shape[3] - shift[1])
                for m in range(group * filters, (group + 1) * filters):
                    for z in range(min(box[0], gy.shape[2] - shift[0])):
                        plane = gy[n, m, shift[0] + z]
                        k = 0
                        while k < taps:
                            step = first_of(DOTS, taps - k)
                            dot_rows(
                                buffer,
                                place_of(buffer, z * phase[1] * phase[2]),
                                place_of(offsets, k),
                                phase[2] * ITEM,
                                place_of(plane, shift[1] * gy.shape[4] + shift[2]),
                                gy.shape[4] * ITEM,
                                rows,
                                min(box[2], gy.shape[4] - shift[2]),
                                place_of(gw, m * taps + k),
                                step,
                            )
                            k += step
    return buffer[0]  # lives as long as somebody has its address


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
