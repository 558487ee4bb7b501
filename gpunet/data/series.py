"""Series of values over time, cut into what a forecast is made from and what it should be."""

from __future__ import annotations

import csv
import io
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpunet.errors import ArgumentError, DataError

Floats = NDArray[np.float32]


def parse(content: bytes, name: str) -> Floats:
    """The last value in each line of a CSV file but the first, which has the titles: (T,).

    Args:
        name: what messages call the file.

    Raises:
        DataError: no lines, or something that is no finite number; the message has the line.
    """
    rows = csv.reader(io.StringIO(content.decode("utf-8-sig", "replace")))
    values = [_number(row[-1], name, n) for n, row in enumerate(rows, 1) if row and n > 1]
    if not values:
        raise DataError("series", f"{name} must have a line of titles and lines of values")
    return np.array(values, np.float32)


def _number(text: str, name: str, line: int) -> float:
    try:
        value = float(text)
    except ValueError:
        value = np.nan
    if not np.isfinite(value):
        raise DataError("series", f"values must be finite numbers, got {text!r}", f"{name}:{line}")
    return value


def windows(
    values: Floats, length: int, horizon: int, held_out: int, split: str
) -> tuple[Floats, Floats]:
    """All stretches of `length` values and the `horizon` values after each.

    Shapes: values (T,); inputs (N, length, 1) and targets (N, horizon), each a step later.

    Args:
        held_out: the last values, which no target of "train" has, and all targets of
            "test". Inputs of "test" may reach back before them: it is known then.
        split: "train" or "test".

    Raises:
        ArgumentError: a size below 1, or a part that is too short for a window.

    >>> x, t = windows(np.arange(10, dtype=np.float32), 3, 2, 4, "test")
    >>> x[..., 0].tolist(), t.tolist()
    ([[3.0, 4.0, 5.0], [4.0, 5.0, 6.0], [5.0, 6.0, 7.0]], [[6.0, 7.0], [7.0, 8.0], [8.0, 9.0]])
    """
    sizes = length, horizon, held_out
    if min(sizes) < 1:
        raise ArgumentError("windows", f"sizes must be at least 1, got {sizes}")
    border = len(values) - held_out
    first, end = (length, border) if split == "train" else (border, len(values))
    if first < length or end - first < horizon:
        rule = f"series must be long enough for windows of {length} + {horizon}"
        problem = f"{rule}, got {len(values)} values, {held_out} of them held out"
        raise ArgumentError("windows", problem, f"the {split} part")
    part: Any = values[first - length : end]
    both = np.lib.stride_tricks.sliding_window_view(part, length + horizon)
    return both[:, :length, None].copy(), both[:, length:].copy()
