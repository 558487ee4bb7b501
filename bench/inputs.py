"""What the work in bench/kernels.py is given: arrays for a number of elements and a generator."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

SMALL = 1 << 12  # elements of the largest array, where it is only run
BLOCK = 1 << 20  # different values of an array; a larger one repeats them
COLUMNS = 1024
LONG = 1 << 17  # elements from which arithmetic takes our kernels on any GPU


@dataclass(frozen=True)
class Array:
    """An array yet to be made: its shape, and its values in a row, or the first BLOCK of them.

    To draw 64 Mi numbers takes a second, and to bring them to a GPU half a gigabyte. Most of them
    are repetitions, which are made where the array will be.
    """

    shape: tuple[int, ...]
    values: np.ndarray[Any, Any]

    @property
    def size(self) -> int:
        """Elements of the array."""
        return math.prod(self.shape)

    @property
    def floating(self) -> bool:
        """Whether it has numbers, not labels or indices."""
        return self.values.dtype.kind == "f"

    def made_of(self, values: Any) -> Any:
        """The array, on the device and in the framework of a tensor of `values`."""
        rows = -(-self.size // len(values))
        return values.expand(rows, len(values)).reshape(-1)[: self.size].reshape(self.shape)


Arrays = list[Any]


def normal(rng: Any, *shape: int, scale: float = 1.0) -> Array:
    """Numbers of a normal distribution, in float64."""
    return Array(shape, scale * rng.standard_normal(min(BLOCK, math.prod(shape))))


def below(limit: int, rng: Any, *shape: int) -> Array:
    """Whole numbers from 0 on."""
    return Array(shape, rng.integers(0, limit, min(BLOCK, math.prod(shape))))


@functools.lru_cache(2)
def drawn(inputs: Callable[[int, Any], Arrays], n: int) -> Arrays:
    """The arrays of a work, always the same."""
    return inputs(n, np.random.default_rng(0))


def columns(n: int) -> int:
    """Columns of a matrix of n elements."""
    return min(COLUMNS, math.isqrt(n))


def matrix(n: int, rng: Any) -> Arrays:
    """x."""
    return [normal(rng, n // columns(n), columns(n))]


def operands(count: int) -> Callable[[int, Any], Arrays]:
    """Arrays of one shape, at least LONG, of numbers from 1/2 to 2."""

    def arrays(n: int, rng: Any) -> Arrays:
        n = max(n, LONG)
        shape = n // columns(n), columns(n)
        return [Array(shape, rng.uniform(0.5, 2, min(BLOCK, n))) for _ in range(count)]

    return arrays


def with_vectors(count: int) -> Callable[[int, Any], Arrays]:
    """x, and vectors of its columns: a bias, weights."""
    return lambda n, rng: [
        *matrix(n, rng),
        *(normal(rng, columns(n)) for _ in range(count)),
    ]


def scores(n: int, rng: Any) -> Arrays:
    """x, and a label a row."""
    return [*matrix(n, rng), below(columns(n), rng, n // columns(n))]


def table(n: int, rng: Any) -> Arrays:
    """A table of n/4 elements, and n/columns of its rows."""
    rows = max(1, n // columns(n) // 4)
    return [normal(rng, rows, columns(n)), below(rows, rng, n // columns(n))]


def few_looked_up(n: int, rng: Any) -> Arrays:
    """A table, and fewer of its rows than are sorted in one launch."""
    weight, _ = table(n, rng)
    return [weight, below(weight.shape[0], rng, min(4096, n // columns(n)))]


def pictures(n: int, rng: Any, size: int = 56, channels: int = 64) -> Arrays:
    """Pictures of 64 channels; smaller ones where there are few elements."""
    if n < size * size * channels:
        size, channels = 8, 4
    count = max(1, n // (channels * size * size))
    return [normal(rng, count, channels, size, size)]


def with_statistics(n: int, rng: Any) -> Arrays:
    """Pictures, and a mean and a variance of each channel; large enough for two launches."""
    return _and_statistics(pictures(max(n, 64 * 1024), rng)[0], rng)


def with_many_statistics(n: int, rng: Any) -> Arrays:
    """As many channels as make channels of 4096 elements, which are normalised in one launch."""
    return _and_statistics(normal(rng, 64, max(1, n // 4096), min(64, n // 64)), rng)


def _and_statistics(x: Array, rng: Any) -> Arrays:
    return [x, *(Array((x.shape[1],), rng.uniform(0.5, 1.5, x.shape[1])) for _ in range(2))]


def convolved(n: int, rng: Any) -> Arrays:
    """Pictures, at most 32, and 3 × 3 filters for as many channels."""
    (x,) = pictures(min(n, 32 * 64 * 56 * 56), rng)
    return [x, normal(rng, x.shape[1], x.shape[1], 3, 3, scale=1 / 24)]


def volume(n: int, rng: Any) -> Arrays:
    """Pictures, fewer: their patches take nine times the memory."""
    return pictures(max(SMALL, n // 16), rng)


def layer(n: int, rng: Any) -> Arrays:
    """x, and the weight and bias of a linear layer."""
    width = columns(n)
    return [*matrix(n, rng), normal(rng, width, width, scale=1 / 32), normal(rng, width)]


def heads(n: int, rng: Any) -> Arrays:
    """Queries, keys and values of heads of 64, and as long as makes n weights."""
    length = min(512, 1 << (n.bit_length() - 1) // 2)
    return [normal(rng, n // length**2, length, 64) for _ in range(3)]


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
    batch = n // width
    return [*_layer((1, batch), width, 3, rng), normal(rng, batch, width)]


def sequences(gates: int, projected: bool = False) -> Callable[[int, Any], Arrays]:
    """x, weights and biases of a recurrent layer as wide as its input."""

    def inputs(n: int, rng: Any) -> Arrays:
        width = min(256, math.isqrt(n) // 4)
        arrays = _layer((4, n // (4 * width)), width, gates, rng)
        return [*arrays, *([normal(rng, width, width, scale=width**-0.5)] if projected else [])]

    return inputs


def alignments(n: int, rng: Any) -> Arrays:
    """x, as the log p of classes at 512 steps of 64 sequences, or fewer, and 128 labels of each."""
    steps, batch, labels = (512, 64, 128) if n >= 512 * 64 * 128 else (16, 2, 5)
    channels = n // (steps * batch)
    targets = Array((batch, labels), rng.integers(1, channels, batch * labels))  # 0 is the blank
    return [normal(rng, steps, batch, channels), targets]


def _layer(shape: tuple[int, int], units: int, gates: int, rng: Any) -> Arrays:
    rows = gates * units
    x, *biases = (normal(rng, *s) for s in ((*shape, units), (rows,), (rows,)))
    return [x, *(normal(rng, rows, units, scale=units**-0.5) for _ in range(2)), *biases]
