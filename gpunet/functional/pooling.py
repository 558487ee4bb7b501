"""Pooling over windows that slide along the last axes.

CPU: gpunet/backend/cpu/pooling.py. CUDA: kernels/pooling.cu.
"""

from __future__ import annotations

import math
from typing import Any

from gpunet.autograd.op import Op, apply
from gpunet.autograd.tensor import Tensor
from gpunet.backend import Array, Backend
from gpunet.backend.windows import Axes
from gpunet.errors import ArgumentError
from gpunet.functional.check import whole_number
from gpunet.functional.geometry import Numbers, numbers
from gpunet.functional.power import pow
from gpunet.functional.promotion import cast, wide
from gpunet.functional.windows import sliding


class MaxPool(Op):
    """Keeps where each result comes from, and gives that away where asked for."""

    takes_bfloat16 = True

    def __init__(self, axes: Axes, return_indices: bool):
        self.axes, self.return_indices = axes, return_indices

    def forward(self, be: Backend, x: Array) -> Any:
        y, index = be.pooling.max_pool_fwd(be.contiguous(x), self.axes)
        self.saved = index
        return (y, be.cast(index, "int64")) if self.return_indices else y

    def backward(self, be: Backend, gy: Array, _: Any = None) -> Array:
        return be.pooling.max_pool_bwd(be.contiguous(gy), self.saved, self.axes)


class AvgPool(Op):
    takes_bfloat16 = True

    def __init__(self, axes: Axes, with_padding: bool = False, divisor: int = 0):
        self.windows = axes, with_padding, divisor

    def forward(self, be: Backend, x: Array) -> Array:
        return be.pooling.avg_pool_fwd(be.contiguous(x), *self.windows)

    def backward(self, be: Backend, gy: Array) -> Array:
        return be.pooling.avg_pool_bwd(be.contiguous(gy), *self.windows)


class Root(Op):
    """(count·x)^(1/p), whose gradient is 0 at 0."""

    def __init__(self, p: float, count: int):
        self.p, self.count = p, count

    def forward(self, be: Backend, x: Array) -> Array:
        y = be.xp.power(be.xp.multiply(x, self.count), 1 / self.p)
        self.saved = x, y
        return y

    def backward(self, be: Backend, gy: Array) -> Array:
        x, y = self.saved
        zero = be.xp.equal(x, 0)
        slope = be.xp.divide(y, be.xp.multiply(be.xp.where(zero, be.xp.ones_like(x), x), self.p))
        return be.xp.where(zero, be.xp.zeros_like(x), be.xp.multiply(gy, slope))


