"""What the work in bench/kernels.py is given: arrays for a number of elements and a generator."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

SMALL = 1 << 12  # elements of the largest array, where it is only run
COLUMNS = 1024

Arrays = list[Any]


@functools.lru_cache(2)
def drawn(inputs: Callable[[int, Any], Arrays], n: int) -> Arrays:
    """The arrays of a work, always the same."""
    return inputs(n, np.random.default_rng(0))


def columns(n: int) -> int:
    """Columns of a matrix of n elements."""
    return min(COLUMNS, math.isqrt(n))


def matrix(n: int, rng: Any) -> Arrays:
    """x."""
    return [rng.standard_normal((n // columns(n), columns(n)))]


def with_vectors(count: int) -> Callable[[int, Any], Arrays]:
    """x, and vectors of its columns: a bias, weights."""
    return lambda n, rng: [*matrix(n, rng), *rng.standard_normal((count, columns(n)))]


def scores(n: int, rng: Any) -> Arrays:
    """x, and a label a row."""
    return [*matrix(n, rng), rng.integers(0, columns(n), n // columns(n))]


def table(n: int, rng: Any) -> Arrays:
    """A table of n/4 elements, and n/columns of its rows."""
    rows = max(1, n // columns(n) // 4)
    return [rng.standard_normal((rows, columns(n))), rng.integers(0, rows, n // columns(n))]


def pictures(n: int, rng: Any, size: int = 56, channels: int = 64) -> Arrays:
    """Pictures of 64 channels; smaller ones where there are few elements."""
    if n < size * size * channels:
        size, channels = 8, 4
    count = max(1, n // (channels * size * size))
    return [rng.standard_normal((count, channels, size, size))]


def convolved(n: int, rng: Any) -> Arrays:
    """Pictures, at most 32, and 3 × 3 filters for as many channels."""
    (x,) = pictures(min(n, 32 * 64 * 56 * 56), rng)
    return [x, rng.standard_normal((x.shape[1], x.shape[1], 3, 3)) / 24]


def volume(n: int, rng: Any) -> Arrays:
    """Pictures, fewer: their patches take nine times the memory."""
    return pictures(max(SMALL, n // 16), rng)


def layer(n: int, rng: Any) -> Arrays:
    """x, and the weight and bias of a linear layer."""
    width = columns(n)
    return [*matrix(n, rng), rng.standard_normal((width, width)) / 32, rng.standard_normal(width)]


def heads(n: int, rng: Any) -> Arrays:
    """Queries, keys and values of heads of 64, and as long as makes n weights."""
    length = min(512, 1 << (n.bit_length() - 1) // 2)
    return list(rng.standard_normal((3, n // length**2, length, 64)))


def gradients(n: int, rng: Any) -> Arrays:
    """A parameter and its gradient."""
    return [*matrix(n, rng), *matrix(n, rng)]


def wide_sequences(gates: int) -> Callable[[int, Any], Arrays]:
    """x, weights and biases of a recurrent layer: 128 steps of 64 sequences and 512 units.

    Where there are fewer elements, more sequences of four units than there are blocks at once.
    """

    def inputs(n: int, rng: Any) -> Arrays:
        full = n >= 128 * 64 * 512
        shape, units = ((128, 64), 512) if full else ((2, max(1, n // 8)), 4)
        return _layer(shape, units, gates, rng)

    return inputs


def two_sequences(n: int, rng: Any) -> Arrays:
    """x, weights and biases of an LSTM of few units, which two blocks take through all steps."""
    units = min(64, math.isqrt(n) // 4)
    return _layer((min(128, n // (2 * units)), 2), units, 4, rng)


def one_step(n: int, rng: Any) -> Arrays:
    """x, weights, biases and state of a GRU as wide as its input, for one step."""
    width = min(256, math.isqrt(n) // 4)
    shape = n // width, width
    return [*_layer((1, shape[0]), width, 3, rng), rng.standard_normal(shape)]


def sequences(gates: int, projected: bool = False) -> Callable[[int, Any], Arrays]:
    """x, weights and biases of a recurrent layer as wide as its input."""

    def inputs(n: int, rng: Any) -> Arrays:
        width = min(256, math.isqrt(n) // 4)
        arrays = _layer((4, n // (4 * width)), width, gates, rng)
        more = [rng.standard_normal((width, width)) / width**0.5] if projected else []
        return [*arrays, *more]

    return inputs


def _layer(shape: tuple[int, int], units: int, gates: int, rng: Any) -> Arrays:
    rows = gates * units
    x, *biases = (rng.standard_normal(s) for s in ((*shape, units), (rows,), (rows,)))
    weights = [rng.standard_normal((rows, units)) / units**0.5 for _ in range(2)]
    return [x, *weights, *biases]
