"""Losses of classification: one of several classes, one of two, and any of several.

Each takes `reduction`: "mean" (default), "sum" or "none", as in PyTorch.
"""

from __future__ import annotations

import math
from typing import Any

from gpunet.autograd.op import Op, apply
from gpunet.autograd.tensor import Tensor
from gpunet.backend import Array, Backend, dtypes
from gpunet.errors import ArgumentError, DTypeError
from gpunet.functional.arithmetic import div, mul
from gpunet.functional.check import describe, floating, is_tensor, same_dtype, shape_error
from gpunet.functional.criterion import (
    EPSILON,
    Loss,
    check_labels,
    check_reduction,
    in_range,
    no_gradient,
    real_operands,
    reduced,
    repeats_to_x,
    same_shape,
)
from gpunet.functional.precision import in_single
from gpunet.functional.promotion import cast, promoted
from gpunet.functional.reduction import sum
from gpunet.functional.shape import permute, reshape
from gpunet.functional.softmax import log_softmax

# --- one of C classes


class CrossEntropy(Op):
    """Softmax and negative log-likelihood in one pass.

    Keeps the softmax, its gradient being softmax − one-hot.
    """

    takes_bfloat16 = True

    def __init__(self, ignore_index: int, smoothing: float, reduction: str):
        self.ignore_index, self.smoothing, self.reduction = ignore_index, smoothing, reduction

    def forward(self, be: Backend, x: Array, target: Array, weight: Array | None) -> Array:
        x, target = be.contiguous(x), be.contiguous(target)
        weight = None if weight is None else be.contiguous(weight)
        arguments = (target, weight, self.ignore_index, self.smoothing)
        rows, totals, p = be.softmax.cross_entropy_fwd(x, *arguments)
        self.saved = p, arguments, totals
        if self.reduction == "none":
            return rows
        return totals[2 if self.reduction == "mean" else 0, ...]

    def backward(self, be: Backend, gy: Array) -> Any:
        p, arguments, totals = self.saved
        if self.reduction == "mean":
            gy = gy / totals[1]
        return (
            be.softmax.cross_entropy_bwd(be.contiguous(gy.reshape(-1)), p, *arguments),
            None,
            None,
        )