def max_pool1d(
    x: Tensor,
    kernel_size: Numbers,
    stride: Numbers | None = None,
    padding: Numbers = 0,
    dilation: Numbers = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """The largest element of each window: `max_pool2d` with one axis.

    Shapes: x (N, C, L) or (C, L); the result with Lo in place of L.
    Dtypes: floating.
    Args: those of `max_pool2d`: kernel_size, stride, padding, dilation, ceil_mode, return_indices.
    Differs from PyTorch: a window that misses x has index −1, there the index is undefined.
    """
    moves = kernel_size, stride, padding, dilation, ceil_mode
    axes = sliding("max_pool1d", 1, x, *moves)
    return apply(MaxPool(axes, return_indices), x)


def max_pool2d(
    x: Tensor,
    kernel_size: Numbers,
    stride: Numbers | None = None,
    padding: Numbers = 0,
    dilation: Numbers = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """The largest element of each window; of ties the first, and NaN is larger than all.

    Shapes: x (N, C, H, W) or (C, H, W); the result (N, C, Ho, Wo) or (C, Ho, Wo) with
    Ho = ⌊(H + 2·padding − dilation·(kernel_size − 1) − 1) / stride⌋ + 1, likewise Wo.
    Dtypes: floating.
    Args:
        kernel_size: rows and columns of a window; here and below one number for both, or two.
        stride: how far apart windows are, at least 1; None takes kernel_size.
        padding: how many rows and columns of −∞ stand around x, at most half a window.
        dilation: how far apart the elements of a window are.
        ceil_mode: rounds Ho and Wo up, as long as each window begins in x or the padding before it.
        return_indices: returns where in its plane each result comes from, too (int64, counted row
            by row), as `max_unpool2d` takes it; −1 for a window that misses x altogether.
    Differs from PyTorch: a window that misses x has index −1, there the index is undefined.

    >>> import gpunet
    >>> x = gpunet.tensor([[[1.0, 2.0, 5.0, 6.0], [4.0, 3.0, 8.0, 7.0]]])
    >>> gpunet.functional.max_pool2d(x, 2)
    tensor([[[4., 8.]]], dtype=float32)
    """
    moves = kernel_size, stride, padding, dilation, ceil_mode
    axes = sliding("max_pool2d", 2, x, *moves)
    return apply(MaxPool(axes, return_indices), x)


def max_pool3d(
    x: Tensor,
    kernel_size: Numbers,
    stride: Numbers | None = None,
    padding: Numbers = 0,
    dilation: Numbers = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """The largest element of each window: `max_pool2d` with one axis more.

    Shapes: x (N, C, D, H, W) or (C, D, H, W); the result with Do, Ho, Wo in place of D, H, W.
    Dtypes: floating.
    Args: those of `max_pool2d`: kernel_size, stride, padding, dilation, ceil_mode, return_indices.
    Differs from PyTorch: a window that misses x has index −1, there the index is undefined.
    """
    moves = kernel_size, stride, padding, dilation, ceil_mode
    axes = sliding("max_pool3d", 3, x, *moves)
    return apply(MaxPool(axes, return_indices), x)


def avg_pool1d(
    x: Tensor,
    kernel_size: Numbers,
    stride: Numbers | None = None,
    padding: Numbers = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Tensor:
    """The mean of each window: `avg_pool2d` with one axis.

    Shapes: x (N, C, L) or (C, L); the result with Lo in place of L.
    Dtypes: floating.
    Args: those of `avg_pool2d`: kernel_size, stride, padding, ceil_mode, count_include_pad.
    """
    moves = kernel_size, stride, padding, ceil_mode
    return _average("avg_pool1d", 1, x, *moves, count_include_pad, None)


def avg_pool2d(
    x: Tensor,
    kernel_size: Numbers,
    stride: Numbers | None = None,
    padding: Numbers = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """The mean of each window.

    Shapes: x (N, C, H, W) or (C, H, W); the result (N, C, Ho, Wo) or (C, Ho, Wo) with
    Ho = ⌊(H + 2·padding − kernel_size) / stride⌋ + 1, likewise Wo.
    Dtypes: floating.
    Args:
        kernel_size: rows and columns of a window; here and below one number for both, or two.
        stride: how far apart windows are, at least 1; None takes kernel_size.
        padding: how many rows and columns of zeros stand around x, at most half a window.
        ceil_mode: rounds Ho and Wo up, as long as each window begins in x or the padding before it.
        count_include_pad: whether the zeros count in the mean. What sticks out of the padding
            never does.
        divisor_override: divides the sum of each window in place of its number of elements.

    >>> import gpunet
    >>> x = gpunet.tensor([[[1.0, 2.0, 5.0, 6.0], [4.0, 3.0, 8.0, 7.0]]])
    >>> gpunet.functional.avg_pool2d(x, 2)
    tensor([[[2.5, 6.5]]], dtype=float32)
    """
    moves = kernel_size, stride, padding, ceil_mode
    return _average("avg_pool2d", 2, x, *moves, count_include_pad, divisor_override)


def avg_pool3d(
    x: Tensor,
    kernel_size: Numbers,
    stride: Numbers | None = None,
    padding: Numbers = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """The mean of each window: `avg_pool2d` with one axis more.

    Shapes: x (N, C, D, H, W) or (C, D, H, W); the result with Do, Ho, Wo in place of D, H, W.
    Dtypes: floating.
    Args: those of `avg_pool2d`: kernel_size, stride, padding, ceil_mode, count_include_pad,
    divisor_override.
    """
    moves = kernel_size, stride, padding, ceil_mode
    return _average("avg_pool3d", 3, x, *moves, count_include_pad, divisor_override)


def lp_pool1d(
    x: Tensor,
    norm_type: float,
    kernel_size: Numbers,
    stride: Numbers | None = None,
    ceil_mode: bool = False,
) -> Tensor:
    """(Σ x^p)^(1/p) over each window: `lp_pool2d` with one axis.

    Shapes: x (N, C, L) or (C, L); the result with Lo in place of L.
    Dtypes: floating.
    Args: those of `lp_pool2d`: norm_type, kernel_size, stride, ceil_mode.
    Differs from PyTorch: `kernel_size` may be a tuple, too.
    """
    return _lp_pool("lp_pool1d", 1, x, norm_type, kernel_size, stride, ceil_mode)


def lp_pool2d(
    x: Tensor,
    norm_type: float,
    kernel_size: Numbers,
    stride: Numbers | None = None,
    ceil_mode: bool = False,
) -> Tensor:
    """(Σ x^p)^(1/p) over each window; x is not made positive, so odd p may give NaN.

    The gradient where a sum is 0 is 0. A window that sticks out (`ceil_mode`) counts as a full one
    with the mean of what it has, as in PyTorch.
    Shapes: x (N, C, H, W) or (C, H, W); the result (N, C, Ho, Wo) or (C, Ho, Wo) with
    Ho = ⌊(H − kernel_size) / stride⌋ + 1, likewise Wo.
    Dtypes: floating.
    Args:
        norm_type: p, not 0.
        kernel_size: rows and columns of a window; here and below one number for both, or two.
        stride: how far apart windows are, at least 1; None takes kernel_size.
        ceil_mode: rounds Ho and Wo up, as long as each window begins in x.

    >>> import gpunet
    >>> x = gpunet.tensor([[[3.0, 4.0], [0.0, 0.0]]])
    >>> gpunet.functional.lp_pool2d(x, 2, 2)
    tensor([[[5.]]], dtype=float32)
    """
    return _lp_pool("lp_pool2d", 2, x, norm_type, kernel_size, stride, ceil_mode)


def lp_pool3d(
    x: Tensor,
    norm_type: float,
    kernel_size: Numbers,
    stride: Numbers | None = None,
    ceil_mode: bool = False,
) -> Tensor:
    """(Σ x^p)^(1/p) over each window: `lp_pool2d` with one axis more.

    Shapes: x (N, C, D, H, W) or (C, D, H, W); the result with Do, Ho, Wo in place of D, H, W.
    Dtypes: floating.
    Args: those of `lp_pool2d`: norm_type, kernel_size, stride, ceil_mode.
    """
    return _lp_pool("lp_pool3d", 3, x, norm_type, kernel_size, stride, ceil_mode)


def _average(
    operation: str,
    axes: int,
    x: Tensor,
    kernel_size: Numbers,
    stride: Numbers | None,
    padding: Numbers,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: int | None,
) -> Tensor:
    windows = sliding(operation, axes, x, kernel_size, stride, padding, 1, ceil_mode)
    divisor = 0
    if divisor_override is not None:
        divisor = whole_number(operation, "divisor_override", divisor_override)
        if not divisor:
            raise ArgumentError(operation, "divisor_override must not be 0, got 0")
    return apply(AvgPool(windows, bool(count_include_pad), divisor), x)


def _lp_pool(
    operation: str,
    axes: int,
    x: Tensor,
    norm_type: float,
    kernel_size: Numbers,
    stride: Numbers | None,
    ceil_mode: bool,
) -> Tensor:
    windows = sliding(operation, axes, x, kernel_size, stride, 0, 1, ceil_mode)
    p = float(norm_type)
    if p == 0 or not math.isfinite(p):
        raise ArgumentError(operation, f"norm_type must be finite and not 0, got {norm_type}")
    powers = pow(wide(x), p)  # those of float16 soon overflow
    count = math.prod(numbers(operation, "kernel_size", kernel_size, axes, 1))
    y = apply(Root(p, count), apply(AvgPool(windows), powers))
    return cast(y, x.dtype)
