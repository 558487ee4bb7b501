"""Matrix products: from two arrays with any strides to one call of cuBLAS.

cuBLAS counts its matrices column by column, NumPy row by row. An array read the other way is the
transpose, so c = a·b is asked for as cᵀ = bᵀ·aᵀ, and nothing is moved. A view that is transposed is
read as it is; other strides are copied first. CuPy's own `matmul` is not used: in version 14.2 it
casts batches of float16 and fails on batches of bfloat16, and its TF32 switch is global.
"""

from __future__ import annotations

import math
from typing import Any

from gpunet.backend.base import Array, Shape
from gpunet.backend.cuda.device import Device


def matmul(device: Device, a: Array, b: Array, tf32: bool) -> Array:
    """a·b over the last two axes; the leading axes broadcast.

    Shapes: a (..., n, k), b (..., k, m), at least two axes each; the result (..., n, m).
    """
    if b.ndim == 2 and a.ndim > 2 and device.contiguous(a):  # one product of all rows
        rows = a.reshape(math.prod(a.shape[:-1]), a.shape[-1])
        return matmul(device, rows, b, tf32).reshape(*a.shape[:-1], b.shape[1])
    leading = () if a.ndim == b.ndim == 2 else _broadcast(a.shape[:-2], b.shape[:-2])
    (n, k), m = a.shape[-2:], b.shape[-1]
    c = device.empty((*leading, n, m), a.dtype)
    if not k:
        c.fill(0)
    elif c.size:
        first, a_operand = _operand(device, a, leading)
        second, b_operand = _operand(device, b, leading)
        batch, sizes = math.prod(leading), (m, n, k)
        device.gemm((second, first), sizes, b_operand, a_operand, (c, m, n * m), batch, tf32)
    return c


def _broadcast(a: Shape, b: Shape) -> Shape:
    count = max(len(a), len(b))
    a, b = (1,) * (count - len(a)) + a, (1,) * (count - len(b)) + b
    return tuple(n if m == 1 else m for n, m in zip(a, b, strict=True))


def _operand(device: Device, x: Array, leading: Shape) -> tuple[bool, tuple[Array, int, int]]:
    """Whether the last two axes are transposed in memory, and x as `Device.gemm` takes it."""
    one_for_all = x.ndim == 2 or math.prod(x.shape[:-2]) == 1
    if not one_for_all and x.shape[:-2] != leading:
        x = device.xp.broadcast_to(x, (*leading, *x.shape[-2:]))
    layout = _layout(x, one_for_all)
    if layout is None:
        x = x.copy(order="C")
        layout = _layout(x, one_for_all)
        assert layout is not None
    transposed, dimension, distance = layout
    return transposed, (x, dimension, distance)


def _layout(x: Array, one_for_all: bool) -> tuple[bool, int, int] | None:
    """Transposed, leading dimension and distance of matrices in elements; None if cuBLAS cannot."""
    size = x.itemsize
    rows, columns = x.shape[-2:]
    down, right = x.strides[-2:]
    down, right = down // size, right // size
    distance = 0 if one_for_all else batch_step(x.shape[:-2], x.strides[:-2], size)
    if distance is None:
        return None
    # The stride of an axis of length 1 says nothing, and is replaced by a legal one.
    if (right == 1 or columns == 1) and (down >= columns or rows == 1):
        return False, max(columns, down if rows > 1 else 1), distance
    if (down == 1 or rows == 1) and (right >= rows or columns == 1):
        return True, max(rows, right if columns > 1 else 1), distance
    return None


def batch_step(shape: Shape, strides: Any, size: int) -> int | None:
    """The one step that leads from each matrix of a batch to the next; None if there is none."""
    step: int | None = None
    expected = None
    for n, stride in zip(reversed(shape), reversed(strides), strict=True):
        if n == 1:
            continue
        if step is None:
            step = expected = stride
        elif stride != expected:
            return None
        expected = stride * n
    return (step or 0) // size if step is None or step >= 0 else None
