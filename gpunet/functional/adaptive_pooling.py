"""Pooling into a number of windows, and back: adaptive pooling and unpooling.

CPU: gpunet/backend/cpu/pooling.py. CUDA: kernels/pooling.cu.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from gpunet.autograd.op import Op, apply
from gpunet.autograd.tensor import Tensor
from gpunet.backend import Array, Backend
from gpunet.functional.check import shape_error, whole_numbers
from gpunet.functional.geometry import Numbers, numbers
from gpunet.functional.pooling import AvgPool, MaxPool
from gpunet.functional.positions import check_indices, check_range
from gpunet.functional.windows import adaptive, spatial

Sizes = int | Sequence[int | None] | None


class MaxUnpool(Op):
    """y[index] = x within each plane."""

    takes_bfloat16 = True

    def __init__(self, shape: tuple[int, ...], axes: int):
        self.shape, self.axes = shape, axes

    def _flat(self, be: Backend, index: Array) -> Array:
        """Positions among the elements of y, from those within planes."""
        planes = math.prod(self.shape[: -self.axes])
        size = math.prod(self.shape[-self.axes :])
        within = index.reshape(planes, math.prod(index.shape[-self.axes :]))
        return be.xp.add(within, be.xp.arange(planes)[:, None] * size).reshape(-1)

    def forward(self, be: Backend, x: Array, index: Array) -> Array:
        y = be.full(self.shape, 0, x.dtype)
        self.saved = index = self._flat(be, index)
        y.reshape(-1)[index] = x.reshape(-1)
        self.before = x.shape
        return y

    def backward(self, be: Backend, gy: Array) -> Any:
        return gy.reshape(-1)[self.saved].reshape(self.before), None


def adaptive_avg_pool1d(x: Tensor, output_size: Sizes) -> Tensor:
    """The mean of each of so many windows: `adaptive_avg_pool2d` with one axis.

    Shapes: x (N, C, L) or (C, L); the result with Lo in place of L.
    Dtypes: floating.
    Args: output_size as for `adaptive_avg_pool2d`.
    """
    return apply(AvgPool(adaptive("adaptive_avg_pool1d", 1, x, output_size)), x)


def adaptive_avg_pool2d(x: Tensor, output_size: Sizes) -> Tensor:
    """The mean of each of so many windows; `output_size=1` averages whole pictures.

    Window i reaches from row ⌊i·H / Ho⌋ up to row ⌈(i + 1)·H / Ho⌉, likewise along columns.
    Shapes: x (N, C, H, W) or (C, H, W); the result (N, C, Ho, Wo) or (C, Ho, Wo).
    Dtypes: floating.
    Args:
        output_size: Ho and Wo, or one number for both; None keeps the length of its axis.

    >>> import gpunet
    >>> x = gpunet.tensor([[[1.0, 2.0, 6.0], [4.0, 3.0, 8.0]]])
    >>> gpunet.functional.adaptive_avg_pool2d(x, (1, None))
    tensor([[[2.5, 2.5, 7. ]]], dtype=float32)
    """
    return apply(AvgPool(adaptive("adaptive_avg_pool2d", 2, x, output_size)), x)


def adaptive_avg_pool3d(x: Tensor, output_size: Sizes) -> Tensor:
    """The mean of each of so many windows: `adaptive_avg_pool2d` with one axis more.

    Shapes: x (N, C, D, H, W) or (C, D, H, W); the result with Do, Ho, Wo in place of D, H, W.
    Dtypes: floating.
    Args: output_size as for `adaptive_avg_pool2d`.
    """
    return apply(AvgPool(adaptive("adaptive_avg_pool3d", 3, x, output_size)), x)


def adaptive_max_pool1d(x: Tensor, output_size: Sizes, return_indices: bool = False) -> Any:
    """The largest element of each of so many windows: `adaptive_max_pool2d` with one axis.

    Shapes: x (N, C, L) or (C, L); the result with Lo in place of L.
    Dtypes: floating.
    Args: those of `adaptive_max_pool2d`: output_size, return_indices.
    """
    axes = adaptive("adaptive_max_pool1d", 1, x, output_size)
    return apply(MaxPool(axes, return_indices), x)


def adaptive_max_pool2d(x: Tensor, output_size: Sizes, return_indices: bool = False) -> Any:
    """The largest element of each of so many windows; of ties the first, and NaN beats all.

    Window i reaches from row ⌊i·H / Ho⌋ up to row ⌈(i + 1)·H / Ho⌉, likewise along columns.
    Shapes: x (N, C, H, W) or (C, H, W); the result (N, C, Ho, Wo) or (C, Ho, Wo).
    Dtypes: floating.
    Args:
        output_size: Ho and Wo, or one number for both; None keeps the length of its axis.
        return_indices: returns where in its plane each result comes from, too; see `max_pool2d`.

    >>> import gpunet
    >>> x = gpunet.tensor([[[1.0, 2.0, 5.0], [4.0, 3.0, 8.0]]])
    >>> gpunet.functional.adaptive_max_pool2d(x, 1)
    tensor([[[8.]]], dtype=float32)
    """
    axes = adaptive("adaptive_max_pool2d", 2, x, output_size)
    return apply(MaxPool(axes, return_indices), x)


def adaptive_max_pool3d(x: Tensor, output_size: Sizes, return_indices: bool = False) -> Any:
    """The largest element of each of so many windows: `adaptive_max_pool2d` with one axis more.

    Shapes: x (N, C, D, H, W) or (C, D, H, W); the result with Do, Ho, Wo in place of D, H, W.
    Dtypes: floating.
    Args: those of `adaptive_max_pool2d`: output_size, return_indices.
    """
    axes = adaptive("adaptive_max_pool3d", 3, x, output_size)
    return apply(MaxPool(axes, return_indices), x)


def max_unpool1d(
    x: Tensor,
    indices: Tensor,
    kernel_size: Numbers,
    stride: Numbers | None = None,
    padding: Numbers = 0,
    output_size: Sequence[int] | None = None,
) -> Tensor:
    """Puts elements back where `max_pool1d` took them from: `max_unpool2d` with one axis.

    Shapes: x and indices (N, C, L) or (C, L); the result with Lo in place of L.
    Dtypes: floating; indices int64.
    Args: those of `max_unpool2d`: indices, kernel_size, stride, padding, output_size.
    """
    moves = kernel_size, stride, padding
    return _unpool("max_unpool1d", 1, x, indices, *moves, output_size)


def max_unpool2d(
    x: Tensor,
    indices: Tensor,
    kernel_size: Numbers,
    stride: Numbers | None = None,
    padding: Numbers = 0,
    output_size: Sequence[int] | None = None,
) -> Tensor:
    """Puts elements back where `max_pool2d` took them from, and zeros elsewhere.

    Shapes: x and indices (N, C, H, W) or (C, H, W); the result with `output_size`, or
    Ho = (H − 1)·stride − 2·padding + kernel_size and likewise Wo.
    Dtypes: floating; indices int64.
    Args:
        indices: of `max_pool2d`; if one is there twice in a plane, either of its elements stays.
        kernel_size, stride, padding: of `max_pool2d`.
        output_size: Ho and Wo, nearer than a stride to the sizes above: several sizes of x are
            pooled to the same one. A whole shape is taken, too.

    >>> import gpunet
    >>> x = gpunet.tensor([[[1.0, 2.0], [4.0, 3.0]]])
    >>> y, indices = gpunet.functional.max_pool2d(x, 2, return_indices=True)
    >>> gpunet.functional.max_unpool2d(y, indices, 2)
    tensor([[[0., 0.],
             [4., 0.]]], dtype=float32)
    """
    moves = kernel_size, stride, padding
    return _unpool("max_unpool2d", 2, x, indices, *moves, output_size)


def max_unpool3d(
    x: Tensor,
    indices: Tensor,
    kernel_size: Numbers,
    stride: Numbers | None = None,
    padding: Numbers = 0,
    output_size: Sequence[int] | None = None,
) -> Tensor:
    """Puts elements back where `max_pool3d` took them from: `max_unpool2d` with one axis more.

    Shapes: x and indices (N, C, D, H, W) or (C, D, H, W); the result with Do, Ho, Wo instead.
    Dtypes: floating; indices int64.
    Args: those of `max_unpool2d`: indices, kernel_size, stride, padding, output_size.
    """
    moves = kernel_size, stride, padding
    return _unpool("max_unpool3d", 3, x, indices, *moves, output_size)


def _unpool(
    operation: str,
    axes: int,
    x: Tensor,
    indices: Tensor,
    kernel_size: Numbers,
    stride: Numbers | None,
    padding: Numbers,
    output_size: Sequence[int] | None,
) -> Tensor:
    sizes = spatial(operation, x, axes)
    check_indices(operation, "indices", indices)
    if indices.shape != x.shape:
        rule = f"indices must have x's shape {x.shape}, got {indices.shape}"
        shape_error(operation, rule, x=x)
    kernels = numbers(operation, "kernel_size", kernel_size, axes, 1)
    strides = kernels if stride is None else numbers(operation, "stride", stride, axes, 1)
    pads = numbers(operation, "padding", padding, axes, 0)
    moves = zip(sizes, kernels, strides, pads, strict=True)
    usual = wanted = tuple([(n - 1) * s - 2 * p + k for n, k, s, p in moves])
    if output_size is not None:
        wanted = whole_numbers(operation, "output_size", (output_size,))[-axes:]
        limits = [(u - s, u + s) for u, s in zip(usual, strides, strict=True)]
        near = [a < n < b for n, (a, b) in zip(wanted, limits, strict=False)]
        if len(near) < axes or not all(near):
            rule = f"output_size must be {usual}, each within a stride of {strides}"
            shape_error(operation, f"{rule}, got {tuple(output_size)}", x=x)
    if min(wanted) < 1:
        shape_error(operation, f"the result must not be empty, got {wanted}", x=x)
    check_range(operation, "indices", indices, math.prod(wanted))
    return apply(MaxUnpool((*x.shape[:-axes], *wanted), axes), x, indices)
