"""Undoes broadcasting: the one place where a gradient is summed back to its operand's shape."""

from __future__ import annotations

from gpunet.backend import Array, Backend, Shape


def unbroadcast(be: Backend, g: Array, shape: Shape) -> Array:
    """Sums `g` over the axes along which an operand of `shape` was repeated.

    Shapes: g is any shape that `shape` broadcasts to; the result has `shape`.
    """
    if g.shape == shape:
        return g
    added = g.ndim - len(shape)
    repeated = tuple(added + i for i, n in enumerate(shape) if n == 1 and g.shape[added + i] != 1)
    return be.sum(g, (*range(added), *repeated)).reshape(shape)
