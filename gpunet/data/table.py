"""Tables of features: a CSV file with an example a line, its answer last."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpunet.errors import DataError

EVERY = 5  # of so many lines one is to test on: sets come sorted by class, or by date


def parse(
    content: bytes, name: str, columns: Sequence[str], classes: Sequence[str], split: str
) -> tuple[NDArray[np.float32], NDArray[Any]]:
    """The chosen columns, (N, F) float32, and the last one: labels, or values without classes.

    Args:
        name: what messages call the file.
        columns: found by the titles in the first line; in a file without titles, the first ones.
        classes: what stands in the last column, if it is labels.
        split: "test" has the fifth of every five lines, "train" the others.

    Raises:
        DataError: no lines, or one that has no finite number or known class where one must be.
    """
    rows = [row for row in csv.reader(io.StringIO(content.decode("utf-8-sig", "replace"))) if row]
    titled = bool(rows) and set(columns) <= set(rows[0])
    places = [rows[0].index(column) for column in columns] if titled else range(len(columns))
    lines = list(enumerate(rows, 1))[titled:]
    chosen = [line for i, line in enumerate(lines, 1) if (i % EVERY == 0) == (split == "test")]
    if not chosen:
        raise DataError("table", f"{name} must have at least {EVERY} lines, got {len(lines)}")
    inputs = [[_number(row, place, f"{name}:{n}") for place in places] for n, row in chosen]
    if not classes:
        values = [_number(row, -1, f"{name}:{n}") for n, row in chosen]
        return np.array(inputs, np.float32), np.array(values, np.float32)
    for n, row in chosen:
        if row[-1] not in classes:
            known = ", ".join(classes)
            raise DataError(
                "table", f"the class must be one of {known}, got {row[-1]!r}", f"{name}:{n}"
            )
    labels = [classes.index(row[-1]) for _, row in chosen]
    return np.array(inputs, np.float32), np.array(labels, np.int64)


def _number(row: Sequence[str], place: int, line: str) -> float:
    try:
        value = float(row[place])
    except (ValueError, IndexError):
        value = np.nan
    if not np.isfinite(value):
        found = row[place] if place < len(row) else "nothing"
        raise DataError("table", f"features must be finite numbers, got {found!r}", line)
    return value