@in_single
def cross_entropy(
    x: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """−log softmax(x)[target], the loss of classification, from unnormalised scores.

    Shapes: x (N, C) or (N, C, d1, ...) or (C,); target without the class axis as class indices, or
    of x's shape as class probabilities; weight (C,).
    Dtypes: x and weight floating, target int64 or uint8 (indices) or floating (probabilities).
    Args:
        ignore_index: rows with this target count for nothing; for class indices only.
        reduction: "mean" divides by the summed weight of the targets (class indices) or the number
            of rows (probabilities), as PyTorch does.
        label_smoothing: in [0, 1]; this share of the target is spread evenly over the classes
            (Szegedy et al., arXiv:1512.00567, section 7).
    Raises:
        ArgumentError: a target outside [0, C), or an argument outside its range.
    """
    operation = "cross_entropy"
    check_reduction(operation, reduction)
    if not 0.0 <= label_smoothing <= 1.0:
        raise ArgumentError(operation, f"label_smoothing must be in [0, 1], got {label_smoothing}")
    classes = _check_classes(operation, x, target, weight)
    if dtypes.floating(target.dtype):
        if ignore_index >= 0:
            rule = (
                f"ignore_index must be negative where targets are probabilities, got {ignore_index}"
            )
            raise ArgumentError(operation, rule)
        return _cross_entropy_soft(x, target, weight, reduction, label_smoothing)
    shape = _label_shape(operation, x, target)
    same_dtype(operation, x=x, weight=weight)
    no_gradient(operation, "weight", weight)
    if x.ndim > 2:
        x = permute(x, (0, *range(2, x.ndim), 1))
    if x.ndim != 2:
        x, target = reshape(x, (math.prod(shape), classes)), reshape(target, (-1,))
    op = CrossEntropy(ignore_index, label_smoothing, reduction)
    loss = apply(op, x, cast(target, dtypes.int64), weight)
    return reshape(loss, shape) if reduction == "none" and loss.shape != shape else loss


def _check_classes(operation: str, x: Any, target: Any, weight: Any) -> int:
    """How many classes there are."""
    floating(operation, "x", x)
    is_tensor(operation, "target", target)
    if x.ndim == 0:
        shape_error(operation, "x must have a class axis", x=x)
    classes = x.shape[0 if x.ndim == 1 else 1]
    if weight is not None:
        floating(operation, "weight", weight)
        if weight.shape != (classes,):
            rule = f"weight must have shape (C,) = ({classes},), got {weight.shape}"
            shape_error(operation, rule, x=x)
    return classes


def _label_shape(operation: str, x: Tensor, target: Tensor) -> tuple[int, ...]:
    """The shape of the class indices, which is that of the unreduced loss."""
    soft = " or floating" if operation == "cross_entropy" else ""
    if target.dtype not in (dtypes.int64, dtypes.uint8):
        rule = f"target must be int64 or uint8{soft}, got {target.dtype}"
        raise DTypeError(operation, rule, describe(x=x))
    shape = (*x.shape[: min(x.ndim - 1, 1)], *x.shape[2:])
    if target.shape != shape:
        wanted = f"{shape} (class indices) or {x.shape} (probabilities)" if soft else f"{shape}"
        shape_error(operation, f"target must have shape {wanted}, got {target.shape}", x=x)
    return shape


def _cross_entropy_soft(
    x: Tensor, target: Tensor, weight: Tensor | None, reduction: str, label_smoothing: float
) -> Tensor:
    """Targets given as probabilities: composed, since no gradient of a gather is needed."""
    same_shape("cross_entropy", x, target=target)
    x, target = promoted(x, target)
    class_axis = 0 if x.ndim == 1 else 1
    classes = x.shape[class_axis]
    if label_smoothing:
        target = target * (1.0 - label_smoothing) + label_smoothing / max(classes, 1)
    if weight is not None:
        target = mul(target, reshape(weight, (classes, *[1] * (x.ndim - 1 - class_axis))))
    rows = sum(mul(log_softmax(x, class_axis), target), class_axis) * -1.0
    return reduced(rows, reduction)


class NLL(Loss):
    def __init__(self, ignore_index: int, reduction: str):
        super().__init__(reduction)
        self.ignore_index = ignore_index

    def losses(self, be: Backend, x: Array, target: Array, weight: Array | None) -> Array:
        xp = be.xp
        ignored = xp.equal(target, self.ignore_index)
        label = xp.where(ignored, 0, target)
        w = xp.ones(label.shape, x.dtype) if weight is None else weight[label]
        w = xp.where(ignored, 0, w)
        if self.reduction == "mean":
            total = be.sum(w, tuple(range(w.ndim)))
            self.count = xp.where(xp.equal(total, 0), math.nan, total)
        picked = self._positions(be, label)
        self.saved = ignored, picked, w
        return xp.where(ignored, 0, xp.multiply(x[picked], -w))

    def _positions(self, be: Backend, label: Array) -> tuple[Array, ...]:
        """The index of each label's score: its row, itself, and its place in the further axes."""
        places = [be.xp.arange(n) for n in label.shape]
        for axis, place in enumerate(places):
            places[axis] = place.reshape([-1 if i == axis else 1 for i in range(label.ndim)])
        return (*places[:1], label, *places[1:])

    def gradient(self, be: Backend, g: Array, i: int) -> Array:
        ignored, picked, w = self.saved
        gx = be.full(self.shapes[0], 0, g.dtype)
        gx[picked] = be.xp.where(ignored, 0, be.xp.multiply(w, -g))
        return gx


@in_single
def nll_loss(
    x: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> Tensor:
    """−x[target], the negative log-likelihood where x holds log-probabilities (`log_softmax`).

    Shapes: x (N, C) or (N, C, d1, ...) or (C,); target without the class axis; weight (C,).
    Dtypes: x and weight floating, target int64 or uint8.
    Args:
        weight: of each class.
        ignore_index: rows with this target count for nothing.
        reduction: "mean" divides by the summed weight of the targets, as PyTorch does.
    Raises:
        ArgumentError: a target outside [0, C).

    >>> import gpunet
    >>> log_p = gpunet.tensor([[0.5, 0.25, 0.25], [0.1, 0.1, 0.8]]).log()
    >>> gpunet.functional.nll_loss(log_p, gpunet.tensor([0, 2]), reduction="none")
    tensor([0.6931472 , 0.22314353], dtype=float32)
    """
    operation = "nll_loss"
    check_reduction(operation, reduction)
    classes = _check_classes(operation, x, target, weight)
    _label_shape(operation, x, target)
    same_dtype(operation, x=x, weight=weight)
    no_gradient(operation, "weight", weight)
    if not classes and target.numel():
        shape_error(operation, "x must have at least one class", x=x)
    check_labels(operation, target, classes, ignore_index=ignore_index)
    return apply(NLL(ignore_index, reduction), x, cast(target, dtypes.int64), weight)


# --- one of two


class BinaryCrossEntropy(Loss):
    def losses(self, be: Backend, x: Array, target: Array, weight: Array | None) -> Array:
        xp = be.xp
        self.saved = x, target, weight
        # No logarithm of 0 is taken, of which NumPy would warn: it counts as -100, as in PyTorch.
        if_true = xp.maximum(xp.log(xp.maximum(x, 1e-44)), -100)
        certain = xp.equal(x, 1)
        if_false = xp.where(certain, -100, xp.log1p(xp.negative(xp.where(certain, 0, x))))
        losses = xp.subtract(
            xp.multiply(xp.subtract(target, 1), if_false), xp.multiply(target, if_true)
        )
        return losses if weight is None else xp.multiply(losses, weight)

    def gradient(self, be: Backend, g: Array, i: int) -> Array:
        xp = be.xp
        x, target, weight = self.saved
        if i == 0:
            variance = xp.multiply(xp.subtract(1, x), x)
            slope = xp.divide(xp.subtract(x, target), xp.maximum(variance, EPSILON))
        else:
            slope = xp.log1p(xp.negative(x)) - xp.log(x)
        return xp.multiply(slope, g if weight is None else g * weight)


@in_single
def binary_cross_entropy(
    x: Tensor, target: Tensor, weight: Tensor | None = None, reduction: str = "mean"
) -> Tensor:
    """−t·log x − (1 − t)·log(1 − x), from probabilities x.

    Logarithms are cut off at −100, so that a loss is finite where x is 0 or 1, and slopes by x at
    10¹². From scores, `binary_cross_entropy_with_logits` is exact.
    Shapes: x and target the same, any; weight broadcasts to it; the result () or, with
    reduction="none", theirs.
    Dtypes: floating, all the same; x and target in [0, 1].
    Args:
        weight: of each element.
    Raises:
        ArgumentError: an element of x or the target is outside [0, 1].

    >>> import gpunet
    >>> p, t = gpunet.tensor([0.5, 1.0, 1.0]), gpunet.tensor([1.0, 1.0, 0.0])
    >>> gpunet.functional.binary_cross_entropy(p, t, reduction="none")
    tensor([  0.6931472,  -0.       , 100.       ], dtype=float32)
    """
    operation = "binary_cross_entropy"
    check_reduction(operation, reduction)
    same_dtype(operation, x=x, target=target, weight=weight)
    same_shape(operation, x, target=target)
    repeats_to_x(operation, x, weight=weight)
    no_gradient(operation, "weight", weight)
    in_range(operation, "x", x, 0, 1)
    in_range(operation, "target", target, 0, 1)
    return apply(BinaryCrossEntropy(reduction), x, target, weight)


class BCEWithLogits(Loss):
    """(1 − t)·x − q·log σ(x), with q = 1 + (pos_weight − 1)·t; all of it times weight."""

    def losses(self, be: Backend, x: Array, target: Array, weight: Any, pos_weight: Any) -> Array:
        xp = be.xp
        log_p = be.activation.logsigmoid_fwd(be.contiguous(x))
        self.saved = x, target, weight, pos_weight, log_p
        if pos_weight is not None:
            log_p = xp.multiply(log_p, 1 + (pos_weight - 1) * target)
        losses = xp.subtract(xp.multiply(xp.subtract(1, target), x), log_p)
        return losses if weight is None else xp.multiply(losses, weight)

    def gradient(self, be: Backend, g: Array, i: int) -> Array:
        xp = be.xp
        x, target, weight, pos_weight, log_p = self.saved
        if i == 1:
            slope = -x if pos_weight is None else (1 - pos_weight) * log_p - x
        else:
            rest = be.activation.sigmoid_fwd(be.contiguous(xp.negative(x)))
            if pos_weight is not None:
                rest = xp.multiply(rest, 1 + (pos_weight - 1) * target)
            slope = xp.subtract(xp.subtract(1, target), rest)
        return xp.multiply(slope, g if weight is None else g * weight)


@in_single
def binary_cross_entropy_with_logits(
    x: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    reduction: str = "mean",
    pos_weight: Tensor | None = None,
) -> Tensor:
    """−t·log σ(x) − (1 − t)·log(1 − σ(x)), from unnormalised scores and without overflow.

    Shapes: x and target the same, any; weight and pos_weight broadcast to it; the result () or,
    with reduction="none", theirs.
    Dtypes: floating, all the same; target in [0, 1].
    Args:
        weight: of each element. pos_weight: of the first term, to balance rare positives.
    """
    operation = "binary_cross_entropy_with_logits"
    check_reduction(operation, reduction)
    same_dtype(operation, x=x, target=target, weight=weight, pos_weight=pos_weight)
    same_shape(operation, x, target=target)
    repeats_to_x(operation, x, weight=weight, pos_weight=pos_weight)
    no_gradient(operation, "weight", weight)
    no_gradient(operation, "pos_weight", pos_weight)
    return apply(BCEWithLogits(reduction), x, target, weight, pos_weight)


class SoftMargin(Loss):
    """−log σ(target · x)."""

    def losses(self, be: Backend, x: Array, target: Array) -> Array:
        lead = be.xp.multiply(x, target)
        self.saved = lead, target
        return be.xp.negative(be.activation.logsigmoid_fwd(be.contiguous(lead)))

    def gradient(self, be: Backend, g: Array, i: int) -> Array:
        lead, target = self.saved
        rest = be.activation.sigmoid_fwd(be.contiguous(be.xp.negative(lead)))
        return be.xp.multiply(be.xp.multiply(rest, target), -g)


@in_single
def soft_margin_loss(x: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    """log(1 + e^(−target·x)), the logistic loss of labels −1 and 1.

    Its slope in x is −t·(1 − σ(t·x)). Computed without overflow.
    Shapes: x any, target broadcasts to it; the result () or, with reduction="none", x's.
    Dtypes: floating; target any, its values are not checked.
    Differs from PyTorch: large scores do not overflow, there the loss is infinite.
    """
    operation = "soft_margin_loss"
    check_reduction(operation, reduction)
    floating(operation, "x", x)
    is_tensor(operation, "target", target)
    repeats_to_x(operation, x, target=target)
    no_gradient(operation, "target", target)
    return apply(SoftMargin(reduction), x, cast(target, x.dtype))


# --- any of C classes


@in_single
def multilabel_soft_margin_loss(
    x: Tensor, target: Tensor, weight: Tensor | None = None, reduction: str = "mean"
) -> Tensor:
    """The mean of `binary_cross_entropy_with_logits` over the classes of each row.

    Shapes: x (..., C), target and weight broadcast to it; the result () or, with
    reduction="none", (...).
    Dtypes: floating; target and weight any, they meet as in x − target.
    Args:
        weight: of each class, or each element.
    Differs from PyTorch: a score of −∞ gives NaN, there ∞ where the target is not 0.
    """
    operation = "multilabel_soft_margin_loss"
    check_reduction(operation, reduction)
    x, target = real_operands(operation, x, target)
    if x.ndim == 0:
        shape_error(operation, "x must have a class axis", x=x)
    repeats_to_x(operation, x, target=target, weight=weight)
    losses = apply(BCEWithLogits("none"), x, target, None, None)
    if weight is not None:
        losses = mul(losses, weight)
    return reduced(div(sum(losses, -1), x.shape[-1] or math.nan), reduction)
