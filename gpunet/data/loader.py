"""Batches in an order that depends on the seed and the epoch alone, so a run can stop and go on."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpunet.autograd import watched
from gpunet.data.dataset import Dataset
from gpunet.data.draws import Draws
from gpunet.data.transforms import Transform
from gpunet.errors import ArgumentError, CheckpointError
from gpunet.text import PADDING, bucket, trim

Batch = tuple[NDArray[Any], NDArray[Any]]

AHEAD = 2  # batches a worker that are ready or being made while another one is in use


class DataLoader:
    """Iterate over a data set in batches, one pass of a `for` loop per epoch.

    Each pass starts at the epoch's first batch (after `load_state_dict`: at the batch that comes
    next) and, once complete, moves on to the next epoch. Every batch is a fresh array that the
    caller may keep or change.

    Texts of unequal lengths (a data set with `vocabularies`) are trimmed to the longest of their
    batch, and a shuffled epoch has batches of texts that are about as long, in a new order.

    Args:
        dataset: where the examples come from.
        batch_size: examples in a batch, at least 1.
        shuffle: draw a new order for every epoch; otherwise keep the set's own order.
        drop_last: leave out the last batch where it is smaller than the others.
        seed: of the orders, at least 0. Epoch e is shuffled by Philox seeded with (seed, e).
        transform: changes the inputs and targets of a batch, as those of `data.transforms` do;
            called with both and with `Draws`, where each example has its own random numbers.
        workers: threads that make batches ahead of their use; with 0 each is made when it is asked
            for. Batches are the same. An error of a transform is raised where its batch is due.
        consecutive: make a set whose examples follow one another, windows of a text, into
            batch_size parts; batch k has the k-th example of each, so that each example follows on
            the one in its place in the batch before. Later parts may end sooner.

    Attributes:
        epoch: the epoch under way, or the one that comes next between two passes.
        position: how many batches of it have been handed out.

    Raises:
        ArgumentError: batch_size, seed or workers is too small, drop_last would leave no batch, or
            consecutive examples are to be shuffled or left out.

    >>> data = Dataset("ten", np.ones((10, 3), np.float32), np.zeros(10, np.int64), ("one",))
    >>> loader = DataLoader(data, batch_size=4, shuffle=True)
    >>> [inputs.shape for inputs, targets in loader]
    [(4, 3), (4, 3), (2, 3)]
    >>> loader.state_dict()
    {'epoch': 1, 'position': 0}
    """

    def __init__(
        self,
        dataset: Dataset,
        batch_size: int,
        shuffle: bool = False,
        drop_last: bool = False,
        seed: int = 0,
        transform: Transform | None = None,
        workers: int = 0,
        consecutive: bool = False,
    ):
        if batch_size < 1:
            raise ArgumentError("DataLoader", f"batch_size must be at least 1, got {batch_size}")
        if seed < 0:
            raise ArgumentError("DataLoader", f"seed must be at least 0, got {seed}")
        if workers < 0:
            raise ArgumentError("DataLoader", f"workers must be at least 0, got {workers}")
        if consecutive and (shuffle or drop_last):
            rule = "consecutive must be without shuffle and drop_last"
            raise ArgumentError("DataLoader", f"{rule}, got {shuffle=} and {drop_last=}")
        if drop_last and batch_size > len(dataset):
            raise ArgumentError(
                "DataLoader",
                f"batch_size must be at most the {len(dataset)} examples of {dataset.name!r} "
                f"where drop_last is set, got {batch_size}",
            )
        self.dataset, self.batch_size = dataset, batch_size
        self.shuffle, self.drop_last, self.seed = shuffle, drop_last, seed
        self.transform, self.workers, self.consecutive = transform, workers, consecutive
        self.epoch = self.position = 0
        self._resume_at = 0
        # `take` copies an array that is not contiguous as a whole, every time: do it once.
        self._inputs: NDArray[Any] = np.ascontiguousarray(dataset.inputs)
        self._targets = np.ascontiguousarray(dataset.targets)
        self._lengths = _lengths(dataset) if dataset.vocabularies else None

    def __len__(self) -> int:
        """The number of batches in an epoch."""
        full, rest = divmod(len(self.dataset), self.batch_size)
        return full + (rest > 0 and not self.drop_last)

    def __iter__(self) -> Iterator[Batch]:
        epoch, first = self.epoch, self._resume_at
        self._resume_at = 0
        batches = self._batches(epoch, first)
        while (batch := self._next(batches)) is not None:
            self.position = first = first + 1
            yield batch
        self.epoch, self.position = epoch + 1, 0

    def state_dict(self) -> dict[str, int]:
        """Where the iteration stands: `epoch`, and its batches handed out so far (`position`)."""
        return {"epoch": self.epoch, "position": self.position}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Make the next pass go on exactly where `state` was taken.

        Raises:
            CheckpointError: the state is not one of a loader with this many batches.
        """
        epoch, position = state.get("epoch", -1), state.get("position", -1)
        if epoch < 0 or not 0 <= position <= len(self):
            raise CheckpointError(
                "DataLoader",
                f"state must have epoch >= 0 and position in 0..{len(self)}, got {state}",
                f"{len(self.dataset)} examples in batches of {self.batch_size}",
            )
        self.epoch, self.position = epoch, position
        self._resume_at = position

    @watched("data")
    def _next(self, batches: Iterator[Batch]) -> Batch | None:
        return next(batches, None)

    def _batches(self, epoch: int, first: int) -> Iterator[Batch]:
        """The batches of an epoch from number `first` on."""
        order = self._order(epoch)[first:]
        if not self.workers:
            for chosen in order:
                yield self._batch(chosen, epoch)
            return
        pool = ThreadPoolExecutor(self.workers, "gpunet-loader")
        waiting: deque[Future[Batch]] = deque()
        try:
            for chosen in order:
                waiting.append(pool.submit(self._batch, chosen, epoch))
                if len(waiting) > AHEAD * self.workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:  # also where the caller leaves its loop, or an error its batch
            pool.shutdown(cancel_futures=True)

    def _order(self, epoch: int) -> list[NDArray[np.int64]]:
        """The examples of each batch of an epoch."""
        size, order = self.batch_size, np.arange(len(self.dataset))
        if self.consecutive:
            return [order[i :: len(self)] for i in range(len(self))]
        if self.shuffle:
            # As a spawn key, and not in the seed, where (seed, 0) would repeat the stream of seed.
            sequence = np.random.SeedSequence(self.seed, spawn_key=(epoch,))
            generator = np.random.Generator(np.random.Philox(sequence))
            if self._lengths is not None:
                batches = bucket(self._lengths, size, generator)
                return [batch for batch in batches if len(batch) == size or not self.drop_last]
            order = generator.permutation(len(self.dataset))
        return [order[i * size : (i + 1) * size] for i in range(len(self))]

    def _batch(self, chosen: NDArray[np.int64], epoch: int) -> Batch:
        """The examples `chosen`; depends on its arguments alone, so any thread may make it."""
        inputs, targets = self._inputs.take(chosen, axis=0), self._targets.take(chosen, axis=0)
        if self._lengths is not None:
            inputs, targets = trim(inputs), trim(targets) if targets.ndim == 2 else targets
        if self.transform is not None:
            inputs, targets = self.transform(inputs, targets, Draws(self.seed, epoch, chosen))
        return inputs, targets


def _lengths(dataset: Dataset) -> NDArray[np.int64]:
    """What texts are sorted by: lengths of the targets that are texts, then those of the inputs."""
    lengths: NDArray[np.int64] = (dataset.inputs != PADDING).sum(1)
    if dataset.targets.ndim == 2:
        lengths += (dataset.targets != PADDING).sum(1) * (dataset.inputs.shape[1] + 1)
    return lengths
