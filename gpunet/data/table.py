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
    lines, places = _lines(content, columns)
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


def titles(content: bytes, name: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The columns of a table but the last, and the classes in that, sorted.

    Columns are called as the first line says, unless that begins with a number.

    Raises:
        DataError: there are no lines of at least two columns.
    """
    rows = _rows(content)
    if not rows or len(rows[0]) < 2:
        got = f"{len(rows[0])} in its first line" if rows else "no lines"
        raise DataError("table", f"{name} must have columns of features and of classes, got {got}")
    titled = not _is_number(rows[0][0])
    columns = rows[0][:-1] if titled else [f"column {i}" for i in range(1, len(rows[0]))]
    return tuple(columns), tuple(sorted({row[-1] for row in rows[titled:]}))


def last(content: bytes, name: str, columns: Sequence[str]) -> NDArray[np.float32]:
    """The chosen columns of the last line, (1, F); what else stands in it does not matter."""
    lines, places = _lines(content, columns)
    if not lines:
        raise DataError("table", f"{name} must have a line of {len(columns)} features, got none")
    n, row = lines[-1]
    return np.array([[_number(row, place, f"{name}:{n}") for place in places]], np.float32)


def _rows(content: bytes) -> list[list[str]]:
    """The lines that are not empty."""
    return [row for row in csv.reader(io.StringIO(content.decode("utf-8-sig", "replace"))) if row]


def _lines(content: bytes, columns: Sequence[str]) -> tuple[list[tuple[int, list[str]]], list[int]]:
    """The lines with their numbers, without titles, and where in them the columns are."""
    rows = _rows(content)
    titled = bool(rows) and set(columns) <= set(rows[0])
    places = [rows[0].index(column) if titled else i for i, column in enumerate(columns)]
    return list(enumerate(rows, 1))[titled:], places


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _number(row: Sequence[str], place: int, line: str) -> float:
    try:
        value = float(row[place])
    except (ValueError, IndexError):
        value = np.nan
    if not np.isfinite(value):
        found = row[place] if place < len(row) else "nothing"
        raise DataError("table", f"features must be finite numbers, got {found!r}", line)
    return value
