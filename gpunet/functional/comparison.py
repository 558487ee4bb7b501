"""Comparisons, logic and bits, elementwise; nothing here has a gradient."""

from __future__ import annotations

from numbers import Real
from typing import Any

from gpunet.autograd.op import Op, apply
from gpunet.autograd.tensor import Tensor, method
from gpunet.backend import Array, Backend, dtypes
from gpunet.errors import ArgumentError, DTypeError
from gpunet.functional.check import describe, is_tensor, one_device
from gpunet.functional.pointwise import Compare
from gpunet.functional.promotion import NARROW, WIDE, WRAPS, binary, cast, meeting, number, together

Number = float | int


class IsClose(Op):
    def __init__(self, rtol: float, atol: float, equal_nan: bool):
        self.tolerance = dict(rtol=rtol, atol=atol, equal_nan=equal_nan)

    def forward(self, be: Backend, x: Any, y: Any) -> Array:
        return be.xp.asarray(be.xp.isclose(x, y, **self.tolerance))


class IsIn(Op):
    def __init__(self, assume_unique: bool, invert: bool):
        self.options = dict(assume_unique=assume_unique, invert=invert)

    def forward(self, be: Backend, elements: Any, test_elements: Any) -> Array:
        both = be.asarray(elements), be.asarray(test_elements)
        return be.xp.asarray(be.xp.isin(*both, **self.options))


def _compared(operation: str, f: str, x: Any, other: Any) -> Tensor:
    return binary(operation, Compare(f), x, other, NARROW)


@method("eq", "eq_")
def eq(x: Tensor, other: Tensor | Number) -> Tensor:
    """x == other, elementwise, as booleans. Shapes: any two that broadcast.

    The operator `==` is False beside what is neither a tensor nor a number, such as None.
    """
    return _compared("eq", "equal", x, other)


@method("ne", "ne_")
def ne(x: Tensor, other: Tensor | Number) -> Tensor:
    """x != other, elementwise, as booleans. Shapes: any two that broadcast."""
    return _compared("ne", "not_equal", x, other)


def _comparable(other: Any) -> bool:
    return isinstance(other, (Tensor, Real)) or hasattr(other, "__array__")


@method("__eq__")
def _eq(x: Tensor, other: Any) -> Any:
    return eq(x, other) if _comparable(other) else NotImplemented


@method("__ne__")
def _ne(x: Tensor, other: Any) -> Any:
    return ne(x, other) if _comparable(other) else NotImplemented


@method("lt", "lt_", "__lt__")
def lt(x: Tensor, other: Tensor | Number) -> Tensor:
    """x < other, elementwise, as booleans. Shapes: any two that broadcast.

    A number beyond the integers of x's dtype is compared as it is, and does not wrap around.
    """
    return _compared("lt", "less", x, other)


@method("le", "le_", "__le__")
def le(x: Tensor, other: Tensor | Number) -> Tensor:
    """x <= other, elementwise, as booleans. Shapes: any two that broadcast."""
    return _compared("le", "less_equal", x, other)


@method("gt", "gt_", "__gt__")
def gt(x: Tensor, other: Tensor | Number) -> Tensor:
    """x > other, elementwise, as booleans. Shapes: any two that broadcast."""
    return _compared("gt", "greater", x, other)


@method("ge", "ge_", "__ge__")
def ge(x: Tensor, other: Tensor | Number) -> Tensor:
    """x >= other, elementwise, as booleans. Shapes: any two that broadcast."""
    return _compared("ge", "greater_equal", x, other)


@method()
def equal(x: Tensor, other: Tensor) -> bool:
    """Whether two tensors have the same shape and equal elements (NaN equals nothing): one bool.

    Shapes: any.
    """
    is_tensor("equal", "x", x)
    is_tensor("equal", "other", other)
    one_device("equal", x, other)
    if x.shape != other.shape:
        return False
    return bool(x.backend.xp.all(_compared("equal", "equal", x, other).array))


@method()
def isclose(
    x: Tensor,
    other: Tensor | Number,
    rtol: float = 1e-05,
    atol: float = 1e-08,
    equal_nan: bool = False,
) -> Tensor:
    """|x − other| ≤ `atol` + `rtol` · |other|, elementwise, as booleans; equal Inf are close.

    Shapes: any two that broadcast.

    Args:
        rtol, atol: allowed difference, relative and absolute, not negative.
        equal_nan: two NaN are close, too.
    Differs from PyTorch: `other` may be a number.
    """
    return _close("isclose", x, other, rtol, atol, equal_nan)


@method()
def allclose(
    x: Tensor,
    other: Tensor | Number,
    rtol: float = 1e-05,
    atol: float = 1e-08,
    equal_nan: bool = False,
) -> bool:
    """Whether all elements are close, as one bool; `rtol`, `atol` and `equal_nan` as in `isclose`.

    Shapes: any two that broadcast.
    Differs from PyTorch: `other` may be a number.
    """
    close = _close("allclose", x, other, rtol, atol, equal_nan)
    return bool(close.backend.xp.all(close.array))


def _close(operation: str, x: Any, other: Any, rtol: float, atol: float, equal_nan: bool) -> Tensor:
    for name, value in (("rtol", rtol), ("atol", atol)):
        if not value >= 0:
            raise ArgumentError(operation, f"{name} must not be negative, got {value}")
    return binary(operation, IsClose(rtol, atol, equal_nan), x, other, WIDE)


