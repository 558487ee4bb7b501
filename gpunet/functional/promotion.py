"""The dtype in which the operands of an operation meet; the rules are in `backend.dtypes`."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Real
from typing import Any, NamedTuple, NoReturn

from gpunet.autograd.op import Op, apply, cast
from gpunet.autograd.tensor import Tensor
from gpunet.backend import dtypes
from gpunet.errors import ArgumentError, DTypeError, GpunetError, ShapeError
from gpunet.functional.check import describe, is_tensor


def real(x: Tensor) -> Tensor:
    """x itself if it is floating, else x in float32."""
    return x if dtypes.floating(x.array.dtype) else cast(x, dtypes.float32)


def promoted(*operands: Any, real: bool = False) -> tuple[Any, ...]:
    """Tensors and plain numbers, with the tensors in the dtype where all of them meet.

    Args:
        real: whole numbers meet in float32, as in a division.
    """
    dtype = meeting(operands, real)
    return tuple([cast(x, dtype) if isinstance(x, Tensor) else x for x in operands])


def meeting(operands: Sequence[Any], real: bool = False) -> Any:
    """The dtype where tensors and plain numbers meet; None among them does not count."""
    dtype = dtypes.promote(*[_described(x) for x in operands if x is not None])
    return dtypes.float32 if real and not dtypes.floating(dtype) else dtype


def _described(x: Any) -> tuple[Any, bool]:
    if isinstance(x, Tensor):
        return x.array.dtype, x.array.ndim > 0
    return bool if isinstance(x, bool) else int if isinstance(x, int) else float, False


def whole(x: Any) -> bool:
    """Whether a number is an integer or bool, or an array of them."""
    return x.dtype.kind in "iub" if hasattr(x, "dtype") else isinstance(x, int)


def unary(operation: str, op: Op, x: Tensor) -> Tensor:
    """A real function of one tensor: whole numbers are taken, and halves computed, in float32."""
    is_tensor(operation, "x", x)
    dtype = x.array.dtype
    if dtypes.half(dtype):
        return cast(apply(op, cast(x, dtypes.float32)), dtype)
    return apply(op, x if dtypes.floating(dtype) else cast(x, dtypes.float32))


class Rules(NamedTuple):
    """How the operands of an operation meet, and what they may be.

    Attributes:
        real: whole numbers meet in float32, as in a division.
        numeric: not all of them may be boolean.
        wraps: a whole number beyond the integers of that dtype wraps around, as its sums do.
        wide: whether a half is computed in float32 and rounded once. If None, only where a number
            takes part, which could be 0 or Inf in a half.
    """

    real: bool = False
    numeric: bool = False
    wraps: bool = False
    wide: bool | None = None


float32, float64 = dtypes.float32, dtypes.float64  # at hand: every operation asks for them
PLAIN = Rules()
NUMBERS = Rules(numeric=True)
WRAPS = Rules(wraps=True)
WRAPS_NUMBERS = Rules(numeric=True, wraps=True)
REAL = Rules(real=True)
NARROW = Rules(wide=False)
WIDE = Rules(wide=True)
WIDE_NUMBERS = Rules(numeric=True, wide=True)
WIDE_REAL = Rules(real=True, wide=True)


def binary(
    operation: str, op: Op, x: Any, other: Any, rules: Rules = PLAIN, name: str = "other"
) -> Tensor:
    """`op` on two tensors, or a tensor and a number, in the dtype where they meet.

    Args:
        name: of the second operand in messages.
    """
    if isinstance(x, Tensor):
        dtype = x.array.dtype
        if dtype is float32 or dtype is float64:  # nothing to convert: most calls
            plain = type(other) is float or type(other) is int
            if plain or (isinstance(other, Tensor) and other.array.dtype is dtype):
                try:
                    return apply(op, x, other)
                except ValueError as error:
                    _refuse(operation, error, {"x": x, name: other})
    return together(operation, op, {"x": x, name: other}, rules)


def together(operation: str, op: Op, operands: dict[str, Any], rules: Rules) -> Tensor:
    """`op` on tensors, numbers and None, by their names, in the dtype where they meet."""
    real, numeric, wraps, wide = rules
    values = [None if v is None else number(operation, n, v) for n, v in operands.items()]
    numbers = [v for v in values if v is not None and not isinstance(v, Tensor)]
    if len(numbers) == len(values):
        got = " and ".join(type(v).__name__ for v in values)
        raise DTypeError(operation, f"{' or '.join(operands)} must be a gpunet.Tensor, got {got}")
    dtype = computed = meeting(values, real)
    if numeric and dtype.kind == "b":
        raise DTypeError(
            operation, f"{' or '.join(operands)} must be numeric, got bool", describe(**operands)
        )
    if dtypes.half(dtype) and (wide or (wide is None and numbers)):
        computed = dtypes.float32
    values = [cast(v, computed) if isinstance(v, Tensor) else v for v in values]
    try:
        try:
            y = apply(op, *values)
        except OverflowError as error:
            if not wraps:
                raise ArgumentError(operation, str(error), describe(**operands)) from None
            y = apply(op, *[_wrapped(v, dtype) if type(v) is int else v for v in values])
    except ValueError as error:
        _refuse(operation, error, operands)
    return cast(y, dtype) if computed != dtype and y.array.dtype == computed else y


def _wrapped(number: int, dtype: Any) -> int:
    """A whole number in the range of an integer dtype, by the bits that it has room for."""
    size = 1 << 8 * dtype.itemsize
    number %= size
    return number - size if dtype.kind == "i" and number >= size // 2 else number


def _refuse(operation: str, error: ValueError, operands: dict[str, Any]) -> NoReturn:
    """A gpunet error for what the array module refused."""
    if isinstance(error, GpunetError):
        raise error
    if "broadcast" not in str(error):  # integers to negative powers
        raise ArgumentError(operation, str(error).rstrip("."), describe(**operands)) from None
    shapes = " and ".join(str(v.shape) for v in operands.values() if isinstance(v, Tensor))
    raise ShapeError(
        operation, f"shapes must broadcast, got {shapes}", describe(**operands)
    ) from None


def factor(operation: str, name: str, value: Any, *operands: Any) -> Any:
    """A number that an operand is multiplied with; whole numbers ask for a whole one."""
    value = number(operation, name, value)
    if isinstance(value, Tensor):
        raise DTypeError(operation, f"{name} must be a number, got a gpunet.Tensor")
    known = [x for x in operands if isinstance(x, (Tensor, int, float))]
    if type(value) is float and known and not dtypes.floating(meeting(known)):
        raise ArgumentError(operation, f"{name} must be whole for integers, got {value}")
    return value


def number(operation: str, name: str, x: Any) -> Any:
    """A tensor as it is, a number as Python's own: a NumPy scalar would bring its dtype along."""
    if isinstance(x, Tensor) or type(x) in (float, int, bool):
        return x
    if isinstance(x, Real):
        return x.item() if hasattr(x, "item") else float(x)
    if getattr(x, "shape", None) == () and hasattr(x, "item") and dtypes.numeric(x.dtype):
        return x.item()
    got = type(x).__name__
    raise DTypeError(operation, f"{name} must be a gpunet.Tensor or a number, got {got}")


def wide(x: Tensor) -> Tensor:
    """x in float32 if it is a half, to be computed with and rounded once; else x itself."""
    return cast(x, dtypes.float32) if dtypes.half(x.array.dtype) else x
