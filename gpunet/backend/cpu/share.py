"""Shares the rows of large arrays out over the threads, in a few dozen pieces.

Where the pieces begin depends on the shape alone, never on the number of threads, so neither do the
results, to the last bit.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from gpunet.backend.base import Array
from gpunet.backend.cpu import threads

PIECE = 1 << 16  # elements of what NumPy does that a thread takes at a time, or more,
PIECES = 32  # since nothing has more pieces than this: each costs some microseconds of Python
PLAIN = 1 << 17  # elements from which it pays to share out what NumPy does with them
# Elements of a simple formula from which it pays to share it out: some 15 µs of one core, where a
# run takes 4. From four times as many, the step of a small GPT took 6 % longer. In float64 an
# element costs eight times as much.
WORTHWHILE = {np.dtype("float32"): 1 << 17, np.dtype("float64"): 1 << 14}


def share(
    call: Callable[..., Any],
    arrays: Sequence[Any],
    rows: int,
    columns: int,
    dtype: Any,
    *rest: Any,
    cost: int = 1,
) -> None:
    """`call(*arrays, start, stop, *rest)` for runs of rows that cover all `rows` of them.

    `cost` is about how often as much time an element takes as one of a simple formula.
    """
    work = rows * columns * cost
    if work < WORTHWHILE[dtype]:
        call(*arrays, 0, rows, *rest)
        return
    # A power of two of them, so that two threads or four end together.
    pieces = min(rows, PIECES, 1 << (2 * work // WORTHWHILE[dtype]).bit_length() - 1)
    threads.spread(call, threads.edges(rows, pieces), (*arrays,), rest)


def as_rows(x: Array) -> Array:
    """x, C-contiguous, in two axes: all but the last one, and the last."""
    if x.ndim == 2:
        return x
    columns = x.shape[-1]
    # A first axis of -1 would need a column to be derived.
    return x.reshape(x.size // columns if columns else 0, columns)


def cut(arrays: Sequence[Any], shape: tuple[int, ...]) -> list[tuple[Any, ...]]:
    """Arrays that broadcast to `shape`, as views of the pieces that it is cut into.

    Numbers are in every piece.
    """
    size = math.prod(shape)
    if size < PLAIN:
        return [tuple(arrays)]
    if all([_ndim(x) == 0 or (x.shape == shape and x.flags.c_contiguous) for x in arrays]):
        shape, arrays = (size,), [x.reshape(-1) if _ndim(x) else x for x in arrays]
    pieces = min(PIECES, size // PIECE)
    # What is cut along an early axis lies close together.
    axis = next((i for i, n in enumerate(shape) if n >= pieces), shape.index(max(shape)))
    several = -(-shape[axis] // pieces)
    behind = (slice(None),) * (len(shape) - 1 - axis)
    keys = [(..., slice(i, i + several), *behind) for i in range(0, shape[axis], several)]
    columns = [_parts(x, axis - len(shape), keys) for x in arrays]
    return list(zip(*columns, strict=True))


def _parts(x: Any, axis: int, keys: list[Any]) -> list[Any]:
    """x cut along an axis counted from behind, or as it is where it would be broadcast."""
    if _ndim(x) < -axis or x.shape[axis] == 1:
        return [x] * len(keys)
    return [x[key] for key in keys]


def _ndim(x: Any) -> int:
    return x.ndim if isinstance(x, np.ndarray) else 0
