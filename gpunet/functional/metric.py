"""Losses of distances, from which a metric is learned: alike is near, unlike is far.

Each takes `reduction`: "mean" (default), "sum" or "none", as in PyTorch. Targets of −1 and 1 are
not checked, as in PyTorch. At the margin itself slopes are those inside it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from gpunet.autograd.op import apply
from gpunet.autograd.tensor import Tensor
from gpunet.backend import Array, Backend
from gpunet.functional.check import floating, is_tensor, shape_error
from gpunet.functional.criterion import (
    EPSILON,
    Loss,
    check_reduction,
    positive_number,
    repeat_together,
    same_axes,
)
from gpunet.functional.distance import pairwise_distance
from gpunet.functional.precision import in_single
from gpunet.functional.promotion import cast, promoted, wide
from gpunet.functional.shape import reshape

# --- pairs


class HingeEmbedding(Loss):
    def __init__(self, margin: float, reduction: str):
        super().__init__(reduction)
        self.margin = margin

    def losses(self, be: Backend, x: Array, target: Array) -> Array:
        xp = be.xp
        missing = self.margin - x
        alike, unlike = xp.not_equal(target, -1), xp.not_equal(target, 1)
        self.saved = alike, unlike & (missing >= 0)
        return xp.add(xp.where(unlike, xp.maximum(missing, 0), 0), xp.where(alike, x, 0))

    def gradient(self, be: Backend, g: Array, i: int) -> Array:
        alike, close = self.saved
        return be.xp.subtract(be.xp.where(alike, g, 0), be.xp.where(close, g, 0))


@in_single
def hinge_embedding_loss(
    x: Tensor, target: Tensor, margin: float = 1.0, reduction: str = "mean"
) -> Tensor:
    """x where the target is 1, max(0, margin − x) where it is −1; x is a distance.

    Shapes: x and target broadcast; the result () or, with reduction="none", their common shape.
    Dtypes: floating; target any.
    Args:
        margin: the distance beyond which unlike pairs lose nothing.
    Source: Hadsell, Chopra & LeCun, CVPR 2006 (there squared).

    >>> import gpunet
    >>> distance, same = gpunet.tensor([0.25, 0.25, 3.0]), gpunet.tensor([1, -1, -1])
    >>> gpunet.functional.hinge_embedding_loss(distance, same, reduction="none")
    tensor([0.25, 0.75, 0.  ], dtype=float32)
    """
    operation = "hinge_embedding_loss"
    check_reduction(operation, reduction)
    floating(operation, "x", x)
    is_tensor(operation, "target", target)
    repeat_together(operation, x=x, target=target)
    return apply(HingeEmbedding(margin, reduction), x, cast(target.detach(), x.dtype))


class CosineEmbedding(Loss):
    """Targets come with an axis of length 1 in place of the vectors'.

    EPSILON is added to squared lengths: a zero vector is at a right angle to all others.
    """

    def __init__(self, margin: float, reduction: str):
        super().__init__(reduction)
        self.margin = margin

    def losses(self, be: Backend, x1: Array, x2: Array, target: Array) -> Array:
        xp = be.xp
        target = target[..., 0]
        last = (x1.ndim - 1,)
        length1, length2 = (xp.sqrt(be.sum(x * x, last) + EPSILON) for x in (x1, x2))
        cosine = be.sum(xp.multiply(x1, x2), last) / length1 / length2
        alike, unlike = xp.equal(target, 1), xp.equal(target, -1)
        self.saved = x1, x2, length1, length2, cosine, alike, unlike & (cosine - self.margin >= 0)
        over = xp.maximum(cosine - self.margin, 0)
        return xp.where(alike, 1 - cosine, 0) + xp.where(unlike, over, 0)

    def gradient(self, be: Backend, g: Array, i: int) -> Array:
        x1, x2, length1, length2, cosine, alike, active = self.saved
        own, other, length, its = (
            (x1, x2, length1, length2) if i == 0 else (x2, x1, length2, length1)
        )
        g = be.xp.where(active, g, 0) - be.xp.where(alike, g, 0)
        along, across = g * cosine / length / length, g / length / its
        return other * across[..., None] - own * along[..., None]


@in_single
def cosine_embedding_loss(
    input1: Tensor,
    input2: Tensor,
    target: Tensor,
    margin: float = 0.0,
    reduction: str = "mean",
) -> Tensor:
    """1 − cos(input1, input2) where the target is 1, max(0, cos − margin) where it is −1.

    Shapes: vectors (N, D) and target (N,), or (D,) and (); the result () or, with reduction="none",
    the target's.
    Dtypes: floating; target any.
    Args:
        margin: in [−1, 1], the cosine below which unlike pairs lose nothing.

    >>> import gpunet
    >>> a, b = gpunet.tensor([[1.0, 0.0], [3.0, 4.0]]), gpunet.tensor([[0.0, 2.0], [3.0, 4.0]])
    >>> gpunet.functional.cosine_embedding_loss(a, b, gpunet.tensor([1, -1]), reduction="none")
    tensor([1., 1.], dtype=float32)
    """
    operation = "cosine_embedding_loss"
    check_reduction(operation, reduction)
    floating(operation, "input1", input1)
    floating(operation, "input2", input2)
    is_tensor(operation, "target", target)
    if target.ndim > 1 or {input1.ndim, input2.ndim} != {target.ndim + 1}:
        rule = (
            f"inputs and target must be (N, D) and (N,), or (D,) and (), got target {target.shape}"
        )
        shape_error(operation, rule, input1=input1, input2=input2)
    if input1.shape[-1] != input2.shape[-1]:
        rule = f"input2 must have vectors of length {input1.shape[-1]}, got {input2.shape[-1]}"
        shape_error(operation, rule, input1=input1)
    labels = reshape(target.detach(), (*target.shape, 1))
    repeat_together(operation, input1=input1, input2=input2, target=labels)
    input1, input2 = promoted(input1, input2)
    return apply(CosineEmbedding(margin, reduction), input1, input2, cast(labels, input1.dtype))


# --- triplets


class TripletMargin(Loss):
    """From the distances of the anchor to the positive and the negative, and of these two."""

    def __init__(self, margin: float, reduction: str):
        super().__init__(reduction)
        self.margin = margin

    def losses(self, be: Backend, near: Array, far: Array, swapped: Array | None) -> Array:
        xp = be.xp
        share: Any = 1.0
        if swapped is not None:  # the nearer counts; equal distances get half of the gradient each
            share = be.cast(0.5 * (far < swapped) + 0.5 * (far <= swapped), far.dtype)
            far = xp.minimum(far, swapped)
        missing = self.margin + near - far
        self.saved = missing >= 0, share
        return xp.maximum(missing, 0)

    def gradient(self, be: Backend, g: Array, i: int) -> Array:
        active, share = self.saved
        g = be.xp.where(active, g, 0)
        return g if i == 0 else -g * (share if i == 1 else 1 - share)


@in_single
def triplet_margin_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    margin: float = 1.0,
    p: float = 2.0,
    eps: float = 1e-6,
    swap: bool = False,
    reduction: str = "mean",
) -> Tensor:
    """max(0, margin + d(anchor, positive) − d(anchor, negative)), d(x, y) = ‖x − y + eps‖_p.

    Shapes: all with the same number of axes, (..., D), broadcast; the result () or, with
    reduction="none", (...).
    Dtypes: floating, they meet as in a sum.
    Args:
        margin: above 0, by how much the negative ought to be farther away.
        p: of the norm, which may be infinite.
        eps: keeps the slope of the norm finite.
        swap: takes d(positive, negative) where it is below d(anchor, negative).
    Source: Balntas et al., BMVC 2016.

    >>> import gpunet
    >>> anchor, positive, negative = map(gpunet.tensor, ([[0.0, 0.0]], [[3.0, 4.0]], [[0.0, 4.5]]))
    >>> loss = gpunet.functional.triplet_margin_loss(anchor, positive, negative)
    >>> print(f"{loss.item():.3f}")
    1.500
    """
    operation = "triplet_margin_loss"
    check_reduction(operation, reduction)
    positive_number(operation, "margin", margin)
    points = _points(operation, anchor, positive, negative)
    if 0 in anchor.shape[-1:] and (p < 0 or math.isinf(p)):
        shape_error(operation, f"anchor must have vectors with elements for p = {p}", anchor=anchor)

    def distance(x: Tensor, y: Tensor) -> Tensor:
        return pairwise_distance(x, y, p, eps)

    loss = _triplet(distance, tuple(map(wide, points)), margin, swap, reduction)
    return cast(loss, points[0].dtype)


@in_single
def triplet_margin_with_distance_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    *,
    distance_function: Callable[[Tensor, Tensor], Tensor] | None = None,
    margin: float = 1.0,
    swap: bool = False,
    reduction: str = "mean",
) -> Tensor:
    """`triplet_margin_loss` with a distance of your own.

    Shapes: all with the same number of axes; the result () or, with reduction="none", that of the
    distances.
    Dtypes: floating, they meet as in a sum.
    Args:
        distance_function: of two tensors; None is ‖x − y + 1e-6‖₂ over the last axis.
        margin: above 0, by how much the negative ought to be farther away.
        swap: takes the distance of positive and negative where it is below that of the anchor and
            the negative.
    """
    operation = "triplet_margin_with_distance_loss"
    check_reduction(operation, reduction)
    positive_number(operation, "margin", margin)
    points = _points(operation, anchor, positive, negative)
    return _triplet(distance_function or pairwise_distance, points, margin, swap, reduction)


def _points(operation: str, *points: Tensor) -> tuple[Tensor, ...]:
    named = dict(zip(("anchor", "positive", "negative"), points, strict=True))
    for name, x in named.items():
        floating(operation, name, x)
    same_axes(operation, **named)
    return promoted(*points)


def _triplet(
    distance: Callable[[Tensor, Tensor], Tensor],
    points: tuple[Tensor, ...],
    margin: float,
    swap: bool,
    reduction: str,
) -> Tensor:
    anchor, positive, negative = points
    distances = [distance(anchor, positive), distance(anchor, negative)]
    if swap:
        distances.append(distance(positive, negative))
    op = TripletMargin(margin, reduction)
    return apply(op, *promoted(*distances), *[None] * (3 - len(distances)))
