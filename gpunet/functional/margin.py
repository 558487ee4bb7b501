"""Losses of scores with a margin: nothing is lost where a score leads by as much as is asked for.

Each takes `reduction`: "mean" (default), "sum" or "none", as in PyTorch.
"""

from __future__ import annotations

from typing import Any

from gpunet.autograd.op import apply
from gpunet.autograd.tensor import Tensor
from gpunet.backend import Array, Backend, dtypes
from gpunet.errors import DTypeError
from gpunet.functional.check import (
    describe,
    floating,
    is_tensor,
    one_of,
    same_dtype,
    shape_error,
)
from gpunet.functional.criterion import (
    Loss,
    check_labels,
    check_reduction,
    no_gradient,
    same_axes,
)
from gpunet.functional.precision import in_single
from gpunet.functional.promotion import promoted
from gpunet.functional.shape import reshape

# --- two scores


class MarginRanking(Loss):
    def __init__(self, margin: float, reduction: str):
        super().__init__(reduction)
        self.margin = margin

    def losses(self, be: Backend, x1: Array, x2: Array, target: Array) -> Array:
        xp = be.xp
        lead = xp.subtract(x1, x2)
        missing = xp.multiply(xp.negative(target), lead) + self.margin
        self.saved = lead, target, missing >= 0
        return xp.maximum(missing, 0)

    def gradient(self, be: Backend, g: Array, i: int) -> Array:
        lead, target, active = self.saved
        slope = (be.xp.negative(target), target, be.xp.negative(lead))[i]
        return be.xp.multiply(slope, be.xp.multiply(active, g))


@in_single
def margin_ranking_loss(
    input1: Tensor,
    input2: Tensor,
    target: Tensor,
    margin: float = 0.0,
    reduction: str = "mean",
) -> Tensor:
    """max(0, −target · (input1 − input2) + margin): which of two scores ought to be the higher.

    Shapes: all with the same number of axes, broadcast; the result () or, with reduction="none",
    their common shape.
    Dtypes: floating; target any, they meet as in a sum.
    Args:
        target: 1 if input1 ought to be higher, −1 if input2.
        margin: by how much.
    """
    operation = "margin_ranking_loss"
    check_reduction(operation, reduction)
    floating(operation, "input1", input1)
    floating(operation, "input2", input2)
    is_tensor(operation, "target", target)
    same_axes(operation, input1=input1, input2=input2, target=target)
    operands = promoted(input1, input2, target)
    return apply(MarginRanking(margin, reduction), *operands)


# --- the scores of C classes


class MultiMargin(Loss):
    def __init__(self, p: int, margin: float, reduction: str):
        super().__init__(reduction)
        self.p, self.margin = p, margin

    def losses(self, be: Backend, x: Array, target: Array, weight: Array | None) -> Array:
        own = be.xp.arange(x.shape[0]), target
        missing = self.margin - x[own][:, None] + x
        missing[own] = 0
        missing = be.xp.where(missing > 0, missing, 0)
        scale = 1 / x.shape[1] if weight is None else weight[target] / x.shape[1]
        self.saved = own, missing, scale
        return be.sum(missing if self.p == 1 else missing * missing, (1,)) * scale

    def gradient(self, be: Backend, g: Array, i: int) -> Array:
        own, missing, scale = self.saved
        slope = (missing > 0) if self.p == 1 else 2 * missing
        gx = be.xp.multiply(slope, be.xp.reshape(g * scale, (-1, 1)))
        gx[own] = -be.sum(gx, (1,))
        return gx


