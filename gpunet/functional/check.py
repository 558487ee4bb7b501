"""Checks of arguments, done once, before an operation reaches a backend."""

from __future__ import annotations

from typing import Any, NoReturn

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
    """`x` must be a tensor of float16, float32 or float64."""
    is_tensor(operation, name, x)
    if x.array.dtype.kind != "f":
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


def shape_error(operation: str, rule: str, **tensors: Any) -> NoReturn:
    """Raises a ShapeError with the shapes of all tensors as its context."""
    raise ShapeError(operation, rule, describe(**tensors))


def axis(operation: str, x: Tensor, dim: int) -> int:
    """`dim` counted from the front; it must be an axis of x."""
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
