"""Series of values over time, cut into what a forecast is made from and what it should be."""

from __future__ import annotations

import csv
import io
import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpunet.errors import ArgumentError, DataError

Floats = NDArray[np.float32]


def parse(content: bytes, name: str, wide: bool = False) -> Floats:
    """The values in a CSV file with a line of titles, (series, T).

    Args:
        name: what messages call the file.
        wide: a line is a series, its values in the columns W0, W1, ...; else there is one series,
            and a line has a value in its last column.

    Raises:
        DataError: no lines, or something that is no finite number; the message has the line.
    """
    rows = list(csv.reader(io.StringIO(content.decode("utf-8-sig", "replace"))))
    titles, lines = rows[:1], [row for row in rows[1:] if row]
    if not lines:
        raise DataError("series", f"{name} must have a line of titles and lines of values")
    places = [-1]
    if wide:
        places = [i for i, title in enumerate(titles[0]) if re.fullmatch(r"W\d+", title)]
    values = [[_number(row, i, name, n) for i in places] for n, row in enumerate(lines, 2)]
    table = np.array(values, np.float32)
    return table if wide else table.T


def _number(row: list[str], place: int, name: str, line: int) -> float:
    try:
        value = float(row[place])
    except (ValueError, IndexError):
        value = np.nan
    if not np.isfinite(value):
        found = row[place] if place < len(row) else "nothing"
        raise DataError("series", f"values must be finite numbers, got {found!r}", f"{name}:{line}")
    return value


def windows(
    values: Floats, length: int, horizon: int, held_out: int, split: str
) -> tuple[Floats, Floats]:
    """All stretches of `length` values and the `horizon` values after each.

    Shapes: values (series, T); inputs (N, length, 1) and targets (N, horizon), those of a series
    one after another, each a step later.

    Args:
        held_out: the last values of each series, which no target of "train" has, and all targets of
            "test". Inputs of "test" may reach back before them: it is known then.
        split: "train" or "test".

    Raises:
        ArgumentError: a size below 1, or a part that is too short for a window.

    >>> x, t = windows(np.arange(10, dtype=np.float32)[None], 3, 2, 4, "test")
    >>> x[..., 0].tolist(), t.tolist()
    ([[3.0, 4.0, 5.0], [4.0, 5.0, 6.0], [5.0, 6.0, 7.0]], [[6.0, 7.0], [7.0, 8.0], [8.0, 9.0]])
    """
    sizes = length, horizon, held_out
    if min(sizes) < 1:
        raise ArgumentError("windows", f"sizes must be at least 1, got {sizes}")
    border = values.shape[1] - held_out
    first, end = (length, border) if split == "train" else (border, values.shape[1])
    if first < length or end - first < horizon:
        rule = f"series must be long enough for windows of {length} + {horizon}"
        problem = f"{rule}, got {values.shape[1]} values, {held_out} of them held out"
        raise ArgumentError("windows", problem, f"the {split} part")
    part: Any = values[:, first - length : end]
    both = np.lib.stride_tricks.sliding_window_view(part, length + horizon, axis=1)
    both = both.reshape(-1, length + horizon)
    return both[:, :length, None].copy(), both[:, length:].copy()
