"""Connectionist temporal classification: labels of a sequence, without saying where they are."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from gpunet.autograd.op import Op, apply
from gpunet.autograd.tensor import Tensor
from gpunet.backend import Array, Backend
from gpunet.errors import ArgumentError, DTypeError
from gpunet.functional.check import (
    describe,
    floating,
    is_tensor,
    one_device,
    shape_error,
    whole_numbers,
)
from gpunet.functional.criterion import check_reduction
from gpunet.functional.precision import in_single


class CTC(Op):
    """−log of the summed probability of all alignments, for each sequence.

    States u are the labels with a blank before, between and after them. With the emissions
    y[t, u] = log p(state u at time t), α and β are summed over paths in log space:
    α[t, u] = y[t, u] + log Σ e^α[t−1, v] over v in {u, u−1, u−2}, the last where labels differ;
    β[t, u] = log Σ e^(β[t+1, v] + y[t+1, v]) over the v that follow u.
    The gradient in log p(c at t) is −Σ e^(α + β − log p) over the states of class c.
    """

    takes_bfloat16 = True

    def __init__(self, labels: list[list[int]], times: list[int], blank: int, zero_infinity: bool):
        self.labels, self.times, self.blank = labels, times, blank
        self.zero_infinity = zero_infinity

    def forward(self, be: Backend, x: Array) -> Array:
        x = be.contiguous(x)
        counts = [len(row) for row in self.labels]
        longest = max(counts, default=0)
        padded = [[self.blank, *row, *[self.blank] * (longest - len(row))] for row in self.labels]
        classes = be.asarray(padded, "int64").reshape(len(counts), 1 + longest)
        given = x, classes, be.asarray(self.times, "int64"), be.asarray(counts, "int64")
        loss, alpha = be.ctc.ctc_loss_fwd(*given)
        self.saved = *given, alpha, loss
        if self.zero_infinity:
            loss = be.xp.where(loss == math.inf, be.full((), 0, loss.dtype), loss)
        return be.cast(loss, x.dtype)

    def backward(self, be: Backend, g: Array) -> Array:
        return be.ctc.ctc_loss_bwd(be.contiguous(g), *self.saved, self.zero_infinity)


@in_single
def ctc_loss(
    log_probs: Tensor,
    targets: Tensor,
    input_lengths: Tensor | Sequence[int],
    target_lengths: Tensor | Sequence[int],
    blank: int = 0,
    reduction: str = "mean",
    zero_infinity: bool = False,
) -> Tensor:
    """−log Σ p(path) over the paths that give the targets once repeats, then blanks are removed.

    Shapes: log_probs (T, N, C), targets (N, S) or all of them in a row (Σ target_lengths,), lengths
    (N,), tuples or tensors; or without N: (T, C), (S,), and numbers. The result (), or (N,).
    Dtypes: log_probs floating, targets and lengths int64 or int32.
    Args:
        log_probs: logarithms of probabilities, as from `log_softmax`.
        blank: the class that stands for no label.
        reduction: "mean" divides each loss by its target's length (at least 1) and averages; "sum";
            "none".
        zero_infinity: targets that do not fit into their input count nothing, with a gradient of 0;
            otherwise their loss is ∞ and their gradient NaN.
    Raises:
        ArgumentError: a length beyond its tensor, a label outside [0, C).
    Source: Graves et al., ICML 2006, eqs. 5 to 8 and 14.
    Differs from PyTorch: the gradient in log_probs is the derivative; PyTorch adds exp(log_probs),
    which `log_softmax` cancels, so that gradients of what it was made from agree.

    >>> import gpunet
    >>> even = gpunet.zeros(2, 1, 2).log_softmax(-1)  # of 4 paths, 11, 01 and 10 give the label 1
    >>> gpunet.functional.ctc_loss(even, gpunet.tensor([[1]]), (2,), (1,)).exp()
    tensor(1.3333334, dtype=float32)
    """
    name = "ctc_loss"
    check_reduction(name, reduction)
    floating(name, "log_probs", log_probs)
    is_tensor(name, "targets", targets)
    one_device(name, log_probs, targets, input_lengths, target_lengths)
    if targets.dtype.kind not in "iu":
        raise DTypeError(name, f"targets must be integers, got {targets.dtype}")
    if log_probs.ndim not in (2, 3):
        rule = f"log_probs must have shape (T, N, C) or (T, C), got {log_probs.shape}"
        shape_error(name, rule, targets=targets)
    batched = log_probs.ndim == 3
    x = log_probs if batched else log_probs.unsqueeze(1)
    steps, n, classes = x.shape
    if not 0 <= blank < classes:
        raise ArgumentError(name, f"blank must be in [0, C) = [0, {classes}), got {blank}")
    times = _lengths("input_lengths", input_lengths, n, steps)
    counts = _lengths("target_lengths", target_lengths, n, None)
    labels = _labels(targets, counts, classes, batched)
    loss = apply(CTC(labels, times, blank, zero_infinity), x)
    if reduction == "mean":
        be = loss.backend
        share = be.cast(be.asarray([max(1, count) for count in counts], "int64"), loss.dtype)
        return (loss / Tensor(share, be)).mean()
    if reduction == "sum":
        return loss.sum()
    return loss if batched else loss.reshape(())


def _lengths(name: str, lengths: Any, n: int, most: int | None) -> list[int]:
    """As numbers, one for each sequence."""
    if isinstance(lengths, Tensor):
        if lengths.dtype.kind not in "iu":
            raise DTypeError("ctc_loss", f"{name} must be integers, got {lengths.dtype}")
        values = lengths.reshape(-1).tolist()
    else:
        given = lengths if isinstance(lengths, (tuple, list)) else (lengths,)
        values = list(whole_numbers("ctc_loss", name, (tuple(given),)))
    if len(values) != n:
        shape_error("ctc_loss", f"{name} must be N = {n} numbers, got {len(values)}")
    for value in values:
        if value < 0 or (most is not None and value > most):
            rule = f"at least 0 and at most T = {most}" if most is not None else "at least 0"
            raise ArgumentError("ctc_loss", f"{name} must be {rule}, got {value}")
    return values


def _labels(targets: Tensor, counts: list[int], classes: int, batched: bool) -> list[list[int]]:
    """The labels of each sequence, without what fills up the rows."""
    if targets.ndim == 2 and batched and targets.shape[0] == len(counts):
        rows = targets.tolist()
        if max(counts, default=0) > targets.shape[1]:
            rule = f"target_lengths must be at most S = {targets.shape[1]}, got {max(counts)}"
            raise ArgumentError("ctc_loss", rule, describe(targets=targets))
        labels = [row[:count] for row, count in zip(rows, counts, strict=True)]
    elif targets.ndim == 1 and (targets.shape[0] == sum(counts) or not batched):
        row, labels = targets.tolist(), []
        if sum(counts) > len(row):
            rule = f"target_lengths must be at most S = {len(row)}, got {sum(counts)}"
            raise ArgumentError("ctc_loss", rule, describe(targets=targets))
        for count in counts:
            labels.append(row[:count])
            row = row[count:]
    else:
        n, total = len(counts), sum(counts)
        rule = f"targets must have shape (N, S) = ({n}, S) or (Σ target_lengths,) = ({total},)"
        shape_error("ctc_loss", f"{rule}, got {targets.shape}")
    for label in (label for row in labels for label in row):
        if not 0 <= label < classes:
            rule = f"targets must be in [0, C) = [0, {classes}), got {label}"
            raise ArgumentError("ctc_loss", rule)
    return labels
