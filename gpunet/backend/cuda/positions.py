"""Keys of arrays: CuPy takes positions modulo the length, where NumPy refuses them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gpunet.backend.base import Array, Shape


def check_positions(x: Array, keys: Sequence[Any]) -> None:
    """Refuses what `x[keys]` cannot pick. Reads from the device.

    Args:
        keys: a slice, an array of integers for an axis each, or one of booleans for as many as it
            has.

    Raises:
        IndexError: a position beyond its axis, a mask of another shape, or positions whose shapes
            do not broadcast.
    """
    axis, shapes = 0, []
    for key in keys:
        axes = 1 if isinstance(key, slice) or key.dtype.kind != "b" else key.ndim
        if not isinstance(key, slice):
            shapes.append(_shape(key, x.shape[axis : axis + axes], axis))
        axis += axes
    for sizes in _by_axis([shape for shape in shapes if shape is not None]):
        if len(sizes - {1}) > 1:
            raise IndexError("shape mismatch: index arrays must broadcast, got " + str(shapes))


def _shape(key: Array, lengths: Shape, axis: int) -> Shape | None:
    """The shape of positions; None of a mask."""
    if key.dtype.kind == "b":
        if key.shape != lengths:
            raise IndexError(f"boolean index did not match: {key.shape} for axes of {lengths}")
        return None
    if key.size:
        low, high, n = int(key.min()), int(key.max()), lengths[0]
        if low < -n or high >= n:
            worst = low if low < -n else high
            raise IndexError(f"index {worst} is out of bounds for axis {axis} with size {n}")
    return key.shape


def _by_axis(shapes: list[Shape]) -> list[set[int]]:
    """The lengths that meet along each axis, counted from the last."""
    longest = max(map(len, shapes), default=0)
    return [{shape[-i] for shape in shapes if len(shape) >= i} for i in range(1, longest + 1)]
