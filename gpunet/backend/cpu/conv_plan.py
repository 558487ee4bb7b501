"""Where a convolution finds its elements: geometry alone, worked out once for each shape.

A sample is copied into a buffer where it is padded and, for strides above 1, taken apart into
phases: the phase (0, 1) of a picture with stride 2 holds its even rows and odd columns. Seen from
an output pixel, each tap of a filter then meets a phase at a fixed distance, whatever the stride,
padding and dilation:

    input row y·s + k·d − p  =  (y + q)·s + r − p   with   q = k·d div s,  r = k·d mod s
    → element y + q of phase r

The gradient of the input is made of such sums, too, now over the gradient of the output: one for
each phase of the input, of the taps that reach it. So is a transposed convolution. These sums are
the targets of a plan.

Large samples are worked off in bands of the first axis that is longer than 1.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from math import prod
from typing import Any

import numpy as np

from gpunet.backend.base import Array
from gpunet.backend.cpu.tile import lanes

Three = tuple[int, int, int]
Padding = tuple[tuple[int, int], tuple[int, int], tuple[int, int]]
Tap = tuple[Three, Three]  # input index of element 0 of the phase it meets, and q

MOVING, TURNING = 2, 10  # taps that take as long as it does to move, or turn, a vector of results
BUFFER_BYTES = 256 * 1024  # of a band: half of an L2 cache


@dataclass(frozen=True)
class Plan:
    """Targets y[at + apart·pixel] = Σₖ w[k]·buffer[pixel + offset[k]], band by band.

    Attributes:
        starts: of each phase and axis, the input index of its element 0 (may be negative).
        steps: distance of its neighbouring elements in the input, for each axis.
        phase: shape of a phase in the buffer.
        box: output pixels of a band along each axis. axis: the one that is cut into `bands`.
        offsets: of all targets' taps in the buffer, in bytes, for each channel.
        ends: where each target's offsets end among them, with a 0 in front.
        taps: for each target, which of the filter's taps, counted through, it uses.
        first: output index of each target's pixel 0. counts: its pixels along each axis.
        apart: distance of neighbouring pixels in the output.
        places: of the vectors of output pixels in the buffer, in bytes.
        pitch: rows of a slice, and elements of a row, in the results of these vectors.
        size: elements of a sample in the buffer. slack: what a last vector reads beyond.
    """

    starts: Array
    steps: Three
    phase: Three
    box: Three
    axis: int
    bands: int
    offsets: Array
    ends: Array
    taps: tuple[Array, ...]
    first: Array
    counts: Array
    apart: Three
    places: Array
    pitch: tuple[int, int]
    size: int
    slack: int
    itemsize: int

    @property
    def direct(self) -> bool:
        """Whether vectors of results lie in the output as they come, none sticking out of a row."""
        width = lanes(self.itemsize)
        whole = self.pitch == self.box[1:] and self.counts[0, 2] % width == 0
        return whole and self.box[2] % width == 0 and self.apart == (1, 1, 1)

    def abreast(self, rows: int) -> bool:
        """Whether vectors had better hold rows of the result side by side than pixels.

        That is so where rows of pixels leave many lanes empty. Results must then be turned, which
        takes as long as some taps.
        """
        if self.apart != (1, 1, 1):
            return False
        width, depth = lanes(self.itemsize), self.offsets.size
        pixels = prod(self.box)
        by_pixels = self.places.size * width * rows * (depth + (0 if self.direct else MOVING))
        return pixels * -(-rows // width) * width * (depth + TURNING) < by_pixels

    @functools.cached_property
    def positions(self) -> Array:
        """Of a band's output pixels in the buffer, in bytes."""
        z, y, x = (np.arange(n) for n in self.box)
        rows = z[:, None] * self.phase[1] + y
        return (rows[..., None] * self.phase[2] + x).ravel() * self.itemsize