@method()
def isin(
    elements: Tensor | Number,
    test_elements: Tensor | Number,
    *,
    assume_unique: bool = False,
    invert: bool = False,
) -> Tensor:
    """Whether each of `elements` is one of `test_elements`, as booleans.

    Shapes: any; the result has that of `elements`.

    Args:
        assume_unique: neither holds anything twice, which saves time.
        invert: whether it is none of them instead.

    >>> import gpunet
    >>> gpunet.isin(gpunet.tensor([[1, 2], [3, 4]]), gpunet.tensor([4, 1]))
    tensor([[ True, False],
            [False,  True]])
    """
    operands = {"elements": elements, "test_elements": test_elements}
    return together("isin", IsIn(assume_unique, invert), operands, NARROW)


# --- logic


def _logical(operation: str, x: Any, other: Any) -> Tensor:
    return binary(
        operation, Compare(operation), _truth(operation, "x", x), _truth(operation, "other", other)
    )


def _truth(operation: str, name: str, x: Any) -> Any:
    x = number(operation, name, x)
    return cast(x, dtypes.bool_) if isinstance(x, Tensor) else bool(x)


@method("logical_and", "logical_and_")
def logical_and(x: Tensor, other: Tensor | Number) -> Tensor:
    """Whether neither is 0, elementwise.

    Shapes: any two that broadcast.
    Differs from PyTorch: `other` may be a number.
    """
    return _logical("logical_and", x, other)


@method("logical_or", "logical_or_")
def logical_or(x: Tensor, other: Tensor | Number) -> Tensor:
    """Whether not both are 0, elementwise.

    Shapes: any two that broadcast.
    Differs from PyTorch: `other` may be a number.
    """
    return _logical("logical_or", x, other)


@method("logical_xor", "logical_xor_")
def logical_xor(x: Tensor, other: Tensor | Number) -> Tensor:
    """Whether just one is 0, elementwise.

    Shapes: any two that broadcast.
    Differs from PyTorch: `other` may be a number.
    """
    return _logical("logical_xor", x, other)


@method("logical_not", "logical_not_")
def logical_not(x: Tensor) -> Tensor:
    """Whether each element is 0. Shapes: any."""
    is_tensor("logical_not", "x", x)
    return apply(Compare("logical_not"), x)


# --- bits


def _bits(operation: str, f: str, x: Any, other: Any, *, booleans: bool = True) -> Tensor:
    operands = {"x": x, "other": other}
    x, other = (number(operation, name, v) for name, v in operands.items())
    dtype = meeting((x, other))
    if dtypes.floating(dtype) or (dtype.kind == "b" and not booleans):
        kinds = "integers or booleans" if booleans else "integers"
        raise DTypeError(operation, f"operands must be {kinds}, got {dtype}", describe(**operands))
    return binary(operation, Compare(f), x, other, WRAPS)


@method("bitwise_and", "bitwise_and_", "__and__", "__rand__", "__iand__")
def bitwise_and(x: Tensor | Number, other: Tensor | Number) -> Tensor:
    """Bits that both have, elementwise. Shapes: any two that broadcast. Dtypes: whole, bool."""
    return _bits("bitwise_and", "bitwise_and", x, other)


@method("bitwise_or", "bitwise_or_", "__or__", "__ror__", "__ior__")
def bitwise_or(x: Tensor | Number, other: Tensor | Number) -> Tensor:
    """Bits that either has, elementwise. Shapes: any two that broadcast. Dtypes: whole, bool."""
    return _bits("bitwise_or", "bitwise_or", x, other)


@method("bitwise_xor", "bitwise_xor_", "__xor__", "__rxor__", "__ixor__")
def bitwise_xor(x: Tensor | Number, other: Tensor | Number) -> Tensor:
    """Bits that just one has, elementwise. Shapes: any two that broadcast. Dtypes: whole, bool."""
    return _bits("bitwise_xor", "bitwise_xor", x, other)


@method("bitwise_not", "bitwise_not_", "__invert__")
def bitwise_not(x: Tensor) -> Tensor:
    """Every bit turned over; of a boolean, the other one. Shapes: any. Dtypes: whole, bool."""
    is_tensor("bitwise_not", "x", x)
    if dtypes.floating(x.array.dtype):
        rule = f"x must be integers or booleans, got {x.dtype}"
        raise DTypeError("bitwise_not", rule, describe(x=x))
    return apply(Compare("invert"), x)


@method("bitwise_left_shift", "bitwise_left_shift_", "__lshift__", "__ilshift__")
def bitwise_left_shift(x: Tensor | Number, other: Tensor | Number) -> Tensor:
    """x · 2^other by shifting bits; 0 if `other` is negative or exceeds the bits there are.

    Shapes: any two that broadcast. Dtypes: whole.
    """
    return _bits("bitwise_left_shift", "left_shift", x, other, booleans=False)


@method("__rlshift__")
def _rlshift(other: Tensor, x: Number) -> Tensor:
    return bitwise_left_shift(x, other)


@method("bitwise_right_shift", "bitwise_right_shift_", "__rshift__", "__irshift__")
def bitwise_right_shift(x: Tensor | Number, other: Tensor | Number) -> Tensor:
    """⌊x / 2^other⌋ by shifting bits; the sign alone is left if `other` exceeds the bits there are.

    Shapes: any two that broadcast. Dtypes: whole.
    """
    return _bits("bitwise_right_shift", "right_shift", x, other, booleans=False)


@method("__rrshift__")
def _rrshift(other: Tensor, x: Number) -> Tensor:
    return bitwise_right_shift(x, other)
