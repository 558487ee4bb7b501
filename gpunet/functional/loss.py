"""Losses. Each takes `reduction`: "mean" (default), "sum" or "none", as in PyTorch."""

from __future__ import annotations

from typing import Any

from gpunet.autograd.op import Op, apply
from gpunet.autograd.tensor import Tensor
from gpunet.backend import Array, Backend, Shape
from gpunet.errors import ArgumentError, DTypeError
from gpunet.functional.activation import logsigmoid
from gpunet.functional.arithmetic import mul, neg
from gpunet.functional.check import describe, one_of, same_dtype, shape_error
from gpunet.functional.reduction import mean, sum
from gpunet.functional.shape import permute, reshape
from gpunet.functional.softmax import log_softmax

_REDUCTIONS = ("mean", "sum", "none")


class CrossEntropy(Op):
    """Softmax and negative log-likelihood in one pass.

    Keeps the softmax, its gradient being softmax − one-hot.
    """

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
    Dtypes: x and weight floating, target int64 (indices) or x's dtype (probabilities).
    Args:
        ignore_index: rows with this target count for nothing.
        reduction: "mean" divides by the summed weight of the targets, as PyTorch does.
        label_smoothing: in [0, 1]; this share of the target is spread evenly over the classes
            (Szegedy et al., arXiv:1512.00567, section 7).
    Raises:
        ArgumentError: a target outside [0, C), or an argument outside its range.
    """
    same_dtype("cross_entropy", x=x, weight=weight)
    one_of("cross_entropy", "reduction", reduction, _REDUCTIONS)
    if not 0.0 <= label_smoothing <= 1.0:
        raise ArgumentError(
            "cross_entropy", f"label_smoothing must be in [0, 1], got {label_smoothing}"
        )
    if not isinstance(target, Tensor):
        raise DTypeError(
            "cross_entropy", f"target must be a gpunet.Tensor, got {type(target).__name__}"
        )
    if x.ndim == 0:
        shape_error("cross_entropy", "x must have a class axis", x=x)
    class_axis = 0 if x.ndim == 1 else 1
    classes = x.shape[class_axis]
    if weight is not None and weight.shape != (classes,):
        rule = f"weight must have shape (C,) = ({classes},), got {weight.shape}"
        shape_error("cross_entropy", rule, x=x)
    if target.dtype.kind == "f":
        return _cross_entropy_soft(x, target, weight, reduction, label_smoothing)
    if target.dtype != "int64":
        raise DTypeError(
            "cross_entropy", f"target must be int64 or floating, got {target.dtype}", describe(x=x)
        )
    rest = (*x.shape[:class_axis], *x.shape[class_axis + 1 :])
    if target.shape != rest:
        rule = (
            f"target must have shape {rest} (class indices) or {x.shape} (probabilities), "
            f"got {target.shape}"
        )
        shape_error("cross_entropy", rule, x=x)
    if x.ndim > 2:
        x = permute(x, (0, *range(2, x.ndim), 1))
    op = CrossEntropy(ignore_index, label_smoothing, reduction)
    if x.ndim != 2:
        x, target = reshape(x, (-1, classes)), reshape(target, (-1,))
    if weight is not None and weight.requires_grad:
        rule = "weight must not require a gradient where targets are class indices"
        raise ArgumentError("cross_entropy", rule)
    loss = apply(op, x, target, weight)
    return reshape(loss, rest) if reduction == "none" and loss.shape != rest else loss


def _cross_entropy_soft(
    x: Tensor, target: Tensor, weight: Tensor | None, reduction: str, label_smoothing: float
) -> Tensor:
    """Targets given as probabilities: composed, since no gradient of a gather is needed."""
    same_dtype("cross_entropy", x=x, target=target)
    if target.shape != x.shape:
        shape_error(
            "cross_entropy", f"target must have x's shape {x.shape}, got {target.shape}", x=x
        )
    class_axis = 0 if x.ndim == 1 else 1
    classes = x.shape[class_axis]
    if label_smoothing:
        target = target * (1.0 - label_smoothing) + label_smoothing / classes
    if weight is not None:
        target = mul(target, reshape(weight, (classes, *[1] * (x.ndim - 1 - class_axis))))
    rows = sum(mul(log_softmax(x, class_axis), target), class_axis) * -1.0
    if reduction == "none":
        return rows
    total = sum(rows)
    return total / rows.numel() if reduction == "mean" else total


def mse_loss(x: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    """(x − target)², the loss of regression.

    Shapes: x and target the same, any; the result () or, with reduction="none", theirs.
    Dtypes: floating.
    """
    _same_shape("mse_loss", x, target)
    difference = x - target
    return _reduce("mse_loss", difference * difference, reduction)


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
    _same_shape(operation, x, target)
    same_dtype(operation, x=x, weight=weight, pos_weight=pos_weight)
    for name, w in (("weight", weight), ("pos_weight", pos_weight)):
        if w is not None and not _broadcasts(w.shape, x.shape):
            rule = f"{name} must broadcast to x's shape {x.shape}, got {w.shape}"
            shape_error(operation, rule, x=x)
    # −log σ(x), and −log(1 − σ(x)) = x − log σ(x)
    likelihood = neg(logsigmoid(x))
    if pos_weight is not None:
        likelihood = mul(likelihood, (pos_weight - 1.0) * target + 1.0)
    loss = (1.0 - target) * x + likelihood
    if weight is not None:
        loss = mul(loss, weight)
    return _reduce(operation, loss, reduction)


def _same_shape(operation: str, x: Tensor, target: Any) -> None:
    same_dtype(operation, x=x, target=target)
    if x.shape != target.shape:
        shape_error(operation, f"target must have x's shape {x.shape}, got {target.shape}", x=x)


def _broadcasts(shape: Shape, to: Shape) -> bool:
    """Whether `shape` repeats to `to`, and to nothing larger."""
    if len(shape) > len(to):
        return False
    return all(n in (1, m) for n, m in zip(reversed(shape), reversed(to)))  # noqa: B905


def _reduce(operation: str, loss: Tensor, reduction: str) -> Tensor:
    one_of(operation, "reduction", reduction, _REDUCTIONS)
    if reduction == "none":
        return loss
    return mean(loss) if reduction == "mean" else sum(loss)
