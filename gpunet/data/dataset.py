"""A labelled set of examples that is known to be sound from the moment it exists."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpunet.errors import ArgumentError, DataError, DTypeError
from gpunet.text import Vocabulary

Index = Sequence[int] | NDArray[np.integer[Any]]

BLOCK = 1 << 20  # values checked at a time: the mask of a block stays in the cache


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """Inputs, their labels, and what the labels mean.

    Args:
        name: what messages call the set.
        inputs: (N, ...) float32, every value finite; images are (N, C, H, W) in [0, 1]. Or int64,
            the tokens of texts, (N, T), none below 0.
        targets: (N, ...) int64, each in 0..K-1: one label an example, or one for each of its
            places; those of the pixels of images are (N, H, W), those of tokens (N, T). Or float32,
            values that are to be estimated, every one finite.
        classes: the K names that the labels stand for; none where targets are values.
        vocabularies: of texts of unequal lengths, which are filled up with `text.PADDING`: that of
            the inputs and, where targets are texts, too, theirs.

    Raises:
        DTypeError: inputs or targets are neither float32 nor int64.
        DataError: the set is empty, lengths differ, a value is not finite or a label out of range;
            the message names the first index and the value found there.

    >>> pair = Dataset("pair", np.zeros((2, 1, 8, 8), np.float32), np.array([0, 1]), ("no", "yes"))
    >>> pair
    Dataset('pair', inputs (2, 1, 8, 8), 2 classes)
    >>> len(pair.subset([1]))
    1
    """

    name: str
    inputs: NDArray[np.float32] | NDArray[np.int64]
    targets: NDArray[Any]
    classes: tuple[str, ...]
    vocabularies: tuple[Vocabulary, ...] = ()

    def __post_init__(self) -> None:
        for field, array in (("inputs", self.inputs), ("targets", self.targets)):
            if array.dtype not in ("float32", "int64"):
                rule = f"{field} must be float32 or int64, got {array.dtype}"
                raise DTypeError("Dataset", rule, self._whose)
        self._check_lengths()
        if self.targets.dtype == np.int64:
            self._check_range("labels", self.targets, len(self.classes))
        else:
            self._check_finite("targets", self.targets)
        if self.inputs.dtype == np.int64:
            self._check_range("tokens", self.inputs)
        else:
            self._check_finite("inputs", self.inputs)

    def __len__(self) -> int:
        return len(self.inputs)

    def __repr__(self) -> str:
        what = f"{len(self.classes)} classes" if self.classes else f"targets {self.targets.shape}"
        return f"Dataset({self.name!r}, inputs {self.inputs.shape}, {what})"

    def subset(self, indices: Index) -> Dataset:
        """The examples at `indices` (each in 0..N-1, any order, repeats allowed), as a copy."""
        chosen = np.asarray(indices)
        if chosen.ndim != 1 or not (chosen.size == 0 or np.issubdtype(chosen.dtype, np.integer)):
            raise ArgumentError(
                "subset",
                f"indices must be a list of integers, got {chosen.dtype} of shape {chosen.shape}",
                self._whose,
            )
        outside = (chosen < 0) | (chosen >= len(self))
        if outside.any():
            at = int(outside.argmax())
            raise ArgumentError(
                "subset",
                f"indices must be in 0..{len(self) - 1}, got {chosen[at]} at index {at}",
                self._whose,
            )
        chosen = chosen.astype(np.intp)
        return replace(self, inputs=self.inputs[chosen], targets=self.targets[chosen])

    def split(self, fraction: float, seed: int) -> tuple[Dataset, Dataset]:
        """Two disjoint random parts: the rest, and the `fraction` held out for validation.

        The parts depend on the seed and the length of the set alone; each keeps the set's order.

        >>> data = Dataset("ten", np.ones((10, 3), np.float32), np.zeros(10, np.int64), ("one",))
        >>> train, validation = data.split(0.2, seed=1)
        >>> len(train), len(validation)
        (8, 2)
        """
        held_out = round(len(self) * fraction)
        if not 0 < held_out < len(self):
            raise ArgumentError(
                "split",
                f"fraction must leave both parts at least one of {len(self)} examples, "
                f"got {fraction}",
                self._whose,
            )
        order = np.random.Generator(np.random.Philox(seed)).permutation(len(self))
        return self.subset(np.sort(order[held_out:])), self.subset(np.sort(order[:held_out]))

    @property
    def _whose(self) -> str:
        return f"data set {self.name!r}"

    def _check_lengths(self) -> None:
        shapes = f"got {self.targets.shape} for {self.inputs.shape}"
        if not self.inputs.ndim or self.targets.shape[:1] != self.inputs.shape[:1]:
            rule = "targets must have shape (N, ...) for inputs (N, ...)"
            raise DataError("Dataset", f"{rule}, {shapes}", self._whose)
        fits = self.targets.ndim == 1 or self.targets.shape[1:] == self.inputs.shape[2:]
        if self.inputs.ndim == 4 and self.targets.dtype == np.int64 and not fits:
            rule = "targets of images (N, C, H, W) must have shape (N,) or (N, H, W)"
            raise DataError("Dataset", f"{rule}, {shapes}", self._whose)
        if self.inputs.size == 0:
            raise DataError(
                "Dataset",
                f"must hold at least one example, got inputs of shape {self.inputs.shape}",
                self._whose,
            )

    def _check_range(self, what: str, array: NDArray[Any], count: int | None = None) -> None:
        """Refuses values below 0, or not below `count`."""
        outside = array < 0
        if count is not None:
            outside |= array >= count
        if outside.any():
            at = np.unravel_index(int(outside.argmax()), outside.shape)
            where = ", ".join(map(str, at))
            rule = "at least 0" if count is None else f"in 0..{count - 1}"
            problem = f"{what} must be {rule}, got {array[at]} at index {where}"
            raise DataError("Dataset", problem, self._whose)

    def _check_finite(self, what: str, array: NDArray[Any]) -> None:
        values = array.reshape(-1)
        for start in range(0, values.size, BLOCK):
            finite = np.isfinite(values[start : start + BLOCK])
            if not finite.all():
                at = start + int(finite.argmin())
                index = tuple(int(i) for i in np.unravel_index(at, array.shape))
                raise DataError(
                    "Dataset",
                    f"{what} must be finite, got {values[at]} at index {index}",
                    self._whose,
                )
