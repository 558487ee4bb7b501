"""Where the windows of a pooling lie along the last axes of an array; the same for every backend.

Tables are int32 and hold all axes one after another, those of three axes always: an axis that an
array does not have counts as one element under one window.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import numpy as np

Array = Any


class Windows(NamedTuple):
    """The windows along one axis: an output each, over `size` elements.

    With a `kernel`, window i has its elements at i·stride − padding + j·dilation, j < kernel, those
    outside of the axis left out. Without one (0), it reaches from ⌊i·size / outputs⌋ up to
    ⌈(i + 1)·size / outputs⌉.
    """

    size: int
    outputs: int
    kernel: int = 0
    stride: int = 1
    padding: int = 0
    dilation: int = 1

    def bounds(self) -> tuple[Array, Array]:
        """First element and end of each window, which may lie outside of the axis."""
        i = np.arange(self.outputs)
        if not self.kernel:
            return i * self.size // self.outputs, -(-(i + 1) * self.size // self.outputs)
        first = i * self.stride - self.padding
        return first, first + self.dilation * (self.kernel - 1) + 1


Axes = tuple[Windows, ...]


def three(axes: Axes) -> Axes:
    """Those of three axes, from those of the last ones."""
    return (Windows(1, 1, 1),) * (3 - len(axes)) + tuple(axes)


@functools.lru_cache(maxsize=256)
def inside(axes: Axes) -> Array:
    """First element within the axis, and end, of every window: (2, windows of all axes)."""
    parts = []
    for axis in three(axes):
        first, end = axis.bounds()
        outside = np.maximum(-first, 0)
        first = first + -(-outside // axis.dilation) * axis.dilation
        parts.append([first, np.minimum(end, axis.size)])
    return np.concatenate(parts, 1).astype("int32")


@functools.lru_cache(maxsize=256)
def covering(axes: Axes) -> Array:
    """First window that may reach each element, and the one after the last: (2, all elements)."""
    parts = []
    for axis in three(axes):
        first, end = axis.bounds()
        i = np.arange(axis.size)
        parts.append([np.searchsorted(end, i, "right"), np.searchsorted(first, i, "right")])
    return np.concatenate(parts, 1).astype("int32")


@functools.lru_cache(maxsize=256)
def apart(axes: Axes) -> bool:
    """Whether no two windows overlap."""
    bounds = [axis.bounds() for axis in axes]
    return all(bool((end[:-1] <= first[1:]).all()) for first, end in bounds)


@functools.lru_cache(maxsize=256)
def own(axes: Axes) -> Array:
    """Of windows that are apart: from each to the next, of the outer ones to the ends of the axis.

    First element and end of each, likewise (2, windows of all axes).
    """
    parts = []
    for axis in three(axes):
        borders = np.clip(axis.bounds()[0], 0, axis.size)[1:]
        parts.append([np.append(0, borders), np.append(borders, axis.size)])
    return np.concatenate(parts, 1).astype("int32")


@functools.lru_cache(maxsize=256)
def lengths(axes: Axes, with_padding: bool) -> Array:
    """How many elements each window has, those of the padding counted or not: (all windows,)."""
    parts = []
    for axis in three(axes):
        first, end = axis.bounds()
        if with_padding:
            parts.append(np.minimum(end, axis.size + axis.padding) - first)
        else:
            parts.append(np.minimum(end, axis.size) - np.maximum(first, 0))
    return np.concatenate(parts).astype("int32")
