"""What losses share: their checks, the reduction at their end, and the base of their operations."""

from __future__ import annotations

import math
from typing import Any

from gpunet.autograd.broadcast import unbroadcast
from gpunet.autograd.mode import mode
from gpunet.autograd.op import Op
from gpunet.autograd.tensor import Tensor
from gpunet.backend import Array, Backend, Shape, dtypes
from gpunet.errors import ArgumentError
from gpunet.functional.check import describe, floating, is_tensor, one_of, shape_error
from gpunet.functional.promotion import promoted
from gpunet.functional.reduction import mean, sum

REDUCTIONS = ("mean", "sum", "none")
EPSILON = 9.999999960041972e-13  # PyTorch's 1e-12, which is a float32


class Loss(Op):
    """A loss of each element or row, reduced.

    A subclass computes the `losses`, keeps in `self.saved` what `gradient` reads, and gives the
    gradient of one operand at a time. Operands may broadcast. Both methods see halves widened to
    float32; results are rounded once, at the end.

    Attributes:
        count: what "mean" divides by: the number of losses, unless `losses` sets it.
    """

    count: Any = None

    def __init__(self, reduction: str):
        self.reduction = reduction

    def losses(self, be: Backend, *operands: Any) -> Array:
        """The loss of each element or row."""
        raise NotImplementedError

    def total(self, be: Backend, *operands: Any) -> Array:
        """The sum of all losses; sets `count`."""
        y = be.xp.asarray(self.losses(be, *operands))
        if self.count is None:
            self.count = y.size or math.nan  # the mean of nothing is NaN
        return be.sum(y, tuple(range(y.ndim)))

    def gradient(self, be: Backend, g: Array, i: int) -> Array:
        """g times the slope of the losses in operand `i`; g has their shape, or () for all."""
        raise NotImplementedError

    def forward(self, be: Backend, *operands: Any) -> Array:
        self.dtype = operands[0].dtype
        self.shapes = [getattr(x, "shape", ()) for x in operands]
        operands = tuple([widened(be, x) for x in operands])
        if self.reduction == "none":
            y = be.xp.asarray(self.losses(be, *operands))
        else:
            y = self.total(be, *operands)
        if self.reduction == "mean":
            y = be.xp.divide(y, self.count)
        return y if y.dtype == self.dtype else be.cast(y, self.dtype)

    def backward(self, be: Backend, gy: Array) -> Any:
        g = widened(be, gy)
        if self.reduction == "mean":
            g = be.xp.divide(g, self.count)
        return tuple(
            [self._of_operand(be, g, i) if need else None for i, need in enumerate(self.needs)]
        )

    def _of_operand(self, be: Backend, g: Array, i: int) -> Array:
        """The gradient in the shape and dtype of operand `i`."""
        gx, shape = be.xp.asarray(self.gradient(be, g, i)), self.shapes[i]
        if gx.shape != shape:
            gx = unbroadcast(be, be.xp.broadcast_to(gx, broadcast_shape(*self.shapes)), shape)
        return gx if gx.dtype == self.dtype else be.cast(gx, self.dtype)


def widened(be: Backend, x: Any) -> Any:
    """A half in float32, anything else as it is."""
    return be.cast(x, dtypes.float32) if hasattr(x, "dtype") and dtypes.half(x.dtype) else x


def reduced(loss: Tensor, reduction: str) -> Tensor:
    """The mean or sum over all elements, or all of them."""
    if reduction == "none":
        return loss
    return mean(loss) if reduction == "mean" else sum(loss)


# --- checks


def check_reduction(operation: str, reduction: str) -> None:
    """It must be "mean", "sum" or "none"."""
    one_of(operation, "reduction", reduction, REDUCTIONS)


def same_shape(operation: str, x: Tensor, **others: Any) -> None:
    """All must be tensors of x's shape."""
    for name, other in others.items():
        is_tensor(operation, name, other)
        if other.shape != x.shape:
            rule = f"{name} must have x's shape {x.shape}, got {other.shape}"
            shape_error(operation, rule, x=x)


def broadcast_shape(*shapes: Shape) -> Shape | None:
    """The shape that all of these repeat to, None if there is none."""
    ndim = max(map(len, shapes))
    result = []
    for lengths in zip(*[(1,) * (ndim - len(s)) + s for s in shapes]):  # noqa: B905
        longer = {n for n in lengths if n != 1}
        if len(longer) > 1:
            return None
        result.append(longer.pop() if longer else 1)
    return tuple(result)


def repeat_together(operation: str, **tensors: Tensor) -> None:
    """The shapes must repeat to a common one."""
    shapes = [x.shape for x in tensors.values()]
    if broadcast_shape(*shapes) is None:
        got = " and ".join(map(str, shapes))
        shape_error(operation, f"the shapes of {', '.join(tensors)} must broadcast, got {got}")


def repeats_to_x(operation: str, x: Tensor, **others: Tensor | None) -> None:
    """The others must repeat to x's shape, and to nothing larger."""
    for name, other in others.items():
        if other is None:
            continue
        is_tensor(operation, name, other)
        if broadcast_shape(other.shape, x.shape) != x.shape:
            rule = f"{name} must broadcast to x's shape {x.shape}, got {other.shape}"
            shape_error(operation, rule, x=x)


def same_axes(operation: str, **tensors: Tensor) -> None:
    """All must have the same number of axes, and broadcast."""
    if len({x.ndim for x in tensors.values()}) > 1:
        names = " and ".join(tensors)
        shape_error(operation, f"{names} must have the same number of axes", **tensors)
    repeat_together(operation, **tensors)


def real_operands(operation: str, x: Any, target: Any) -> tuple[Tensor, Tensor]:
    """x, which must be floating, and any target, in the dtype where they meet."""
    floating(operation, "x", x)
    is_tensor(operation, "target", target)
    return (x, target) if x.array.dtype is target.array.dtype else promoted(x, target)


def positive_number(operation: str, name: str, value: float) -> None:
    """`value` must be above 0."""
    if not value > 0:
        raise ArgumentError(operation, f"{name} must be above 0, got {value}")


def no_gradient(operation: str, name: str, x: Tensor | None) -> None:
    """`x` must not ask for a gradient that the loss, as in PyTorch, does not have."""
    if x is not None and x.requires_grad and mode.recording:
        raise ArgumentError(operation, f"{name} must not require a gradient, got one that does")


def in_range(operation: str, name: str, x: Tensor, low: float, high: float) -> None:
    """All elements must be in [low, high]; NaN is not."""
    if x.array.size and not (x.array.min() >= low and x.array.max() <= high):
        rule = (
            f"{name} must be in [{low}, {high}], got values from {x.array.min()} to {x.array.max()}"
        )
        raise ArgumentError(operation, rule, describe(**{name: x}))


def check_labels(
    operation: str, target: Tensor, classes: int, *, ignore_index: int | None = None, low: int = 0
) -> None:
    """Class indices must be in [low, classes), but for those to be ignored."""
    labels = target.array
    if not labels.size or (labels.min() >= low and labels.max() < classes):
        return
    wrong = (labels < low) | (labels >= classes)
    if ignore_index is not None:
        wrong &= labels != ignore_index
    if wrong.any():
        i = int(wrong.reshape(-1).argmax())
        got = f"got {labels.reshape(-1)[i]} at index {i}"
        rule = f"target must be in [{low}, C) = [{low}, {classes}), {got}"
        ignored = "" if ignore_index is None else f"ignore_index is {ignore_index}"
        raise ArgumentError(operation, rule, ignored)
