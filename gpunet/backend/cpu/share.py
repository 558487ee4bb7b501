"""Shares the rows of large arrays out over the threads, in pieces that stay in a cache.

Where the pieces begin depends on the shape alone, never on the number of threads, so neither do the
results, to the last bit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from gpunet.backend.base import Array
from gpunet.backend.cpu import threads

PIECE = 1 << 16  # elements a thread takes at a time
# Elements from which it pays to wake the other threads; in float64 one costs ten times as much.
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
    if rows * columns * cost < WORTHWHILE[dtype]:
        call(*arrays, 0, rows, *rest)
        return
    piece = max(1, PIECE // (columns * cost))
    tasks = [
        (call, (*arrays, start, min(start + piece, rows), *rest)) for start in range(0, rows, piece)
    ]
    threads.run(tasks)


def as_rows(x: Array) -> Array:
    """x, C-contiguous, in two axes: all but the last one, and the last."""
    if x.ndim == 2:
        return x
    columns = x.shape[-1]
    # A first axis of -1 would need a column to be derived.
    return x.reshape(x.size // columns if columns else 0, columns)
