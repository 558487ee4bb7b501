"""Dropout of whole channels, and dropout that keeps mean and variance; same seed, same mask."""

from __future__ import annotations

import math
from typing import Any

from gpunet.autograd.op import Op, apply
from gpunet.autograd.tensor import Tensor
from gpunet.backend import Array, Backend, random
from gpunet.errors import ArgumentError
from gpunet.functional.check import floating, shape_error

_LOWEST = 1.7580993408473766  # λα: SELU's values end at its negative, which "dropped" means there


class FeatureDropout(Op):
    """x·scale where the mask of `shape`, repeated to x, lets it through, else dropped; plus shift.

    Keeps no mask: the backward pass draws it again.
    """

    def __init__(
        self,
        p: float,
        shape: tuple[int, ...],
        scale: float,
        dropped: float = 0.0,
        shift: float = 0.0,
    ):
        self.p, self.shape = p, shape
        self.scale, self.dropped, self.shift = scale, dropped, shift

    def _mask(self, be: Backend, dtype: Any) -> Array:
        ones = be.full(self.shape, 1, dtype)
        return be.xp.greater(be.dropout.dropout(ones, self.p, *self.draw), 0)

    def forward(self, be: Backend, x: Array) -> Array:
        self.draw = random.next_counter()
        through = be.xp.multiply(x, self.scale)
        dropped = be.xp.full_like(through, self.dropped)
        y = be.xp.where(self._mask(be, x.dtype), through, dropped)
        return be.xp.add(y, self.shift) if self.shift else y

    def backward(self, be: Backend, gy: Array) -> Array:
        mask = self._mask(be, gy.dtype)
        return be.xp.where(mask, be.xp.multiply(gy, self.scale), be.xp.zeros_like(gy))


def _checked(operation: str, x: Tensor, p: float) -> None:
    floating(operation, "x", x)
    if not 0.0 <= p <= 1.0:
        raise ArgumentError(operation, f"p must be in [0, 1], got {p}")


def _channels(
    operation: str, x: Tensor, p: float, training: bool, inplace: bool, leading: int
) -> Tensor:
    """Whole channels, the last of so many leading axes, become 0."""
    if not training or p == 0.0:
        return x
    shape = (*x.shape[:leading], *[1] * (x.ndim - leading))
    y = apply(FeatureDropout(p, shape, 1.0 / (1.0 - p) if p < 1.0 else 0.0), x)
    return x.assign(operation, y) if inplace else y


def _with_axes(operation: str, x: Tensor, axes: tuple[int, int]) -> None:
    if x.ndim not in axes:
        rule = f"x must have {axes[0]} or {axes[1]} axes, got shape {x.shape}"
        shape_error(operation, rule, x=x)


def dropout1d(x: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Zeroes each channel of each sample with probability `p` and scales the others by 1/(1−p).

    The identity if not `training`. `inplace` writes the result into x, too.
    Shapes: x (N, C, L) or (C, L). Dtypes: floating. Source: Tompson et al., arXiv:1411.4280.
    Differs from PyTorch: the same seed drops other channels.
    """
    _checked("dropout1d", x, p)
    _with_axes("dropout1d", x, (2, 3))
    return _channels("dropout1d", x, p, training, inplace, x.ndim - 1)


def dropout2d(x: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Zeroes each channel of each sample with probability `p` and scales the others by 1/(1−p).

    The identity if not `training`. `inplace` writes the result into x, too.
    Shapes: x (N, C, H, W), or (N, C, L) as in PyTorch: the samples must be there.
    Dtypes: floating. Source: Tompson et al., arXiv:1411.4280.
    Differs from PyTorch: the same seed drops other channels.
    """
    _checked("dropout2d", x, p)
    _with_axes("dropout2d", x, (3, 4))
    return _channels("dropout2d", x, p, training, inplace, 2)


def dropout3d(x: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Zeroes each channel of each sample with probability `p` and scales the others by 1/(1−p).

    The identity if not `training`. `inplace` writes the result into x, too.
    Shapes: x (N, C, D, H, W) or (C, D, H, W). Dtypes: floating.
    Source: Tompson et al., arXiv:1411.4280.
    Differs from PyTorch: the same seed drops other channels.
    """
    _checked("dropout3d", x, p)
    _with_axes("dropout3d", x, (4, 5))
    return _channels("dropout3d", x, p, training, inplace, x.ndim - 3)


def _keeping_moments(
    operation: str, x: Tensor, p: float, training: bool, inplace: bool, leading: int
) -> Tensor:
    if not training or p == 0.0:
        return x
    shape = (*x.shape[:leading], *[1] * (x.ndim - leading))
    scale = 1.0 / math.sqrt((_LOWEST**2 * p + 1.0) * (1.0 - p)) if p < 1.0 else 0.0
    op = FeatureDropout(p, shape, scale, -_LOWEST * scale, _LOWEST * scale * p)
    y = apply(op, x)
    return x.assign(operation, y) if inplace else y


def alpha_dropout(
    x: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False
) -> Tensor:
    """Sets each element to SELU's lowest value with probability `p`, then scales and shifts all.

    What has mean 0 and variance 1, as the outputs of SELU, keeps both. The identity if not
    `training`. `inplace` writes the result into x, too.
    Shapes: any. Dtypes: floating. Source: Klambauer et al., arXiv:1706.02515, section 2.
    Differs from PyTorch: the same seed drops other elements.
    """
    _checked("alpha_dropout", x, p)
    return _keeping_moments("alpha_dropout", x, p, training, inplace, x.ndim)


def feature_alpha_dropout(
    x: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False
) -> Tensor:
    """`alpha_dropout` of whole channels of each sample, with probability `p`.

    The identity if not `training`. `inplace` writes the result into x, too.
    Shapes: x (N, C, ...). Dtypes: floating.
    Differs from PyTorch: the same seed drops other channels.
    """
    _checked("feature_alpha_dropout", x, p)
    if x.ndim < 2:
        rule = f"x must have shape (N, C, ...), got {x.shape}"
        shape_error("feature_alpha_dropout", rule, x=x)
    return _keeping_moments("feature_alpha_dropout", x, p, training, inplace, 2)
