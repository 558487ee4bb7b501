"""Shares the rows of large arrays out over the threads, in a few pieces.

Where the pieces begin depends on the shape alone, never on the number of threads, so neither do the
results, to the last bit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from gpunet.backend.base import Array
from gpunet.backend.cpu import threads

# Elements of a simple formula that take about as long as `threads.WORTHWHILE` says; in float64 one
# costs eight times as much.
WORTHWHILE = {np.dtype("float32"): 1 << 19, np.dtype("float64"): 1 << 16}


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
    pieces = min(rows, 1 << (2 * work // WORTHWHILE[dtype]).bit_length() - 1)
    edges = [rows * piece // pieces for piece in range(pieces + 1)]
    threads.run([(call, (*arrays, *cut, *rest)) for cut in pairwise(edges)])


def as_rows(x: Array) -> Array:
    """x, C-contiguous, in two axes: all but the last one, and the last."""
    columns = x.shape[-1]
    # A first axis of -1 would need a column to be derived.
    return x.reshape(x.size // columns if columns else 0, columns)
