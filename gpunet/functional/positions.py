"""What operations on positions share: the check of indices, and sums at positions that repeat."""

from __future__ import annotations

import math
from numbers import Real
from typing import Any

from gpunet.autograd.tensor import Tensor
from gpunet.backend import Array, Backend, dtypes, get
from gpunet.errors import ArgumentError, DTypeError, ShapeError
from gpunet.functional.check import describe, is_tensor, one_device
from gpunet.functional.promotion import cast


def check_indices(operation: str, name: str, index: Any) -> None:
    """`index` must be a tensor of int64 or int32."""
    is_tensor(operation, name, index)
    if index.array.dtype.kind != "i" or index.array.dtype.itemsize < 4:
        got = f"{name} must be int64 or int32, got {index.dtype}"
        raise DTypeError(operation, got, describe(**{name: index}))


def check_range(operation: str, name: str, index: Tensor, n: int, lowest: int = 0) -> None:
    """Every index must be in [lowest, n). Reads from the device."""
    if index.array.size:
        low, high = int(index.array.min()), int(index.array.max())
        if low < lowest or high >= n:
            got = low if low < lowest else high
            problem = f"{name} must be in [{lowest}, {n}), got {got}"
            raise ArgumentError(operation, problem, describe(**{name: index}))


def sum_rows(be: Backend, g: Array, index: Array, n: int, axis: int = 0) -> Array:
    """Zeros of length `n` along `axis`, to which slice k of g is added at position index[k].

    Repeated positions add up in order, so the same call gives the same bits on every device.
    """
    before, after = g.shape[:axis], g.shape[axis + 1 :]
    blocks = be.contiguous(g).reshape(math.prod(before), index.size, math.prod(after))
    total = be.embedding.embedding_bwd(blocks, be.contiguous(be.asarray(index, "int64")), n)
    return total.reshape(*before, n, *after)


def along(be: Backend, shape: tuple[int, ...], index: Array, axis: int) -> Array:
    """Positions, in an array of `shape` in C order, of what `index` names along `axis`."""
    strides = [1] * len(shape)
    for i in reversed(range(len(shape) - 1)):
        strides[i] = strides[i + 1] * shape[i + 1]
    positions = be.asarray(index, "int64") * strides[axis]
    for i, n in enumerate(index.shape):
        if i != axis:
            steps = be.xp.arange(n) * strides[i]
            positions = positions + steps.reshape([n if j == i else 1 for j in range(index.ndim)])
    return positions


def sum_at(be: Backend, g: Array, positions: Array, shape: tuple[int, ...]) -> Array:
    """Zeros of `shape`, to which the elements of g are added at `positions` in C order."""
    return sum_rows(be, g.reshape(-1), positions.reshape(-1), math.prod(shape)).reshape(shape)


def fitting(operation: str, name: str, value: Any, x: Tensor) -> Any:
    """One number, to be written into x: a tensor in x's dtype, or an array of it.

    Fractions are cut off where x is whole; a number beyond the range of its dtype is refused.
    """
    if isinstance(value, Tensor):
        one_device(operation, x, value)
        if value.ndim:
            problem = f"{name} must be one number, got shape {value.shape}"
            raise ShapeError(operation, problem, describe(x=x))
        return cast(value, x.dtype)
    if not isinstance(value, Real) and getattr(value, "shape", None) != ():
        raise DTypeError(operation, f"{name} must be a number, got {type(value).__name__}")
    host, number = get("cpu"), float(value) if dtypes.floating(x.dtype) else int(value)
    array = host.cast(host.asarray(number), x.dtype)
    if x.dtype.kind != "b" and array.item() != number and math.isfinite(number):
        if not dtypes.floating(x.dtype) or not math.isfinite(array.item()):
            raise ArgumentError(operation, f"{name} must fit into {x.dtype}, got {value}")
    return x.backend.asarray(array)
