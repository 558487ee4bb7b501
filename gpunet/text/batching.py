"""Sequences of unequal lengths in one array."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from gpunet.errors import ArgumentError, DataError

Array = Any  # numpy.ndarray

# The first tokens of a vocabulary for texts of unequal lengths, and their numbers.
SPECIALS = ("<pad>", "<unk>", "<s>", "</s>")
PADDING, UNKNOWN, START, END = range(4)


def pad(
    sequences: Sequence[Any], value: int = PADDING, length: int | None = None
) -> tuple[Array, Array]:
    """The sequences as rows, filled up with `value`, and their lengths; both int64.

    Shapes: (N, L) and (N,), L the longest length, or `length`.

    >>> pad([[1, 2, 3], [4]])[0].tolist()
    [[1, 2, 3], [4, 0, 0]]
    """
    if not len(sequences):
        raise DataError("pad", "sequences must be at least one, got none")
    lengths = np.array([len(sequence) for sequence in sequences], np.int64)
    longest = int(lengths.max())
    if length is None:
        length = longest
    elif length < longest:
        raise ArgumentError("pad", f"length must be at least {longest}, the longest, got {length}")
    rows = np.full((len(sequences), length), value, np.int64)
    for row, sequence in zip(rows, sequences, strict=True):
        row[: len(sequence)] = sequence
    return rows, lengths


def trim(rows: Array, value: int = PADDING) -> Array:
    """The rows without the columns at their end that are padding alone; one is left at least.

    >>> trim(np.array([[1, 2, 0, 0], [3, 0, 0, 0]])).tolist()
    [[1, 2], [3, 0]]
    """
    used = np.flatnonzero((rows != value).any(0))
    return np.ascontiguousarray(rows[:, : 1 + (used[-1] if len(used) else 0)])


def shift(targets: Any) -> tuple[Any, Any]:
    """For teacher forcing: what a decoder reads, and what it is to say at each of those places.

    It reads the reference up to a place, whatever it would have said itself, and is to say the
    token after that: the first result is all tokens but the last, the second all but the first.

    Shapes: targets (N, T), an array or a tensor; both results (N, T − 1).

    Source: Williams and Zipser, A learning algorithm for continually running fully recurrent neural
    networks, Neural Computation 1, 1989.

    >>> read, said = shift(np.array([[START, 7, 8, END]]))
    >>> read.tolist(), said.tolist()
    ([[2, 7, 8]], [[7, 8, 3]])
    """
    return targets[:, :-1], targets[:, 1:]


def bucket(
    lengths: Sequence[int] | Array, batch_size: int, generator: np.random.Generator | None = None
) -> list[Array]:
    """Batches of positions whose lengths are as alike as can be, so that little is padding.

    Equal lengths and the batches are shuffled by `generator`; without one, they go from short to
    long. The longest batch may be smaller.
    """
    if batch_size < 1:
        raise ArgumentError("bucket", f"batch_size must be at least 1, got {batch_size}")
    n = len(lengths)
    order = np.arange(n) if generator is None else generator.permutation(n)
    order = order[np.argsort(np.asarray(lengths, np.int64)[order], kind="stable")]
    batches = [order[i : i + batch_size] for i in range(0, n, batch_size)]
    if generator is None:
        return batches
    return [batches[i] for i in generator.permutation(len(batches))]
