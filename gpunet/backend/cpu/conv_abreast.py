"""The loops of convolutions whose vectors hold filters side by side; see conv_plan.py.

Their weights, or gradients, lie in panels of up to `PANEL` filters: for each tap, or pixel, as many
vectors as the panel's filters fill.
"""

from __future__ import annotations

import numpy as np

from gpunet.backend.cpu.conv_loops import ITEM, LANES, even_tuples, fill
from gpunet.backend.cpu.conv_tile import PANEL_VECTORS, TAPS, gather_tiles, place_of, turn_columns
from gpunet.backend.cpu.jit import ByDtype, T, kernel
from gpunet.backend.cpu.tile import CACHE_LINE, at, lanes, transpose, workspace

PANEL = ByDtype(float32=PANEL_VECTORS * lanes(4), float64=PANEL_VECTORS * lanes(8))
_TAPS = even_tuples(TAPS)
transpose_1, transpose_2, transpose_3 = (transpose[vectors] for vectors in (1, 2, 3))


@kernel(inline=True)
def _rows(width, rows):
    """Rows of the next tile of `width`, where so many are left."""
    for w, several in _TAPS:
        if w == width:
            for count in several:
                if count <= rows:
                    return count
    return 1


@kernel(inline=True)
def _lay_out(g, i, j, count, filters, sample, panel):
    """Copies g[i.., j..], of so many filters and pixels, to where a sample stands in a panel."""
    width = -(-filters // LANES)
    to = at(panel, sample * count * width * LANES * ITEM)
    if width == 1:
        transpose_1(g, i, j, count, filters, to, 0)
    elif width == 2:
        transpose_2(g, i, j, count, filters, to, 0)
    else:
        transpose_3(g, i, j, count, filters, to, 0)


@kernel
def pack_panels(w, taps, packed):
    """Weights w[row, channel, taps] in panels, one behind the other; zeros fill the last vector."""
    end = 0
    for i in range(0, w.shape[0], PANEL):
        rows = min(PANEL, w.shape[0] - i)
        length = -(-rows // LANES) * LANES
        for c in range(w.shape[1]):
            for tap in taps:
                for r in range(rows):
                    packed[end + r] = w[i + r, c, tap]
                for r in range(rows, length):
                    packed[end + r] = 0.0
                end += length


@kernel
def correlate_abreast(
    x, y, packed, bias, groups, starts, steps, phase, box, axis, bands, offsets, positions, size,
    first_row, rows, begin, stop,
):  # fmt: skip
    """y[n, m] = bias[m] + the plan's only target, for the bands from `begin` to `stop`.

    Args:
        packed: weights by group; see `pack_panels`. bias: `PANEL` elements longer than y has rows.
        first_row, rows: which of each group's rows of y are made, and packed.
    """
    channels, depth = x.shape[1] // groups, offsets.size
    plane = y.shape[2] * y.shape[3] * y.shape[4]
    per_slice = positions.size // box[axis]
    buffer = np.zeros(size, T)
    scratch = np.zeros((positions.size + LANES) * PANEL, T)
    for unit in range(begin, stop):
        n, band = unit // bands, unit % bands
        start = band * box[axis]
        shift = (start if axis == 0 else 0, start if axis == 1 else 0, start if axis == 2 else 0)
        count = min(positions.size, plane - start * per_slice)
        if bands > 1:
            buffer[:] = 0.0
        panel = 0
        for group in range(groups):
            fill(x, n, group * channels, channels, starts, steps, shift, phase, buffer, 0)
            for i in range(0, rows, PANEL):
                m = group * (y.shape[1] // groups) + first_row + i
                width = min(PANEL_VECTORS, -(-(rows - i) // LANES))
                pixel = 0
                while pixel < count:
                    step = _rows(width, count - pixel)
                    tiles = (count - pixel) // step
                    gather_tiles(
                        buffer,
                        place_of(buffer, 0),
                        place_of(positions, pixel),
                        tiles,
                        place_of(offsets, 0),
                        place_of(packed, panel),
                        depth,
                        place_of(bias, m),
                        place_of(scratch, pixel * PANEL),
                        False,
                        step,
                        width,
                    )
                    pixel += tiles * step
                panel += depth * width * LANES
                for v in range(width):
                    turn_columns(
                        buffer,
                        place_of(scratch, v * LANES),
                        PANEL * ITEM,
                        place_of(y, (n * y.shape[1] + m + v * LANES) * plane + start * per_slice),
                        plane * ITEM,
                        rows - i - v * LANES,
                        count,
                    )
    return buffer[0] + scratch[0]  # both live as long as somebody has their addresses


@kernel
def weight_gradient(
    x, gy, groups, starts, steps, phase, box, axis, bands, offsets, positions, size, slack, several,
    begin, stop, first_slab, last_slab, gw,
):  # fmt: skip
    """gw[slab, k, m] = Σ over samples `begin` to `stop` and pixels of gy[n, m]·(x under tap k).

    Args:
        several: samples that are worked off together.
        first_slab, last_slab: which slabs of filters are done; each group has its own.
        gw: begins with the first of them.
    """
    filters, channels = gy.shape[1] // groups, x.shape[1] // groups
    slabs = -(-filters // PANEL)
    taps, pixels = offsets.size, gy.shape[2] * gy.shape[3] * gy.shape[4]
    g = gy.reshape(-1, pixels)
    per_slice = positions.size // (box[axis] * several)
    slab_bytes = (positions.size + LANES) * PANEL * ITEM + CACHE_LINE
    buffer = np.zeros(several * size + slack, T)
    memory = np.empty(slabs * slab_bytes + CACHE_LINE, np.uint8)
    zeros = np.zeros(PANEL, T)
    gw[:] = 0.0
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
                if bands > 1:
                    buffer[:] = 0.0
                for i in range(together):
                    fill(
                        x, n + i, group * channels, channels, starts, steps, shift, phase, buffer,
                        i * size,
                    )  # fmt: skip
                    for s in range(slab, until):
                        first = top + (s - slab) * PANEL
                        _lay_out(
                            g, (n + i) * gy.shape[1] + group * filters + first, start * per_slice,
                            count, min(PANEL, filters - first), i,
                            at(panels, (s - slab) * slab_bytes),
                        )  # fmt: skip
                for s in range(slab, until):
                    rest = filters - (s - group * slabs) * PANEL
                    width = min(PANEL_VECTORS, -(-rest // LANES))
                    k = 0
                    while k < taps:
                        step = _rows(width, taps - k)
                        tiles = (taps - k) // step
                        gather_tiles(
                            buffer,
                            place_of(buffer, 0),
                            place_of(offsets, k),
                            tiles,
                            place_of(positions, 0),
                            at(panels, (s - slab) * slab_bytes),
                            together * count,
                            place_of(zeros, 0),
                            place_of(gw, ((s - first_slab) * taps + k) * PANEL),
                            True,
                            step,
                            width,
                        )
                        k += tiles * step
        slab = until
    return buffer[0] + memory[0] + zeros[0]  # they live as long as somebody has their addresses


@kernel
def unpack(partial, filters, first_slab, gw):
    """gw[m, k] = the sum of partial[part, slab, k, m] over the parts, for the slabs that are there.

    Partial begins with `first_slab`, of which each group has its own.
    """
    slabs = -(-filters // PANEL)
    total = np.empty(PANEL, T)
    for s in range(partial.shape[1]):
        group, number = (first_slab + s) // slabs, (first_slab + s) % slabs
        m = group * filters + number * PANEL
        count = min(PANEL, filters - number * PANEL)
        for k in range(gw.shape[1]):
            for lane in range(PANEL):
                total[lane] = partial[0, s, k, lane]
            for part in range(1, partial.shape[0]):
                row = partial[part, s, k]
                for lane in range(PANEL):
                    total[lane] += row[lane]
            for lane in range(count):
                gw[m + lane, k] = total[lane]
