"""Checks of arguments, done once, before an operation reaches a backend."""

from __future__ import annotations

from collections.abc import Sequence
from operator import index
from typing import Any, NoReturn

from gpunet.autograd.op import different_devices
from gpunet.autograd.tensor import Tensor
from gpunet.errors import ArgumentError, DTypeError, ShapeError


def describe(**tensors: Any) -> str:
    """`x is (8, 128) float32 on cpu`, for the context of a message."""
    return ", ".join(
        f"{name} is {x.shape} {x.dtype} on {x.device}"
        for name, x in tensors.items()
        if isinstance(x, Tensor)
    )


def is_tensor(operation: str, name: str, x: Any) -> None:
    """`x` must be a tensor."""
    if not isinstance(x, Tensor):
        raise DTypeError(operation, f"{name} must be a gpunet.Tensor, got {type(x).__name__}")


def floating(operation: str, name: str, x: Any) -> None:
    """`x` must be a tensor of real numbers."""
    is_tensor(operation, name, x)
    if x.array.dtype.kind not in "fV":
        raise DTypeError(
            operation, f"{name} must be floating, got {x.dtype}", describe(**{name: x})
        )


def not_bool(operation: str, name: str, x: Any) -> None:
    """`x` must be a tensor of numbers."""
    is_tensor(operation, name, x)
    if x.array.dtype.kind == "b":
        raise DTypeError(operation, f"{name} must be numeric, got bool", describe(**{name: x}))


def same_dtype(operation: str, **tensors: Any) -> None:
    """All tensors given must have one floating dtype."""
    first = None
    for name, x in tensors.items():
        if x is None:
            continue
        floating(operation, name, x)
        if first is None:
            first = x
        elif x.array.dtype != first.array.dtype:
            raise DTypeError(
                operation,
                f"{name} must be {first.dtype} as the others, got {x.dtype}",
                describe(**tensors),
            )


def one_dtype(operation: str, **tensors: Any) -> None:
    """All tensors given must have one dtype, of numbers."""
    first = None
    for name, x in tensors.items():
        is_tensor(operation, name, x)
        if x.array.dtype == bool:
            raise DTypeError(operation, f"{name} must hold numbers, got bool", describe(**tensors))
        if first is None:
            first = x
        elif x.array.dtype != first.array.dtype:
            problem = f"{name} must be {first.dtype} as the others, got {x.dtype}"
            raise DTypeError(operation, problem, describe(**tensors))


def shape_error(operation: str, rule: str, **tensors: Any) -> NoReturn:
    """Raises a ShapeError with the shapes of all tensors as its context."""
    raise ShapeError(operation, rule, describe(**tensors))


def one_device(operation: str, *values: Any) -> None:
    """The tensors among `values` must be on one device.

    `apply` sees to that by itself; this is for tensors that it is not given, or not always.
    """
    tensors = [x for x in values if isinstance(x, Tensor)]
    for x in tensors[1:]:
        if x.backend is not tensors[0].backend:
            raise different_devices(operation, tensors[0].backend, x.backend)


def axis(operation: str, x: Tensor, dim: int) -> int:
    """`dim` counted from the front; it must be an axis of x."""
    if type(dim) is not int:
        dim = whole_number(operation, "dim", dim)
    if not -x.ndim <= dim < x.ndim:
        raise ShapeError(
            operation, f"dim must be in [{-x.ndim}, {x.ndim}), got {dim}", describe(x=x)
        )
    return dim % x.ndim


def one_of(operation: str, name: str, value: Any, allowed: tuple[Any, ...]) -> None:
    """`value` must be one of `allowed`."""
    if value not in allowed:
        choices = ", ".join(map(repr, allowed))
        raise ArgumentError(operation, f"{name} must be one of {choices}, got {value!r}")


def wrapped_axis(operation: str, x: Tensor, dim: int) -> int:
    """`dim` counted from the front, where a tensor without axes counts as having one."""
    if x.ndim:
        return axis(operation, x, dim)
    if dim not in (-1, 0):
        raise ShapeError(operation, f"dim must be in [-1, 1), got {dim}", describe(x=x))
    return 0


def whole_numbers(operation: str, name: str, values: Any) -> tuple[int, ...]:
    """Integers (NumPy's and tensors of one element, too), separate or in one tuple or list."""
    inside = values[0] if len(values) == 1 and isinstance(values[0], (tuple, list)) else values
    try:
        return tuple(map(index, inside))
    except TypeError:
        raise DTypeError(operation, f"{name} must be integers, got {inside!r}") from None


def whole_number(operation: str, name: str, value: Any) -> int:
    """One integer (NumPy's and a tensor of one element, too)."""
    return whole_numbers(operation, name, (value,))[0]


def new_axis(operation: str, x: Tensor, dim: int) -> int:
    """Where a new axis `dim` of the result is put into x, counted from the front."""
    if not -x.ndim - 1 <= whole_number(operation, "dim", dim) <= x.ndim:
        shape_error(operation, f"dim must be in [{-x.ndim - 1}, {x.ndim + 1}), got {dim}", x=x)
    return dim % (x.ndim + 1)


def once(operation: str, name: str, axes: Sequence[int], x: Tensor) -> None:
    """No axis may be named twice."""
    if len(set(axes)) < len(axes):
        shape_error(operation, f"{name} must name each axis once, got {tuple(axes)}", x=x)


def tensors_of(operation: str, tensors: Any) -> tuple[Tensor, ...]:
    """A tuple or list of tensors, at least one."""
    if not isinstance(tensors, (tuple, list)):
        got = type(tensors).__name__
        raise DTypeError(operation, f"tensors must be a tuple of gpunet.Tensor, got {got}")
    for x in tensors:
        is_tensor(operation, "tensors", x)
    if not tensors:
        raise ArgumentError(operation, "tensors must be at least one, got none")
    return tuple(tensors)


def integers_of(operation: str, name: str, values: Any) -> list[int]:
    """Whole numbers of a tensor of one axis, an array or a list."""
    if isinstance(values, Tensor):
        values = values.backend.to_host(values.array)
    try:
        listed = list(values)
    except TypeError:
        raise ArgumentError(operation, f"{name} must be a list or one axis, got {values}") from None
    return [whole_number(operation, name, value) for value in listed]


def lengths_of(operation: str, lengths: Any, x: Tensor) -> list[int] | None:
    """One length a sequence, each from 1 to T; None if all sequences have T steps."""
    if lengths is None:
        return None
    steps, batch = x.shape[:2]
    values = integers_of(operation, "lengths", lengths)
    if len(values) != batch:
        rule = f"lengths must be N = {batch} whole numbers, got {len(values)}"
        shape_error(operation, rule, x=x)
    for value in values:
        if not 0 < value <= steps:
            rule = f"lengths must be in [1, T] = [1, {steps}], got {value}"
            raise ArgumentError(operation, rule, describe(x=x))
    return values if min(values, default=steps) < steps else None
