"""Random numbers of which every example has a stream of its own."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray


class Draws:
    """What a transform draws its random numbers from: each method gives one row an example.

    An example's numbers depend on the seed, the epoch and its place in the data set alone, so
    neither the size of the batch it is in nor the thread that makes it changes them.

    Args:
        seed, epoch: at least 0.
        examples: their places in the data set.

    >>> together, alone = Draws(1, 0, [3, 8]), Draws(1, 0, [8])
    >>> bool(together.uniform(0, 1)[1] == alone.uniform(0, 1)[0])
    True
    """

    def __init__(self, seed: int, epoch: int, examples: Iterable[int]):
        # The key is the epoch's, the third word of the counter the example's: streams of one key
        # are 2**128 numbers apart. (epoch,) alone is the key of the order.
        sequence = np.random.SeedSequence(seed, spawn_key=(epoch, 0))
        key = sequence.generate_state(2, np.uint64)
        self._streams = [
            np.random.Generator(np.random.Philox(key=key, counter=[0, 0, int(i), 0]))
            for i in examples
        ]

    def uniform(self, low: float, high: float, shape: tuple[int, ...] = ()) -> NDArray[np.float32]:
        """Numbers in [low, high), evenly spread, (N, *shape)."""
        unit = np.array([stream.random(shape) for stream in self._streams])
        return (low + (high - low) * unit).astype(np.float32)

    def integers(self, low: int, high: int) -> NDArray[np.int64]:
        """Whole numbers in low..high-1, (N,)."""
        return np.array([stream.integers(low, high) for stream in self._streams], np.int64)

    def beta(self, a: float, b: float) -> NDArray[np.float32]:
        """Numbers in [0, 1] of the beta distribution, (N,)."""
        return np.array([stream.beta(a, b) for stream in self._streams], np.float32)
