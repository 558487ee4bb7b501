"""Sequences of different lengths, as PyTorch packs and pads them.

The recurrent layers of gpunet need none of this: they take `lengths` beside a padded batch. It is
here for programs that are written for packed sequences, and for padding itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from gpunet import functional as F
from gpunet.autograd import tensor
from gpunet.autograd.creation import full_like
from gpunet.autograd.tensor import Tensor
from gpunet.errors import ArgumentError
from gpunet.functional.check import integers_of, is_tensor, shape_error, tensors_of


class PackedSequence(NamedTuple):
    """Sequences without padding, step by step: all elements of step 0, then of step 1, ...

    Within a step they are in order of falling length, so that those still going on come first.

    Attributes:
        data: (Σ lengths, ...). batch_sizes: int64 on the host, how many sequences have each step.
        sorted_indices: the sequences in the order of `data`, None if that is the one they came in.
        unsorted_indices: where each one is in it.
    """

    data: Tensor
    batch_sizes: Tensor
    sorted_indices: Tensor | None = None
    unsorted_indices: Tensor | None = None

    def to(self, *target: Any, **options: Any) -> PackedSequence:
        """The data on another device, or in another dtype."""
        return self._replace(data=self.data.to(*target, **options))


def pad_sequence(
    sequences: Sequence[Tensor],
    batch_first: bool = False,
    padding_value: float = 0.0,
    padding_side: str = "right",
) -> Tensor:
    """Sequences of any lengths in one tensor, shorter ones filled up.

    Shapes: each (L, ...); the result (T, N, ...), or (N, T, ...) if `batch_first`, with T the
    longest L.
    Args:
        padding_value: what they are filled up with. padding_side: "right" (behind) or "left".
    """
    tensors = tensors_of("pad_sequence", sequences)
    if padding_side not in ("left", "right"):
        rule = f'padding_side must be "left" or "right", got {padding_side!r}'
        raise ArgumentError("pad_sequence", rule)
    for x in tensors:
        if not x.ndim or x.shape[1:] != tensors[0].shape[1:]:
            rule = f"sequences must have shape (L, *{tensors[0].shape[1:]}), got {x.shape}"
            shape_error("pad_sequence", rule)
    steps = max(x.shape[0] for x in tensors)
    right = padding_side == "right"
    padded = []
    for x in tensors:
        missing = steps - x.shape[0]
        around = (0, 0) * (x.ndim - 1) + ((0, missing) if right else (missing, 0))
        padded.append(F.pad(x, around, value=padding_value) if missing else x)
    return F.stack(padded, 0 if batch_first else 1)


def unpad_sequence(
    padded_sequences: Tensor, lengths: Any, batch_first: bool = False
) -> list[Tensor]:
    """The sequences in a padded batch, each with its own length: undoes `pad_sequence`."""
    is_tensor("unpad_sequence", "padded_sequences", padded_sequences)
    x = padded_sequences if batch_first else padded_sequences.transpose(0, 1)
    ends = integers_of("unpad_sequence", "lengths", lengths)
    return [x[n, :end] for n, end in enumerate(ends)]


def pack_padded_sequence(
    x: Tensor, lengths: Any, batch_first: bool = False, enforce_sorted: bool = True
) -> PackedSequence:
    """The padded batch x without its padding.

    Shapes: x (T, N, ...), or (N, T, ...) if `batch_first`; lengths N whole numbers from 1 to T.
    Args:
        enforce_sorted: refuse lengths that do not fall; else the sequences are sorted.
    """
    name = "pack_padded_sequence"
    is_tensor(name, "x", x)
    if x.ndim < 2:
        shape_error(name, f"x must have at least two axes, got shape {x.shape}", x=x)
    x = x.transpose(0, 1) if batch_first else x
    ends = integers_of(name, "lengths", lengths)
    steps, batch = x.shape[:2]
    if len(ends) != batch:
        rule = f"lengths must be N = {batch} whole numbers, got {len(ends)}"
        shape_error(name, rule, x=x)
    for end in ends:
        if not 0 < end <= steps:
            raise ArgumentError(name, f"lengths must be in [1, T] = [1, {steps}], got {end}")
    order = sorted(range(batch), key=lambda n: -ends[n])
    if enforce_sorted and [ends[n] for n in order] != ends:
        rule = f"lengths must fall unless enforce_sorted=False, got {ends}"
        raise ArgumentError(name, rule)
    sizes = [sum(end > t for end in ends) for t in range(max(ends, default=0))]
    places = None if enforce_sorted else tensor(order, device=x.device)
    back = None if enforce_sorted else tensor(_inverse(order), device=x.device)
    empty = PackedSequence(x, tensor(sizes), places, back)
    return pack_again(x, empty)


def pack_again(x: Tensor, like: PackedSequence) -> PackedSequence:
    """The batch x (T, N, ...), packed as another one was."""
    order, sizes = _order(like)
    batch = x.shape[1]
    rows = [t * batch + n for t, size in enumerate(sizes) for n in order[:size]]
    flat = x.reshape(-1, *x.shape[2:])
    return like._replace(data=flat[tensor(rows, device=x.device)])


def pad_packed_sequence(
    sequence: PackedSequence,
    batch_first: bool = False,
    padding_value: float = 0.0,
    total_length: int | None = None,
) -> tuple[Tensor, Tensor]:
    """The padded batch that a sequence was packed from, and the lengths, int64 on the host.

    Shapes: the batch is (T, N, ...), or (N, T, ...) if `batch_first`.
    Args:
        padding_value: what stands behind the ends. total_length: T, at least the longest length,
            which it is if None.
    """
    name = "pad_packed_sequence"
    if not isinstance(sequence, PackedSequence):
        got = type(sequence).__name__
        raise ArgumentError(name, f"sequence must be a PackedSequence, got {got}")
    order, sizes = _order(sequence)
    steps = len(sizes) if total_length is None else total_length
    if steps < len(sizes):
        rule = f"total_length must be at least {len(sizes)}, the longest length, got {steps}"
        raise ArgumentError(name, rule)
    data, first = sequence.data, [0]
    for size in sizes:
        first.append(first[-1] + size)
    places = _inverse(order)  # of each sequence among the sorted ones
    rows = [
        [first[t] + n if t < len(sizes) and n < sizes[t] else data.shape[0] for n in places]
        for t in range(steps)
    ]
    padding = full_like(data[:1], padding_value)
    padded = F.cat([data, padding])[tensor(rows, device=data.device)]
    lengths = tensor([sum(n < size for size in sizes) for n in places])
    return padded.transpose(0, 1) if batch_first else padded, lengths


def pack_sequence(sequences: Sequence[Tensor], enforce_sorted: bool = True) -> PackedSequence:
    """Sequences of any lengths, each (L, ...), packed; see `pack_padded_sequence`."""
    lengths = [x.shape[0] for x in tensors_of("pack_sequence", sequences)]
    return pack_padded_sequence(pad_sequence(sequences), lengths, enforce_sorted=enforce_sorted)


def unpack_sequence(packed_sequences: PackedSequence) -> list[Tensor]:
    """The sequences that were packed, each with its own length."""
    return unpad_sequence(*pad_packed_sequence(packed_sequences))


def _order(sequence: PackedSequence) -> tuple[list[int], list[int]]:
    """The sequences in the order of the data, and how many have each step; read from the device."""
    sizes = integers_of("PackedSequence", "batch_sizes", sequence.batch_sizes)
    if sequence.sorted_indices is None:
        return list(range(sizes[0] if sizes else 0)), sizes
    return integers_of("PackedSequence", "sorted_indices", sequence.sorted_indices), sizes


def _inverse(order: list[int]) -> list[int]:
    places = [0] * len(order)
    for place, n in enumerate(order):
        places[n] = place
    return places