def _plan(
    channels: int,
    targets: list[tuple[Three, Three, Sequence[int], list[Tap]]],
    steps: Three,
    apart: Three,
    itemsize: int,
    most: int,
) -> Plan:
    """The plan for targets (first, count, taps by number, taps).

    Args:
        most: output pixels in a band, as far as one slice has no more.
    """
    all_taps = [tap for *_, taps in targets for tap in taps]
    counts: Any = tuple(max(count[axis] for _, count, *_ in targets) for axis in range(3))
    reach = [max((q[axis] for _, q in all_taps), default=0) for axis in range(3)]
    starts = sorted({start for start, _ in all_taps}) or [(0, 0, 0)]
    axis, box = _band(counts, reach, channels * len(starts) * itemsize, most)
    phase: Any = tuple(n + far for n, far in zip(box, reach, strict=True))
    volume = prod(phase)
    offsets = [
        (c * len(starts) + starts.index(start)) * volume + _flat(q, phase)
        for *_, taps in targets
        for c in range(channels)
        for start, q in taps
    ]
    places, pitch = _vectors(box, phase, lanes(itemsize))
    size = channels * len(starts) * volume
    beyond = max(offsets, default=0) + int(places.max()) + 2 * lanes(itemsize)
    return Plan(
        np.array(starts, np.int64),
        steps,
        phase,
        box,
        axis,
        -(-counts[axis] // box[axis]),
        np.array(offsets, np.int64) * itemsize,
        np.cumsum([0, *(channels * len(taps) for *_, taps in targets)]),
        tuple(np.array(numbers, np.int64) for _, _, numbers, _ in targets),
        np.array([first for first, *_ in targets], np.int64),
        np.array([count for _, count, *_ in targets], np.int64),
        apart,
        places * itemsize,
        pitch,
        size,
        max(0, beyond - size),
        itemsize,
    )


def _flat(index: Sequence[int], shape: Sequence[int]) -> int:
    return (index[0] * shape[1] + index[1]) * shape[2] + index[2]


def _band(counts: Three, reach: list[int], nbytes: int, most: int) -> tuple[int, Three]:
    """The axis that is cut, and the pixels of a band: alike, and few enough."""
    axis = next((axis for axis in range(3) if counts[axis] > 1), 2)
    others = [i for i in range(3) if i != axis]
    slice_bytes = nbytes * prod(counts[i] + reach[i] for i in others)
    fitting = min(
        BUFFER_BYTES // slice_bytes - reach[axis], most // prod(counts[i] for i in others)
    )
    bands = -(-counts[axis] // max(1, fitting))
    box: Any = tuple(-(-n // bands) if i == axis else n for i, n in enumerate(counts))
    return axis, box


def _vectors(box: Three, phase: Three, width: int) -> tuple[Array, tuple[int, int]]:
    """Places of vectors that cover a band's pixels, and the pitch of their results.

    Either every row begins with a vector, or vectors run through the ends of rows and the few
    pixels between rows are computed for nothing: what takes fewer.
    """
    by_row = -(-box[2] // width)
    through = -(-(_flat((box[0] - 1, box[1] - 1, box[2] - 1), phase) + 1) // width)
    if through < box[0] * box[1] * by_row:
        return np.arange(through) * width, phase[1:]
    z, y, x = np.arange(box[0]), np.arange(box[1]), np.arange(by_row) * width
    rows = (z[:, None] * phase[1] + y).ravel() * phase[2]
    return (rows[:, None] + x).ravel(), (box[1], by_row * width)


@functools.lru_cache(1024)
def forward(
    channels: int,
    shape: Three,
    kernel: Three,
    stride: Three,
    padding: Padding,
    dilation: Three,
    itemsize: int,
    most: int,
) -> Plan:
    """What a convolution is, for the channels of one group."""
    out: Any = tuple(
        (n + sum(pad) - d * (k - 1) - 1) // s + 1
        for n, k, s, pad, d in zip(shape, kernel, stride, padding, dilation, strict=True)
    )
    taps = []
    for tap in product(*map(range, kernel)):
        axes = list(zip(tap, stride, padding, dilation, strict=True))
        start: Any = tuple(k * d % s - pad[0] for k, s, pad, d in axes)
        q: Any = tuple(k * d // s for k, s, _, d in axes)
        taps.append((start, q))
    target = ((0, 0, 0), out, range(len(taps)), taps)
    return _plan(channels, [target], stride, (1, 1, 1), itemsize, most)


@functools.lru_cache(1024)
def backward(
    filters: int,
    shape: Three,
    kernel: Three,
    stride: Three,
    padding: Padding,
    dilation: Three,
    itemsize: int,
    most: int,
) -> Plan:
    """What the gradient of the input, of `shape`, is: a target for each of its phases."""
    targets = []
    for first in product(*(range(min(s, n)) for s, n in zip(stride, shape, strict=True))):
        count: Any = tuple(-(-(n - f) // s) for n, f, s in zip(shape, first, stride, strict=True))
        # Input i = s·j + first is met by tap k at output (i + pad − k·d) / s, if that is whole.
        numbers, distances = [], []
        for number, tap in enumerate(product(*map(range, kernel))):
            ahead = [
                f + pad[0] - k * d
                for f, pad, k, d in zip(first, padding, tap, dilation, strict=True)
            ]
            if all(a % s == 0 for a, s in zip(ahead, stride, strict=True)):
                numbers.append(number)
                distances.append([a // s for a, s in zip(ahead, stride, strict=True)])
        targets.append((first, count, numbers, distances))
    every = [distance for *_, distances in targets for distance in distances]
    lowest: Any = tuple(np.min(every, axis=0).tolist()) if every else (0, 0, 0)
    with_taps: Any = [
        (
            first,
            count,
            numbers,
            [
                (lowest, tuple(a - b for a, b in zip(distance, lowest, strict=True)))
                for distance in distances
            ],
        )
        for first, count, numbers, distances in targets
    ]
    return _plan(filters, with_taps, (1, 1, 1), stride, itemsize, most)
