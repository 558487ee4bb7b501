"""The dtype in which the operands of an operation meet; the rules are in `backend.dtypes`."""

from __future__ import annotations

from numbers import Real
from typing import Any

from gpunet.autograd.op import Op, apply
from gpunet.autograd.tensor import Tensor
from gpunet.backend import Array, Backend, dtypes
from gpunet.errors import ArgumentError, DTypeError, ShapeError
from gpunet.functional.check import describe


class Cast(Op):
    """The gradient is rounded back to the dtype of the input."""

    def __init__(self, dtype: Any):
        self.dtype = dtype

    def forward(self, be: Backend, x: Array) -> Array:
        self.before = x.dtype
        return be.cast(x, self.dtype)

    def backward(self, be: Backend, gy: Array) -> Array:
        return be.cast(gy, self.before)


def cast(x: Tensor, dtype: Any) -> Tensor:
    """x in another dtype, which must be a `numpy.dtype`; x itself if it has it."""
    if x.array.dtype == dtype:
        return x
    if dtype.kind == "f" and x.array.dtype.kind == "f":
        return apply(Cast(dtype), x)
    return Tensor(x.backend.cast(x.array, dtype), x.backend)  # whole numbers have no gradient


def real(x: Tensor) -> Tensor:
    """x itself if it is floating, else x in float32."""
    return x if x.array.dtype.kind == "f" else cast(x, dtypes.float32)


def promoted(*operands: Any, real: bool = False) -> tuple[Any, ...]:
    """Tensors and plain numbers, with the tensors in the dtype where all of them meet.

    Args:
        real: whole numbers meet in float32, as in a division.
    """
    meeting = dtypes.promote(*[_described(x) for x in operands])
    if real and meeting.kind != "f":
        meeting = dtypes.float32
    return tuple([cast(x, meeting) if isinstance(x, Tensor) else x for x in operands])


def _described(x: Any) -> tuple[Any, bool]:
    if isinstance(x, Tensor):
        return x.array.dtype, x.array.ndim > 0
    return bool if isinstance(x, bool) else int if isinstance(x, int) else float, False


def binary(operation: str, op: Op, x: Any, y: Any, *, real: bool = False) -> Tensor:
    """`op` on two tensors, or a tensor and a number, in the dtype where they meet.

    Args:
        real: whole numbers meet in float32, as in a division.
    """
    if not (type(x) is type(y) is Tensor and x.array.dtype is y.array.dtype and not real):
        x, y = _number(operation, "x", x), _number(operation, "y", y)
        if not isinstance(x, Tensor) and not isinstance(y, Tensor):
            got = f"{type(x).__name__} and {type(y).__name__}"
            raise DTypeError(operation, f"x or y must be a gpunet.Tensor, got {got}")
        x, y = promoted(x, y, real=real)
    try:
        return apply(op, x, y)
    except ValueError as error:
        if "broadcast" not in str(error):  # integers to negative powers
            raise ArgumentError(operation, str(error).rstrip("."), describe(x=x, y=y)) from None
        raise ShapeError(
            operation, f"shapes must broadcast, got {x.shape} and {y.shape}", describe(x=x, y=y)
        ) from None
    except OverflowError as error:  # a number beyond the integers of the dtype
        raise ArgumentError(operation, str(error), describe(x=x, y=y)) from None


def _number(operation: str, name: str, x: Any) -> Any:
    """A tensor as it is, a number as Python's own: a NumPy scalar would bring its dtype along."""
    if isinstance(x, Tensor) or type(x) in (float, int, bool):
        return x
    if isinstance(x, Real):
        return x.item() if hasattr(x, "item") else float(x)
    if getattr(x, "shape", None) == () and hasattr(x, "item") and x.dtype.kind in "fiub":
        return x.item()
    got = type(x).__name__
    raise DTypeError(operation, f"{name} must be a gpunet.Tensor or a number, got {got}")