@in_single
def multi_margin_loss(
    x: Tensor,
    target: Tensor,
    p: int = 1,
    margin: float = 1.0,
    weight: Tensor | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Σ_j max(0, margin − x[target] + x[j])^p / C over the classes j other than the target.

    Shapes: x (N, C) or (C,); target (N,) or (); weight (C,); the result () or, with
    reduction="none", the target's.
    Dtypes: x and weight floating, target int64.
    Args:
        p: 1 or 2.
        margin: by how much the target's score ought to be the highest.
        weight: of each target class.
    Raises:
        ArgumentError: a target outside [0, C), or another p.
    Source: Weston & Watkins, ESANN 1999.
    Differs from PyTorch: the mean over no rows is NaN, there undefined.
    """
    operation = "multi_margin_loss"
    check_reduction(operation, reduction)
    one_of(operation, "p", p, (1, 2))
    same_dtype(operation, x=x, weight=weight)
    rows, classes = _matrix(operation, x, target)
    if target.shape != (rows,) and not (x.ndim < 2 and target.ndim == 0):
        shape_error(operation, f"target must have shape {(rows,)}, got {target.shape}", x=x)
    if weight is not None and weight.shape != (classes,):
        rule = f"weight must have shape (C,) = ({classes},), got {weight.shape}"
        shape_error(operation, rule, x=x)
    no_gradient(operation, "weight", weight)
    check_labels(operation, target, classes)
    op = MultiMargin(p, margin, reduction)
    if x.ndim == 2:
        return apply(op, x, target, weight)
    loss = apply(op, reshape(x, (rows, classes)), reshape(target, (rows,)), weight)
    return reshape(loss, target.shape) if reduction == "none" else loss


class MultilabelMargin(Loss):
    def losses(self, be: Backend, x: Array, target: Array) -> Array:
        xp = be.xp
        # A row's labels end at its first −1; (N, labels, C) says which class each of them is.
        listed = xp.cumprod(target >= 0, axis=1) > 0
        longest = int(listed.sum(axis=1).max()) if target.size else 0
        label, listed = xp.where(listed, target, 0)[:, :longest], listed[:, :longest]
        hot = xp.equal(label[:, :, None], xp.arange(x.shape[1])) & listed[:, :, None]
        missing = 1 - xp.take_along_axis(x, label, 1)[:, :, None] + x[:, None, :]
        active = (missing > 0) & listed[:, :, None] & ~hot.any(axis=1)[:, None, :]
        self.saved, self.classes = (hot, active), x.shape[1]
        return be.sum(xp.where(active, missing, 0), (1, 2)) / x.shape[1]

    def gradient(self, be: Backend, g: Array, i: int) -> Array:
        hot, active = self.saved
        raised, lowered = active.sum(axis=1), (hot * active.sum(axis=2)[:, :, None]).sum(axis=1)
        slope = be.cast(raised - lowered, g.dtype)
        return be.xp.multiply(slope, be.xp.reshape(g, (-1, 1)) / self.classes)


@in_single
def multilabel_margin_loss(x: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    """Σ_ij max(0, 1 − x[i] + x[j]) / C over the labels i of a row and the other classes j.

    Shapes: x (N, C) or (C,); target the same: the labels of each row, then −1; the result () or,
    with reduction="none", (N,) or ().
    Dtypes: x floating, target int64.
    Raises:
        ArgumentError: a target outside [−1, C).
    Differs from PyTorch: the mean over no rows is NaN, there undefined.

    >>> import gpunet
    >>> x, labels = gpunet.tensor([[0.1, 0.2, 0.4, 0.8]]), gpunet.tensor([[3, 0, -1, 1]])
    >>> gpunet.functional.multilabel_margin_loss(x, labels)
    tensor(0.85, dtype=float32)
    """
    operation = "multilabel_margin_loss"
    check_reduction(operation, reduction)
    floating(operation, "x", x)
    rows, classes = _matrix(operation, x, target)
    if target.shape != x.shape and not (
        x.ndim < 2 and target.ndim < 2 and x.numel() == target.numel()
    ):
        rule = f"target must have x's shape {x.shape}, got {target.shape}"
        shape_error(operation, rule, x=x)
    check_labels(operation, target, classes, low=-1)
    op = MultilabelMargin(reduction)
    if x.ndim == 2:
        return apply(op, x, target)
    loss = apply(op, reshape(x, (rows, classes)), reshape(target, (rows, classes)))
    return reshape(loss, ()) if reduction == "none" else loss


def _matrix(operation: str, x: Tensor, target: Any) -> tuple[int, int]:
    """How many rows of how many classes the scores are; labels come with them."""
    is_tensor(operation, "target", target)
    if target.dtype != dtypes.int64:
        rule = f"target must be int64, got {target.dtype}"
        raise DTypeError(operation, rule, describe(x=x))
    if x.ndim > 2 or 0 in x.shape[-1:]:
        shape_error(operation, f"x must have shape (N, C) or (C,) with C > 0, got {x.shape}")
    return (x.shape[0] if x.ndim == 2 else 1), (x.shape[-1] if x.ndim else 1)
